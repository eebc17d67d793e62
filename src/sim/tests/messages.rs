//! What a balancer says beside "send it there", each carried through virtual time: requests that
//! wait, hedges, retries after a while, limits, probes of all kinds, tables made elsewhere.
//! These tests must not reach into the engine.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{BackendId, FailureKind, Outcome, RequestMeta, Rng, Time};
use policy::strategy::{LoadProbe, LoadReport};
use policy::{
    Candidates, CheckKind, Entry, HedgingSettings, KeySource, KeyedRate, LimitSettings,
    ParameterValue, QueueSettings, Rate, RateSettings, Registry, Strategy,
};
use record::{Exchange, TrialRecord};
use scenario::Trial;
use support::*;
use workload::{Abandoned, FaultKind, KeyShape, Keys, Network, Pattern, RequestKey};

/// Constant arrivals: one every 10 ms, so that counts are exact.
fn regular(strategy: &str, backends: usize, seconds: u64) -> Trial {
    let mut trial = trial(strategy, backends, constant(5), 100.0, seconds);
    trial.variant.load.shape.pattern = Pattern::Constant;
    trial
}

/// When each request ended, from its intended time on, and how.
fn ends(record: &TrialRecord) -> Vec<(Duration, Outcome, Option<u16>)> {
    let end = |e: &Exchange| (e.ended.since(e.intended), e.outcome, e.status);
    record.requests().iter().map(end).collect()
}

fn count<T>(values: &[T], is_wanted: impl Fn(&T) -> bool) -> usize {
    values.iter().filter(|value| is_wanted(value)).count()
}

/// At most one request at each backend; `size` wait, each for at most `wait_ms`.
fn with_queue(mut trial: Trial, size: u32, wait_ms: u64) -> Trial {
    let settings = &mut trial.variant.proxy.settings;
    settings.limits = Some(LimitSettings { max_in_flight: Some(1), ..LimitSettings::default() });
    settings.queue = Some(QueueSettings { size, wait: ms(wait_ms) });
    trial
}

#[test]
fn a_queue_before_the_backend_is_as_good_as_one_inside() {
    let at_the_backend = trial("random", 1, constant(8), 100.0, 20);
    let before = with_queue(at_the_backend.clone(), 100_000, 1_000_000);
    let (inside, before) = (play(&at_the_backend), play(&before));
    assert!(ends(&inside).iter().any(|end| end.0 > ms(20)), "there is a queue");
    assert_eq!(inside.requests(), before.requests());
}

#[test]
fn who_waits_too_long_or_finds_the_queue_full_gets_a_503() {
    let mut trial = with_queue(regular("random", 1, 3), 30, 200);
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial.variant.faults = vec![fault(1000, 1002, &[0], FaultKind::Hang)];
    let rejected = |after| (after, Outcome::Rejected, Some(503));
    let late = ends(&play(&trial));
    // The one of 1.005 s is inside until 2.007 s; those of 1.015 to 1.805 s have waited by then.
    assert_eq!(count(&late, |&end| end == rejected(ms(200))), 80);
    assert_eq!(count(&late, |end| end.1 == Outcome::Ok), 220, "{late:?}");
    trial.variant.proxy.settings.queue = Some(QueueSettings { size: 5, wait: ms(200) });
    let full = ends(&play(&trial));
    assert!(count(&full, |&end| end == rejected(Duration::ZERO)) > 60, "{full:?}");
    // Five wait at any time, for 200 ms: 25 a second.
    let waited = count(&full, |&end| end == rejected(ms(200)));
    assert!((15..=25).contains(&waited), "{waited}");
}

