//! The loop: pop an event, call whom it concerns, push what follows. It must not decide.

mod ahead;
mod event;
mod late;
mod requests;
mod upkeep;

use std::collections::VecDeque;
use std::time::Duration;

use base::{FailureKind, Key, Outcome, Rng, Sent, Slab, Stop, Time};
use policy::Output;
use record::{Overhead, Recorder};
use scenario::Trial;
use workload::{Arrival, FaultPlan};

use self::ahead::Ahead;
use self::event::{Event, Next, Parcel};
use self::upkeep::Check;
use crate::agenda::{Agenda, Due, Lane, MAX_EVENTS};
use crate::client::Client;
use crate::connections::Kept;
use crate::idle::IdleReports;
use crate::overhead::Late;
use crate::patience::Patience;
use crate::server::Server;
use crate::subject::{Step, Subject};
use crate::under_way::{Leg, UnderWay};

/// The most events that may be to come, which bounds memory. Requests have a few each until they
/// end, so only a load beyond any sense gets there.
pub const MAX_PENDING: usize = 1 << 23;

/// What one of them takes at most, with all that stands behind it: the open request and its attempt, a
/// line of the processor's cache in the engine and one in the balancer, its place in a backend's queue and
/// by name. That is some hundreds of bytes, most of it in tables that are there three times over while
/// they double.
pub const PENDING_BYTES: usize = 2_000;

/// Rounds of the loop, two a request, between two looks at the stop flag: a millisecond or so.
const STOP_EVERY: u64 = 4096;

/// Why a trial could not be played to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More is under way than memory should hold.
    #[error(
        "{variant}: more than {most} events are to come at {at} of virtual time, which is all that \
         memory should hold; {}",
        if *.for_nobody > .most / 2 {
            "backends finish too much for clients that have gone: lower the rate, bound the backends' \
             queues, or let them drop what is abandoned (abandoned = \"drop\")"
        } else {
            "lower the rate, load.timeout or proxy.view_delay, or give the backends more concurrency"
        }
    )]
    TooMuchPending {
        /// The trial's variant.
        variant: String,
        /// When.
        at: Time,
        /// How many were allowed.
        most: usize,
        /// How many of them are ends of what backends finish for clients that have gone.
        for_nobody: usize,
    },
    /// The order of events has no place left.
    #[error(
        "{variant}: more than {MAX_EVENTS} events have happened by {at} of virtual time, which is \
         all that one trial can have; lower the rate or the duration, and play more `rounds`"
    )]
    TooManyEvents {
        /// The trial's variant.
        variant: String,
        /// When.
        at: Time,
    },
}

/// What an engine in virtual time needs to know of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// So many events may be to come: there is memory for them, [`PENDING_BYTES`] each.
    pub pending: usize,
    /// What a machine takes beyond the service times; without it they are all that takes time.
    pub overhead: Option<&'a Overhead>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { pending: MAX_PENDING, overhead: None }
    }
}

/// Plays a trial to its end, or until `stop` is raised, into `recorder`. The same trial gives the
/// same record.
///
/// # Errors
/// When the load is so far beyond the backends that memory would run out.
pub fn play(trial: &Trial, recorder: &mut Recorder, stop: &Stop) -> Result<(), Error> {
    play_with(trial, recorder, stop, Options::default())
}

/// The same in these surroundings.
///
/// # Errors
/// As [`play`].
pub fn play_with(
    trial: &Trial,
    recorder: &mut Recorder,
    stop: &Stop,
    options: Options<'_>,
) -> Result<(), Error> {
    let mut engine = Engine::new(trial, recorder);
    engine.most = options.pending;
    let late =
        |overhead| Late::new(overhead, trial.variant.proxy.kind, &Rng::from_seed(trial.seed));
    engine.late = options.overhead.map(late);
    engine.begin();
    engine.run(stop)
}

/// What a client will see when it has come back to it.
#[derive(Debug)]
struct Answer {
    request: Key,
    outcome: Outcome,
    status: Option<u16>,
    /// The one that answered.
    backend: Option<u32>,
}

struct Engine<'a> {
    trial: &'a Trial,
    recorder: &'a mut Recorder,
    faults: FaultPlan,
    agenda: Agenda<Event>,
    now: Time,
    /// Events that may be to come.
    most: usize,
    /// What backends hold for clients that have gone: what was found when it was counted last, and all
    /// that was called off since. Requests on the network make the count lower by as many.
    for_nobody: usize,
    /// One way.
    delay: Duration,
    /// What requests and attempts take beside their service.
    late: Option<Late<'a>>,
    /// What is on its way back to clients, where that takes time.
    answers: Slab<Answer>,
    client: Client,
    patience: Patience,
    under_way: UnderWay,
    subject: Subject,
    servers: Vec<Server>,
    idle_reports: Option<IdleReports>,
    kept: Kept,
    /// The next request to come.
    coming: Option<Arrival>,
    parcels: VecDeque<Parcel>,
    next: Option<Next>,
    /// Attempts whose request was answered by another one: the subject is about to break them off.
    losers: Vec<(Key, Leg)>,
    checks: Slab<Check>,
    /// Somebody wants to know when backends are idle, or will be.
    reported: bool,
    /// The subject has asked for the load of a backend, so all of them watch theirs.
    load_watched: bool,
    ahead: Ahead,
    /// What the balancers have told, noted or not.
    events_told: u64,
    /// Boundaries that have not come.
    boundaries_left: u32,
}

