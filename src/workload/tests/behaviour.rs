//! A backend against naive references: first come first served, processor sharing, and the books
//! of what went in and came out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::{Distribution, Rng, Time};
use proptest::prelude::*;
use workload::{
    Abandoned, Admission, Answer, BackendModel, Behaviour, Discipline, FaultChange, FaultKind,
    WorkId,
};

const fn at(ns: u64) -> Time {
    Time::from_nanos(ns)
}

fn model(discipline: Discipline, concurrency: u32, queue: Option<u32>) -> BackendModel {
    BackendModel {
        concurrency,
        queue,
        discipline,
        abandoned: Abandoned::Finish,
        // Short against the gaps below, or long, or nothing: ties and idle times included.
        service: Distribution::Empirical { values: vec![0.0, 1e-6, 3e-6, 3e-6, 20e-6].into() },
        response_bytes: 7,
    }
}

/// Requests by arrival, each named by its place and with its place as luck.
type Requests = Vec<u64>;
/// When each request was answered, and how; by request.
type Ends = BTreeMap<u64, (u64, u16)>;

fn demand(model: &BackendModel, luck: u64) -> u64 {
    model.service.sample(&mut Rng::from_seed(luck)).as_nanos() as u64
}

/// Plays requests against a backend; the shell wakes up `late` ns after each deadline.
fn play(model: &BackendModel, requests: &Requests, late: u64) -> Ends {
    let mut backend = Behaviour::new(model.clone());
    let mut ends = Ends::new();
    let mut take = |backend: &mut Behaviour, now| {
        while let Some(answer) = backend.poll_answer(now) {
            let status = answer.status.expect("nothing is reset here");
            let twice = ends.insert(answer.work.0, (answer.at.as_nanos(), status));
            assert_eq!(twice, None, "answered twice");
        }
    };
    for (n, &arrival) in (0..).zip(requests) {
        while let Some(due) = backend.poll_timeout().map(|due| due + Duration::from_nanos(late))
            && due <= at(arrival)
        {
            take(&mut backend, due);
        }
        assert_eq!(backend.handle_request(at(arrival), WorkId(n), n), Admission::Accepted);
    }
    while let Some(due) = backend.poll_timeout() {
        take(&mut backend, due + Duration::from_nanos(late));
    }
    assert_eq!(backend.in_flight(), 0);
    ends
}

/// A backend of which nothing is rare keeps no time of what was: there is nothing to hold this against.
#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "inputs come in order of time: Time(100) after Time(105)")]
fn an_input_that_is_dated_before_another_is_a_mistake() {
    let mut backend = Behaviour::new(model(Discipline::Fifo, 1, None));
    backend.watch_load();
    let _ = backend.handle_request(at(105), WorkId(1), 1);
    backend.clear_faults(at(100));
}

/// First come first served in the plainest way: each request to the server that is free first.
fn naive_fifo(model: &BackendModel, requests: &Requests) -> Ends {
    let mut free = vec![0; model.concurrency as usize];
    let mut ends = Ends::new();
    for (n, &arrival) in (0..).zip(requests) {
        let inside = ends.values().filter(|&&(end, status)| status == 200 && end > arrival).count();
        if model.queue.is_some_and(|queue| inside >= (model.concurrency + queue) as usize) {
            ends.insert(n, (arrival, 503));
            continue;
        }
        let server = free.iter_mut().min().expect("at least one server");
        *server = arrival.max(*server) + demand(model, n);
        ends.insert(n, (*server, 200));
    }
    ends
}

/// Wrong on purpose: the newest that waits goes first.
fn newest_first(model: &BackendModel, requests: &Requests) -> Ends {
    let (mut waiting, mut free, mut ends) = (Vec::new(), 0_u64, Ends::new());
    let serve = |waiting: &mut Vec<(u64, u64)>, free: &mut u64, ends: &mut Ends, until: u64| {
        while *free <= until
            && let Some((n, arrival)) = waiting.pop()
        {
            *free = arrival.max(*free) + demand(model, n);
            ends.insert(n, (*free, 200));
        }
    };
    for (n, &arrival) in (0..).zip(requests) {
        serve(&mut waiting, &mut free, &mut ends, arrival);
        waiting.push((n, arrival));
    }
    serve(&mut waiting, &mut free, &mut ends, u64::MAX);
    ends
}

/// Processor sharing in the plainest way: all remaining times by hand, from event to event.
fn naive_ps(model: &BackendModel, requests: &Requests) -> Ends {
    let mut inside: Vec<(u64, f64)> = Vec::new();
    let (mut now, mut ends) = (0.0, Ends::new());
    let mut coming = (0..).zip(requests).peekable();
    loop {
        let speed = (f64::from(model.concurrency) / inside.len().max(1) as f64).min(1.0);
        let left = inside.iter().map(|&(_, left)| left).fold(f64::INFINITY, f64::min);
        let next_end = now + left / speed;
        let next_arrival = coming.peek().map_or(f64::INFINITY, |&(_, &arrival)| arrival as f64);
        let next = next_end.min(next_arrival);
        if next.is_infinite() {
            return ends;
        }
        inside.iter_mut().for_each(|(_, left)| *left -= (next - now) * speed);
        now = next;
        // Both kinds of event may fall together; a millionth of a ns is rounding.
        inside.retain(|&(n, left)| {
            let stays = left > 1e-6;
            if !stays {
                ends.insert(n, (now.ceil() as u64, 200));
            }
            stays
        });
        if next_arrival <= next
            && let Some((n, _)) = coming.next()
        {
            inside.push((n, demand(model, n) as f64));
        }
    }
}

