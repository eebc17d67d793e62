//! Client connections: accepting them, finding out what is spoken on them, and ending them when the
//! worker says so. It must not know what is said.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::client::{Client, Order};
use crate::h2;
use crate::headers::address_text;
use crate::session::Session;
use crate::tls;
use crate::worker::Worker;

/// How long accepting pauses when nothing makes way for another client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A connection that was accepted and for which there is no room yet.
pub(crate) type Held = Option<(TcpStream, SocketAddr)>;

/// Accepts connections for ever. Who comes when there are too many waits in `held`, further ones in
/// the listener's queue, until an idle one has made way.
pub(crate) async fn accept(worker: &Rc<Worker>, listener: &TcpListener, held: &mut Held) {
    let mut complained = false;
    loop {
        if held.is_some() && worker.clients.count() >= worker.shared.edge.max_connections {
            make_way(worker).await;
            continue;
        }
        if let Some((stream, peer)) = held.take() {
            open(worker, stream, peer);
        }
        match listener.accept().await {
            Ok(accepted) => {
                complained = false;
                *held = Some(accepted);
            }
            // It was gone before we came: the next one may be well.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    worker.shared.log.line(format!("accept: {error}"));
                }
                make_way(worker).await;
            }
        }
    }
}

/// Lets idle clients go, or waits for a moment where all are busy.
async fn make_way(worker: &Worker) {
    if worker.clients.release_idle(worker.shared.clock.now()) {
        yield_now().await;
    } else {
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Accepts what waits in the listener's queue: closing the listener would reset it.
pub(crate) async fn accept_waiting(worker: &Rc<Worker>, listener: &TcpListener, held: Held) {
    if let Some((stream, peer)) = held {
        open(worker, stream, peer);
    }
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
    let address = address_text(peer.ip()).into();
    let client = worker.clients.open(address, worker.shared.clock.now());
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
    let mut speaking = pin!(speak(worker, Rc::clone(&client), stream));
    std::future::poll_fn(|cx| match client.listen(cx.waker()) {
        // What is on it ends with it.
        Order::Close => Poll::Ready(()),
        Order::Serve | Order::Finish => speaking.as_mut().poll(cx),
    })
    .await;
}

/// Serves a client in its own protocol. What is not plain HTTP/1.1 is large and kept apart, so that
/// idle connections are small.
async fn speak(worker: Rc<Worker>, client: Rc<Client>, stream: TcpStream) {
    if worker.shared.tls.is_some() {
        Box::pin(speak_tls(worker, client, stream)).await;
        return;
    }
    let session = Session::new(Rc::clone(&worker), Rc::clone(&client), stream);
    if let Some((stream, read)) = session.run().await {
        Box::pin(h2::serve(worker, client, stream, read)).await;
    }
}

async fn speak_tls(worker: Rc<Worker>, client: Rc<Client>, stream: TcpStream) {
    let Some(tls) = &worker.shared.tls else { return };
    // The limit is that of a head: nothing has been asked before it ends.
    client.in_head.set(true);
    let mut accepting = pin!(tls.accept(stream));
    let accepted = std::future::poll_fn(|cx| match accepting.as_mut().poll(cx) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending if client.order() != Order::Serve => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    // Who does not finish it is told why by TLS itself.
    let Some(stream) = accepted.await else { return };
    client.in_head.set(false);
    if tls::is_http2(&stream) {
        h2::serve(Rc::clone(&worker), client, stream, vec![]).await;
    } else {
        // Inside TLS nothing but ALPN decides (RFC 9113 §3.2).
        let _ = Session::new(Rc::clone(&worker), client, stream).run().await;
    }
}