#[test]
fn who_leaves_the_queue_never_gets_to_a_backend() {
    // While no backend is in service everybody waits.
    let mut trial = with_health(with_queue(regular("random", 1, 5), 1000, 4000));
    trial.variant.load.timeout = ms(300);
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial.variant.faults = vec![fault(1000, 2000, &[0], FaultKind::Crash)];
    let record = play(&trial);
    let ends = ends(&record);
    let left = (ms(300), Outcome::Failed(FailureKind::Timeout), None);
    let lost = count(&ends, |&end| end == left);
    let served = count(&ends, |end| end.1 == Outcome::Ok);
    let refused = count(&ends, |end| end.2 == Some(502));
    assert_eq!((served + lost, refused), (499, 1), "the first finds out");
    // From 1.015 s on until 300 ms before two probes have passed, 2 to 3.2 s after the crash.
    assert!((169..=299).contains(&lost), "{lost}");
    // Nobody who had left was sent; the first one sent may leave while it is served.
    let sent = record.backends()[0].requests;
    assert!((served as u64..=served as u64 + 2).contains(&sent), "{served} {sent}");
}

thread_local! {
    /// What was reported to the strategy below, in this test's thread.
    static REPORTS: RefCell<Vec<(Time, u32, Option<LoadReport>)>> = const { RefCell::new(vec![]) };
}

/// Goes round, and asks every backend in turn for its load.
#[derive(Default)]
struct Curious {
    picked: u32,
    asks: Option<BackendId>,
}

impl Strategy for Curious {
    fn pick(
        &mut self,
        _: Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        let id = candidates.id(self.picked as usize % candidates.len());
        self.picked += 1;
        self.asks = Some(id);
        id
    }

    fn poll_load_probe(&mut self) -> Option<LoadProbe> {
        let backend = self.asks.take()?;
        Some(LoadProbe { backend, path: "/health".into(), within: ms(100) })
    }

    fn load_reported(&mut self, now: Time, backend: BackendId, report: Option<LoadReport>) {
        REPORTS.with_borrow_mut(|reports| reports.push((now, backend.slot, report)));
    }
}

static CURIOUS: Entry = Entry {
    name: "curious",
    summary: "",
    parameters: &[],
    build: |_| Box::new(Curious::default()),
};

#[test]
fn a_probe_for_the_load_goes_over_the_network_and_brings_it_back() {
    let mut trial = regular("random", 2, 3);
    let registry = Registry::standard().with(&CURIOUS);
    trial.variant.proxy.settings.strategy =
        registry.choose("curious", &BTreeMap::new()).expect("it is registered");
    trial.variant.network = Network { delay: ms(1) };
    trial.variant.backends[1].model.service = constant(30);
    trial.variant.faults = vec![fault(1000, 1000, &[0], FaultKind::Hang)];
    play(&trial);
    let reports = REPORTS.take();
    let of = |backend, from_ms: u64, to_ms: u64| {
        let span = Time::ZERO + ms(from_ms)..Time::ZERO + ms(to_ms);
        let within = reports.iter().filter(move |r| r.1 == backend && span.contains(&r.0));
        within.map(|r| r.2).collect::<Vec<_>>()
    };
    let told = |reports: Vec<Option<LoadReport>>| {
        reports
            .into_iter()
            .map(|report| report.expect("it answers"))
            .map(|report| (report.after, report.load.expect("it tells")))
            .map(|(after, load)| (after, load.in_flight, load.latency))
            .collect::<Vec<_>>()
    };
    // Asked at once with its own request, which is there at +3 ms on a connection that is kept and
    // has been read as the question is, and both answers cross the network.
    let quick = told(of(0, 500, 1500));
    assert_eq!(quick.len(), 50, "one in 20 ms");
    assert!(
        quick.iter().all(|&it| it == (ms(4), 1, ms(0)) || it == (ms(4), 1, ms(5))),
        "{quick:?}"
    );
    let slow = told(of(1, 800, 1500));
    assert!(slow.iter().all(|&(_, in_flight, _)| in_flight > 1), "it falls behind: {slow:?}");
    assert!(slow.iter().all(|&(.., latency)| latency >= ms(30)), "and says so: {slow:?}");
    // A backend that hangs answers nothing within the 100 ms that it has.
    let hung = of(0, 2150, 2950);
    assert_eq!(hung.len(), 40);
    assert!(hung.iter().all(Option::is_none), "{hung:?}");
}

