//! What becomes of backends: they come, are looked after, change state and go.
//! It must not know requests.

use std::time::Duration;

use base::{BackendId, FailureKind, ProbeId, Rng, Time};

use super::Balancer;
use super::ejection::Ejections;
use crate::event::{Event, EventKind};
use crate::health::Check;
use crate::message::{CommandError, Output, Probe, ProbeKind, ProbeResult};
use crate::pool::{Backend, State};
use crate::probe::Schedule;
use crate::settings::{CheckKind, HealthSettings, Settings};
use crate::slow_start;
use crate::timers::Timers;

/// The largest weight: with it a cross product of weight and in-flight count stays below 2⁴⁸, and
/// below 2⁵⁵ where slow start counts weights in percent.
const MAX_WEIGHT: u32 = 65_536;

/// What the balancer remembers to look after its backends.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// Whom to probe when; empty where health is off.
    pub(super) schedule: Schedule,
    /// When ejections end and when shares grow.
    pub(super) timers: Timers,
    pub(super) ejections: Ejections,
}

impl Upkeep {
    pub(super) fn new(settings: &Settings, rng: &Rng) -> Self {
        let health = settings.health.clone().unwrap_or_default();
        Self {
            schedule: Schedule::new(health, rng.fork("probes")),
            timers: Timers::default(),
            ejections: Ejections::new(rng.fork("ejections")),
        }
    }

    /// When [`Balancer::tend`] has something to do; a leftover of the schedule may make it early.
    #[inline]
    pub(super) fn next(&self) -> Time {
        self.schedule.next_wake().min(self.timers.next()).min(self.ejections.next_report())
    }
}

/// Coming and going.
impl Balancer {
    pub(super) fn add(
        &mut self,
        now: Time,
        name: String,
        weight: u32,
    ) -> Result<BackendId, CommandError> {
        let weight = valid_weight(weight)?;
        if self.pool.is_taken(&name) {
            return Err(CommandError::NameTaken(name));
        }
        let check = self.settings.health.as_ref().map(|h| Check::new(h.rise, h.fall));
        let id = self.pool.add(now, name, weight, check);
        self.report(now, Some(id), EventKind::Added);
        if self.settings.health.is_some() {
            self.upkeep.schedule.add(now, id);
            self.look_after(now, id);
        } else {
            self.came_into_service(now, id);
        }
        self.watch_for_panic(now);
        Ok(id)
    }

    pub(super) fn remove(&mut self, now: Time, id: BackendId, reason: String) {
        self.upkeep.schedule.remove(id);
        self.upkeep.timers.arm(id, None);
        self.upkeep.ejections.forget(id);
        if let Some(name) = self.pool.remove(id) {
            let backend = Some((id, name));
            let kind = EventKind::Removed { reason };
            self.outputs.push_back(Output::Event(Event { at: now, backend, kind }));
            self.watch_for_panic(now);
        }
    }

    /// Draws the state of a backend, and reports a change.
    pub(super) fn settle(&mut self, now: Time, id: BackendId, reason: &str) {
        let since = self.pool.get(id).map_or(now, Backend::since);
        if let Some((from, to)) = self.pool.settle(now, id, reason) {
            let reason = self.pool.get(id).map_or("", Backend::reason).to_owned();
            self.report(now, Some(id), EventKind::StateChanged { from, to, reason });
            if from == State::Ready {
                // An ejection has counted it already.
                if to != State::Ejected {
                    self.upkeep.ejections.served(id, now.since(since));
                }
                self.stop_warming(now, id);
            }
            if to == State::Ready {
                self.came_into_service(now, id);
            }
        }
        self.watch_for_panic(now);
    }

    fn came_into_service(&mut self, now: Time, id: BackendId) {
        self.upkeep.ejections.begin_anew(now, id);
        let Some(backend) = self.pool.get_mut(id) else { return };
        if std::mem::take(&mut backend.cold) && self.settings.slow_start.is_some() {
            backend.warming_since = Some(now);
            self.warm(now, id);
        }
    }

    pub(super) fn watch_for_panic(&mut self, now: Time) {
        if let Some((ready, of)) = self.pool.update_panic() {
            let kind = if self.pool.is_panicking() {
                EventKind::PanicBegan { ready, of }
            } else {
                EventKind::PanicEnded { ready, of }
            };
            self.report(now, None, kind);
        }
    }

    pub(super) fn report(&mut self, now: Time, id: Option<BackendId>, kind: EventKind) {
        let named = |id| Some((id, self.pool.get(id)?.name.clone()));
        let backend = id.and_then(named);
        self.outputs.push_back(Output::Event(Event { at: now, backend, kind }));
    }
}

/// What time asks for.
impl Balancer {
    /// Everything that is due.
    pub(super) fn tend(&mut self, now: Time) {
        while let Some(id) = self.upkeep.timers.pop_due(now) {
            self.end_ejection_if_over(now, id);
            self.warm(now, id);
        }
        while let Some(id) = self.upkeep.schedule.pop_due(now) {
            self.look_after(now, id);
        }
        self.report_denied_ejections(now);
    }

    /// Gives a backend the share that it has now, and chooses when it is looked at next.
    pub(super) fn warm(&mut self, now: Time, id: BackendId) {
        let Some(backend) = self.pool.get_mut(id) else { return };
        let ejected_until = backend.ejection.as_ref().map(|ejection| ejection.until);
        let warming = backend.warming_since.zip(self.settings.slow_start.as_ref());
        let (percent, next) = warming
            .map_or((100, None), |(since, settings)| slow_start::share(settings, since, now));
        if next.is_none() {
            backend.warming_since = None;
        }
        self.pool.set_percent(id, percent);
        let times = [ejected_until, next];
        self.upkeep.timers.arm(id, times.into_iter().flatten().min());
    }

