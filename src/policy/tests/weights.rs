//! Weights hold under every load: shares follow them while nobody is busy, and nobody gets more
//! than its weight can carry when all are. It must not know how a strategy draws.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{BackendId, RequestMeta, Rng, Time};
use policy::{
    Candidates, Choice, Command, End, Entry, Next, ParameterValue, Settings, SlowStartSettings,
    Strategy,
};
use support::queues::*;
use support::*;

const SEEDS: u64 = 8;

/// Wrong, and what most do: the draw is blind to weights, and the comparison of the idle has
/// nothing to go by.
struct DrawsEvenly;

impl Strategy for DrawsEvenly {
    fn pick(
        &mut self,
        _: Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        let (a, b) = (rng.below(candidates.len()), rng.below(candidates.len()));
        let load = |i| f64::from(candidates.in_flight(i)) / f64::from(candidates.weight(i));
        candidates.id(if load(b) < load(a) { b } else { a })
    }
}

static DRAWS_EVENLY: Entry =
    Entry { name: "draws_evenly", summary: "", parameters: &[], build: |_| Box::new(DrawsEvenly) };

/// Those that draw and then compare.
fn drawing() -> Vec<Choice> {
    let three = |name| choose(name, &[("choices", ParameterValue::Integer(3))]);
    let scan = choose("peak_ewma", &[("scan_below", ParameterValue::Integer(100))]);
    let replaced = choose("p2c", &[("replacement", ParameterValue::Flag(true))]);
    let sticky = choose("sticky", &[]); // without a cookie
    let named = ["p2c", "peak_ewma"].map(|name| choose(name, &[]));
    named.into_iter().chain([three("p2c"), three("peak_ewma"), scan, replaced, sticky]).collect()
}

/// What each backend gets of requests that are answered in a millisecond, one at a time, over some
/// seeds.
fn shares_of_the_idle(choice: &Choice, weights: &[u32]) -> Vec<f64> {
    let requests = 5_000;
    let mut counts = vec![0_u64; weights.len()];
    for seed in 0..SEEDS {
        let (mut balancer, ids) = balancer(Settings::plain(choice.clone()), seed, weights);
        for i in 0..requests {
            let attempt = send(&mut balancer, at(i), i);
            assert_eq!(balancer.handle_head(at(i + 1), attempt.id, status(200)), Next::Deliver);
            balancer.handle_end(at(i + 1), attempt.id, End::Complete);
            let place = ids.iter().position(|&id| id == attempt.backend);
            counts[place.expect("it is one of them")] += 1;
        }
    }
    counts.iter().map(|&count| count as f64 / (SEEDS * requests) as f64).collect()
}

/// How far the shares are from those of the weights, at most.
fn off(shares: &[f64], weights: &[u32]) -> f64 {
    let total: u32 = weights.iter().sum();
    let due = weights.iter().map(|&weight| f64::from(weight) / f64::from(total));
    shares.iter().zip(due).map(|(share, due)| (share - due).abs()).fold(0.0, f64::max)
}

