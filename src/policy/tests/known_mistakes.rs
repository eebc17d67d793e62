//! Mistakes that well-known load balancers made, or make, and that this one does not make. Where
//! another test shows it already, its name stands here and nothing is repeated:
//!
//! - Envoy draws two with replacement, and of two backends the busier gets a quarter:
//!   `strategies.rs`, `p2c_never_picks_the_strictly_busiest`.
//! - Weights that count only once backends are busy: `weights.rs`, `the_idle_share_by_weight`.
//! - Traefik's leasttime never asks a server again that was slow for a while (#12306):
//!   `queues.rs`, `who_recovers_gets_at_least_half_a_fair_share`.
//! - A backend that fails fast draws the load (linkerd until 2026): `queues.rs`,
//!   `a_backend_that_fails_fast_draws_no_load`; `sinkhole.rs` with ejection.
//! - Round robin in step after a restart (ingress-nginx #4023): `strategies.rs`,
//!   `first_picks_of_many_balancers_are_spread`.
//! - Caddy's and Pingora's weighted round robin sends five in a row and then one:
//!   `strategy/round_robin.rs`, `cycles_are_smooth`.
//! - A retry takes the next turn (nginx): `strategies.rs`,
//!   `a_failing_backend_gets_no_more_first_attempts_for_it`.
//! - A retry goes to the same dead backend (Traefik #11306): `balancer.rs`,
//!   `a_chain_tries_every_backend_before_it_comes_back_to_one`.
//! - Retries without a budget (nginx, HAProxy, Traefik, Caddy, Pingora): `balancer.rs`,
//!   `a_spent_budget_denies_and_says_so_once_a_second`, where every request fails.
//! - A panic that cannot begin while 72 % are in service (Envoy): `service.rs`,
//!   `when_too_few_are_in_service_those_that_are_out_are_used`, at three of four.
//! - nginx never marks the only one of a group as failed. Neither is it ejected here, for there is
//!   nobody else, but that is said (`ejection.rs`,
//!   `a_guard_that_stops_an_ejection_says_so_once_a_second`), and checks take it out.
//!
//! It must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::BackendId;
use policy::{Balancer, Command, EjectionSettings, End, Next, Settings, State};
use support::*;

/// A balancer whose backends have so many requests in flight.
fn loaded(strategy: &str, seed: u64, loads: &[u64]) -> (Balancer, Vec<BackendId>) {
    let (mut balancer, ids) = balancer(plain(strategy), seed, &vec![1; loads.len()]);
    let command = |balancer: &mut Balancer, command| {
        balancer.handle_command(at(0), command).expect("it is there");
    };
    for (&id, &load) in ids.iter().zip(loads) {
        for &other in ids.iter().filter(|&&other| other != id) {
            command(&mut balancer, Command::Drain(other));
        }
        for request in 0..load {
            assert_eq!(send(&mut balancer, at(0), request).backend, id);
        }
        for &other in &ids {
            command(&mut balancer, Command::Ready(other));
        }
    }
    (balancer, ids)
}

/// Sōzu's power of two tossed a coin between the wrong two: of loads 1, 2 and 100 half of the
/// requests went to 100. Caddy's least requests gave the busier of two half, where it stood first
/// and neither was idle.
#[test]
fn the_busiest_gets_nothing_wherever_it_stands() {
    for strategy in ["p2c", "least_request", "sticky", "join_idle_queue"] {
        for (loads, busiest) in [
            (&[1, 2, 100][..], 2),
            (&[100, 2, 1], 0),
            (&[2, 100, 1], 1),
            (&[3, 1], 0),
            (&[1, 3], 1),
        ] {
            for seed in 0..4 {
                let (mut balancer, ids) = loaded(strategy, seed, loads);
                for i in 0..500 {
                    let attempt = send(&mut balancer, at(1), i);
                    assert_ne!(attempt.backend, ids[busiest], "{strategy} {loads:?}");
                    balancer.handle_end(at(1), attempt.id, End::Complete);
                }
            }
        }
    }
}

/// Traefik's and Envoy's latency rules give a server without an answer a cost of nothing, and so
/// everything until it answers. The opposite is as wrong: a guess of 30 ms beside backends that
/// take 1 ms, and it gets nothing for good.
#[test]
fn who_has_not_answered_yet_gets_neither_everything_nor_nothing() {
    for seed in 0..4 {
        let (mut balancer, _) = balancer(plain("peak_ewma"), seed, &[1, 1]);
        for i in 0..100 {
            let attempt = send(&mut balancer, at(i), i);
            assert_eq!(balancer.handle_head(at(i + 1), attempt.id, status(200)), Next::Deliver);
            balancer.handle_end(at(i + 1), attempt.id, End::Complete);
        }
        let new = add(&mut balancer, at(100), "new", 1);
        for i in 0..60 {
            send(&mut balancer, at(100), i);
        }
        let got = balancer.pool().status(new).expect("present").in_flight;
        assert!((10..=30).contains(&got), "seed {seed}: {got} of 60, 20 are fair");
    }
}

/// Envoy may eject 10 % of the backends: of fewer than ten that is none. And its success rate, at
/// 1.9 standard deviations, sees no one in a pool of four.
#[test]
fn in_a_small_pool_the_one_that_fails_is_ejected() {
    for n in 2..10 {
        let ejection = Some(EjectionSettings::default());
        let settings = Settings { ejection, ..plain("round_robin") };
        let (mut balancer, ids) = balancer(settings, 1, &vec![1; n]);
        for i in 0..200 {
            let attempt = send(&mut balancer, at(i), i);
            let head = if attempt.backend == ids[0] { status(500) } else { status(200) };
            assert_eq!(balancer.handle_head(at(i), attempt.id, head), Next::Deliver);
            balancer.handle_end(at(i), attempt.id, End::Complete);
        }
        let out: Vec<bool> = ids.iter().map(|&id| state(&balancer, id) == State::Ejected).collect();
        let expected: Vec<bool> = (0..n).map(|place| place == 0).collect();
        assert_eq!(out, expected, "of {n}");
    }
}

/// Envoy did not count requests whose connection is still being made (#44989, #39737): a machine
/// that swallows them looks idle, and all go there.
#[test]
fn a_backend_that_swallows_connects_fills_up() {
    for strategy in ["p2c", "least_request", "peak_ewma", "sticky", "join_idle_queue"] {
        let (mut balancer, ids) = balancer(plain(strategy), 2, &[1, 1]);
        for i in 0..200 {
            let attempt = send(&mut balancer, at(i), i);
            if attempt.backend != ids[0] {
                assert_eq!(balancer.handle_head(at(i + 1), attempt.id, status(200)), Next::Deliver);
                balancer.handle_end(at(i + 1), attempt.id, End::Complete);
            }
        }
        let swallowed = balancer.pool().status(ids[0]).expect("present").attempts;
        assert!(swallowed <= 2, "{strategy}: {swallowed} of 200");
    }
}