    /// A backend that is out of service does not warm up, and is cold when it comes back.
    fn stop_warming(&mut self, now: Time, id: BackendId) {
        if let Some(backend) = self.pool.get_mut(id)
            && backend.warming_since.take().is_some()
        {
            backend.cold = true;
            self.warm(now, id);
        }
    }
}

/// Probes.
impl Balancer {
    /// Takes a backend that could not be connected to out until its next probe passes.
    #[cold]
    pub(super) fn note_failed_connect(
        &mut self,
        now: Time,
        id: BackendId,
        began: Time,
        error: FailureKind,
    ) {
        let at_fault = match error {
            FailureKind::Connect => true,
            FailureKind::ConnectTimeout => self.had_time_to_connect(now, began),
            _ => false,
        };
        let check = self.pool.get_mut(id).and_then(|backend| backend.check.as_mut());
        if let (true, Some(check)) = (at_fault, check) {
            check.connect_failed();
            self.settle(now, id, "connect failed");
            if self.upkeep.schedule.hurry(id, Some(now)) {
                self.look_after(now, id);
            }
        }
    }

    /// The report of a health probe.
    pub(super) fn end_probe(&mut self, now: Time, probe: ProbeId, result: ProbeResult) {
        if let Some(backend) = self.upkeep.schedule.end(probe) {
            self.judge_probe(now, backend, result);
            self.look_after(now, backend);
        }
    }

    fn judge_probe(&mut self, now: Time, id: BackendId, result: ProbeResult) {
        let Some(health) = &self.settings.health else { return };
        let Some(backend) = self.pool.get_mut(id) else { return };
        let Some(check) = backend.check.as_mut() else { return };
        let (passed, words) = match result {
            ProbeResult::Status { status, after, .. } => verdict(health, status, after),
            ProbeResult::Failed(words) => (false, words),
            ProbeResult::Unsent(words) => {
                // Nobody was asked, so the silence until now proves nothing.
                backend.last_check = Some(format!("not sent: {words}"));
                self.pool.note_alive(now, id);
                return;
            }
        };
        let why = if passed {
            check.pass();
            format!("probe passed: {words}")
        } else {
            check.fail();
            match check.failed_in_a_row() {
                1 => format!("1 probe failed: {words}"),
                n => format!("{n} probes failed: {words}"),
            }
        };
        if check.is_in_doubt() {
            self.upkeep.schedule.hurry(id, None);
        }
        backend.last_check = Some(words);
        backend.last_check_passed = Some(passed);
        if passed {
            self.pool.note_alive(now, id);
        }
        self.settle(now, id, &why);
    }

    /// Everything that its checks ask of one backend: an overdue probe, a long silence, the next
    /// probe.
    pub(super) fn look_after(&mut self, now: Time, id: BackendId) {
        if let Some(probe) = self.upkeep.schedule.overdue(now, id) {
            self.upkeep.schedule.end(probe);
            self.judge_probe(now, id, ProbeResult::Failed("no report of the probe".into()));
        }
        let Some(silent_at) = self.silent_at(now, id) else {
            let silence = self.settings.health.as_ref().and_then(|h| h.remove_after);
            let seconds = silence.unwrap_or_default().as_secs_f64();
            self.remove(now, id, format!("silent for {seconds} s"));
            return;
        };
        let begun = self.upkeep.schedule.begin_if_due(now, id);
        self.upkeep.schedule.arm(id, silent_at);
        if let (Some((probe, deadline)), Some(health)) = (begun, &self.settings.health) {
            let kind = match health.check {
                CheckKind::Http => ProbeKind::Http(health.path.clone()),
                CheckKind::Tcp => ProbeKind::Tcp,
            };
            self.outputs.push_back(Output::Probe(Probe { id: probe, backend: id, kind, deadline }));
        }
    }

    /// When this backend will have been silent for too long: `Some(None)` is never, `None` now.
    fn silent_at(&self, now: Time, id: BackendId) -> Option<Option<Time>> {
        let (Some(alive_at), Some(health)) = (self.pool.alive_at(id), &self.settings.health) else {
            return Some(None);
        };
        let Some(remove_after) = health.remove_after else { return Some(None) };
        let at = alive_at + remove_after;
        if at > now {
            Some(Some(at))
        } else if self.pool.len() == 1 {
            // The last one stays, and every probe looks whether it still is the last.
            Some(None)
        } else {
            None
        }
    }
}

/// Whether an answered probe passes, and what came, in words.
fn verdict(health: &HealthSettings, status: u16, after: Duration) -> (bool, String) {
    let time = after.as_secs_f64() * 1e3;
    let is_expected = |&(first, last): &(u16, u16)| (first..=last).contains(&status);
    match health.check {
        CheckKind::Tcp => (true, format!("connected in {time:.1} ms")),
        CheckKind::Http if health.statuses.iter().any(is_expected) => {
            (true, format!("{status} in {time:.1} ms"))
        }
        CheckKind::Http => {
            let ranges: Vec<String> = health
                .statuses
                .iter()
                .map(|&(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
                .collect();
            (false, format!("status {status}, expected {}", ranges.join(", ")))
        }
    }
}

pub(super) const fn valid_weight(weight: u32) -> Result<u32, CommandError> {
    if weight == 0 || weight > MAX_WEIGHT {
        Err(CommandError::BadWeight(weight))
    } else {
        Ok(weight)
    }
}
