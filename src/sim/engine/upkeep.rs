//! What happens beside requests: probes, faults, samples, events. It must not touch a request.

use std::time::Duration;

use base::{Key, Time};
use policy::{Event as PolicyEvent, Probe, ProbeKind, ProbeResult};
use record::{EventRow, Sample};
use workload::{HealthAnswer, Load};

use super::{Engine, Event};

/// The most events of balancers that are noted: a thousand balancers that each see a hundred backends
/// flap have more to tell than anybody reads, and memory holds.
const MOST_EVENTS: u64 = 100_000;

/// Why a probe that something happens to is there.
pub(super) const ENDS_ONCE: &str = "a probe ends once";

/// A probe under way.
#[derive(Debug)]
pub(super) struct Check {
    /// Who asks.
    balancer: u32,
    pub(super) probe: Probe,
    began: Time,
    /// What it will have found when it ends.
    found: Found,
}

/// What a probe found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Status(u16, Option<policy::Load>),
    Refused,
    Reset,
    Nothing,
}

impl Engine<'_> {
    /// Sends a probe.
    pub(super) fn probe(&mut self, balancer: u32, probe: Probe) {
        if matches!(probe.kind, ProbeKind::Load(_)) && !self.load_watched {
            self.load_watched = true;
            self.servers.iter_mut().for_each(|server| server.behaviour.watch_load());
        }
        let (began, found) = (self.now, Found::Nothing);
        let check = self.checks.insert(Check { balancer, probe, began, found });
        if self.late.is_some() {
            return self.probe_late(check);
        }
        self.travel(Event::ProbeKnock(check));
    }

    #[cold]
    pub(super) fn probe_knock(&mut self, check: Key) {
        let probe = &self.checks.get(check).expect(ENDS_ONCE).probe;
        match self.connecting_finds(probe) {
            Some(found) => self.probe_replies(check, self.delay, found),
            // There and back again until the request is read.
            None => self.agenda.push(self.now + 2 * self.delay, Event::ProbeRequest(check)),
        }
    }

    #[cold]
    pub(super) fn probe_request(&mut self, check: Key) {
        let (after, found) = self.asking_finds(&self.checks.get(check).expect(ENDS_ONCE).probe);
        self.probe_replies(check, after.saturating_add(self.delay), found);
    }

    /// What a probe finds by connecting now; none when it has to ask.
    pub(super) fn connecting_finds(&self, probe: &Probe) -> Option<Found> {
        let server = &self.servers[probe.backend.slot as usize];
        match (server.accept(), &probe.kind) {
            (None, _) => Some(Found::Refused),
            (Some(_), ProbeKind::Tcp) => Some(Found::Status(0, None)),
            (Some(_), ProbeKind::Http(_) | ProbeKind::Load(_)) => None,
        }
    }

    /// What a probe finds whose request is read now, and after how long the backend replies.
    pub(super) fn asking_finds(&self, probe: &Probe) -> (Duration, Found) {
        let server = &self.servers[probe.backend.slot as usize];
        let Load { in_flight, latency } = server.behaviour.load(self.now);
        match server.behaviour.health() {
            HealthAnswer::Status(status, after) => {
                (after, Found::Status(status, Some(policy::Load { in_flight, latency })))
            }
            HealthAnswer::Silence => (Duration::MAX, Found::Nothing),
            HealthAnswer::Reset => (Duration::ZERO, Found::Reset),
        }
    }

    /// What was found comes back after a while, or the probe's time is over before.
    fn probe_replies(&mut self, check: Key, after: Duration, found: Found) {
        let back = self.probe_back(check);
        let Check { probe, found: finds, .. } = self.checks.get_mut(check).expect(ENDS_ONCE);
        let mut at = self.now + after.saturating_add(back);
        if at > probe.deadline {
            at = probe.deadline;
        } else {
            *finds = found;
        }
        self.agenda.push(at.max(self.now), Event::ProbeEnd(check));
    }

    #[cold]
    pub(super) fn probe_end(&mut self, check: Key) {
        let Check { balancer, probe, began, found } = self.checks.remove(check).expect(ENDS_ONCE);
        let result = found.result(self.now.since(began));
        self.subject.probed(self.now, balancer, probe.id, result);
    }

    /// A backend tells what there is to tell of its work, to those that want to know.
    #[cold]
    pub(super) fn report_work(&mut self, backend: u32) {
        self.report_idle(backend);
        if self.subject.wants_work() {
            let at = self.servers[backend as usize].behaviour.free_at(self.now);
            self.subject.free_at(self.now, backend, at);
        }
    }

    /// A backend tells that it is idle, if it is and has not told.
    fn report_idle(&mut self, backend: u32) {
        let Some(reports) = &mut self.idle_reports else { return };
        let server = &self.servers[backend as usize];
        if server.accept().is_none() {
            reports.down(backend);
        } else if server.behaviour.in_flight() == 0
            && let Some(balancer) = reports.idle(backend)
        {
            self.travel(Event::Idle(backend, balancer));
        }
    }

    /// Those that are idle before the first request have told so.
    pub(super) fn report_idle_ones(&mut self) {
        let Some(reports) = &mut self.idle_reports else { return };
        for backend in 0..self.servers.len() as u32 {
            if let Some(balancer) = reports.idle(backend) {
                self.subject.idle(Time::ZERO, balancer, backend);
                self.subject.hear_later();
            }
        }
    }

    /// Notes what a balancer tells.
    pub(super) fn report(&mut self, balancer: u32, event: PolicyEvent) {
        self.events_told += 1;
        if self.events_told > MOST_EVENTS {
            return;
        }
        self.recorder.event(EventRow {
            at: event.at,
            source: format!("balancer/{balancer}"),
            kind: event.kind.word().into(),
            detail: event.kind.detail(),
            subject: event.backend.map(|(_, name)| name).unwrap_or_default(),
        });
    }

    /// Says that not all was noted.
    pub(super) fn report_left_out(&mut self) {
        let more = self.events_told.saturating_sub(MOST_EVENTS);
        if more > 0 {
            self.recorder.event(EventRow {
                at: self.now,
                source: "lab".into(),
                subject: String::new(),
                kind: "events_left_out".into(),
                detail: format!("{more} more events of balancers, the last to happen"),
            });
        }
    }

    pub(super) fn push_fault(&mut self, index: usize) {
        if let Some(change) = self.faults.changes.get(index) {
            self.agenda.push(change.at, Event::Fault(index as u32));
        }
    }

    #[cold]
    pub(super) fn fault(&mut self, index: usize) {
        let change = &self.faults.changes[index];
        let backend = change.backend;
        let (kind, detail) = change.words();
        self.recorder.event(EventRow {
            at: self.now,
            source: "scenario".into(),
            subject: self.trial.variant.backends[backend].name.clone(),
            kind,
            detail,
        });
        if self.servers[backend].fault(self.now, change) {
            self.kept.lose(backend);
        }
        self.settle_server(backend as u32);
        self.push_fault(index + 1);
    }

    /// Reads off the backends.
    pub(super) fn sample(&mut self) {
        let states = self.subject.states(self.servers.len());
        let backends = self.servers.iter_mut().zip(states);
        let backends = backends.map(|(server, state)| server.sample(state.into())).collect();
        self.recorder.sample(Sample { at: self.now, retries: self.subject.retries(), backends });
    }

    #[cold]
    pub(super) fn boundary(&mut self, index: u32) {
        self.sample();
        self.boundaries_left -= 1;
        if self.boundaries_left > 0 {
            let shape = &self.trial.variant.load.shape;
            let end = Time::ZERO + shape.length();
            let next = Time::ZERO + shape.warmup + self.trial.window * (index + 1);
            self.agenda.push(next.min(end), Event::Boundary(index + 1));
        }
    }
}

impl Found {
    pub(super) fn result(self, after: Duration) -> ProbeResult {
        match self {
            Self::Status(status, load) => ProbeResult::Status { status, after, load },
            Self::Refused => ProbeResult::Failed("connection refused".into()),
            Self::Reset => ProbeResult::Failed("connection reset".into()),
            Self::Nothing => ProbeResult::Failed("timeout".into()),
        }
    }
}
