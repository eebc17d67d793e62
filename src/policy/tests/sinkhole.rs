//! A backend that fails fast draws no requests: the promise of passive ejection for every strategy
//! that can be named. Clients in a closed loop in virtual time; these tests must not read a clock.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use base::{AttemptId, BackendId, RequestMeta, Rng, Time};
use policy::{
    Balancer, Choice, EjectionSettings, End, Next, Output, ParameterValue, ProbeResult, Registry,
    Settings, Verdict, pin_of,
};
use support::*;

/// Backends; the first of them fails.
const BACKENDS: usize = 4;
/// Clients, each of which sends its next request when it has the answer to the last.
const CLIENTS: usize = 32;
/// What ejection may need to see.
const FROM: Time = Time::from_nanos(5_000_000_000);
const UNTIL: Time = Time::from_nanos(20_000_000_000);

/// Does what was put out; whoever asks for a load learns of none.
fn settle(balancer: &mut Balancer, now: Time) {
    while let Some(output) = balancer.poll_output() {
        match output {
            Output::Build(work) => balancer.handle_built(now, work.run()),
            Output::Probe(probe) => {
                balancer.handle_probe(now, probe.id, ProbeResult::Failed("none".into()));
            }
            Output::Event(_) => {}
            other => panic!("{other:?} was not asked for"),
        }
    }
}

/// The share of the backend that answers 500 in 1 ms, of the requests from 5 s to 20 s, in multiples
/// of its fair share. The others take 10 to 30 ms and answer well.
fn share_of_the_failing(settings: Settings, seed: u64) -> f64 {
    let rng = Rng::from_seed(seed);
    let mut rng = rng.fork("clients");
    let (mut balancer, ids) = balancer(settings, seed, &[1; BACKENDS]);
    settle(&mut balancer, Time::ZERO);
    let mut agenda: BinaryHeap<Reverse<(Time, AttemptId, BackendId, usize)>> = BinaryHeap::new();
    let mut pins = [None; CLIENTS];
    let (mut sent, mut failed) = (0_u64, 0_u64);
    // Keys vary, and cookies name the backend of the client's last answer.
    let mut send =
        |balancer: &mut Balancer, now: Time, client: usize, agenda: &mut BinaryHeap<_>| {
            let key = Some(base::rng::mix(rng.below(100_000) as u64, 1));
            let meta = RequestMeta { key, pin: pins[client], ..request(client as u64, true) };
            let Verdict::Send(attempt) = balancer.handle_request(now, meta) else {
                panic!("one is always in service");
            };
            pins[client] =
                balancer.pool().status(attempt.backend).map(|status| pin_of(status.name));
            let fails = attempt.backend == ids[0];
            let time = if fails { 1_000 } else { 10_000 + rng.below(20_000) as u64 };
            let end = now + Duration::from_micros(time);
            agenda.push(Reverse((end, attempt.id, attempt.backend, client)));
            if now >= FROM {
                sent += 1;
                failed += u64::from(fails);
            }
            settle(balancer, now);
        };
    for client in 0..CLIENTS {
        send(&mut balancer, at(client as u64), client, &mut agenda);
    }
    while let Some(&Reverse((end, attempt, backend, client))) = agenda.peek() {
        if let Some(due) = balancer.poll_timeout().filter(|&due| due <= end) {
            balancer.handle_timeout(due);
            settle(&mut balancer, due);
            continue;
        }
        agenda.pop();
        if end >= UNTIL {
            break;
        }
        let head = if backend == ids[0] { status(500) } else { status(200) };
        assert_eq!(balancer.handle_head(end, attempt, head), Next::Deliver);
        balancer.handle_end(end, attempt, End::Complete);
        settle(&mut balancer, end);
        send(&mut balancer, end, client, &mut agenda);
    }
    assert!(sent > 10_000, "{sent}");
    failed as f64 / sent as f64 * BACKENDS as f64
}

const SEEDS: u64 = 8;

fn worst(choice: &Choice, ejection: Option<EjectionSettings>) -> f64 {
    let settings = Settings { ejection, ..Settings::plain(choice.clone()) };
    (0..SEEDS).map(|seed| share_of_the_failing(settings.clone(), seed)).fold(0.0, f64::max)
}

/// All that can be named, with the defaults of their parameters.
fn all() -> impl Iterator<Item = Choice> {
    let registry = Registry::standard();
    let names: Vec<&str> = registry.entries().iter().map(|entry| entry.name).collect();
    names.into_iter().map(|name| choose(name, &[]))
}

#[test]
fn with_ejection_nobody_gains_by_failing() {
    for choice in all() {
        let worst = worst(&choice, Some(EjectionSettings::default()));
        assert!(worst <= 1.1, "{}: {worst} fair shares", choice.name());
    }
}

/// Wrong: no ejection. Where a pick looks at requests in flight, whoever fails fast has none.
#[test]
fn without_ejection_failing_fast_draws_requests() {
    for (choice, least) in [
        (choose("least_request", &[]), 3.0),
        (choose("p2c", &[]), 1.5),
        (choose("p2c", &[("choices", ParameterValue::Integer(4))]), 3.0),
    ] {
        let worst = worst(&choice, None);
        assert!(worst > least, "{}: {worst} fair shares", choice.name());
    }
}

/// Wrong: an ejection whose time never grows, as with nginx's `fail_timeout`, and which comes back
/// at once: the sinkhole is open most of the time.
#[test]
fn an_ejection_that_is_over_at_once_is_none() {
    let millisecond = Duration::from_millis(1);
    let hasty =
        EjectionSettings { base: millisecond, max: millisecond, ..EjectionSettings::default() };
    let worst = worst(&choose("least_request", &[]), Some(hasty));
    assert!(worst > 1.1, "{worst} fair shares");
}
