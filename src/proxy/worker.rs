//! One worker: a thread with a runtime, a listener and a pool of connections to backends of its
//! own. It must not decide where a request goes.

use std::cell::{Cell, RefCell};
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::rng::mix;
use base::{BackendId, RequestId, Time};
use tokio::net::TcpListener;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::access_log::line;
use crate::buffers::{Stock, clear_text};
use crate::client::{Clients, Order, Patience};
use crate::date::{self, Today};
use crate::directory::{self, Line};
use crate::journal::Journal;
use crate::lane::Lane;
use crate::metrics::Counters;
use crate::request::Desk;
use crate::rules::{Copied, Rules};
use crate::server;
use crate::shared::Shared;
use crate::upstream::Pool;

/// How often a worker looks at its connections; the unit of the limits counted in sweeps.
const SWEEP: Duration = Duration::from_secs(1);
/// How often a worker that drains looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(5);
/// At most so many sockets' events come of one look (tokio's own setting is 1024; less is safe).
const EVENTS_PER_LOOK: usize = 512;

/// What the tasks of one worker share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clients: Clients,
    /// Requests on connections that carry many.
    pub(crate) streams: Clients,
    pub(crate) pool: Pool,
    pub(crate) desks: Stock<Desk>,
    pub(crate) lanes: Stock<Lane>,
    pub(crate) today: Today,
    rules: Copied,
    tenants: directory::Copied,
    /// The memory of a line of the access log.
    line: RefCell<Vec<u8>>,
    next_request: Cell<u64>,
    /// Makes the ids of requests unlike those of other workers and runs.
    id_seed: u64,
}

/// Request ids of different workers differ in their upper bits: no counter is shared.
const WORKER_SHIFT: u32 = 48;

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, index: u32) -> Self {
        let counters = Arc::clone(&shared.counters[index as usize]);
        let rules = Copied::new(&shared.board);
        let pool = Pool::new(Arc::clone(&shared.pools), index as usize);
        let id_seed = mix(shared.seed, u64::from(index));
        Self {
            shared,
            counters,
            clients: Clients::default(),
            streams: Clients::default(),
            pool,
            desks: Stock::default(),
            lanes: Stock::default(),
            today: Today::new(),
            rules,
            tenants: directory::Copied::default(),
            line: RefCell::default(),
            id_seed,
            next_request: Cell::new(u64::from(index) << WORKER_SHIFT),
        }
    }

    pub(crate) fn request_id(&self) -> RequestId {
        let id = self.next_request.get();
        self.next_request.set(id + 1);
        RequestId(id)
    }

    /// What the settings of the moment ask for.
    pub(crate) fn rules(&self) -> Rc<Rules> {
        self.rules.get(&self.shared.board)
    }

    /// A request is over.
    pub(crate) fn finished(&self, journal: &mut Journal) {
        self.counters.finished(journal);
        let Some(log) = &self.shared.access_log else { return };
        journal.ended = self.shared.clock.now();
        let mut line = self.line.borrow_mut();
        self.tenants.read(&self.shared.directory, |tenants| {
            line::put(journal, tenants, date::since_1970(), &mut line);
        });
        log.add(&line);
        clear_text(&mut line);
    }

    /// A connection to a backend that may come to be.
    pub(crate) fn line_to(&self, backend: BackendId) -> Line {
        self.tenants.read(&self.shared.directory, |tenants| tenants.line(backend))
    }

    /// Now, where the access log wants to know; else zero.
    pub(crate) fn log_time(&self) -> Time {
        if self.shared.edge.logs { self.shared.clock.now() } else { Time::ZERO }
    }

    /// The X-Request-Id of a request that came without one that is trusted: 128 bits in hexadecimal
    /// digits, unlike any other's but not secret.
    pub(crate) fn request_id_text(&self, id: RequestId) -> [u8; 32] {
        let halves = [mix(self.id_seed, id.0), mix(!self.id_seed, id.0)];
        let mut text = [0; 32];
        for (at, digit) in text.iter_mut().enumerate() {
            let nibble = halves[at / 16] >> (60 - 4 * (at % 16)) & 15;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        text
    }
}

/// Serves until the proxy shall stop, then drains: idle connections are closed at once, others
/// after their answer or after `drain_timeout`.
pub(crate) async fn run(worker: Rc<Worker>, listener: StdListener, drain_timeout: Duration) {
    let mut stopping = worker.shared.stopping.subscribe();
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            worker.shared.log.line(format!("a worker cannot listen: {error}; the proxy stops"));
            worker.shared.stopping.send_replace(true);
            return;
        }
    };
    let mut held = None;
    let sweeper = tokio::task::spawn_local(sweep(Rc::clone(&worker)));
    {
        let stopped = async {
            // An error would mean that the proxy itself is gone.
            let _ = stopping.wait_for(|&stop| stop).await;
        };
        tokio::select! {
            biased;
            () = stopped => {}
            () = server::accept(&worker, &listener, &mut held) => {}
        }
    }
    // What was asked before the stop is answered: a listener that is closed resets who waits in its
    // queue, and a connection that is told to finish before its request was read is closed.
    look_round(&worker).await;
    unconstrained(server::accept_waiting(&worker, &listener, held)).await;
    drop(listener);
    look_round(&worker).await;
    worker.clients.give_all(Order::Finish);
    let drained = timeout(drain_timeout, async {
        let mut look = interval(DRAIN_LOOK);
        while worker.clients.count() > 0 {
            look.tick().await;
        }
    });
    if drained.await.is_err() {
        let left = worker.clients.count();
        let text = format!("{left} connections were cut off {drain_timeout:?} after the stop");
        worker.shared.log.line(text);
        worker.clients.give_all(Order::Close);
    }
    sweeper.abort();
    worker.pool.clear();
}

/// Lets the runtime ask the system what has happened to the sockets, and every task hear of it.
async fn look_round(worker: &Worker) {
    // A yield comes back after one look at the sockets, which tells of so many at most.
    for _ in 0..=worker.clients.count() / EVENTS_PER_LOOK {
        yield_now().await;
    }
    // Tasks run in the order in which they were woken: this one comes after all those.
    let last = tokio::task::spawn_local(async {});
    // It could only fail with the whole runtime.
    let _ = last.await;
}

async fn sweep(worker: Rc<Worker>) {
    let mut tick = interval(SWEEP);
    // A worker that was held up must not count the seconds that it missed against its clients.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let present = RefCell::new(Vec::new());
    loop {
        tick.tick().await;
        worker.today.refresh();
        let rules = worker.rules();
        let (now, patience) = (worker.shared.clock.now(), Patience::new(&rules.timeout));
        worker.clients.sweep(now, patience);
        worker.streams.sweep(now, patience);
        worker.shared.present(&mut present.borrow_mut());
        worker.pool.sweep(rules.upstream_idle_s(), |id| present.borrow().contains(&id));
    }
}
