//! What happens to requests and their attempts on the way. It must not decide what comes next:
//! the subject does.

use base::{AttemptId, FailureKind, Key, Outcome, Sent, Time, prefetch};
use workload::WorkId;

use super::{Answer, Engine, Event, Leg, Next, Parcel};
use crate::agenda::Lane;
use crate::client::Client;
use crate::server::{Connection, Look};
use crate::subject::{Limits, Order, Step};
use crate::under_way::Open;

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
        let balancer = self.subject.next_balancer();
        self.recorder.begin(arrival.at);
        let request = self.under_way.begin(arrival, balancer);
        if self.patience.begin(arrival.at) {
            self.agenda.push(self.patience.end_of(arrival.at), Event::Impatience(arrival.at));
        }
        match self.late {
            None => self.enter(request, arrival.request, balancer),
            Some(_) => self.arrive_late(request),
        }
        self.push_arrival();
        if self.ahead.foresees() {
            self.foresee(balancer);
        }
    }

    /// A request, of this number in the schedule, comes to its balancer.
    #[inline(always)] // every request passes here
    pub(super) fn enter(&mut self, request: Key, number: u64, balancer: u32) {
        match self.subject.request(self.now, balancer, self.client.meta(request, number)) {
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
        let open = self.under_way.end(request, &mut self.losers).expect("a request ends once");
        self.patience.end(open.at);
        self.recorder.end(&open.exchange(self.now, outcome, status, backend));
    }

    /// The same, where it is not the usual way.
    #[cold]
    pub(super) fn end_rarely(&mut self, answer: Answer) {
        self.end(answer);
    }

    /// The first of those may lose patience that came in the same epoch as one who came then; from now
    /// on the agenda has when each will, of those that wait still. An answer in the very nanosecond
    /// comes too late.
    #[cold]
    pub(super) fn look_for_impatience(&mut self, at: Time) {
        if self.patience.waiting(at) == 0 {
            return;
        }
        if !self.patience.knows(at) {
            let mut open: Vec<_> =
                self.under_way.iter().map(|(key, open)| (open.request, open.at, key)).collect();
            open.sort_unstable();
            self.patience.found(self.now, open.into_iter().map(|(_, at, key)| (at, key)));
        }
        while let Some((came, request)) = self.patience.next_of(at) {
            if self.under_way.get(request).is_some() {
                let end = self.patience.end_of(came);
                self.agenda.push_before(Lane::Patience, end, Event::Patience(request));
            }
        }
    }

    #[cold]
    pub(super) fn lose_patience(&mut self, request: Key) {
        let Some(&Open { balancer, .. }) = self.under_way.get(request) else { return };
        let mut legs = Vec::new();
        self.under_way.release(request, &mut legs);
        if legs.is_empty() {
            self.subject.cancelled(self.now, balancer, Client::id(request));
        }
        for (leg, attempt) in legs {
            self.cancel(leg, &attempt);
            self.subject.client_left(self.now, &attempt.order());
        }
        self.drop_void_deadlines();
        let outcome = Outcome::Failed(FailureKind::Timeout);
        self.end_rarely(Answer { request, outcome, status: None, backend: None });
    }

    /// The run is interrupted: what is open stays unfinished.
    #[cold]
    pub(super) fn abandon(&mut self) {
        for (_, open) in self.under_way.iter() {
            self.recorder.end(&open.exchange(self.now, Outcome::Unfinished, None, None));
        }
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
        let added = self.under_way.add(request, Leg::new(order, connection));
        let (leg, open) = added.expect("the subject knows open requests alone");
        let luck = self.client.luck(open.request, number);
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
        let Some(attempt) = self.under_way.leg(leg) else { return };
        let server = &self.servers[attempt.backend as usize];
        let reply = match server.accept() {
            Some(connection) => Event::Accepted(leg, connection),
            None => Event::Refused(leg),
        };
        self.travel(reply);
    }

    /// An attempt has its connection.
    #[cold]
    pub(super) fn transmit(&mut self, leg: Key, connection: Connection) {
        let Some(luck) = self.luck_of(leg) else { return };
        let Some(attempt) = self.under_way.leg_mut(leg) else { return };
        attempt.connection = Some(connection);
        let backend = attempt.backend;
        self.post(Parcel { leg, backend, connection, luck });
    }

    /// The luck of an attempt, if it has not ended.
    pub(super) fn luck_of(&self, leg: Key) -> Option<u64> {
        let open = self.under_way.owner(leg)?;
        Some(self.client.luck(open.request, self.under_way.leg(leg)?.number))
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
            && let Some(attempt) = self.under_way.leg(leg)
        {
            reports.sent(attempt.balancer, backend);
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
        if self.under_way.leg(leg).is_some_and(|attempt| attempt.connection.is_none()) {
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
        let Some((request, attempt)) = self.end_leg(leg) else { return };
        if error == FailureKind::Timeout {
            self.cancel(leg, &attempt);
        }
        let step = self.subject.failed(self.now, &attempt.order(), error, sent, attempt.reused);
        self.proceed(request, step, None);
    }

    #[inline(always)] // every request passes here
    pub(super) fn answer(&mut self, leg: Key, status: u16) {
        let Some((request, attempt)) = self.end_leg(leg) else { return };
        let backend = attempt.backend;
        if attempt.connection.is_some_and(|open| self.servers[backend as usize].holds(open)) {
            self.kept.put(backend, attempt.balancer);
        }
        match self.subject.answered(self.now, &attempt.order(), status) {
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
        let place = self.losers.iter().position(|(_, leg)| leg.is(attempt));
        let (leg, attempt) = self.losers.swap_remove(place.expect("it lost in this very moment"));
        self.cancel(leg, &attempt);
        self.subject.aborted(self.now, &attempt.order());
    }

    #[inline(always)] // answers are the usual reason
    fn end_leg(&mut self, leg: Key) -> Option<(Key, Leg)> {
        let ended = self.under_way.end_leg(leg)?;
        self.drop_void_deadlines();
        Some(ended)
    }

    /// Forgets when attempts had to be answered that have ended.
    #[inline(always)] // as above
    fn drop_void_deadlines(&mut self) {
        let Self { under_way, agenda, .. } = self;
        let is_void =
            |event: &Event| matches!(event, Event::AnswerBy(leg) if under_way.leg(*leg).is_none());
        agenda.prune(Lane::Attempt, under_way.most_legs(), is_void);
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
            self.travel(Event::Cancel { leg, backend: attempt.backend });
        }
    }

    /// A backend is looked at because an answer is due.
    #[inline(always)] // every request passes here
    pub(super) fn take_answer(&mut self, backend: u32) {
        match self.servers[backend as usize].look(self.now) {
            Look::Answer(answer) => {
                self.give_back(&answer);
                self.settle_server(backend);
            }
            Look::Done(next) => self.put_off(backend, next),
        }
    }

    /// What was due has been put off, by a fault or by sharing.
    #[cold]
    fn put_off(&mut self, backend: u32, next: Option<Time>) {
        self.look_later(backend, next);
    }

    /// Sends on what a backend has ready, and looks again when there will be more.
    #[inline(always)] // two places, which every request passes
    pub(super) fn settle_server(&mut self, backend: u32) {
        let next = match self.servers[backend as usize].look_again(self.now) {
            Look::Answer(answer) => self.give_back_all(backend, answer),
            Look::Done(next) => next,
        };
        self.look_later(backend, next);
    }

    /// Looks at a backend again at this time, if there is one.
    #[inline(always)] // as above
    fn look_later(&mut self, backend: u32, next: Option<Time>) {
        if let Some(at) = next {
            self.agenda.push_wake(at, backend);
        }
        if self.reported {
            self.report_work(backend);
        }
    }

    /// Sends an answer back, and all others that are due; when to look again.
    #[cold]
    fn give_back_all(&mut self, backend: u32, mut answer: workload::Answer) -> Option<Time> {
        loop {
            self.give_back(&answer);
            match self.servers[backend as usize].look(self.now) {
                Look::Answer(another) => answer = another,
                Look::Done(next) => return next,
            }
        }
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
