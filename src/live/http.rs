//! Calls of a child's API over loopback: small, bounded, each with a deadline.
//! It must not know what is called.
//!
//! Requests are HTTP/1.0, one a connection: then the end of an answer is its length or the end of
//! the connection, never chunks, also for a stream of events.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Heads of our own APIs have a few hundred bytes.
const HEAD_LIMIT: usize = 16 << 10;
/// The list of some ten thousand backends.
const BODY_LIMIT: usize = 8 << 20;
/// More headers than an answer of ours will ever have.
const HEADER_LIMIT: usize = 64;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection could not be opened, or broke.
    #[error("{call}: {source}")]
    Broken {
        /// Method and path.
        call: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No whole answer in time.
    #[error("{call}: no answer within {} ms", within.as_millis())]
    Late {
        /// Method and path.
        call: String,
        /// How long it had.
        within: Duration,
    },
    /// Another status than 2xx.
    #[error("{call}: status {status}: {text}")]
    Status {
        /// Method and path.
        call: String,
        /// The status.
        status: u16,
        /// The beginning of the answer.
        text: String,
    },
    /// The answer is not what was agreed on.
    #[error("{call}: {problem}")]
    Answer {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// One call and its whole answer.
///
/// # Errors
/// When the whole answer is not there `within`, or its status is not 2xx.
pub(crate) async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    json: Option<&str>,
    within: Duration,
) -> Result<Vec<u8>, CallError> {
    let whole = async {
        let mut answer = begin(address, method, path, json).await?;
        let mut body = std::mem::take(&mut answer.begun);
        while answer.length.is_none_or(|length| body.len() < length) {
            if body.len() > BODY_LIMIT {
                return Err(answer.wrong(format!("more than {BODY_LIMIT} bytes")));
            }
            if answer.read(&mut body).await? == 0 {
                match answer.length {
                    Some(length) => {
                        let problem = format!("{} bytes instead of {length}", body.len());
                        return Err(answer.wrong(problem));
                    }
                    None => break,
                }
            }
        }
        if let Some(length) = answer.length {
            body.truncate(length);
        }
        if !(200..300).contains(&answer.status) {
            let text = String::from_utf8_lossy(&body[..body.len().min(500)]).trim().to_owned();
            return Err(CallError::Status { call: answer.call, status: answer.status, text });
        }
        Ok(body)
    };
    match timeout(within, whole).await {
        Ok(result) => result,
        Err(_) => Err(CallError::Late { call: format!("{method} {path}"), within }),
    }
}

/// An answer whose body is still to come.
pub(crate) struct Answer {
    call: String,
    stream: TcpStream,
    status: u16,
    length: Option<usize>,
    begun: Vec<u8>,
}

impl Answer {
    /// The next bytes of the body; none at its end. Safe to drop while it waits.
    pub(crate) async fn more(&mut self) -> Result<Vec<u8>, CallError> {
        let mut bytes = std::mem::take(&mut self.begun);
        if bytes.is_empty() {
            self.read(&mut bytes).await?;
        }
        Ok(bytes)
    }

    async fn read(&mut self, into: &mut Vec<u8>) -> Result<usize, CallError> {
        let read = self.stream.read_buf(into).await;
        read.map_err(|source| CallError::Broken { call: self.call.clone(), source })
    }

    fn wrong(&self, problem: String) -> CallError {
        CallError::Answer { call: self.call.clone(), problem }
    }
}

/// Opens a stream that goes on without end, as server-sent events do; its head must be there
/// `within`.
///
/// # Errors
/// When it is not, or the status is not 2xx.
pub(crate) async fn open(
    address: SocketAddr,
    path: &str,
    within: Duration,
) -> Result<Answer, CallError> {
    let call = format!("GET {path}");
    match timeout(within, begin(address, "GET", path, None)).await {
        Ok(Ok(answer)) if !(200..300).contains(&answer.status) => {
            let text = String::from_utf8_lossy(&answer.begun).trim().to_owned();
            Err(CallError::Status { call, status: answer.status, text })
        }
        Ok(result) => result,
        Err(_) => Err(CallError::Late { call, within }),
    }
}

async fn begin(
    address: SocketAddr,
    method: &str,
    path: &str,
    json: Option<&str>,
) -> Result<Answer, CallError> {
    let call = format!("{method} {path}");
    let broken = |source| CallError::Broken { call: call.clone(), source };
    let wrong = |problem| CallError::Answer { call: call.clone(), problem };
    let mut stream = TcpStream::connect(address).await.map_err(broken)?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\n");
    if let Some(json) = json {
        request.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            json.len()
        ));
    } else {
        request.push_str("\r\n");
    }
    stream.write_all(request.as_bytes()).await.map_err(broken)?;

    let mut bytes = Vec::with_capacity(4096);
    loop {
        if let Some((status, length, end)) = parse_head(&bytes).map_err(wrong)? {
            let begun = bytes.split_off(end);
            return Ok(Answer { call, stream, status, length, begun });
        }
        if bytes.len() > HEAD_LIMIT {
            return Err(wrong(format!("a head of more than {HEAD_LIMIT} bytes")));
        }
        if stream.read_buf(&mut bytes).await.map_err(broken)? == 0 {
            return Err(wrong("the connection ended before the answer's head".into()));
        }
    }
}

