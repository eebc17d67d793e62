//! Trials in virtual time, as scenarios would play them: faults, retries, timeouts, network.
//! These tests must not reach into the engine.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use base::{BackendId, Distribution, FailureKind, Outcome, RequestMeta, Rng, Stop, Time};
use policy::{
    AdaptiveSettings, Candidates, EjectionSettings, Entry, HedgingSettings, LimitSettings,
    PanicSettings, QueueSettings, Rate, RateSettings, Registry, SlowStartSettings, Strategy,
};
use record::{Exchange, Recorder, TrialRecord, Verdict};
use scenario::{SubjectKind, Trial};
use support::*;
use workload::{Abandoned, FaultKind, Network, Pattern};

/// Every latency of the requests that one filter lets through.
fn latencies(record: &TrialRecord, filter: impl Fn(&Exchange) -> bool) -> Vec<Duration> {
    let chosen = record.requests().iter().filter(|e| filter(e));
    chosen.map(|e| e.ended.since(e.intended)).collect()
}

/// Requests by outcome: ok, rejected, failed, unfinished.
fn counts(record: &TrialRecord) -> [u64; 4] {
    let counts = record.counts();
    assert_eq!(counts.intended, counts.ok + counts.rejected + counts.failed + counts.unfinished);
    [counts.ok, counts.rejected, counts.failed, counts.unfinished]
}

/// Constant arrivals: one every 10 ms, so that counts are exact.
fn regular(strategy: &str, backends: usize, seconds: u64) -> Trial {
    let mut trial = trial(strategy, backends, constant(5), 100.0, seconds);
    trial.variant.load.shape.pattern = Pattern::Constant;
    trial
}

#[test]
fn the_network_costs_its_round_trips() {
    for (delay, first, later) in [(0, 5, 5), (3, 17, 11)] {
        let mut trial = regular("round_robin", 1, 2);
        trial.variant.network = Network { delay: ms(delay) };
        trial.variant.load.shape.warmup = Duration::ZERO;
        let record = play(&trial);
        let seen = latencies(&record, |_| true);
        // There and back to connect, and there and back to ask; the connection is kept.
        assert_eq!(seen[0], ms(first));
        // The second request finds the first connection busy when the network is slow.
        assert!(seen[5..].iter().all(|&latency| latency == ms(later)), "{seen:?}");
        assert_eq!(counts(&record), [200, 0, 0, 0]);
    }
}

#[test]
fn a_load_that_lasts_is_played_to_its_last_answer() {
    let mut trial = regular("random", 1, 3);
    // Twice what the backend can serve: 600 requests of 10 ms each, 3 s after the last arrival.
    trial.variant.backends[0].model.service = constant(20);
    trial.variant.load.shape.warmup = Duration::ZERO;
    let record = play(&trial);
    assert_eq!(counts(&record), [300, 0, 0, 0]);
    let last = record.requests().iter().map(|e| e.ended).max().unwrap();
    assert_eq!(last.since(Time::ZERO).as_millis() / 100, 60);
    assert_eq!(record.backends()[0].requests, 300);
    assert_eq!(record.verdict().0, Verdict::Valid);
}

#[test]
fn a_client_that_lost_patience_has_failed_at_its_deadline() {
    let mut trial = regular("random", 1, 2);
    trial.variant.load.timeout = ms(300);
    trial.variant.faults = vec![fault(0, 2000, &[0], FaultKind::Hang)];
    let record = play(&trial);
    // The one that arrives as the hang begins may have been read just before it.
    let [ok, 0, failed, 0] = counts(&record) else { panic!("{:?}", counts(&record)) };
    assert_eq!(ok + failed, 200);
    assert!(failed >= 168, "those of the last 300 ms may see its end: {failed}");
    for e in record.requests().iter().filter(|e| e.outcome != Outcome::Ok) {
        assert_eq!(e.outcome, Outcome::Failed(FailureKind::Timeout));
        assert_eq!(e.ended.since(e.intended), ms(300));
        assert_eq!((e.status, e.backend), (None, None));
    }
}

