//! A backend's answer on its way to an HTTP/2 client, with what is left of the request on its way to
//! the backend. It must not decide anything.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::SendStream;
use http::Response;

use crate::client::Client;
use crate::exchange::Exchange;
use crate::http1::{Decoder, Piece};
use crate::parcel::Parcel;
use crate::relay::Relayed;

use super::body::Body;
use super::head;

/// An answer that is relayed.
pub(super) struct Relay<'r, 'a> {
    body: &'r mut Body<'a>,
    exchange: &'r mut Exchange,
    parcel: &'r mut Parcel,
    client: &'r Client,
    decoder: Decoder,
    /// Data that the client's windows have no room for yet: at most what was read at once.
    data: BytesMut,
    /// The fields behind the data.
    trailers: Vec<u8>,
    /// Nothing comes behind those.
    ended: bool,
    /// Bytes of data that were handed on.
    written: &'r mut u64,
}

impl<'r, 'a> Relay<'r, 'a> {
    /// With the answer's head passed over in `exchange`.
    pub(super) fn new(
        body: &'r mut Body<'a>,
        exchange: &'r mut Exchange,
        parcel: &'r mut Parcel,
        client: &'r Client,
        written: &'r mut u64,
    ) -> Self {
        body.begin_answer();
        let decoder = Decoder::new(exchange.head().framing());
        let (data, trailers) = (BytesMut::new(), vec![]);
        Self { body, exchange, parcel, client, decoder, data, trailers, ended: false, written }
    }

    /// Relays to the end, whatever that is.
    pub(super) async fn run(mut self, head: Response<()>) -> Relayed {
        // What is here of the body may be all of it.
        if !self.unframe() {
            self.body.respond.send_reset(h2::Reason::INTERNAL_ERROR);
            return Relayed::UpstreamBroke;
        }
        let bodiless = self.ended && self.data.is_empty() && self.trailers.is_empty();
        let Ok(mut stream) = self.body.respond.send_response(head, bodiless) else {
            return Relayed::ClientLeft;
        };
        if bodiless {
            return Relayed::Whole;
        }
        let relayed = poll_fn(|cx| self.poll(cx, &mut stream)).await;
        if relayed == Relayed::UpstreamBroke {
            // What was sent must not look like the whole.
            stream.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        relayed
    }

    fn poll(&mut self, cx: &mut Context<'_>, stream: &mut SendStream<Bytes>) -> Poll<Relayed> {
        loop {
            match self.poll_send(cx, stream) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(())) => return Poll::Ready(Relayed::ClientLeft),
                Poll::Pending => break,
            }
            if self.ended {
                return Poll::Ready(Relayed::Whole);
            }
            match self.exchange.poll_body(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Relayed::UpstreamBroke),
                Poll::Pending => break,
            }
            if !self.unframe() {
                return Poll::Ready(Relayed::UpstreamBroke);
            }
        }
        if !self.exchange.is_sent()
            && !self.exchange.is_over()
            && self.exchange.poll_send(cx, self.parcel, self.body).is_err()
        {
            // It was malformed or broken off: a reset tells of both.
            return Poll::Ready(Relayed::ClientLeft);
        }
        stream.poll_reset(cx).map(|_| Relayed::ClientLeft)
    }

    /// Hands on what the client has room for; ready when that is all there is.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut SendStream<Bytes>,
    ) -> Poll<Result<(), ()>> {
        while !self.data.is_empty() {
            stream.reserve_capacity(self.data.len());
            let room = stream.capacity();
            if room == 0 {
                let polled = stream.poll_capacity(cx);
                self.client.wrote(polled.is_pending());
                match ready!(polled) {
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return Poll::Ready(Err(())),
                }
            }
            let data = self.data.split_to(room.min(self.data.len())).freeze();
            *self.written += data.len() as u64;
            let last = self.ended && self.data.is_empty() && self.trailers.is_empty();
            stream.send_data(data, last).map_err(drop)?;
            self.client.wrote(false);
            if last {
                return Poll::Ready(Ok(()));
            }
        }
        if self.ended {
            // The data had ended before it was known that it had.
            let sent = match self.trailers.is_empty() {
                true => stream.send_data(Bytes::new(), true),
                false => stream.send_trailers(head::fields(&self.trailers)),
            };
            sent.map_err(drop)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is ready of the body out of its framing; false if that is broken.
    fn unframe(&mut self) -> bool {
        let mut rest = self.exchange.ready();
        let count = rest.len();
        loop {
            let Ok(part) = self.decoder.next(rest) else { return false };
            rest = &rest[part.used..];
            match part.piece {
                Piece::Data(data) => self.data.extend_from_slice(data),
                Piece::Trailer(lines) => self.trailers.extend_from_slice(lines),
                Piece::Missing | Piece::End => break,
            }
        }
        self.exchange.consume(count);
        self.ended = self.exchange.is_whole();
        if self.ended {
            self.exchange.settle();
        }
        true
    }
}
