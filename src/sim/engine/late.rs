//! The way of requests, attempts and probes where the machine takes time beside the service. It must
//! not be on the way of a trial that is played without.

use std::time::Duration;

use base::{Key, Time};
use policy::ProbeKind;

use super::upkeep::ENDS_ONCE;
use super::{Answer, Engine, Event};
use crate::under_way::Open;

impl Engine<'_> {
    /// What lies between a client and the balancer, one way. Its request has no place there yet, and no
    /// attempt's limit has begun.
    fn client_leg(&self, request: Key) -> Duration {
        let open = self.under_way.get(request).expect("a request ends once");
        // By the luck of its first attempt, as that one's own leg.
        let luck = self.client.luck(open.request, 1);
        self.late.as_ref().map_or(Duration::ZERO, |late| late.client(luck))
    }

    /// A client sends its request.
    #[cold]
    pub(super) fn arrive_late(&mut self, request: Key) {
        let at = self.now + self.client_leg(request);
        self.agenda.push(at, Event::Enter(request));
    }

    /// It comes to the balancer, if its client still waits.
    #[cold]
    pub(super) fn enter_late(&mut self, request: Key) {
        if let Some(&Open { request: number, balancer, .. }) = self.under_way.get(request) {
            self.enter(request, number, balancer);
        }
    }

    /// The subject is done with a request: what else was under way for it is broken off now, and its
    /// client sees the answer later.
    #[cold]
    pub(super) fn end_late(&mut self, answer: Answer) {
        let at = self.now + self.client_leg(answer.request);
        self.under_way.release(answer.request, &mut self.losers);
        let answer = self.answers.insert(answer);
        self.agenda.push(at, Event::Home(answer));
    }

    /// The client has its answer, if it still waits.
    #[cold]
    pub(super) fn come_home(&mut self, answer: Key) {
        let answer = self.answers.remove(answer).expect("an answer comes once");
        if self.under_way.get(answer.request).is_some() {
            self.end_rarely(answer);
        }
    }

    /// A probe begins. It opens a connection of its own, and on that it asks, unless the connection is
    /// all that is asked for.
    #[cold]
    pub(super) fn probe_late(&mut self, check: Key) {
        let Some(late) = &self.late else { return };
        let probe = &self.checks.get(check).expect(ENDS_ONCE).probe;
        let there = match probe.kind {
            ProbeKind::Tcp => late.connects(check.pack()),
            ProbeKind::Http(_) | ProbeKind::Load(_) => late.there(check.pack(), false),
        };
        let at = self.now + there + self.delay;
        match at <= probe.deadline {
            true => self.agenda.push(at, Event::ProbeKnock(check)),
            false => self.agenda.push(probe.deadline.max(self.now), Event::ProbeEnd(check)),
        }
    }

    /// What a probe takes on the way back.
    pub(super) fn probe_back(&self, check: Key) -> Duration {
        let Some(late) = &self.late else { return Duration::ZERO };
        match self.checks.get(check).expect(ENDS_ONCE).probe.kind {
            ProbeKind::Tcp => Duration::ZERO,
            ProbeKind::Http(_) | ProbeKind::Load(_) => late.back(check.pack()),
        }
    }

    /// An attempt begins; it sets out, or knocks, when its time there is over.
    #[cold]
    pub(super) fn send_late(&mut self, leg: Key, connect_by: Time, luck: u64, reused: bool) {
        let Some(late) = &self.late else { return };
        let at = self.now + late.there(luck, reused);
        if !reused && connect_by < at + 2 * self.delay {
            self.agenda.push(connect_by, Event::ConnectBy(leg));
        }
        self.agenda.push(at, Event::SetOut(leg));
    }

    /// Its time there is over.
    pub(super) fn set_out(&mut self, leg: Key) {
        match self.under_way.leg(leg).map(|attempt| attempt.connection) {
            Some(Some(connection)) => self.transmit(leg, connection),
            Some(None) => self.travel(Event::Knock(leg)),
            None => {}
        }
    }

    /// Something of an attempt comes back; one that has ended meanwhile finds nobody at any time.
    #[cold]
    pub(super) fn return_late(&mut self, leg: Key, event: Event) {
        let back = self.late.as_ref().zip(self.luck_of(leg)).map(|(late, luck)| late.back(luck));
        self.agenda.push(self.now + self.delay + back.unwrap_or_default(), event);
    }
}
