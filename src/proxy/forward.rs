//! The life of one request between the client's protocol and its attempts: ask the balancer, send,
//! report, and send again, wait or give up. It must not choose a backend, judge whether a request
//! may be sent again, nor know the client's protocol.

use std::borrow::Cow;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{FailureKind, RequestId, RequestMeta, Time};
use policy::{End, Head, Reject};
use tokio::time::timeout;

use crate::answer::Own;
use crate::decision::{Leg, Opening, Over, Step};
use crate::exchange::{Exchange, Failed};
use crate::http1::Framing;
use crate::journal::{Came, Journal};
use crate::parcel::Parcel;
use crate::upload::{Nothing, Upload};
use crate::waiting::{Mail, Ticket, Waiter};
use crate::worker::Worker;

/// Why there is no backend's answer.
pub(crate) enum NoAnswer {
    /// The proxy answers itself.
    Own(Own),
    /// Nobody is there to be answered.
    ClientLeft,
}

/// A request with its attempts.
struct Race<'a, U> {
    worker: &'a Rc<Worker>,
    parcel: &'a mut Parcel,
    upload: &'a mut U,
    journal: &'a mut Journal,
    first: Option<Exchange>,
    /// A hedge: the first one's rival.
    second: Option<Exchange>,
    /// The right to hear of what is decided later, where that can be.
    ticket: Option<Ticket>,
    /// Attempts so far.
    attempts: u32,
    /// A kept connection has died under it. Backends close what is idle, and where one has died
    /// others have too: its next attempts do not try their luck with those.
    unlucky: bool,
    id: RequestId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lap {
    First,
    Second,
}

enum Event {
    Head(Lap, Result<(), Failed>),
    Mail(Mail),
    ClientLeft,
}

/// Sends a request until the balancer says that an answer is to be delivered. The attempt goes on
/// in what is returned, unless that is whole.
pub(crate) async fn obtain<U: Upload>(
    worker: &Rc<Worker>,
    meta: RequestMeta,
    parcel: &mut Parcel,
    upload: &mut U,
    journal: &mut Journal,
) -> Result<Exchange, NoAnswer> {
    let begin = worker.shared.begin(meta);
    journal.asked = begin.at;
    let ticket = begin.waiter.map(|waiter| Ticket::new(&worker.shared, meta.id, waiter));
    let (first, second) = (None, None);
    let mut race = Race {
        worker,
        parcel,
        upload,
        journal,
        first,
        second,
        ticket,
        attempts: 0,
        unlucky: false,
        id: meta.id,
    };
    match begin.verdict {
        Opening::Send(leg) => race.start(leg)?,
        Opening::Wait => race.waits(true),
        Opening::Reject(reject) => return Err(race.rejected(reject)),
    }
    loop {
        match poll_fn(|cx| race.poll(cx)).await {
            Event::ClientLeft => return Err(NoAnswer::ClientLeft),
            Event::Mail(Mail::Send(leg)) => {
                race.waited(leg.at);
                race.start(leg)?;
            }
            Event::Mail(Mail::Reject(reject)) => {
                let now = worker.shared.clock.now();
                race.journal.done = Some(now);
                race.waited(now);
                return Err(race.rejected(reject));
            }
            Event::Head(lap, Ok(())) => {
                if let Some(exchange) = race.answered(lap)? {
                    return Ok(exchange);
                }
            }
            Event::Head(lap, Err(failed)) => race.failed(lap, failed)?,
        }
    }
}