/// Ten backends that take 5 ms, of which the first takes `slow_ms`; a hedge after 10 ms.
fn with_hedges(slow_ms: u64, abandoned: Abandoned) -> Trial {
    let mut trial = with_retry(regular("round_robin", 10, 10), 2);
    for backend in &mut trial.variant.backends {
        backend.model.concurrency = 100;
        backend.model.abandoned = abandoned;
    }
    trial.variant.backends[0].model.service = constant(slow_ms);
    trial.variant.proxy.settings.hedging =
        Some(HedgingSettings { percentile: 0.8, min_requests: 20, min_delay: ms(10) });
    trial
}

/// After the warm-up, in which the balancer learns what is slow: how long each took, and where.
fn measured(record: &TrialRecord) -> Vec<(Duration, Option<u32>)> {
    let warm = record.requests().iter().filter(|e| e.intended >= Time::ZERO + ms(1000));
    warm.map(|e| (e.ended.since(e.intended), e.backend)).collect()
}

#[test]
fn a_hedge_wins_against_a_slow_backend_which_sees_its_client_leave() {
    // Each is inside for 15 ms of some 100 ms, or for its 500 ms, although nobody waits for it.
    for (abandoned, inside) in [(Abandoned::Drop, 1..=1), (Abandoned::Finish, 4..=6)] {
        let record = play(&with_hedges(500, abandoned));
        assert_eq!(record.counts().ok, 1000);
        let ends = measured(&record);
        let hedged = count(&ends, |&(after, backend)| after == ms(15) && backend != Some(0));
        assert!((80..=120).contains(&hedged), "a tenth: {hedged}");
        assert_eq!(hedged + count(&ends, |&(after, _)| after == ms(5)), 1000, "{ends:?}");
        let further = hedged as u64;
        assert_eq!(record.counts().retries, Some(further));
        assert_eq!(record.counts().attempts, Some(1000 + further));
        let slow = &record.backends()[0];
        assert_eq!(slow.requests, further, "all that it got, and nobody waited for it");
        assert!(inside.contains(&slow.max_in_flight), "{abandoned:?} {}", slow.max_in_flight);
    }
}

#[test]
fn a_hedge_that_loses_is_broken_off() {
    let record = play(&with_hedges(12, Abandoned::Finish));
    let ends = measured(&record);
    let hedged = count(&ends, |&end| end == (ms(12), Some(0)));
    assert!((80..=120).contains(&hedged), "{hedged}");
    assert_eq!(hedged + count(&ends, |&(after, _)| after == ms(5)), 1000, "{ends:?}");
    assert_eq!(record.counts().retries, Some(hedged as u64));
    let requests: u64 = record.backends().iter().map(|backend| backend.requests).sum();
    assert_eq!(requests, 1000 + hedged as u64, "both were sent");
}

#[test]
fn a_failure_beside_a_hedge_is_not_the_end() {
    let mut trial = with_hedges(5, Abandoned::Finish);
    trial.variant.proxy.settings.retry.as_mut().expect("just set").attempts = 1;
    for backend in &mut trial.variant.backends {
        backend.model.service = constant(9);
    }
    // Hedged after 10 ms, failed after 12 ms, and answered by the other after 19 ms.
    let slow_errors = FaultKind::Errors { status: 500, ratio: 1.0, after: ms(12), health: false };
    trial.variant.faults = vec![fault(0, 60_000, &[0], slow_errors.clone())];
    let record = play(&trial);
    let ends = measured(&record);
    let saved = count(&ends, |&(after, backend)| after == ms(19) && backend != Some(0));
    assert!((80..=120).contains(&saved), "{saved}");
    assert_eq!(saved + count(&ends, |&(after, _)| after == ms(9)), 1000, "{ends:?}");
    assert_eq!(record.counts().ok, 1000);
    // When both fail the client sees the failure that came last.
    trial.variant.faults = vec![fault(1000, 60_000, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], slow_errors)];
    let record = play(&trial);
    let late = record.requests().iter().filter(|e| e.intended >= Time::ZERO + ms(2500));
    let hedged: Vec<_> = late.filter(|e| e.ended.since(e.intended) == ms(22)).collect();
    assert!(!hedged.is_empty(), "the budget lets some of them have one");
    assert!(hedged.iter().all(|e| e.status == Some(500)));
}

