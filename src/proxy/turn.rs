//! One request of an HTTP/1.1 connection, from its head to the end of its answer. It must not know
//! backends, nor how the next request is found.

use std::future::poll_fn;
use std::rc::Rc;

use base::RequestMeta;
use policy::{End, Explanation};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::answer::Own;
use crate::client::{Client, Order};
use crate::exchange::Exchange;
use crate::explain;
use crate::forward::{self, NoAnswer};
use crate::forwarded::Origin;
use crate::headers::{self, Dress};
use crate::http1::{Method, Receiver, Version, Violation};
use crate::incoming::Incoming;
use crate::journal::{Ending, Journal};
use crate::parcel::Parcel;
use crate::relay::{Reframing, Relay, Relayed};
use crate::tunnel;
use crate::upload::{Fault, Upload as _};
use crate::worker::Worker;

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next one.
    Next,
    /// Nothing: the connection is closed.
    Close,
    /// The same, but the client may still be sending.
    Linger,
}

/// What is kept of a request's head when its bytes have gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    version: Version,
    method: Method,
    keeps_alive: bool,
    /// What its sticky cookie says.
    pin: Option<u64>,
    /// It wants to know what it was picked from.
    explain: bool,
}

impl Asked {
    /// A request whose head was refused.
    pub(crate) const REFUSED: Self = Self {
        version: Version::Http11,
        method: Method::Other,
        keeps_alive: false,
        pin: None,
        explain: false,
    };

    pub(crate) fn of(origin: &Origin<'_>, pin: Option<u64>) -> Self {
        let Origin { head, bytes, edge, .. } = *origin;
        Self {
            version: head.version(),
            method: head.method(),
            keeps_alive: head.keeps_alive(),
            pin,
            explain: edge.explain && head.get(explain::NAME, bytes) == Some(b"1"),
        }
    }
}

