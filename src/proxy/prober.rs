//! One probe: a connection of its own, and a GET on it unless the connection is all that is asked
//! for. It must not judge what comes.
//!
//! The connection is not kept: a kept one would hide that new ones cannot be opened.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use policy::{Load, Probe, ProbeKind, ProbeResult};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

use crate::shared::Shared;
use crate::timer::instant;
use crate::upstream;

/// The most frames of an answer that are read before the connection is closed, so that a backend's
/// small answer is taken whole and an endless one is not.
const MAX_FRAMES: usize = 16;

/// What a backend answered.
struct Answer {
    /// 0 where nothing was asked.
    status: u16,
    load: Option<Load>,
}

/// The load that a backend tells of in its answer: without a whole number of requests it tells of
/// none, and without a number of seconds it cannot tell how long one takes.
fn load(headers: &HeaderMap) -> Option<Load> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let in_flight = text("x-in-flight")?.parse().ok()?;
    let seconds = text("x-estimated-latency").and_then(|seconds| seconds.parse().ok());
    let latency = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some(Load { in_flight, latency: latency.unwrap_or_default() })
}

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
            Ok(Ok(Answer { status, load })) => {
                ProbeResult::Status { status, after: shared.clock.now().since(began), load }
            }
        },
    };
    if !matches!(probe.kind, ProbeKind::Load(_)) {
        shared.directory.checked(probe.backend, shared.clock.now().since(began));
    }
    shared.probed(probe.id, result);
}

fn unconnected(error: &io::Error) -> ProbeResult {
    match upstream::is_shortage(error) {
        true => ProbeResult::Unsent(error.to_string()),
        false => ProbeResult::Failed(format!("connect: {error}")),
    }
}

async fn ask(address: SocketAddr, kind: &ProbeKind) -> Result<Answer, ProbeResult> {
    let failed = |error: hyper::Error| ProbeResult::Failed(error.to_string());
    let stream = TcpStream::connect(address).await.map_err(|e| unconnected(&e))?;
    let path = match kind {
        ProbeKind::Tcp => return Ok(Answer { status: 0, load: None }),
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
        Ok(Answer { status: head.status.as_u16(), load: load(&head.headers) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_told_in_whole_requests_and_seconds() {
        let load_of = |fields: &[(&'static str, &'static str)]| {
            let pair = |&(name, value): &(&'static str, &'static str)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_static(value))
            };
            load(&fields.iter().map(pair).collect()).map(|load| (load.in_flight, load.latency))
        };
        let micros = Duration::from_micros;
        for (in_flight, latency, expected) in [
            ("3", "0.0123", Some((3, micros(12_300)))),
            (" 3 ", "2", Some((3, Duration::from_secs(2)))),
            ("0", "0", Some((0, Duration::ZERO))),
            ("3", "-1", Some((3, Duration::ZERO))),
            ("3", "NaN", Some((3, Duration::ZERO))),
            ("3", "inf", Some((3, Duration::ZERO))),
            ("3", "1e300", Some((3, Duration::ZERO))),
            ("3", "soon", Some((3, Duration::ZERO))),
            ("-1", "1", None),
            ("3.5", "1", None),
            ("99999999999", "1", None),
            ("", "1", None),
        ] {
            let fields = [("x-in-flight", in_flight), ("x-estimated-latency", latency)];
            assert_eq!(load_of(&fields), expected, "{in_flight:?} {latency:?}");
        }
        assert_eq!(load_of(&[("x-in-flight", "3")]), Some((3, Duration::ZERO)));
        assert_eq!(load_of(&[("x-estimated-latency", "1")]), None);
    }
}
