//! The experiments of artillery/ are the scenarios of the same names: the scripts' load, the proxy's
//! settings, the backends and the faults. What differs is named with its file, its key, both values
//! and the remedy.

use std::fmt::{Debug, Display};
use std::path::PathBuf;
use std::time::Duration;

use config::{BackendsConfig, ProxyConfig};
use policy::Registry;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use scenario::{Overrides, SubjectKind, Trial};
use serde_json::{Value, json};

const EXPERIMENTS: [&str; 4] = ["baseline", "burst", "failover", "strategies"];

/// The four texts of an experiment.
#[derive(Clone)]
struct Experiment {
    name: &'static str,
    scenario: String,
    script: String,
    proxy: String,
    backends: String,
}

impl Experiment {
    fn read(name: &'static str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = |path: String| {
            std::fs::read_to_string(root.join(&path))
                .unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        Self {
            name,
            scenario: text(format!("scenarios/{name}.toml")),
            script: text(format!("artillery/{name}.yml")),
            proxy: text(format!("artillery/{name}.proxy.toml")),
            backends: text(format!("artillery/{name}.backends.toml")),
        }
    }

    /// The scenario's trials of the lab's own proxy: one for each strategy.
    fn trials(&self) -> Vec<Trial> {
        let file = format!("scenarios/{}.toml", self.name);
        let overrides = Overrides::default();
        let read = |name: &str| panic!("{file} reads {name}");
        let scenario =
            scenario::parse(&file, &self.scenario, &overrides, &Registry::standard(), &read)
                .unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut trials = scenario.trials();
        trials.retain(|trial| trial.variant.proxy.kind == SubjectKind::Lab);
        trials
    }

    fn script(&self) -> Value {
        let documents = Yaml::load_from_str(&self.script)
            .unwrap_or_else(|error| panic!("artillery/{}.yml: {error}", self.name));
        as_json(&documents[0])
    }

    fn proxy(&self) -> ProxyConfig {
        let file = format!("artillery/{}.proxy.toml", self.name);
        ProxyConfig::parse(&file, &self.proxy, &Registry::standard())
            .unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn backends(&self) -> BackendsConfig {
        let file = format!("artillery/{}.backends.toml", self.name);
        BackendsConfig::parse(&file, &self.backends, &|name| panic!("{file} reads {name}"))
            .unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Complaints { name: self.name, all: Vec::new() };
        let trials = self.trials();
        let (script, proxy, backends) = (self.script(), self.proxy(), self.backends());
        complaints.load(&script, &trials[0]);
        complaints.traps(&script);
        complaints.addresses(&script, &proxy, &backends);
        complaints.faults(&script, &trials[0]);
        complaints.proxy(&proxy, &trials);
        complaints.backends(&backends, &trials[0]);
        complaints.all
    }
}

/// YAML's own tree as the one that everybody can point into.
fn as_json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Sequence(items) => items.iter().map(as_json).collect(),
        Yaml::Mapping(pairs) => {
            let key = |key: &Yaml<'_>| key.as_str().expect("keys are words").to_owned();
            Value::Object(pairs.iter().map(|(k, v)| (key(k), as_json(v))).collect())
        }
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(flag)) => json!(flag),
        Yaml::Value(Scalar::Integer(number)) => json!(number),
        Yaml::Value(Scalar::FloatingPoint(number)) => json!(number.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        other => panic!("scripts need no {other:?}"),
    }
}

/// A number as a script writes it: without a point where it is whole.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

fn seconds(duration: Duration) -> Value {
    number(duration.as_secs_f64())
}

struct Complaints {
    name: &'static str,
    all: Vec<String>,
}

impl Complaints {
    fn add(&mut self, ending: &str, key: &str, here: impl Display, there: &str, expected: &str) {
        let name = self.name;
        self.all.push(format!(
            "artillery/{name}{ending}: {key} is {here}, but {there} of scenarios/{name}.toml is \
             {expected}: write {expected} here, or change the scenario back"
        ));
    }

    /// What the script says at `pointer`, against what the scenario's key `there` makes of it.
    fn script(&mut self, script: &Value, pointer: &str, there: &str, expected: &Value) {
        let here = script.pointer(pointer).unwrap_or(&Value::Null);
        if here != expected {
            let key = pointer.trim_start_matches('/').replace('/', ".");
            self.add(".yml", &key, here, there, &expected.to_string());
        }
    }

