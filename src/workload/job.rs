//! A request inside a backend, and who is inside by name. It must not know when anything is done.

use std::collections::BTreeMap;

use crate::behaviour::WorkId;
use crate::bypass::Turn;

/// A request inside, wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) work: WorkId,
    /// Its number among the backend's requests, of which the last 32 binary digits tell those apart
    /// that are inside together.
    pub(crate) seq: u32,
}

/// Where somebody stands who is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Waiting,
    Served,
    Bypassing(Turn),
}

/// What is known by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Of which request: a name may be given again.
    pub(crate) seq: u32,
    pub(crate) place: Place,
    /// Its client left; it is finished for nobody.
    pub(crate) abandoned: bool,
}

/// All who are inside, by name. Only a client that leaves asks for a name, which is rare: the roll
/// is written when the first of them does, and thrown away when nobody is inside any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll {
    seats: BTreeMap<WorkId, Seat>,
    /// How many stand in the queue who were called off.
    pub(crate) void: u32,
}

impl Roll {
    pub(crate) fn enter(&mut self, job: Job, place: Place) {
        self.seats.insert(job.work, Seat { seq: job.seq, place, abandoned: false });
    }

    /// The seat of this name.
    pub(crate) fn seat(&mut self, work: WorkId) -> Option<&mut Seat> {
        self.seats.get_mut(&work)
    }

    /// Somebody is inside no longer.
    pub(crate) fn leave(&mut self, work: WorkId) -> Option<Seat> {
        self.seats.remove(&work)
    }

    /// The seat of this request; none when it was called off.
    pub(crate) fn seat_of(&mut self, job: Job) -> Option<&mut Seat> {
        self.seats.get_mut(&job.work).filter(|seat| seat.seq == job.seq)
    }

    /// Whether this request was called off.
    pub(crate) fn lacks(&self, job: Job) -> bool {
        self.seats.get(&job.work).is_none_or(|seat| seat.seq != job.seq)
    }

    /// Somebody in the queue is called off.
    pub(crate) fn call_off(&mut self) {
        self.void += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Those whose client has not left, in the order of their names.
    pub(crate) fn expectant(self) -> impl Iterator<Item = WorkId> {
        self.seats.into_iter().filter(|(_, seat)| !seat.abandoned).map(|(work, _)| work)
    }
}
