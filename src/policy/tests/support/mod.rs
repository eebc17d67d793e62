//! What the tests of the whole balancer share: a balancer with named backends, and shorthands.
//! It must not check anything.

pub mod books;
pub mod keys;
pub mod queues;

use std::collections::BTreeMap;
use std::time::Duration;

use base::{BackendId, FailureKind, RequestId, RequestMeta, Rng, Sent, Time};
use policy::{
    Attempt, Balancer, Choice, Command, Entry, Event, Head, HealthSettings, Output, ParameterValue,
    Probe, ProbeResult, Registry, Settings, State, Verdict,
};

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

pub fn choose(name: &str, parameters: &[(&str, ParameterValue)]) -> Choice {
    let given: BTreeMap<String, ParameterValue> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Registry::standard().choose(name, &given).expect("the tests choose what there is")
}

pub fn plain(name: &str) -> Settings {
    Settings::plain(choose(name, &[]))
}

/// A balancer whose backends `b-0`, `b-1` … have these weights.
pub fn balancer(settings: Settings, seed: u64, weights: &[u32]) -> (Balancer, Vec<BackendId>) {
    let mut balancer = Balancer::new(settings, &Rng::from_seed(seed).fork("balancer/0"));
    let ids = weights
        .iter()
        .enumerate()
        .map(|(i, &weight)| add(&mut balancer, Time::ZERO, &format!("b-{i}"), weight))
        .collect();
    (balancer, ids)
}

pub fn add(balancer: &mut Balancer, now: Time, name: &str, weight: u32) -> BackendId {
    balancer
        .handle_command(now, Command::Add { name: name.into(), weight })
        .expect("name and weight are good")
        .expect("an added backend has an id")
}

pub fn request(id: u64, idempotent: bool) -> RequestMeta {
    RequestMeta::new(RequestId(id), idempotent)
}

/// Sends a request that is sure to find a backend.
pub fn send(balancer: &mut Balancer, now: Time, id: u64) -> Attempt {
    match balancer.handle_request(now, request(id, true)) {
        Verdict::Send(attempt) => attempt,
        other => panic!("request {id} is not sent: {other:?}"),
    }
}

pub fn refused() -> Head {
    Head::Failed {
        error: FailureKind::Connect,
        sent: Sent::Nothing,
        reused: false,
        replayable: true,
    }
}

pub fn reset() -> Head {
    Head::Failed { error: FailureKind::Reset, sent: Sent::All, reused: true, replayable: true }
}

pub fn status(status: u16) -> Head {
    Head::Status { status, replayable: true, retry_after: None }
}

/// What the balancer has put out, parted into probes and events.
pub fn drain(balancer: &mut Balancer) -> (Vec<Probe>, Vec<Event>) {
    let (mut probes, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = balancer.poll_output() {
        match output {
            Output::Probe(probe) => probes.push(probe),
            Output::Event(event) => events.push(event),
            Output::Build(work) => balancer.handle_built(Time::ZERO, work.run()),
            other => panic!("{other:?} is of a later issue"),
        }
    }
    (probes, events)
}

/// Probes every 500 ms, without jitter.
pub fn with_health(fall: u32, rise: u32) -> Settings {
    let health = HealthSettings {
        interval: ms(500),
        timeout: ms(200),
        fall,
        rise,
        jitter: 0.0,
        ..HealthSettings::default()
    };
    Settings { health: Some(health), ..plain("round_robin") }
}

pub fn state(balancer: &Balancer, id: BackendId) -> State {
    balancer.pool().status(id).expect("it is in the pool").state
}

pub fn passed() -> ProbeResult {
    ProbeResult::Status { status: 200, after: Duration::from_micros(1_200), load: None }
}

pub fn failed() -> ProbeResult {
    ProbeResult::Failed("connection refused".into())
}

/// The events as lines: "1500 b-0 down was ready: connect failed".
pub fn lines(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let name = event.backend.as_ref().map_or("-", |(_, name)| name);
            let line = format!(
                "{} {name} {} {}",
                event.at.as_nanos() / 1_000_000,
                event.kind.word(),
                event.kind.detail()
            );
            line.trim_end().to_owned()
        })
        .collect()
}

/// Lets time pass from one time to another, answering every probe at once with what `passes` says of the
/// backend; the events on the way.
pub fn pass_time(
    balancer: &mut Balancer,
    from: Time,
    until: Time,
    passes: impl Fn(Time, BackendId) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut now = from;
    balancer.handle_timeout(now);
    loop {
        loop {
            let (probes, more) = drain(balancer);
            events.extend(more);
            if probes.is_empty() {
                break;
            }
            for probe in probes {
                let result = if passes(now, probe.backend) { passed() } else { failed() };
                balancer.handle_probe(now, probe.id, result);
            }
        }
        let Some(wake) = balancer.poll_timeout().filter(|&wake| wake <= until) else {
            return events;
        };
        assert!(wake > now, "what was due is done");
        now = wake;
        balancer.handle_timeout(now);
    }
}

/// All that there are: what holds for every strategy holds for the next one too.
pub fn strategies() -> Vec<&'static str> {
    Registry::standard().entries().iter().map(|entry| entry.name).collect()
}

/// A strategy that exists in a test alone: the balancer needs no line for it.
pub fn choose_own(entry: &'static Entry) -> Choice {
    let registry = Registry::standard().with(entry);
    registry.choose(entry.name, &BTreeMap::new()).expect("it is registered")
}