#[test]
fn patience_ends_to_the_nanosecond_however_long_it_is() {
    for timeout in [1, 2, 3, 5, 999, 10_000_000, 123_456_789, 5_000_000_000] {
        let mut trial = trial("random", 2, constant(100_000), 200.0, 1);
        trial.variant.load.timeout = Duration::from_nanos(timeout);
        let record = play(&trial);
        assert!(record.requests().len() > 150, "{}", record.requests().len());
        for e in record.requests() {
            assert_eq!(e.outcome, Outcome::Failed(FailureKind::Timeout), "{timeout} ns");
            assert_eq!(e.ended.nanos_since(e.intended), timeout);
        }
    }
}

/// Answers and timeouts in the very same nanosecond, some entered before and some after their like.
#[test]
fn an_answer_in_the_nanosecond_of_the_timeout_comes_too_late() {
    for timeout in (4_000..5_200).step_by(50) {
        let mut trial = trial("random", 1, constant(100), 20.0, 10);
        trial.variant.load.shape.pattern = Pattern::Constant;
        trial.variant.load.timeout = ms(timeout);
        let record = play(&trial);
        // Every request waits 50 ms longer than the one before it, to the first that is too late.
        let waits = latencies(&record, |e| e.outcome == Outcome::Ok);
        let longest = waits.iter().max().expect("the first ones are answered");
        assert_eq!(*longest, ms(timeout - 50), "{timeout} ms");
    }
}

/// Requests that went well are told in bulk, where none of them is kept.
#[test]
fn the_record_is_the_same_whether_requests_are_kept_or_not() {
    let service = Distribution::Exponential { mean: 0.002 };
    let mut trial = trial("p2c", 6, service, 2_000.0, 10);
    trial.variant.load.timeout = ms(300);
    trial.variant.faults = vec![fault(3_000, 1_500, &[1], FaultKind::Crash)];
    trial.spans = vec![span(0, 2_000), span(2_500, 6_100)];
    let kept = play(&trial);
    trial.keep_requests = false;
    let told = play(&trial);
    assert!(told.requests().is_empty() && kept.requests().len() > 19_000);
    assert!(kept.counts().failed > 0, "some did not go well");
    assert_eq!(told.windows(), kept.windows());
    assert_eq!(told.tallies(), kept.tallies());
}

/// The load is open: what was intended during a hang stays intended, and its latencies fall
/// linearly from the length of the hang.
#[test]
fn a_hang_of_all_backends_shows_in_the_latency_of_all_requests_of_its_time() {
    let mut trial = trial("least_request", 4, constant(1), 100.0, 10);
    for backend in &mut trial.variant.backends {
        backend.model.concurrency = 1000;
    }
    let calm = play(&trial);
    trial.variant.faults = vec![fault(4000, 2000, &[0, 1, 2, 3], FaultKind::Hang)];
    trial.spans = vec![span(4000, 6000)];
    let record = play(&trial);
    assert_eq!(record.counts().intended, calm.counts().intended);
    assert_eq!(counts(&record), [calm.counts().intended, 0, 0, 0]);
    let inside = &record.tallies()[1];
    let p50 = inside.latency.at_quantile(5_000).unwrap() as f64 / 1e9;
    assert!((p50 - 1.0).abs() < 0.15, "half of them wait longer than 1 s: {p50}");
    let from = Time::ZERO + ms(5000);
    for e in record.requests() {
        let latency = e.ended.since(e.intended);
        let hung = (from..from + ms(2000)).contains(&e.intended);
        let expected = if hung { (from + ms(2001)).since(e.intended) } else { ms(1) };
        // A request that was in service as the hang began had a part of its 1 ms behind it.
        assert!(latency <= expected.max(ms(2001)) && latency + ms(1) >= expected, "{e:?}");
    }
}

