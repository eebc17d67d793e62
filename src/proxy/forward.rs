//! The life of one request: ask the balancer, send, report, and send again or answer.
//! It must not choose a backend, nor judge whether a request may be sent again.

use std::io;
use std::rc::Rc;

use base::{Clock, FailureKind, RequestMeta, Sent};
use http::{HeaderValue, Method, Request, Response, StatusCode, request};
use hyper::body::{Body as _, Incoming};
use policy::{Attempt, End, Head, Reject};

use crate::answer::{Answer, Guard, Relay};
use crate::client::Client;
use crate::headers;
use crate::shared::{Leg, Step};
use crate::timer::Deadline;
use crate::upload::{Track, Upload};
use crate::upstream::{self, Failure, Wire};
use crate::worker::Worker;

/// A request on its way: as it is, or only what is kept of one that was sent.
struct Parcel {
    /// What goes out next; `None` once it was sent.
    request: Option<Request<Upload>>,
    /// A copy of the head of a request that may be sent again, and has no body.
    copy: Option<request::Parts>,
}

impl Parcel {
    fn new(
        mut head: request::Parts,
        body: Incoming,
        client: &Client,
        clock: Clock,
        keep_copy: bool,
    ) -> Self {
        headers::to_backend(&mut head, &client.forwarded_for);
        let body = if body.is_end_stream() { Upload::none() } else { Upload::of(body, clock) };
        let copy = (keep_copy && body.is_end_stream()).then(|| head.clone());
        Self { request: Some(Request::from_parts(head, body)), copy }
    }

    fn is_replayable(&self) -> bool {
        self.copy.is_some() || self.request.as_ref().is_some_and(|r| r.body().is_whole())
    }

    /// How much of it counts as sent when so much was written. Of a request that is not here any
    /// more nothing can be sent again, whatever was written of it.
    fn sent(&self, written: Sent) -> Sent {
        match written {
            Sent::Nothing if self.request.is_none() && self.copy.is_none() => Sent::Part,
            written => written,
        }
    }

    /// The request for an attempt; `None` when it is gone and there is no copy.
    fn take(&mut self, leg: &Leg) -> Option<Request<Upload>> {
        let mut request = self
            .request
            .take()
            .or_else(|| Some(Request::from_parts(self.copy.clone()?, Upload::none())))?;
        headers::ensure_host(request.headers_mut(), leg.address);
        if leg.attempt.number > 1 {
            let number = HeaderValue::from(leg.attempt.number);
            request.headers_mut().insert(headers::ATTEMPT_COUNT, number);
        }
        Some(request)
    }
}

/// Why an attempt has no head.
enum Failed {
    Upstream {
        error: FailureKind,
        sent: Sent,
        reused: bool,
    },
    /// The proxy could not open a connection for want of something of its own.
    Shortage(io::Error),
    /// The client broke off its own request.
    ClientBroke,
    /// The client did not give the whole request within the total limit.
    ClientLate,
}

