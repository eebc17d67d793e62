//! Events as a stream of server-sent events. It must not know what an event means.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body as AnyBody;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Api, MAX_LISTENERS, Problem};
use crate::events::Line;
use crate::shared::Shared;

/// How often something is written to a quiet listener, so that one that left is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The most text that is handed over at once.
const FRAME_BYTES: usize = 16 * 1024;

/// All kept events and then each as it comes; `Last-Event-ID` leaves out those up to it.
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "followEvents",
    summary = "What the balancer reports, as server-sent events.",
    description = "The latest 4096 events are replayed first. Each event has a number as its id, \
                   one more than the one before, and a JSON object as its data.",
    params((
        "Last-Event-ID" = Option<u64>, Header,
        description = "Leaves out the events up to this number.",
    )),
    responses(
        (
            status = 200, description = "The stream. Each `data` is an Event.",
            content_type = "text/event-stream", body = Line<'static>,
        ),
        (status = 503, description = "Too many listen to events already.", body = Problem),
    ),
)]
pub(super) async fn events(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = api.listeners.try_acquire_owned().map_err(|_| {
        let message = format!("{MAX_LISTENERS} listen to events already; close one of them");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let mut keep_alive = interval(KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = EventStream {
        newest: api.shared.events.newest(),
        shared: api.shared,
        sent: last.unwrap_or(0),
        wait: None,
        keep_alive,
        _place: place,
    };
    let mut response = AnyBody::new(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

type Wait = Pin<Box<dyn Future<Output = watch::Receiver<u64>> + Send>>;

struct EventStream {
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
    sent: u64,
    wait: Option<Wait>,
    keep_alive: Interval,
    /// Given back when the stream ends.
    _place: OwnedSemaphorePermit,
}

impl EventStream {
    fn next_text(&mut self) -> Option<String> {
        let mut text = String::new();
        while text.len() < FRAME_BYTES {
            let Some(event) = self.shared.events.after(self.sent) else { break };
            self.sent = event.number;
            // Writing to a String cannot fail.
            let _ = write!(text, "id: {}\ndata: {}\n\n", event.number, event.json);
        }
        (!text.is_empty()).then_some(text)
    }
}

fn frame(text: impl Into<Bytes>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
    Poll::Ready(Some(Ok(Frame::data(text.into()))))
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            if let Some(text) = this.next_text() {
                return frame(text);
            }
            let wait = this.wait.get_or_insert_with(|| {
                let mut newest = this.newest.clone();
                Box::pin(async move {
                    // An error would mean that the proxy is gone, and this task with it.
                    let _ = newest.changed().await;
                    newest
                })
            });
            match wait.as_mut().poll(cx) {
                Poll::Ready(newest) => {
                    this.newest = newest;
                    this.wait = None;
                }
                Poll::Pending => {
                    // The first tick comes at once: it opens the stream also when nothing happens.
                    if this.keep_alive.poll_tick(cx).is_ready() {
                        return frame(": \n\n");
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}
