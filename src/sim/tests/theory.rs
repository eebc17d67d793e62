//! The order of the strategies under a high load. How long each one's requests wait is the crate
//! `theory`'s to check.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::Distribution;
use scenario::Trial;
use support::*;

const MEAN: f64 = 0.010;

/// Exponential service of 10 ms, Poisson arrivals, long enough to forget its beginning.
fn queue(strategy: &str, backends: usize, concurrency: u32, utilisation: f64) -> Trial {
    let service = Distribution::Exponential { mean: MEAN };
    let rate = utilisation * backends as f64 * f64::from(concurrency) / MEAN;
    let mut trial = trial(strategy, backends, service, rate, 200);
    for backend in &mut trial.variant.backends {
        backend.model.concurrency = concurrency;
    }
    trial.variant.load.shape.warmup = ms(20_000);
    trial.variant.load.timeout = ms(1_000_000);
    trial.window = ms(100_000);
    trial.keep_requests = false;
    trial
}

/// The mean response time in seconds of ten rounds, and its standard error: a round is the unit.
fn measured(trial: &Trial) -> (f64, f64) {
    let rounds: Vec<f64> = (1..=10)
        .map(|seed| {
            let record = play(&Trial { seed, ..trial.clone() });
            assert_eq!(record.counts().ok, record.counts().intended);
            let latency = &record.tallies()[0].latency;
            latency.sum_ns() as f64 / latency.count() as f64 / 1e9
        })
        .collect();
    let n = rounds.len() as f64;
    let mean = rounds.iter().sum::<f64>() / n;
    let variance = rounds.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Mitzenmacher's order, which every user of the lab will look for first.
#[test]
fn the_better_informed_strategy_waits_less() {
    let mean = |strategy| {
        let mut trial = queue(strategy, 10, 1, 0.9);
        trial.variant.load.shape.phases[0].duration = ms(60_000);
        measured(&trial).0
    };
    let [least, p2c, round, random] = ["least_request", "p2c", "round_robin", "random"].map(mean);
    assert!(least < p2c && p2c < round && round < random, "{least} {p2c} {round} {random}");
}