    fn load(&mut self, script: &Value, trial: &Trial) {
        let load = &trial.variant.load;
        let most = json!(load.max_connections);
        self.script(script, "/config/http/pool", "load.max_connections", &most);
        self.script(script, "/config/http/timeout", "load.timeout", &seconds(load.timeout));
        let first = &load.shape.phases[0];
        let warmup =
            ("warmup", load.shape.warmup, first.rate, first.rate, "load.warmup".to_owned());
        let phases = load.shape.phases.iter().map(|phase| {
            let key = format!("load.phases.{}", phase.name);
            (&*phase.name, phase.duration, phase.rate, phase.to.unwrap_or(phase.rate), key)
        });
        let all: Vec<_> = std::iter::once(warmup).chain(phases).collect();
        let here = script["config"]["phases"].as_array().map_or(0, Vec::len);
        if here != all.len() {
            let expected = format!("{} with the warm-up", all.len());
            self.add(".yml", "the number of config.phases", here, "that", &expected);
        }
        for (index, (name, duration, rate, to, key)) in all.into_iter().enumerate() {
            let at = |word: &str| format!("/config/phases/{index}/{word}");
            self.script(script, &at("name"), &key, &json!(name));
            self.script(script, &at("duration"), &format!("{key} (duration)"), &seconds(duration));
            self.script(script, &at("arrivalRate"), &format!("{key} (rate)"), &number(rate));
            // A phase that does not ramp may do without: its arrivals are evenly spaced then.
            if rate != to || script.pointer(&at("rampTo")).is_some() {
                self.script(script, &at("rampTo"), &format!("{key} (to, or rate)"), &number(to));
            }
            // Poisson arrivals are late and never catch up.
            self.script(script, &at("mode"), "the spacing", &Value::Null);
        }
        let method = load.method.to_lowercase();
        let url = format!("/scenarios/0/flow/0/{method}/url");
        let here = script.pointer(&url).and_then(Value::as_str).unwrap_or("missing");
        if here.trim_start_matches("{{ base }}") != load.path {
            self.add(".yml", &url[1..].replace('/', "."), here, "load.path", &load.path);
        }
    }

    /// What a script needs to mean anything, whatever the scenario.
    fn traps(&mut self, script: &Value) {
        for (pointer, why) in [
            ("/config/http/extendedMetrics", "http.total is not measured without it"),
            ("/config/plugins/ensure", "config.ensure is not checked without it"),
            ("/config/ensure/conditions/0", "a run without an answer ends with 0 without one"),
        ] {
            if matches!(script.pointer(pointer), None | Some(Value::Bool(false))) {
                let key = pointer[1..].replace('/', ".");
                self.all.push(format!("artillery/{}.yml: {key} is missing: {why}", self.name));
            }
        }
        let flow = script["scenarios"][0]["flow"].as_array().map_or(0, Vec::len);
        if flow != 1 || script["scenarios"].as_array().map_or(0, Vec::len) != 1 {
            let name = self.name;
            self.all.push(format!("artillery/{name}.yml: more than one request a virtual user"));
        }
    }

    fn addresses(&mut self, script: &Value, proxy: &ProxyConfig, backends: &BackendsConfig) {
        let name = self.name;
        let mut same = |what: String, here: String, there: String| {
            if here != there {
                self.all.push(format!("artillery/{name}{what}: {here} here and {there} there"));
            }
        };
        let text = |value: &Value| value.as_str().unwrap_or("missing").to_owned();
        let url = |address: &dyn Display| format!("http://{address}");
        let target = text(&script["config"]["target"]);
        same(".yml: target, and listen in its proxy.toml".into(), target, url(&proxy.listen));
        let proxied: Vec<String> = proxy.backends.iter().map(|b| url(&b.address)).collect();
        let served: Vec<String> = backends.backends.iter().map(|b| url(&b.listen)).collect();
        let what = ".proxy.toml: its backends, and those of its backends.toml";
        same(what.into(), proxied.join(" "), served.join(" "));
        let list = |value: &Value| {
            let all = value.as_array().into_iter().flatten().map(text);
            all.collect::<Vec<_>>().join(" ")
        };
        let config = &script["config"];
        if let Some(base) = config.pointer("/variables/base") {
            same(".yml: variables.base, and listen".into(), list(base), url(&proxy.listen));
            let direct = list(&config["environments"]["direct"]["variables"]["base"]);
            same(".yml: base of direct, and its backends.toml".into(), direct, served.join(" "));
        }
        if let Some(plan) = script.pointer("/before/flow/0/post/url") {
            let control = backends.control.map_or("none".into(), |control| url(&control));
            let what = ".yml: the url of before, and control of its backends.toml";
            same(what.into(), text(plan), format!("{control}/v1/faults"));
        }
    }