/// Answers one request.
pub(crate) async fn forward(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: Request<Incoming>,
) -> Response<Answer> {
    let say = |status, text: &str| Answer::text(Rc::clone(client), status, text.into());
    if request.method() == Method::CONNECT {
        return say(StatusCode::NOT_IMPLEMENTED, "CONNECT is not supported here");
    }
    let (head, body) = request.into_parts();
    let idempotent = head.method.is_idempotent();
    let meta = RequestMeta::new(worker.request_id(), idempotent);
    let (clock, keep_copy) = (worker.shared.clock, idempotent && worker.shared.may_retry);
    let mut parcel = Parcel::new(head, body, client, clock, keep_copy);
    let mut deadline = client.deadline.take().unwrap_or_else(|| Deadline::new(clock));
    let mut leg = match worker.shared.begin(meta) {
        Ok(leg) => leg,
        Err(why) => {
            let text = match why {
                Reject::NoBackend => "no backend is in service",
                Reject::RateLimited(_) => "more requests than the rate allows",
                Reject::Overloaded | Reject::QueueFull | Reject::QueueTimeout => {
                    "too many requests are waiting"
                }
            };
            return say(own_status(why.status()), text);
        }
    };
    loop {
        let guard = Guard::new(worker, leg.attempt.id);
        worker.counters.attempts.increment();
        let (answer, report) = match send(worker, &leg, &mut parcel, &mut deadline).await {
            Ok((response, wire)) => {
                let status = response.status().as_u16();
                let replayable = parcel.is_replayable();
                (Ok((response, wire)), Head::Status { status, replayable, retry_after: None })
            }
            Err(Failed::Upstream { error, sent, reused }) => {
                let replayable = parcel.is_replayable();
                (Err(error), Head::Failed { error, sent, reused, replayable })
            }
            Err(Failed::Shortage(error)) => {
                guard.end(End::Aborted);
                worker.counters.shortages.increment();
                let text = format!("the proxy cannot open a connection: {error}");
                return own_answer(client, StatusCode::SERVICE_UNAVAILABLE, text, &leg);
            }
            Err(Failed::ClientBroke) => {
                guard.end(End::ClientLeft);
                return say(StatusCode::BAD_REQUEST, "the request's body was broken off");
            }
            Err(Failed::ClientLate) => {
                guard.end(End::ClientLeft);
                return say(StatusCode::REQUEST_TIMEOUT, "the request's body took too long");
            }
        };
        match (worker.shared.head(leg.attempt.id, report), answer) {
            (Step::Deliver, Ok((response, wire))) => {
                return deliver(client, &leg, response, guard, wire, deadline);
            }
            (Step::Retry(next), answer) => {
                guard.disarm();
                if let Ok((response, wire)) = answer {
                    recycle(worker, response, wire);
                }
                leg = next;
            }
            (Step::GiveUp, answer) => {
                guard.disarm();
                return give_up(client, &leg, answer.err());
            }
            (Step::Deliver, Err(error)) => {
                // There is nothing to deliver; the attempt is still open.
                guard.end(End::UpstreamBroke);
                return give_up(client, &leg, Some(error));
            }
        }
    }
}

/// Sends one attempt and waits for the head of its answer, within the attempt's limits.
async fn send(
    worker: &Rc<Worker>,
    leg: &Leg,
    parcel: &mut Parcel,
    deadline: &mut Deadline,
) -> Result<(Response<Incoming>, Wire), Failed> {
    let attempt = &leg.attempt;
    let nothing = |error| Failed::Upstream { error, sent: Sent::Nothing, reused: false };
    let mut wire = match worker.pool.take(attempt.backend) {
        Some(wire) => {
            worker.counters.upstream_reused.increment();
            wire
        }
        None => {
            worker.counters.upstream_opened.increment();
            let opening = upstream::connect(attempt.backend, leg.address);
            let by = attempt.connect_by.min(attempt.head_by).min(attempt.body_by);
            match deadline.within(by, opening).await {
                Some(Ok(wire)) => wire,
                Some(Err(error)) if upstream::is_shortage(&error) => {
                    return Err(Failed::Shortage(error));
                }
                Some(Err(_)) => return Err(nothing(FailureKind::Connect)),
                None => return Err(nothing(FailureKind::ConnectTimeout)),
            }
        }
    };
    let Some(request) = parcel.take(leg) else {
        // The balancer was told that it could not be sent again.
        let (error, sent) = (FailureKind::Protocol, parcel.sent(Sent::Nothing));
        return Err(Failed::Upstream { error, sent, reused: false });
    };
    let upload = request.body().track();
    let outcome = await_head(attempt, &mut wire, request, upload.as_deref(), deadline).await;
    let (written, reused) = (wire.sent(), wire.reused());
    let error = match outcome {
        Some(Ok(response)) => return Ok((response, wire)),
        Some(Err(_)) if wire.client_broke() => return Err(Failed::ClientBroke),
        Some(Err(failure)) => {
            parcel.request = failure.request;
            failure.error
        }
        None if upload.is_some_and(|upload| upload.client_owes()) => {
            return Err(Failed::ClientLate);
        }
        None => FailureKind::Timeout,
    };
    Err(Failed::Upstream { error, sent: parcel.sent(written), reused })
}

