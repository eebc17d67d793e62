//! Where requests wait that nobody has room for: first come, first served. It must not know
//! whether there is room.

use base::{Key, Time};

use crate::chain::Chain;
use crate::settings::QueueSettings;

/// One who waits.
#[derive(Debug)]
struct Waiting {
    request: Key,
    /// When it arrived.
    since: Time,
    /// When it must be answered, whatever the queue allows.
    total_by: Time,
}

/// The queue. Those who leave before their turn cost nothing and hold no place.
///
/// Nobody behind waits for less than those before: all wait for at most the same time and came
/// later, and a new total timeout is told to those who wait too. So the first is the first whose
/// time ends.
#[derive(Debug)]
pub(crate) struct Queue {
    settings: Option<QueueSettings>,
    line: Chain<Waiting>,
}

impl Queue {
    pub(crate) const fn new(settings: Option<QueueSettings>) -> Self {
        Self { settings, line: Chain::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    fn size(&self) -> usize {
        self.settings.as_ref().map_or(0, |settings| settings.size as usize)
    }

    pub(crate) fn has_place(&self) -> bool {
        self.line.len() < self.size()
    }

    /// Lets a request wait behind all others; its place. Where there is none left, the caller has
    /// asked [`Queue::has_place`] in vain.
    pub(crate) fn push(&mut self, request: Key, since: Time, total_by: Time) -> Key {
        debug_assert!(self.has_place(), "the queue is full");
        self.line.push_last(Waiting { request, since, total_by })
    }

    /// The request whose turn is next.
    pub(crate) fn first(&self) -> Option<Key> {
        self.line.first().map(|(_, waiting)| waiting.request)
    }

    /// When the first has waited for too long; [`Time::MAX`]: nobody waits.
    #[inline]
    pub(crate) fn next_end(&self) -> Time {
        self.line.first().map_or(Time::MAX, |(_, first)| {
            let longest = self.settings.as_ref().map(|queue| first.since + queue.wait);
            first.total_by.min(longest.unwrap_or(Time::MAX))
        })
    }

    /// Takes a place out.
    pub(crate) fn leave(&mut self, place: Key) {
        self.line.remove(place);
    }

    /// New settings, also for those who wait already; [`Queue::surplus`] says who has to go.
    pub(crate) fn set(&mut self, settings: Option<QueueSettings>) {
        self.settings = settings;
    }

    /// The one who came last, if more wait than there are places; the caller takes it out.
    pub(crate) fn surplus(&self) -> Option<Key> {
        if self.line.len() <= self.size() {
            return None;
        }
        self.line.last().map(|(_, waiting)| waiting.request)
    }

    /// An earlier end for one who waits.
    pub(crate) fn hasten(&mut self, place: Key, total_by: Time) {
        if let Some(waiting) = self.line.get_mut(place) {
            waiting.total_by = waiting.total_by.min(total_by);
        }
    }

    /// Everybody's place, arrival and request.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Time, Key)> + '_ {
        self.line.iter().map(|(place, waiting)| (place, waiting.since, waiting.request))
    }
}
