//! Starting and stopping: listeners, threads and their end. It must not know a request.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::{self, JoinHandle};

use base::Clock;
use config::{ProxyConfig, edge};
use policy::Registry;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::sync::mpsc;

use crate::access_log::AccessLog;
use crate::admin;
use crate::log::Log;
use crate::operator::Refused;
use crate::overlay::Overlay;
use crate::reload::ReloadError;
use crate::shared::{Outlets, Shared};
use crate::state_file::{self, StateError, StateFile};
use crate::timer;
use crate::tls::{Tls, TlsError};
use crate::worker::{self, Worker};

/// Connections that may wait to be accepted; the kernel lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// Why a proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be opened.
    #[error("cannot listen on {address} for {what}: {source}; choose another address or port 0")]
    Listen {
        /// "requests" or "the admin API".
        what: &'static str,
        /// The address of the configuration.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// TLS cannot be spoken with the files of the configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The access log cannot be written.
    #[error("cannot open the access log {path}: {source}; correct `path` in [access_log]")]
    AccessLog {
        /// The file of the configuration, or "stdout".
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The admin API's token cannot be had.
    #[error(transparent)]
    AdminToken(#[from] admin::TokenError),
    /// What operators changed before cannot be had or kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread of the proxy: {0}; lower `workers` or raise the process limits")]
    Thread(io::Error),
    /// A backend of the configuration was refused.
    #[error("backend {address}: {reason}")]
    Backend {
        /// The address of the configuration.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// The line that a started proxy prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Always "proxy".
    pub ready: String,
    /// Where requests come in.
    pub listen: SocketAddr,
    /// Where the admin API is, when there is one.
    pub admin: Option<SocketAddr>,
}

/// A proxy that runs. Dropping it stops it, without waiting.
pub struct Running {
    ready: Ready,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn ready(&self) -> Ready {
        self.ready.clone()
    }

    /// Begins the drain: no new connections, idle ones closed at once, requests in flight finished
    /// within the configuration's `drain_timeout`. Does not block.
    pub fn stop(&self) {
        self.shared.stopping.send_replace(true);
    }

    /// Reads the certificate of `[tls]` and its key again, for the connections to come. Nothing
    /// happens without TLS.
    ///
    /// # Errors
    /// What is wrong with the files; the certificate stays what it was.
    pub fn reload_certificate(&self) -> Result<(), TlsError> {
        self.shared.tls.as_ref().map_or(Ok(()), Tls::reload)
    }

    /// Puts another version of the configuration file in force, all of it or nothing, and says what
    /// changed. Backends that stay in it keep their state, and what the admin API changed stays until
    /// the file says something new about it. The certificate of `[tls]` is read again.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn reload(&self, new: ProxyConfig) -> Result<String, ReloadError> {
        self.shared.reload(new)
    }

    /// Waits until all threads have ended: after [`Running::stop`], or when they cannot go on.
    pub fn wait(mut self) {
        for thread in self.threads.drain(..) {
            // A panic was reported where it happened; the other threads still have to be waited for.
            let _ = thread.join();
        }
        if let Some(access_log) = &self.shared.access_log {
            access_log.flush();
        }
        self.shared.log.flush();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether the state file of `config`, where there is one, can be read. Changes nothing.
///
/// # Errors
/// Why not.
pub fn check(config: &ProxyConfig) -> Result<(), StateError> {
    config.state_file.as_deref().map_or(Ok(()), |path| state_file::read(path).map(drop))
}

/// Starts a proxy with the lab's own strategies.
///
/// # Errors
/// When it cannot read its certificate, the admin API's token or the state file, listen, start its
/// threads, or when two backends have one address or name.
pub fn start(config: ProxyConfig, clock: Clock) -> Result<Running, StartError> {
    start_with(config, clock, Registry::standard())
}

/// Starts a proxy; `registry` holds the strategies that the admin API may change to.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    config: ProxyConfig,
    clock: Clock,
    registry: Registry,
) -> Result<Running, StartError> {
    let tls = config.tls.as_ref().map(|files| Tls::new(files, config.h2)).transpose()?;
    let gate = admin::Gate::new(&config)?;
    let (state_file, kept) = match &config.state_file {
        None => (None, Overlay::default()),
        Some(path) => {
            let (state_file, kept) = StateFile::open(path)?;
            (Some(state_file), kept)
        }
    };
    let workers = config.workers.max(1);
    let listeners = listen(config.listen, workers).map_err(|source| StartError::Listen {
        what: "requests",
        address: config.listen,
        source,
    })?;
    let admin_listener = match config.admin {
        None => None,
        Some(address) => Some(bind(address, false).map_err(|source| StartError::Listen {
            what: "the admin API",
            address,
            source,
        })?),
    };
    let ready = Ready {
        ready: "proxy".into(),
        listen: local(&listeners[0])?,
        admin: admin_listener.as_ref().map(local).transpose()?,
    };
    let control = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let log = Arc::new(Log::start().map_err(StartError::Thread)?);
    let access_log = open_access_log(&config, &log)?;
    let outlets = Outlets { log, access_log, state_file };
    let handle = control.handle().clone();
    let shared = Arc::new(Shared::new(&config, registry, tls, clock, handle, outlets));
    shared.open(&config, kept).map_err(|(address, refused)| at_start(address, &refused))?;
    let mut running = Running { ready: ready.clone(), shared, threads: vec![] };
    let (alive, all_gone) = mpsc::channel(1);
    for (index, listener) in (0..).zip(listeners) {
        running.threads.push(start_worker(&running.shared, &config, index, listener, &alive)?);
    }
    // What the workers hold of it tells the control thread that they live.
    drop(alive);
    let shared = Arc::clone(&running.shared);
    let about = admin::About::new(&config, &ready);
    let control = thread::Builder::new()
        .name("control".into())
        .spawn(move || run_control(control, shared, about, gate, admin_listener, all_gone))
        .map_err(StartError::Thread)?;
    running.threads.push(control);
    Ok(running)
}

fn open_access_log(config: &ProxyConfig, log: &Arc<Log>) -> Result<Option<AccessLog>, StartError> {
    let Some(target) = &config.access_log else { return Ok(None) };
    AccessLog::start(target, log).map(Some).map_err(|source| {
        let path = match target {
            edge::AccessLog::Stdout => "stdout".into(),
            edge::AccessLog::File(path) => path.display().to_string(),
        };
        StartError::AccessLog { path, source }
    })
}

fn at_start(address: SocketAddr, refused: &Refused) -> StartError {
    StartError::Backend { address, reason: refused.to_string() }
}

/// Starts a worker's thread and waits until its runtime stands.
fn start_worker(
    shared: &Arc<Shared>,
    config: &ProxyConfig,
    index: u32,
    listener: TcpListener,
    alive: &mpsc::Sender<()>,
) -> Result<JoinHandle<()>, StartError> {
    let (shared, alive, drain_timeout) = (Arc::clone(shared), alive.clone(), config.drain_timeout);
    let (started, starts) = std_mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            let _alive = alive;
            let runtime =
                Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime {
                Err(error) => {
                    let _ = started.send(Err(error));
                }
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    let worker = Rc::new(Worker::new(shared, index));
                    runtime.block_on(worker::run(worker, listener, drain_timeout));
                }
            }
        })
        .map_err(StartError::Thread)?;
    match starts.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(StartError::Thread(error)),
        Err(_) => Err(StartError::Thread(io::Error::other("the thread ended at once"))),
    }
}

