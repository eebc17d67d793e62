//! What happens to requests and their attempts on the way. It must not decide what comes next:
//! the subject does.

use base::{AttemptId, FailureKind, Key, Outcome, Sent, Time, prefetch};
use workload::WorkId;

use super::{Answer, Engine, Event, Leg, Next, Parcel};
use crate::agenda::Lane;
use crate::client::Client;
use crate::patience::Waiting;
use crate::server::{Connection, Look};
use crate::subject::{Limits, Order, Step};

impl Engine<'_> {
    #[inline(always)] // every request passes here
    pub(super) fn push_arrival(&mut self) {
        self.coming = self.client.next_arrival();
        if let Some(arrival) = &self.coming {
            self.agenda.push_arrival(arrival.at);
        }
    }

    #[inline(always)] // every request passes here
    pub(super) fn arrive(&mut self) {
        let arrival = self.coming.take().expect("an arrival is announced with its request");
        let (balancer, ticket) = (self.subject.next_balancer(), self.agenda.ticket());
        let request = self.client.begin(arrival, balancer, ticket, self.recorder);
        if self.client.is_oldest(request) {
            self.watch_the_oldest();
        }
        match self.late {
            None => self.enter(request, balancer),
            Some(_) => self.arrive_late(request, balancer),
        }
        self.push_arrival();
    }

    /// A request comes to its balancer.
    #[inline(always)] // every request passes here
    pub(super) fn enter(&mut self, request: Key, balancer: u32) {
        match self.subject.request(self.now, balancer, self.client.meta(request)) {
            Step::Send(order, limits) => self.send(request, order, limits),
            step => self.proceed(request, step, None),
        }
    }

    /// The next attempt of a request, or its end; `backend` is the one that answered.
    #[cold] // where one kind of step is usual, that is looked for first
    pub(super) fn proceed(&mut self, request: Key, step: Step, backend: Option<u32>) {
        match step {
            Step::Send(order, limits) => self.send(request, order, limits),
            Step::Wait => {}
            Step::End(outcome, status) => {
                let answer = Answer { request, outcome, status, backend };
                match self.late {
                    None => self.end_rarely(answer),
                    Some(_) => self.end_late(answer),
                }
            }
        }
    }

    /// A client sees the end of its request.
    #[inline(always)] // every request passes here
    fn end(&mut self, Answer { request, outcome, status, backend }: Answer) {
        let was_oldest = self.client.is_oldest(request);
        let left = self.client.end(self.now, request, outcome, status, backend, self.recorder);
        if !left.is_empty() {
            self.losers.extend(left);
        }
        if was_oldest {
            self.watch_the_oldest();
        }
    }

    /// The same, where it is not the usual way.
    #[cold]
    pub(super) fn end_rarely(&mut self, answer: Answer) {
        self.end(answer);
    }

    /// The agenda has the patience of the client that waits longest, and of no other.
    fn watch_the_oldest(&mut self) {
        let patience = self.client.next_patience();
        self.agenda.remind(patience.map(|(at, Waiting { key, balancer, ticket })| {
            (at, ticket, Event::Patience(key, balancer))
        }));
    }

    #[cold]
    pub(super) fn lose_patience(&mut self, request: Key, balancer: u32) {
        let Some(open) = self.client.get_mut(request) else { return };
        let legs = std::mem::take(&mut open.legs);
        if legs.is_empty() {
            self.subject.cancelled(self.now, balancer, Client::id(request));
        }
        for leg in legs {
            let attempt = self.end_leg(leg).expect("what is under way has not ended");
            self.cancel(leg, &attempt);
            self.subject.client_left(self.now, &attempt.order);
        }
        let outcome = Outcome::Failed(FailureKind::Timeout);
        self.end_rarely(Answer { request, outcome, status: None, backend: None });
    }
}

