//! Arrivals against the integral of their rate, against Poisson's law, and against the bias of
//! gaps that are cut to nanoseconds.

use std::time::Duration;

use base::{Rng, Time, dist, rng};
use proptest::prelude::*;
use workload::{Arrival, LoadShape, Pattern, Phase};

fn phase(seconds: f64, rate: f64, to: Option<f64>) -> Phase {
    Phase { name: "p".to_owned(), duration: Duration::from_secs_f64(seconds), rate, to }
}

fn shape(pattern: Pattern, warmup: f64, phases: Vec<Phase>) -> LoadShape {
    LoadShape { warmup: Duration::from_secs_f64(warmup), phases, pattern }
}

fn times(shape: &LoadShape, seed: u64) -> Vec<Time> {
    shape.arrivals(&Rng::from_seed(seed)).map(|arrival| arrival.at).collect()
}

/// Λ(t) by the midpoint rule: exact for linear pieces, and another way than the code's.
fn intensity_until(shape: &LoadShape, until: f64) -> f64 {
    let first = &shape.phases[0];
    let warmup = phase(shape.warmup.as_secs_f64(), first.rate, None);
    let (mut begin, mut sum) = (0.0, 0.0);
    for p in std::iter::once(&warmup).chain(&shape.phases) {
        let length = p.duration.as_secs_f64();
        let inside = (until - begin).clamp(0.0, length);
        if length > 0.0 {
            let end = p.to.unwrap_or(p.rate);
            let middle = p.rate + (end - p.rate) * (inside / 2.0 / length);
            sum += middle * inside;
        }
        begin += length;
    }
    sum
}

/// Whether equally spaced arrivals follow the rate: at every 0.1 s as many have come as the
/// integral says, give or take the one under way.
fn follows(shape: &LoadShape, times: &[Time]) -> Result<(), String> {
    let length = shape.length().as_secs_f64();
    for step in 0..=(length * 10.0) as u64 {
        let until = (step as f64 / 10.0).min(length);
        let come = times.partition_point(|at| at.as_secs_f64() <= until) as f64;
        let expected = intensity_until(shape, until);
        if (come - expected).abs() > 0.5 + 1e-6 * (1.0 + expected) {
            return Err(format!("{come} by {until} s, where {expected} are expected"));
        }
    }
    Ok(())
}

fn in_order_and_within(shape: &LoadShape, times: &[Time]) -> bool {
    times.is_sorted() && times.iter().all(|&at| at < Time::ZERO + shape.length())
}

/// Wrong on purpose: each phase at the rate it starts with.
fn forgets_to_ramp(shape: &LoadShape) -> Vec<Time> {
    let phases = shape.phases.iter().map(|p| Phase { to: None, ..p.clone() }).collect();
    times(&LoadShape { phases, ..shape.clone() }, 1)
}

/// Wrong on purpose: each phase begins its gaps anew, so a part of an arrival is lost at each step.
fn forgets_the_remainder(shape: &LoadShape) -> Vec<Time> {
    let mut begin = Duration::ZERO;
    let mut all = Vec::new();
    for p in &shape.phases {
        let alone = LoadShape { warmup: Duration::ZERO, phases: vec![p.clone()], ..shape.clone() };
        all.extend(times(&alone, 1).into_iter().map(|at| at + begin));
        begin += p.duration;
    }
    all
}

#[test]
fn equal_gaps_stand_where_they_should() {
    let ms = |list: &[u64]| list.iter().map(|&ms| Time::from_nanos(ms * 1_000_000)).collect();
    let cases: Vec<(f64, Vec<Phase>, Vec<Time>)> = vec![
        (0.0, vec![phase(0.4, 10.0, None)], ms(&[50, 150, 250, 350])),
        // The warm-up runs at the first phase's starting rate.
        (0.2, vec![phase(0.2, 10.0, None)], ms(&[50, 150, 250, 350])),
        // A step: half a gap at 10/s and half of one at 20/s follow 0.15 s.
        (0.0, vec![phase(0.2, 10.0, None), phase(0.1, 20.0, None)], ms(&[50, 150, 225, 275])),
        // A ramp from 0: Λ = t²/2 · 100.
        (0.0, vec![phase(0.2, 0.0, Some(20.0))], ms(&[100, 173])),
        // No arrival in a warm-up of rate 0.
        (1.0, vec![phase(0.2, 0.0, Some(20.0))], ms(&[1_100, 1_173])),
        // The mirror image, down to 0.
        (0.0, vec![phase(0.2, 20.0, Some(0.0))], ms(&[26, 100])),
        // A phase of no length changes nothing.
        (0.0, vec![phase(0.0, 9e9, None), phase(0.2, 10.0, None)], ms(&[50, 150])),
        (0.0, vec![], ms(&[])),
    ];
    for (warmup, phases, expected) in cases {
        let shape = shape(Pattern::Constant, warmup, phases);
        let got = times(&shape, 1);
        let near = |(a, b): (&Time, &Time)| a.as_nanos().abs_diff(b.as_nanos()) < 1_000_000;
        assert!(
            got.len() == expected.len() && got.iter().zip(&expected).all(near),
            "{shape:?}: {got:?}, expected {expected:?}"
        );
    }
}

#[test]
fn expected_leaves_the_warm_up_out() {
    let phases = vec![phase(10.0, 100.0, None), phase(10.0, 100.0, Some(0.0))];
    assert_eq!(shape(Pattern::Poisson, 5.0, phases).expected(), 1_500.0);
}

fn any_rate() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.1..50.0, 50.0..3_000.0]
}

