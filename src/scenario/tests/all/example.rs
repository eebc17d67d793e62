//! The example of the format, and the shortest scenario: every value and every default.

use std::time::Duration;

use crate::common::{EXAMPLE, SHORT, messages, parse, parse_with, set};
use base::Distribution;
use config::ProxyConfig;
use policy::Registry;
use record::expect::{Limit, Span};
use scenario::{Engine, Scenario, SubjectKind};
use workload::{
    Abandoned, BackendModel, Discipline, Fault, FaultKind, LoadShape, Network, Pattern, Phase,
};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn valid(text: &str) -> Scenario {
    parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn the_example_says_what_it_says() {
    let scenario = valid(EXAMPLE);
    assert_eq!(scenario.name, "failover");
    assert!(scenario.question.starts_with("One of four backends crashes"));
    assert_eq!((scenario.seed, scenario.rounds, scenario.engine), (1, 1, Engine::Live));
    assert_eq!((scenario.window, scenario.keep_requests), (seconds(1), false));
    assert_eq!((scenario.text.as_str(), scenario.file.as_str()), (EXAMPLE, "x.toml"));
    assert!(scenario.notes.is_empty());
    let names: Vec<&str> = scenario.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["round_robin", "least_request"]);
    let parameter = ("proxy.strategy".to_string(), "least_request".to_string());
    assert_eq!(scenario.variants[1].parameters, [parameter]);

    let variant = &scenario.variants[1];
    assert_eq!((variant.proxy.kind, variant.proxy.workers), (SubjectKind::Lab, 1));
    let settings = &variant.proxy.settings;
    assert_eq!(settings.strategy.name(), "least_request");
    let health = settings.health.as_ref().expect("[proxy.health] is there");
    assert_eq!((health.interval, health.timeout), (millis(500), millis(200)));
    assert_eq!((health.fall, health.rise, health.jitter), (2, 2, 0.1));
    assert_eq!((health.path.as_str(), health.remove_after), ("/health", Some(seconds(30))));
    let retry = settings.retry.as_ref().expect("[proxy.retry] is there");
    assert_eq!((retry.attempts, retry.budget, retry.budget_min), (2, 0.2, 10.0));
    assert_eq!(retry.statuses, [502, 503, 504]);
    let timeout = &settings.timeout;
    assert_eq!(timeout.connect, seconds(1));
    assert_eq!((timeout.attempt, timeout.total), (Some(seconds(2)), Some(seconds(5))));
    assert_eq!(variant.network, Network { delay: Duration::ZERO });
    assert_example_workload(&scenario);
}

fn assert_example_workload(scenario: &Scenario) {
    let variant = &scenario.variants[0];
    let names: Vec<&str> = variant.backends.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["a-1", "a-2", "a-3", "a-4"]);
    let model = BackendModel {
        concurrency: 4,
        queue: Some(1024),
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Finish,
        service: Distribution::Lognormal { median: 0.02, p99: 0.08 },
        response_bytes: 128,
    };
    assert!(variant.backends.iter().all(|b| b.weight == 1 && b.model == model));
    let phase = Phase { name: "steady".into(), duration: seconds(30), rate: 120.0, to: None };
    let shape = LoadShape { warmup: seconds(5), phases: vec![phase], pattern: Pattern::Poisson };
    assert_eq!(variant.load.shape, shape);
    assert_eq!((variant.load.connections, variant.load.max_connections), (256, 4096));
    assert_eq!(variant.load.timeout, seconds(5));
    assert_eq!((variant.load.method.as_str(), variant.load.path.as_str()), ("GET", "/"));
    let crash = Fault {
        at: seconds(10),
        length: Some(seconds(10)),
        backends: vec![1],
        kind: FaultKind::Crash,
    };
    assert_eq!(variant.faults, [crash]);

    let [failed, p99] = scenario.expectations.as_slice() else { panic!("two expectations") };
    let whole = Span { from: Duration::ZERO, to: seconds(30) };
    assert_eq!((failed.metric.as_str(), failed.span), ("failed_ratio", whole));
    assert_eq!((failed.limit, &failed.variant), (Limit::Below(0.01), &None));
    let line = 1 + EXAMPLE.lines().position(|line| line == "[[expect]]").unwrap();
    assert_eq!(failed.place, format!("x.toml:{line}"));
    assert_eq!(p99.span, Span { from: seconds(22), to: seconds(30) });
    assert_eq!((p99.metric.as_str(), p99.limit), ("latency.p99", Limit::Below(250.0)));
}

