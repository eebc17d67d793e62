//! Client connections: accepting them, reading requests from them, closing them in good order.
//! It must not know backends.
//!
//! This is the seam behind which HTTP/1.1 to clients is spoken: the rest of the crate sees
//! requests and answers.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::answer::Answer;
use crate::client::{Client, Order};
use crate::forward;
use crate::framing::{MAX_FIELDS, MAX_HEAD_BYTES};
use crate::inspected::Inspected;
use crate::worker::Worker;

/// The most client connections of one worker; further ones wait in the listener's queue.
pub(crate) const MAX_CLIENTS_PER_WORKER: usize = 65_536;
/// How long accepting pauses when the process has no file descriptor left, or too many clients.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How HTTP/1.1 is spoken to clients.
pub(crate) fn protocol() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_headers(MAX_FIELDS).max_header_size(MAX_HEAD_BYTES);
    // Each answer is written as soon as it is there: pipelining clients are rare, and waiting for
    // the next request would cost the others.
    builder.pipeline_flush(false).half_close(false).keep_alive(true);
    builder
}

/// Accepts connections for ever.
pub(crate) async fn accept(worker: &Rc<Worker>, listener: &TcpListener) {
    loop {
        if worker.clients.count() >= MAX_CLIENTS_PER_WORKER {
            sleep(ACCEPT_PAUSE).await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, peer)) => open(worker, stream, peer),
            // It was gone before we came: the next one may be well.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                worker.shared.log.line(format!("accept: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Accepts what waits in the listener's queue: closing the listener would reset it.
pub(crate) async fn accept_waiting(worker: &Rc<Worker>, listener: &TcpListener) {
    let mut accepting = pin!(listener.accept());
    loop {
        let accepted = std::future::poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
        let Poll::Ready(Ok((stream, peer))) = accepted else { return };
        open(worker, stream, peer);
        accepting.set(listener.accept());
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

fn open(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr) {
    // Slow is better than nothing.
    let _ = stream.set_nodelay(true);
    worker.counters.clients_accepted.increment();
    let client = worker.clients.open(peer);
    tokio::task::spawn_local(serve(Rc::clone(worker), client, stream));
}

/// Takes a connection off the worker's list however its task ends.
struct Listed(Rc<Worker>, Rc<Client>);

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.clients.close(&self.1);
        self.0.counters.clients_closed.increment();
    }
}

async fn serve(worker: Rc<Worker>, client: Rc<Client>, stream: TcpStream) {
    let _listed = Listed(Rc::clone(&worker), Rc::clone(&client));
    let io = TokioIo::new(Inspected::new(stream, Rc::clone(&client)));
    let service = service_fn(|request| answer(Rc::clone(&worker), Rc::clone(&client), request));
    let mut connection = pin!(worker.http.serve_connection(io, service));
    let mut finishing = false;
    std::future::poll_fn(|cx| {
        match client.order(cx.waker()) {
            Order::Serve => {}
            Order::Finish if finishing => {}
            Order::Finish => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Close => return Poll::Ready(()),
        }
        // What is wrong with a client's connection concerns nobody else; its requests have ended.
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// One request of a connection, refused or forwarded.
async fn answer(
    worker: Rc<Worker>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    client.serving.set(true);
    let number = client.requests.get() + 1;
    client.requests.set(number);
    worker.counters.requests.increment();
    let refusal = |client| refusal(&worker, client, number);
    let response = match refusal(&client) {
        Some(response) => response,
        None => {
            let response = forward::forward(&worker, &client, request).await;
            // The body may have turned out malformed only after the request was accepted.
            refusal(&client).unwrap_or(response)
        }
    };
    let class = usize::from(response.status().as_u16() / 100);
    if let Some(counter) = worker.counters.answers.get(class) {
        counter.increment();
    }
    Ok(response)
}

/// The refusal, if it is this request's turn to be refused.
fn refusal(worker: &Worker, client: &Rc<Client>, number: u64) -> Option<Response<Answer>> {
    let (at, violation) = client.refusal.get()?;
    if at != number {
        return None;
    }
    worker.counters.refused.increment();
    let status = StatusCode::from_u16(violation.status()).expect("a known status");
    let mut response = Answer::text(Rc::clone(client), status, violation.to_string());
    let close = http::HeaderValue::from_static("close");
    response.headers_mut().insert(http::header::CONNECTION, close);
    Some(response)
}
