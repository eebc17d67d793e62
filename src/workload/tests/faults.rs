//! Faults: what each does to a backend, what they do together, and how a plan comes about.

use std::time::Duration;

use base::{Distribution, Time};
use workload::{
    Abandoned, Admission, Answer, BackendModel, Behaviour, Discipline, Fault, FaultChange,
    FaultKind, FaultPlan, Gate, HealthAnswer, MAX_CHANGES, WorkId,
};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn at(n: u64) -> Time {
    Time::ZERO + ms(n)
}

/// One server, 10 ms each.
fn model() -> BackendModel {
    BackendModel {
        concurrency: 1,
        queue: Some(1),
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Finish,
        service: Distribution::Constant { value: 0.01 },
        response_bytes: 7,
    }
}

const fn slow(factor: f64, health: bool) -> FaultKind {
    FaultKind::Slow { factor, health }
}

const fn errors(status: u16, ratio: f64, health: bool) -> FaultKind {
    FaultKind::Errors { status, ratio, after: ms(2), health }
}

/// A backend under test: requests are named by order, times are in milliseconds.
struct Bench(Behaviour, u64);

impl Bench {
    fn new(model: BackendModel) -> Self {
        Self(Behaviour::new(model), 0)
    }

    fn request(&mut self, now: u64) -> Admission {
        self.1 += 1;
        self.0.handle_request(at(now), WorkId(self.1), self.1)
    }

    fn fault(&mut self, now: u64, fault: u32, kind: &FaultKind, begins: bool) {
        let change = FaultChange { at: at(now), backend: 0, fault, kind: kind.clone(), begins };
        self.0.handle_fault(at(now), &change);
    }

    /// Answers until then: request, ms, status.
    fn answers(&mut self, until: u64) -> Vec<(u64, f64, Option<u16>)> {
        let of = |answer: Answer| (answer.work.0, answer.at.as_secs_f64() * 1e3, answer.status);
        std::iter::from_fn(|| self.0.poll_answer(at(until)).map(of)).collect()
    }
}

#[test]
fn requests_wait_their_turn_and_a_full_queue_refuses_at_once() {
    let mut bench = Bench::new(model());
    for _ in 0..3 {
        assert_eq!(bench.request(0), Admission::Accepted);
    }
    assert_eq!(bench.0.in_flight(), 3);
    assert_eq!(bench.0.poll_timeout(), Some(at(0)));
    assert_eq!(bench.answers(0), [(3, 0.0, Some(503))]);
    assert_eq!(bench.0.poll_timeout(), Some(at(10)));
    assert_eq!(bench.answers(30), [(1, 10.0, Some(200)), (2, 20.0, Some(200))]);
    assert_eq!(bench.0.poll_timeout(), None);
}

#[test]
fn answers_carry_the_models_bytes_and_errors_none() {
    let mut backend = Behaviour::new(BackendModel { queue: Some(0), ..model() });
    for n in 0..2 {
        assert_eq!(backend.handle_request(at(0), WorkId(n), n), Admission::Accepted);
    }
    let full = Answer { work: WorkId(1), at: at(0), status: Some(503), bytes: 0 };
    let good = Answer { work: WorkId(0), at: at(10), status: Some(200), bytes: 7 };
    assert_eq!(
        [backend.poll_answer(at(10)), backend.poll_answer(at(10))],
        [Some(full), Some(good)]
    );
}

#[test]
fn sharing_halves_the_speed_of_two() {
    let mut bench = Bench::new(BackendModel { discipline: Discipline::Ps, ..model() });
    let _ = bench.request(0);
    let _ = bench.request(5);
    // 5 ms alone, 10 ms for the other half of the first; then 5 ms alone for the rest of the second.
    assert_eq!(bench.answers(100), [(1, 15.0, Some(200)), (2, 20.0, Some(200))]);
    // Concurrency and queue bound a shared server too.
    for _ in 0..3 {
        let _ = bench.request(100);
    }
    assert_eq!(bench.answers(100), [(5, 100.0, Some(503))]);
}

#[test]
fn a_crash_answers_everything_inside_with_a_reset() {
    let mut bench = Bench::new(model());
    let _ = (bench.request(0), bench.request(0));
    bench.fault(10, 1, &FaultKind::Crash, true);
    // The first was done in this very moment.
    assert_eq!(bench.answers(10), [(1, 10.0, Some(200)), (2, 10.0, None)]);
    assert_eq!((bench.0.gate(), bench.0.health()), (Gate::Crashed, HealthAnswer::Reset));
    assert_eq!(bench.request(11), Admission::Reset);
    bench.fault(20, 1, &FaultKind::Crash, false);
    assert_eq!((bench.0.gate(), bench.0.in_flight()), (Gate::Open, 0));
    assert_eq!(bench.request(20), Admission::Accepted);
    assert_eq!(bench.answers(100), [(4, 30.0, Some(200))]);
}

