//! One client connection that speaks HTTP/1.1: requests are read, refused or forwarded, and
//! answered, one after the other. It must not know backends, nor what carries the bytes.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use base::RequestMeta;
use policy::End;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::answer::Own;
use crate::buffers::{BUFFER_BYTES, Buffer, Reusable, clear_text};
use crate::client::{Client, Order};
use crate::exchange::Exchange;
use crate::forward::{self, NoAnswer};
use crate::forwarded::Origin;
use crate::headers::{self, Dress};
use crate::http1::{Framing, MAX_HEAD_BYTES, Method, Receiver, RequestHead, Version, Violation};
use crate::incoming::Incoming;
use crate::parcel::Parcel;
use crate::relay::{Reframing, Relay, Relayed};
use crate::tunnel;
use crate::upload::{Fault, Upload as _};
use crate::worker::Worker;

/// How long, and for how many bytes, the rest of what a client sends is read before its connection
/// is closed: closing a socket with unread bytes resets it, and the client might never see why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// The memory of a request; a connection has one while there is something to do.
#[derive(Default)]
pub(crate) struct Desk {
    input: Buffer,
    head: RequestHead,
    parcel: Parcel,
    /// What is written to the client.
    reply: Vec<u8>,
}

impl Reusable for Desk {
    fn clear(&mut self) {
        Reusable::clear(&mut self.input);
        self.head.clear();
        self.parcel.clear();
        clear_text(&mut self.reply);
    }
}

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next one.
    Next,
    /// Nothing: the connection is closed.
    Close,
    /// The same, but the client may still be sending.
    Linger,
}

/// What is kept of a request's head when its bytes have gone.
#[derive(Clone, Copy)]
struct Asked {
    version: Version,
    is_head: bool,
    keeps_alive: bool,
    /// What its sticky cookie says.
    pin: Option<u64>,
}

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

    /// Serves until one side has had enough.
    pub(crate) async fn run(mut self) {
        let mut then = Then::Next;
        while then == Then::Next {
            let Some(mut desk) = poll_fn(|cx| self.poll_idle(cx)).await else { break };
            while then == Then::Next && !desk.input.is_empty() {
                then = self.serve_one(&mut desk).await;
                self.client.serving.set(false);
                self.client.in_body.set(false);
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
            let _ = timeout(LINGER, self.linger()).await;
        }
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

    /// Reads what still comes, within limits.
    async fn linger(&mut self) {
        let mut desk = self.worker.desks.take();
        let mut left = LINGER_BYTES;
        while left > 0 && desk.input.make_room(BUFFER_BYTES) {
            let read = poll_fn(|cx| desk.input.poll_read(cx, &mut self.stream)).await;
            let Ok(count @ 1..) = read else { break };
            desk.input.consume(count);
            left = left.saturating_sub(count);
        }
        self.worker.desks.give(desk);
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

    /// One request and its answer.
    async fn serve_one(&mut self, desk: &mut Desk) -> Then {
        let head = self.head(desk).await;
        if let Ok(None) = head {
            return Then::Close;
        }
        self.client.serving.set(true);
        self.client.requests.set(self.client.requests.get() + 1);
        self.worker.counters.requests.increment();
        match head {
            Ok(None) => Then::Close,
            Ok(Some(length)) => self.request(desk, length).await,
            Err(violation) => {
                self.worker.counters.refused.increment();
                let asked = Asked {
                    version: Version::Http11,
                    is_head: false,
                    keeps_alive: false,
                    pin: None,
                };
                let own = Own::of_fault(Fault::Framing(violation));
                self.refuse(desk, asked, &own).await
            }
        }
    }

    /// The proxy's own answer to a request of which nothing more is read.
    async fn refuse(&mut self, desk: &mut Desk, asked: Asked, own: &Own) -> Then {
        let Desk { input, reply, .. } = desk;
        let mut incoming = Incoming::new(
            &mut self.stream,
            input,
            &self.client,
            self.worker.shared.clock,
            Framing::None,
            false,
        );
        say(&self.worker, &mut incoming, reply, asked, own, false).await
    }

    /// A request whose head is whole.
    async fn request(&mut self, desk: &mut Desk, length: usize) -> Then {
        let Desk { input, head, parcel, reply } = desk;
        let (worker, client) = (&self.worker, &self.client);
        let (rules, edge) = (worker.rules(), &worker.shared.edge);
        let bytes = &input.data()[..length];
        let origin = Origin { head, bytes, peer: &client.address, edge };
        let meta = rules.read(worker.request_id(), &origin);
        let asked = Asked {
            version: head.version(),
            is_head: head.method().is_head(),
            keeps_alive: head.keeps_alive(),
            pin: meta.pin,
        };
        parcel.clear();
        headers::to_backend(&origin, || worker.request_id_text(meta.id), parcel);
        parcel.keep = meta.idempotent && rules.may_repeat;
        input.consume(length);
        let mut incoming = Incoming::new(
            &mut self.stream,
            input,
            client,
            worker.shared.clock,
            head.framing(),
            head.expects_continue(),
        );
        let own = if head.method() == Method::Connect {
            NoAnswer::Own(Own::new(501, "CONNECT is not supported here"))
        } else {
            match obtain(worker, &mut incoming, parcel, meta).await {
                Ok(exchange) if exchange.head().switches() => {
                    return switch(worker, client, incoming, exchange, reply, asked).await;
                }
                Ok(exchange) => {
                    return deliver(worker, client, incoming, exchange, parcel, reply, asked).await;
                }
                Err(none) => none,
            }
        };
        match own {
            NoAnswer::ClientLeft => Then::Close,
            NoAnswer::Own(own) => {
                let drained = incoming.discard();
                let stays = client.order() == Order::Serve;
                say(worker, &mut incoming, reply, asked, &own, drained && stays).await
            }
        }
    }
}

/// Waits for the first bytes of the body, if there is one, and sends the request.
async fn obtain<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Rc<Worker>,
    incoming: &mut Incoming<'_, S>,
    parcel: &mut Parcel,
    meta: RequestMeta,
) -> Result<Exchange, NoAnswer> {
    // They go out together with the head; and no backend is kept waiting for them, nor sees
    // anything of a body that is malformed at once.
    let fault = poll_fn(|cx| incoming.poll_bytes(cx).map(Result::err)).await;
    let outcome = match fault {
        None => forward::obtain(worker, meta, parcel, incoming).await,
        Some(fault) => Err(NoAnswer::Own(Own::of_fault(fault))),
    };
    if matches!(incoming.fault(), Some(Fault::Framing(_))) {
        worker.counters.refused.increment();
    }
    outcome
}

/// Relays a backend's answer.
async fn deliver<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    client: &Client,
    mut incoming: Incoming<'_, S>,
    mut exchange: Exchange,
    parcel: &mut Parcel,
    reply: &mut Vec<u8>,
    asked: Asked,
) -> Then {
    let head = exchange.head();
    let (framing, status) = (head.framing(), head.status());
    let reframing = Reframing::of(framing, asked.version);
    let findable = head.can_keep_client(asked.version) || matches!(reframing, Reframing::Wrap);
    // A backend that answers before the request ends wants no more of it.
    let keep_alive =
        asked.keeps_alive && findable && incoming.has_ended() && client.order() == Order::Serve;
    let to = Receiver { version: asked.version, keep_alive };
    put_answer(worker, &exchange, to, &reframing, asked, reply);
    exchange.pass_head();
    worker.counters.answered(status);
    client.answer_by.set(exchange.body_by());
    let relayed = Relay::new(&mut incoming, &mut exchange, parcel, reply, reframing).run().await;
    let drained = incoming.discard();
    match relayed {
        Relayed::Whole => {
            exchange.settle();
            exchange.give_back();
            match (keep_alive, drained) {
                (true, _) => Then::Next,
                (false, true) => Then::Close,
                (false, false) => Then::Linger,
            }
        }
        Relayed::UpstreamBroke => {
            exchange.end(End::UpstreamBroke);
            Then::Close
        }
        Relayed::ClientLeft => {
            exchange.end(End::ClientLeft);
            Then::Close
        }
    }
}

