//! The connections to all targets: opened, lent, taken back, closed.
//! It must not know when requests are due, how they end or who counts them.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base::{Clock, FailureKind, Time};
use mio::event::Event;
use mio::{Registry, Token};
use scenario::LoadSpec;
use workload::Arrival;

use super::connection::{
    Connection, Progress, Shared, connect_failure, is_short_of_descriptors, is_short_of_ports,
};
use super::ledger::Open;
use super::limits::Limits;
use super::pool::{Pool, WarmUp};
use super::request::{RequestLine, Requests};
use super::response::Names;
use super::slab::Slab;
use super::{LoadError, Target};

/// Connections begun in one turn; each costs some 20 µs.
const CONNECTS: u32 = 16;

/// How long nothing is opened after descriptors or ports ran out: to ask again at once is in vain.
const REST: Duration = Duration::from_millis(100);

/// The size of the one read buffer; as much as a loopback read usually gives.
const BUFFER: usize = 64 * 1024;

/// A connection, its target, and the request it carries.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) connection: Connection,
    pub(super) target: u32,
    pub(super) carries: Option<Open>,
}

/// What became of the openings so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Openings {
    /// Connections opened.
    pub(super) opened: u64,
    /// Not opened for want of descriptors or memory.
    pub(super) short_of_descriptors: u64,
    /// Not opened for want of a port.
    pub(super) short_of_ports: u64,
}

/// All connections of an open loop.
pub(super) struct Fleet {
    addresses: Vec<SocketAddr>,
    registry: Registry,
    shared: Shared,
    requests: Requests,
    seats: Slab<Seat>,
    pools: Vec<Pool>,
    /// The most connections that the warm-up opens to one target.
    wished: usize,
    warm_up: WarmUp,
    /// Targets that want connections which this turn did not open.
    wanting: VecDeque<u32>,
    /// Connections that this turn may still open.
    connects: u32,
    /// Nothing is opened before this.
    rested: Time,
    /// Connections that the system refused at once, which their requests must be told.
    refused: Vec<(u32, FailureKind)>,
    openings: Openings,
}

impl Fleet {
    /// No connections yet, to the targets of this load.
    ///
    /// # Errors
    /// When the request cannot be written, there is no target, or the system says no.
    pub(super) fn new(
        load: &LoadSpec,
        target: &Target,
        clock: Clock,
        registry: Registry,
    ) -> Result<Self, LoadError> {
        let line = RequestLine::new(&load.method, &load.path)?;
        let targets = target.addresses.len();
        if targets == 0 {
            return Err(LoadError::NoAddress);
        }
        let limits = Limits::raise_and_read().map_err(LoadError::system("read its limits"))?;
        let most = limits.connections(load.max_connections) as usize;
        // Each target has its share, and at least one.
        let limit = (most / targets).max(1);
        let wished = (load.connections as usize).div_ceil(targets).min(limit);
        Ok(Self {
            registry,
            shared: Shared {
                clock,
                names: Names::new(&target.backends),
                buffer: vec![0; BUFFER].into(),
                bodiless: line.bodiless(),
            },
            requests: Requests::new(line, &target.addresses, load.keys),
            addresses: target.addresses.clone(),
            seats: Slab::new(),
            pools: (0..targets).map(|_| Pool::new(limit)).collect(),
            wished,
            warm_up: WarmUp::new(wished * targets, load.shape.warmup),
            wanting: VecDeque::new(),
            connects: CONNECTS,
            rested: Time::ZERO,
            refused: Vec::new(),
            openings: Openings::default(),
        })
    }

    /// How many targets there are.
    pub(super) fn targets(&self) -> u32 {
        self.pools.len() as u32
    }

    /// What became of the openings so far.
    pub(super) fn openings(&self) -> Openings {
        self.openings
    }

    /// When connections are to be opened next, if they are.
    pub(super) fn wakes_at(&self) -> Option<Time> {
        let wanting = (!self.wanting.is_empty()).then_some(Time::ZERO);
        wanting.or_else(|| self.warm_up.due()).map(|due| due.max(self.rested))
    }

    /// The connection in a slot, if any.
    pub(super) fn seat(&mut self, index: u32) -> Option<&mut Seat> {
        self.seats.get_mut(index)
    }

    /// A free connection to a target, if there is one: it is the caller's until released.
    pub(super) fn borrow(&mut self, target: u32) -> Option<u32> {
        self.pools[target as usize].idle.pop(&mut self.seats)
    }

    /// A request joins the queue of a target that has no connection free.
    pub(super) fn queue(&mut self, target: u32, open: Open, now: Time) {
        self.pools[target as usize].waiting.push_back(open);
        self.open_for(target, now);
    }

    /// The request that has waited longest for this target leaves the queue.
    pub(super) fn unqueue(&mut self, target: u32) -> Option<Open> {
        self.pools[target as usize].waiting.pop_front()
    }

    /// The connection to this target that has been in the opening longest.
    pub(super) fn slowest(&self, target: u32) -> Option<u32> {
        self.pools[target as usize].connecting.first()
    }

