//! A backend against a plain one: whatever comes in, in whatever order, both answer alike to the
//! nanosecond, and look alike from outside.

mod backend;

use std::time::Duration;

use base::Time;
use proptest::prelude::*;
use workload::{Abandoned, BackendModel, Behaviour, Discipline, FaultChange, FaultKind, WorkId};

use self::backend::Plain;

/// What a shell does.
#[derive(Clone, Debug)]
enum Step {
    /// One of so many names comes in, if nobody of its name is inside.
    Request(u64),
    /// The client of this name leaves.
    Leave(u64),
    Fault(u32, FaultKind, bool),
    ClearFaults,
    /// Somebody wants to know the load from now on.
    Watch,
    /// Takes what is due.
    Take,
}

/// Takes all that is due now from both; how many answers that is.
fn take(plain: &mut Plain, backend: &mut Behaviour, now: u64) -> Result<usize, String> {
    plain.advance(now);
    let expected: Vec<_> = plain.late.drain(..).collect();
    let next = plain.poll_timeout().unwrap_or(Time::MAX);
    let mut told = Vec::new();
    loop {
        match backend.poll(Time::from_nanos(now)) {
            Ok(answer) => told.push(answer),
            Err(at) if at == next && told == expected => return Ok(told.len()),
            Err(at) => return Err(format!("{told:?}, next {at}; not {expected:?}, next {next}")),
        }
    }
}

/// What can be seen of both from outside.
fn compare_views(plain: &Plain, backend: &Behaviour, now: u64) -> Result<(), String> {
    let at = Time::from_nanos(now);
    let in_flight = plain.in_flight() as u32;
    let expected = (
        (plain.poll_timeout(), plain.quiet_until(now)),
        (in_flight, in_flight, plain.requests),
        (plain.gate(), plain.health()),
    );
    let found = (
        (backend.poll_timeout(), backend.quiet_until(at)),
        (backend.in_flight(), backend.load(at).in_flight, backend.requests()),
        (backend.gate(), backend.health()),
    );
    if found == expected { Ok(()) } else { Err(format!("{found:?} and not {expected:?}")) }
}

/// Plays the same to both. How many answers came.
fn compare(plain: &mut Plain, steps: &[(u64, Step)]) -> Result<usize, String> {
    let mut backend = Behaviour::new(plain.model.clone());
    let (mut now, mut answers) = (0, 0);
    let last = [(0, Step::ClearFaults), (u64::MAX >> 24, Step::Take)];
    for (n, (gap, step)) in (0..).zip(steps.iter().chain(&last)) {
        now += gap;
        let at = Time::from_nanos(now);
        match step {
            Step::Request(name) => {
                let work = WorkId(*name);
                if !plain.holds(work) {
                    let (one, other) =
                        (backend.handle_request(at, work, n), plain.request(now, work, n));
                    if one != other {
                        return Err(format!("step {n}: {one:?} and not {other:?}"));
                    }
                }
            }
            Step::Leave(name) => {
                backend.handle_cancel(at, WorkId(*name));
                plain.cancel(now, WorkId(*name));
            }
            Step::Fault(fault, kind, begins) => {
                let (fault, kind, begins) = (*fault, kind.clone(), *begins);
                let change = FaultChange { at, backend: 0, fault, kind, begins };
                backend.handle_fault(at, &change);
                plain.fault(now, &change);
            }
            Step::ClearFaults => {
                backend.clear_faults(at);
                plain.clear_faults(now);
            }
            Step::Watch => {
                backend.watch_load();
                plain.watched = true;
            }
            Step::Take => {
                let took = take(plain, &mut backend, now);
                answers += took.map_err(|why| format!("step {n}: {why}"))?;
            }
        }
        compare_views(plain, &backend, now).map_err(|why| format!("step {n}: {why}"))?;
    }
    Ok(answers)
}

fn any_kind() -> impl Strategy<Value = FaultKind> {
    let errors = |(status, ratio, after, health)| FaultKind::Errors {
        status,
        ratio,
        after: Duration::from_nanos(after),
        health,
    };
    let slow = |(n, health)| FaultKind::Slow { factor: f64::from(n) * 0.75, health };
    let after = prop_oneof![Just(0), Just(3_000), 0..9_000_u64];
    prop_oneof![
        Just(FaultKind::Crash),
        Just(FaultKind::Refuse),
        Just(FaultKind::Hang),
        Just(FaultKind::Reset),
        (1..4_u32, any::<bool>()).prop_map(slow),
        (500..503_u16, prop_oneof![Just(0.5), Just(1.0)], after, any::<bool>()).prop_map(errors),
    ]
}

/// With few names, those that left come again while their work is there.
fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..16_u64).prop_map(Step::Request),
        2 => (0..16_u64).prop_map(Step::Leave),
        1 => (0..3_u32, any_kind(), any::<bool>())
            .prop_map(|(fault, kind, begins)| Step::Fault(fault, kind, begins)),
        1 => Just(Step::ClearFaults),
        6 => Just(Step::Take),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    // Against services of 5 µs: together, busy, idle.
    let gap = prop_oneof![2 => Just(0), 2 => Just(1_000), 4 => 0..4_000_u64, 1 => 0..60_000_u64];
    prop::collection::vec((gap, any_step()), 1..200)
}

fn model(discipline: Discipline) -> BackendModel {
    let values = vec![0.0, 1e-6, 3e-6, 3e-6, 20e-6];
    BackendModel {
        concurrency: 1,
        queue: None,
        discipline,
        abandoned: Abandoned::Finish,
        service: base::Distribution::Empirical { values: values.into() },
        response_bytes: 7,
    }
}

fn any_model() -> impl Strategy<Value = BackendModel> {
    let discipline = prop_oneof![Just(Discipline::Fifo), Just(Discipline::Ps)];
    let abandoned = prop_oneof![Just(Abandoned::Finish), Just(Abandoned::Drop)];
    (discipline, abandoned, 1..4_u32, prop::option::of(0..6_u32)).prop_map(
        |(discipline, abandoned, concurrency, queue)| BackendModel {
            concurrency,
            queue,
            abandoned,
            ..model(discipline)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_backend_does_what_the_plain_one_does(
        model in any_model(),
        mut steps in any_steps(),
        watched in prop_oneof![Just(Some(0)), Just(None), (0..200_usize).prop_map(Some)],
    ) {
        if let Some(from) = watched {
            steps.insert(from.min(steps.len()), (0, Step::Watch));
        }
        let compared = compare(&mut Plain::new(model), &steps);
        prop_assert!(compared.is_ok(), "{compared:?}");
    }
}

#[test]
fn the_comparison_finds_the_wrong_ones() {
    let slow = FaultKind::Slow { factor: 3.0, health: false };
    let mut steps: Vec<_> = (0..12).map(|n| (500, Step::Request(n))).collect();
    steps.insert(2, (0, Step::Fault(1, slow, true)));
    let right = compare(&mut Plain::new(model(Discipline::Fifo)), &steps);
    assert_eq!(right, Ok(12));
    let mut wrong = Plain::new(model(Discipline::Fifo));
    wrong.newest_first = true;
    compare(&mut wrong, &steps).expect_err("the newest does not go first");
    for discipline in [Discipline::Fifo, Discipline::Ps] {
        let mut wrong = Plain::new(model(discipline));
        wrong.forgets_slowness = true;
        compare(&mut wrong, &steps).expect_err("what begins is slower");
    }
}
