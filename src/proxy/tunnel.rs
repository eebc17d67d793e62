//! Two connections joined after a 101: bytes pass both ways, whatever they mean. It must not know
//! HTTP.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::buffers::{BUFFER_BYTES, Buffer};
use crate::client::{Client, Order};

/// One side: its connection, and what was read from it and is not written to the other.
pub(crate) struct Side<'a, S> {
    pub(crate) stream: &'a mut S,
    pub(crate) read: &'a mut Buffer,
}

/// Carries bytes until one side closes, or the worker has had enough of the client: when it drains,
/// or when nothing has moved for as long as a client may be idle.
pub(crate) async fn join<S: AsyncRead + AsyncWrite + Unpin>(
    client: &Client,
    near: Side<'_, S>,
    far: Side<'_, TcpStream>,
) {
    // A stall is what limits it.
    client.in_body.set(true);
    poll_fn(|cx| {
        if client.order() != Order::Serve {
            return Poll::Ready(());
        }
        let there = poll_copy(cx, client, near.read, near.stream, far.stream);
        let back = poll_copy(cx, client, far.read, far.stream, near.stream);
        if there.is_ready() || back.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    client.in_body.set(false);
}

/// Ready when no more can be carried in this direction, and what was read has been.
fn poll_copy<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    client: &Client,
    buffer: &mut Buffer,
    from: &mut R,
    to: &mut W,
) -> Poll<()> {
    loop {
        while !buffer.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(cx, buffer.data())) {
                Ok(count @ 1..) => buffer.consume(count),
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
            client.moved();
        }
        if ready!(Pin::new(&mut *to).poll_flush(cx)).is_err() || !buffer.make_room(BUFFER_BYTES) {
            return Poll::Ready(());
        }
        match ready!(buffer.poll_read(cx, from)) {
            Ok(1..) => client.moved(),
            Ok(0) | Err(_) => return Poll::Ready(()),
        }
    }
}
