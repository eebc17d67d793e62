//! What happens beside requests: probes, faults, samples, events. It must not touch a request.

use std::time::Duration;

use base::{Key, Time};
use policy::{Event as PolicyEvent, Output, ProbeResult};
use record::{EventRow, Sample};
use workload::HealthAnswer;

use super::{Check, Engine, Event, Found};
use crate::server::Server;

impl Engine<'_> {
    /// Does what the balancer has put out, and calls it again when it wants.
    pub(super) fn settle_subject(&mut self) {
        while let Some(output) = self.subject.poll_output() {
            match output {
                Output::Probe(probe) => {
                    let check = self.checks.insert(Check { probe, began: self.now });
                    self.travel(Event::ProbeKnock(check));
                }
                Output::Event(event) => self.recorder.event(row(event)),
                Output::Build(work) => self.subject.built(self.now, work.run()),
                Output::Send(_) | Output::Reject(..) | Output::Abort(_) => {
                    unreachable!("queues and hedges are of a later issue")
                }
            }
        }
        if let Some(at) = self.subject.arm() {
            self.agenda.push(at, Event::Subject);
        }
    }

    pub(super) fn probe_knock(&mut self, check: Key) {
        if self.checked(check).accept().is_some() {
            // There and back again until the request is read.
            self.agenda.push(self.now + 2 * self.delay, Event::ProbeRequest(check));
        } else {
            self.probe_replies(check, self.delay, Found::Refused);
        }
    }

    pub(super) fn probe_request(&mut self, check: Key) {
        let (after, found) = match self.checked(check).behaviour.health() {
            HealthAnswer::Status(status, after) => (after + self.delay, Found::Status(status)),
            HealthAnswer::Silence => (Duration::MAX, Found::Nothing),
            HealthAnswer::Reset => (self.delay, Found::Reset),
        };
        self.probe_replies(check, after, found);
    }

    /// What was found comes back after a while, or the probe's time is over before.
    fn probe_replies(&mut self, check: Key, after: Duration, found: Found) {
        let deadline = self.checks.get(check).expect("a probe ends once").probe.deadline;
        let at = self.now + after;
        let (at, found) = if at > deadline { (deadline, Found::Nothing) } else { (at, found) };
        self.agenda.push(at.max(self.now), Event::ProbeEnd(check, found));
    }

    pub(super) fn probe_end(&mut self, check: Key, found: Found) {
        let Check { probe, began } = self.checks.remove(check).expect("a probe ends once");
        self.subject.probed(self.now, probe.id, found.result(self.now.since(began)));
    }

    fn checked(&self, check: Key) -> &Server {
        let check = self.checks.get(check).expect("a probe ends once");
        &self.servers[check.probe.backend.slot as usize]
    }

    pub(super) fn push_fault(&mut self, index: usize) {
        if let Some(change) = self.faults.changes.get(index) {
            self.agenda.push(change.at, Event::Fault(index));
        }
    }

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
        self.servers[backend].fault(self.now, change);
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
            Self::Status(status) => ProbeResult::Status { status, after, load: None },
            Self::Refused => ProbeResult::Failed("connection refused".into()),
            Self::Reset => ProbeResult::Failed("connection reset".into()),
            Self::Nothing => ProbeResult::Failed("timeout".into()),
        }
    }
}

fn row(event: PolicyEvent) -> EventRow {
    EventRow {
        at: event.at,
        source: "balancer/0".into(),
        kind: event.kind.word().into(),
        detail: event.kind.detail(),
        subject: event.backend.map(|(_, name)| name).unwrap_or_default(),
    }
}