/// Wrong on purpose: everyone at full speed, however many there are.
fn shares_nothing(model: &BackendModel, requests: &Requests) -> Ends {
    let end = |(n, &arrival): (u64, &u64)| (n, (arrival + demand(model, n), 200));
    (0..).zip(requests).map(end).collect()
}

/// Whether the servers did exactly the work that came: ∫ min(n(t), c) dt = Σ demand, but for the
/// nanosecond by which each end is rounded up.
fn conserves_work(model: &BackendModel, requests: &Requests, ends: &Ends) -> bool {
    let mut steps: Vec<(u64, i64)> = requests.iter().map(|&arrival| (arrival, 1)).collect();
    steps.extend(ends.values().map(|&(end, _)| (end, -1)));
    steps.sort_unstable();
    let (mut done, mut inside, mut before) = (0, 0_i64, 0);
    for (now, step) in steps {
        done += (now - before) * inside.min(i64::from(model.concurrency)) as u64;
        inside += step;
        before = now;
    }
    let asked: u64 = (0..).zip(requests).map(|(n, _)| demand(model, n)).sum();
    done.abs_diff(asked) <= requests.len() as u64 * u64::from(model.concurrency)
}

/// Every end is rounded up to a nanosecond, for which the one who ended still shares: that much
/// later may those end who come after it in the same busy time.
fn same_but_for_rounding(one: &Ends, other: &Ends) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((n, &(a, s)), (m, &(b, t)))| {
            n == m && s == t && a.abs_diff(b) <= one.len() as u64
        })
}

