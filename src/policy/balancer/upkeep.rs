//! What becomes of backends: they come, are looked after, change state and go.
//! It must not know requests.

use base::{BackendId, FailureKind, Time};

use super::Balancer;
use crate::event::{Event, EventKind};
use crate::health::Check;
use crate::message::{CommandError, Output, Probe, ProbeKind, ProbeResult};

/// The largest weight: with it a cross product of weight and in-flight count stays below 2⁴⁸.
const MAX_WEIGHT: u32 = 65_536;

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
        if let Some(schedule) = &mut self.schedule {
            schedule.add(now, id);
            self.look_after(now, id);
        }
        Ok(id)
    }

    pub(super) fn remove(&mut self, now: Time, id: BackendId, reason: String) {
        if let Some(schedule) = &mut self.schedule {
            schedule.remove(id);
        }
        if let Some(name) = self.pool.remove(id) {
            let backend = Some((id, name));
            let kind = EventKind::Removed { reason };
            self.outputs.push_back(Output::Event(Event { at: now, backend, kind }));
        }
    }

    pub(super) fn is_alive(&mut self, now: Time, id: BackendId) {
        if let Some(backend) = self.pool.get_mut(id) {
            backend.alive_at = now;
        }
    }

    /// Takes a backend that could not be connected to out until its next probe passes.
    pub(super) fn note_failed_connect(
        &mut self,
        now: Time,
        id: BackendId,
        began: Time,
        error: FailureKind,
    ) {
        let at_fault = match error {
            FailureKind::Connect => true,
            // Unless it had less time than it may take, because the request was nearly over.
            FailureKind::ConnectTimeout => now >= began + self.settings.timeout.connect,
            _ => false,
        };
        let check = self.pool.get_mut(id).and_then(|backend| backend.check.as_mut());
        if let (true, Some(check)) = (at_fault, check) {
            check.connect_failed();
            self.settle(now, id, "connect failed");
        }
    }

    pub(super) fn judge_probe(&mut self, now: Time, id: BackendId, result: ProbeResult) {
        let Some(backend) = self.pool.get_mut(id) else { return };
        let Some(check) = backend.check.as_mut() else { return };
        let (passed, words) = match result {
            ProbeResult::Status { status, after, .. } if (200..300).contains(&status) => {
                (true, format!("{status} in {:.1} ms", after.as_secs_f64() * 1e3))
            }
            ProbeResult::Status { status, .. } => (false, format!("status {status}")),
            ProbeResult::Failed(words) => (false, words),
            ProbeResult::Unsent(words) => {
                // Nobody was asked, so the silence until now proves nothing.
                backend.alive_at = now;
                backend.last_check = Some(format!("not sent: {words}"));
                return;
            }
        };
        let why = if passed {
            backend.alive_at = now;
            check.pass();
            format!("probe passed: {words}")
        } else {
            check.fail();
            match check.failed_in_a_row() {
                1 => format!("1 probe failed: {words}"),
                n => format!("{n} probes failed: {words}"),
            }
        };
        backend.last_check = Some(words);
        self.settle(now, id, &why);
    }

    /// Everything that time asks of one backend: an overdue probe, a long silence, the next probe.
    pub(super) fn look_after(&mut self, now: Time, id: BackendId) {
        let Some(schedule) = &mut self.schedule else { return };
        if let Some(probe) = schedule.overdue(now, id) {
            schedule.end(probe);
            self.judge_probe(now, id, ProbeResult::Failed("no report of the probe".into()));
        }
        let Some(silent_at) = self.silent_at(now, id) else {
            let silence = self.settings.health.as_ref().and_then(|h| h.remove_after);
            let seconds = silence.unwrap_or_default().as_secs_f64();
            self.remove(now, id, format!("silent for {seconds} s"));
            return;
        };
        let Some(schedule) = &mut self.schedule else { return };
        let begun = schedule.begin_if_due(now, id);
        schedule.arm(id, silent_at);
        if let (Some((probe, deadline)), Some(health)) = (begun, &self.settings.health) {
            let kind = ProbeKind::Http(health.path.clone());
            self.outputs.push_back(Output::Probe(Probe { id: probe, backend: id, kind, deadline }));
        }
    }

    /// When this backend will have been silent for too long: `Some(None)` is never, `None` now.
    fn silent_at(&self, now: Time, id: BackendId) -> Option<Option<Time>> {
        let (Some(backend), Some(health)) = (self.pool.get(id), &self.settings.health) else {
            return Some(None);
        };
        let Some(remove_after) = health.remove_after else { return Some(None) };
        let at = backend.alive_at + remove_after;
        if at > now {
            Some(Some(at))
        } else if self.pool.len() == 1 {
            // The last one stays, and every probe looks whether it still is the last.
            Some(None)
        } else {
            None
        }
    }

    /// Draws the state of a backend, and reports a change.
    pub(super) fn settle(&mut self, now: Time, id: BackendId, reason: &str) {
        if let Some((from, to)) = self.pool.settle(now, id, reason) {
            let reason = reason.to_owned();
            self.report(now, Some(id), EventKind::StateChanged { from, to, reason });
        }
    }

    pub(super) fn report(&mut self, now: Time, id: Option<BackendId>, kind: EventKind) {
        let named = |id| Some((id, self.pool.get(id)?.name.clone()));
        let backend = id.and_then(named);
        self.outputs.push_back(Output::Event(Event { at: now, backend, kind }));
    }
}

pub(super) const fn valid_weight(weight: u32) -> Result<u32, CommandError> {
    if weight == 0 || weight > MAX_WEIGHT {
        Err(CommandError::BadWeight(weight))
    } else {
        Ok(weight)
    }
}