#[test]
fn what_a_client_sees_of_each_fault() {
    let errors = FaultKind::Errors { status: 500, ratio: 1.0, after: ms(1), health: false };
    let own = |status| (Outcome::of_status(status), Some(status));
    let failed = |kind| (Outcome::Failed(kind), None);
    for (kind, lab, direct) in [
        (FaultKind::Crash, own(502), failed(FailureKind::Connect)),
        (FaultKind::Reset, own(502), failed(FailureKind::Reset)),
        (FaultKind::Hang, own(504), failed(FailureKind::Timeout)),
        (errors, own(500), own(500)),
    ] {
        for (subject, expected) in [(SubjectKind::Lab, lab), (SubjectKind::Direct, direct)] {
            let mut trial = regular("random", 1, 3);
            trial.variant.proxy.kind = subject;
            trial.variant.proxy.settings.timeout.attempt = Some(ms(100));
            trial.variant.load.timeout = ms(200);
            trial.variant.faults = vec![fault(1000, 1000, &[0], kind.clone())];
            let record = play(&trial);
            // Between 50 ms and 750 ms of the fault nothing else can be seen.
            let from = Time::ZERO + ms(2050);
            let inside =
                record.requests().iter().filter(|e| (from..from + ms(700)).contains(&e.intended));
            let seen: Vec<_> = inside.map(|e| (e.outcome, e.status)).collect();
            assert_eq!(seen.len(), 70, "{kind:?}");
            assert!(seen.iter().all(|&end| end == expected), "{kind:?} {subject:?}: {seen:?}");
            let before = record.requests().iter().filter(|e| e.intended < from - ms(100));
            assert!(before.clone().count() > 90);
            assert!(before.clone().all(|e| e.outcome == Outcome::Ok), "{kind:?} {subject:?}");
        }
    }
}

#[test]
fn a_refusal_leaves_open_connections_alone() {
    let mut trial = regular("random", 1, 3);
    trial.variant.faults = vec![fault(1000, 1000, &[0], FaultKind::Refuse)];
    // One connection is open and free whenever a request comes: nobody notices.
    assert_eq!(counts(&play(&trial)), [300, 0, 0, 0]);
    // When they overlap, a second connection is wanted and refused.
    trial.variant.backends[0].model.service = constant(15);
    trial.variant.backends[0].model.concurrency = 2;
    trial.variant.faults[0].at = Duration::ZERO;
    trial.variant.load.shape.warmup = Duration::ZERO;
    let [ok, 0, refused, 0] = counts(&play(&trial)) else { panic!("nothing else ends") };
    assert!(ok > 0 && refused > 0, "{ok} {refused}");
}

