//! The client's side of one HTTP/1.1 request: its body is read and checked here, its answer is
//! written here. It must not know backends.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base::{Clock, Time};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::buffers::{BUFFER_BYTES, Buffer};
use crate::client::Client;
use crate::headers;
use crate::http1::{Decoder, Framing, ResponseHead, Version};
use crate::tunnel::Side;
use crate::upload::{Fault, MAX_INTERIM_BYTES, Upload};
use crate::upstream::write_both;

/// What a client is told that waits with its body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The client's side of a request whose head was read.
pub(crate) struct Incoming<'a, S> {
    stream: &'a mut S,
    /// What was read and not consumed: this body, then the next requests.
    input: &'a mut Buffer,
    client: &'a Client,
    clock: Clock,
    decoder: Decoder,
    /// So many bytes of the input are of this body and past the check.
    checked: usize,
    /// No byte of the body comes behind those.
    whole: bool,
    fault: Option<Fault>,
    /// The client waits to be asked for the body.
    waits: bool,
    /// Interim answers that are to be written before all else; empty when they are on their way.
    interim: Vec<u8>,
    /// So much of them was written.
    interim_at: usize,
    /// So much of backends' interim answers may still be passed on.
    interim_left: usize,
    owes: bool,
    given_at: Time,
    /// Bytes that were written: the answer, and interim ones before it.
    written: u64,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Incoming<'a, S> {
    /// With a head that was consumed, in that version. `waits`: the client waits to be asked for the
    /// body.
    pub(crate) fn new(
        stream: &'a mut S,
        input: &'a mut Buffer,
        client: &'a Client,
        clock: Clock,
        (version, framing, waits): (Version, Framing, bool),
    ) -> Self {
        let mut incoming = Self {
            stream,
            input,
            client,
            clock,
            decoder: Decoder::new(framing),
            checked: 0,
            whole: false,
            fault: None,
            waits,
            interim: Vec::new(),
            interim_at: 0,
            // RFC 9110 §15.2: HTTP/1.0 knows no interim answers.
            interim_left: if version == Version::Http11 { MAX_INTERIM_BYTES } else { 0 },
            owes: false,
            given_at: Time::ZERO,
            written: 0,
        };
        incoming.check();
        incoming
    }

    /// Looks at what was read and is not checked.
    fn check(&mut self) {
        match self.decoder.advance(&self.input.data()[self.checked..]) {
            Ok(step) => {
                self.checked += step.used;
                self.whole = step.ended;
            }
            Err(violation) => self.fault = Some(Fault::Framing(violation)),
        }
        self.client.in_body.set(!self.whole);
    }

    /// The body is not asked for any more: a final answer has begun.
    pub(crate) fn begin_answer(&mut self) {
        self.waits = false;
    }

    /// Drops what is here of the body; whether that is all of it, so that the next request follows.
    pub(crate) fn discard(&mut self) -> bool {
        self.input.consume(std::mem::take(&mut self.checked));
        self.is_at_hand()
    }

    /// Writes once.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.interim.is_empty() {
            ready!(self.poll_write_interim(cx))?;
        }
        let written = write_both(self.stream, cx, head, body);
        if let Poll::Ready(Ok(count)) = written {
            self.written += count as u64;
        }
        self.client.wrote(written.is_pending());
        written
    }

    /// Bytes that were written: the answer, and interim ones before it.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Ready when what was written is on its way.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        self.client.write_blocked.set(flushed.is_pending());
        flushed
    }

    /// Writes everything.
    pub(crate) async fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < text.len() {
            written += poll_fn(|cx| self.poll_write(cx, &text[written..], b"")).await?;
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// The connection and what was read from it, for another protocol.
    pub(crate) fn side(&mut self) -> Side<'_, S> {
        Side { stream: self.stream, read: self.input }
    }

    /// Reads once into the input: whether anything came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let read = ready!(self.input.poll_read(cx, self.stream));
        self.client.moved();
        Poll::Ready(matches!(read, Ok(1..)))
    }

    fn poll_invite(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if std::mem::take(&mut self.waits) {
            self.interim.extend_from_slice(CONTINUE);
        }
        if self.interim.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.poll_write_interim(cx).map_err(|_| Fault::Left)
    }

    fn poll_write_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.interim_at < self.interim.len() {
            let rest = &self.interim[self.interim_at..];
            let written = write_both(self.stream, cx, rest, b"");
            // Who does not take them has the limits of one who does not take an answer.
            self.client.wrote(written.is_pending());
            let count = ready!(written)?;
            self.interim_at += count;
            self.written += count as u64;
        }
        ready!(self.poll_flush(cx))?;
        self.interim.clear();
        self.interim_at = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upload for Incoming<'_, S> {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Fault>> {
        loop {
            if self.checked > 0 {
                self.owes = false;
                return Poll::Ready(Ok(&self.input.data()[..self.checked]));
            }
            if let Some(fault) = self.fault {
                return Poll::Ready(Err(fault));
            }
            if self.whole {
                self.owes = false;
                return Poll::Ready(Ok(&[]));
            }
            self.owes = true;
            ready!(self.poll_invite(cx))?;
            if !self.input.make_room(BUFFER_BYTES) {
                // The check takes all there is; a body leaves nothing before its end.
                return Poll::Ready(Err(Fault::Left));
            }
            if !ready!(self.poll_read(cx)) {
                self.fault = Some(Fault::Left);
                continue;
            }
            self.given_at = self.clock.now();
            self.check();
        }
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.checked -= count;
    }

    fn has_ended(&self) -> bool {
        self.whole && self.checked == 0
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
        // With the buffer full of what comes next, the client is surely there.
        while self.input.make_room(BUFFER_BYTES) {
            if !ready!(self.poll_read(cx)) {
                self.fault = Some(Fault::Left);
                return Poll::Ready(());
            }
            if !self.whole {
                self.check();
            }
        }
        Poll::Pending
    }

    fn put_interim(&mut self, head: &ResponseHead, bytes: &[u8]) {
        let before = self.interim.len();
        headers::interim_to_client(head, bytes, Version::Http11, &mut self.interim);
        match self.interim_left.checked_sub(self.interim.len() - before) {
            Some(left) => self.interim_left = left,
            None => self.interim.truncate(before),
        }
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) {
        if !self.interim.is_empty() && matches!(self.poll_write_interim(cx), Poll::Ready(Err(_))) {
            self.fault = Some(Fault::Left);
        }
    }
}
