//! What all threads of a proxy share: the balancer behind one lock, the addresses of its backends,
//! and what is done with its outputs. It must not know HTTP, and never waits with the lock held.
//!
//! One lock for all workers, because split views balance worse (DESIGN: invariant 6). Every input
//! goes through [`Shared::decide`], which locks, reads the clock, asks, drains the outputs, unlocks
//! and then performs them: nothing can be forgotten between a decision and its consequences.

mod file;
mod kept;
mod operations;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{AttemptId, BackendId, Clock, RequestId, RequestMeta, Rng, Time};
use config::ProxyConfig;
use policy::{Attempt, Balancer, End, Event, Explanation, Head, Next, Output, Registry, Verdict};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::access_log::AccessLog;
use crate::decision::{Begin, Leg, Opening, Over, Step};
use crate::directory::Directory;
use crate::events::Events;
use crate::log::Log;
use crate::metrics::Counters;
use crate::names::Names;
use crate::overlay::Overlay;
use crate::prober;
use crate::rules::{Board, Edge, Rules};
use crate::state_file::StateFile;
use crate::tls::Tls;
use crate::upstream::Pools;
use crate::waiting::{Mail, Waiting};

/// One tenant of a pool slot.
#[derive(Clone, Copy, Debug)]
struct Place {
    generation: u32,
    address: SocketAddr,
    pin: u64,
}

struct State {
    balancer: Balancer,
    /// By slot. A place outlives its tenant until the next one moves in, for attempts in flight.
    places: Vec<Option<Place>>,
    directory: Arc<Directory>,
    pools: Arc<Pools>,
    names: Names,
    /// What operators have said of backends. The rest of it is filled in when it is written.
    overlay: Overlay,
    waiting: Waiting,
}

impl State {
    fn leg(&self, now: Time, attempt: Attempt) -> Leg {
        let place = self.place(attempt.backend).expect("the balancer picks what was added");
        Leg { attempt, address: place.address, pin: place.pin, at: now }
    }

    fn place(&self, id: BackendId) -> Option<&Place> {
        let place = self.places.get(id.slot as usize)?.as_ref()?;
        (place.generation == id.generation).then_some(place)
    }

    fn address(&self, id: BackendId) -> Option<SocketAddr> {
        self.place(id).map(|place| place.address)
    }

    /// Closes a request's box; attempts that lie in it will not be made. `pending` says that no
    /// attempt of it is out and it is not over.
    fn close(&mut self, now: Time, request: RequestId, pending: bool) {
        let Some(waiter) = self.waiting.close(request) else { return };
        let mut waits = pending;
        for mail in waiter.rest() {
            waits = false;
            if let Mail::Send(leg) = mail {
                self.balancer.handle_end(now, leg.attempt.id, End::ClientLeft);
            }
        }
        if waits {
            self.balancer.handle_cancel(now, request);
        }
    }
}

/// What all threads of a proxy share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The configuration file as it was read last, held by whoever works out a change of it or of
    /// the settings.
    changing: Mutex<ProxyConfig>,
    /// Of all chance in it.
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) events: Events,
    pub(crate) log: Arc<Log>,
    /// Where there is one.
    pub(crate) access_log: Option<AccessLog>,
    /// Where operators' changes are kept, if they are. Taken before `changing`.
    state_file: Option<Mutex<StateFile>>,
    pub(crate) directory: Arc<Directory>,
    /// One entry a worker, each written by its worker alone.
    pub(crate) counters: Vec<Arc<Counters>>,
    /// What the settings of the moment ask of whoever carries a request.
    pub(crate) board: Board,
    pub(crate) edge: Edge,
    /// Idle connections to backends.
    pub(crate) pools: Arc<Pools>,
    /// How clients are spoken to in secret, if they are.
    pub(crate) tls: Option<Tls>,
    /// Raised when the proxy shall end.
    pub(crate) stopping: watch::Sender<bool>,
    /// When the balancer's timer is armed for, in nanoseconds of the clock.
    armed: AtomicU64,
    /// Wakes the balancer's timer when it must be armed for an earlier time.
    pub(crate) earlier: Notify,
    /// The control thread's runtime: probes run there, away from the traffic.
    control: Handle,
}

