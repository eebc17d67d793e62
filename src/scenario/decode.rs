//! One variant's document to its typed values. It must not know that there are other variants.

use std::time::Duration;

use config::backends::{BACKENDS, read_model};
use config::distribution::Files;
use config::document::{Document, Origin};
use config::policy_keys;
use config::reader::{Context, ROOT, Reader};
use config::value::{LONGEST, format_duration, is_name, shown};
use policy::Registry;
use record::expect::{Limit, Metric, Span};
use workload::{Fault, KeyShape, LoadShape, Network, Pattern, Phase};

use crate::artillery;
use crate::faults::read_faults;
use crate::keys::{BACKENDS_OF_BALANCERS, EXPECTATIONS, PHASES, SCENARIO};
use crate::model::{BackendSpec, Engine, Generator, LoadSpec, ProxySpec, SubjectKind, ViewSpec};

/// What stands outside of every variant.
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) question: String,
    pub(crate) seed: u64,
    pub(crate) engine: Engine,
    pub(crate) rounds: u32,
    pub(crate) window: Option<Duration>,
    pub(crate) keep_requests: bool,
}

/// What a document says.
pub(crate) struct Decoded {
    pub(crate) head: Head,
    pub(crate) proxy: ProxySpec,
    pub(crate) backends: Vec<BackendSpec>,
    pub(crate) network: Network,
    pub(crate) load: LoadSpec,
    pub(crate) faults: Vec<Fault>,
    pub(crate) expectations: Vec<Expected>,
}

/// An expectation of this variant's document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) metric: Metric,
    pub(crate) span: Span,
    pub(crate) limit: Limit,
    /// Where `from`, `to` and `phase` stand.
    pub(crate) ends: [Option<Origin>; 3],
    /// The variant as written, and where.
    pub(crate) variant: Option<(String, Origin)>,
    /// The line of its table.
    pub(crate) line: Option<usize>,
}

/// The backends of one table: their name without the number, their place in the trial's order.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) first: usize,
    pub(crate) count: usize,
}

/// Reads a document from which `[vary]` was taken; all problems go to the context.
pub(crate) fn decode(
    document: &Document,
    context: &Context<'_>,
    registry: &Registry,
    files: &Files<'_>,
) -> Option<Decoded> {
    let r = Reader::new(context, &document.root, ROOT, &SCENARIO);
    let head = read_head(&r);
    let engine = head.as_ref().map(|head| head.engine);
    let backends = read_backends(&r, files);
    let count = backends.as_ref().map_or(0, |(_, backends)| backends.len());
    let proxy = r.table("proxy").and_then(|r| read_proxy(&r, registry, engine, count));
    let network = r.table_or_empty("network").and_then(|r| read_network(&r, engine));
    let load = r.table("load").and_then(|r| read_load(&r, engine));
    let shape = load.as_ref().map(|load| &load.shape);
    let groups = backends.as_ref().map(|(groups, _)| groups.as_slice());
    let faults = read_faults(&r, groups, shape);
    let expectations = read_expectations(&r, shape);
    Some(Decoded {
        head: head?,
        proxy: proxy?,
        backends: backends?.1,
        network: network?,
        load: load?,
        faults: faults?,
        expectations: expectations?,
    })
}

fn read_head(r: &Reader<'_>) -> Option<Head> {
    let (name, question) = (r.text("name"), r.text("question"));
    let seed = r.whole("seed");
    let engine = r.text("engine");
    let rounds = r.whole_u32("rounds");
    let window = r.duration("window");
    let keep_requests = r.table_or_empty("record").and_then(|r| r.flag("requests"));
    Some(Head {
        name: name?,
        question: question?,
        seed: seed?,
        engine: if engine? == "sim" { Engine::Sim } else { Engine::Live },
        rounds: rounds?,
        window,
        keep_requests: keep_requests?,
    })
}

/// Whether a word is one that a later version will know; says so.
fn is_not_yet(r: &Reader<'_>, key: &str, later: &[&str], now: &str) -> bool {
    let word = r.node(key).and_then(|node| node.as_text());
    let Some(word) = word.filter(|word| later.contains(word)) else { return false };
    r.problem(key, format!("{key} {word:?} is not available yet; this version knows {now}"));
    true
}

