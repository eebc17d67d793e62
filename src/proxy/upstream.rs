//! Connections to backends: opening and keeping them. It must not decide where a request goes, nor
//! know what is said on them.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use base::BackendId;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::directory::{Line, OpenLine};

/// The most idle connections that a worker keeps to one backend; more are closed after their answer.
pub(crate) const MAX_IDLE_PER_BACKEND: usize = 1024;

/// One connection to a backend; closed when dropped, whatever is on it.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    backend: BackendId,
    /// Requests that were sent on it.
    requests: u64,
    _open: OpenLine,
}

/// Opens a connection to a backend, counted on its line.
pub(crate) async fn connect(
    backend: BackendId,
    address: SocketAddr,
    line: Line,
) -> io::Result<Wire> {
    let stream = TcpStream::connect(address).await?;
    // Without it small requests wait for the acknowledgement of those before. Where it cannot be
    // had, slow is better than nothing.
    let _ = stream.set_nodelay(true);
    Ok(Wire { stream, backend, requests: 0, _open: line.open() })
}

/// What the system says (Linux' numbers) when the proxy itself is short of something that a
/// connection needs: file descriptors (its own, all), memory, buffers, watches, local ports.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
const ENOMEM: i32 = 12;
const ENOBUFS: i32 = 105;
const ENOSPC: i32 = 28;
const EADDRNOTAVAIL: i32 = 99;

/// Whether a connection could not be opened for want of something on this side: that is no fault
/// of the backend, which was not even asked.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(EMFILE | ENFILE | ENOMEM | ENOBUFS | ENOSPC | EADDRNOTAVAIL)
    )
}

impl Wire {
    /// Another request will be sent on it.
    pub(crate) const fn begin(&mut self) {
        self.requests += 1;
    }

    /// Whether the connection had served another request before the present one.
    pub(crate) const fn is_reused(&self) -> bool {
        self.requests > 1
    }

    /// Writes once, from two texts as if they were one.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        write_both(&mut self.stream, cx, head, body)
    }

    /// Whether nothing has come on a connection on which nothing was asked: neither its end nor
    /// anything else. Costs a system call only when the runtime has heard of something.
    fn is_quiet(&self) -> bool {
        let got = self.stream.try_read(&mut [0; 1]);
        matches!(got, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Makes another worker's connection one of the worker that calls: its events come to whoever
    /// waits here. `None` if the system does not let it, or if it is not quiet after all: the other
    /// worker may be busy and not have heard of what came, which would pass for the next answer.
    fn adopt(self) -> Option<Self> {
        let stream = self.stream.into_std().ok()?;
        let got = stream.peek(&mut [0; 1]);
        if !matches!(got, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return None;
        }
        let stream = TcpStream::from_std(stream).ok()?;
        Some(Self { stream, ..self })
    }

    /// The task that used it last is not woken by it any more, nor kept in memory.
    fn forget_its_task(&self) {
        let _ = self.stream.poll_read_ready(&mut Context::from_waker(Waker::noop()));
    }
}

/// Writes once, from two texts as if they were one.
pub(crate) fn write_both<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    head: &[u8],
    body: &[u8],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    match (head, body) {
        (text, []) | ([], text) => stream.poll_write(cx, text),
        _ => stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)]),
    }
}

struct Idle {
    wire: Wire,
    since: u64,
}

/// The idle connections to one tenant of a pool slot, the latest used at the back.
#[derive(Default)]
struct Slot {
    generation: u32,
    idle: VecDeque<Idle>,
}

/// A worker's idle connections.
#[derive(Default)]
struct Kept {
    slots: Vec<Slot>,
    sweeps: u64,
}

impl Kept {
    fn slot(&mut self, backend: BackendId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(backend.slot as usize)?;
        (slot.generation == backend.generation).then_some(slot)
    }
}

/// The idle connections of all workers. Each keeps its own, so that hardly anyone ever waits for a
/// lock; who has none to a backend takes another's instead of opening one.
pub(crate) struct Pools(Box<[Mutex<Kept>]>);