    /// A connection that the caller holds is free: it goes with the request returned, which has
    /// waited longest, or else back among the free ones.
    pub(super) fn release(&mut self, index: u32) -> Option<Open> {
        let pool = &mut self.pools[self.seats.get_mut(index)?.target as usize];
        let next = pool.waiting.pop_front();
        if next.is_none() {
            pool.idle.push(&mut self.seats, index);
        }
        next
    }

    /// Writes a request on a connection that the caller holds; returns when its first byte went.
    ///
    /// # Errors
    /// The request failed; the connection is closed.
    pub(super) fn send(
        &mut self,
        index: u32,
        open: Open,
        arrival: &Arrival,
    ) -> Result<Option<Time>, FailureKind> {
        let Some(seat) = self.seats.get_mut(index) else { return Err(FailureKind::Reset) };
        let bytes = self.requests.compose(seat.target, arrival.luck, arrival.request);
        match seat.connection.send(bytes, &self.shared.clock) {
            Ok(()) => {
                seat.carries = Some(open);
                Ok(seat.connection.sent())
            }
            Err(kind) => {
                self.close(index);
                Err(kind)
            }
        }
    }

    /// The socket of `token` is ready for something, or has more to read when `event` is none.
    /// Returns its slot, unless it was closed before.
    pub(super) fn handle(
        &mut self,
        token: Token,
        event: Option<&Event>,
    ) -> Option<(u32, Progress)> {
        let index = self.seats.resolve(token)?;
        let seat = self.seats.get_mut(index)?;
        let target = seat.target as usize;
        let progress = match event {
            Some(event) => seat.connection.handle_event(event, &mut self.shared),
            None => seat.connection.handle_again(&mut self.shared),
        };
        if progress == Progress::Connected {
            self.openings.opened += 1;
            self.pools[target].connecting.remove(&mut self.seats, index);
        }
        Some((index, progress))
    }

    /// Closes a connection, whatever its state; the request it carries is the caller's to end.
    pub(super) fn close(&mut self, index: u32) {
        let Some(seat) = self.seats.get_mut(index) else { return };
        let target = seat.target;
        let (connecting, idle) = (seat.connection.is_connecting(), seat.connection.is_idle());
        let pool = &mut self.pools[target as usize];
        pool.connections -= 1;
        if connecting {
            pool.connecting.remove(&mut self.seats, index);
        } else if idle {
            pool.idle.remove(&mut self.seats, index);
        }
        self.seats.remove(index);
        // Room for another, if requests wait: opened this turn or, when it has opened enough, next.
        self.list_wanting(target);
    }

    /// Opens what the warm-up plans and what was put off. Afterwards [`Fleet::poll_refused`] is to
    /// be asked.
    pub(super) fn open_wanted(&mut self, now: Time) {
        self.connects = CONNECTS;
        while self.connects > 0 && now >= self.rested {
            let Some(number) = self.warm_up.take(now) else { break };
            let target = number % self.pools.len();
            // Requests may have opened as many before.
            if self.pools[target].connections < self.wished {
                self.open(target as u32, now);
            }
        }
        for _ in 0..self.wanting.len() {
            let Some(target) = self.wanting.pop_front() else { return };
            self.pools[target as usize].listed = false;
            self.open_for(target, now);
        }
    }

    /// The next connection that could not even be begun: its target, and why. The request that has
    /// waited longest there has failed.
    pub(super) fn poll_refused(&mut self) -> Option<(u32, FailureKind)> {
        self.refused.pop()
    }

    /// Opens as many connections to a target as its waiting requests want, or puts that off.
    fn open_for(&mut self, target: u32, now: Time) {
        while self.pools[target as usize].wants_connection() {
            if self.connects == 0 || now < self.rested || !self.open(target, now) {
                self.list_wanting(target);
                return;
            }
        }
    }

    fn list_wanting(&mut self, target: u32) {
        let pool = &mut self.pools[target as usize];
        if pool.wants_connection() && !pool.listed {
            pool.listed = true;
            self.wanting.push_back(target);
        }
    }

    /// Begins to open a connection; whether that could be done.
    fn open(&mut self, target: u32, now: Time) -> bool {
        self.connects -= 1;
        let (_, token) = self.seats.reserve();
        let address = self.addresses[target as usize];
        match Connection::open(address, self.shared.bodiless, &self.registry, token) {
            Ok(connection) => {
                let index = self.seats.insert(Seat { connection, target, carries: None });
                let pool = &mut self.pools[target as usize];
                pool.connections += 1;
                pool.connecting.push(&mut self.seats, index);
                true
            }
            Err(error) => {
                self.handle_unopened(target, &error, now);
                false
            }
        }
    }

    fn handle_unopened(&mut self, target: u32, error: &io::Error, now: Time) {
        if is_short_of_descriptors(error) {
            self.openings.short_of_descriptors += 1;
            self.rested = now + REST;
        } else if is_short_of_ports(error) {
            self.openings.short_of_ports += 1;
            self.rested = now + REST;
        } else {
            self.refused.push((target, connect_failure(error)));
        }
    }
}
