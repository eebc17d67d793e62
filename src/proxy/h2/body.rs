//! The body of one HTTP/2 request on its way to a backend that speaks HTTP/1.1: DATA frames get a
//! framing and go past the check that bodies of HTTP/1.1 go past. It must not know backends.

use std::task::{Context, Poll, ready};

use base::{Clock, Time};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Response, StatusCode};

use crate::buffers::Buffer;
use crate::client::Client;
use crate::headers;
use crate::http1::{Decoder, Framing, LAST_CHUNK, ResponseHead, SizeLine, Version, Violation};
use crate::upload::{Fault, MAX_INTERIM_BYTES, Upload};

use super::head;

/// The client's side of a request whose head was read.
pub(super) struct Body<'a> {
    frames: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
    client: &'a Client,
    clock: Clock,
    framing: Framing,
    decoder: Decoder,
    /// The latest piece as a backend gets it, past the check, and not consumed.
    piece: &'a mut Buffer,
    /// So many bytes of the client's window it takes; they are given back when it is consumed.
    taken: usize,
    /// No byte of the body comes behind the piece.
    whole: bool,
    fault: Option<Fault>,
    /// The client waits to be asked for the body.
    waits: bool,
    /// So much of backends' interim answers may still be passed on.
    interim_left: usize,
    owes: bool,
    given_at: Time,
}

impl<'a> Body<'a> {
    /// With `piece` empty. `waits`: the client waits to be asked for the body.
    pub(super) fn new(
        frames: RecvStream,
        respond: SendResponse<Bytes>,
        client: &'a Client,
        clock: Clock,
        (framing, waits): (Framing, bool),
        piece: &'a mut Buffer,
    ) -> Self {
        let decoder = Decoder::new(framing);
        let whole = decoder.is_ended();
        client.in_body.set(!whole);
        Self {
            frames,
            respond,
            client,
            clock,
            framing,
            decoder,
            piece,
            taken: 0,
            whole,
            fault: None,
            waits,
            interim_left: MAX_INTERIM_BYTES,
            owes: false,
            given_at: Time::ZERO,
        }
    }

    /// Bytes of interim answers that were handed on, as HTTP/1.1 would have them.
    pub(super) const fn interim_bytes(&self) -> u64 {
        (MAX_INTERIM_BYTES - self.interim_left) as u64
    }

    /// The body is not asked for any more: a final answer has begun.
    pub(super) fn begin_answer(&mut self) {
        self.waits = false;
    }

    /// Takes the next frame: whether there was one, or the end.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.frames.poll_data(cx)) {
            Some(Ok(data)) => {
                self.taken = data.len();
                self.put(&data);
                self.check(false);
            }
            Some(Err(error)) => self.fault = Some(fault_of(&error)),
            None => match ready!(self.frames.poll_trailers(cx)) {
                Ok(trailers) => {
                    self.put_end(trailers.as_ref());
                    self.check(true);
                }
                Err(error) => self.fault = Some(fault_of(&error)),
            },
        }
        Poll::Ready(())
    }

    fn put(&mut self, data: &[u8]) {
        match (self.framing, SizeLine::new(data.len())) {
            (Framing::Chunked, Some(line)) => {
                for part in [line.as_bytes(), data, b"\r\n"] {
                    self.piece.put(part);
                }
            }
            // An empty chunk would be the last one.
            (Framing::Chunked, None) => {}
            _ => self.piece.put(data),
        }
    }

    /// Behind a body with a length there is no place for trailers in HTTP/1.1; they may be dropped
    /// (RFC 9110 §6.5.1).
    fn put_end(&mut self, trailers: Option<&HeaderMap>) {
        match trailers {
            _ if self.framing != Framing::Chunked => {}
            None => self.piece.put(LAST_CHUNK),
            Some(trailers) => {
                let mut text = b"0\r\n".to_vec();
                head::put_trailers(trailers, &mut text);
                text.extend_from_slice(b"\r\n");
                self.piece.put(&text);
            }
        }
    }

    /// Looks at the piece; `last`: nothing follows it.
    fn check(&mut self, last: bool) {
        match self.decoder.advance(self.piece.data()) {
            Ok(step) if step.used == self.piece.len() && (step.ended || !last) => {
                self.whole = step.ended;
            }
            // Content-Length promises another number of bytes.
            Ok(_) => self.fault = Some(Fault::Framing(Violation::NotHttp2)),
            Err(violation) => self.fault = Some(Fault::Framing(violation)),
        }
        if self.fault.is_some() {
            self.piece.consume(self.piece.len());
        }
        self.client.in_body.set(!self.whole);
    }

    /// Lets the client send as much again as was consumed.
    fn give_back(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            // It fails only for a stream that has ended, whose window nobody needs.
            let _ = self.frames.flow_control().release_capacity(taken);
        }
    }

    fn invite(&mut self) {
        if std::mem::take(&mut self.waits) {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            // Who is gone shows it elsewhere.
            let _ = self.respond.send_informational(go_on);
        }
    }
}

/// Why no more frames come: the library found the request malformed, or the client is gone.
fn fault_of(error: &h2::Error) -> Fault {
    if error.is_library() { Fault::Framing(Violation::NotHttp2) } else { Fault::Left }
}

impl Upload for Body<'_> {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Fault>> {
        while self.piece.is_empty() {
            if let Some(fault) = self.fault {
                return Poll::Ready(Err(fault));
            }
            if self.whole {
                break;
            }
            self.owes = true;
            if self.poll_frame(cx).is_pending() {
                self.invite();
                return Poll::Pending;
            }
            self.client.moved();
            self.given_at = self.clock.now();
        }
        self.owes = false;
        Poll::Ready(Ok(self.piece.data()))
    }

    fn consume(&mut self, count: usize) {
        self.piece.consume(count);
        if self.piece.is_empty() {
            self.give_back();
        }
    }

    fn has_ended(&self) -> bool {
        self.whole && self.piece.is_empty()
    }

    fn is_at_hand(&self) -> bool {
        self.whole && self.fault.is_none()
    }

    fn fault(&self) -> Option<Fault> {
        self.fault
    }

    fn client_owes(&self) -> bool {
        self.owes
    }

    fn given_at(&self) -> Time {
        if self.owes { self.clock.now() } else { self.given_at }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.fault == Some(Fault::Left) {
            return Poll::Ready(());
        }
        // Why it left makes no difference.
        let _ = ready!(self.respond.poll_reset(cx));
        self.fault = Some(Fault::Left);
        Poll::Ready(())
    }

    fn put_interim(&mut self, head: &ResponseHead, bytes: &[u8]) {
        let mut text = Vec::new();
        headers::interim_to_client(head, bytes, Version::Http2, &mut text);
        if let Some(left) = self.interim_left.checked_sub(text.len()) {
            self.interim_left = left;
            // Who is gone shows it elsewhere.
            let _ = self.respond.send_informational(head::response(head.status(), &text));
        }
    }

    /// The library sends them by itself.
    fn poll_interim(&mut self, _: &mut Context<'_>) {}
}
