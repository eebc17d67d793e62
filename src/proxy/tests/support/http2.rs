//! Clients that speak HTTP/2: one that does it right, and one whose every frame the test writes. It
//! must not use the proxy's own code to judge it.

use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{PATIENCE, Reader};

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Runs a client to its end. Its connections have a thread of their own: who waits for a backend by
/// a call that blocks does not hold them up.
pub(crate) fn run<T>(client: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, client).await.expect("in time") })
}

/// A connection on which requests are sent; its task tells how it ended.
pub(crate) struct Client {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) ended: JoinHandle<Result<(), h2::Error>>,
}

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

impl Client {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.expect("it listens")).await
    }

    /// Over a connection that is open.
    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = h2::client::Builder::new();
        // One answer that is not read does not hold up the others on this side.
        let shaken = builder.initial_connection_window_size(16 << 20).handshake(stream).await;
        let (send, connection): (_, Connection<S, Bytes>) = shaken.expect("it speaks HTTP/2");
        Self { send, ended: tokio::spawn(connection) }
    }

    /// Sends a head; `last` without a body.
    pub(crate) async fn open(
        &self,
        request: Request<()>,
        last: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut send = self.send.clone().ready().await.expect("open");
        send.send_request(request, last).expect("valid")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(request("GET", path).body(()).expect("valid"), None).await.expect("an answer")
    }

    /// One exchange.
    pub(crate) async fn ask(
        &self,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Answer, h2::Error> {
        let (answer, mut stream) = self.open(request, body.is_none()).await;
        if let Some(body) = body {
            upload(&mut stream, body, None).await?;
        }
        whole(answer.await?).await
    }
}

/// A request to the one host that there is.
pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://h{path}"))
}

/// The same without further fields.
pub(crate) fn head(method: &str, path: &str) -> Request<()> {
    request(method, path).body(()).expect("valid")
}

/// Sends a body as the windows open, and what comes behind it.
pub(crate) async fn upload(
    stream: &mut SendStream<Bytes>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    let mut rest = Bytes::copy_from_slice(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let Some(room) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return Ok(());
        };
        let piece = rest.split_to(room?.min(rest.len()));
        stream.send_data(piece, false)?;
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None => stream.send_data(Bytes::new(), true),
    }
}

/// The next piece of a body, which makes room for another.
pub(crate) async fn piece(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let piece = body.data().await?;
    if let Ok(piece) = &piece {
        let _ = body.flow_control().release_capacity(piece.len());
    }
    Some(piece)
}

/// The whole of an answer.
pub(crate) async fn whole(answer: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut frames) = answer.into_parts();
    let mut body = vec![];
    while let Some(data) = piece(&mut frames).await {
        body.extend_from_slice(&data?);
    }
    let trailers = frames.trailers().await?.unwrap_or_default();
    Ok(Answer { status: head.status.as_u16(), fields: head.headers, body, trailers })
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// What a frame looks like.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut text = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    text.extend([kind, flags]);
    text.extend(stream.to_be_bytes());
    text.extend(payload);
    text
}

/// A header block without compression, of whatever names and values (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![];
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A number with a prefix of seven bits (RFC 7541 §5.1).
fn integer(number: usize, out: &mut Vec<u8>) {
    let Some(mut rest) = number.checked_sub(127) else { return out.push(number as u8) };
    out.push(127);
    while rest >= 128 {
        out.push(rest as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// A client whose every frame the test writes.
pub(crate) struct Raw(pub(crate) Reader);

impl Raw {
    /// One that has said what it must say first.
    pub(crate) fn open(mut reader: Reader) -> Self {
        reader.stream.write_all(PREFACE).expect("open");
        let mut raw = Self(reader);
        raw.send(SETTINGS, 0, 0, b"");
        raw
    }

    /// Whether the proxy still takes it.
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.0.stream.write_all(&frame(kind, flags, stream, payload)).is_ok()
    }

    /// Sends a head in as many frames as it takes.
    pub(crate) fn head(&mut self, stream: u32, fields: &[(&str, &str)], last: bool) {
        let block = block(fields);
        let mut pieces = block.chunks(16 * 1024).peekable();
        let (mut kind, mut flags) = (HEADERS, if last { END_STREAM } else { 0 });
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { END_HEADERS } else { 0 };
            self.send(kind, flags, stream, piece);
            (kind, flags) = (CONTINUATION, 0);
        }
    }

    /// The next frame; `None` at the end.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let head = self.0.exactly(9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.0.exactly(length)?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of one of these kinds.
    pub(crate) fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }
}

/// The code of a GOAWAY or a RST_STREAM.
pub(crate) fn code(frame: &Frame) -> u32 {
    let from = match frame.kind {
        RST_STREAM => 0,
        GOAWAY => 4,
        _ => panic!("{frame:?}"),
    };
    u32::from_be_bytes(frame.payload[from..from + 4].try_into().expect("four bytes"))
}