#[test]
fn a_hang_answers_nothing_and_goes_on_afterwards() {
    for discipline in [Discipline::Fifo, Discipline::Ps] {
        let mut bench = Bench::new(BackendModel { discipline, ..model() });
        let _ = bench.request(0);
        bench.fault(4, 1, &FaultKind::Hang, true);
        assert_eq!(bench.0.health(), HealthAnswer::Silence);
        assert_eq!(bench.0.gate(), Gate::Open);
        assert_eq!(
            (bench.request(5), bench.request(6)),
            (Admission::Accepted, Admission::Accepted)
        );
        assert_eq!(bench.0.poll_timeout(), None);
        assert_eq!(bench.answers(1_000), []);
        bench.fault(1_004, 1, &FaultKind::Hang, false);
        let ends = match discipline {
            // Of the two, one waited, and one had found the queue full.
            Discipline::Fifo => {
                [(3, 1_004.0, Some(503)), (1, 1_010.0, Some(200)), (2, 1_020.0, Some(200))]
            }
            // 6 ms each at half speed; then the 4 ms left of the second.
            Discipline::Ps => {
                [(3, 1_004.0, Some(503)), (1, 1_016.0, Some(200)), (2, 1_020.0, Some(200))]
            }
        };
        assert_eq!(bench.answers(2_000), ends, "{discipline:?}");
    }
}

#[test]
fn resets_and_refusals_are_for_the_shell_to_perform() {
    let mut bench = Bench::new(model());
    let _ = bench.request(0);
    bench.fault(1, 1, &FaultKind::Reset, true);
    assert_eq!((bench.request(2), bench.0.health()), (Admission::Reset, HealthAnswer::Reset));
    bench.fault(3, 2, &FaultKind::Refuse, true);
    bench.fault(4, 1, &FaultKind::Reset, false);
    assert_eq!((bench.0.gate(), bench.request(5)), (Gate::Refusing, Admission::Accepted));
    assert_eq!(bench.answers(20), [(1, 10.0, Some(200)), (3, 20.0, Some(200))]);
}

#[test]
fn slowness_counts_at_the_start_of_service_and_multiplies() {
    let mut bench = Bench::new(model());
    let _ = (bench.request(0), bench.request(0));
    bench.fault(1, 1, &slow(3.0, false), true);
    bench.fault(2, 2, &slow(2.0, true), true);
    // The first had started; the second starts at 10 and takes six times as long.
    assert_eq!(bench.answers(100), [(1, 10.0, Some(200)), (2, 70.0, Some(200))]);
    // Only the second fault concerns /health: by 2 − 1 mean service times.
    assert_eq!(bench.0.health(), HealthAnswer::Status(200, ms(10)));
    bench.fault(100, 2, &slow(2.0, true), false);
    assert_eq!(bench.0.health(), HealthAnswer::Status(200, ms(0)));
    let _ = bench.request(100);
    bench.fault(101, 1, &slow(3.0, false), false);
    assert_eq!(bench.answers(200), [(3, 130.0, Some(200))]);
}

#[test]
fn the_health_of_a_backend_without_a_mean_is_finite() {
    let service = Distribution::Pareto { min: 0.01, shape: 0.5 };
    let mut bench = Bench::new(BackendModel { service, ..model() });
    bench.fault(0, 1, &slow(2.0, true), true);
    assert_eq!(bench.0.health(), HealthAnswer::Status(200, Duration::from_secs(10_000_000)));
}

#[test]
fn errors_pass_the_queue_and_move_no_service_time() {
    let service = Distribution::Exponential { mean: 0.01 };
    let many = BackendModel { service, concurrency: 1_000, ..model() };
    let play = |fault: Option<FaultKind>| {
        let mut bench = Bench::new(many.clone());
        if let Some(kind) = fault {
            bench.fault(0, 1, &kind, true);
        }
        for _ in 0..1_000 {
            assert_eq!(bench.request(0), Admission::Accepted);
        }
        let mut answers = bench.answers(1_000_000);
        answers.sort_by_key(|&(request, ..)| request);
        answers
    };
    let (without, with) = (play(None), play(Some(errors(502, 0.3, true))));
    let mut wrong = 0.0;
    for (plain, faulty) in without.iter().zip(&with) {
        if faulty.2 == Some(502) {
            wrong += 1.0;
            assert_eq!(faulty.1, 2.0, "past the queue, after 2 ms");
        } else {
            assert_eq!(plain, faulty);
        }
    }
    // 300 expected, standard deviation 14.5.
    assert!((wrong - 300.0_f64).abs() < 66.0, "{wrong} errors");
}