fn requests() -> impl Strategy<Value = Requests> {
    // Gaps of 0 to 12 µs against a mean service of 5.4 µs: busy, idle, and together.
    prop::collection::vec(prop_oneof![Just(0_u64), 1..12_000_u64], 1..60).prop_map(|gaps| {
        gaps.into_iter()
            .scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fifo_is_the_naive_queue(
        requests in requests(),
        concurrency in 1..4_u32,
        queue in prop::option::of(0..4_u32),
        late in prop_oneof![Just(0_u64), 1..50_000_u64],
    ) {
        let model = model(Discipline::Fifo, concurrency, queue);
        // However late the shell wakes, answers are dated the same.
        prop_assert_eq!(play(&model, &requests, late), naive_fifo(&model, &requests));
    }

    #[test]
    fn ps_is_the_naive_sharing_and_conserves_work(
        requests in requests(),
        concurrency in 1..4_u32,
        late in prop_oneof![Just(0_u64), 1..50_000_u64],
    ) {
        let model = model(Discipline::Ps, concurrency, None);
        let ends = play(&model, &requests, late);
        prop_assert!(conserves_work(&model, &requests, &ends));
        let naive = naive_ps(&model, &requests);
        prop_assert!(same_but_for_rounding(&ends, &naive), "{:?}\n{:?}", ends, naive);
    }
}

#[test]
fn the_properties_of_fifo_and_ps_find_the_wrong_ones() {
    let requests: Requests = (0..40).map(|n| n * 2_000).collect();
    let fifo = model(Discipline::Fifo, 1, None);
    assert_eq!(play(&fifo, &requests, 0), naive_fifo(&fifo, &requests));
    assert_ne!(newest_first(&fifo, &requests), naive_fifo(&fifo, &requests));
    let ps = model(Discipline::Ps, 1, None);
    assert!(conserves_work(&ps, &requests, &play(&ps, &requests, 0)));
    assert!(!conserves_work(&ps, &requests, &shares_nothing(&ps, &requests)));
    assert!(!same_but_for_rounding(&shares_nothing(&ps, &requests), &naive_ps(&ps, &requests)));
}

/// What a shell does to a backend.
#[derive(Clone, Debug)]
enum Step {
    Request,
    /// The client of the request this many before the newest leaves.
    Leave(u64),
    Fault(u32, FaultKind, bool),
}

/// A backend, or something that pretends to be one.
trait Backend {
    fn behaviour(&mut self) -> &mut Behaviour;
    fn leave(&mut self, now: Time, work: WorkId) {
        self.behaviour().handle_cancel(now, work);
    }
}

struct Real(Behaviour);
impl Backend for Real {
    fn behaviour(&mut self) -> &mut Behaviour {
        &mut self.0
    }
}

/// Wrong on purpose: it never hears that a client left.
struct AnswersTheAbandoned(Behaviour);
impl Backend for AnswersTheAbandoned {
    fn behaviour(&mut self) -> &mut Behaviour {
        &mut self.0
    }
    fn leave(&mut self, _now: Time, _work: WorkId) {}
}

/// Every accepted request is answered once, or its client has left; `in_flight` counts the rest.
#[derive(Default)]
struct Books {
    inside: BTreeSet<WorkId>,
    left: BTreeSet<WorkId>,
}

impl Books {
    fn take(&mut self, backend: &mut Behaviour, now: Time) -> Result<(), String> {
        while let Some(Answer { work, at, .. }) = backend.poll_answer(now) {
            if at > now {
                return Err(format!("{work:?} is answered before its time"));
            }
            if !self.inside.remove(&work) {
                return Err(format!("{work:?} is answered twice, or after its client left"));
            }
        }
        Ok(())
    }

    fn balance(&self, backend: &Behaviour, abandoned: Abandoned) -> Result<(), String> {
        let (least, most) = match abandoned {
            Abandoned::Drop => (self.inside.len(), self.inside.len()),
            Abandoned::Finish => (self.inside.len(), self.inside.len() + self.left.len()),
        };
        let in_flight = backend.in_flight() as usize;
        if (least..=most).contains(&in_flight) {
            Ok(())
        } else {
            Err(format!("{in_flight} in flight, expected {least} to {most}"))
        }
    }
}

fn keep_books(backend: &mut dyn Backend, steps: &[(u64, Step)]) -> Result<(), String> {
    let abandoned = backend.behaviour().model().abandoned;
    let (mut books, mut now, mut newest) = (Books::default(), Time::ZERO, 0);
    for (gap, step) in steps {
        now += Duration::from_nanos(*gap);
        match step {
            Step::Request => {
                let work = WorkId(newest);
                if backend.behaviour().handle_request(now, work, newest) == Admission::Accepted {
                    books.inside.insert(work);
                }
                newest += 1;
            }
            Step::Leave(back) => {
                let work = WorkId(newest.saturating_sub(1 + back));
                books.take(backend.behaviour(), now)?;
                if books.inside.remove(&work) {
                    books.left.insert(work);
                }
                backend.leave(now, work);
            }
            Step::Fault(fault, kind, begins) => {
                let (kind, fault) = (kind.clone(), *fault);
                let change = FaultChange { at: now, backend: 0, fault, kind, begins: *begins };
                backend.behaviour().handle_fault(now, &change);
            }
        }
        books.balance(backend.behaviour(), abandoned)?;
        books.take(backend.behaviour(), now)?;
        books.balance(backend.behaviour(), abandoned)?;
    }
    backend.behaviour().clear_faults(now);
    while let Some(due) = backend.behaviour().poll_timeout() {
        books.take(backend.behaviour(), due)?;
    }
    books.left.clear();
    if !books.inside.is_empty() {
        return Err(format!("{:?} were never answered", books.inside));
    }
    books.balance(backend.behaviour(), abandoned)
}

fn any_kind() -> impl Strategy<Value = FaultKind> {
    let errors = FaultKind::Errors {
        status: 500,
        ratio: 0.5,
        after: Duration::from_micros(1),
        health: false,
    };
    prop_oneof![
        Just(FaultKind::Crash),
        Just(FaultKind::Refuse),
        Just(FaultKind::Hang),
        Just(FaultKind::Reset),
        Just(FaultKind::Slow { factor: 2.5, health: false }),
        Just(errors),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Request),
        2 => (0..4_u64).prop_map(Step::Leave),
        1 => (0..3_u32, any_kind(), any::<bool>()).prop_map(|(n, kind, begins)| Step::Fault(n, kind, begins)),
    ]
}

fn any_model() -> impl Strategy<Value = BackendModel> {
    let discipline = prop_oneof![Just(Discipline::Fifo), Just(Discipline::Ps)];
    let abandoned = prop_oneof![Just(Abandoned::Finish), Just(Abandoned::Drop)];
    (discipline, abandoned, 1..4_u32, prop::option::of(0..4_u32)).prop_map(
        |(discipline, abandoned, concurrency, queue)| BackendModel {
            abandoned,
            ..model(discipline, concurrency, queue)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_once_or_was_abandoned(
        model in any_model(),
        steps in prop::collection::vec((0..8_000_u64, any_step()), 1..120),
    ) {
        prop_assert_eq!(keep_books(&mut Real(Behaviour::new(model)), &steps), Ok(()));
    }
}

#[test]
fn the_books_find_the_wrong_one() {
    let steps: Vec<(u64, Step)> =
        (0..20).map(|n| (500, if n % 2 == 0 { Step::Request } else { Step::Leave(0) })).collect();
    for abandoned in [Abandoned::Finish, Abandoned::Drop] {
        let new = || Behaviour::new(BackendModel { abandoned, ..model(Discipline::Fifo, 1, None) });
        assert_eq!(keep_books(&mut Real(new()), &steps), Ok(()));
        keep_books(&mut AnswersTheAbandoned(new()), &steps).expect_err("it answers nobody");
    }
}
