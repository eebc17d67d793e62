//! The plain backend: a list of all who are inside, looked through at every step. It must not share
//! a line with the one under test.

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time, time};
use workload::{
    Abandoned, Admission, Answer, BackendModel, Discipline, FaultChange, FaultKind, Gate,
    HealthAnswer, WorkId,
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
pub(crate) struct Plain {
    pub(crate) model: BackendModel,
    /// In order of arrival.
    inside: Vec<Guest>,
    faults: Vec<(u32, FaultKind)>,
    pub(crate) late: VecDeque<Answer>,
    pub(crate) requests: u64,
    /// Somebody left since nobody was inside.
    left: bool,
    /// Somebody wants to know the load.
    pub(crate) watched: bool,
    /// Wrong on purpose: the newest that waits goes first.
    pub(crate) newest_first: bool,
    /// Wrong on purpose: what a fault slows down is what is done, not what begins.
    pub(crate) forgets_slowness: bool,
}

impl Plain {
    pub(crate) fn new(model: BackendModel) -> Self {
        let (newest_first, forgets_slowness) = (false, false);
        let (inside, faults, late) = (vec![], vec![], VecDeque::new());
        let (requests, left, watched) = (0, false, false);
        Self {
            model,
            inside,
            faults,
            late,
            requests,
            left,
            watched,
            newest_first,
            forgets_slowness,
        }
    }

    fn has(&self, wanted: &FaultKind) -> bool {
        self.faults.iter().any(|(_, kind)| kind == wanted)
    }

    fn count(&self, place: Place) -> usize {
        self.inside.iter().filter(|guest| guest.place == place).count()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.inside.len() + self.late.len()
    }

    pub(crate) fn holds(&self, work: WorkId) -> bool {
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

    pub(crate) fn gate(&self) -> Gate {
        match (self.has(&FaultKind::Crash), self.has(&FaultKind::Refuse)) {
            (true, _) => Gate::Crashed,
            (false, true) => Gate::Refusing,
            (false, false) => Gate::Open,
        }
    }

    pub(crate) fn health(&self) -> HealthAnswer {
        if self.has(&FaultKind::Hang) && !self.has(&FaultKind::Crash) {
            return HealthAnswer::Silence;
        }
        if self.has(&FaultKind::Crash) || self.has(&FaultKind::Reset) {
            return HealthAnswer::Reset;
        }
        let (mut factor, mut error) = (1.0, None);
        for (_, kind) in &self.faults {
            match *kind {
                FaultKind::Slow { factor: by, health: true } => factor *= by,
                FaultKind::Errors { status, after, health: true, .. } => {
                    error = error.or(Some((status, after)));
                }
                _ => {}
            }
        }
        let slower = (factor - 1.0_f64).max(0.0) * self.model.service.mean();
        let (status, after) = error.unwrap_or((200, Duration::ZERO));
        HealthAnswer::Status(status, after + Duration::from_secs_f64(slower))
    }

    /// When the next answer is due, where nothing is rare and none is due now.
    pub(crate) fn quiet_until(&self, now: u64) -> Option<Time> {
        let bypassing = self.inside.iter().any(|guest| matches!(guest.place, Place::Bypassing(_)));
        let is_rare = self.watched || self.left || bypassing;
        if is_rare || !self.faults.is_empty() || !self.late.is_empty() {
            return None;
        }
        Some(self.poll_timeout().unwrap_or(Time::MAX)).filter(|&due| due > Time::from_nanos(now))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let next = self.next_end().map(|(end, _)| Time::from_nanos(end));
        self.late.front().map(|answer| answer.at).or(next)
    }

    /// All speeds as they should be, and nobody waits for a server that is free.
    fn settle(&mut self, now: u64) {
        self.left &= !self.inside.is_empty();
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

    pub(crate) fn advance(&mut self, now: u64) {
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

    pub(crate) fn request(&mut self, now: u64, work: WorkId, luck: u64) -> Admission {
        self.advance(now);
        self.requests += 1;
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

    pub(crate) fn cancel(&mut self, now: u64, work: WorkId) {
        self.advance(now);
        self.late.retain(|answer| answer.work != work);
        self.left |= !self.inside.is_empty();
        let Some(place) = self.inside.iter().position(|guest| guest.work == work) else { return };
        let bypasses = matches!(self.inside[place].place, Place::Bypassing(_));
        if self.model.abandoned == Abandoned::Finish && !bypasses {
            self.inside[place].abandoned = true;
        } else {
            self.inside.remove(place);
            self.settle(now);
        }
    }

    pub(crate) fn fault(&mut self, now: u64, change: &FaultChange) {
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

    pub(crate) fn clear_faults(&mut self, now: u64) {
        self.advance(now);
        self.faults.clear();
        self.settle(now);
    }
}