impl Pools {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Mutex::default()).collect())
    }

    /// How many connections to a backend all workers keep idle.
    pub(crate) fn idle(&self, backend: BackendId) -> u64 {
        let count = |worker| self.lock(worker).slot(backend).map_or(0, |slot| slot.idle.len());
        (0..self.0.len()).map(|worker| count(worker) as u64).sum()
    }

    fn lock(&self, worker: usize) -> MutexGuard<'_, Kept> {
        // Whatever state a panic left it in, it holds connections and nothing else.
        self.0[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pools as one worker sees them.
pub(crate) struct Pool {
    all: Arc<Pools>,
    own: usize,
}

impl Pool {
    pub(crate) fn new(all: Arc<Pools>, own: usize) -> Self {
        Self { all, own }
    }

    /// An idle connection to a backend, if any worker has one. Of the own ones the latest used: the
    /// rest may grow old and be closed. Of another's the one that it would use last.
    pub(crate) fn take(&self, backend: BackendId) -> Option<Wire> {
        let own = self.find(self.own, backend, VecDeque::pop_back);
        own.or_else(|| {
            let workers = self.all.0.len();
            let others = (1..workers).map(|step| (self.own + step) % workers);
            let mut found = others.filter_map(|at| self.find(at, backend, VecDeque::pop_front));
            found.find_map(Wire::adopt)
        })
    }

    fn find(
        &self,
        worker: usize,
        backend: BackendId,
        next: impl Fn(&mut VecDeque<Idle>) -> Option<Idle>,
    ) -> Option<Wire> {
        let mut kept = self.all.lock(worker);
        let slot = kept.slot(backend)?;
        loop {
            let Idle { wire, .. } = next(&mut slot.idle)?;
            if wire.is_quiet() {
                return Some(wire);
            }
        }
    }

    /// Keeps a connection whose answer is complete, or closes it.
    pub(crate) fn give(&self, wire: Wire) {
        if !wire.is_quiet() {
            return;
        }
        let mut kept = self.all.lock(self.own);
        let since = kept.sweeps;
        let BackendId { slot, generation } = wire.backend;
        let index = slot as usize;
        if kept.slots.len() <= index {
            kept.slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut kept.slots[index];
        if slot.generation < generation {
            // A new tenant: the former's connections lead nowhere any more.
            *slot = Slot { generation, idle: VecDeque::new() };
        }
        if slot.generation == generation && slot.idle.len() < MAX_IDLE_PER_BACKEND {
            slot.idle.push_back(Idle { wire, since });
        }
    }

    /// To be called once a second: closes what has been idle for too long, or leads to a backend
    /// that is no longer there.
    pub(crate) fn sweep(&self, idle_sweeps: u64, present: impl Fn(BackendId) -> bool) {
        let mut kept = self.all.lock(self.own);
        kept.sweeps += 1;
        let now = kept.sweeps;
        for (index, slot) in kept.slots.iter_mut().enumerate() {
            let slot_id = u32::try_from(index).expect("slots are numbered by u32");
            let id = BackendId { slot: slot_id, generation: slot.generation };
            if !slot.idle.is_empty() && !present(id) {
                slot.idle.clear();
            }
            // Not only the oldest: the backend may have closed any of them.
            slot.idle.retain(|idle| now - idle.since < idle_sweeps && idle.wire.is_quiet());
            for idle in &slot.idle {
                idle.wire.forget_its_task();
            }
        }
    }

    /// Closes everything that is its own: whether there was anything.
    pub(crate) fn clear(&self) -> bool {
        let slots = std::mem::take(&mut self.all.lock(self.own).slots);
        slots.iter().any(|slot| !slot.idle.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use tokio::runtime::Builder;

    use super::*;
    use crate::directory::Tenants;

    #[test]
    fn another_workers_connection_is_looked_at_before_it_is_used() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (theirs, ours) = (runtime(), runtime());
        let pools = Arc::new(Pools::new(2));
        let backend = BackendId { slot: 0, generation: 0 };
        for (unasked, usable) in [("", true), ("HTTP/1.1 200 OK\r\n\r\n", false)] {
            let line = Tenants::default().line(backend);
            let wire = theirs.block_on(connect(backend, address, line)).expect("it listens");
            let (mut peer, _) = listener.accept().expect("a connection");
            Pool::new(Arc::clone(&pools), 1).give(wire);
            // Their runtime does not run: it cannot hear of this.
            peer.write_all(unasked.as_bytes()).expect("open");
            let pool = Pool::new(Arc::clone(&pools), 0);
            let taken = ours.block_on(async { pool.take(backend).is_some() });
            assert_eq!(taken, usable, "{unasked:?}");
        }
    }

    #[test]
    fn a_shortage_of_our_own_is_told_from_a_backend_that_refuses() {
        const ECONNREFUSED: i32 = 111;
        const ECONNRESET: i32 = 104;
        const EHOSTUNREACH: i32 = 113;
        const ENETUNREACH: i32 = 101;
        const ETIMEDOUT: i32 = 110;
        for (number, expected) in [
            (EMFILE, true),
            (ENFILE, true),
            (ENOMEM, true),
            (ENOBUFS, true),
            (ENOSPC, true),
            (EADDRNOTAVAIL, true),
            (ECONNREFUSED, false),
            (ECONNRESET, false),
            (EHOSTUNREACH, false),
            (ENETUNREACH, false),
            (ETIMEDOUT, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(is_shortage(&error), expected, "{error}");
        }
        // The numbers are those of this system.
        for (number, kind) in [
            (ENOMEM, io::ErrorKind::OutOfMemory),
            (ENOSPC, io::ErrorKind::StorageFull),
            (EADDRNOTAVAIL, io::ErrorKind::AddrNotAvailable),
        ] {
            assert_eq!(io::Error::from_raw_os_error(number).kind(), kind);
        }
        assert!(!is_shortage(&io::Error::other("a handshake that failed")));
    }
}