impl Engine<'_> {
    #[inline(always)] // every request passes here
    fn send(&mut self, request: Key, order: Order, Limits { connect_by, answer_by }: Limits) {
        let Order { backend, balancer, number, .. } = order;
        let server = &self.servers[backend as usize];
        prefetch(server);
        let reused = self.kept.take(backend, balancer);
        let connection = reused.then(|| server.connection());
        let leg = self.legs.insert(Leg { request, order, connection, reused });
        let open = self.client.get_mut(request).expect("the subject knows open requests alone");
        open.legs.add(leg);
        let luck = open.luck(number);
        if answer_by < Time::MAX {
            self.agenda.push_to(Lane::Attempt, answer_by, Event::AnswerBy(leg));
        }
        match (&self.late, connection) {
            (Some(_), _) => self.send_late(leg, connect_by, luck, reused),
            (None, Some(connection)) => self.post(Parcel { leg, backend, connection, luck }),
            (None, None) => self.connect(leg, connect_by),
        }
    }

    #[cold]
    fn connect(&mut self, leg: Key, connect_by: Time) {
        if connect_by < self.now + 2 * self.delay {
            self.agenda.push(connect_by, Event::ConnectBy(leg));
        }
        self.travel(Event::Knock(leg));
    }

    #[cold]
    pub(super) fn knock(&mut self, leg: Key) {
        let Some(attempt) = self.legs.get(leg) else { return };
        let server = &self.servers[attempt.order.backend as usize];
        let reply = match server.accept() {
            Some(connection) => Event::Accepted(leg, connection),
            None => Event::Refused(leg),
        };
        self.travel(reply);
    }

    /// An attempt has its connection.
    #[cold]
    pub(super) fn transmit(&mut self, leg: Key, connection: Connection) {
        let Some(attempt) = self.legs.get_mut(leg) else { return };
        attempt.connection = Some(connection);
        let Order { backend, number, .. } = attempt.order;
        let request = self.client.get_mut(attempt.request).expect("open while it has an attempt");
        let luck = request.luck(number);
        self.post(Parcel { leg, backend, connection, luck });
    }

    /// Sends a request over its connection.
    #[inline]
    fn post(&mut self, parcel: Parcel) {
        if self.is_next() {
            self.next = Some(Next::Request(parcel));
        } else {
            self.parcels.push_back(parcel);
            self.agenda.push_to(Lane::Network, self.now + self.delay, Event::Request);
        }
    }

    /// A request arrives at its backend.
    #[inline(always)] // every request passes here
    pub(super) fn deliver(&mut self, parcel: Parcel) {
        let Parcel { leg, backend, connection, luck } = parcel;
        if let Some(reports) = &mut self.idle_reports
            && let Some(attempt) = self.legs.get(leg)
        {
            reports.sent(attempt.order.balancer, backend);
        }
        let server = &mut self.servers[backend as usize];
        if !server.read(self.now, connection, WorkId(leg.pack()), luck) {
            self.travel(Event::Reset(leg));
        }
        self.settle_server(backend);
    }

    /// The same, where it is not the usual way.
    #[cold]
    pub(super) fn deliver_rarely(&mut self, parcel: Parcel) {
        self.deliver(parcel);
    }

    #[cold]
    pub(super) fn connect_by(&mut self, leg: Key) {
        if self.legs.get(leg).is_some_and(|attempt| attempt.connection.is_none()) {
            self.fail(leg, FailureKind::ConnectTimeout, Sent::Nothing);
        }
    }

    #[cold]
    pub(super) fn answer_by(&mut self, leg: Key) {
        self.connect_by(leg);
        self.fail(leg, FailureKind::Timeout, Sent::All);
    }

    #[cold]
    pub(super) fn fail(&mut self, leg: Key, error: FailureKind, sent: Sent) {
        let Some(attempt) = self.end_leg(leg) else { return };
        if error == FailureKind::Timeout {
            self.cancel(leg, &attempt);
        }
        let step = self.subject.failed(self.now, &attempt.order, error, sent, attempt.reused);
        self.proceed(attempt.request, step, None);
    }

    #[inline(always)] // every request passes here
    pub(super) fn answer(&mut self, leg: Key, status: u16) {
        let Some(attempt) = self.end_leg(leg) else { return };
        let backend = attempt.order.backend;
        if attempt.connection.is_some_and(|open| self.servers[backend as usize].holds(open)) {
            self.kept.put(backend, attempt.order.balancer);
        }
        let request = attempt.request;
        match self.subject.answered(self.now, &attempt.order, status) {
            Step::End(outcome, status) if self.late.is_none() => {
                self.end(Answer { request, outcome, status, backend: Some(backend) });
            }
            step => self.proceed(request, step, Some(backend)),
        }
    }

    /// The same, where it is not the usual way.
    #[cold]
    pub(super) fn answer_rarely(&mut self, leg: Key, status: u16) {
        self.answer(leg, status);
    }

    /// Breaks off an attempt because another of its request was faster.
    #[cold]
    pub(super) fn abort(&mut self, attempt: AttemptId) {
        let is_it = |leg: &Key| self.legs.get(*leg).is_some_and(|leg| leg.order.is(attempt));
        let place = self.losers.iter().position(is_it).expect("it lost in this very moment");
        let leg = self.losers.swap_remove(place);
        let attempt = self.end_leg(leg).expect("found just now");
        self.cancel(leg, &attempt);
        self.subject.aborted(self.now, &attempt.order);
    }

    #[inline(always)] // answers are the usual reason
    fn end_leg(&mut self, leg: Key) -> Option<Leg> {
        let ended = self.legs.remove(leg)?;
        if let Some(open) = self.client.get_mut(ended.request) {
            open.legs.remove(leg);
        }
        let legs = &self.legs;
        self.agenda.prune(
            Lane::Attempt,
            legs.len(),
            |event| matches!(event, Event::AnswerBy(key) if legs.get(*key).is_none()),
        );
        Some(ended)
    }

    /// A backend sees that the sender of a request has gone.
    #[cold]
    pub(super) fn call_off(&mut self, leg: Key, backend: u32) {
        let behaviour = &mut self.servers[backend as usize].behaviour;
        behaviour.handle_cancel(self.now, WorkId(leg.pack()));
        self.settle_server(backend);
    }

    /// The sender closes the connection of a request that is on its way or inside.
    fn cancel(&mut self, leg: Key, attempt: &Leg) {
        if attempt.connection.is_some() {
            self.travel(Event::Cancel { leg, backend: attempt.order.backend });
        }
    }

    /// Sends on what a backend has ready, and looks again when there will be more.
    #[inline(always)] // two places, which every request passes
    pub(super) fn settle_server(&mut self, backend: u32) {
        let mut look = self.servers[backend as usize].look(self.now);
        if let Look::Answer(answer) = look {
            self.give_back(&answer);
            // Mostly it was the only one; so this is asked for in a place of its own.
            look = self.servers[backend as usize].look(self.now);
        }
        let next = loop {
            match look {
                Look::Answer(answer) => look = self.give_back_more(backend, &answer),
                Look::Done(next) => break next,
            }
        };
        if let Some(at) = next {
            self.agenda.push_wake(at, backend);
        }
        if self.reported {
            self.report_work(backend);
        }
    }

    /// Sends one more answer back, and looks whether there is another.
    #[cold]
    fn give_back_more(&mut self, backend: u32, answer: &workload::Answer) -> Look {
        self.give_back(answer);
        self.servers[backend as usize].look(self.now)
    }

    /// Sends an answer back over the network.
    #[inline]
    fn give_back(&mut self, answer: &workload::Answer) {
        let leg = Key::unpack(answer.work.0);
        let event = match answer.status {
            Some(status) => Event::Answer(leg, status),
            None => Event::Reset(leg),
        };
        match self.late {
            None => self.travel(event),
            Some(_) => self.return_late(leg, event),
        }
    }
}