/// What a proxy writes to.
pub(crate) struct Outlets {
    pub(crate) log: Arc<Log>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) state_file: Option<StateFile>,
}

impl Shared {
    pub(crate) fn new(
        config: &ProxyConfig,
        registry: Registry,
        tls: Option<Tls>,
        clock: Clock,
        control: Handle,
        outlets: Outlets,
    ) -> Self {
        // The label is the simulator's too: one seed makes the same choices in both.
        let seed = config.seed.unwrap_or_else(system_seed);
        let rng = Rng::from_seed(seed).fork("balancer/0");
        let balancer = Balancer::new(config.settings.clone(), &rng);
        let directory = Arc::<Directory>::default();
        let pools = Arc::new(Pools::new(config.workers.max(1) as usize));
        Self {
            state: Mutex::new(State {
                balancer,
                places: vec![],
                directory: Arc::clone(&directory),
                pools: Arc::clone(&pools),
                names: Names::default(),
                overlay: Overlay::default(),
                waiting: Waiting::default(),
            }),
            changing: Mutex::new(config.clone()),
            seed,
            clock,
            registry,
            events: Events::default(),
            log: outlets.log,
            access_log: outlets.access_log,
            state_file: outlets.state_file.map(Mutex::new),
            directory,
            counters: (0..config.workers.max(1)).map(|_| Arc::default()).collect(),
            board: Board::new(Rules::new(&config.settings)),
            edge: Edge::new(config),
            pools,
            tls,
            stopping: watch::Sender::new(false),
            armed: AtomicU64::new(Time::MAX.as_nanos()),
            earlier: Notify::new(),
            control,
        }
    }

