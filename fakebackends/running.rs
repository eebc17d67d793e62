//! Starts and stops the threads. It must not know HTTP or faults.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use base::{Clock, Rng};
use config::BackendsConfig;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::control::{self, Entry};
use crate::counters::Counters;
use crate::{ports, worker};

/// Commands that may wait for a worker; the control API waits with them.
const COMMANDS: usize = 16;

/// What a started process says on stdout: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Always "backends".
    pub ready: String,
    /// Where the control API listens, if it does.
    pub control: Option<SocketAddr>,
    /// In the order of the configuration.
    pub backends: Vec<ReadyBackend>,
}

/// A backend and where it listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyBackend {
    /// Its name.
    pub name: String,
    /// Its address; it keeps the port while a fault has closed the listener.
    pub address: SocketAddr,
}

/// Why backends could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A backend's address cannot be listened on.
    #[error("backend {name}: cannot listen on {address}: {source}{}", remedy(.source))]
    Listen {
        /// The backend.
        name: String,
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The control API's address cannot be listened on.
    #[error("control: cannot listen on {address}: {source}{}", remedy(.source))]
    Control {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread, or too few file descriptors for one.
    #[error("cannot start a thread: {0}; raise the limits (`ulimit -u`, `ulimit -n`)")]
    Thread(io::Error),
}

/// What may help against an address that cannot be listened on.
fn remedy(error: &io::Error) -> &'static str {
    // std has no kind of its own for it.
    if rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::MFILE) {
        return "; raise the limit of open files (`ulimit -n`)";
    }
    match error.kind() {
        io::ErrorKind::AddrInUse => "; choose another port, or 0 for any free one",
        io::ErrorKind::AddrNotAvailable => "; choose an address of this machine",
        io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        _ => "",
    }
}

/// What a thread calls when it serves.
pub(crate) type Started = Box<dyn FnOnce()>;

/// Backends that serve. Dropped, they are stopped (but not waited for).
#[derive(Debug)]
pub struct Running {
    ready: Ready,
    stop: watch::Sender<bool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Binds everything, starts the threads and returns when they serve.
///
/// # Errors
/// When an address cannot be bound or a thread not be had; nothing is left running then.
pub fn start(config: BackendsConfig, clock: Clock) -> Result<Running, StartError> {
    // Ports are drawn apart from the seed: two runs of one seed at the same time must not collide.
    let moment = clock.monotonic(clock.now()).as_nanos() as u64;
    let mut ports = Rng::from_seed(moment ^ u64::from(std::process::id())).fork("ports");
    let control = match config.control {
        None => None,
        Some(address) => {
            let fail = |source| StartError::Control { address, source };
            let listener = ports::listen(address, &mut ports).map_err(fail)?;
            Some((listener.local_addr().map_err(fail)?, listener))
        }
    };
    let workers = (config.workers as usize).clamp(1, config.backends.len().max(1));
    let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mut entries = Vec::new();
    for (index, backend) in config.backends.into_iter().enumerate() {
        let (name, address) = (backend.name.clone(), backend.listen);
        let fail = |source| StartError::Listen { name: name.clone(), address, source };
        let listener = ports::listen(address, &mut ports).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let counters = Arc::new(Counters::default());
        let share = &mut shares[index % workers];
        let place = (index % workers, share.len());
        share.push((backend, listener, Arc::clone(&counters)));
        entries.push(Entry { name, address, counters, place });
    }
    let (stop, stopped) = watch::channel(false);
    let ready = Ready {
        ready: "backends".to_owned(),
        control: control.as_ref().map(|(address, _)| *address),
        backends: entries
            .iter()
            .map(|entry| ReadyBackend { name: entry.name.clone(), address: entry.address })
            .collect(),
    };
    let running = Running { ready, stop, threads: Mutex::default() };
    let mut commands = Vec::new();
    for (number, backends) in shares.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel(COMMANDS);
        commands.push(sender);
        let (seed, stop) = (config.seed, stopped.clone());
        let setup = worker::Setup { clock, seed, backends, commands: receiver, stop };
        running.spawn(format!("backends-{number}"), |started| worker::run(setup, started))?;
    }
    if let Some((_, listener)) = control {
        let api = control::Api { clock, entries, commands };
        running
            .spawn("control".to_owned(), |started| control::run(api, listener, stopped, started))?;
    }
    Ok(running)
}

impl Running {
    /// Runs `work` on a thread of its own, and returns when it says that it has started. When it
    /// ends, however it does, all others are to end.
    fn spawn<W>(&self, name: String, work: W) -> Result<(), StartError>
    where
        W: FnOnce(Started) -> io::Result<()> + Send + 'static,
    {
        struct StopAll(watch::Sender<bool>);
        impl Drop for StopAll {
            fn drop(&mut self) {
                self.0.send_replace(true);
            }
        }
        let guard = StopAll(self.stop.clone());
        // Two: it may say that it has started and, never yet seen, that it failed later.
        let (tell, heard) = sync_channel(2);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let _guard = guard;
            let started = tell.clone();
            // Nobody listens any more once `spawn` has returned.
            let ended = work(Box::new(move || drop(started.send(Ok(())))));
            drop(tell.send(ended));
        });
        let thread = thread.map_err(StartError::Thread)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        // A thread that panicked says nothing; whoever waits for it will hear.
        heard.recv().unwrap_or(Ok(())).map_err(StartError::Thread)
    }

    /// What to say on stdout.
    pub fn ready(&self) -> Ready {
        self.ready.clone()
    }

    /// Closes all listeners and connections and ends the threads; does not wait for them.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until all threads have ended: after [`Running::stop`], or when one could not go on.
    ///
    /// # Panics
    /// When a thread did.
    pub fn wait(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in std::mem::take(&mut *threads) {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
