//! Health checks, ejection, slow start and panic change while requests run. It must not know who
//! asked for it.
//!
//! Each of these takes the former settings from [`Balancer::settings`] and puts the new ones there.

use base::{BackendId, Time};

use super::Balancer;
use crate::health::Check;
use crate::settings::{
    EjectionSettings, HealthSettings, PanicSettings, Settings, SlowStartSettings,
};

impl Balancer {
    /// Looks after the backends by these settings from now on.
    pub(super) fn change_upkeep(&mut self, now: Time, new: &Settings) {
        self.apply_health(now, new.health.clone());
        self.apply_ejection(now, new.ejection.clone());
        self.apply_slow_start(now, new.slow_start.clone());
        self.apply_panic(now, new.panic.clone());
    }

    /// Other health checks, or none. Who is in service stays there until its probes fail; who was
    /// out for its checks comes in when they are switched off; other counts of rise and fall begin
    /// anew, the same ones go on.
    fn apply_health(&mut self, now: Time, health: Option<HealthSettings>) {
        if self.settings.health == health {
            return;
        }
        let ids = self.ids();
        let was_on = self.settings.health.is_some();
        self.pool.note_life(now, removes_silent(health.as_ref()));
        self.settings.health = health;
        let Some(health) = &self.settings.health else {
            for id in ids {
                self.upkeep.schedule.remove(id);
                if let Some(backend) = self.pool.get_mut(id) {
                    backend.check = None;
                }
                self.settle(now, id, "health checks switched off");
            }
            return;
        };
        let (rise, fall) = (health.rise, health.fall);
        self.upkeep.schedule.change(now, health.clone());
        for id in ids {
            let Some(backend) = self.pool.get_mut(id) else { continue };
            if was_on {
                backend.check.iter_mut().for_each(|check| check.recount(rise, fall));
                self.settle(now, id, "other health checks");
            } else {
                backend.check = Some(Check::trusted(rise, fall));
                self.upkeep.schedule.add(now, id);
            }
            self.look_after(now, id);
        }
    }

    /// Other rules of ejection, or none. Counts and times of the running ejections stay; without
    /// rules whoever was ejected for failures comes back at once.
    fn apply_ejection(&mut self, now: Time, ejection: Option<EjectionSettings>) {
        self.settings.ejection = ejection;
        if self.settings.ejection.is_some() {
            return;
        }
        for id in self.ids() {
            self.upkeep.ejections.forget(id);
            let ejection = self.pool.get(id).and_then(|backend| backend.ejection.as_ref());
            if ejection.is_some_and(|ejection| !ejection.asked) {
                self.end_ejection(now, id, "ejection switched off");
            }
        }
    }

    /// Another slow start, or none. It holds at once for the backends that warm up; none begins to
    /// for it.
    fn apply_slow_start(&mut self, now: Time, slow_start: Option<SlowStartSettings>) {
        self.pool.set_warming(slow_start.is_some());
        self.settings.slow_start = slow_start;
        for id in self.ids() {
            self.warm(now, id);
        }
    }

    /// Another threshold of panic, or none.
    fn apply_panic(&mut self, now: Time, panic: Option<PanicSettings>) {
        self.pool.set_panic(panic.clone());
        self.settings.panic = panic;
        self.watch_for_panic(now);
    }

    fn ids(&self) -> Vec<BackendId> {
        self.pool.statuses().map(|backend| backend.id).collect()
    }
}

/// Whether it matters who gives signs of life.
pub(super) fn removes_silent(health: Option<&HealthSettings>) -> bool {
    health.is_some_and(|health| health.remove_after.is_some())
}
