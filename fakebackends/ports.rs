//! Listening sockets whose port nobody takes while the backend is down. It must not know backends.
//!
//! A crashed backend closes its listener and opens it again on the same port. A port of the
//! ephemeral range could meanwhile become the source of somebody's outgoing connection, so a port
//! that we choose lies below that range.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;

use base::Rng;
use socket2::{Domain, Protocol, Socket, Type};

/// Where Linux says which ports outgoing connections take.
const EPHEMERAL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// Below it stand the well-known services of a developer's machine.
const LOWEST_PORT: u16 = 10_000;
/// Random ports tried before giving up: with half of the range taken, all fail once in 2⁶⁴ starts.
const TRIES: u32 = 64;
/// Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// A non-blocking listener. Port 0 is a free port below the ephemeral range, drawn from `rng`
/// (where that range leaves none: one of the kernel's choice).
pub(crate) fn listen(address: SocketAddr, rng: &mut Rng) -> io::Result<TcpListener> {
    if address.port() != 0 {
        return listen_on(address);
    }
    let range = std::fs::read_to_string(EPHEMERAL_RANGE).unwrap_or_default();
    let Some(free) = below_ephemeral(&range) else {
        return listen_on(address);
    };
    for _ in 0..TRIES {
        let port = free.start + rng.below(free.len()) as u16;
        match listen_on(SocketAddr::new(address.ip(), port)) {
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("{TRIES} random ports from {} to {} are all taken", free.start, free.end - 1),
    ))
}

/// The ports we may choose from, given the contents of [`EPHEMERAL_RANGE`].
fn below_ephemeral(range: &str) -> Option<Range<u16>> {
    let start: u16 = range.split_whitespace().next()?.parse().ok()?;
    (start > LOWEST_PORT).then_some(LOWEST_PORT..start)
}

/// A non-blocking listener on exactly this address, also just after another one on it was closed.
pub(crate) fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of the crashed listener may linger in TIME_WAIT on this port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ephemeral_range_bounds_our_ports() {
        for (text, expected) in [
            ("32768\t60999\n", Some(10_000..32_768)),
            ("10001 65535", Some(10_000..10_001)),
            ("10000 65535", None),
            ("1024\t65535\n", None),
            ("", None),
            ("many", None),
        ] {
            assert_eq!(below_ephemeral(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_taken_port_is_an_error_and_a_closed_one_can_be_had_again() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = listen(any, &mut Rng::from_seed(u64::from(std::process::id())))
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let again = listen_on(address).expect_err("it is taken");
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert_eq!(listen_on(address).expect("closed").local_addr().ok(), Some(address));
    }
}
