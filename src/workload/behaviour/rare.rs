//! What goes on at a backend that is not as most are: it has a fault, or answers that nobody has
//! taken, or refuses somebody because it is full, or a client has left, or its load is asked for. It
//! must not know how the others do without.

use std::collections::VecDeque;

use base::time::{self, nanos};
use base::{Rng, Time};

use super::{Admission, Answer, FULL, OK, WorkId};
use crate::bypass::Bypass;
use crate::condition::Condition;
use crate::fault::FaultChange;
use crate::job::{Job, Place, Roll};
use crate::lane::Speed;
use crate::load::LoadMeter;
use crate::service::{Abandoned, Discipline};
use crate::station::Station;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Rare {
    /// When the latest input was, of those since there is anything rare.
    pub(super) now: Time,
    pub(super) condition: Condition,
    /// What will be answered past the queue.
    pub(super) bypass: Bypass,
    /// Answers that were due before anybody asked for them, in order of time.
    pub(super) late: VecDeque<Answer>,
    /// Since a client left, until nobody is inside. Who is not on it was called off.
    pub(super) roll: Option<Roll>,
    /// Where somebody wants to know the load.
    pub(super) meter: Option<LoadMeter>,
}

impl Rare {
    /// Whether the backend is as most are.
    pub(super) fn is_over(&self) -> bool {
        self.meter.is_none()
            && self.condition.is_sound()
            && self.roll.is_none()
            && self.late.is_empty()
            && self.bypass.len() == 0
    }

    pub(super) fn request(&mut self, station: &mut Station, work: WorkId, luck: u64) -> Admission {
        self.catch_up(station);
        let (job, met) = (station.number(work), self.in_flight(station));
        if self.condition.resets() {
            return Admission::Reset;
        }
        let mut rng = Rng::from_seed(luck);
        let error = self.condition.error(&rng).map(|error| (error.status, nanos(error.after)));
        let refusal = station.is_full(self.void()).then_some((FULL, 0));
        let place = if let Some((status, after_ns)) = error.or(refusal) {
            Place::Bypassing(self.bypass.insert(self.now, job, status, after_ns))
        } else {
            if let Some(meter) = &mut self.meter {
                meter.enter(self.now, job.seq, met);
            }
            let demand_ns = station.model.service.sample_ns(&mut rng);
            if station.serves_at_once() {
                self.start(station, self.now, job, demand_ns);
                Place::Served
            } else {
                station.queue.push(job, demand_ns);
                Place::Waiting
            }
        };
        if let Some(roll) = &mut self.roll {
            roll.enter(job, place);
        }
        Admission::Accepted
    }

    pub(super) fn cancel(&mut self, station: &mut Station, work: WorkId) {
        self.catch_up(station);
        self.call_the_roll(station);
        let Some(seat) = self.roll.as_mut().and_then(|roll| roll.seat(work)) else {
            return self.late.retain(|answer| answer.work != work);
        };
        let (seq, place) = (seat.seq, seat.place);
        match (place, station.model.abandoned) {
            (Place::Waiting | Place::Served, Abandoned::Finish) => {
                seat.abandoned = true;
                return;
            }
            // An error that nobody reads occupies no server.
            (Place::Bypassing(turn), _) => drop(self.bypass.remove(turn)),
            (Place::Served, Abandoned::Drop) => station.service.call_off(),
            (Place::Waiting, Abandoned::Drop) => {
                self.roll.iter_mut().for_each(|roll| roll.call_off());
            }
        }
        if let Some(meter) = &mut self.meter {
            meter.leave(seq);
        }
        self.strike(station, work);
        self.refill(station, self.now);
    }

    pub(super) fn fault(&mut self, station: &mut Station, change: &FaultChange) {
        self.catch_up(station);
        self.condition.change(change);
        if self.condition.crashed() {
            self.crash(station);
        }
        self.set_speeds(station, self.now);
    }

    pub(super) fn clear_faults(&mut self, station: &mut Station) {
        self.catch_up(station);
        self.condition = Condition::SOUND;
        self.set_speeds(station, self.now);
    }

    /// When an answer will be due; in the past when one waits to be taken, [`Time::MAX`] is never.
    pub(super) fn due(&self, station: &Station) -> Time {
        let next = || self.next_end(station).map_or(Time::MAX, |(at, _)| at);
        self.late.front().map_or_else(next, |answer| answer.at)
    }

