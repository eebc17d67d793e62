//! Connections to backends: opening, keeping, and sending one request on them. It must not decide
//! where a request goes, nor whether it goes again.
//!
//! This is the seam behind which HTTP/1.1 to backends is spoken: the rest of the crate sees
//! [`Wire::send`] and the pool.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::{BackendId, FailureKind, Sent};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::framing::{MAX_FIELDS, MAX_HEAD_BYTES};
use crate::upload::{Progress, Track, Upload};

/// The most idle connections that a worker keeps to one backend; more are closed after their answer.
pub(crate) const MAX_IDLE_PER_BACKEND: usize = 1024;
/// Sweeps (seconds) that an idle connection is kept: less than the 60 s after which common servers
/// close theirs, so that a request seldom meets a closing connection.
pub(crate) const IDLE_SWEEPS: u64 = 55;
/// How long a connection whose answer is complete may take to become ready for the next request.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(1);

/// Why an attempt has no answer.
pub(crate) struct Failure {
    pub(crate) error: FailureKind,
    /// The request, when nothing of it was sent: it can be sent again as it is.
    pub(crate) request: Option<Request<Upload>>,
}

/// One connection to a backend; closed when dropped, whatever is on it.
pub(crate) struct Wire {
    sender: http1::SendRequest<Upload>,
    task: AbortHandle,
    backend: BackendId,
    /// Bytes written to the socket so far.
    written: Rc<Cell<u64>>,
    /// What stood there when the present request began.
    written_before: u64,
    /// How far the present request's body is, if it has one.
    upload: Option<Rc<Track>>,
    requests: u64,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens a connection to a backend.
pub(crate) async fn connect(backend: BackendId, address: SocketAddr) -> io::Result<Wire> {
    let stream = TcpStream::connect(address).await?;
    // Without it small requests wait for the acknowledgement of those before. Where it cannot be
    // had, slow is better than nothing.
    let _ = stream.set_nodelay(true);
    let written = Rc::new(Cell::new(0));
    let counted = Counted { stream, written: Rc::clone(&written) };
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_FIELDS)
        .max_header_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(counted))
        .await
        .map_err(io::Error::other)?;
    // Its errors reach the request that is on it.
    let task = tokio::task::spawn_local(async move { drop(connection.await) }).abort_handle();
    Ok(Wire { sender, task, backend, written, written_before: 0, upload: None, requests: 0 })
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
    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, Failure> {
        self.upload = request.body().track();
        self.written_before = self.written.get();
        self.requests += 1;
        let answer = self.sender.try_send_request(request).await.map_err(|mut unsent| Failure {
            request: unsent.take_message(),
            error: kind(unsent.error()),
        })?;
        // No request asks for another protocol, as Upgrade ends at the proxy: who changes to one
        // all the same would talk past everybody.
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure { request: None, error: FailureKind::Protocol });
        }
        Ok(answer)
    }

    /// Whether the connection had served another request before the present one.
    pub(crate) fn reused(&self) -> bool {
        self.requests > 1
    }

    /// How much of the present request has been written.
    pub(crate) fn sent(&self) -> Sent {
        if self.written.get() == self.written_before {
            Sent::Nothing
        } else if self.upload_ended() {
            Sent::All
        } else {
            Sent::Part
        }
    }

    /// Whether the client broke off the present request: no fault of the backend.
    pub(crate) fn client_broke(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.progress() == Progress::Broken)
    }

    fn upload_ended(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.progress() == Progress::Ended)
    }
}

fn kind(error: &hyper::Error) -> FailureKind {
    let refused = |e: &io::Error| e.kind() == io::ErrorKind::InvalidData;
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    if error.is_parse() || source.is_some_and(refused) {
        FailureKind::Protocol
    } else {
        FailureKind::Reset
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
pub(crate) struct Pool {
    slots: RefCell<Vec<Slot>>,
    sweeps: Cell<u64>,
}

impl Pool {
    /// The latest used idle connection to a backend: the rest may grow old and be closed.
    pub(crate) fn take(&self, backend: BackendId) -> Option<Wire> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(backend.slot as usize)?;
        if slot.generation != backend.generation {
            return None;
        }
        loop {
            let Idle { wire, .. } = slot.idle.pop_back()?;
            if wire.sender.is_ready() && !wire.task.is_finished() {
                return Some(wire);
            }
        }
    }

    /// Keeps a connection whose answer is complete, or closes it.
    pub(crate) fn give(self: &Rc<Self>, mut wire: Wire) {
        // A backend may answer before it has read the whole request; what is left of that would
        // stand before the next request.
        if !wire.upload_ended() || wire.sender.is_closed() {
            return;
        }
        if wire.sender.is_ready() {
            self.keep(wire);
            return;
        }
        let pool = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let ready = tokio::time::timeout(SETTLE_LIMIT, wire.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                pool.keep(wire);
            }
        });
    }

    fn keep(&self, wire: Wire) {
        let mut slots = self.slots.borrow_mut();
        let BackendId { slot, generation } = wire.backend;
        let index = slot as usize;
        if slots.len() <= index {
            slots.resize_with(index + 1, Slot::default);
        }
        let slot = &mut slots[index];
        if slot.generation < generation {
            // A new tenant: the former's connections lead nowhere any more.
            *slot = Slot { generation, idle: VecDeque::new() };
        }
        if slot.generation == generation && slot.idle.len() < MAX_IDLE_PER_BACKEND {
            slot.idle.push_back(Idle { wire, since: self.sweeps.get() });
        }
    }

    /// To be called once a second: closes what has been idle for too long, or leads to a backend
    /// that is no longer there.
    pub(crate) fn sweep(&self, present: impl Fn(BackendId) -> bool) {
        let now = self.sweeps.get() + 1;
        self.sweeps.set(now);
        for (index, slot) in self.slots.borrow_mut().iter_mut().enumerate() {
            let slot_id = u32::try_from(index).expect("slots are numbered by u32");
            let id = BackendId { slot: slot_id, generation: slot.generation };
            if !slot.idle.is_empty() && !present(id) {
                slot.idle.clear();
            }
            // Not only the oldest: the backend may have closed any of them.
            slot.idle
                .retain(|idle| now - idle.since < IDLE_SWEEPS && !idle.wire.sender.is_closed());
        }
    }

    /// Closes everything.
    pub(crate) fn clear(&self) {
        self.slots.borrow_mut().clear();
    }
}

/// A socket that counts what was written to it, which tells whether a request may be sent again.
struct Counted {
    stream: TcpStream,
    written: Rc<Cell<u64>>,
}

impl Counted {
    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.written.set(self.written.get() + *count as u64);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.count(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.count(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