/// `backends` is how many each balancer looks after.
fn read_proxy(
    r: &Reader<'_>,
    registry: &Registry,
    engine: Option<Engine>,
    backends: usize,
) -> Option<ProxySpec> {
    let later = ["nginx", "haproxy", "envoy", "url"];
    let kind = if is_not_yet(r, "kind", &later, "lab and direct") { None } else { r.text("kind") };
    let workers = r.whole_u32("workers");
    let balancers = read_balancers(r, engine, backends);
    let view = read_view(r, engine);
    let ideals = (engine != Some(Engine::Live)).then(|| registry.clone().with_ideals());
    let settings = policy_keys::read(r, ideals.as_ref().unwrap_or(registry));
    Some(ProxySpec {
        kind: if kind? == "direct" { SubjectKind::Direct } else { SubjectKind::Lab },
        workers: workers?,
        balancers: balancers?,
        view: view?,
        settings: settings?,
    })
}

fn in_simulator_only(r: &Reader<'_>, key: &str, value: &str, live: &str) {
    r.problem(
        key,
        format!(
            "proxy.{key} = {value} works in the simulator only: write engine = \"sim\", or {key} = \
             {live}"
        ),
    );
}

fn read_view(r: &Reader<'_>, engine: Option<Engine>) -> Option<ViewSpec> {
    let view = r.text("view");
    let (delay, refresh) = (r.duration("view_delay"), r.duration("view_refresh"));
    let idle_reports = r.flag("idle_reports");
    let (shared, delay, refresh) = (view? == "shared", delay?, refresh?);
    let idle_reports = idle_reports?;
    if engine == Some(Engine::Live) {
        if shared {
            in_simulator_only(r, "view", "\"shared\"", "\"own\"");
        }
        if idle_reports {
            in_simulator_only(r, "idle_reports", "true", "false");
        }
        for (key, value) in [("view_delay", delay), ("view_refresh", refresh)] {
            if !value.is_zero() {
                in_simulator_only(r, key, &shown(&format_duration(value)), "\"0s\"");
            }
        }
    }
    Some(ViewSpec { shared, delay, refresh, idle_reports })
}

fn read_balancers(r: &Reader<'_>, engine: Option<Engine>, backends: usize) -> Option<u32> {
    let balancers = r.whole_u32("balancers")?;
    if engine == Some(Engine::Live) && balancers > 1 {
        in_simulator_only(r, "balancers", &balancers.to_string(), "1");
    }
    if backends.saturating_mul(balancers as usize) > BACKENDS_OF_BALANCERS {
        let most = BACKENDS_OF_BALANCERS / backends.max(1);
        let message = format!(
            "{balancers} balancers of {backends} backends each are too many to keep: write at \
             most {most}"
        );
        r.problem("balancers", message);
    }
    Some(balancers)
}

/// The groups as written, and the backends counted out.
fn read_backends(r: &Reader<'_>, files: &Files<'_>) -> Option<(Vec<Group>, Vec<BackendSpec>)> {
    let tables = r.tables("backends")?;
    let mut groups: Vec<Group> = Vec::new();
    let mut backends = Vec::new();
    let mut complete = true;
    for table in &tables {
        let name = table.text("name");
        let count = table.whole("count");
        let weight = table.whole_u32("weight");
        let model = read_model(table, files);
        let (Some(name), Some(count), Some(weight), Some(model)) = (name, count, weight, model)
        else {
            complete = false;
            continue;
        };
        if groups.iter().any(|group| group.name == name) {
            let message = format!("there are backends {} already: rename one", shown(&name));
            table.problem("name", message);
        }
        if !is_name(&format!("{name}-{BACKENDS}")) {
            table.problem("name", "name is too long for its numbered backends: at most 57");
        }
        let first = backends.len();
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > BACKENDS - first.min(BACKENDS) {
            table.problem("count", format!("more than {BACKENDS} backends in all"));
            return None;
        }
        let numbered =
            |i| BackendSpec { name: format!("{name}-{i}"), weight, model: model.clone() };
        backends.extend((1..=count).map(numbered));
        groups.push(Group { name, first, count });
    }
    if tables.is_empty() && r.has("backends") {
        r.problem("backends", "no backends: write at least one [[backends]]");
        return None;
    }
    // Without all of them a fault on a missing one would be blamed for what is wrong elsewhere.
    complete.then_some((groups, backends)).filter(|(groups, _)| !groups.is_empty())
}

