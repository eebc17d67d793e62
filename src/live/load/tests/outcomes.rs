//! How requests end, whatever the server does: in every case all of them are accounted for.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use base::{FailureKind, Outcome};

use super::server::{OK, Script, Server, Then, say};
use super::{load, play};
use crate::load::Target;

#[test]
fn every_request_counts_as_its_client_saw_it_end() {
    use FailureKind::{Protocol, Reset, Status};
    let cases: &[(&str, Script, Outcome, Option<u16>)] = &[
        ("well", |s| say(s, OK, Then::Keep), Outcome::Ok, Some(200)),
        (
            "byte by byte",
            |s| OK.iter().fold(Then::Keep, |then, &byte| say(s, &[byte], then)),
            Outcome::Ok,
            Some(200),
        ),
        (
            "chunked",
            |s| {
                let head = b"HTTP/1.1 200 OK\r\nx-lab-backend: a-2\r\n";
                say(s, head, Then::Keep);
                say(s, b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Then::Keep)
            },
            Outcome::Ok,
            Some(200),
        ),
        (
            "announces that it closes",
            |s| {
                let head = b"HTTP/1.1 200 OK\r\nx-lab-backend: a-2\r\n";
                say(s, head, Then::Close);
                say(s, b"connection: close\r\ncontent-length: 0\r\n\r\n", Then::Close)
            },
            Outcome::Ok,
            Some(200),
        ),
        (
            "ends the body by closing",
            |s| say(s, b"HTTP/1.1 200 OK\r\nx-lab-backend: a-2\r\n\r\nbody", Then::Close),
            Outcome::Ok,
            Some(200),
        ),
        (
            "says more than it should",
            |s| {
                let text = [OK, b"HTTP/1.1 200 OK\r\n\r\n"].concat();
                say(s, &text, Then::Keep)
            },
            Outcome::Ok,
            Some(200),
        ),
        (
            "refuses politely",
            |s| say(s, b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", Then::Keep),
            Outcome::Rejected,
            Some(503),
        ),
        (
            "is broken",
            |s| say(s, b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", Then::Keep),
            Outcome::Failed(Status),
            Some(500),
        ),
        ("resets", |_| Then::Reset, Outcome::Failed(Reset), None),
        ("closes without an answer", |_| Then::Close, Outcome::Failed(Reset), None),
        (
            "closes within the head",
            |s| say(s, b"HTTP/1.1 200 OK\r\ncont", Then::Close),
            Outcome::Failed(Reset),
            None,
        ),
        (
            "closes within the body",
            |s| say(s, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Then::Close),
            Outcome::Failed(Reset),
            None,
        ),
        (
            "speaks another protocol",
            |s| say(s, b"SSH-2.0-OpenSSH_9.2\r\n", Then::Keep),
            Outcome::Failed(Protocol),
            None,
        ),
    ];
    for &(what, script, outcome, status) in cases {
        let server = Server::start(script);
        let (ended, report) = play(&load(12, 4, 20_000, 2, 64), &server.target());
        let (heads, connections) = server.stop();
        assert_eq!(heads.len(), 12, "{what}: no request is sent twice");
        assert_eq!(report.connections_opened, connections as u64, "{what}");
        for exchange in ended {
            assert_eq!((exchange.outcome, exchange.status), (outcome, status), "{what}");
            assert!(exchange.sent.is_some(), "{what}");
            let backend = (outcome == Outcome::Ok).then_some(1);
            assert_eq!(exchange.backend, backend, "{what}");
        }
        if matches!(what, "says more than it should" | "resets" | "announces that it closes") {
            assert_eq!(connections, 12, "{what}: no connection is used again");
        }
    }
}

#[test]
fn silence_ends_at_the_timeout_and_the_connection_with_it() {
    let silent: Script = |_| Then::Keep;
    let endless: Script = |s| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n";
        let mut then = say(s, head, Then::Keep);
        while let Then::Keep = then {
            then = say(s, &[0; 1 << 16], Then::Keep);
        }
        then
    };
    for script in [silent, endless] {
        let server = Server::start(script);
        let load = load(6, 10, 150, 1, 64);
        let (ended, _) = play(&load, &server.target());
        for exchange in ended {
            assert_eq!(exchange.outcome, Outcome::Failed(FailureKind::Timeout));
            assert!(exchange.ended >= exchange.intended + load.timeout, "{exchange:?}");
            assert!(exchange.sent.is_some());
        }
        let (_, connections) = server.stop();
        assert_eq!(connections, 6, "beyond `connections` more are opened, and none used again");
    }
}

#[test]
fn nobody_there_is_a_failure_to_connect() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
    let target = Target { addresses: vec![gone], backends: Vec::new() };
    let (ended, report) = play(&load(8, 3, 5_000, 2, 4), &target);
    for exchange in ended {
        assert_eq!(exchange.outcome, Outcome::Failed(FailureKind::Connect));
        assert_eq!(exchange.sent, None);
    }
    assert_eq!(report.connections_opened, 0);
    assert_eq!(report.shortages, Vec::<String>::new());
}

#[test]
fn not_being_let_in_is_a_timeout_of_the_connection() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let listener = socket.expect("a socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    listener.listen(0).expect("listening");
    let address = listener.local_addr().ok().and_then(|a| a.as_socket()).expect("an address");
    // Nobody accepts: when one more cannot get in, the backlog is full.
    let mut inside = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        inside.push(stream);
        assert!(inside.len() < 1000, "the backlog never fills");
    }
    let target = Target { addresses: vec![address], backends: Vec::new() };
    for exchange in play(&load(3, 10, 200, 1, 8), &target).0 {
        assert_eq!(exchange.outcome, Outcome::Failed(FailureKind::ConnectTimeout));
        assert_eq!(exchange.sent, None);
    }
}

#[test]
fn an_idle_connection_that_was_closed_is_not_used() {
    let server = Server::start(|s| say(s, OK, Then::Close));
    // The gap is long against the time that a server takes to close.
    let (ended, _) = play(&load(4, 150, 20_000, 1, 4), &server.target());
    assert!(ended.iter().all(|exchange| exchange.outcome == Outcome::Ok), "{ended:?}");
    assert_eq!(server.stop().1, 4);
}
