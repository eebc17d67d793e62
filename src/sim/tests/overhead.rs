//! What a machine takes beyond the service times, in virtual time: it is added and moves nothing else.
//! These tests must not reach into the engine.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{Distribution, Quantiles, Stop};
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
        direct: table(&[100 * US, 200 * US]),
        kept: table(&[300 * US, 400 * US, 700 * US]),
        fresh: table(&[900 * US, 1_000 * US, 2_000 * US]),
    }
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
        direct: table(&[100 * US]),
        kept: table(&[300 * US]),
        fresh: table(&[2_000 * US]),
    };
    let mut trial = trial("round_robin", 2, constant(5), 100.0, 1);
    trial.variant.load.shape.pattern = Pattern::Constant;
    trial.variant.load.shape.warmup = Duration::ZERO;
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
    let slow = Overhead { fresh: table(&[3_000_000 * US]), ..measured() };
    let mut trial = trial("round_robin", 2, constant(5), 100.0, 1);
    trial.variant.proxy.settings.timeout.connect = ms(500);
    let record = play_late(&trial, &slow);
    let counts = record.counts();
    assert_eq!((counts.ok, counts.unfinished), (0, 0), "{counts:?}");
    let took = record.requests().iter().map(|e| e.ended.since(e.intended));
    assert!(took.clone().all(|took| took == ms(500)), "{:?}", took.collect::<Vec<_>>());
    assert!(record.backends().iter().all(|backend| backend.requests == 0), "none was connected");
}

#[test]
fn a_seed_gives_the_same_run_again_whatever_happens_on_the_way() {
    // Up to a fifth of a second on the way: attempts end there by timeouts, crashes and patience.
    let slow = Overhead {
        kept: table(&[US, 100_000 * US, 200_000 * US]),
        fresh: table(&[2 * US, 150_000 * US, 300_000 * US]),
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
