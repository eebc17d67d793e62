//! A client's socket of which only well framed requests can be read. It must not know what is
//! done with them, nor how a refusal is worded.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::client::Client;
use crate::framing::{Framing, MAX_HEAD_BYTES, Violation};

/// Read in the place of a refused head, so that the refusal takes its turn behind the answers to
/// the requests before it. The service knows it by its number ([`Client::refusal`]).
const REFUSED_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How long, and for how many bytes, the rest of a refused request is read before the connection
/// is closed: closing a socket with unread bytes resets it, and the client might never see why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;
/// How much is read at once of a head that comes in pieces.
const PIECE: usize = 4096;

/// A client's socket behind the framing check. Heads are passed on whole or not at all.
pub(crate) struct Inspected {
    stream: TcpStream,
    client: Rc<Client>,
    framing: Framing,
    /// The beginning of a head, or what is to be read next.
    held: Vec<u8>,
    /// So many bytes of `held` may be read.
    ready: usize,
    end: Option<End>,
    linger: Option<Linger>,
}

/// The end of a connection on which a request was refused.
struct Linger {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

/// Why nothing more is read from the socket.
#[derive(Clone, Copy)]
enum End {
    /// A head was refused; the refusal was put into its place.
    Refused,
    /// A body was malformed: what was passed on of it cannot be called back.
    Broken(Violation),
}

impl Inspected {
    pub(crate) fn new(stream: TcpStream, client: Rc<Client>) -> Self {
        let framing = Framing::default();
        Self { stream, client, framing, held: vec![], ready: 0, end: None, linger: None }
    }

    fn deliver(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.ready.min(buf.remaining());
        buf.put_slice(&self.held[..count]);
        self.held.drain(..count);
        self.ready -= count;
        if self.held.is_empty() {
            // Hardly any connection needs it twice.
            self.held = vec![];
        }
    }

    fn refuse(&mut self, violation: Violation) {
        let number = self.framing.heads();
        if self.framing.in_body() {
            // The request with that body is the last one that was passed on.
            self.client.refusal.set(Some((number, violation)));
            self.end = Some(End::Broken(violation));
        } else {
            self.client.refusal.set(Some((number + 1, violation)));
            self.held.extend_from_slice(REFUSED_REQUEST);
            self.ready = self.held.len();
            self.end = Some(End::Refused);
        }
    }

    fn note_position(&self) {
        self.client.in_head.set(self.held.len() > self.ready);
        self.client.in_body.set(self.framing.in_body());
        self.client.moved();
    }

    /// Reads straight into the reader's buffer; only an unfinished head is moved away again.
    fn read_through(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let fresh = &buf.filled()[start..];
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let seen = self.framing.inspect(fresh);
        match seen.refused {
            None => self.held.extend_from_slice(&fresh[seen.pass..]),
            Some(violation) => self.refuse(violation),
        }
        buf.set_filled(start + seen.pass);
        self.note_position();
        Poll::Ready(Ok(seen.pass > 0))
    }

    /// Reads more of a head whose beginning is held.
    fn read_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        debug_assert!(self.held.len() <= MAX_HEAD_BYTES, "a longer head is refused");
        let mut piece = [0; PIECE];
        let mut buf = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        if buf.filled().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(buf.filled());
        let seen = self.framing.inspect(&self.held);
        self.ready = seen.pass;
        if let Some(violation) = seen.refused {
            self.held.truncate(seen.pass);
            self.refuse(violation);
        }
        self.note_position();
        Poll::Ready(Ok(false))
    }
}

impl AsyncRead for Inspected {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.ready > 0 {
                this.deliver(buf);
                return Poll::Ready(Ok(()));
            }
            match this.end {
                // Not the end of the stream: that would read as the client's leaving, and cut off
                // the answers before the refusal. The refusal closes the connection.
                Some(End::Refused) => return Poll::Pending,
                Some(End::Broken(violation)) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, violation.to_string());
                    return Poll::Ready(Err(error));
                }
                None => {}
            }
            let done = match this.held.is_empty() {
                true => ready!(this.read_through(cx, buf))?,
                false => ready!(this.read_piece(cx))?,
            };
            if done {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Inspected {
    /// Reads what still comes after a refusal, within limits.
    fn discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            until: Box::pin(sleep(LINGER)),
            bytes_left: LINGER_BYTES,
        });
        let mut piece = [0; PIECE];
        while linger.bytes_left > 0 && linger.until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            match buf.filled().len() {
                0 => break,
                count => linger.bytes_left = linger.bytes_left.saturating_sub(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        self.client.write_blocked.set(written.is_pending());
        self.client.moved();
    }
}

impl AsyncWrite for Inspected {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        if this.end.is_none() { Poll::Ready(Ok(())) } else { this.discard(cx) }
    }
}