impl<'a> Engine<'a> {
    fn new(trial: &'a Trial, recorder: &'a mut Recorder) -> Self {
        let variant = &trial.variant;
        let rng = Rng::from_seed(trial.seed);
        let subject = Subject::new(&variant.proxy, &variant.backends, &rng);
        let idle_reports = IdleReports::of(&variant.proxy, variant.backends.len(), &rng);
        Self {
            trial,
            recorder,
            faults: trial.fault_plan(),
            agenda: Agenda::new(variant.backends.len()),
            now: Time::ZERO,
            delay: variant.network.delay,
            late: None,
            answers: Slab::new(),
            client: Client::new(&variant.load, &variant.proxy.settings, &rng),
            patience: Patience::new(variant.load.timeout),
            under_way: UnderWay::new(),
            reported: idle_reports.is_some() || subject.wants_work(),
            subject,
            servers: Server::all(variant.backends.iter().map(|backend| &backend.model)),
            idle_reports,
            kept: Kept::new(variant.backends.len(), variant.proxy.balancers as usize),
            coming: None,
            parcels: VecDeque::new(),
            next: None,
            losers: Vec::new(),
            checks: Slab::new(),
            load_watched: false,
            ahead: Ahead::new(variant.backends.len()),
            events_told: 0,
            boundaries_left: 0,
            most: MAX_PENDING,
            for_nobody: 0,
        }
    }

    /// Fills the pools, has the first probes answered at once, and sets everything going.
    fn begin(&mut self) {
        for balancer in 0..self.subject.balancers() {
            while let Some(output) = self.subject.poll_output(balancer) {
                // What a balancer says of this is no part of the run: live it happens before it.
                if let Output::Build(work) = output {
                    self.subject.built(Time::ZERO, balancer, work.run());
                } else if let Output::Probe(probe) = output {
                    let found = self.connecting_finds(&probe);
                    let found = found.unwrap_or_else(|| self.asking_finds(&probe).1);
                    let result = found.result(Duration::ZERO);
                    self.subject.probed(Time::ZERO, balancer, probe.id, result);
                }
            }
            self.subject.hear_later();
        }
        self.report_idle_ones();
        let shape = &self.trial.variant.load.shape;
        let measured = (shape.length() - shape.warmup).as_nanos();
        let windows = measured.div_ceil(self.trial.window.as_nanos().max(1));
        self.boundaries_left = u32::try_from(windows).unwrap_or(u32::MAX - 1) + 1;
        self.agenda.push(Time::ZERO + shape.warmup, Event::Boundary(0));
        self.push_fault(0);
        self.push_arrival();
        for balancer in 0..self.subject.balancers() {
            self.settle_balancer(balancer);
        }
    }

    fn run(&mut self, stop: &Stop) -> Result<(), Error> {
        while !self.is_over() {
            if stop.is_raised() {
                self.abandon();
                self.recorder.interrupted(self.now);
                break;
            }
            self.check_limits()?;
            for _ in 0..STOP_EVERY {
                match self.pop() {
                    Due::Arrival => self.play_arrival(),
                    Due::Wake(backend) => self.play_wake(backend),
                    Due::Event(event) => self.handle(event),
                }
                if self.next.is_some() {
                    self.go_on();
                }
                if self.is_over() {
                    break;
                }
            }
        }
        // The last of all samples: by then every request has ended.
        self.sample();
        self.report_left_out();
        Ok(())
    }

    /// Whether nothing is to come.
    #[inline]
    fn is_over(&self) -> bool {
        self.coming.is_none() && self.boundaries_left == 0 && self.under_way.requests() == 0
    }

    /// A request arrives, and as a rule is with its backend at once.
    #[inline(always)] // in one place, which every request passes
    fn play_arrival(&mut self) {
        self.arrive();
        self.settle_subject();
        if let Some(Next::Request(parcel)) = self.next {
            self.next = None;
            self.deliver(parcel);
        }
    }

    /// A backend is looked at, and as a rule has an answer, which is with its client at once.
    #[inline(always)] // as above
    fn play_wake(&mut self, backend: u32) {
        self.servers[backend as usize].wakes(self.now);
        self.take_answer(backend);
        if let Some(Next::Event(Event::Answer(leg, status))) = self.next {
            self.next = None;
            self.answer(leg, status);
            self.settle_subject();
        }
    }

    /// Goes on with what happens at this very time, and with what that leads to.
    #[cold]
    fn go_on(&mut self) {
        while let Some(next) = self.next.take() {
            match next {
                Next::Request(parcel) => self.deliver_rarely(parcel),
                Next::Event(event) => self.handle(event),
            }
        }
    }

