//! One request of an HTTP/2 connection, from its head to the end of its answer. It must not know
//! backends, nor the other streams.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use base::RequestMeta;
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use policy::End;

use crate::answer::Own;
use crate::client::{Client, Order};
use crate::exchange::Exchange;
use crate::forward::NoAnswer;
use crate::forwarded::Origin;
use crate::http1::{Framing, Version, Violation};
use crate::journal::Ending;
use crate::relay::Relayed;
use crate::request::{Desk, Request, refusal};
use crate::upload::{Fault, Upload as _};
use crate::worker::Worker;

use super::body::Body;
use super::head;
use super::relay::Relay;

/// Takes a stream off the worker's list however its task ends.
struct Listed(Rc<Worker>, Rc<Client>);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.streams.close(&self.1);
    }
}

/// Serves a request, of which `address` is the client's: how it ended. What is dropped before its
/// end is reset.
pub(super) async fn serve(
    worker: Rc<Worker>,
    address: Rc<[u8]>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> Ending {
    // Its waits have the limits of a connection's: whoever stalls one stream does not hide behind
    // the others.
    let client = worker.streams.open(address, worker.shared.clock.now());
    let listed = Listed(worker, client);
    let Listed(worker, client) = &listed;
    client.serving.set(true);
    let mut desk = worker.desks.take();
    {
        let mut answering = pin!(answer(worker, client, &mut desk, request, respond));
        poll_fn(|cx| match client.listen(cx.waker()) {
            Order::Close => Poll::Ready(()),
            Order::Serve | Order::Finish => answering.as_mut().poll(cx),
        })
        .await;
    }
    let ending = desk.journal.ending;
    worker.desks.give(desk);
    ending
}

async fn answer(
    worker: &Rc<Worker>,
    client: &Client,
    desk: &mut Desk,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let Desk { input, head: request_head, parcel, reply, journal } = desk;
    let (edge, clock, version) = (&worker.shared.edge, worker.shared.clock, Version::Http2);
    let began = worker.log_time();
    let (parts, frames) = request.into_parts();
    reply.clear();
    let put = head::put_request(&parts, frames.is_end_stream(), reply);
    let read = put.and_then(|()| match request_head.parse(reply)? {
        // All of it, or a part could be taken for something else.
        Some(length) if length == reply.len() => Ok(()),
        _ => Err(Violation::NotHttp2),
    });
    match read {
        Ok(()) => {
            input.put(reply);
            let (bytes, head) = (input.data(), &*request_head);
            let origin = Origin { head, bytes, version, peer: &client.address, edge };
            let (mut request, meta) = Request::new(worker, &origin, parcel, reply, journal);
            request.came(began, &client.address);
            input.consume(input.len());
            let expected = (head.framing(), head.expects_continue());
            let body = Body::new(frames, respond, client, clock, expected, input);
            Stream { client, request, body, written: 0 }.serve(meta).await;
        }
        Err(violation) => {
            let mut request = Request::refused(worker, version, parcel, reply, journal);
            request.came(began, &client.address);
            let none = (Framing::None, false);
            let body = Body::new(frames, respond, client, clock, none, input);
            Stream { client, request, body, written: 0 }.say(&refusal(violation));
        }
    }
}

/// One request and its client. Its journal is handed over when it is dropped.
struct Stream<'a> {
    client: &'a Client,
    request: Request<'a>,
    body: Body<'a>,
    /// Bytes of the answer that were handed on, the head as HTTP/1.1 would have it included.
    written: u64,
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        self.request.journal.bytes_out = self.written + self.body.interim_bytes();
    }
}

impl Stream<'_> {
    /// A request whose head is accepted.
    async fn serve(&mut self, meta: RequestMeta) {
        match self.request.obtain(meta, &mut self.body).await {
            Ok(exchange) => self.deliver(exchange).await,
            // Who has reset the stream, or lost it by a malformed body, hears nothing on it.
            Err(_) if self.body.fault() == Some(Fault::Left) => {}
            Err(NoAnswer::ClientLeft) => {}
            Err(NoAnswer::Own(own)) => self.say(&own),
        }
    }

    /// Relays a backend's answer.
    async fn deliver(&mut self, mut exchange: Exchange) {
        self.request.put_head(&exchange, true, false);
        let head = head::response(exchange.head().status(), self.request.reply);
        self.written = self.request.reply.len() as u64;
        exchange.pass_head();
        self.client.answer_by.set(exchange.body_by());
        let Self { client, request: Request { parcel, journal, .. }, body, written } = self;
        match Relay::new(body, &mut exchange, parcel, client, written).run(head).await {
            Relayed::Whole => {
                journal.ending = Ending::Answered;
                exchange.settle();
                journal.done = exchange.guard.ended();
                exchange.give_back();
            }
            Relayed::UpstreamBroke => {
                journal.ending = Ending::UpstreamBroke;
                exchange.end(End::UpstreamBroke);
            }
            Relayed::ClientLeft => exchange.end(End::ClientLeft),
        }
    }

    /// Answers in the place of a backend.
    fn say(&mut self, own: &Own) {
        self.request.put_own_head(own, true);
        self.written = self.request.reply.len() as u64;
        let head = head::response(own.status, self.request.reply);
        let is_head = self.request.asked.method.is_head();
        let sent = self.body.respond.send_response(head, is_head).and_then(|mut stream| {
            if is_head {
                return Ok(());
            }
            // A line of text: it may wait for the client's window.
            let text = own.body();
            self.written += text.len() as u64;
            stream.send_data(text.into(), true)
        });
        if sent.is_err() {
            self.request.journal.ending = Ending::ClientLeft;
        }
    }
}
