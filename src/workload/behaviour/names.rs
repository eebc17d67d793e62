//! Who is inside a backend by name, where somebody asks. It must not know why.

use super::{Behaviour, WorkId};
use crate::job::{Place, Roll};

impl Behaviour {
    /// Writes the roll, if there is none and somebody to be on it.
    pub(super) fn call_the_roll(&mut self) {
        if self.roll.is_some() || self.inside() == 0 {
            return;
        }
        let mut roll = Roll::default();
        self.queue.iter().for_each(|(job, _)| roll.enter(job, Place::Waiting));
        self.service.iter().for_each(|job| roll.enter(job, Place::Served));
        let bypassing = self.bypass.iter().flat_map(|lane| lane.iter());
        bypassing.for_each(|job| roll.enter(job, Place::Bypassing));
        self.roll = Some(Box::new(roll));
    }

    /// Strikes a name off the roll; whether its client had left. What was called off by that goes
    /// when it comes first, and where it is more than half.
    pub(super) fn strike(&mut self, work: WorkId) -> bool {
        let Some(roll) = &mut self.roll else { return false };
        let seat = roll.leave(work);
        self.service.drop_void(|job| roll.lacks(job));
        if let Some(bypass) = &mut self.bypass {
            bypass.drop_void(|job| roll.lacks(job));
        }
        if roll.void as usize > self.queue.len() / 2 {
            self.queue.retain(|(job, _)| !roll.lacks(job));
            roll.void = 0;
        }
        if roll.is_empty() {
            self.roll = None;
        }
        seat.is_some_and(|seat| seat.abandoned)
    }
}
