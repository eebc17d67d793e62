//! A backend's answer on its way to an HTTP/1.1 client, with what is left of the request on its way
//! to the backend. It must not decide anything.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::exchange::Exchange;
use crate::http1::{Decoder, Framing, LAST_CHUNK, Piece, SizeLine, Version};
use crate::incoming::Incoming;
use crate::parcel::Parcel;
use crate::upload::{Fault, Upload};

/// The most of a body that is copied behind the head: one piece of memory is written faster than two.
const JOINED_BYTES: usize = 4096;

/// How a body's framing changes on the way.
#[derive(Debug)]
pub(crate) enum Reframing {
    /// Not at all.
    Keep,
    /// It ends with the backend's connection, and gets chunks so that the client's can stay open.
    Wrap,
    /// It has chunks, which an HTTP/1.0 client does not know.
    Unwrap(Decoder),
}

impl Reframing {
    /// For an answer framed like that, and a client of that version.
    pub(crate) fn of(framing: Framing, client: Version) -> Self {
        match (framing, client) {
            (Framing::UntilClose, Version::Http11) => Self::Wrap,
            (Framing::Chunked, Version::Http10) => Self::Unwrap(Decoder::new(framing)),
            _ => Self::Keep,
        }
    }
}

/// How the relaying ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// The client has the whole answer.
    Whole,
    /// The backend broke it off.
    UpstreamBroke,
    /// The client left, or broke its request.
    ClientLeft,
}

/// An answer that is relayed.
pub(crate) struct Relay<'r, 'a, S> {
    pub(crate) incoming: &'r mut Incoming<'a, S>,
    pub(crate) exchange: &'r mut Exchange,
    pub(crate) parcel: &'r mut Parcel,
    /// What is written before the body's bytes: at first the head.
    pub(crate) reply: &'r mut Vec<u8>,
    pub(crate) reframing: Reframing,
    /// So much of `reply` was written.
    written: usize,
    /// All that is to be written stands in `reply`.
    finished: bool,
}

impl<'r, 'a, S: AsyncRead + AsyncWrite + Unpin> Relay<'r, 'a, S> {
    /// With the answer's head in `reply` and passed over in `exchange`.
    pub(crate) fn new(
        incoming: &'r mut Incoming<'a, S>,
        exchange: &'r mut Exchange,
        parcel: &'r mut Parcel,
        reply: &'r mut Vec<u8>,
        reframing: Reframing,
    ) -> Self {
        incoming.begin_answer();
        let mut relay =
            Self { incoming, exchange, parcel, reply, reframing, written: 0, finished: false };
        relay.join();
        relay
    }

    /// Relays to the end, whatever that is.
    pub(crate) async fn run(mut self) -> Relayed {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Puts a small body behind the head.
    fn join(&mut self) {
        let ready = self.exchange.ready().len();
        if matches!(self.reframing, Reframing::Keep) && ready <= JOINED_BYTES {
            self.reply.extend_from_slice(self.exchange.ready());
            self.exchange.consume(ready);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Relayed> {
        let waits_for_client = loop {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => return Poll::Ready(Relayed::ClientLeft),
                Poll::Pending => break true,
            }
            if self.finished {
                return Poll::Ready(Relayed::Whole);
            }
            match self.exchange.poll_body(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Relayed::UpstreamBroke),
                Poll::Pending => break false,
            }
            if self.exchange.is_whole() {
                self.exchange.settle();
            }
            if !self.reframe() {
                return Poll::Ready(Relayed::UpstreamBroke);
            }
        };
        if !self.exchange.is_sent() && !self.exchange.is_over() {
            match self.exchange.poll_send(cx, self.parcel, self.incoming) {
                // Its framing was refused: the answer has begun, so a close has to say it.
                Err(Fault::Framing(_) | Fault::Left) => return Poll::Ready(Relayed::ClientLeft),
                Ok(()) => {}
            }
        } else if !waits_for_client && self.incoming.poll_gone(cx).is_ready() {
            return Poll::Ready(Relayed::ClientLeft);
        }
        Poll::Pending
    }

    /// Writes all that stands ready.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        loop {
            let head = &self.reply[self.written..];
            let body: &[u8] = match self.reframing {
                Reframing::Keep => self.exchange.ready(),
                Reframing::Wrap | Reframing::Unwrap(_) => b"",
            };
            if head.is_empty() && body.is_empty() {
                break;
            }
            match self.incoming.poll_write(cx, head, body) {
                Poll::Ready(Ok(count)) => {
                    let of_head = count.min(head.len());
                    self.written += of_head;
                    self.exchange.consume(count - of_head);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        if ready!(self.incoming.poll_flush(cx)).is_err() {
            return Poll::Ready(Err(()));
        }
        self.reply.clear();
        self.written = 0;
        self.finished |= self.exchange.is_whole() && matches!(self.reframing, Reframing::Keep);
        Poll::Ready(Ok(()))
    }

    /// Puts what is ready of the body into `reply` where its framing changes; false if it is broken.
    fn reframe(&mut self) -> bool {
        let ready = self.exchange.ready();
        match &mut self.reframing {
            Reframing::Keep => return true,
            Reframing::Wrap => {
                if let Some(line) = SizeLine::new(ready.len()) {
                    self.reply.extend_from_slice(line.as_bytes());
                    self.reply.extend_from_slice(ready);
                    self.reply.extend_from_slice(b"\r\n");
                }
                if self.exchange.is_whole() {
                    self.reply.extend_from_slice(LAST_CHUNK);
                }
            }
            Reframing::Unwrap(decoder) => {
                let mut rest = ready;
                loop {
                    let Ok(part) = decoder.next(rest) else { return false };
                    rest = &rest[part.used..];
                    match part.piece {
                        Piece::Data(data) => self.reply.extend_from_slice(data),
                        Piece::Trailer(_) => {}
                        Piece::Missing | Piece::End => break,
                    }
                }
            }
        }
        let count = ready.len();
        self.exchange.consume(count);
        self.finished = self.exchange.is_whole();
        true
    }
}
