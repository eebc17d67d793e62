//! Several balancers side by side: each with its own view, probes and connections, and the same
//! load for all numbers of them.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::Time;
use scenario::Trial;
use support::*;
use workload::{FaultKind, Network, Pattern};

fn with_balancers(mut trial: Trial, balancers: u32) -> Trial {
    trial.variant.proxy.balancers = balancers;
    trial
}

/// Where each request ended, when it was to begin and when it did end.
fn rows(trial: &Trial) -> Vec<(Option<u32>, Time, Time)> {
    play(trial).requests().iter().map(|e| (e.backend, e.intended, e.ended)).collect()
}

#[test]
fn more_balancers_move_no_arrival_and_no_service_time() {
    let one = trial("random", 8, constant(1), 500.0, 4);
    let many = with_balancers(one.clone(), 7);
    let [one, many] = [one, many].map(|trial| rows(&trial));
    // Nobody waits at a load of a sixteenth, but for a few: what is left is the service time.
    let unlike = one.iter().zip(&many).filter(|(a, b)| a.2.since(a.1) != b.2.since(b.1)).count();
    let intended = |rows: &[(Option<u32>, Time, Time)]| -> Vec<Time> {
        rows.iter().map(|row| row.1).collect()
    };
    assert_eq!(intended(&one), intended(&many));
    assert!(unlike * 5 < one.len(), "{unlike} of {} took another time", one.len());
    assert_ne!(one, many, "they went elsewhere");
}

/// The k-th of them is the same whatever others there are, and goes on in its own order.
#[test]
fn each_takes_its_own_turns() {
    const BACKENDS: usize = 4;
    let mut trial = with_balancers(trial("round_robin", BACKENDS, constant(1), 100.0, 20), 2);
    trial.variant.load.shape.warmup = Duration::ZERO;
    let rows = rows(&trial);
    // Two in step would give every backend at most two requests in a row; apart they meet now and
    // then, and over many requests each backend still gets its quarter, to a few.
    let mut counts = BTreeMap::new();
    for (backend, ..) in &rows {
        *counts.entry(backend.expect("answered")).or_insert(0_usize) += 1;
    }
    for (backend, count) in counts {
        assert!(count.abs_diff(rows.len() / BACKENDS) <= 2, "{backend}: {count}");
    }
    let turns = |row: &[(Option<u32>, Time, Time)]| {
        row.windows(2).all(|pair| (pair[0].0.unwrap() + 1) % BACKENDS as u32 == pair[1].0.unwrap())
    };
    assert!(!turns(&rows), "two balancers are not one");
}

/// A request comes to any of them equally often: each that has no connection yet pays for one.
#[test]
fn each_opens_its_own_connections() {
    for balancers in [1, 5] {
        let mut trial = with_balancers(trial("random", 1, constant(1), 10.0, 20), balancers);
        trial.variant.load.shape.pattern = Pattern::Constant;
        trial.variant.load.shape.warmup = Duration::ZERO;
        trial.variant.network = Network { delay: ms(3) };
        let slow = rows(&trial).iter().filter(|row| row.2.since(row.1) > ms(10)).count();
        assert_eq!(slow, balancers as usize, "one connection each, as none is in use");
    }
}

#[test]
fn each_finds_out_for_itself_and_says_who_it_is() {
    let mut trial = with_balancers(with_health(trial("p2c", 3, constant(2), 300.0, 6)), 3);
    trial.variant.faults = vec![fault(1_000, 2_000, &[1], FaultKind::Crash)];
    let lines = lines(&play(&trial));
    for what in ["b-2 down", "b-2 ready"] {
        let mut by: Vec<&str> = lines
            .iter()
            .filter(|line| line.contains(what))
            .map(|line| line.split(' ').nth(1).expect("the source"))
            .collect();
        by.sort_unstable();
        assert_eq!(by, ["balancer/0", "balancer/1", "balancer/2"], "{what}: {lines:?}");
    }
    let probes: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line.contains("b-2 ready"))
        .map(|line| line.split(' ').next().expect("the time"))
        .collect();
    assert_eq!(probes.len(), 3, "each probes at times of its own: {lines:?}");
}

/// Least requests of a balancer that sees a tenth of the load is not least requests.
#[test]
fn split_views_balance_worse() {
    let mean = |balancers| {
        let service = base::Distribution::Exponential { mean: 0.010 };
        let trial = with_balancers(trial("least_request", 10, service, 800.0, 60), balancers);
        let record = play(&trial);
        let latency = &record.tallies()[0].latency;
        latency.sum_ns() as f64 / latency.count() as f64 / 1e6
    };
    let [one, ten, hundred] = [1, 10, 100].map(mean);
    assert!(one < 15.0 && 1.3 * one < ten && 1.3 * ten < hundred, "{one} {ten} {hundred} ms");
}
