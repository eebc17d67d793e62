//! One client connection that speaks HTTP/1.1: requests are read, refused or forwarded, and
//! answered, one after the other. It must not know backends, nor what carries the bytes.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::Time;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::buffers::{BUFFER_BYTES, Buffer};
use crate::client::{Client, Order};
use crate::forwarded::Origin;
use crate::h2::PREFACE;
use crate::http1::{Framing, MAX_HEAD_BYTES, Version, Violation};
use crate::incoming::Incoming;
use crate::request::{Desk, Request, refusal};
use crate::turn::{Then, Turn};
use crate::worker::Worker;

/// How long, and for how many bytes, the rest of what a client sends is read before its connection
/// is closed: closing a socket with unread bytes resets it, and the client might never see why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// One client connection.
pub(crate) struct Session<S> {
    worker: Rc<Worker>,
    client: Rc<Client>,
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(crate) fn new(worker: Rc<Worker>, client: Rc<Client>, stream: S) -> Self {
        Self { worker, client, stream }
    }

    /// Serves until one side has had enough, or the client turns out to speak HTTP/2: then the
    /// connection and what was read of it are given back.
    pub(crate) async fn run(mut self) -> Option<(S, Vec<u8>)> {
        let mut then = Then::Next;
        while then == Then::Next {
            let Some(mut desk) = poll_fn(|cx| self.poll_idle(cx)).await else { break };
            while then == Then::Next && !desk.input.is_empty() {
                then = self.serve_one(&mut desk).await;
                self.client.serving.set(false);
                self.client.in_body.set(false);
            }
            if then == Then::Http2 {
                let read = desk.input.data().to_vec();
                self.worker.desks.give(desk);
                return Some((self.stream, read));
            }
            // What is still unread, and would reset the connection.
            if then == Then::Close && !desk.input.is_empty() {
                then = Then::Linger;
            }
            self.worker.desks.give(desk);
        }
        // Whatever comes of it, nobody waits for this connection any more.
        let _ = self.stream.shutdown().await;
        if then == Then::Linger {
            linger(&self.worker, self.stream).await;
        }
        None
    }

    /// Ready with the first bytes of a request, or with none when the connection has ended. Waits
    /// without memory: most connections are idle most of the time.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Box<Desk>>> {
        let mut desk = self.worker.desks.take();
        desk.input.make_room(BUFFER_BYTES);
        let read = desk.input.poll_read(cx, &mut self.stream);
        let none = match read {
            Poll::Ready(Ok(1..)) => return Poll::Ready(Some(desk)),
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(None),
            Poll::Pending if self.client.order() != Order::Serve => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        };
        self.worker.desks.give(desk);
        none
    }

    /// The length of the head that begins the input; `None` when the client leaves before.
    async fn head(&mut self, desk: &mut Desk) -> Result<Option<usize>, Violation> {
        loop {
            if let Some(length) = desk.head.parse(desk.input.data())? {
                self.client.in_head.set(false);
                return Ok(Some(length));
            }
            self.client.in_head.set(desk.head.is_begun() || !desk.input.is_empty());
            if !desk.input.make_room(MAX_HEAD_BYTES + BUFFER_BYTES) {
                return Err(Violation::HeadTooLarge);
            }
            let read = poll_fn(|cx| desk.input.poll_read(cx, &mut self.stream)).await;
            if !matches!(read, Ok(1..)) {
                return Ok(None);
            }
        }
    }

    /// Whether a head of an unknown version is HTTP/2's preface, which is made to be taken for one:
    /// who speaks HTTP/1.1 never pays for the look. Inside TLS nothing but ALPN decides
    /// (RFC 9113 §3.2).
    async fn is_http2(&mut self, input: &mut Buffer) -> bool {
        let edge = &self.worker.shared.edge;
        if !edge.h2 || edge.tls || self.client.requests.get() > 0 {
            return false;
        }
        // The rest of it has the limit of a head.
        self.client.in_head.set(true);
        loop {
            let here = input.len().min(PREFACE.len());
            if input.data()[..here] != PREFACE[..here] {
                return false;
            }
            if here == PREFACE.len() {
                return true;
            }
            input.make_room(BUFFER_BYTES);
            let read = poll_fn(|cx| input.poll_read(cx, &mut self.stream)).await;
            if !matches!(read, Ok(1..)) {
                return false;
            }
        }
    }

    /// One request and its answer.
    async fn serve_one(&mut self, desk: &mut Desk) -> Then {
        let began = self.worker.log_time();
        let head = self.head(desk).await;
        if let Ok(None) = head {
            return Then::Close;
        }
        if head == Err(Violation::Version) && self.is_http2(&mut desk.input).await {
            return Then::Http2;
        }
        self.client.serving.set(true);
        // The limit of the answer before is not that of this one.
        self.client.answer_by.set(Time::MAX);
        self.client.requests.set(self.client.requests.get() + 1);
        self.worker.counters.requests.increment();
        let Desk { input, head: request_head, parcel, reply, journal } = desk;
        let (worker, client) = (&self.worker, &*self.client);
        let (edge, clock) = (&worker.shared.edge, worker.shared.clock);
        match head {
            Ok(None) => Then::Close,
            Ok(Some(length)) => {
                let (bytes, head) = (&input.data()[..length], &*request_head);
                let (peer, version) = (&client.address, head.version());
                let origin = Origin { head, bytes, version, peer, edge };
                let (mut request, meta) = Request::new(worker, &origin, parcel, reply, journal);
                request.came(began, peer);
                input.consume(length);
                let expected = (version, head.framing(), head.expects_continue());
                let incoming = Incoming::new(&mut self.stream, input, client, clock, expected);
                Turn { client, incoming, request }.serve(meta).await
            }
            // Nothing behind it is looked at.
            Err(violation) => {
                let mut request = Request::refused(worker, Version::Http11, parcel, reply, journal);
                request.came(began, &client.address);
                let none = (Version::Http11, Framing::None, false);
                let incoming = Incoming::new(&mut self.stream, input, client, clock, none);
                Turn { client, incoming, request }.say(&refusal(violation), false).await
            }
        }
    }
}

/// Reads what still comes, within limits, and closes.
pub(crate) async fn linger<S: AsyncRead + Unpin>(worker: &Worker, mut stream: S) {
    let mut desk = worker.desks.take();
    let reading = async {
        let mut left = LINGER_BYTES;
        while left > 0 && desk.input.make_room(BUFFER_BYTES) {
            let read = poll_fn(|cx| desk.input.poll_read(cx, &mut stream)).await;
            let Ok(count @ 1..) = read else { break };
            desk.input.consume(count);
            left = left.saturating_sub(count);
        }
    };
    let _ = timeout(LINGER, reading).await;
    worker.desks.give(desk);
}
