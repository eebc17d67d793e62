//! Who is inside a backend by name, where somebody asks. It must not know why.

use super::WorkId;
use super::rare::Rare;
use crate::job::{Place, Roll};
use crate::station::Station;

impl Rare {
    /// Writes the roll, if there is none and somebody to be on it.
    pub(super) fn call_the_roll(&mut self, station: &Station) {
        if self.roll.is_some() || self.inside(station) == 0 {
            return;
        }
        let roll = self.roll.insert(Roll::default());
        station.queue.iter().for_each(|waiting| roll.enter(waiting.job(), Place::Waiting));
        station.service.iter().for_each(|job| roll.enter(job, Place::Served));
        self.bypass.iter().for_each(|(job, turn)| roll.enter(job, Place::Bypassing(turn)));
    }

    /// Strikes a name off the roll; whether its client had left. What was called off by that goes
    /// when it comes first, and where it is more than half.
    pub(super) fn strike(&mut self, station: &mut Station, work: WorkId) -> bool {
        let Some(roll) = &mut self.roll else { return false };
        let seat = roll.leave(work);
        station.service.drop_void(|job| roll.lacks(job));
        if roll.void as usize > station.queue.len() / 2 {
            station.queue.retain(|job| !roll.lacks(job));
            roll.void = 0;
        }
        if roll.is_empty() {
            self.roll = None;
        }
        seat.is_some_and(|seat| seat.abandoned)
    }
}