#[test]
fn the_shortest_scenario_takes_the_defaults() {
    let scenario = valid(SHORT);
    assert_eq!((scenario.seed, scenario.rounds, scenario.engine), (1, 1, Engine::Live));
    assert_eq!((scenario.window, scenario.keep_requests), (seconds(1), false));
    let [variant] = scenario.variants.as_slice() else { panic!("one variant") };
    assert_eq!((variant.name.as_str(), variant.parameters.len()), ("default", 0));
    assert_eq!((variant.proxy.kind, variant.proxy.workers), (SubjectKind::Lab, 1));
    let settings = &variant.proxy.settings;
    assert!(settings.health.is_none() && settings.retry.is_none());
    assert_eq!(settings.timeout.connect, seconds(1));
    assert_eq!((settings.timeout.attempt, settings.timeout.total), (None, None));
    let [backend] = variant.backends.as_slice() else { panic!("one backend") };
    assert_eq!((backend.name.as_str(), backend.weight), ("a-1", 1));
    let model = BackendModel {
        concurrency: 32,
        queue: Some(1024),
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Finish,
        service: Distribution::Constant { value: 0.02 },
        response_bytes: 128,
    };
    assert_eq!(backend.model, model);
    let load = &variant.load;
    assert_eq!((load.connections, load.max_connections, load.timeout), (256, 4096, seconds(10)));
    assert_eq!((load.method.as_str(), load.path.as_str()), ("GET", "/"));
    let phase = Phase { name: "phase-1".into(), duration: seconds(10), rate: 100.0, to: None };
    let shape = LoadShape { warmup: seconds(2), phases: vec![phase], pattern: Pattern::Poisson };
    assert_eq!(load.shape, shape);
    assert!(variant.faults.is_empty() && scenario.expectations.is_empty());
}

#[test]
fn a_load_has_keys_where_it_says_so() {
    let keys = |overrides| {
        let scenario = parse_with(SHORT, &set(overrides)).expect("valid");
        scenario.variants[0].load.keys.map(|shape| (shape.count, shape.zipf))
    };
    assert_eq!(keys(&[]), None);
    assert_eq!(keys(&[("load.keys", "{}")]), Some((1000, 1.0)));
    assert_eq!(keys(&[("load.keys.count", "7"), ("load.keys.zipf", "0.8")]), Some((7, 0.8)));
}

#[test]
fn an_empty_policy_table_takes_the_documented_defaults() {
    let text = format!("{SHORT}[proxy.health]\n[proxy.retry]\n[proxy.timeout]\n");
    let scenario = valid(&text);
    let settings = &scenario.variants[0].proxy.settings;
    assert_eq!(settings.health, Some(policy::HealthSettings::default()));
    assert_eq!(settings.retry, Some(policy::RetrySettings::default()));
    let plain = policy::Settings::plain(settings.strategy.clone());
    assert_eq!(settings.timeout, plain.timeout);
}

#[test]
fn every_distribution_and_every_fault_is_read() {
    for (text, distribution) in [
        ("'constant', value = '1ms'", Distribution::Constant { value: 0.001 }),
        ("'uniform', min = '0s', max = '1s'", Distribution::Uniform { min: 0.0, max: 1.0 }),
        ("'exponential', mean = '2s'", Distribution::Exponential { mean: 2.0 }),
        ("'erlang', mean = '2s', k = 3", Distribution::Erlang { mean: 2.0, k: 3 }),
        (
            "'hyperexponential', mean = '2s', scv = 4",
            Distribution::Hyperexponential { mean: 2.0, scv: 4.0 },
        ),
        ("'normal', mean = '2s', sd = '1s'", Distribution::Normal { mean: 2.0, sd: 1.0 }),
        (
            "'lognormal', median = '2s', p99 = '3s'",
            Distribution::Lognormal { median: 2.0, p99: 3.0 },
        ),
        ("'pareto', min = '2s', shape = 1.5", Distribution::Pareto { min: 2.0, shape: 1.5 }),
        ("'weibull', scale = '2s', shape = 0.5", Distribution::Weibull { scale: 2.0, shape: 0.5 }),
        (
            "'bimodal', a = '1ms', b = '1s', share_b = 0.1",
            Distribution::Bimodal { a: 0.001, b: 1.0, share_b: 0.1 },
        ),
        (
            "'empirical', file = 'measured.csv', column = 'ms', unit = 'ms'",
            Distribution::Empirical { values: vec![0.02, 0.0305, 0.04].into() },
        ),
        (
            "'empirical', values = [0.02, 1]",
            Distribution::Empirical { values: vec![0.02, 1.0].into() },
        ),
    ] {
        let text = SHORT.replace("\"constant\", value = \"20ms\"", text);
        assert_eq!(valid(&text).variants[0].backends[0].model.service, distribution, "{text}");
    }
    let ms = millis(1);
    for (text, kind) in [
        ("crash'", FaultKind::Crash),
        ("refuse'", FaultKind::Refuse),
        ("hang'", FaultKind::Hang),
        ("reset'", FaultKind::Reset),
        ("slow'", FaultKind::Slow { factor: 3.0, health: false }),
        ("slow'\nfactor = 1.5\nhealth = true", FaultKind::Slow { factor: 1.5, health: true }),
        ("errors'", FaultKind::Errors { status: 500, ratio: 1.0, after: ms, health: false }),
        (
            "errors'\nstatus = 404\nratio = 0.5\nafter = '0s'\nhealth = true",
            FaultKind::Errors { status: 404, ratio: 0.5, after: Duration::ZERO, health: true },
        ),
        ("flap'\nperiod = '2s'\nduty = 0.25", FaultKind::Flap { period: seconds(2), duty: 0.25 }),
    ] {
        let text = format!("{SHORT}[[faults]]\nat = '1s'\nbackend = 'a-*'\nkind = '{text}\n");
        let scenario = valid(&text);
        let fault = Fault { at: seconds(1), length: None, backends: vec![0], kind };
        assert_eq!(scenario.variants[0].faults, [fault], "{text}");
    }
}

