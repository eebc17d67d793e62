//! What a backend tells of its load while it serves, waits, fails and hangs.

use std::time::Duration;

use base::{Distribution, Time};
use workload::{
    Abandoned, Admission, BackendModel, Behaviour, Discipline, FaultChange, FaultKind, Load, WorkId,
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(millis: u64) -> Time {
    Time::ZERO + ms(millis)
}

/// One at a time, 10 ms each; any number wait.
fn backend() -> Behaviour {
    Behaviour::new(BackendModel {
        concurrency: 1,
        queue: None,
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Finish,
        service: Distribution::Constant { value: 0.010 },
        response_bytes: 0,
    })
}

fn request(backend: &mut Behaviour, now: u64, name: u64) {
    assert_eq!(backend.handle_request(at(now), WorkId(name), 1), Admission::Accepted);
}

fn answer(backend: &mut Behaviour, now: u64) {
    backend.poll_answer(at(now)).expect("due");
}

fn load(backend: &Behaviour, now: u64) -> (u32, Duration) {
    let Load { in_flight, latency } = backend.load(at(now));
    (in_flight, latency)
}

#[test]
fn the_load_counts_what_waits_and_tells_what_it_costs() {
    let mut backend = backend();
    backend.watch_load();
    assert_eq!(load(&backend, 0), (0, ms(0)), "nothing is known yet");
    for name in 0..3 {
        request(&mut backend, 0, name);
    }
    assert_eq!(load(&backend, 0), (3, ms(0)), "the waiting ones count; none has ended");
    answer(&mut backend, 10);
    // The one that ended found nobody; who comes now finds two, and takes at least as long.
    assert_eq!(load(&backend, 10), (2, ms(10)));
    answer(&mut backend, 20);
    // One that found 1 took 20 ms, one that found 0 took 10 ms: the lower of the two.
    assert_eq!(load(&backend, 20), (1, ms(10)));
    answer(&mut backend, 30);
    assert_eq!(load(&backend, 30), (0, ms(10)));
    // 10 ms ended at 10, 20 ms at 20; both are forgotten a second later, one by one.
    assert_eq!(load(&backend, 1015), (0, ms(20)));
    assert_eq!(load(&backend, 1021), (0, ms(0)));
}

#[test]
fn errors_do_not_make_a_backend_look_fast() {
    let mut backend = backend();
    backend.watch_load();
    let kind = FaultKind::Errors { status: 500, ratio: 1.0, after: ms(1), health: false };
    backend
        .handle_fault(at(0), &FaultChange { at: at(0), backend: 0, fault: 0, kind, begins: true });
    request(&mut backend, 0, 0);
    answer(&mut backend, 1);
    assert_eq!(load(&backend, 1), (0, ms(0)));
    backend.clear_faults(at(1));
    request(&mut backend, 1, 1);
    answer(&mut backend, 11);
    assert_eq!(load(&backend, 11), (0, ms(10)));
}

#[test]
fn who_is_not_asked_remembers_nothing() {
    let mut backend = backend();
    request(&mut backend, 0, 0);
    answer(&mut backend, 10);
    assert_eq!(load(&backend, 10), (0, ms(0)));
    backend.watch_load();
    request(&mut backend, 10, 1);
    answer(&mut backend, 20);
    backend.watch_load();
    assert_eq!(load(&backend, 20), (0, ms(10)), "asking again forgets nothing");
}
