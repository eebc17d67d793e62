//! One request of an HTTP/1.1 connection, from its head to the end of its answer. It must not know
//! backends, nor how the next request is found.

use base::RequestMeta;
use policy::End;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::answer::Own;
use crate::client::{Client, Order};
use crate::exchange::Exchange;
use crate::forward::NoAnswer;
use crate::incoming::Incoming;
use crate::journal::Ending;
use crate::relay::{Reframing, Relay, Relayed};
use crate::request::{Asked, Request};
use crate::tunnel;
use crate::upload::Upload as _;

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next one.
    Next,
    /// Nothing: the connection is closed.
    Close,
    /// The same, but the client may still be sending.
    Linger,
    /// HTTP/2, whose preface begins the input.
    Http2,
}

/// One request and its client. Its journal is handed over when it is dropped.
pub(crate) struct Turn<'a, S: AsyncRead + AsyncWrite + Unpin> {
    pub(crate) client: &'a Client,
    pub(crate) incoming: Incoming<'a, S>,
    pub(crate) request: Request<'a>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        self.request.journal.bytes_out = self.incoming.written();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Turn<'_, S> {
    /// A request whose head is whole.
    pub(crate) async fn serve(&mut self, meta: RequestMeta) -> Then {
        match self.request.obtain(meta, &mut self.incoming).await {
            Ok(exchange) if exchange.head().switches() => self.switch(exchange).await,
            Ok(exchange) => self.deliver(exchange).await,
            Err(NoAnswer::ClientLeft) => Then::Close,
            Err(NoAnswer::Own(own)) => self.answer(&own).await,
        }
    }

    /// Relays a backend's answer.
    async fn deliver(&mut self, mut exchange: Exchange) -> Then {
        let head = exchange.head();
        let Asked { version, keeps_alive, .. } = self.request.asked;
        let reframing = Reframing::of(head.framing(), version);
        let findable = head.can_keep_client(version) || matches!(reframing, Reframing::Wrap);
        // A backend that answers before the request ends wants no more of it.
        let keep_alive = keeps_alive
            && findable
            && self.incoming.has_ended()
            && self.client.order() == Order::Serve;
        self.request.put_head(&exchange, keep_alive, matches!(reframing, Reframing::Wrap));
        exchange.pass_head();
        self.client.answer_by.set(exchange.body_by());
        let Self { incoming, request: Request { parcel, reply, .. }, .. } = self;
        let relayed = Relay::new(incoming, &mut exchange, parcel, reply, reframing).run().await;
        match relayed {
            Relayed::Whole => {
                self.request.journal.ending = Ending::Answered;
                exchange.settle();
                self.request.journal.done = exchange.guard.ended();
                exchange.give_back();
                self.then(keep_alive)
            }
            Relayed::UpstreamBroke => {
                self.request.journal.ending = Ending::UpstreamBroke;
                exchange.end(End::UpstreamBroke);
                Then::Close
            }
            Relayed::ClientLeft => {
                exchange.end(End::ClientLeft);
                Then::Close
            }
        }
    }

    /// Passes a 101 on and joins the two connections.
    async fn switch(&mut self, mut exchange: Exchange) -> Then {
        self.request.put_head(&exchange, true, false);
        exchange.pass_head();
        if self.incoming.write_all(self.request.reply).await.is_ok()
            && let Some(far) = exchange.side()
        {
            self.request.journal.ending = Ending::Answered;
            tunnel::join(self.client, self.incoming.side(), far).await;
        }
        exchange.end(End::Complete);
        Then::Close
    }

    /// Answers in the place of a backend.
    async fn answer(&mut self, own: &Own) -> Then {
        let drained = self.incoming.discard();
        let keep_alive =
            drained && self.request.asked.keeps_alive && self.client.order() == Order::Serve;
        self.say(own, keep_alive).await
    }

    /// Writes an answer of the proxy itself.
    pub(crate) async fn say(&mut self, own: &Own, keep_alive: bool) -> Then {
        self.request.put_own_head(own, keep_alive);
        if !self.request.asked.method.is_head() {
            self.request.reply.extend_from_slice(own.body().as_bytes());
        }
        self.incoming.begin_answer();
        match self.incoming.write_all(self.request.reply).await {
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