#[test]
fn a_crash_is_retried_elsewhere_and_the_pool_follows() {
    let base = || {
        let mut trial = regular("round_robin", 4, 20);
        trial.variant.faults = vec![fault(5000, 5000, &[1], FaultKind::Crash)];
        trial
    };
    // Without checks and retries a quarter of 5 s fails.
    let [_, 0, failed, 0] = counts(&play(&base())) else { panic!("nothing is rejected") };
    assert!((124..=127).contains(&failed), "{failed}");
    // With checks alone it fails until the first failed connect, and again until …
    let [_, 0, checked, 0] = counts(&play(&with_health(base()))) else { panic!("as above") };
    assert!((1..=3).contains(&checked), "{checked}");
    // With retries nobody sees it.
    let record = play(&with_retry(with_health(base()), 2));
    assert_eq!(counts(&record), [2000, 0, 0, 0]);
    assert!(record.counts().retries.is_some_and(|retries| (1..=3).contains(&retries)));
    assert_eq!(
        record.counts().attempts,
        Some(2000 + record.counts().retries.unwrap()),
        "attempts = sent + retries"
    );
    let lines = lines(&record);
    assert_eq!(lines[0], "6.000 scenario b-2 crash");
    assert!(lines[1].ends_with("balancer/0 b-2 down was ready: connect failed"), "{lines:?}");
    assert_eq!(lines[2], "11.000 scenario b-2 crash_end");
    assert!(lines[3].ends_with("balancer/0 b-2 ready was down: probe passed: 200 in 0.0 ms"));
    let back: f64 = lines[3].split(' ').next().unwrap().parse().unwrap();
    assert!((11.5..=12.2).contains(&back), "two passes after the crash: {back}");
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_backend_that_stays_away_is_removed() {
    let mut trial = with_health(regular("p2c", 3, 15));
    let health = trial.variant.proxy.settings.health.as_mut().unwrap();
    health.remove_after = Some(ms(4000));
    trial.variant.faults = vec![fault(1000, 60_000, &[2], FaultKind::Crash)];
    let lines = lines(&play(&trial));
    let removed = lines.iter().find(|line| line.contains("removed")).expect("an event says so");
    assert!(removed.ends_with("balancer/0 b-3 removed silent for 4 s"), "{removed}");
    let at: f64 = removed.split(' ').next().unwrap().parse().unwrap();
    assert!((5.4..=6.01).contains(&at), "4 s after its last sign of life: {at}");
}

#[test]
fn an_attempt_that_takes_too_long_is_given_to_another() {
    let mut trial = with_retry(regular("round_robin", 2, 5), 2);
    for backend in &mut trial.variant.backends {
        backend.model.concurrency = 10;
        backend.model.abandoned = Abandoned::Drop;
    }
    trial.variant.proxy.settings.timeout.attempt = Some(ms(50));
    trial.variant.faults = vec![fault(1000, 1000, &[0], FaultKind::Hang)];
    let record = play(&trial);
    assert_eq!(counts(&record), [500, 0, 0, 0]);
    // Every second request of that second, but the last ones, which see its end.
    let slow = latencies(&record, |e| e.ended.since(e.intended) > ms(50));
    assert!((46..=50).contains(&slow.len()), "{}", slow.len());
    assert!(slow.iter().all(|&latency| latency == ms(55)), "{slow:?}");
    // Work that is finished for nobody holds the backend up after its hang.
    for backend in &mut trial.variant.backends {
        backend.model.concurrency = 1;
        backend.model.abandoned = Abandoned::Finish;
    }
    let slower = latencies(&play(&trial), |e| e.ended.since(e.intended) > ms(50));
    assert!(slower.len() > slow.len() + 5, "{}", slower.len());
}

#[test]
fn without_any_backend_requests_are_rejected() {
    let mut trial = with_health(regular("random", 1, 4));
    trial.variant.faults = vec![fault(0, 10_000, &[0], FaultKind::Crash)];
    let record = play(&trial);
    let [0, rejected, failed, 0] = counts(&record) else { panic!("{:?}", counts(&record)) };
    assert_eq!(rejected + failed, 400);
    assert_eq!(failed, 1, "the first of all finds out");
    assert!(record.requests().iter().skip(1).all(|e| e.status == Some(503)));
}

#[test]
fn the_first_request_finds_its_backends_ready() {
    let mut trial = with_health(regular("random", 2, 2));
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial.variant.network = Network { delay: ms(50) };
    assert_eq!(counts(&play(&trial)), [200, 0, 0, 0]);
}

#[test]
fn direct_goes_round() {
    let mut trial = regular("random", 4, 2);
    trial.variant.proxy.kind = SubjectKind::Direct;
    let record = play(&trial);
    let backends: Vec<_> = record.requests().iter().map(|e| e.backend.unwrap()).collect();
    assert!(backends.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 4), "{backends:?}");
    assert_eq!(record.counts().retries, None);
}

/// A strategy that exists in this test alone: the simulator has no line for it.
struct AlwaysLast;
impl Strategy for AlwaysLast {
    fn pick(
        &mut self,
        _: base::Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        candidates.id(candidates.len() - 1)
    }
}
static ALWAYS_LAST: Entry =
    Entry { name: "always_last", summary: "", parameters: &[], build: |_| Box::new(AlwaysLast) };

#[test]
fn a_strategy_of_a_test_plays() {
    let mut trial = regular("random", 3, 2);
    let registry = Registry::standard().with(&ALWAYS_LAST);
    trial.variant.proxy.settings.strategy =
        registry.choose("always_last", &BTreeMap::new()).expect("it is registered");
    let record = play(&trial);
    let requests: Vec<u64> = record.backends().iter().map(|b| b.requests).collect();
    assert_eq!(requests, [0, 0, 200]);
}