    fn faults(&mut self, script: &Value, trial: &Trial) {
        let changes = trial.fault_plan().changes.into_iter().map(|change| {
            let mut planned = json!({
                "backend": trial.variant.backends[change.backend].name,
                "fault": change.fault,
                "kind": change.kind.word(),
                "in_ns": change.at.as_nanos(),
            });
            if !change.begins {
                planned["begins"] = json!(false);
            }
            planned
        });
        let changes: Vec<Value> = changes.collect();
        let pointer = "/before/flow/0/post/json/changes";
        let here = script.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
        for index in 0..changes.len().max(here) {
            let expected = changes.get(index).unwrap_or(&Value::Null);
            self.script(script, &format!("{pointer}/{index}"), "the plan of [[faults]]", expected);
        }
    }

    fn proxy(&mut self, proxy: &ProxyConfig, trials: &[Trial]) {
        let same = trials
            .iter()
            .find(|trial| trial.variant.proxy.settings.strategy == proxy.settings.strategy);
        let Some(trial) = same else {
            let names = trials.iter().map(|trial| trial.variant.proxy.settings.strategy.name());
            let names = names.collect::<Vec<_>>().join(" or ");
            let here = proxy.settings.strategy.name();
            return self.add(".proxy.toml", "strategy", here, "proxy.strategy", &names);
        };
        let spec = &trial.variant.proxy;
        let (here, there) = (&proxy.settings, &spec.settings);
        let mut same = |key: &str, here: &dyn Debug, there: &dyn Debug| {
            let (here, there) = (format!("{here:?}"), format!("{there:?}"));
            if here != there {
                self.add(".proxy.toml", key, here, &format!("proxy.{key}"), &there);
            }
        };
        same("workers", &proxy.workers, &spec.workers);
        same("health", &here.health, &there.health);
        same("ejection", &here.ejection, &there.ejection);
        same("slow_start", &here.slow_start, &there.slow_start);
        same("panic", &here.panic, &there.panic);
        same("retry", &here.retry, &there.retry);
        same("hedging", &here.hedging, &there.hedging);
        same("limits", &here.limits, &there.limits);
        same("queue", &here.queue, &there.queue);
        same("timeout", &here.timeout, &there.timeout);
        let weights: Vec<u32> = proxy.backends.iter().map(|backend| backend.weight).collect();
        let planned = trial.variant.backends.iter().map(|backend| backend.weight);
        same("backends (weights)", &weights, &planned.collect::<Vec<_>>());
    }

    fn backends(&mut self, backends: &BackendsConfig, trial: &Trial) {
        let planned = &trial.variant.backends;
        for index in 0..planned.len().max(backends.backends.len()) {
            let here = backends.backends.get(index).map(|backend| (&backend.name, &backend.model));
            let there = planned.get(index).map(|backend| (&backend.name, &backend.model));
            if here != there {
                let key = format!("backend {}", index + 1);
                let (here, there) = (format!("{here:?}"), format!("{there:?}"));
                self.add(".backends.toml", &key, here, "that", &there);
            }
        }
    }
}