#[test]
fn trials_interleave_the_variants_and_share_seeds_within_a_round() {
    let mut scenario = parse_with(EXAMPLE, &set(&[("rounds", "3")])).expect("valid");
    scenario.seed = 7;
    let trials = scenario.trials();
    let order: Vec<(u32, &str)> =
        trials.iter().map(|t| (t.round, t.variant.name.as_str())).collect();
    let names = ["round_robin", "least_request"];
    let expected: Vec<(u32, &str)> =
        (1..=3).flat_map(|round| names.map(|name| (round, name))).collect();
    assert_eq!(order, expected);
    assert_eq!(trials[2].seed, base::rng::mix(7, 2));
    assert_eq!(trials[2].seed, trials[3].seed);
    assert_ne!(trials[1].seed, trials[2].seed);
    let whole = Span { from: Duration::ZERO, to: seconds(30) };
    assert_eq!(trials[0].spans, [whole, Span { from: seconds(22), to: seconds(30) }]);
}

#[test]
fn a_trial_tells_the_recorder_its_plan() {
    let text = format!(
        "{SHORT}to = 50\n[[load.phases]]\nname = 'low'\nduration = '5s'\nrate = 50\n[record]\nrequests = true\n"
    );
    let scenario = valid(&text);
    let plan = scenario.trials()[0].plan();
    assert_eq!((plan.variant.as_str(), plan.subject.as_str(), plan.round), ("default", "lab", 1));
    assert_eq!((plan.warmup, plan.window, plan.keep_requests), (seconds(2), seconds(1), true));
    assert_eq!(plan.backends, ["a-1"]);
    let phases: Vec<_> =
        plan.phases.iter().map(|p| (p.name.as_str(), p.span.from, p.span.to, p.rate)).collect();
    let first = ("phase-1", Duration::ZERO, seconds(10), (100.0, 50.0));
    assert_eq!(phases, [first, ("low", seconds(10), seconds(15), (50.0, 50.0))]);
}

#[test]
fn an_expectation_is_of_all_variants_unless_it_says_or_they_differ() {
    let expect = "[[expect]]\nmetric = 'ok'\nabove = 1\n";
    let text = format!("{SHORT}{expect}variant = 'p2c'\n{expect}phase = 'phase-1'\n");
    let vary = "[vary]\n'proxy.strategy' = ['random', 'p2c']\n";
    let scenario = valid(&format!("{text}{vary}"));
    let variants: Vec<_> = scenario.expectations.iter().map(|e| e.variant.as_deref()).collect();
    assert_eq!(variants, [Some("p2c"), None]);
    let spans: Vec<usize> = scenario.trials().iter().map(|t| t.spans.len()).collect();
    assert_eq!(spans, [1, 1]);

    let vary = "[vary]\n'load.phases.0.duration' = ['10s', '20s']\n";
    let scenario = valid(&format!("{SHORT}{expect}{vary}"));
    let ends: Vec<_> =
        scenario.expectations.iter().map(|e| (e.variant.as_deref(), e.span.to)).collect();
    assert_eq!(ends, [(Some("10s"), seconds(10)), (Some("20s"), seconds(20))]);
}

#[test]
fn windows_can_be_asked_for() {
    let with = |window: &str| parse_with(SHORT, &set(&[("window", window)]));
    assert_eq!(with("100ms").expect("valid").window, millis(100));
    assert_eq!(
        messages(with("9ms")),
        ["--set window=9ms: window = \"9ms\" is too short: write at least \"11ms\""]
    );
}

#[test]
fn every_policy_of_proxy_toml_can_stand_in_a_scenario() {
    let names = ["health", "ejection", "slow_start", "panic", "retry", "hedging", "queue"];
    let tables: String = names.iter().map(|name| format!("[proxy.{name}]\n")).collect();
    let text = format!("{SHORT}{tables}[proxy.limits.adaptive]\nmin = 5\n");
    let read = valid(&text).variants[0].proxy.settings.clone();
    let alone = "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nstrategy = 'random'\n\
                 timeout = { attempt = 'off', total = 'off' }\n";
    let alone = format!("{alone}{}", tables.replace("proxy.", "")) + "[limits.adaptive]\nmin = 5\n";
    let alone = ProxyConfig::parse("p.toml", &alone, &Registry::standard()).expect("valid");
    assert_eq!(format!("{read:?}"), format!("{:?}", alone.settings));
    assert_eq!(read.limits.expect("it is on").adaptive.expect("it is on").min, 5);
}
