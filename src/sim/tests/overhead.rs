//! What a machine takes beyond the service times, in virtual time: it is added and moves nothing else.
//! These tests must not reach into the engine.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{Distribution, Quantiles, Stop};
use policy::settings::LimitSettings;
use record::{Exchange, Overhead, Recorder, TrialRecord};
use scenario::{SubjectKind, Trial};
use support::*;
use workload::{FaultKind, Network, Pattern};

const US: u64 = 1_000;

fn table(ns: &[u64]) -> Quantiles {
    Quantiles::new(ns.to_vec()).expect("in order")
}

/// Directly 100 to 200 µs, through the proxy 300 to 700, over a new connection 900 to 2,000.
fn measured() -> Overhead {
    Overhead {
        generator: table(&[40 * US, 60 * US, 80 * US]),
        client: table(&[240 * US, 310 * US, 580 * US]),
        backend: table(&[60 * US, 90 * US, 120 * US]),
        connection: table(&[600 * US, 600 * US, 1_300 * US]),
    }
}

/// Always so many milliseconds: once a request, an attempt, a connection.
fn exactly(client: u64, backend: u64, connection: u64) -> Overhead {
    let [client, backend, connection] =
        [client, backend, connection].map(|ms| table(&[ms * 1_000 * US]));
    Overhead { generator: table(&[0]), client, backend, connection }
}

/// 100 requests a second, each 10 ms after the other, from time 0 on.
fn even(strategy: &str, backends: usize, service: Distribution) -> Trial {
    let mut trial = trial(strategy, backends, service, 100.0, 1);
    trial.variant.load.shape.pattern = Pattern::Constant;
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial
}

fn took(record: &TrialRecord) -> Vec<Duration> {
    by_number(record).iter().map(|e| e.ended.since(e.intended)).collect()
}

fn play_late(trial: &Trial, overhead: &Overhead) -> TrialRecord {
    let mut recorder = Recorder::new(trial.plan());
    let options = sim::Options { overhead: Some(overhead), ..sim::Options::default() };
    sim::play_with(trial, &mut recorder, &Stop::default(), options).expect("the trial is sane");
    recorder.finish()
}

fn by_number(record: &TrialRecord) -> Vec<Exchange> {
    let mut requests = record.requests().to_vec();
    requests.sort_unstable_by_key(|request| request.request);
    requests
}

/// So many at once that no request waits for another.
fn roomy(strategy: &str) -> Trial {
    let service = Distribution::Lognormal { median: 0.02, p99: 0.08 };
    let mut trial = trial(strategy, 4, service, 200.0, 5);
    trial.variant.backends.iter_mut().for_each(|backend| backend.model.concurrency = 1_000);
    trial
}

#[test]
fn it_moves_no_arrival_no_pick_and_no_service_time() {
    for kind in [SubjectKind::Lab, SubjectKind::Direct] {
        let mut trial = roomy("random");
        trial.variant.proxy.kind = kind;
        // Every 5 ms, so that none overtakes another on the way to the balancer.
        trial.variant.load.shape.pattern = Pattern::Constant;
        let (plain, late) = (by_number(&play(&trial)), by_number(&play_late(&trial, &measured())));
        assert_eq!(plain.len(), late.len());
        let mut added = Vec::new();
        for (plain, late) in plain.iter().zip(&late) {
            assert_eq!((plain.request, plain.intended), (late.request, late.intended));
            assert_eq!(plain.backend, late.backend);
            added.push(late.ended.since(plain.ended).as_nanos() as u64 / US);
        }
        let (least, most) = match kind {
            SubjectKind::Lab => (300, 2_000),
            SubjectKind::Direct => (100, 200),
        };
        assert!(added.iter().all(|us| (least..=most).contains(us)), "{kind:?}: {added:?}");
        added.sort_unstable();
        let median = added[added.len() / 2];
        // By far the most go over a connection that is open; 1,000 draws.
        let middle = if kind == SubjectKind::Lab { 400 } else { 150 };
        assert!(median.abs_diff(middle) < 20, "{kind:?}: the median is {median} µs");
    }
}

#[test]
fn a_new_connection_costs_what_was_measured_and_is_kept() {
    let one = Overhead {
        generator: table(&[20 * US]),
        client: table(&[220 * US]),
        backend: table(&[80 * US]),
        connection: table(&[1_700 * US]),
    };
    let mut trial = even("round_robin", 2, constant(5));
    trial.variant.network = Network { delay: ms(1) };
    let us = |record: &TrialRecord| -> Vec<u64> {
        let requests = by_number(record);
        requests.iter().map(|e| e.ended.since(e.intended).as_micros() as u64).collect()
    };
    let seen = us(&play_late(&trial, &one));
    // There and back to connect and to ask, 1 ms each way, beside the 5 ms and what is added.
    assert!(seen[..2].iter().all(|us| *us == 5_000 + 4_000 + 2_000), "{seen:?}");
    assert!(seen[2..].iter().all(|us| *us == 5_000 + 2_000 + 300), "{seen:?}");
    trial.variant.proxy.kind = SubjectKind::Direct;
    let seen = us(&play_late(&trial, &one));
    assert!(seen[2..].iter().all(|us| *us == 5_000 + 2_000 + 100), "{seen:?}");
}

