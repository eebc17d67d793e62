//! One backend: a `Behaviour`, and who waits for what it says. It must not know HTTP.
//!
//! It lives on one thread. Inputs (requests, clients that leave, faults, its deadline) go to the
//! behaviour, and [`Backend::settle`] carries what comes out to whoever waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use base::{Clock, Time, rng};
use config::backends::BackendConfig;
use tokio::net::{TcpListener, TcpStream};
use workload::{Admission, Answer, Behaviour, FaultChange, Gate, Load, WorkId};

use crate::counters::Counters;
use crate::health::{HealthChecks, HealthEnd};
use crate::timer::Timer;

/// One backend of a worker.
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    clock: Clock,
    timer: Rc<Timer>,
    /// Its key in `timer`.
    key: usize,
    /// Where requests without luck of their own get it from.
    seed: u64,
    state: RefCell<State>,
}

struct State {
    behaviour: Behaviour,
    /// When it was last told or asked something: it wants that in order of time.
    latest: Time,
    /// Requests read so far: names them.
    requests: u64,
    /// Requests without luck so far.
    luckless: u64,
    waiting: BTreeMap<WorkId, Waiter>,
    checks: HealthChecks,
    /// None while new connections are refused.
    listener: Option<TcpListener>,
    /// Who accepts.
    acceptor: Option<Waker>,
    connections: BTreeMap<u64, Rc<Link>>,
    /// Connections so far: names them.
    accepted: u64,
}

#[derive(Default)]
struct Waiter {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// What a backend holds of one of its connections: a way to have it reset.
#[derive(Default)]
pub(crate) struct Link {
    reset: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Link {
    /// Has the connection reset instead of served on.
    pub(crate) fn reset(&self) {
        self.reset.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether it is to be reset.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.get()
    }

    /// Ready when it is to be reset.
    pub(crate) fn poll_reset(&self, context: &Context<'_>) -> Poll<()> {
        if self.reset.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Backend {
    /// A healthy backend behind this listener (non-blocking). Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the listener.
    pub(crate) fn new(
        config: BackendConfig,
        listener: StdListener,
        counters: Arc<Counters>,
        seed: u64,
        clock: Clock,
        (timer, key): (Rc<Timer>, usize),
    ) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        let mut behaviour = Behaviour::new(config.model);
        behaviour.watch_load();
        Ok(Self {
            address: listener.local_addr()?,
            counters,
            clock,
            timer,
            key,
            seed: rng::mix(seed, rng::hash_text(&config.name)),
            name: config.name,
            state: RefCell::new(State {
                behaviour,
                latest: Time::ZERO,
                requests: 0,
                luckless: 0,
                waiting: BTreeMap::new(),
                checks: HealthChecks::default(),
                listener: Some(listener),
                acceptor: None,
                connections: BTreeMap::new(),
                accepted: 0,
            }),
        })
    }

    /// A new connection, whenever the backend listens.
    pub(crate) fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let mut state = self.state.borrow_mut();
        let accepted = match &state.listener {
            Some(listener) => listener.poll_accept(context),
            None => Poll::Pending,
        };
        if accepted.is_pending() {
            state.acceptor = Some(context.waker().clone());
        }
        accepted.map_ok(|(stream, _)| stream)
    }

    /// Names a new connection and holds on to it.
    pub(crate) fn connect(&self) -> (u64, Rc<Link>) {
        let mut state = self.state.borrow_mut();
        let id = state.accepted;
        state.accepted += 1;
        let link = Rc::new(Link::default());
        state.connections.insert(id, Rc::clone(&link));
        (id, link)
    }

    /// A connection has ended.
    pub(crate) fn disconnect(&self, id: u64) {
        self.state.borrow_mut().connections.remove(&id);
    }

    /// Answers a request, or has it reset: `None`. `luck` is what the request brought, `attempt`
    /// counts its sendings from 1. Dropped, the client has left.
    pub(crate) fn request(&self, luck: Option<u64>, attempt: u64) -> Request<'_> {
        let now = self.clock.now();
        self.counters.cut(now);
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let luck = luck.unwrap_or_else(|| {
            state.luckless += 1;
            rng::mix(self.seed, state.luckless)
        });
        let work = WorkId(state.requests);
        state.requests += 1;
        self.counters.count_request();
        let inside = match state.behaviour.handle_request(now, work, rng::mix(luck, attempt)) {
            Admission::Accepted => {
                state.waiting.insert(work, Waiter::default());
                true
            }
            Admission::Reset => {
                self.counters.count_failure();
                false
            }
        };
        self.settle(state, now);
        Request { backend: self, work, inside }
    }

