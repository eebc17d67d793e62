//! The open loop: sends each request at its intended time, whatever became of those before.
//! It must not know HTTP's syntax, nor decide anything but when a request goes on which connection.
//!
//! All times in here count from the beginning of the warm-up.

use std::io;
use std::time::Duration;

use base::{Clock, FailureKind, Outcome, Stop, Time};
use mio::event::Event;
use mio::{Events, Poll, Token};
use record::{Exchange, Recorder};
use scenario::LoadSpec;
use workload::{Arrival, Arrivals};

use super::account::Account;
use super::connection::Progress;
use super::fleet::Fleet;
use super::ledger::{Ledger, Open, Place};
use super::pacer::Pacer;
use super::priority::Priority;
use super::response::Head;
use super::slab::PACER;
use super::{LoadError, LoadReport, Sink, Target};

/// The loop wakes at least this often, to look at the stop flag and to notice that it was kept from
/// running: a stall of the 20 ms that make a run suspect is four ticks.
const TICK: Duration = Duration::from_millis(5);

/// Events taken from the system at once; some 2 ms of work, so that a turn is never a stall.
const EVENTS: usize = 256;

/// After so many events the schedule is looked at, lest it wait for the rest of them.
const EVENTS_BETWEEN: usize = 16;

/// Arrivals taken from the schedule at once, when there is a backlog of them.
const ARRIVALS: usize = 64;

/// Plays a load from `start` of `clock` to the end of the last request, on this thread.
///
/// Everything is told to `recorder` in time since `start`. When `stop` is raised, what is open ends
/// as unfinished, the recorder is told of the interruption, and the report is that of the time
/// until then.
///
/// # Errors
/// When the load cannot be sent to this target at all, or the system refuses an event queue or a
/// timer. What the subject does is no error.
pub fn run(
    load: &LoadSpec,
    arrivals: Arrivals,
    target: &Target,
    clock: &Clock,
    start: Time,
    recorder: &mut Recorder,
    stop: &Stop,
) -> Result<LoadReport, LoadError> {
    play(load, arrivals, target, clock, start, recorder, stop)
}

/// [`run`] for any schedule and any listener.
pub(super) fn play<S: Sink>(
    load: &LoadSpec,
    arrivals: impl Iterator<Item = Arrival>,
    target: &Target,
    clock: &Clock,
    start: Time,
    sink: &mut S,
    stop: &Stop,
) -> Result<LoadReport, LoadError> {
    // A clock whose zero is the beginning of the warm-up; before that it stands still.
    let own = Clock::from_epoch_ns(clock.epoch_ns().saturating_add(start.as_nanos()));
    let mut generator = OpenLoop::new(load, arrivals, target, own, sink)?;
    let mut events = Events::with_capacity(EVENTS);
    let _priority = Priority::raise();
    while clock.now() < start && !stop.is_raised() {
        std::thread::sleep(start.since(clock.now()).min(TICK));
    }
    loop {
        if stop.is_raised() {
            generator.abandon();
            break;
        }
        generator.wait(&mut events)?;
        if generator.turn(&events) {
            break;
        }
    }
    Ok(generator.account.report(generator.fleet.openings()))
}

struct OpenLoop<'a, A, S> {
    timeout: Duration,
    /// When the phases end.
    end: Time,
    arrivals: A,
    next: Option<Arrival>,
    /// The target of the next request.
    turn: u32,
    clock: Clock,
    poll: Poll,
    pacer: Pacer,
    fleet: Fleet,
    ledger: Ledger,
    /// Connections with more to read that no event will announce.
    again: Vec<Token>,
    account: Account,
    sink: &'a mut S,
}

