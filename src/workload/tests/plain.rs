//! A backend against a plain one, which keeps a list of all who are inside and looks through it at
//! every step: whatever comes in, in whatever order, both answer alike to the nanosecond.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time, time};
use proptest::prelude::*;
use workload::{
    Abandoned, Admission, Answer, BackendModel, Behaviour, Discipline, FaultChange, FaultKind,
    WorkId,
};

/// Parts of a nanosecond in which work is counted, as binary digits.
const FRACTION: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Waiting,
    Served,
    Bypassing(u16),
}

/// Somebody inside.
#[derive(Clone, Debug)]
struct Guest {
    work: WorkId,
    place: Place,
    abandoned: bool,
    /// The work that was left at `since`, and how much of a server's time it gets.
    left: u128,
    since: u64,
    speed: (u128, u128),
}

impl Guest {
    fn set_speed(&mut self, now: u64, speed: (u128, u128)) {
        if speed != self.speed {
            let passed = u128::from(now.saturating_sub(self.since)) << FRACTION;
            self.left = self.left.saturating_sub(passed * self.speed.0 / self.speed.1);
            (self.since, self.speed) = (now, speed);
        }
    }

    /// When it would be done by itself, in parts of a nanosecond.
    fn target(&self) -> u128 {
        (u128::from(self.since) << FRACTION) + self.left
    }

    fn end(&self) -> Option<u64> {
        if self.place == Place::Waiting || self.speed.0 == 0 {
            return None;
        }
        let units = (self.left * self.speed.1).div_ceil(self.speed.0);
        Some(self.since + units.div_ceil(1 << FRACTION) as u64)
    }
}

/// The plain backend.
struct Plain {
    model: BackendModel,
    /// In order of arrival.
    inside: Vec<Guest>,
    faults: Vec<(u32, FaultKind)>,
    late: VecDeque<Answer>,
    /// Wrong on purpose: the newest that waits goes first.
    newest_first: bool,
    /// Wrong on purpose: what a fault slows down is what is done, not what begins.
    forgets_slowness: bool,
}

impl Plain {
    fn new(model: BackendModel) -> Self {
        let (newest_first, forgets_slowness) = (false, false);
        let (inside, faults, late) = (vec![], vec![], VecDeque::new());
        Self { model, inside, faults, late, newest_first, forgets_slowness }
    }

    fn has(&self, wanted: &FaultKind) -> bool {
        self.faults.iter().any(|(_, kind)| kind == wanted)
    }

    fn count(&self, place: Place) -> usize {
        self.inside.iter().filter(|guest| guest.place == place).count()
    }

    fn in_flight(&self) -> usize {
        self.inside.len() + self.late.len()
    }

    fn holds(&self, work: WorkId) -> bool {
        self.inside.iter().any(|guest| guest.work == work)
            || self.late.iter().any(|answer| answer.work == work)
    }

    /// The first of those that end earliest. Of those that are served parts of a nanosecond count,
    /// too: within one they end in the order of what they have left.
    fn next_end(&self) -> Option<(u64, usize)> {
        let guests = || self.inside.iter().enumerate();
        let is_served = |(_, guest): &(usize, &Guest)| guest.place == Place::Served;
        let first = guests().filter(is_served).min_by_key(|(_, guest)| guest.target());
        let bypassing = guests().filter(|guest| !is_served(guest));
        let ends = bypassing.chain(first);
        ends.filter_map(|(place, guest)| Some((guest.end()?, place))).min()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let next = self.next_end().map(|(end, _)| Time::from_nanos(end));
        self.late.front().map(|answer| answer.at).or(next)
    }

    /// All speeds as they should be, and nobody waits for a server that is free.
    fn settle(&mut self, now: u64) {
        let servers = self.model.concurrency as usize;
        let mut factor = 1.0;
        for (_, kind) in &self.faults {
            if let FaultKind::Slow { factor: by, .. } = kind {
                factor *= by;
            }
        }
        if self.forgets_slowness {
            factor = 1.0;
        }
        while self.model.discipline == Discipline::Ps || self.count(Place::Served) < servers {
            let mut waiting = self.inside.iter_mut().filter(|guest| guest.place == Place::Waiting);
            let next = if self.newest_first { waiting.next_back() } else { waiting.next() };
            let Some(guest) = next else { break };
            let demand_ns = guest.left as u64;
            guest.left = match factor == 1.0 {
                true => u128::from(demand_ns),
                false => u128::from(time::whole(demand_ns as f64 * factor)),
            } << FRACTION;
            (guest.place, guest.since, guest.speed) = (Place::Served, now, (1, 1));
        }
        let served = self.count(Place::Served);
        let hangs = self.has(&FaultKind::Hang);
        for guest in self.inside.iter_mut().filter(|guest| guest.place != Place::Waiting) {
            let shares = guest.place == Place::Served
                && self.model.discipline == Discipline::Ps
                && served > servers;
            let speed = if shares { (servers as u128, served as u128) } else { (1, 1) };
            guest.set_speed(now, if hangs { (0, 1) } else { speed });
        }
    }

    fn advance(&mut self, now: u64) {
        while let Some((end, place)) = self.next_end().filter(|&(end, _)| end <= now) {
            let guest = self.inside.remove(place);
            let (status, bytes) = match guest.place {
                Place::Bypassing(status) => (status, 0),
                _ => (200, self.model.response_bytes),
            };
            if !guest.abandoned {
                let (work, at) = (guest.work, Time::from_nanos(end));
                self.late.push_back(Answer { work, at, status: Some(status), bytes });
            }
            self.settle(end);
        }
    }