#[test]
fn the_scripts_play_what_the_scenarios_say() {
    let complaints: Vec<String> =
        EXPERIMENTS.iter().flat_map(|name| Experiment::read(name).complaints()).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_change_of_a_scenario_is_noticed_where_it_must_be_followed() {
    // The experiment, what is replaced in its scenario, by what, and what the complaint must hold.
    for (name, old, new, wanted) in [
        (
            "baseline",
            "rate = 300",
            "rate = 310",
            "baseline.yml: config.phases.1.arrivalRate is 300",
        ),
        (
            "baseline",
            "rate = 300",
            "rate = 310",
            "phases.0.arrivalRate is 300, but load.warmup (rate)",
        ),
        ("baseline", "rate = 300", "rate = 300\nto = 400", "config.phases.1.rampTo is 300"),
        ("baseline", "warmup = \"3s\"", "warmup = \"4s\"", "config.phases.0.duration is 3"),
        ("baseline", "timeout = \"5s\"", "timeout = \"6s\"", "config.http.timeout is 5"),
        (
            "baseline",
            "timeout = \"5s\"",
            "timeout = \"5s\"\nmax_connections = 640",
            "config.http.pool is 4096",
        ),
        (
            "baseline",
            "timeout = \"5s\"",
            "timeout = \"5s\"\npath = \"/x\"",
            "flow.0.get.url is {{ base }}/",
        ),
        (
            "baseline",
            "timeout = \"5s\"",
            "timeout = \"5s\"\nmethod = \"POST\"",
            "flow.0.post.url is missing",
        ),
        ("burst", "name = \"high\"", "name = \"higher\"", "config.phases.3.name is \"high\""),
        ("burst", "duration = \"17s\"", "duration = \"18s\"", "config.phases.3.duration is 17"),
        (
            "burst",
            "[[load.phases]]\nname = \"back\"",
            "[[load.phases]]\nname = \"more\"\nduration = \"1s\"\nrate = 1\n\n[[load.phases]]\nname = \"back\"",
            "the number of config.phases is 5, but that of scenarios/burst.toml is 6",
        ),
        ("burst", "queue = 1024", "queue = 512", "burst.backends.toml: backend 1 is"),
        ("burst", "count = 4", "count = 3", "burst.backends.toml: backend 4 is"),
        ("failover", "at = \"5s\"", "at = \"6s\"", "changes.0 is"),
        ("failover", "for = \"4s\"", "for = \"3s\"", "changes.3 is"),
        (
            "failover",
            "interval = \"500ms\"",
            "interval = \"400ms\"",
            "failover.proxy.toml: health is",
        ),
        ("failover", "budget = 0.2", "budget = 0.3", "failover.proxy.toml: retry is"),
        ("failover", "attempt = \"1s\"", "attempt = \"2s\"", "failover.proxy.toml: timeout is"),
        (
            "burst",
            "strategy = \"least_request\"",
            "strategy = \"p2c\"",
            "burst.proxy.toml: strategy is least_request, but proxy.strategy of scenarios/burst.toml \
             is p2c: write p2c here, or change the scenario back",
        ),
        (
            "strategies",
            "p99 = \"240ms\"",
            "p99 = \"250ms\"",
            "strategies.backends.toml: backend 5 is",
        ),
    ] {
        let mut changed = Experiment::read(name);
        assert!(changed.scenario.contains(old), "{name}: {old}");
        changed.scenario = changed.scenario.replacen(old, new, 1);
        let complaints = changed.complaints();
        let found = complaints.iter().any(|complaint| complaint.contains(wanted));
        assert!(found, "{name}, {new}: {complaints:#?}");
    }
}

#[test]
fn a_script_without_what_makes_it_mean_something_is_noticed() {
    for (old, new, wanted) in [
        (
            "extendedMetrics: true",
            "extendedMetrics: false",
            "config.http.extendedMetrics is missing",
        ),
        ("  plugins:\n    ensure: {}\n", "", "config.plugins.ensure is missing"),
        (
            "target: \"http://127.0.0.1:8080\"",
            "target: \"http://127.0.0.1:80\"",
            "listen in its proxy",
        ),
        ("          - \"http://127.0.0.1:9104\"\n", "", "base of direct"),
    ] {
        let mut changed = Experiment::read("baseline");
        assert!(changed.script.contains(old), "{old}");
        changed.script = changed.script.replacen(old, new, 1);
        let complaints = changed.complaints();
        let found = complaints.iter().any(|complaint| complaint.contains(wanted));
        assert!(found, "{new}: {complaints:#?}");
    }
}
