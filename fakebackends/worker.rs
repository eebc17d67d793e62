//! One thread: a runtime, the backends that live on it, and the faults they are to meet.
//! It must not know HTTP.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Time};
use bytes::Bytes;
use config::backends::BackendConfig;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use workload::{FaultChange, MAX_CHANGES};

use crate::backend::Backend;
use crate::counters::Counters;
use crate::running::Started;
use crate::serve;
use crate::timer::Timer;

/// After so many tasks the runtime looks at its sockets and timers again (tokio's own choice is
/// 61): under load this bounds how late a deadline is seen.
const EVENT_INTERVAL: u32 = 16;
/// How long to wait before trying again to listen on a port that somebody else holds.
const LISTEN_PAUSE: Duration = Duration::from_millis(10);

/// What a worker is made of.
pub(crate) struct Setup {
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    /// Where a change's `backend` is the index here.
    pub(crate) backends: Vec<(BackendConfig, TcpListener, Arc<Counters>)>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Becomes true when the worker is to end.
    pub(crate) stop: watch::Receiver<bool>,
}

/// What the control API asks of a worker; it hears when that has taken effect, or that it will not.
pub(crate) enum Command {
    /// More faults, each at its time; those whose time has come begin or end at once. Refused when
    /// more than [`MAX_CHANGES`] would be planned.
    Plan(Vec<FaultChange>, oneshot::Sender<bool>),
    /// No faults any more, planned or active.
    Clear(oneshot::Sender<bool>),
}

struct Worker {
    clock: Clock,
    timer: Rc<Timer>,
    backends: Vec<Rc<Backend>>,
    /// Faults to come, in order of time; ties in the order in which they came.
    plan: RefCell<BTreeMap<(Time, u64), FaultChange>>,
}

/// Runs a worker until it is stopped; all its sockets are closed then.
///
/// # Errors
/// When the system is short of file descriptors at the start.
pub(crate) fn run(setup: Setup, started: Started) -> io::Result<()> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().event_interval(EVENT_INTERVAL);
    let runtime = builder.build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let Setup { clock, seed, backends, mut commands, mut stop } = setup;
        // One key for each backend, and the last one for the plan.
        let timer = Rc::new(Timer::new(clock, backends.len() + 1)?);
        // One body for all answers: each takes as much of it as it needs.
        let longest = backends.iter().map(|(config, ..)| config.model.response_bytes).max();
        let bytes = Bytes::from(vec![b'x'; longest.unwrap_or(0) as usize]);
        let mut serving = Vec::new();
        for (key, (config, listener, counters)) in backends.into_iter().enumerate() {
            let place = (Rc::clone(&timer), key);
            let backend = Backend::new(config, listener, counters, seed, clock, place)?;
            serving.push(Rc::new(backend));
        }
        for backend in &serving {
            tokio::task::spawn_local(serve::accept(Rc::clone(backend), bytes.clone()));
        }
        let worker = Worker { clock, timer, backends: serving, plan: RefCell::default() };
        started();
        loop {
            tokio::select! {
                key = worker.timer.due() => worker.handle_timeout(key),
                Some(command) = commands.recv() => worker.handle_command(command),
                // An error means that nobody can stop us any more: that is the same.
                _ = stop.wait_for(|&stop| stop) => return Ok(()),
            }
        }
    })
}

impl Worker {
    fn handle_timeout(&self, key: usize) {
        match self.backends.get(key) {
            Some(backend) => backend.handle_timeout(),
            None => self.play(),
        }
    }

    fn handle_command(&self, command: Command) {
        let (acknowledge, obeyed) = match command {
            Command::Plan(changes, acknowledge) => (acknowledge, self.plan(changes)),
            Command::Clear(acknowledge) => {
                self.plan.borrow_mut().clear();
                for backend in &self.backends {
                    backend.clear_faults();
                    open(backend);
                }
                (acknowledge, true)
            }
        };
        self.play();
        // Whoever asked may have left.
        let _ = acknowledge.send(obeyed);
    }

    fn plan(&self, changes: Vec<FaultChange>) -> bool {
        let mut plan = self.plan.borrow_mut();
        let fits = plan.len() + changes.len() <= MAX_CHANGES;
        if fits {
            let next = plan.keys().map(|&(_, seq)| seq + 1).max().unwrap_or(0);
            plan.extend((next..).zip(changes).map(|(seq, change)| ((change.at, seq), change)));
        }
        fits
    }

    /// Plays the faults whose time has come, and waits for the next.
    fn play(&self) {
        let mut plan = self.plan.borrow_mut();
        let now = self.clock.now();
        while let Some(next) = plan.first_entry().filter(|next| next.key().0 <= now) {
            let change = next.remove();
            let backend = &self.backends[change.backend];
            backend.handle_fault(&change);
            open(backend);
        }
        let next = plan.first_key_value().map(|(&(at, _), _)| at);
        self.timer.set(self.backends.len(), next);
    }
}

/// Has a backend listen again where it should: at once, or as soon as the port is free.
fn open(backend: &Rc<Backend>) {
    if !backend.misses_listener() {
        return;
    }
    let Err(error) = backend.listen() else { return };
    eprintln!("backend {}: cannot listen on {} again: {error}", backend.name, backend.address);
    let backend = Rc::clone(backend);
    tokio::task::spawn_local(async move {
        while backend.misses_listener() && backend.listen().is_err() {
            tokio::time::sleep(LISTEN_PAUSE).await;
        }
    });
}