    /// Answers a health check: a status, or `None` for a reset.
    pub(crate) fn check_health(&self) -> Check<'_> {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let meets = state.behaviour.health();
        let id = state.checks.begin(now, meets);
        self.settle(&mut state, now);
        Check { backend: self, id: Some(id) }
    }

    /// What it would tell now of its load.
    pub(crate) fn load(&self) -> Load {
        self.state.borrow().behaviour.load(self.clock.now())
    }

    /// The deadline in the timer has passed.
    pub(crate) fn handle_timeout(&self) {
        self.settle(&mut self.state.borrow_mut(), self.clock.now());
    }

    /// A fault begins or ends, at the time it says; if more has happened since, right after that.
    pub(crate) fn handle_fault(&self, change: &FaultChange) {
        let mut state = self.state.borrow_mut();
        let at = change.at.max(state.latest);
        state.behaviour.handle_fault(at, change);
        self.faults_changed(&mut state);
    }

    /// All faults end.
    pub(crate) fn clear_faults(&self) {
        let mut state = self.state.borrow_mut();
        state.behaviour.clear_faults(self.clock.now());
        self.faults_changed(&mut state);
    }

    fn faults_changed(&self, state: &mut State) {
        let now = self.clock.now();
        let gate = state.behaviour.gate();
        if gate != Gate::Open {
            state.listener = None;
        }
        if gate == Gate::Crashed {
            state.connections.values().for_each(|link| link.reset());
        }
        state.checks.change(now, state.behaviour.health());
        self.settle(state, now);
    }

    /// Whether the backend should listen and does not.
    pub(crate) fn misses_listener(&self) -> bool {
        let state = self.state.borrow();
        state.behaviour.gate() == Gate::Open && state.listener.is_none()
    }

    /// Listens on its address again.
    ///
    /// # Errors
    /// When somebody else has taken the port meanwhile.
    pub(crate) fn listen(&self) -> io::Result<()> {
        let listener = TcpListener::from_std(crate::ports::listen_on(self.address)?)?;
        let mut state = self.state.borrow_mut();
        state.listener = Some(listener);
        if let Some(acceptor) = state.acceptor.take() {
            acceptor.wake();
        }
        Ok(())
    }

    /// Carries answers that are due to whoever waits for them, and sets the next deadline.
    fn settle(&self, state: &mut State, now: Time) {
        self.counters.cut(now);
        state.latest = now;
        while let Some(answer) = state.behaviour.poll_answer(now) {
            if answer.status.is_none_or(|status| status >= 500) {
                self.counters.count_failure();
            }
            // A waiter is missing only while its request is being dropped.
            if let Some(waiter) = state.waiting.get_mut(&answer.work) {
                waiter.answer = Some(answer);
                if let Some(waker) = waiter.waker.take() {
                    waker.wake();
                }
            }
        }
        self.counters.set_in_flight(state.behaviour.in_flight());
        let answer = state.behaviour.poll_timeout();
        let check = state.checks.advance(now);
        self.timer.set(self.key, [answer, check].into_iter().flatten().min());
    }
}

/// A request that waits for its answer.
pub(crate) struct Request<'a> {
    backend: &'a Backend,
    work: WorkId,
    /// Whether a waiter is registered.
    inside: bool,
}

/// The answer to a request.
pub(crate) struct Served {
    pub(crate) status: u16,
    /// Of its body.
    pub(crate) bytes: u32,
    /// The backend's load without it.
    pub(crate) load: Load,
}

impl Future for Request<'_> {
    type Output = Option<Served>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.inside {
            return Poll::Ready(None);
        }
        let mut state = self.backend.state.borrow_mut();
        let waiter = state.waiting.get_mut(&self.work).expect("inside, so registered");
        let Some(answer) = waiter.answer else {
            waiter.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        state.waiting.remove(&self.work);
        let load = state.behaviour.load(answer.at);
        drop(state);
        self.inside = false;
        let bytes = answer.bytes;
        Poll::Ready(answer.status.map(|status| Served { status, bytes, load }))
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if self.inside {
            let now = self.backend.clock.now();
            let mut state = self.backend.state.borrow_mut();
            state.waiting.remove(&self.work);
            state.behaviour.handle_cancel(now, self.work);
            self.backend.settle(&mut state, now);
        }
    }
}

/// A health check that waits for its answer.
pub(crate) struct Check<'a> {
    backend: &'a Backend,
    id: Option<u64>,
}

impl Future for Check<'_> {
    type Output = HealthEnd;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<HealthEnd> {
        let id = self.id.expect("not polled after its end");
        let end = self.backend.state.borrow_mut().checks.poll(id, context);
        if end.is_ready() {
            self.id = None;
        }
        end
    }
}

impl Drop for Check<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.backend.state.borrow_mut().checks.forget(id);
        }
    }
}