fn read_network(r: &Reader<'_>, engine: Option<Engine>) -> Option<Network> {
    let delay = r.duration("delay")?;
    if engine == Some(Engine::Live) && !delay.is_zero() {
        r.problem(
            "delay",
            format!(
                "network.delay = {} works in the simulator only: write engine = \"sim\", or \
                 delay = \"0ms\"",
                shown(&format_duration(delay))
            ),
        );
    }
    Some(Network { delay })
}

fn read_load(r: &Reader<'_>, engine: Option<Engine>) -> Option<LoadSpec> {
    // The most connections when nothing else is said (DESIGN.md §6).
    const MAX_CONNECTIONS: u32 = 4096;
    let generator = r.text("generator");
    let arrivals = r.text("arrivals");
    let connections = r.whole_u32("connections");
    let max_connections = r.whole_u32("max_connections");
    let timeout = r.duration("timeout");
    let warmup = r.duration("warmup");
    let (method, path) = (r.text("method"), r.text("path"));
    let phases = read_phases(r);
    let keys = if r.has("keys") { read_keys(r) } else { Some(None) };
    if let (Some(connections), Some(max)) = (connections, max_connections)
        && max < connections
    {
        r.problem(
            "max_connections",
            format!("max_connections = {max} is below connections = {connections}: raise it"),
        );
    }
    let generator = match generator?.as_str() {
        "artillery" => Generator::Artillery,
        _ => Generator::Builtin,
    };
    let pattern = if arrivals? == "constant" { Pattern::Constant } else { Pattern::Poisson };
    let shape = LoadShape { warmup: warmup?, phases: phases?, pattern };
    if shape.length() > LONGEST {
        let longest = format_duration(LONGEST);
        r.problem(
            "phases",
            format!("the load lasts more than {longest}: shorten warm-up or phases"),
        );
        return None;
    }
    let connections = connections?;
    let load = LoadSpec {
        generator,
        shape,
        connections,
        max_connections: max_connections.unwrap_or(MAX_CONNECTIONS.max(connections)),
        timeout: timeout?,
        method: method?,
        path: path?,
        keys: keys?,
    };
    // Nobody sends anything in the simulator, whoever would.
    if load.generator == Generator::Artillery && engine == Some(Engine::Live) {
        artillery::check(r, &load);
    }
    Some(load)
}

fn read_keys(r: &Reader<'_>) -> Option<Option<KeyShape>> {
    let r = r.table("keys")?;
    let (count, zipf) = (r.whole_u32("count"), r.number("zipf"));
    Some(Some(KeyShape { count: count?, zipf: zipf? }))
}

fn read_phases(r: &Reader<'_>) -> Option<Vec<Phase>> {
    let tables = r.tables("phases")?;
    if tables.len() > PHASES {
        r.problem("phases", format!("more than {PHASES} phases"));
        return None;
    }
    if tables.is_empty() && r.has("phases") {
        r.problem("phases", "no phases: write at least one [[load.phases]]");
    }
    let mut names = std::collections::BTreeSet::new();
    let phases: Vec<Option<Phase>> = tables
        .iter()
        .enumerate()
        .map(|(index, table)| {
            let phase = read_phase(table, index);
            if let Some(phase) = &phase
                && !names.insert(phase.name.clone())
            {
                let name = shown(&phase.name);
                table.problem("name", format!("there is a phase {name} already: rename one"));
            }
            phase
        })
        .collect();
    phases.into_iter().collect::<Option<Vec<_>>>().filter(|phases| !phases.is_empty())
}

fn read_phase(r: &Reader<'_>, index: usize) -> Option<Phase> {
    let name = r.text("name");
    let duration = r.duration("duration");
    let rate = r.number("rate");
    let to = r.number("to");
    if rate == Some(0.0) && to.is_none_or(|to| to == 0.0) {
        let remedy = "write requests/s above 0; only one end of a ramp may be 0";
        r.problem("rate", format!("rate must not be 0: {remedy}"));
    }
    Some(Phase {
        name: name.unwrap_or_else(|| format!("phase-{}", index + 1)),
        duration: duration?,
        rate: rate?,
        to,
    })
}

fn read_expectations(r: &Reader<'_>, shape: Option<&LoadShape>) -> Option<Vec<Expected>> {
    let tables = r.tables("expect")?;
    if tables.len() > EXPECTATIONS {
        r.problem("expect", format!("more than {EXPECTATIONS} expectations"));
        return None;
    }
    let read: Vec<Option<Expected>> =
        tables.iter().map(|table| crate::expectations::read_expectation(table, shape)).collect();
    read.into_iter().collect()
}
