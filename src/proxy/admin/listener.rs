//! The admin API's connections: how many, how large their heads, how slow their clients. It must not
//! know what is asked on them.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The most connections at once: people and scrapers, each with a few. Others wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// The largest head of a request: a token, a browser's fields and some cookies of its other pages.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The most fields in it.
const MAX_FIELDS: usize = 64;
/// How long a client may take for a head, or leave a connection idle before the next one. Scrapers
/// come every 15 s or less often, and connect again at little cost.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may leave what it was sent unread.
const UNREAD_LIMIT: Duration = Duration::from_secs(30);
/// How long to leave the listener alone after an error: most come of a shortage that lasts.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the runtime ends.
pub(super) async fn serve(listener: StdListener, router: Router) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    // A client that left or was too slow: nobody is there to be told.
                    let _ = connection(stream, router).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, router: Router) -> hyper::Result<()> {
    // Both only better matters: answers go out at once, and clients that do not read are let go.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_LIMIT));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}
