//! HTTP/1.1 on one backend's connections, by hyper. It must not decide anything: it asks the
//! backend, and does to the socket what the backend says.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use workload::Load;

use crate::backend::{Backend, Link, Served};
use crate::load;

/// The luck that a generator gives to a request: decimal, 64 bits.
const LUCK: HeaderName = HeaderName::from_static("x-lab-luck");
/// Which sending of the request this is, from 1; a proxy adds it from 2 on.
const ATTEMPT: HeaderName = HeaderName::from_static("x-attempt-count");
/// The name of the backend that answers.
const BACKEND: HeaderName = HeaderName::from_static("x-lab-backend");
/// The path of health checks.
const HEALTH_PATH: &str = "/health";
/// A longer request body is answered with 413, and the connection closed: nothing is stored of a
/// body, so this bounds time and not memory.
const MAX_REQUEST_BYTES: u64 = 64 << 20;
/// How long to wait after `accept` failed: only a lack of file descriptors does that for long, and
/// trying without a pause would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The connection is to be dropped: reset where the backend said so, else its client has left.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is to be dropped")
    }
}

impl std::error::Error for Broken {}

/// What all answers of a backend share.
struct Stock {
    backend: Rc<Backend>,
    name: HeaderValue,
    body: Bytes,
}

/// Serves a backend's connections, for ever. `bytes` are at least as many as its answers need.
pub(crate) async fn accept(backend: Rc<Backend>, bytes: Bytes) -> Infallible {
    let stock = Rc::new(Stock {
        // A name that is no header value (config allows letters, digits and - _) is left out.
        name: HeaderValue::from_str(&backend.name).unwrap_or(HeaderValue::from_static("")),
        body: bytes,
        backend,
    });
    loop {
        match poll_fn(|context| stock.backend.poll_accept(context)).await {
            Ok(stream) => {
                // Registered before the task first runs: a crash in between resets it too.
                let (id, link) = stock.backend.connect();
                tokio::task::spawn_local(serve(Rc::clone(&stock), stream, id, link));
            }
            Err(error) => {
                eprintln!("backend {}: cannot accept a connection: {error}", stock.backend.name);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stock: Rc<Stock>, stream: TcpStream, id: u64, link: Rc<Link>) {
    // Fails only on a connection that is gone already; reading will tell.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(Rc::clone(&stock), Rc::clone(&link), request));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    poll_fn(|context| {
        if link.poll_reset(context).is_ready() {
            return Poll::Ready(());
        }
        // An error is a client that left or that speaks no HTTP, or our own `Broken`.
        Pin::new(&mut connection).poll(context).map(|_| ())
    })
    .await;
    stock.backend.disconnect(id);
    let stream = connection.into_parts().io.into_inner();
    if link.is_reset() {
        // Closing with a linger of zero sends RST and throws away what was not sent.
        let _ = stream.set_zero_linger();
    }
}

async fn answer(
    stock: Rc<Stock>,
    link: Rc<Link>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Broken> {
    let (head, body) = request.into_parts();
    if !body.is_end_stream() && !drain(body).await? {
        let too_large = StatusCode::PAYLOAD_TOO_LARGE;
        let mut refused = stock.response(too_large, Bytes::new(), stock.backend.load());
        refused.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        return Ok(refused);
    }
    let served = if head.uri.path() == HEALTH_PATH {
        let status = stock.backend.check_health().await;
        status.map(|status| Served { status, bytes: 0, load: stock.backend.load() })
    } else {
        let number = |name| head.headers.get(name)?.to_str().ok()?.parse().ok();
        stock.backend.request(number(LUCK), number(ATTEMPT).unwrap_or(1)).await
    };
    let Some(Served { status, bytes, load }) = served else {
        link.reset();
        return Err(Broken);
    };
    // A status is checked where faults are read; one that slipped through breaks the answer.
    let status = StatusCode::from_u16(status).map_err(|_| Broken)?;
    Ok(stock.response(status, stock.body.slice(..bytes as usize), load))
}

/// Reads a body to its end and forgets it; false when it is too long.
async fn drain(mut body: Incoming) -> Result<bool, Broken> {
    let mut left = MAX_REQUEST_BYTES;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Broken)?;
        let read = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(read) else { return Ok(false) };
        left = rest;
    }
    Ok(true)
}

impl Stock {
    fn response(&self, status: StatusCode, body: Bytes, load: Load) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().insert(BACKEND, self.name.clone());
        load::tell(load, response.headers_mut());
        response
    }
}
