//! The answer on its way to the client, and the guard that ends its attempt exactly once.
//! It must not decide anything.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use base::{AttemptId, Time};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use policy::End;

use crate::client::Client;
use crate::timer::Deadline;
use crate::upstream::Wire;
use crate::worker::Worker;

/// Ends an attempt when told how, or as the client's leaving when dropped: whatever happens to the
/// task that serves a request, the balancer's in-flight count falls.
pub(crate) struct Guard {
    worker: Rc<Worker>,
    attempt: Option<AttemptId>,
}

impl Guard {
    pub(crate) fn new(worker: &Rc<Worker>, attempt: AttemptId) -> Self {
        Self { worker: Rc::clone(worker), attempt: Some(attempt) }
    }

    pub(crate) fn end(mut self, end: End) {
        self.report(end);
    }

    /// The attempt has been ended by other means.
    pub(crate) fn disarm(mut self) {
        self.attempt = None;
    }

    fn report(&mut self, end: End) {
        if let Some(attempt) = self.attempt.take() {
            self.worker.shared.end(attempt, end);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.report(End::ClientLeft);
    }
}

/// Why an answer's body broke off; the client sees its connection closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the backend broke off its answer: {0}")]
    Upstream(#[from] hyper::Error),
    #[error("the answer took longer than the total timeout")]
    Late,
}

/// A backend's answer while it is relayed.
pub(crate) struct Relay {
    body: Incoming,
    by: Time,
    deadline: Option<Deadline>,
    /// Until the answer has ended.
    open: Option<(Guard, Wire)>,
}

impl Relay {
    pub(crate) fn new(
        body: Incoming,
        by: Time,
        guard: Guard,
        wire: Wire,
        deadline: Deadline,
    ) -> Self {
        Self { body, by, deadline: Some(deadline), open: Some((guard, wire)) }
    }

    fn close(&mut self, end: End) {
        if let Some((guard, wire)) = self.open.take() {
            if end == End::Complete {
                guard.worker.pool.give(wire);
            }
            guard.end(end);
        }
    }
}

/// An answer's body: a relayed one, or a text of the proxy itself.
pub(crate) enum Content {
    Relay(Relay),
    Text(Option<Bytes>),
}

/// An answer's body, which tells its connection when it has ended.
pub(crate) struct Answer {
    content: Content,
    client: Rc<Client>,
}

impl Answer {
    pub(crate) fn relay(client: Rc<Client>, relay: Relay) -> Self {
        Self { content: Content::Relay(relay), client }
    }

    /// A small answer of the proxy itself.
    pub(crate) fn text(client: Rc<Client>, status: StatusCode, text: String) -> Response<Self> {
        let content = Content::Text(Some(format!("{status}: {text}\n").into()));
        let mut response = Response::new(Self { content, client });
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.get_mut().content {
            Content::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Content::Relay(relay) => relay.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_none(),
            Content::Relay(relay) => relay.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Content::Relay(relay) => relay.body.size_hint(),
        }
    }
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                // Nobody asks again after the last byte of a known length.
                if self.body.is_end_stream() {
                    self.close(End::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.close(End::UpstreamBroke);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                self.close(End::Complete);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let deadline = self.deadline.as_mut().expect("taken on drop alone");
                if deadline.poll(cx, self.by).is_pending() {
                    return Poll::Pending;
                }
                self.close(End::UpstreamBroke);
                Poll::Ready(Some(Err(Broken::Late)))
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Content::Relay(relay) = &mut self.content {
            // An answer without a body is never polled.
            let end = if relay.body.is_end_stream() { End::Complete } else { End::ClientLeft };
            relay.close(end);
            self.client.deadline.set(relay.deadline.take());
        }
        self.client.serving.set(false);
    }
}