/// Status, content-length and the head's own length, once the head is whole.
fn parse_head(bytes: &[u8]) -> Result<Option<(u16, Option<usize>, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut response = httparse::Response::new(&mut headers);
    let end = match response.parse(bytes).map_err(|e| format!("not HTTP: {e}"))? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(end) => end,
    };
    let status = response.code.ok_or("an answer without a status")?;
    let value = |name: &str| {
        response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    };
    if value("transfer-encoding").is_some() {
        return Err("a transfer encoding in an answer to HTTP/1.0".into());
    }
    let length = match value("content-length") {
        None if status == 204 => Some(0),
        None => None,
        Some(value) => {
            let text = std::str::from_utf8(value).map_err(|_| "content-length is not text")?;
            let length = text.parse().map_err(|_| format!("content-length {text:?}"))?;
            if length > BODY_LIMIT {
                return Err(format!("{length} bytes, more than {BODY_LIMIT}"));
            }
            Some(length)
        }
    };
    Ok(Some((status, length, end)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with `parts`, then closes it, or holds it until the test ends.
    fn serve(parts: &'static [&'static str], hold: bool) -> (SocketAddr, impl FnOnce() -> String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).expect("a request");
            for part in parts {
                stream.write_all(part.as_bytes()).expect("a reader");
            }
            if hold {
                let _ = stream.read(&mut [0]);
            }
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        (address, move || server.join().expect("no panic"))
    }

    fn get(address: SocketAddr, within: Duration) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let called = call(address, "GET", "/x", None, within);
        let result = runtime.expect("a runtime").block_on(called);
        result.map(|body| String::from_utf8_lossy(&body).into_owned()).map_err(|e| e.to_string())
    }

    #[test]
    fn answers_end_by_length_or_with_the_connection() {
        const LONG: Duration = Duration::from_secs(20);
        let table: [(&[&str], bool, Result<&str, &str>); 9] = [
            (&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], true, Ok("ok")),
            (&["HTTP/1.1 200 OK\r\ncon", "tent-length: 2\r\n\r\no", "kay"], true, Ok("ok")),
            (&["HTTP/1.1 204 No Content\r\n\r\n"], true, Ok("")),
            (&["HTTP/1.0 200 OK\r\n\r\nto the ", "end"], false, Ok("to the end")),
            (
                &["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"],
                false,
                Err("2 bytes instead of 9"),
            ),
            (&["HTTP/1.1 404 No\r\ncontent-length: 4\r\n\r\nnope"], true, Err("status 404: nope")),
            (&["HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"], true, Err("more than")),
            (&["hello\r\n\r\n"], true, Err("not HTTP")),
            (&["HTTP/1.1 200 OK\r\n"], false, Err("before the answer's head")),
        ];
        for (parts, hold, expected) in table {
            let (address, request) = serve(parts, hold);
            match (get(address, LONG), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{parts:?}"),
                (Err(got), Err(expected)) => {
                    assert!(got.contains(expected) && got.starts_with("GET /x: "), "{got}");
                }
                (got, _) => panic!("{parts:?}: {got:?}"),
            }
            assert!(request().starts_with("GET /x HTTP/1.0\r\nhost: 127.0.0.1:"));
        }
    }

    #[test]
    fn silence_and_refusal_are_bounded() {
        let (address, request) = serve(&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no"], true);
        let error = get(address, Duration::from_millis(100)).expect_err("half an answer");
        assert!(error.contains("no answer within 100 ms"), "{error}");
        request();
        let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let error = get(closed, Duration::from_secs(20)).expect_err("nobody listens");
        assert!(error.contains("refused"), "{error}");
    }
}