prop_compose! {
    fn any_shape(pattern: Pattern)(
        warmup in 0.0..2.0,
        phases in prop::collection::vec((0.01..3.0, any_rate(), prop::option::of(any_rate())), 1..5),
    ) -> LoadShape {
        let phases = phases.into_iter().map(|(seconds, rate, to)| phase(seconds, rate, to)).collect();
        shape(pattern, warmup, phases)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_gaps_follow_the_integral_of_the_rate(shape in any_shape(Pattern::Constant)) {
        let times = times(&shape, 1);
        prop_assert!(in_order_and_within(&shape, &times));
        prop_assert_eq!(follows(&shape, &times), Ok(()));
    }

    #[test]
    fn poisson_arrivals_are_in_order_and_within(shape in any_shape(Pattern::Poisson), seed: u64) {
        prop_assert!(in_order_and_within(&shape, &times(&shape, seed)));
    }
}

#[test]
fn the_property_of_the_integral_finds_the_wrong_ones() {
    let ramp = shape(Pattern::Constant, 0.0, vec![phase(2.0, 10.0, Some(100.0))]);
    assert_eq!(follows(&ramp, &times(&ramp, 1)), Ok(()));
    follows(&ramp, &forgets_to_ramp(&ramp)).expect_err("it does not ramp");
    let steps = vec![phase(0.15, 10.0, None); 8];
    let steps = shape(Pattern::Constant, 0.0, steps);
    assert_eq!(follows(&steps, &times(&steps, 1)), Ok(()));
    follows(&steps, &forgets_the_remainder(&steps)).expect_err("it loses parts");
}

/// Mean and variance of counts in windows of 1 s, each within 4.5 standard errors (once in 150,000
/// runs by chance; and the seed is fixed).
fn is_poisson(counts: &[f64], rate: f64) -> bool {
    let n = counts.len() as f64;
    let mean = counts.iter().sum::<f64>() / n;
    let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let of_mean = (rate / n).sqrt();
    // The fourth central moment of a Poisson count is λ + 3λ².
    let of_variance = ((rate + 2.0 * rate * rate) / n).sqrt();
    (mean - rate).abs() < 4.5 * of_mean && (variance - rate).abs() < 4.5 * of_variance
}

fn counts_per_second(times: &[Time], seconds: usize) -> Vec<f64> {
    let mut counts = vec![0.0; seconds];
    for at in times {
        counts[at.as_secs_f64() as usize] += 1.0;
    }
    counts
}

#[test]
fn counts_of_poisson_arrivals_have_poissons_mean_and_variance() {
    let load = |pattern| shape(pattern, 0.0, vec![phase(2_000.0, 40.0, None)]);
    let counts = |pattern, seed| counts_per_second(&times(&load(pattern), seed), 2_000);
    for seed in 1..=5 {
        assert!(is_poisson(&counts(Pattern::Poisson, seed), 40.0), "seed {seed}");
    }
    // Equal gaps have the mean and not the variance.
    assert!(!is_poisson(&counts(Pattern::Constant, 1), 40.0));
}

#[test]
fn a_poisson_ramp_holds_its_integral_in_every_second() {
    let load = shape(
        Pattern::Poisson,
        0.0,
        vec![phase(20.0, 0.0, Some(4_000.0)), phase(20.0, 4_000.0, Some(0.0))],
    );
    for (second, count) in counts_per_second(&times(&load, 3), 40).into_iter().enumerate() {
        let from = second as f64;
        let expected = intensity_until(&load, from + 1.0) - intensity_until(&load, from);
        assert!(
            (count - expected).abs() < 4.5 * expected.sqrt(),
            "second {second}: {count}, expected {expected}"
        );
    }
}

/// Wrong on purpose: gaps cut to whole nanoseconds and summed.
fn truncated_gaps(rate: f64, length: Duration, seed: u64) -> u64 {
    let mut gaps = Rng::from_seed(seed).fork("arrivals");
    let (mut at, mut count) = (Duration::ZERO, 0);
    loop {
        at += Duration::from_nanos((dist::exp1(&mut gaps) / rate * 1e9) as u64);
        if at >= length {
            return count;
        }
        count += 1;
    }
}

#[test]
fn high_rates_are_not_raised_by_cutting_gaps_to_nanoseconds() {
    // 90 million a second: 11 ns from one to the next.
    let rate = 9e7;
    let load = shape(Pattern::Poisson, 0.0, vec![phase(0.02, rate, None)]);
    let unbiased = |count: u64| {
        let expected = load.expected();
        (count as f64 - expected).abs() < 4.5 * expected.sqrt()
    };
    for seed in 1..=3 {
        assert!(unbiased(load.arrivals(&Rng::from_seed(seed)).count() as u64), "seed {seed}");
        assert!(!unbiased(truncated_gaps(rate, load.length(), seed)), "seed {seed}");
    }
}

#[test]
fn a_seed_is_a_schedule() {
    let load = shape(Pattern::Poisson, 0.5, vec![phase(1.0, 100.0, Some(300.0))]);
    let root = Rng::from_seed(7);
    let all: Vec<Arrival> = load.arrivals(&root).collect();
    assert!(load.arrivals(&root.clone()).eq(all.iter().copied()));
    assert_ne!(times(&load, 7), times(&load, 8));
    // Names and lucks depend on the seed and the number alone, not on rates or times.
    for (n, arrival) in (0..).zip(&all) {
        assert_eq!((arrival.request, arrival.luck), (n, rng::mix(7, n)));
    }
    let golden: Vec<u64> = all.iter().take(4).map(|arrival| arrival.at.as_nanos()).collect();
    assert_eq!(golden, GOLDEN, "a seed is a promise");
}
const GOLDEN: [u64; 4] = [26_777_173, 49_887_149, 61_193_471, 62_483_106];