#[test]
fn the_idle_share_by_weight() {
    let wrong = shares_of_the_idle(&choose_own(&DRAWS_EVENLY), &[1, 9]);
    assert!((wrong[0] - 0.5).abs() < 0.02, "{wrong:?}");
    let mut broken = Vec::new();
    for choice in drawing() {
        for weights in [&[1, 9][..], &[9, 1], &[1, 2, 3], &[1, 1, 98], &[5, 5, 5, 5, 80]] {
            let shares = shares_of_the_idle(&choice, weights);
            // Six standard deviations of 40,000 draws are 1.5 %.
            if off(&shares, weights) > 0.015 {
                broken.push(format!(
                    "{} {:?} {weights:?}: {shares:.3?}",
                    choice.name(),
                    choice.parameters()
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A backend that warms up counts as much as the part of its weight that it has.
#[test]
fn who_warms_up_gets_the_share_that_it_has() {
    for choice in drawing() {
        let settings = Settings {
            slow_start: Some(SlowStartSettings::default()),
            ..Settings::plain(choice.clone())
        };
        let (mut balancer, _) = balancer(settings, 1, &[2, 2]);
        let attempt = send(&mut balancer, at(0), 0);
        balancer.handle_end(at(0), attempt.id, End::Complete);
        let new = add(&mut balancer, at(1_000), "new", 4);
        for second in 0..=11 {
            let now = at(1_000 + 1_000 * second);
            while let Some(due) = balancer.poll_timeout().filter(|&due| due <= now) {
                balancer.handle_timeout(due);
            }
            let n = 20_000;
            let mut got = 0;
            for i in 0..n {
                let attempt = send(&mut balancer, now, i);
                got += u32::from(attempt.backend == new);
                balancer.handle_end(now, attempt.id, End::Complete);
            }
            let weight = balancer.pool().status(new).expect("present").effective_weight;
            let (share, due) = (f64::from(got) / n as f64, weight / (4.0 + weight));
            // Six standard deviations of 20,000 draws are 2.2 %.
            assert!(
                (share - due).abs() < 0.022,
                "{}, second {second}: {share}, due {due}",
                choice.name()
            );
        }
    }
}

/// Backends that are as fast as their weights say, loaded to nine tenths of what all can do: what
/// each gets of what it can carry, at most.
fn fullest(choice: &Choice, weights: &[u32]) -> f64 {
    let total: u32 = weights.iter().sum();
    let backends: Vec<(Conduct, u32)> = weights
        .iter()
        .map(|&w| (Conduct::Serves(Duration::from_secs_f64(0.010 / f64::from(w))), w))
        .collect();
    let rate = 0.9 * 100.0 * f64::from(total);
    let mut fullest = 0.0_f64;
    for seed in 0..4 {
        let mut world = World::weighted(&Settings::plain(choice.clone()), seed, 1, &backends);
        world.run(rate, at(2_000));
        let seconds = 20.0;
        let fates = world.run(rate, at(2_000) + Duration::from_secs_f64(seconds));
        for (server, &weight) in weights.iter().enumerate() {
            let served = share(&fates, server) * fates.len() as f64;
            fullest = fullest.max(served / seconds / (100.0 * f64::from(weight)));
        }
        let slowest = quantile(&fates, 0.99);
        assert!(slowest < 1.0, "{} {weights:?} {seed}: {slowest} s", choice.name());
    }
    fullest
}

#[test]
fn under_load_nobody_gets_more_than_its_weight_carries() {
    for choice in drawing() {
        for weights in [&[1, 9][..], &[1, 2, 3], &[1, 1, 2, 8]] {
            let fullest = fullest(&choice, weights);
            assert!(fullest <= 1.05, "{} {weights:?}: {fullest}", choice.name());
        }
    }
}

/// However heavy a backend is: of two that are drawn the busier one, per weight, gets nothing.
#[test]
fn the_strictly_busiest_gets_nothing_however_heavy() {
    for name in ["p2c", "sticky"] {
        for (weights, heavy) in [(&[1, 9][..], 1), (&[1, 1, 98], 2), (&[1, 65_536], 1)] {
            let (mut balancer, ids) = balancer(plain(name), 3, weights);
            // All but the heavy one are put aside while it fills up.
            for (place, &id) in ids.iter().enumerate() {
                if place != heavy {
                    balancer.handle_command(at(0), Command::Drain(id)).expect("it is there");
                }
            }
            let attempt = send(&mut balancer, at(0), 0);
            assert_eq!(attempt.backend, ids[heavy]);
            for &id in &ids {
                balancer.handle_command(at(0), Command::Ready(id)).expect("it is there");
            }
            for i in 1..=20_000 {
                let attempt = send(&mut balancer, at(0), i);
                assert_ne!(attempt.backend, ids[heavy], "{name} {weights:?} {i}");
                balancer.handle_end(at(0), attempt.id, End::Complete);
            }
        }
    }
}
