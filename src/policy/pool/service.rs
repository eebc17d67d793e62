//! Who is in service: states, ejections, warming up, the panic. It must not know why a backend is
//! ejected, nor how long it takes to warm up.

use base::{BackendId, Time};

use super::roster::Outdated;
use super::{Backend, Pool, State};
use crate::health::{Check, Standing};
use crate::settings::PanicSettings;

/// Why and until when a backend is left alone.
#[derive(Debug)]
pub(crate) struct Ejection {
    pub(crate) began: Time,
    pub(crate) until: Time,
    pub(crate) reason: String,
    /// The backend itself asked for it.
    pub(crate) asked: bool,
}

impl Backend {
    pub(crate) const fn state(&self) -> State {
        self.state
    }

    pub(crate) const fn since(&self) -> Time {
        self.since
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    fn state_now(&self) -> State {
        match self.check.as_ref().map(Check::standing) {
            _ if self.draining => State::Draining,
            // What its checks say goes first: it tells more, and lasts beyond the ejection.
            Some(Standing::Out) => State::Down,
            _ if self.ejection.is_some() => State::Ejected,
            Some(Standing::New) => State::Checking,
            None | Some(Standing::Up) => State::Ready,
        }
    }

    /// Whether it may be used in a panic: a backend that has never passed a probe may not even be
    /// a backend, and gets no request before it does.
    fn is_eligible(&self) -> bool {
        !self.draining && self.check.as_ref().is_none_or(Check::is_proven)
    }
}

impl Pool {
    /// Counts a backend that was just added.
    pub(super) fn count_in(&mut self, id: BackendId) {
        let Some(backend) = self.backends.get_mut(id.into()) else { return };
        backend.eligible = backend.is_eligible();
        self.eligible += usize::from(backend.eligible);
        let ready = backend.state == State::Ready;
        self.ready += usize::from(ready);
        if ready {
            self.outdate(id);
        }
    }

    /// Forgets a backend that was just removed.
    pub(super) fn count_out(&mut self, backend: &Backend) {
        self.eligible -= usize::from(backend.eligible);
        self.ejected -= usize::from(backend.ejection.is_some());
        self.ready -= usize::from(backend.state == State::Ready);
        // Even where it was no candidate: strategies may keep a place for those that come back.
        self.outdated = Outdated::All;
    }

    /// Draws the state from drain, health and ejection; from what to what, where it changed. The
    /// reason of an ejected state is that of the ejection.
    pub(crate) fn settle(
        &mut self,
        now: Time,
        id: BackendId,
        reason: &str,
    ) -> Option<(State, State)> {
        let backend = self.backends.get_mut(id.into())?;
        let eligible = backend.is_eligible();
        if eligible != backend.eligible {
            backend.eligible = eligible;
            self.eligible = if eligible { self.eligible + 1 } else { self.eligible - 1 };
        }
        // Who is eligible follows from the state too, so the list is right where that is the same: who
        // is ejected was in service, and so has passed a check.
        let (from, to) = (backend.state, backend.state_now());
        if from == to {
            return None;
        }
        backend.state = to;
        backend.since = now;
        backend.reason = match &backend.ejection {
            Some(ejection) if to == State::Ejected => ejection.reason.clone(),
            _ => reason.into(),
        };
        backend.cold |= matches!(to, State::Down | State::Ejected);
        self.ready += usize::from(to == State::Ready);
        self.ready -= usize::from(from == State::Ready);
        if self.panicking || from == State::Ready || to == State::Ready {
            self.outdate(id);
        }
        Some((from, to))
    }

    /// Begins an ejection of a backend that is in service; [`Pool::settle`] draws the conclusion.
    pub(crate) fn eject(&mut self, id: BackendId, ejection: Ejection) {
        if let Some(backend) = self.backends.get_mut(id.into())
            && backend.ejection.is_none()
        {
            backend.ejection = Some(ejection);
            backend.ejections += 1;
            self.ejected += 1;
        }
    }

    /// Ends an ejection; [`Pool::settle`] draws the conclusion.
    pub(crate) fn end_ejection(&mut self, id: BackendId) {
        if let Some(backend) = self.backends.get_mut(id.into())
            && backend.ejection.take().is_some()
        {
            self.ejected -= 1;
        }
    }

    /// What a backend counts of its weight from now on, in percent, 1 to 100.
    pub(crate) fn set_percent(&mut self, id: BackendId, percent: u32) {
        if let Some(backend) = self.backends.get_mut(id.into())
            && backend.percent != percent
        {
            backend.percent = percent;
            let is_shown = backend.state == State::Ready || self.panicking;
            if is_shown {
                self.outdate(id);
            }
        }
    }

    /// Whether backends may count less than their weight.
    pub(crate) const fn set_warming(&mut self, may_warm_up: bool) {
        if self.in_percent != may_warm_up {
            self.in_percent = may_warm_up;
            self.outdated = Outdated::All;
        }
    }

    /// The weight of this backend as candidates have it.
    pub(super) const fn weight_now(&self, backend: &Backend) -> u32 {
        // At most 100 × 65 536 < 2²³: a product with an in-flight count stays below 2⁵⁵.
        if self.in_percent { backend.weight * backend.percent } else { backend.weight }
    }

    pub(super) fn is_to_be_candidate(&self, backend: &Backend) -> bool {
        backend.state == State::Ready || (self.panicking && backend.eligible)
    }

    pub(crate) fn set_panic(&mut self, panic: Option<PanicSettings>) {
        self.panic = panic;
    }

    /// Begins or ends the panic as the counts say; `Some` when it did: how many are in service, and
    /// of how many.
    pub(crate) fn update_panic(&mut self) -> Option<(usize, usize)> {
        let too_few =
            |panic: &PanicSettings| (self.ready as f64) < panic.threshold * self.eligible as f64;
        let panicking = self.panic.as_ref().is_some_and(too_few);
        if panicking == self.panicking {
            return None;
        }
        self.panicking = panicking;
        self.outdated = Outdated::All;
        Some((self.ready, self.eligible))
    }
}
