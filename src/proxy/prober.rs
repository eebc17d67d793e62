//! One health probe: a GET on a connection of its own. It must not judge what comes.
//!
//! The connection is not kept: a kept one would hide that new ones cannot be opened.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use policy::{Probe, ProbeKind, ProbeResult};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::shared::Shared;
use crate::timer::instant;
use crate::upstream;

/// The most frames of an answer that are read before the connection is closed, so that a backend's
/// small answer is taken whole and an endless one is not.
const MAX_FRAMES: usize = 16;

/// Sends a probe and reports what came of it, by its deadline.
pub(crate) async fn run(shared: Arc<Shared>, probe: Probe) {
    let began = shared.clock.now();
    let deadline = instant(shared.clock, probe.deadline);
    let result = match shared.address(probe.backend) {
        None => ProbeResult::Failed("removed".into()),
        Some(address) => match timeout_at(deadline, ask(address, &probe.kind)).await {
            Err(_) => {
                let waited = shared.clock.now().since(began);
                ProbeResult::Failed(format!("timeout after {waited:.1?}"))
            }
            Ok(Err(result)) => result,
            Ok(Ok(status)) => ProbeResult::Status {
                status: status.as_u16(),
                after: shared.clock.now().since(began),
                load: None,
            },
        },
    };
    shared.probed(probe.id, result);
}

fn unconnected(error: &io::Error) -> ProbeResult {
    match upstream::is_shortage(error) {
        true => ProbeResult::Unsent(error.to_string()),
        false => ProbeResult::Failed(format!("connect: {error}")),
    }
}

async fn ask(address: SocketAddr, kind: &ProbeKind) -> Result<StatusCode, ProbeResult> {
    let failed = |error: hyper::Error| ProbeResult::Failed(error.to_string());
    let stream = TcpStream::connect(address).await.map_err(|e| unconnected(&e))?;
    let path = match kind {
        ProbeKind::Tcp => return Ok(StatusCode::OK),
        ProbeKind::Http(path) | ProbeKind::Load(path) => path.as_str(),
    };
    // Only latency is at stake, so a refusal is not worth a failed probe.
    let _ = stream.set_nodelay(true);
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(USER_AGENT, "lab-health")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| ProbeResult::Failed(format!("the path {path:?} cannot be asked for: {e}")))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(failed)?;
        let (head, mut body) = answer.into_parts();
        for _ in 0..MAX_FRAMES {
            if !matches!(body.frame().await, Some(Ok(_))) {
                break;
            }
        }
        Ok(head.status)
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        biased;
        outcome = &mut exchange => outcome,
        // The connection may end first with the whole answer already handed over.
        _ = &mut connection => exchange.await,
    }
}
