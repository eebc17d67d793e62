//! The requests of the present window that went as nearly all do in virtual time: sent when they
//! were intended, and ended well before the window's end. It must not know what is made of them.
//!
//! Of those a window only counts them and their latencies, so they are gathered here, and it gets many
//! at once. The rest of what a request may be is looked at for the others alone.

use base::Time;

use crate::recorder::Exchange;

/// So many ends are gathered: eight lines of the processor's cache.
const MOST: usize = 64;

/// See the module.
pub(crate) struct Prompt {
    pub(crate) window: usize,
    /// When it begins and ends, as times of the run; none is between them where nothing is gathered.
    from: Time,
    to: Time,
    pub(crate) begun: u64,
    latencies_ns: [u64; MOST],
    ended: usize,
}

impl Prompt {
    pub(crate) const fn new() -> Self {
        Self {
            window: 0,
            from: Time::ZERO,
            to: Time::ZERO,
            begun: 0,
            latencies_ns: [0; MOST],
            ended: 0,
        }
    }

    /// Another window is the present one. What was gathered before has been taken.
    pub(crate) fn turn_to(&mut self, window: usize, (from, to): (Time, Time)) {
        debug_assert!(self.is_empty(), "what is of one window is not of another");
        (self.window, self.from, self.to) = (window, from, to);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.begun == 0 && self.ended == 0
    }

    /// A request begins; whether it was counted.
    #[inline]
    pub(crate) fn begin(&mut self, intended: Time) -> bool {
        let counts = self.from <= intended && intended < self.to;
        self.begun += u64::from(counts);
        counts
    }

    /// Whether a request is one of these; then it has been taken in.
    #[inline(always)] // most of it is known to a caller whose requests are sent in time
    pub(crate) fn end(&mut self, exchange: &Exchange) -> bool {
        let &Exchange { outcome, sent, intended, ended, .. } = exchange;
        // At the very beginning it is seen by the end of the window before.
        let counts = outcome == base::Outcome::Ok
            && sent == Some(intended)
            && self.from < intended
            && intended < self.to
            && intended <= ended
            && ended <= self.to;
        if counts {
            self.latencies_ns[self.ended] = ended.nanos_since(intended);
            self.ended += 1;
        }
        counts
    }

    /// Whether no more can be taken in.
    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.ended == MOST
    }

    /// How many have begun, and the latencies of those that have ended; it is empty then.
    pub(crate) fn take(&mut self) -> (u64, &[u64]) {
        let ended = std::mem::take(&mut self.ended);
        (std::mem::take(&mut self.begun), &self.latencies_ns[..ended])
    }
}