impl<U: Upload> Race<'_, U> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(ticket) = &self.ticket
            && let Poll::Ready(mail) = ticket.poll(cx)
        {
            return Poll::Ready(Event::Mail(mail));
        }
        let mut reading = false;
        if let Some(first) = &mut self.first {
            if let Poll::Ready(outcome) = first.poll_head(cx, self.parcel, self.upload) {
                return Poll::Ready(Event::Head(Lap::First, outcome));
            }
            reading = first.is_open() && !first.is_sent();
        }
        if let Some(second) = &mut self.second
            && let Poll::Ready(outcome) = second.poll_head(cx, self.parcel, &mut Nothing)
        {
            return Poll::Ready(Event::Head(Lap::Second, outcome));
        }
        self.upload.poll_interim(cx);
        // While the request's body is read, that tells of it.
        if !reading && self.upload.poll_gone(cx).is_ready() {
            return Poll::Ready(Event::ClientLeft);
        }
        Poll::Pending
    }

    /// Whether it waits for a decision with no attempt out.
    fn waits(&mut self, waits: bool) {
        if let Some(ticket) = &mut self.ticket {
            ticket.pending = waits;
        }
    }

    /// It was decided at `until`; who had no attempt by then has waited in the queue.
    fn waited(&self, until: Time) {
        if self.attempts == 0 {
            self.worker.counters.queue_waits.observe(until.since(self.journal.asked));
        }
    }

    fn start(&mut self, leg: Leg) -> Result<(), NoAnswer> {
        self.waits(false);
        self.attempts = self.attempts.max(leg.attempt.number);
        let hedge = self.first.is_some();
        // A hedge cannot share what the client has still to give.
        if hedge && (self.second.is_some() || !self.upload.has_ended())
            || !self.parcel.is_replayable()
        {
            self.worker.shared.end(leg.attempt.id, End::Aborted);
            // The balancer was told that it could not be sent again.
            return if hedge { Ok(()) } else { Err(self.gave_up(Some(FailureKind::Protocol))) };
        }
        let mut exchange = Exchange::start(self.worker, leg, self.parcel, self.unlucky);
        exchange.hedge = hedge;
        *(if hedge { &mut self.second } else { &mut self.first }) = Some(exchange);
        Ok(())
    }

    /// Takes an attempt off the race; its rival becomes the first.
    fn take(&mut self, lap: Lap) -> Exchange {
        let taken = match lap {
            Lap::First => std::mem::replace(&mut self.first, self.second.take()),
            Lap::Second => self.second.take(),
        };
        taken.expect("it was polled a moment ago")
    }

    /// A head is there: the exchange, if its answer is to be delivered.
    fn answered(&mut self, lap: Lap) -> Result<Option<Exchange>, NoAnswer> {
        let mut exchange = self.take(lap);
        let report = Head::Status {
            status: exchange.head().status(),
            replayable: self.parcel.is_replayable(),
            retry_after: exchange.retry_after(),
        };
        // Nothing more is asked of the backend: its connection is free before the client has the
        // answer.
        let whole = exchange.is_whole() && exchange.is_sent();
        let status = exchange.head().status();
        let over = Over { attempt: whole, waiting: self.ticket.is_some() };
        let (step, at) = self.worker.shared.head(&exchange.leg.attempt, report, over);
        if matches!(step, Step::Deliver)
            && let Some(ticket) = self.ticket.take()
        {
            // Closed in the same turn under the lock: every request that may be hedged has a box.
            ticket.spend();
        }
        if matches!(step, Step::Deliver)
            && let Some(loser) = self.first.take()
        {
            self.note(&loser, at, Came::Nothing);
            loser.end(End::Aborted);
        }
        self.note(&exchange, at, Came::Status(status));
        match step {
            Step::Deliver => {
                if whole {
                    exchange.disarm();
                    exchange.settle();
                }
                return Ok(Some(exchange));
            }
            Step::Retry(leg) => {
                exchange.disarm();
                recycle(exchange);
                self.start(leg)?;
            }
            Step::Later(waiter) => {
                exchange.disarm();
                recycle(exchange);
                self.later(waiter);
            }
            Step::GiveUp => {
                exchange.disarm();
                return Err(self.gave_up(None));
            }
        }
        Ok(None)
    }

    fn failed(&mut self, lap: Lap, failed: Failed) -> Result<(), NoAnswer> {
        let mut exchange = self.take(lap);
        let (error, report) = match failed {
            Failed::Upstream { error, sent, reused } => {
                let replayable = self.parcel.is_replayable();
                self.unlucky |= reused;
                (error, Head::Failed { error, sent, reused, replayable })
            }
            Failed::Shortage(error) => {
                self.note_nothing(&exchange);
                exchange.end(End::Aborted);
                self.worker.counters.shortages.increment();
                if self.first.is_some() {
                    return Ok(());
                }
                let text = format!("the proxy cannot open a connection: {error}");
                return Err(self.own(503, text));
            }
            Failed::Client(fault) => {
                self.note_nothing(&exchange);
                exchange.end(End::ClientLeft);
                return Err(NoAnswer::Own(Own::of_fault(fault)));
            }
            Failed::ClientLate => {
                self.note_nothing(&exchange);
                exchange.end(End::ClientLeft);
                return Err(NoAnswer::Own(Own::new(408, "the request's body took too long")));
            }
        };
        let (step, at) = self.worker.shared.head(&exchange.leg.attempt, report, Over::default());
        self.note(&exchange, at, Came::Failed(error));
        if matches!(step, Step::Deliver) {
            // There is nothing to deliver; the attempt is still open.
            exchange.end(End::UpstreamBroke);
            return Err(self.gave_up(Some(error)));
        }
        exchange.disarm();
        exchange.give_back();
        match step {
            Step::Retry(leg) => self.start(leg),
            Step::Later(waiter) => {
                self.later(waiter);
                Ok(())
            }
            Step::Deliver | Step::GiveUp => Err(self.gave_up(Some(error))),
        }
    }

    /// Notes what came of an attempt.
    fn note(&mut self, exchange: &Exchange, at: Time, came: Came) {
        let tried = exchange.tried(at, came);
        self.worker.counters.tried(&tried);
        self.journal.tried.push(tried);
    }

    /// Notes that nothing came of it.
    fn note_nothing(&mut self, exchange: &Exchange) {
        self.note(exchange, self.worker.shared.clock.now(), Came::Nothing);
    }

    fn later(&mut self, waiter: Arc<Waiter>) {
        let ticket = || Ticket::new(&self.worker.shared, self.id, waiter);
        self.ticket.get_or_insert_with(ticket);
        let waits = self.first.is_none();
        self.waits(waits);
    }

    fn own(&self, status: u16, text: impl Into<Cow<'static, str>>) -> NoAnswer {
        NoAnswer::Own(Own { attempts: self.attempts, ..Own::new(status, text) })
    }

    /// The answer when every attempt failed; `error` is the last one's.
    fn gave_up(&self, error: Option<FailureKind>) -> NoAnswer {
        let error = error.unwrap_or(FailureKind::Status);
        let text = match error {
            FailureKind::Timeout => "backend: no answer in time",
            FailureKind::ConnectTimeout => "backend: no connection in time",
            FailureKind::Connect => "backend: connection failed",
            FailureKind::Reset => "backend: connection broke",
            FailureKind::Protocol => "backend: not an HTTP answer",
            FailureKind::Status => "backend: the backend failed",
        };
        self.own(error.gateway_status(), text)
    }

    fn rejected(&mut self, reject: Reject) -> NoAnswer {
        self.waits(false);
        self.journal.reject = Some(reject);
        let text = match reject {
            Reject::NoBackend => "no backend is in service",
            Reject::RateLimited(_) => "more requests than the rate allows",
            Reject::Overloaded => "too many requests are in flight",
            Reject::QueueFull => "too many requests are waiting",
            Reject::QueueTimeout => "no backend had room in time",
        };
        let status = reject.status();
        NoAnswer::Own(Own {
            reject: Some(reject),
            attempts: self.attempts,
            ..Own::new(status, text)
        })
    }
}