/// One request and what serves it. Its journal is handed over when it is dropped.
pub(crate) struct Turn<'a, S: AsyncRead + AsyncWrite + Unpin> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a Client,
    pub(crate) incoming: Incoming<'a, S>,
    pub(crate) parcel: &'a mut Parcel,
    pub(crate) reply: &'a mut Vec<u8>,
    pub(crate) journal: &'a mut Journal,
    pub(crate) asked: Asked,
    /// What it was picked from, if it wants to know.
    pub(crate) explanation: Option<Explanation>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        self.journal.bytes_in = self.parcel.body_bytes();
        self.journal.bytes_out = self.incoming.written();
        self.worker.finished(self.journal);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Turn<'_, S> {
    /// A request whose head is whole.
    pub(crate) async fn serve(&mut self, mut meta: RequestMeta) -> Then {
        if self.asked.method == Method::Connect {
            return self.answer(&Own::new(501, "CONNECT is not supported here")).await;
        }
        match self.obtain(&mut meta).await {
            Ok(exchange) if exchange.head().switches() => self.switch(exchange).await,
            Ok(exchange) => self.deliver(exchange).await,
            Err(NoAnswer::ClientLeft) => Then::Close,
            Err(NoAnswer::Own(own)) => self.answer(&own).await,
        }
    }

    /// A request whose head is refused.
    pub(crate) async fn refuse(&mut self, violation: Violation) -> Then {
        self.worker.counters.refused.increment();
        self.say(&Own::of_fault(Fault::Framing(violation)), false).await
    }

    /// Waits for the first bytes of the body, if there is one, and sends the request.
    async fn obtain(&mut self, meta: &mut RequestMeta) -> Result<Exchange, NoAnswer> {
        let Self { worker, incoming, parcel, journal, asked, explanation, .. } = self;
        // They go out together with the head; and no backend is kept waiting for them, nor sees
        // anything of a body that is malformed at once.
        let fault = poll_fn(|cx| incoming.poll_bytes(cx).map(Result::err)).await;
        meta.replayable = parcel.keep && incoming.is_at_hand();
        if asked.explain {
            *explanation = Some(worker.shared.explain(meta));
        }
        let outcome = match fault {
            None => forward::obtain(worker, *meta, parcel, incoming, journal).await,
            Some(fault) => Err(NoAnswer::Own(Own::of_fault(fault))),
        };
        if matches!(incoming.fault(), Some(Fault::Framing(_))) {
            worker.counters.refused.increment();
        }
        outcome
    }

    /// Relays a backend's answer.
    async fn deliver(&mut self, mut exchange: Exchange) -> Then {
        let head = exchange.head();
        let reframing = Reframing::of(head.framing(), self.asked.version);
        let findable =
            head.can_keep_client(self.asked.version) || matches!(reframing, Reframing::Wrap);
        // A backend that answers before the request ends wants no more of it.
        let keep_alive = self.asked.keeps_alive
            && findable
            && self.incoming.has_ended()
            && self.client.order() == Order::Serve;
        self.put_head(&exchange, keep_alive, matches!(reframing, Reframing::Wrap));
        exchange.pass_head();
        self.client.answer_by.set(exchange.body_by());
        let Self { incoming, parcel, reply, .. } = self;
        let relayed = Relay::new(incoming, &mut exchange, parcel, reply, reframing).run().await;
        match relayed {
            Relayed::Whole => {
                self.journal.ending = Ending::Answered;
                exchange.settle();
                exchange.give_back();
                self.then(keep_alive)
            }
            Relayed::UpstreamBroke => {
                self.journal.ending = Ending::UpstreamBroke;
                exchange.end(End::UpstreamBroke);
                Then::Close
            }
            Relayed::ClientLeft => {
                exchange.end(End::ClientLeft);
                Then::Close
            }
        }
    }

    /// Puts the head of a backend's answer into the reply.
    fn put_head(&mut self, exchange: &Exchange, keep_alive: bool, chunked: bool) {
        let rules = self.worker.rules();
        let dress = Dress {
            to: Receiver { version: self.asked.version, keep_alive },
            chunked,
            cookie: rules.cookie.as_deref().map(|name| (name, self.asked.pin)),
            explanation: self.explanation.as_ref(),
            today: &self.worker.today,
        };
        self.journal.status = exchange.head().status();
        self.reply.clear();
        headers::to_client(exchange, &dress, self.reply);
    }

    /// Passes a 101 on and joins the two connections.
    async fn switch(&mut self, mut exchange: Exchange) -> Then {
        self.put_head(&exchange, true, false);
        exchange.pass_head();
        if self.incoming.write_all(self.reply).await.is_ok()
            && let Some(far) = exchange.side()
        {
            self.journal.ending = Ending::Answered;
            tunnel::join(self.client, self.incoming.side(), far).await;
        }
        exchange.end(End::Complete);
        Then::Close
    }

    /// Answers in the place of a backend.
    async fn answer(&mut self, own: &Own) -> Then {
        let drained = self.incoming.discard();
        let keep_alive = drained && self.asked.keeps_alive && self.client.order() == Order::Serve;
        self.say(own, keep_alive).await
    }

    /// Writes an answer of the proxy itself.
    async fn say(&mut self, own: &Own, keep_alive: bool) -> Then {
        let to = Receiver { version: self.asked.version, keep_alive };
        let is_head = self.asked.method.is_head();
        self.reply.clear();
        headers::own_to_client(own, to, is_head, &self.worker.today, self.reply);
        self.journal.status = own.status;
        self.journal.ending = Ending::Own;
        self.incoming.begin_answer();
        match self.incoming.write_all(self.reply).await {
            Ok(()) => self.then(keep_alive),
            Err(_) => Then::Close,
        }
    }

    /// What follows a whole answer.
    fn then(&mut self, keep_alive: bool) -> Then {
        match (keep_alive, self.incoming.discard()) {
            (true, _) => Then::Next,
            (false, true) => Then::Close,
            (false, false) => Then::Linger,
        }
    }
}