/// Puts the head of a backend's answer.
fn put_answer(
    worker: &Worker,
    exchange: &Exchange,
    to: Receiver,
    reframing: &Reframing,
    asked: Asked,
    reply: &mut Vec<u8>,
) {
    let rules = worker.rules();
    let dress = Dress {
        to,
        chunked: matches!(reframing, Reframing::Wrap),
        cookie: rules.cookie.as_deref().map(|name| (name, asked.pin)),
        today: &worker.today,
    };
    reply.clear();
    headers::to_client(exchange, &dress, reply);
}

/// Passes a 101 on and joins the two connections.
async fn switch<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    client: &Client,
    mut incoming: Incoming<'_, S>,
    mut exchange: Exchange,
    reply: &mut Vec<u8>,
    asked: Asked,
) -> Then {
    let to = Receiver { version: Version::Http11, keep_alive: true };
    put_answer(worker, &exchange, to, &Reframing::Keep, asked, reply);
    exchange.pass_head();
    worker.counters.answered(exchange.head().status());
    if incoming.write_all(reply).await.is_ok()
        && let Some(far) = exchange.side()
    {
        tunnel::join(client, incoming.side(), far).await;
    }
    exchange.end(End::Complete);
    Then::Close
}

/// Writes an answer of the proxy itself; `stays`: the connection may.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker,
    incoming: &mut Incoming<'_, S>,
    reply: &mut Vec<u8>,
    asked: Asked,
    own: &Own,
    stays: bool,
) -> Then {
    let keep_alive = stays && asked.keeps_alive;
    reply.clear();
    let to = Receiver { version: asked.version, keep_alive };
    headers::own_to_client(own, to, asked.is_head, &worker.today, reply);
    worker.counters.answered(own.status);
    incoming.begin_answer();
    if incoming.write_all(reply).await.is_err() {
        return Then::Close;
    }
    match (keep_alive, stays) {
        (true, _) => Then::Next,
        (false, true) => Then::Close,
        (false, false) => Then::Linger,
    }
}