#[test]
fn the_stronger_of_two_faults_hides_the_weaker_while_it_lasts() {
    let kinds = [FaultKind::Crash, FaultKind::Hang, FaultKind::Reset, errors(500, 1.0, true)];
    let health = [
        HealthAnswer::Reset,
        HealthAnswer::Silence,
        HealthAnswer::Reset,
        HealthAnswer::Status(500, ms(2)),
    ];
    for strong in 0..kinds.len() {
        for weak in strong + 1..kinds.len() {
            for weak_first in [false, true] {
                let mut bench = Bench::new(model());
                let (first, second) = if weak_first { (weak, strong) } else { (strong, weak) };
                bench.fault(0, first as u32, &kinds[first], true);
                bench.fault(0, second as u32, &kinds[second], true);
                assert_eq!(bench.0.health(), health[strong], "{first} then {second}");
                bench.fault(1, strong as u32, &kinds[strong], false);
                assert_eq!(bench.0.health(), health[weak], "{first} then {second}");
                bench.0.clear_faults(at(2));
                assert_eq!(bench.0.health(), HealthAnswer::Status(200, ms(0)));
            }
        }
    }
}

#[test]
fn an_end_without_a_beginning_and_a_double_beginning_do_no_harm() {
    let mut bench = Bench::new(model());
    bench.fault(0, 1, &FaultKind::Crash, false);
    bench.fault(0, 2, &FaultKind::Crash, true);
    bench.fault(0, 2, &FaultKind::Crash, true);
    bench.fault(1, 2, &FaultKind::Crash, false);
    assert_eq!(bench.0.gate(), Gate::Open);
}

#[test]
fn abandoned_work_occupies_the_server_or_is_dropped() {
    for (abandoned, expected) in [(Abandoned::Finish, 20.0), (Abandoned::Drop, 14.0)] {
        let mut bench = Bench::new(BackendModel { abandoned, ..model() });
        let _ = (bench.request(0), bench.request(0));
        bench.0.handle_cancel(at(4), WorkId(1));
        assert_eq!(bench.answers(100), [(2, expected, Some(200))], "{abandoned:?}");
        assert_eq!(bench.0.in_flight(), 0);
    }
}

fn plan_of(faults: &[Fault]) -> Vec<(u64, usize, u32, &'static str, bool)> {
    let plan = FaultPlan::new(faults, ms(1_000), ms(5_000));
    assert_eq!(plan.changes.len() as u64, FaultPlan::size(faults, ms(1_000), ms(5_000)));
    let row = |c: &FaultChange| {
        (c.at.as_nanos() / 1_000_000, c.backend, c.fault, c.kind.word(), c.begins)
    };
    plan.changes.iter().map(row).collect()
}

#[test]
fn a_plan_counts_from_the_warm_up_and_names_faults_by_their_place() {
    let fault = |at, length, kind| Fault { at: ms(at), length, backends: vec![2], kind };
    let faults = [
        Fault { backends: vec![0, 1], ..fault(500, Some(ms(200)), FaultKind::Hang) },
        fault(100, Some(ms(400)), FaultKind::Reset),
        fault(500, Some(ms(0)), FaultKind::Crash),
        // Later than the run: it is planned all the same, as requests may still be open.
        fault(4_500, Some(ms(9_000)), FaultKind::Refuse),
    ];
    let expected = [
        (1_100, 2, 1, "reset", true),
        (1_500, 0, 0, "hang", true),
        (1_500, 1, 0, "hang", true),
        (1_500, 2, 1, "reset", false),
        (1_500, 2, 2, "crash", true),
        (1_500, 2, 2, "crash", false),
        (1_700, 0, 0, "hang", false),
        (1_700, 1, 0, "hang", false),
        (5_500, 2, 3, "refuse", true),
        (14_500, 2, 3, "refuse", false),
    ];
    assert_eq!(plan_of(&faults), expected);
}

#[test]
fn a_fault_without_a_length_lasts_to_the_end() {
    let faults = [Fault { at: ms(1), length: None, backends: vec![0], kind: FaultKind::Crash }];
    let plan = FaultPlan::new(&faults, ms(0), ms(100));
    assert_eq!(plan.changes.len(), 1);
    assert!(plan.changes[0].begins);
}

#[test]
fn a_flap_crashes_every_period_until_its_end_or_the_runs() {
    let flap = FaultKind::Flap { period: ms(1_000), duty: 0.25 };
    let fault = |length| [Fault { at: ms(2_000), length, backends: vec![0], kind: flap.clone() }];
    let crash = |from, to| [(from, 0, 0, "crash", true), (to, 0, 0, "crash", false)];
    // Its own end cuts the second crash short.
    assert_eq!(
        plan_of(&fault(Some(ms(1_100)))),
        [crash(3_000, 3_250), crash(4_000, 4_100)].concat()
    );
    // Without an end of its own it stops with the run, at 5 s.
    assert_eq!(plan_of(&fault(None)), [crash(3_000, 3_250), crash(4_000, 4_250)].concat());
}

#[test]
fn a_flap_of_tiny_period_stays_bounded() {
    let day = Duration::from_secs(86_400);
    for period in [Duration::ZERO, Duration::from_nanos(1)] {
        let kind = FaultKind::Flap { period, duty: 0.5 };
        let faults = [Fault { at: ms(0), length: None, backends: vec![0, 1], kind }];
        assert_eq!(FaultPlan::new(&faults, ms(0), day).changes.len(), MAX_CHANGES);
        assert!(FaultPlan::size(&faults, ms(0), day) > MAX_CHANGES as u64);
    }
}