impl<'a, A: Iterator<Item = Arrival>, S: Sink> OpenLoop<'a, A, S> {
    fn new(
        load: &LoadSpec,
        mut arrivals: A,
        target: &Target,
        clock: Clock,
        sink: &'a mut S,
    ) -> Result<Self, LoadError> {
        let poll = Poll::new().map_err(LoadError::system("create an event queue"))?;
        let pacer = Pacer::new(clock, poll.registry(), PACER)
            .map_err(LoadError::system("create a timer"))?;
        let registry =
            poll.registry().try_clone().map_err(LoadError::system("share its event queue"))?;
        let end = Time::ZERO + load.shape.length();
        Ok(Self {
            timeout: load.timeout,
            end,
            next: arrivals.next(),
            arrivals,
            turn: 0,
            clock,
            poll,
            pacer,
            fleet: Fleet::new(load, target, clock, registry)?,
            ledger: Ledger::default(),
            again: Vec::new(),
            account: Account::new(Time::ZERO + load.shape.warmup, end),
            sink,
        })
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, events: &mut Events) -> Result<(), LoadError> {
        let slept = self.clock.now();
        let due = self.wakes_at(slept);
        let patience = if due <= slept { Some(Duration::ZERO) } else { None };
        if patience.is_none() {
            self.pacer.arm(due).map_err(LoadError::system("set its timer"))?;
        }
        match self.poll.poll(events, patience) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            Err(source) => return Err(LoadError::System { what: "wait for events", source }),
        }
        self.account.stall.handle_wake(slept, due, self.clock.now());
        Ok(())
    }

    /// When there will be something to do even if no socket has news.
    fn wakes_at(&self, now: Time) -> Time {
        if !self.again.is_empty() {
            return now;
        }
        let arrival = self.next.filter(|_| !self.ledger.is_full()).map(|next| next.at);
        let deadline = self.ledger.oldest().map(|(_, arrival, _)| arrival.at + self.timeout);
        let due = [arrival, deadline, self.fleet.wakes_at()];
        due.into_iter().flatten().fold(now + TICK, Time::min)
    }

    /// Does what there is to do; true when the load has ended.
    fn turn(&mut self, events: &Events) -> bool {
        let begun = self.clock.now();
        for token in std::mem::take(&mut self.again) {
            self.handle(token, None);
        }
        for (number, event) in events.iter().enumerate() {
            if event.token() != PACER {
                self.handle(event.token(), Some(event));
            }
            if number % EVENTS_BETWEEN == EVENTS_BETWEEN - 1 {
                self.take_arrivals();
            }
        }
        // Answers that are there already have come in time; only then do timeouts strike.
        self.expire(begun);
        self.take_arrivals();
        self.fleet.open_wanted(begun);
        while let Some((target, kind)) = self.fleet.poll_refused() {
            self.fail_oldest(target, kind);
        }
        let now = self.clock.now();
        self.account.handle_time(now);
        self.account.stall.handle_work(begun, now);
        self.next.is_none() && self.ledger.is_empty() && now >= self.end
    }

    /// Takes up the requests whose intended time has come.
    fn take_arrivals(&mut self) {
        let mut now = self.clock.now();
        for _ in 0..ARRIVALS {
            let Some(arrival) = self.next.filter(|next| next.at <= now) else { return };
            if self.ledger.is_full() {
                return;
            }
            self.next = self.arrivals.next();
            now = self.take(arrival, now);
        }
    }

    /// Takes up one request; returns the time after that.
    fn take(&mut self, arrival: Arrival, now: Time) -> Time {
        self.sink.begin(arrival.at);
        let target = self.turn;
        self.turn = (self.turn + 1) % self.fleet.targets();
        let open = self.ledger.begin(arrival, Place::Waiting(target));
        if arrival.at + self.timeout <= now {
            // The generator is so late that there is no time left to send it in.
            self.account.handle_request(arrival.at, now, false);
            self.finish(open, None, now, Outcome::Dropped, None);
            return now;
        }
        let Some(index) = self.fleet.borrow(target) else {
            self.account.handle_request(arrival.at, now, true);
            self.fleet.queue(target, open, now);
            return now;
        };
        let sent = self.send(index, open).unwrap_or(now);
        self.account.handle_request(arrival.at, sent, false);
        sent
    }

    /// Sends a request on a connection that is free; returns when its first byte went.
    fn send(&mut self, index: u32, open: Open) -> Option<Time> {
        let arrival = self.ledger.arrival(open);
        match self.fleet.send(index, open, &arrival) {
            Ok(sent) => {
                self.ledger.place(open, Place::Sent(index));
                sent
            }
            Err(kind) => {
                // The peer had closed it already. A client sees a reset, so that is what counts.
                self.finish(open, None, self.clock.now(), Outcome::Failed(kind), None);
                None
            }
        }
    }

    /// Goes on with the connection that a token is for.
    fn handle(&mut self, token: Token, event: Option<&Event>) {
        let Some((index, progress)) = self.fleet.handle(token, event) else { return };
        match progress {
            Progress::Pending => {}
            Progress::Again => self.again.push(token),
            Progress::Connected => self.release(index),
            Progress::Refused(kind) => self.refused(index, kind),
            Progress::Answered { head, reusable } => {
                self.answered(index, head);
                if reusable {
                    self.release(index);
                } else {
                    self.fleet.close(index);
                }
            }
            Progress::Broken(kind) => {
                self.broken(index, kind);
                self.fleet.close(index);
            }
            Progress::Gone => self.fleet.close(index),
        }
    }

    /// A connection could not be opened.
    fn refused(&mut self, index: u32, kind: FailureKind) {
        let Some(target) = self.fleet.seat(index).map(|seat| seat.target) else { return };
        self.fail_oldest(target, kind);
        self.fleet.close(index);
    }

    /// A connection broke under its request.
    fn broken(&mut self, index: u32, kind: FailureKind) {
        let Some(seat) = self.fleet.seat(index) else { return };
        let Some(open) = seat.carries.take() else { return };
        let sent = seat.connection.sent();
        self.finish(open, sent, self.clock.now(), Outcome::Failed(kind), None);
    }

    /// A whole answer has come.
    fn answered(&mut self, index: u32, head: Head) {
        let Some(seat) = self.fleet.seat(index) else { return };
        let Some(open) = seat.carries.take() else { return };
        let (sent, now) = (seat.connection.sent(), self.clock.now());
        let late = self.ledger.arrival(open).at + self.timeout < now;
        let outcome = if late {
            Outcome::Failed(FailureKind::Timeout)
        } else {
            Outcome::of_status(head.status)
        };
        self.finish(open, sent, now, outcome, Some(head));
    }

    /// A connection is free: the request that has waited longest goes on it.
    fn release(&mut self, index: u32) {
        if let Some(open) = self.fleet.release(index) {
            self.send(index, open);
        }
    }

    /// The request that has waited longest for this target has failed.
    fn fail_oldest(&mut self, target: u32, kind: FailureKind) {
        if let Some(open) = self.fleet.unqueue(target) {
            self.finish(open, None, self.clock.now(), Outcome::Failed(kind), None);
        }
    }

    /// Ends the requests whose timeout has passed.
    fn expire(&mut self, now: Time) {
        while let Some((open, arrival, place)) = self.ledger.oldest() {
            if arrival.at + self.timeout > now {
                return;
            }
            match place {
                Place::Sent(index) => {
                    self.broken(index, FailureKind::Timeout);
                    self.fleet.close(index);
                }
                Place::Waiting(target) => self.expire_waiting(open, target, now),
                Place::Ended => unreachable!("the oldest entry of the ledger is open"),
            }
        }
    }

    /// A request's timeout has passed while it waited. When a connection was being opened for it,
    /// the subject did not let it in; otherwise all were busy, and it is dropped.
    fn expire_waiting(&mut self, open: Open, target: u32, now: Time) {
        let first = self.fleet.unqueue(target);
        debug_assert_eq!(first, Some(open), "requests wait in the order of their deadlines");
        let outcome = match self.fleet.slowest(target) {
            Some(index) => {
                self.fleet.close(index);
                Outcome::Failed(FailureKind::ConnectTimeout)
            }
            None => Outcome::Dropped,
        };
        self.finish(open, None, now, outcome, None);
    }

    /// Tells how a request ended.
    fn finish(
        &mut self,
        open: Open,
        sent: Option<Time>,
        ended: Time,
        outcome: Outcome,
        head: Option<Head>,
    ) {
        let Arrival { at: intended, request, .. } = self.ledger.end(open);
        self.sink.end(&Exchange {
            request,
            intended,
            sent,
            ended,
            outcome,
            status: head.map(|head| head.status),
            backend: head.and_then(|head| head.backend),
        });
    }

    /// Ends everything that is open, and what should have begun by now, as unfinished.
    fn abandon(&mut self) {
        let now = self.clock.now();
        while let Some((open, _, place)) = self.ledger.oldest() {
            let sent = match place {
                Place::Sent(index) => {
                    self.fleet.seat(index).and_then(|seat| seat.connection.sent())
                }
                Place::Waiting(_) | Place::Ended => None,
            };
            self.finish(open, sent, now, Outcome::Unfinished, None);
        }
        while let Some(arrival) = self.next.filter(|next| next.at <= now) {
            self.next = self.arrivals.next();
            self.sink.begin(arrival.at);
            let open = self.ledger.begin(arrival, Place::Waiting(0));
            self.finish(open, None, now, Outcome::Unfinished, None);
        }
        self.sink.interrupted(now);
    }
}