#[test]
fn a_retry_comes_after_its_backoff() {
    let trial = |backoff| {
        let mut trial = with_retry(regular("round_robin", 2, 10), 2);
        let retry = trial.variant.proxy.settings.retry.as_mut().expect("just set");
        (retry.backoff, retry.budget) = (backoff, 1.0);
        trial.variant.load.shape.warmup = Duration::ZERO;
        trial.variant.faults = vec![fault(0, 60_000, &[0], FaultKind::Reset)];
        trial
    };
    let retried = |backoff| -> Vec<Duration> {
        let record = play(&trial(backoff));
        assert!(record.requests().iter().all(|e| e.outcome == Outcome::Ok && e.backend == Some(1)));
        assert_eq!(record.counts().attempts, record.counts().retries.map(|n| n + 1000));
        ends(&record).into_iter().map(|end| end.0).filter(|&after| after != ms(5)).collect()
    };
    // Refused at once and served in 5 ms elsewhere, a retry without a backoff looks like nothing.
    assert_eq!(retried(Duration::ZERO), vec![]);
    // Uniform between 0 and 40 ms: half of them are late by more than 20 ms.
    let late = retried(ms(40));
    assert!((480..=1000).contains(&late.len()), "{}", late.len());
    assert!(late.iter().all(|&after| after > ms(5) && after < ms(60)), "{late:?}");
    let half = count(&late, |&after| after > ms(25)) as f64 / late.len() as f64;
    assert!((0.4..=0.6).contains(&half), "{half}");
}

#[test]
fn who_leaves_during_a_backoff_is_sent_nowhere() {
    let mut trial = with_retry(regular("round_robin", 2, 10), 2);
    let retry = trial.variant.proxy.settings.retry.as_mut().expect("just set");
    (retry.backoff, retry.max_backoff, retry.budget) = (ms(1000), ms(1000), 1.0);
    trial.variant.load.timeout = ms(100);
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial.variant.faults = vec![fault(0, 60_000, &[0], FaultKind::Reset)];
    let record = play(&trial);
    let ends = ends(&record);
    let lost = count(&ends, |&end| end == (ms(100), Outcome::Failed(FailureKind::Timeout), None));
    // Nine in ten of every second request.
    assert!((400..=500).contains(&lost), "{lost}");
    let served = count(&ends, |end| end.1 == Outcome::Ok);
    assert_eq!(served + lost, 1000);
    let sent: u64 = record.backends().iter().map(|backend| backend.requests).sum();
    // Each of those that lost one to the first backend, and few that left while they were served.
    let first = record.backends()[0].requests;
    assert!(
        (served as u64..served as u64 + 30).contains(&(sent - first)),
        "{sent} {first} {served}"
    );
}

#[test]
fn what_the_rate_does_not_allow_gets_a_429() {
    let mut trial = regular("random", 1, 10);
    trial.variant.load.shape.warmup = Duration::ZERO;
    let each = Rate { rate: 50.0, burst: 10 };
    let limited = |trial: &Trial, rate: RateSettings| {
        let mut trial = trial.clone();
        trial.variant.proxy.settings.limits =
            Some(LimitSettings { rate, ..LimitSettings::default() });
        let record = play(&trial);
        let ends = ends(&record);
        let refused = count(&ends, |&end| end == (Duration::ZERO, Outcome::Rejected, Some(429)));
        assert_eq!(count(&ends, |end| end.1 == Outcome::Ok) + refused, 1000);
        assert_eq!(record.backends()[0].requests, 1000 - refused as u64, "none of them was sent");
        refused
    };
    // 10 at once and 50 a second for 10 s, of 100 a second.
    let global = RateSettings { global: Some(each), keyed: None };
    assert!((488..=491).contains(&limited(&trial, global)));
    let by = |source| {
        let key = KeySource::parse(source).expect(source);
        RateSettings { global: None, keyed: Some(KeyedRate { key, each, keys: 1000 }) }
    };
    // All come from one address; of two keys alike, each has just what it is allowed; without the
    // field all share one bucket.
    assert!((488..=491).contains(&limited(&trial, by("address"))));
    assert!((488..=491).contains(&limited(&trial, by("header:x-lab-key"))));
    trial.variant.load.keys = Some(KeyShape { count: 2, zipf: 0.0 });
    assert!(limited(&trial, by("header:x-lab-key")) < 60);
}

