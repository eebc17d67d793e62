//! Changes of the settings while requests are under way. It must not touch what has been promised:
//! an attempt keeps its deadlines, a request that was sent its total.

use std::time::Duration;

use base::{Rng, Time};

use super::Balancer;
use super::digest::Digest;
use crate::adaptive::Adaptive;
use crate::event::EventKind;
use crate::hedge::Hedger;
use crate::rate::Limiter;
use crate::settings::{Choice, LimitSettings, Settings};

impl Balancer {
    /// Decides by these settings from now on. What is the same as before keeps its state: tables,
    /// counts, buckets.
    pub(super) fn change_settings(&mut self, now: Time, new: Settings) {
        let changed = differences(&self.settings, &new);
        if changed.is_empty() {
            return;
        }
        if new.strategy != self.settings.strategy {
            self.change_strategy(now, new.strategy.clone());
        }
        self.change_upkeep(now, &new);
        let Settings { hedging, limits, queue, timeout, .. } = &new;
        self.change_rates(limits.as_ref());
        let measured = |limits: Option<&LimitSettings>| limits.and_then(|l| l.adaptive.clone());
        if measured(limits.as_ref()) != measured(self.settings.limits.as_ref()) {
            self.adaptive = adaptive(limits.as_ref(), &self.rng);
        }
        self.pool.set_most_in_flight(limits.as_ref().and_then(|limits| limits.max_in_flight));
        self.queue.set(queue.clone());
        match (&mut self.hedger, hedging) {
            (Some(hedger), Some(new)) => hedger.set(new.clone()),
            (hedger, new) => *hedger = new.clone().map(Hedger::new),
        }
        if let Some(total) = timeout.total {
            self.hasten_waiting(total);
        }
        self.digest = Digest::new(&new);
        self.settings = new;
        self.report(now, None, EventKind::SettingsChanged { what: changed.join(", ") });
        // Whoever can be sent now needs no place.
        self.serve_waiting(now);
        self.refuse_surplus();
    }

    pub(super) fn change_strategy(&mut self, now: Time, choice: Choice) {
        self.strategy = choice.build();
        self.consultation.begin_anew(&*self.strategy);
        self.report(now, None, EventKind::StrategyChanged { to: choice.name().into() });
        self.settings.strategy = choice;
    }

    fn change_rates(&mut self, limits: Option<&LimitSettings>) {
        let old = self.settings.limits.as_ref().map(|limits| &limits.rate);
        let new = limits.map(|limits| &limits.rate);
        if old == new {
            return;
        }
        let former = self.rates.take();
        self.rates = new.map(|new| Limiter::new(new, self.secret));
        if let (Some(rates), Some(former), Some(old), Some(new)) =
            (&mut self.rates, former, old, new)
        {
            rates.inherit(former, old, new);
        }
    }

    /// A shorter total holds for those who wait too, or the first in the queue would not be the
    /// first whose time ends.
    fn hasten_waiting(&mut self, total: Duration) {
        let places: Vec<_> = self.queue.iter().collect();
        for (place, since, key) in places {
            let by = since + total;
            self.queue.hasten(place, by);
            if let Some(request) = self.requests.get_mut(key) {
                request.total_by = request.total_by.min(by);
            }
        }
    }
}

/// The limit that is found by measuring, where it is on.
pub(super) fn adaptive(limits: Option<&LimitSettings>, rng: &Rng) -> Option<Adaptive> {
    let settings = limits?.adaptive.clone()?;
    Some(Adaptive::new(settings, rng.fork("adaptive")))
}

/// The names of the tables that differ.
fn differences(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let tables = [
        ("strategy", old.strategy != new.strategy),
        ("health", old.health != new.health),
        ("ejection", old.ejection != new.ejection),
        ("slow_start", old.slow_start != new.slow_start),
        ("panic", old.panic != new.panic),
        ("retry", old.retry != new.retry),
        ("hedging", old.hedging != new.hedging),
        ("limits", old.limits != new.limits),
        ("queue", old.queue != new.queue),
        ("timeout", old.timeout != new.timeout),
    ];
    tables.into_iter().filter(|&(_, differs)| differs).map(|(name, _)| name).collect()
}
