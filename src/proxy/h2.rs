//! One client connection that speaks HTTP/2: its streams are accepted, each is served by a task, and
//! all end with it. It must not know requests.
//!
//! The frames are the library's (`h2`, which is what hyper speaks HTTP/2 by). It is used without
//! hyper's server because that cannot say 100 (Continue), nor give a client's window back when a
//! backend has taken the bytes.

mod body;
mod head;
mod link;
mod relay;
mod stream;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use crate::client::{Client, Order};
use crate::http1::{MAX_FIELDS, MAX_HEAD_BYTES};
use crate::journal::Ending;
use crate::session;
use crate::worker::Worker;

use link::Link;

/// What a client that speaks HTTP/2 sends first (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests at once on a connection; RFC 9113 §6.5.2 advises 100 or more, and each may hold a
/// connection to a backend.
const MAX_STREAMS: u32 = 128;
/// So much of a request's body may wait for its backend.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// So much of all requests' bodies on a connection: eight stalled uploads do not stop a ninth.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024 + STREAM_WINDOW_BYTES;
/// As much as the codec lets pass, counted as HTTP/2 does: 32 bytes more a field (RFC 9113 §6.5.2).
/// How many CONTINUATION frames it may take follows from it.
const HEADER_LIST_BYTES: u32 = (MAX_HEAD_BYTES + 32 * MAX_FIELDS) as u32;
/// So much of an answer may wait for the client's connection.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams that a client opened and reset before they were accepted, at most at once: a flood of
/// those (CVE-2023-44487) ends the connection.
const MAX_RESET_UNSEEN: usize = 20;
/// Streams that were reset here for what the client did wrong on them; more end the connection.
const MAX_RESET_FOR_ERRORS: usize = 128;
/// Requests that a client may break off while they are most of its requests. Each costs a connection
/// to a backend, so a client that does nothing else is sent away.
const MAX_LEFT: u64 = 200;

/// Serves until one side has had enough. `read` was read from the stream before.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    worker: Rc<Worker>,
    client: Rc<Client>,
    stream: S,
    read: Vec<u8>,
) {
    let mut link = Link::new(stream, read, &client);
    let Some(frames) = shake_hands(&client, &mut link).await else { return };
    let mut connection = Connection {
        worker: &worker,
        client: &client,
        frames,
        streams: JoinSet::new(),
        opened: 0,
        left: 0,
        said: Said::Nothing,
    };
    let broken = poll_fn(|cx| connection.poll(cx)).await;
    drop(connection);
    client.serving.set(false);
    if broken {
        session::linger(&worker, link.into_inner()).await;
    }
}

/// The connection behind its preface, for which there is as much time as for a head.
async fn shake_hands<'l, 'c, S: AsyncRead + AsyncWrite + Unpin>(
    client: &Client,
    link: &'l mut Link<'c, S>,
) -> Option<Frames<'l, 'c, S>> {
    client.in_head.set(true);
    let mut shaking = pin!(builder().handshake(link));
    let shaken = poll_fn(|cx| match shaking.as_mut().poll(cx) {
        Poll::Ready(shaken) => Poll::Ready(shaken.ok()),
        Poll::Pending if client.order() != Order::Serve => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let frames = shaken.await?;
    client.in_head.set(false);
    Some(frames)
}

type Frames<'l, 'c, S> = h2::server::Connection<&'l mut Link<'c, S>, Bytes>;

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(MAX_RESET_UNSEEN)
        .max_local_error_reset_streams(Some(MAX_RESET_FOR_ERRORS));
    builder
}

/// What the client was told of the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// No more streams; those that are open will be served.
    Enough,
    /// Nothing more happens on the connection.
    End,
}

struct Connection<'c, 'l, S> {
    worker: &'c Rc<Worker>,
    client: &'c Client,
    frames: Frames<'l, 'c, S>,
    /// One task each; they end with it.
    streams: JoinSet<Ending>,
    /// Streams so far, and those that the client broke off.
    opened: u64,
    left: u64,
    said: Said,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, '_, S> {
    /// Ready when the connection has ended: whether the client may still be sending.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if let Poll::Ready(ended) = self.poll_frames(cx) {
                return Poll::Ready(ended.is_err() || self.is_flood());
            }
            if !self.poll_ended(cx) && !self.take_leave() {
                return Poll::Pending;
            }
        }
    }

    /// Takes the streams that have ended: whether there were any.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.streams.len();
        while let Poll::Ready(Some(ended)) = self.streams.poll_join_next(cx) {
            // A task that panicked has been reported, and its stream is reset.
            self.left += u64::from(matches!(ended, Ok(Ending::ClientLeft)));
        }
        self.client.serving.set(!self.streams.is_empty());
        self.streams.len() < before
    }

    /// Takes what comes and opens streams; ready when no more come.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        // A stream that the client has reset frees its place at once, its task only when it has
        // heard of that.
        while self.streams.len() < MAX_STREAMS as usize {
            match self.frames.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (worker, address) =
                        (Rc::clone(self.worker), Rc::clone(&self.client.address));
                    worker.counters.requests.increment();
                    self.opened += 1;
                    self.client.requests.set(self.opened);
                    self.client.serving.set(true);
                    let serving = stream::serve(worker, address, request, respond);
                    self.streams.spawn_local(serving);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.frames.poll_closed(cx)
    }

    /// Says what there is to say of the end; whether that is something new.
    fn take_leave(&mut self) -> bool {
        let is_idle = self.streams.is_empty() && !self.frames.has_streams();
        let say = if self.is_flood() || (is_idle && self.client.order() != Order::Serve) {
            Said::End
        } else if self.client.order() != Order::Serve && self.said == Said::Nothing {
            Said::Enough
        } else {
            return false;
        };
        if say == self.said {
            return false;
        }
        self.said = say;
        match say {
            Said::Nothing => {}
            Said::Enough => self.frames.graceful_shutdown(),
            // A request that is on its way is none of those served: the client may send it again
            // elsewhere.
            Said::End if self.is_flood() => self.frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
            Said::End => self.frames.abrupt_shutdown(Reason::NO_ERROR),
        }
        true
    }

    const fn is_flood(&self) -> bool {
        self.left > MAX_LEFT && self.left * 2 > self.opened
    }
}
