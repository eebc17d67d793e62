//! When a backend says that it will have a free server: that is when a request begins which comes
//! now.

use std::time::Duration;

use base::{Distribution, Rng, Time};
use proptest::prelude::*;
use workload::{
    Abandoned, Admission, BackendModel, Behaviour, Discipline, FaultChange, FaultKind, WorkId,
};

fn model(discipline: Discipline, concurrency: u32) -> BackendModel {
    BackendModel {
        concurrency,
        queue: None,
        discipline,
        abandoned: Abandoned::Drop,
        service: Distribution::Empirical { values: vec![0.0, 1e-6, 3e-6, 3e-6, 20e-6].into() },
        response_bytes: 0,
    }
}

/// A backend after these requests, one each so many nanoseconds after the one before; every fifth
/// client has left.
fn filled(model: &BackendModel, gaps: &[u64], slow: bool) -> (Behaviour, Time) {
    let mut backend = Behaviour::new(model.clone());
    if slow {
        let kind = FaultKind::Slow { factor: 1.5, health: false };
        backend.handle_fault(Time::ZERO, &FaultChange { fault: 0, begins: true, ..change(kind) });
    }
    let mut now = Time::ZERO;
    for (n, &gap) in (0..).zip(gaps) {
        now += Duration::from_nanos(gap);
        while backend.poll_answer(now).is_some() {}
        assert_eq!(backend.handle_request(now, WorkId(n), n), Admission::Accepted);
        if n % 5 == 4 {
            backend.handle_cancel(now, WorkId(n - 2));
        }
    }
    while backend.poll_answer(now).is_some() {}
    (backend, now)
}

const fn change(kind: FaultKind) -> FaultChange {
    FaultChange { at: Time::ZERO, fault: 0, backend: 0, kind, begins: true }
}

/// When the answer to one more request comes.
fn answered(mut backend: Behaviour, now: Time, luck: u64) -> Time {
    let asked = WorkId(u64::MAX);
    assert_eq!(backend.handle_request(now, asked, luck), Admission::Accepted);
    loop {
        let due = backend.poll_timeout().expect("it is inside");
        while let Some(answer) = backend.poll_answer(due) {
            if answer.work == asked {
                return answer.at;
            }
        }
    }
}

proptest! {
    #[test]
    fn a_request_begins_when_a_server_is_free(
        gaps in prop::collection::vec(0..4_000_u64, 0..60),
        concurrency in 1..4_u32,
        slow in any::<bool>(),
        luck in any::<u64>(),
    ) {
        let model = model(Discipline::Fifo, concurrency);
        let (backend, now) = filled(&model, &gaps, slow);
        let demand = model.service.sample(&mut Rng::from_seed(luck));
        let takes = if slow { demand * 3 / 2 } else { demand };
        prop_assert_eq!(answered(backend.clone(), now, luck), backend.free_at(now).max(now) + takes);
    }

    #[test]
    fn where_all_share_it_is_free_when_all_is_done(
        gaps in prop::collection::vec(0..4_000_u64, 0..60),
        concurrency in 1..4_u32,
    ) {
        let (mut backend, now) = filled(&model(Discipline::Ps, concurrency), &gaps, false);
        let free_at = backend.free_at(now);
        let inside = backend.in_flight();
        let mut last = now;
        while let Some(due) = backend.poll_timeout() {
            while let Some(answer) = backend.poll_answer(due) {
                last = answer.at;
            }
        }
        match inside < concurrency {
            true => prop_assert_eq!(free_at, now),
            // Those that are left at the end cannot use all servers; every end is rounded up.
            false if concurrency > 1 => prop_assert!(free_at <= last),
            false => prop_assert!(last.since(free_at) <= Duration::from_nanos(100), "{last} {free_at}"),
        }
    }
}

#[test]
fn one_that_hangs_is_never_free() {
    let (mut backend, now) = filled(&model(Discipline::Fifo, 2), &[1], false);
    assert_eq!(backend.free_at(now), now);
    backend.handle_fault(now, &change(FaultKind::Hang));
    assert_eq!(backend.free_at(now), Time::MAX);
}