#[test]
fn what_takes_longer_than_the_limit_fails_in_time() {
    let slow = Overhead { connection: table(&[3_000_000 * US]), ..exactly(2, 1, 0) };
    let mut trial = trial("round_robin", 2, constant(5), 100.0, 1);
    trial.variant.proxy.settings.timeout.connect = ms(500);
    let record = play_late(&trial, &slow);
    let counts = record.counts();
    assert_eq!((counts.ok, counts.unfinished), (0, 0), "{counts:?}");
    let took = record.requests().iter().map(|e| e.ended.since(e.intended));
    // The client's leg is no part of an attempt.
    assert!(took.clone().all(|took| took == ms(502)), "{:?}", took.collect::<Vec<_>>());
    assert!(record.backends().iter().all(|backend| backend.requests == 0), "none was connected");
}

#[test]
fn a_seed_gives_the_same_run_again_whatever_happens_on_the_way() {
    // Up to a fifth of a second on the way: attempts end there by timeouts, crashes and patience.
    let slow = Overhead {
        client: table(&[US, 20_000 * US, 40_000 * US]),
        backend: table(&[US, 80_000 * US, 160_000 * US]),
        connection: table(&[US, 50_000 * US, 100_000 * US]),
        ..measured()
    };
    for strategy in ["round_robin", "least_request", "p2c"] {
        let mut trial = with_retry(with_health(trial(strategy, 4, constant(10), 150.0, 8)), 3);
        trial.variant.proxy.settings.timeout.attempt = Some(ms(160));
        trial.variant.load.timeout = ms(300);
        trial.variant.faults = vec![
            fault(1_000, 1_500, &[0], FaultKind::Crash),
            fault(2_000, 2_000, &[1], FaultKind::Hang),
            fault(5_000, 500, &[2, 3], FaultKind::Reset),
        ];
        let (one, two) = (play_late(&trial, &slow), play_late(&trial, &slow));
        assert_eq!(one.requests(), two.requests(), "{strategy}");
        assert_eq!(one.events(), two.events());
        let counts = one.counts();
        assert!(counts.ok > 0 && counts.failed > 0, "{counts:?}");
        assert_eq!(counts.intended, counts.ok + counts.rejected + counts.failed);
        let other = play_late(&Trial { seed: 2, ..trial.clone() }, &slow);
        assert_ne!(one.requests(), other.requests());
        let longest = one.requests().iter().map(|e| e.ended.since(e.intended)).max();
        assert!(longest <= Some(ms(300)), "{strategy}: {longest:?}");
    }
}

#[test]
fn a_request_pays_its_clients_leg_once_and_the_backends_leg_with_each_attempt() {
    let mut trial = with_retry(even("round_robin", 2, constant(5)), 2);
    let retry = trial.variant.proxy.settings.retry.as_mut().expect("just set");
    (retry.statuses, retry.budget, retry.backoff) = (vec![500], 1.0, Duration::ZERO);
    let errors = FaultKind::Errors { status: 500, ratio: 1.0, after: ms(3), health: false };
    trial.variant.faults = vec![fault(0, 10_000, &[0], errors)];
    let record = play_late(&trial, &exactly(40, 2, 7));
    let counts = record.counts();
    assert_eq!(counts.ok, counts.intended, "{counts:?}");
    let took = took(&record);
    let (tried_once, tried_twice) = (ms(40 + 2 + 5), ms(40 + 2 + 3 + 2 + 5));
    // The first ones open their connections, one or two.
    assert!(took[10..].iter().all(|took| [tried_once, tried_twice].contains(took)), "{took:?}");
    let twice = took.iter().filter(|took| **took == tried_twice).count();
    assert!((40..=60).contains(&twice), "{twice} of 100");
}

#[test]
fn the_clients_leg_is_in_no_attempt_and_takes_no_place_in_flight() {
    let limits = LimitSettings { max_in_flight: Some(1), ..LimitSettings::default() };
    // Each of two backends is asked every 20 ms; what is rejected found one still in flight there.
    for (overhead, timeout, [ok, failed, rejected]) in [
        (exactly(60, 2, 0), Some(ms(10)), [100, 0, 0]),
        (exactly(2, 60, 0), Some(ms(10)), [0, 100, 0]),
        (exactly(2, 30, 0), None, [50, 0, 50]),
    ] {
        let mut trial = even("round_robin", 2, constant(5));
        trial.variant.proxy.settings.limits = Some(limits.clone());
        trial.variant.proxy.settings.timeout.attempt = timeout;
        let counts = play_late(&trial, &overhead).counts();
        assert_eq!([counts.ok, counts.failed, counts.rejected], [ok, failed, rejected]);
    }
}

#[test]
fn a_client_that_loses_patience_on_either_way_has_failed_then() {
    for (timeout, served) in [(19, 0), (30, 100)] {
        let mut trial = even("round_robin", 2, constant(5));
        trial.variant.load.timeout = ms(timeout);
        // There after 20 ms, served after 26, back after 47.
        let record = play_late(&trial, &exactly(40, 2, 0));
        let counts = record.counts();
        assert_eq!((counts.failed, counts.unfinished), (100, 0), "{timeout}: {counts:?}");
        assert!(took(&record).iter().all(|took| *took == ms(timeout)), "{timeout}");
        let read: u64 = record.backends().iter().map(|backend| backend.requests).sum();
        assert_eq!(read, served, "{timeout}");
    }
}

#[test]
fn probes_pay_for_their_connection_and_their_backends_leg() {
    // Two failures in a row, 500 ms apart, take a backend down: after 200 ms each time.
    for (overhead, downs) in
        [(exactly(900, 150, 0), 0), (exactly(0, 250, 0), 2), (exactly(0, 100, 150), 2)]
    {
        let trial = with_health(trial("round_robin", 2, constant(5), 20.0, 4));
        let found = lines(&play_late(&trial, &overhead));
        let down = found.iter().filter(|line| line.contains(" down")).count();
        assert_eq!(down, downs, "{overhead:?}: {found:?}");
    }
}
