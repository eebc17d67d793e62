//! The order of the strategies under a high load, and two choices among so many backends that the
//! engine looks ahead. How long each strategy's requests wait is the crate `theory`'s to check.

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

/// The limit of two choices among infinitely many: the sum of λ to the power of 2ⁱ − 2, i from 1 on,
/// in service times (Mitzenmacher 1996; Vvedenskaya, Dobrushin, Karpelevich 1996). Among 2,000 it is
/// off by a thousandth or so.
#[test]
fn two_choices_among_thousands_wait_as_long_as_the_limit_says() {
    let utilisation = 0.8_f64;
    let mut trial = queue("p2c", 2_000, 1, utilisation);
    trial.variant.load.shape.warmup = ms(1_000);
    trial.variant.load.shape.phases[0].duration = ms(2_000);
    trial.window = ms(1_000);
    let (mean, error) = measured(&trial);
    let due = (1..8).map(|i| utilisation.powi((1 << i) - 2)).sum::<f64>() * MEAN;
    assert!(error < due / 500.0, "{error} s are not known well enough");
    assert!((mean - due).abs() < 4.5 * error + due / 1_000.0, "{mean} ± {error} s, due {due} s");
}