/// The head of the answer, or `None` when it is overdue. The time that the client takes to give the
/// request's body does not count.
async fn await_head(
    attempt: &Attempt,
    wire: &mut Wire,
    request: Request<Upload>,
    upload: Option<&Track>,
    deadline: &mut Deadline,
) -> Option<Result<Response<Incoming>, Failure>> {
    let mut answer = std::pin::pin!(wire.send(request));
    let mut by = attempt.head_by.min(attempt.body_by);
    loop {
        let outcome = deadline.within(by, answer.as_mut()).await;
        let due = upload.map_or(by, |upload| attempt.head_due(upload.given_at()));
        if outcome.is_some() || due <= by {
            return outcome;
        }
        by = due;
    }
}

fn deliver(
    client: &Rc<Client>,
    leg: &Leg,
    response: Response<Incoming>,
    guard: Guard,
    wire: Wire,
    deadline: Deadline,
) -> Response<Answer> {
    let (mut head, body) = response.into_parts();
    headers::to_client(&mut head, leg.attempt.number);
    client.answer_by.set(leg.attempt.body_by);
    let relay = Relay::new(body, leg.attempt.body_by, guard, wire, deadline);
    Response::from_parts(head, Answer::relay(Rc::clone(client), relay))
}

/// The answer when every attempt failed; `error` is the last one's.
fn give_up(client: &Rc<Client>, leg: &Leg, error: Option<FailureKind>) -> Response<Answer> {
    let error = error.unwrap_or(FailureKind::Status);
    let text = match error {
        FailureKind::Timeout => "no answer in time",
        FailureKind::ConnectTimeout => "no connection in time",
        FailureKind::Connect => "connection failed",
        FailureKind::Reset => "connection broke",
        FailureKind::Protocol => "not an HTTP answer",
        FailureKind::Status => "the backend failed",
    };
    own_answer(client, own_status(error.gateway_status()), format!("backend: {text}"), leg)
}

/// A status that the balancer's words carry.
fn own_status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("policy names statuses of three digits")
}

/// An answer of the proxy itself that ends with this attempt.
fn own_answer(
    client: &Rc<Client>,
    status: StatusCode,
    text: String,
    last: &Leg,
) -> Response<Answer> {
    let mut response = Answer::text(Rc::clone(client), status, text);
    let attempts = last.attempt.number;
    if attempts > 1 {
        response.headers_mut().insert(headers::ATTEMPT_COUNT, HeaderValue::from(attempts));
    }
    response
}

/// The largest answer that is read to its end although nobody wants it: cheaper than a connection.
const MAX_RECYCLED_BYTES: u64 = 64 * 1024;

/// Keeps the connection of an answer that a retry has replaced.
fn recycle(worker: &Rc<Worker>, response: Response<Incoming>, wire: Wire) {
    use http_body_util::BodyExt as _;
    let mut body = response.into_body();
    if body.size_hint().upper().is_none_or(|bytes| bytes > MAX_RECYCLED_BYTES) {
        return;
    }
    let pool = Rc::clone(&worker.pool);
    tokio::task::spawn_local(async move {
        let reading = async {
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok::<_, hyper::Error>(())
        };
        if let Ok(Ok(())) = tokio::time::timeout(upstream::SETTLE_LIMIT, reading).await {
            pool.give(wire);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_here_any_more_does_not_count_as_unsent() {
        let request = || Some(Request::new(Upload::none()));
        let copy = || Some(Request::new(()).into_parts().0);
        for (request, copy, written, expected) in [
            (request(), None, Sent::Nothing, Sent::Nothing),
            (None, copy(), Sent::Nothing, Sent::Nothing),
            (None, copy(), Sent::Part, Sent::Part),
            (None, None, Sent::Nothing, Sent::Part),
            (None, None, Sent::All, Sent::All),
        ] {
            assert_eq!(Parcel { request, copy }.sent(written), expected);
        }
    }
}
