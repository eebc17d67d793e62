//! The closed loop: every connection sends its next request when the last one was answered. It
//! measures what generator and subject can do together, as wrk does; it must not be used to compare
//! strategies, because it slows down with its subject.

use std::net::SocketAddr;
use std::time::Duration;

use base::time::nanos;
use base::{Clock, Outcome, Stop};
use hdrhistogram::Histogram;
use mio::event::Event;
use mio::{Events, Poll, Token};

use super::LoadError;
use super::account::thread_cpu;
use super::connection::{Connection, Progress, Shared};
use super::limits::Limits;
use super::request::RequestLine;
use super::response::Names;
use super::slab::Slab;

/// How long the loop sleeps at most before it looks at the clock and opens what was closed.
const TICK: Duration = Duration::from_millis(5);

/// How long the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// As in the open loop.
const EVENTS: usize = 256;
const BUFFER: usize = 64 * 1024;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Whole answers below 500 other than 429.
    pub ok: u64,
    /// Every other end.
    pub failed: u64,
    /// From the first byte written to the last byte read, of good answers, ns.
    pub latency: Histogram<u64>,
    /// How long it lasted.
    pub elapsed: Duration,
    /// CPU time of this thread.
    pub cpu: Duration,
}

/// Sends GET requests for `path` over `connections` connections for `duration`, on this thread.
///
/// # Errors
/// When the path cannot stand in a request, nothing listens, or the system refuses what a loop
/// needs.
pub fn run(
    address: SocketAddr,
    path: &str,
    connections: u32,
    duration: Duration,
    stop: &Stop,
) -> Result<Tally, LoadError> {
    let line = RequestLine::new("GET", path)?;
    // One connection by the usual way first: whether anything is there at all.
    std::net::TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
        .map_err(|source| LoadError::Unreachable { address, source })?;
    let limits = Limits::raise_and_read().map_err(LoadError::system("read its limits"))?;
    let poll = Poll::new().map_err(LoadError::system("create an event queue"))?;
    let mut closed_loop = ClosedLoop::new(poll, address, line);
    closed_loop.missing = limits.connections(connections);
    closed_loop.play(duration, stop)
}

struct ClosedLoop {
    poll: Poll,
    address: SocketAddr,
    request: Vec<u8>,
    shared: Shared,
    connections: Slab<Connection>,
    /// Connections that are to be opened.
    missing: u32,
    again: Vec<Token>,
    tally: Tally,
}

impl ClosedLoop {
    fn new(poll: Poll, address: SocketAddr, line: RequestLine<'_>) -> Self {
        // 1 ns to a minute with three digits.
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
        Self {
            poll,
            address,
            request: line.fixed(address),
            shared: Shared {
                clock: Clock::start(),
                names: Names::default(),
                buffer: vec![0; BUFFER].into(),
                bodiless: line.bodiless(),
            },
            connections: Slab::new(),
            missing: 0,
            again: Vec::new(),
            tally: Tally {
                ok: 0,
                failed: 0,
                latency,
                elapsed: Duration::ZERO,
                cpu: Duration::ZERO,
            },
        }
    }

    fn play(mut self, duration: Duration, stop: &Stop) -> Result<Tally, LoadError> {
        let mut events = Events::with_capacity(EVENTS);
        let (begun, cpu) = (self.shared.clock.now(), thread_cpu());
        let mut now = begun;
        while now < begun + duration && !stop.is_raised() {
            self.open_missing();
            let patience = if self.again.is_empty() { TICK } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(patience)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => events.clear(),
                Err(source) => return Err(LoadError::System { what: "wait for events", source }),
            }
            for token in std::mem::take(&mut self.again) {
                self.handle(token, None);
            }
            for event in &events {
                self.handle(event.token(), Some(event));
            }
            now = self.shared.clock.now();
        }
        self.tally.elapsed = now.since(begun);
        self.tally.cpu = thread_cpu() - cpu;
        Ok(self.tally)
    }

    fn open_missing(&mut self) {
        for _ in 0..std::mem::take(&mut self.missing) {
            let (_, token) = self.connections.reserve();
            let registry = self.poll.registry();
            match Connection::open(self.address, self.shared.bodiless, registry, token) {
                Ok(connection) => {
                    self.connections.insert(connection);
                }
                Err(_) => {
                    self.tally.failed += 1;
                    self.missing += 1;
                }
            }
        }
    }

    fn handle(&mut self, token: Token, event: Option<&Event>) {
        let Some(index) = self.connections.resolve(token) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        let sent = connection.sent();
        let progress = match event {
            Some(event) => connection.handle_event(event, &mut self.shared),
            None => connection.handle_again(&mut self.shared),
        };
        match progress {
            Progress::Pending => return,
            Progress::Again => return self.again.push(token),
            Progress::Connected => {
                if connection.send(&self.request, &self.shared.clock).is_ok() {
                    return;
                }
                self.tally.failed += 1;
            }
            Progress::Answered { head, reusable } => {
                let now = self.shared.clock.now();
                self.tally.count(Outcome::of_status(head.status), now.since(sent.unwrap_or(now)));
                if reusable {
                    if connection.send(&self.request, &self.shared.clock).is_ok() {
                        return;
                    }
                    self.tally.failed += 1;
                }
            }
            Progress::Refused(_) | Progress::Broken(_) => self.tally.failed += 1,
            Progress::Gone => {}
        }
        self.connections.remove(index);
        self.missing += 1;
    }
}

impl Tally {
    fn count(&mut self, outcome: Outcome, latency: Duration) {
        if outcome == Outcome::Ok {
            self.ok += 1;
            self.latency.saturating_record(nanos(latency));
        } else {
            self.failed += 1;
        }
    }
}