    /// A panic under the lock is a programmer's error that has been reported already; the pool's
    /// counts are still the best ones there are, and refusing to go on would drop all traffic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide<T>(self: &Arc<Self>, ask: impl FnOnce(&mut State, Time) -> T) -> T {
        let mut outputs = vec![];
        let mut state = self.lock();
        let now = self.clock.now();
        let answer = ask(&mut state, now);
        while let Some(output) = state.balancer.poll_output() {
            if let Some(output) = settle(&mut state, now, output) {
                outputs.push(output);
            }
        }
        let due = state.balancer.poll_timeout();
        drop(state);
        for output in outputs {
            self.perform(output);
        }
        if due.is_some_and(|due| due.as_nanos() < self.armed.load(Ordering::Relaxed)) {
            self.earlier.notify_one();
        }
        answer
    }

    fn perform(self: &Arc<Self>, output: Output) {
        match output {
            Output::Event(event) => {
                self.log.line(in_words(&event));
                self.events.publish(&event);
            }
            // At most one probe a backend is open at a time, so these tasks are bounded.
            Output::Probe(probe) => {
                self.control.spawn(prober::run(Arc::clone(self), probe));
            }
            Output::Build(work) => {
                let shared = Arc::clone(self);
                self.control.spawn_blocking(move || {
                    let built = work.run();
                    shared.decide(|state, now| state.balancer.handle_built(now, built));
                });
            }
            // See `settle`.
            Output::Send(_) | Output::Reject(..) | Output::Abort(_) => {}
        }
    }

    /// A request came in.
    pub(crate) fn begin(self: &Arc<Self>, request: RequestMeta) -> Begin {
        self.decide(|state, now| {
            let verdict = match state.balancer.handle_request(now, request) {
                Verdict::Send(attempt) => Opening::Send(state.leg(now, attempt)),
                Verdict::Wait(_) => Opening::Wait,
                Verdict::Reject(reject) => Opening::Reject(reject),
            };
            let may_hedge = state.balancer.settings().hedging.is_some()
                && request.idempotent
                && request.replayable;
            let waiter = match verdict {
                Opening::Wait => Some(state.waiting.open(request.id)),
                Opening::Send(_) if may_hedge => Some(state.waiting.open(request.id)),
                _ => None,
            };
            Begin { verdict, at: now, waiter }
        })
    }

    /// The head of a request's attempt is there, or it failed; and when. The attempt goes on only
    /// for [`Step::Deliver`], and then all that is `over` with the delivery is ended in the same turn.
    pub(crate) fn head(
        self: &Arc<Self>,
        attempt: &Attempt,
        head: Head,
        over: Over,
    ) -> (Step, Time) {
        let (id, request) = (attempt.id, attempt.request);
        self.decide(|state, now| {
            let next = match over.attempt {
                true => state.balancer.handle_answer(now, id, head),
                false => state.balancer.handle_head(now, id, head),
            };
            let (step, end) = match next {
                Next::Deliver => (Step::Deliver, None),
                Next::Retry(next) => (Step::Retry(state.leg(now, next)), Some(End::Aborted)),
                Next::Later => (Step::Later(state.waiting.open(request)), Some(End::Aborted)),
                Next::GiveUp => (Step::GiveUp, Some(End::UpstreamBroke)),
            };
            if let Some(end) = end {
                state.balancer.handle_end(now, id, end);
            }
            if over.waiting && matches!(step, Step::Deliver) {
                state.close(now, request, false);
            }
            (step, now)
        })
    }

    /// What a request would be picked from.
    pub(crate) fn explain(&self, request: &RequestMeta) -> Explanation {
        self.lock().balancer.explain(self.clock.now(), request)
    }

    /// A request gives up its box. `pending` says that no attempt of it is out and it is not over.
    pub(crate) fn leave(self: &Arc<Self>, request: RequestId, pending: bool) {
        self.decide(|state, now| state.close(now, request, pending));
    }

    /// An attempt is over; since when.
    pub(crate) fn end(self: &Arc<Self>, attempt: AttemptId, end: End) -> Time {
        self.decide(|state, now| {
            state.balancer.handle_end(now, attempt, end);
            now
        })
    }

    /// A probe was answered, or not.
    pub(crate) fn probed(self: &Arc<Self>, probe: base::ProbeId, result: policy::ProbeResult) {
        self.decide(|state, now| state.balancer.handle_probe(now, probe, result));
    }

    /// Where a backend is, while it is in the pool.
    pub(crate) fn address(&self, id: BackendId) -> Option<SocketAddr> {
        let state = self.lock();
        state.balancer.pool().status(id)?;
        state.address(id)
    }

    /// The backends of the pool, into `ids`.
    pub(crate) fn present(&self, ids: &mut Vec<BackendId>) {
        ids.clear();
        ids.extend(self.lock().balancer.pool().statuses().map(|status| status.id));
    }

    /// Does what is due, and says when to come again.
    pub(crate) fn timeout(self: &Arc<Self>) -> Option<Time> {
        self.decide(|state, now| {
            if state.balancer.poll_timeout().is_some_and(|due| due <= now) {
                state.balancer.handle_timeout(now);
            }
            let next = state.balancer.poll_timeout();
            // Under the lock, so that whoever decides next compares with it.
            self.armed.store(next.unwrap_or(Time::MAX).as_nanos(), Ordering::Relaxed);
            next
        })
    }
}

/// Hands out what is for a request that waits, under the lock; the rest is performed later.
fn settle(state: &mut State, now: Time, output: Output) -> Option<Output> {
    match output {
        Output::Send(attempt) => {
            if !state.waiting.put(attempt.request, Mail::Send(state.leg(now, attempt))) {
                // Its request has just ended or cannot be sent twice.
                state.balancer.handle_end(now, attempt.id, End::Aborted);
            }
            None
        }
        Output::Reject(request, why) => {
            state.waiting.put(request, Mail::Reject(why));
            None
        }
        // Whoever delivers an answer drops the request's other attempts by itself.
        Output::Abort(_) => None,
        Output::Probe(_) | Output::Event(_) | Output::Build(_) => Some(output),
    }
}

/// An event as a line of the log.
fn in_words(event: &Event) -> String {
    let backend = event.backend.as_ref().map_or("-", |(_, name)| name);
    let line = format!("{} {backend} {} {}", event.at, event.kind.word(), event.kind.detail());
    line.trim_end().to_owned()
}

/// A seed from the system, through the standard library's one door to its randomness.
fn system_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}