/// Everything that can happen at once, to compare runs by.
fn eventful(strategy: &str) -> Trial {
    let service = Distribution::Lognormal { median: 0.01, p99: 0.05 };
    let mut trial = with_retry(with_health(trial(strategy, 4, service, 250.0, 8)), 3);
    let settings = &mut trial.variant.proxy.settings;
    settings.timeout.attempt = Some(ms(100));
    settings.retry.as_mut().expect("just set").backoff = ms(5);
    settings.ejection = Some(EjectionSettings::default());
    settings.slow_start = Some(SlowStartSettings::default());
    settings.panic = Some(PanicSettings::default());
    settings.hedging = Some(HedgingSettings::default());
    settings.queue = Some(QueueSettings { size: 20, wait: ms(50) });
    settings.limits = Some(LimitSettings {
        rate: RateSettings { global: Some(Rate { rate: 240.0, burst: 50 }), keyed: None },
        max_in_flight: Some(10),
        adaptive: Some(AdaptiveSettings::default()),
    });
    trial.variant.load.timeout = ms(400);
    trial.variant.network = Network { delay: ms(1) };
    let slow = FaultKind::Slow { factor: 3.0, health: true };
    trial.variant.faults = vec![
        fault(1000, 1500, &[0], FaultKind::Crash),
        fault(2000, 2000, &[1], FaultKind::Hang),
        fault(2000, 3000, &[2], slow),
        fault(5000, 500, &[0, 3], FaultKind::Reset),
    ];
    trial
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for entry in Registry::standard().entries() {
        let strategy = entry.name;
        let trial = eventful(strategy);
        let (one, two) = (play(&trial), play(&trial));
        assert_eq!(one.requests(), two.requests(), "{strategy}");
        assert_eq!(one.events(), two.events());
        let other = play(&Trial { seed: 2, ..trial });
        assert_ne!(one.requests(), other.requests());
    }
}

#[test]
fn strategies_meet_the_same_arrivals() {
    let intended = |strategy| -> Vec<(u64, Time)> {
        let record = play(&eventful(strategy));
        let mut seen: Vec<_> = record.requests().iter().map(|e| (e.request, e.intended)).collect();
        seen.sort_unstable();
        seen
    };
    assert_eq!(intended("round_robin"), intended("p2c"));
}

/// Five thousand requests, whose clients wait for 10 ms, at a backend that serves one a second.
#[test]
fn what_backends_hold_for_nobody_is_bounded() {
    let mut trial = trial("random", 1, constant(1_000), 1_000.0, 5);
    trial.variant.load.timeout = ms(10);
    for (queue, abandoned, is_too_much) in [
        (None, Abandoned::Finish, true),
        (Some(100), Abandoned::Finish, false),
        (None, Abandoned::Drop, false),
    ] {
        let model = &mut trial.variant.backends[0].model;
        (model.queue, model.abandoned) = (queue, abandoned);
        let mut recorder = Recorder::new(trial.plan());
        let options = sim::Options { pending: 500, ..sim::Options::default() };
        let played = sim::play_with(&trial, &mut recorder, &Stop::default(), options);
        assert_eq!(played.is_err(), is_too_much, "{queue:?} {abandoned:?}: {played:?}");
        if let Err(error) = played {
            let sim::Error::TooMuchPending { for_nobody, .. } = error else { panic!("{error}") };
            assert!(for_nobody > 400, "all but those who came lately: {error}");
            let told = error.to_string();
            assert!(told.contains("bound the backends' queues, or let them drop what"), "{told}");
        }
    }
}

#[test]
fn a_run_that_is_stopped_keeps_what_it_has() {
    let mut trial = regular("random", 1, 5);
    trial.variant.load.shape.warmup = Duration::ZERO;
    let mut recorder = Recorder::new(trial.plan());
    let stop = Stop::default();
    stop.raise(2);
    sim::play(&trial, &mut recorder, &stop).expect("stopping is no error");
    let record = recorder.finish();
    assert_eq!(record.verdict().0, Verdict::Interrupted);
    assert_eq!(record.counts().intended, 0, "it looks before it plays");
}