    /// An answer that is due, or when one will be.
    pub(super) fn poll(&mut self, station: &mut Station) -> Result<Answer, Time> {
        if let Some(answer) = self.late.pop_front() {
            return Ok(answer);
        }
        loop {
            match self.next_end(station) {
                Some((at, place)) if at <= self.now => {
                    if let Some(answer) = self.end(station, at, place) {
                        return Ok(answer);
                    }
                }
                next => return Err(next.map_or(Time::MAX, |(at, _)| at)),
            }
        }
    }

    /// Requests inside, and answers not taken.
    pub(super) fn in_flight(&self, station: &Station) -> u32 {
        u32::try_from(self.inside(station) + self.late.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn inside(&self, station: &Station) -> usize {
        self.occupied(station) + self.bypass.len()
    }

    /// Those that are served or wait for it.
    fn occupied(&self, station: &Station) -> usize {
        station.len() - self.void() as usize
    }

    /// How many stand in the queue who were called off.
    fn void(&self) -> u32 {
        self.roll.as_ref().map_or(0, |roll| roll.void)
    }

    /// Does all that is due until now, each thing at its own time.
    fn catch_up(&mut self, station: &mut Station) {
        while let Some((at, place)) = self.next_end(station).filter(|&(at, _)| at <= self.now) {
            if let Some(answer) = self.end(station, at, place) {
                self.late.push_back(answer);
            }
        }
    }

    /// When something ends next, and where; of two that end together, the one that came first.
    fn next_end(&self, station: &Station) -> Option<(Time, Place)> {
        let (served, bypassing) = (station.service.next(), self.bypass.next());
        if let Some((at, turn)) = bypassing
            && served.is_none_or(|served| (at, turn.seq()) < served)
        {
            return Some((at, Place::Bypassing(turn)));
        }
        served.map(|(at, _)| (at, Place::Served))
    }

    /// Ends what ends next, at its time; its answer, if somebody is there for it.
    fn end(&mut self, station: &mut Station, at: Time, place: Place) -> Option<Answer> {
        let (work, status, bytes) = match place {
            Place::Bypassing(turn) => {
                let (work, status) = self.bypass.remove(turn)?;
                (work, status, 0)
            }
            _ => {
                let job = station.service.pop()?;
                if let Some(meter) = &mut self.meter {
                    meter.end(at, job.seq);
                }
                (job.work, OK, station.model.response_bytes)
            }
        };
        let abandoned = self.roll.is_some() && self.strike(station, work);
        self.refill(station, at);
        (!abandoned).then_some(Answer { work, at, status: Some(status), bytes })
    }

    /// Starts service; faults that slow it down count from here on.
    fn start(&self, station: &mut Station, at: Time, job: Job, demand_ns: u64) {
        station.service.insert(at, job, self.slowed(demand_ns));
        if station.model.discipline == Discipline::Ps {
            self.set_service_speed(station, at);
        }
    }

    /// How long something takes that starts now.
    pub(super) fn slowed(&self, demand_ns: u64) -> u64 {
        let factor = self.condition.factor();
        if factor == 1.0 { demand_ns } else { time::whole(demand_ns as f64 * factor) }
    }

    /// Gives a free server to the oldest request that waits.
    fn refill(&mut self, station: &mut Station, at: Time) {
        while station.serves_at_once()
            && let Some(waiting) = station.queue.pop()
        {
            let job = waiting.job();
            if let Some(roll) = &mut self.roll {
                match roll.seat_of(job) {
                    Some(seat) => seat.place = Place::Served,
                    None => {
                        roll.void -= 1;
                        continue;
                    }
                }
            }
            self.start(station, at, job, waiting.demand_ns());
        }
        // Whoever left may have shared.
        if station.model.discipline == Discipline::Ps {
            self.set_service_speed(station, at);
        }
    }

    /// Lets all run as condition and discipline say. Without sharing only faults change that.
    fn set_speeds(&mut self, station: &mut Station, at: Time) {
        self.set_service_speed(station, at);
        self.bypass.set_halted(at, self.condition.hangs());
    }

    fn set_service_speed(&self, station: &mut Station, at: Time) {
        let speed = if self.condition.hangs() { Speed::HALT } else { station.speed() };
        station.service.set_speed(at, speed);
    }

    /// Everything inside is lost; clients that are still there see a reset.
    fn crash(&mut self, station: &mut Station) {
        self.call_the_roll(station);
        let at = self.now;
        let lost = self.roll.take().into_iter().flat_map(Roll::expectant);
        self.late.extend(lost.map(|work| Answer { work, at, status: None, bytes: 0 }));
        station.queue.clear();
        station.service.clear();
        self.bypass.clear();
        if let Some(meter) = &mut self.meter {
            meter.clear();
        }
    }
}