impl<U> Drop for Race<'_, U> {
    /// Whoever drops a race with attempts in it, the client has left.
    fn drop(&mut self) {
        for exchange in [self.first.take(), self.second.take()].into_iter().flatten() {
            let tried = exchange.tried(self.worker.shared.clock.now(), Came::Nothing);
            self.worker.counters.tried(&tried);
            self.journal.tried.push(tried);
        }
    }
}

/// The largest answer that is read to its end although nobody wants it: cheaper than a connection.
const MAX_RECYCLED_BYTES: u64 = 64 * 1024;
/// How long that may take.
const RECYCLE_LIMIT: Duration = Duration::from_secs(1);

/// Keeps the connection of an answer that a retry has replaced.
fn recycle(mut exchange: Exchange) {
    if exchange.is_whole() {
        exchange.settle();
        return exchange.give_back();
    }
    match exchange.head().framing() {
        Framing::Length(bytes) if bytes > MAX_RECYCLED_BYTES => return exchange.give_back(),
        Framing::UntilClose => return exchange.give_back(),
        _ => {}
    }
    tokio::task::spawn_local(async move {
        exchange.pass_head();
        let reading = async {
            let mut read = 0;
            while !(exchange.is_whole() && exchange.ready().is_empty()) {
                poll_fn(|cx| exchange.poll_body(cx)).await.ok()?;
                let count = exchange.ready().len();
                read += count as u64;
                exchange.consume(count);
                if read > MAX_RECYCLED_BYTES {
                    return None;
                }
            }
            Some(())
        };
        if let Ok(Some(())) = timeout(RECYCLE_LIMIT, reading).await {
            exchange.settle();
        }
        exchange.give_back();
    });
}