/// The control thread: the balancer's timer, its probes and the admin API, away from the traffic.
/// Ends when the last worker has.
fn run_control(
    runtime: Runtime,
    shared: Arc<Shared>,
    about: admin::About,
    gate: admin::Gate,
    listener: Option<TcpListener>,
    mut all_gone: mpsc::Receiver<()>,
) {
    runtime.block_on(async {
        tokio::spawn(timer::run(Arc::clone(&shared)));
        if let Some(listener) = listener {
            tokio::spawn(admin::serve(shared, about, gate, listener));
        }
        // Nothing is ever sent: it ends when the last sender is gone.
        while all_gone.recv().await.is_some() {}
    });
}

fn local(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(StartError::Thread)
}

/// One listener a worker, all on one port.
fn listen(address: SocketAddr, workers: u32) -> io::Result<Vec<TcpListener>> {
    if workers == 1 {
        return Ok(vec![bind(address, false)?]);
    }
    if address.port() != 0 {
        // With SO_REUSEPORT a second proxy on the port would get half of the first one's clients
        // instead of an error.
        drop(bind(address, false)?);
    }
    let first = bind(address, true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..workers {
        all.push(bind(address, true)?);
    }
    Ok(all)
}

fn bind(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Otherwise a restart meets the former connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if share_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