#[test]
fn requests_of_one_key_are_known_by_it() {
    let shape = KeyShape { count: 100, zipf: 1.0 };
    let backends_by_key = |source: &str, keys: Option<KeyShape>| {
        let mut trial = regular("random", 5, 10);
        let parameters =
            [("key".into(), ParameterValue::Key(KeySource::parse(source).expect(source)))];
        trial.variant.proxy.settings.strategy = Registry::standard()
            .choose("ring_hash", &parameters.into())
            .expect("it has this parameter");
        trial.variant.load.keys = keys;
        let arrivals = trial.variant.load.shape.arrivals(&Rng::from_seed(trial.seed));
        let keys: Vec<_> = arrivals.map(|arrival| Keys::new(shape).of(arrival.luck)).collect();
        let mut backends: BTreeMap<RequestKey, BTreeSet<Option<u32>>> = BTreeMap::new();
        for e in play(&trial).requests() {
            backends.entry(keys[e.request as usize]).or_default().insert(e.backend);
        }
        backends
    };
    let distinct = |backends: &BTreeMap<_, BTreeSet<_>>| {
        backends.values().flatten().collect::<BTreeSet<_>>().len()
    };
    let by_key = backends_by_key("header:X-Lab-Key", Some(shape));
    assert!(by_key.len() > 80, "{}", by_key.len());
    assert!(by_key.values().all(|backends| backends.len() == 1), "{by_key:?}");
    assert_eq!(distinct(&by_key), 5);
    // All come from one address and ask for one path: all go to one backend.
    assert_eq!(distinct(&backends_by_key("address", Some(shape))), 1);
    assert_eq!(distinct(&backends_by_key("path", None)), 1);
    // What no request has is no key.
    for (source, keys) in [("header:x-user", Some(shape)), ("header:x-lab-key", None)] {
        let by_nothing = backends_by_key(source, keys);
        assert!(by_nothing[&RequestKey(1)].len() > 1, "{source}");
    }
}

#[test]
fn a_check_that_only_connects_sees_a_crash_and_no_hang() {
    let downs = |check, kind| {
        let mut trial = with_health(regular("round_robin", 2, 4));
        trial.variant.proxy.settings.health.as_mut().expect("just set").check = check;
        trial.variant.network = Network { delay: ms(1) };
        trial.variant.faults = vec![fault(500, 2000, &[0], kind)];
        let lines = lines(&play(&trial));
        lines.iter().filter(|line| line.contains("balancer/0 b-1 down")).count()
    };
    for (check, kind, expected) in [
        (CheckKind::Http, FaultKind::Hang, 1),
        (CheckKind::Tcp, FaultKind::Hang, 0),
        (CheckKind::Http, FaultKind::Refuse, 1),
        (CheckKind::Tcp, FaultKind::Refuse, 1),
    ] {
        assert_eq!(downs(check, kind.clone()), expected, "{check:?} {kind:?}");
    }
}

#[test]
fn a_check_that_only_connects_takes_one_round_trip() {
    let passes = |timeout| {
        let mut trial = with_health(regular("round_robin", 1, 2));
        let health = trial.variant.proxy.settings.health.as_mut().expect("just set");
        (health.check, health.timeout) = (CheckKind::Tcp, timeout);
        trial.variant.network = Network { delay: ms(10) };
        !lines(&play(&trial)).iter().any(|line| line.contains("down"))
    };
    assert!(passes(ms(20)));
    assert!(!passes(ms(20) - Duration::from_nanos(1)));
}