    fn check_limits(&mut self) -> Result<(), Error> {
        if (self.pending() + self.for_nobody).max(self.subject.unseen()) > self.most {
            // All backends and all requests are gone through for this, where it may be too much.
            let inside = self.servers.iter().map(|server| server.behaviour.in_flight() as usize);
            self.for_nobody = inside.sum::<usize>().saturating_sub(self.under_way.legs());
            if (self.pending() + self.for_nobody).max(self.subject.unseen()) > self.most {
                return Err(self.too_much());
            }
        }
        if self.agenda.is_exhausted() {
            let variant = self.trial.variant.name.clone();
            return Err(Error::TooManyEvents { variant, at: self.now });
        }
        Ok(())
    }

    #[inline(always)] // in one place, which goes on at once with what it is
    fn pop(&mut self) -> Due<Event> {
        let (at, due) = self.agenda.pop().expect("open requests have a deadline to come");
        self.now = at;
        if self.ahead.is_behind(&self.agenda) {
            self.look_ahead();
        }
        due
    }

    /// What is to come. Open requests have a few deadlines in the agenda among them, so they are counted
    /// apart.
    fn pending(&self) -> usize {
        self.agenda.len().max(self.under_way.requests())
    }

    fn too_much(&self) -> Error {
        let variant = self.trial.variant.name.clone();
        let Self { now: at, most, for_nobody, .. } = *self;
        Error::TooMuchPending { variant, at, most, for_nobody }
    }

    /// What does not happen to every request.
    #[cold]
    fn handle(&mut self, event: Event) {
        match event {
            Event::Impatience(at) => self.look_for_impatience(at),
            Event::Patience(request) => self.lose_patience(request),
            Event::ConnectBy(leg) => self.connect_by(leg),
            Event::AnswerBy(leg) => self.answer_by(leg),
            Event::Balancer(balancer) => self.subject.timeout(self.now, balancer),
            Event::Fault(index) => self.fault(index as usize),
            Event::Boundary(index) => self.boundary(index),
            Event::Enter(request) => self.enter_late(request),
            Event::Home(answer) => self.come_home(answer),
            Event::SetOut(leg) => self.set_out(leg),
            Event::Knock(leg) => self.knock(leg),
            Event::Refused(leg) => self.fail(leg, FailureKind::Connect, Sent::Nothing),
            Event::Accepted(leg, connection) => self.transmit(leg, connection),
            Event::Request => {
                let parcel = self.parcels.pop_front().expect("each is announced once");
                self.deliver_rarely(parcel);
            }
            Event::Cancel { leg, backend } => {
                self.for_nobody += 1;
                self.call_off(leg, backend);
            }
            Event::Reset(leg) => self.fail(leg, FailureKind::Reset, Sent::All),
            Event::Answer(leg, status) => self.answer_rarely(leg, status),
            Event::ProbeKnock(check) => self.probe_knock(check),
            Event::ProbeRequest(check) => self.probe_request(check),
            Event::ProbeEnd(check) => self.probe_end(check),
            Event::Idle(backend, balancer) => self.subject.idle(self.now, balancer, backend),
        }
        self.settle_subject();
    }

    /// To be called after whatever may speak to a balancer: hears what it has to say.
    #[inline(always)] // every request passes here, twice
    fn settle_subject(&mut self) {
        if let Some(balancer) = self.subject.next_touched() {
            self.settle_balancer(balancer);
        }
        debug_assert!(self.losers.is_empty(), "a balancer breaks off what it has decided against");
    }

    /// Does what a balancer has put out, and calls it again when it wants.
    #[cold]
    fn settle_balancer(&mut self, balancer: u32) {
        while let Some(output) = self.subject.poll_output(balancer) {
            self.perform(balancer, output);
        }
        if let Some(at) = self.subject.arm(balancer) {
            self.agenda.push(at, Event::Balancer(balancer));
        }
    }

    #[cold]
    fn perform(&mut self, balancer: u32, output: Output) {
        match output {
            Output::Send(attempt) => {
                let request = Client::key(attempt.request);
                let step = self.subject.send(self.now, balancer, &attempt);
                self.proceed(request, step, None);
            }
            Output::Reject(request, why) => {
                self.proceed(Client::key(request), Step::rejected(why), None);
            }
            Output::Abort(attempt) => self.abort(attempt),
            Output::Build(work) => self.subject.built(self.now, balancer, work.run()),
            Output::Probe(probe) => self.probe(balancer, probe),
            Output::Event(event) => self.report(balancer, event),
        }
    }

    /// Sends something over the network.
    fn travel(&mut self, event: Event) {
        if self.is_next() {
            self.next = Some(Next::Event(event));
        } else {
            self.agenda.push_to(Lane::Network, self.now + self.delay, event);
        }
    }

    /// Whether what is sent over the network now is the next thing that happens: that takes no time, and
    /// nothing else is to come now.
    #[inline]
    fn is_next(&self) -> bool {
        self.delay.is_zero() && self.next.is_none() && !self.agenda.has_by(self.now)
    }
}