    fn request(&mut self, now: u64, work: WorkId, luck: u64) -> Admission {
        self.advance(now);
        let (crashed, hangs) = (self.has(&FaultKind::Crash), self.has(&FaultKind::Hang));
        if crashed || (!hangs && self.has(&FaultKind::Reset)) {
            return Admission::Reset;
        }
        let mut draws = Rng::from_seed(luck).fork("errors");
        let error = self.faults.iter().find_map(|(_, kind)| match *kind {
            FaultKind::Errors { status, ratio, after, .. } => {
                draws.chance(ratio).then_some((status, after.as_nanos()))
            }
            _ => None,
        });
        let occupied = self.count(Place::Waiting) + self.count(Place::Served);
        let room = self.model.queue.map(|queue| (self.model.concurrency + queue) as usize);
        let full = room.is_some_and(|room| occupied >= room).then_some((503, 0));
        let (place, left) = match error.or(full) {
            Some((status, after)) => (Place::Bypassing(status), after << FRACTION),
            None => {
                let demand_ns = self.model.service.sample_ns(&mut Rng::from_seed(luck));
                (Place::Waiting, u128::from(demand_ns))
            }
        };
        let (since, speed, abandoned) = (now, (1, 1), false);
        self.inside.push(Guest { work, place, abandoned, left, since, speed });
        self.settle(now);
        Admission::Accepted
    }

    fn cancel(&mut self, now: u64, work: WorkId) {
        self.advance(now);
        self.late.retain(|answer| answer.work != work);
        let Some(place) = self.inside.iter().position(|guest| guest.work == work) else { return };
        let bypasses = matches!(self.inside[place].place, Place::Bypassing(_));
        if self.model.abandoned == Abandoned::Finish && !bypasses {
            self.inside[place].abandoned = true;
        } else {
            self.inside.remove(place);
            self.settle(now);
        }
    }

    fn fault(&mut self, now: u64, change: &FaultChange) {
        self.advance(now);
        self.faults.retain(|(fault, _)| *fault != change.fault);
        if change.begins {
            self.faults.push((change.fault, change.kind.clone()));
        }
        if self.has(&FaultKind::Crash) {
            let mut lost: Vec<_> = self.inside.drain(..).filter(|guest| !guest.abandoned).collect();
            lost.sort_by_key(|guest| guest.work);
            let at = Time::from_nanos(now);
            let lost =
                lost.iter().map(|guest| Answer { work: guest.work, at, status: None, bytes: 0 });
            self.late.extend(lost);
        }
        self.settle(now);
    }

    fn clear_faults(&mut self, now: u64) {
        self.advance(now);
        self.faults.clear();
        self.settle(now);
    }
}

/// What a shell does.
#[derive(Clone, Debug)]
enum Step {
    /// One of so many names comes in, if nobody of its name is inside.
    Request(u64),
    /// The client of this name leaves.
    Leave(u64),
    Fault(u32, FaultKind, bool),
    ClearFaults,
    /// Takes what is due.
    Take,
}

/// Plays the same to both. How many answers came.
fn compare(plain: &mut Plain, steps: &[(u64, Step)], watched: bool) -> Result<usize, String> {
    let mut backend = Behaviour::new(plain.model.clone());
    if watched {
        backend.watch_load();
    }
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
            Step::Take => {
                plain.advance(now);
                let told: Vec<_> = std::iter::from_fn(|| backend.poll_answer(at)).collect();
                let expected: Vec<_> = plain.late.drain(..).collect();
                if told != expected {
                    return Err(format!("step {n}: {told:?} and not {expected:?}"));
                }
                answers += told.len();
            }
        }
        let (one, other) = (backend.poll_timeout(), plain.poll_timeout());
        if one != other {
            return Err(format!("step {n}: next {one:?} and not {other:?}"));
        }
        let (one, other) = (backend.in_flight() as usize, plain.in_flight());
        if one != other {
            return Err(format!("step {n}: {one} in flight and not {other}"));
        }
    }
    Ok(answers)
}

fn any_kind() -> impl Strategy<Value = FaultKind> {
    let errors = |(ratio, after)| FaultKind::Errors {
        status: 500,
        ratio,
        after: Duration::from_nanos(after),
        health: false,
    };
    prop_oneof![
        Just(FaultKind::Crash),
        Just(FaultKind::Refuse),
        Just(FaultKind::Hang),
        Just(FaultKind::Reset),
        (1..4_u32).prop_map(|n| FaultKind::Slow { factor: f64::from(n) * 0.75, health: false }),
        (prop_oneof![Just(0.5), Just(1.0)], prop_oneof![Just(0), Just(3_000), 0..9_000_u64])
            .prop_map(errors),
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
        steps in any_steps(),
        watched in any::<bool>(),
    ) {
        let compared = compare(&mut Plain::new(model), &steps, watched);
        prop_assert!(compared.is_ok(), "{compared:?}");
    }
}

#[test]
fn the_comparison_finds_the_wrong_ones() {
    let slow = FaultKind::Slow { factor: 3.0, health: false };
    let mut steps: Vec<_> = (0..12).map(|n| (500, Step::Request(n))).collect();
    steps.insert(2, (0, Step::Fault(1, slow, true)));
    let right = compare(&mut Plain::new(model(Discipline::Fifo)), &steps, false);
    assert_eq!(right, Ok(12));
    let mut wrong = Plain { newest_first: true, ..Plain::new(model(Discipline::Fifo)) };
    compare(&mut wrong, &steps, false).expect_err("the newest does not go first");
    for discipline in [Discipline::Fifo, Discipline::Ps] {
        let mut wrong = Plain { forgets_slowness: true, ..Plain::new(model(discipline)) };
        compare(&mut wrong, &steps, false).expect_err("what begins is slower");
    }
}
