//! TLS towards clients over real sockets: handshakes, HTTP/1.1 inside, certificates that are renewed,
//! clients that never finish.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use base::Clock;
use config::ProxyConfig;
use policy::Registry;
use support::certificate::{Certificate, Secret};
use support::{Backend, Lab, PATIENCE, eventually, ok, write};

const LAST: &str = "GET /last HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

/// Everything to the end, which has to be said: a connection that is cut is told from one that ends.
fn rest(secret: &mut Secret) -> String {
    let mut text = String::new();
    secret.read_to_string(&mut text).expect("text with a close_notify behind it");
    text
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn requests_are_served_inside_and_backends_learn_of_it() {
    let backend = Backend::named("a");
    let certificate = Certificate::new();
    let lab = Lab::start(&certificate.table(), &[backend.address]);
    for protocols in [&[][..], &["http/1.1"]] {
        let mut secret = certificate.connect(lab.listen, protocols).expect("a handshake");
        let chosen = secret.conn.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(chosen.as_deref(), protocols.first().map(|name| name.as_bytes()));
        secret.write_all(b"GET /1 HTTP/1.1\r\nhost: h\r\n\r\n").expect("open");
        secret.write_all(LAST.as_bytes()).expect("open");
        let text = rest(&mut secret);
        assert_eq!(count(&text, "HTTP/1.1 200 OK\r\n"), 2, "{text}");
    }
    let seen = backend.seen();
    assert_eq!(seen.len(), 4);
    for request in seen {
        assert_eq!(request.all("x-forwarded-proto"), ["https"]);
    }
}

#[test]
fn a_sticky_cookie_is_for_tls_alone() {
    let backend = Backend::named("a");
    let certificate = Certificate::new();
    let registry = Registry::standard();
    let lab = Lab::start_with("sticky", &certificate.table(), &[backend.address], registry);
    let mut secret = certificate.connect(lab.listen, &[]).expect("a handshake");
    secret.write_all(LAST.as_bytes()).expect("open");
    let text = rest(&mut secret);
    assert!(text.contains("; Path=/; HttpOnly; SameSite=Lax; Secure\r\n"), "{text}");
}

#[test]
fn large_bodies_pass_both_ways() {
    const BYTES: usize = 3 << 20;
    let backend = Backend::start(|request, stream| {
        ok(stream, std::str::from_utf8(&request.body).expect("what was sent"))
    });
    let certificate = Certificate::new();
    let lab = Lab::start(&certificate.table(), &[backend.address]);
    let mut secret = certificate.connect(lab.listen, &[]).expect("a handshake");
    let body: String = (0..BYTES).map(|at| char::from(b'a' + (at * at / 7 % 26) as u8)).collect();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {BYTES}\r\n\r\n"
    );
    secret.write_all(head.as_bytes()).expect("open");
    secret.write_all(body.as_bytes()).expect("open");
    let text = rest(&mut secret);
    assert!(text.ends_with(&body), "{} bytes came", text.len());
}

#[test]
fn another_protocol_passes_through() {
    let backend = Backend::start(|_, stream| {
        write(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        );
        let mut word = [0; 4];
        stream.read_exact(&mut word).expect("four letters");
        stream.write_all(&word).expect("open");
        false
    });
    let certificate = Certificate::new();
    let lab = Lab::start(&certificate.table(), &[backend.address]);
    let mut secret = certificate.connect(lab.listen, &[]).expect("a handshake");
    secret
        .write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nword")
        .expect("open");
    let text = rest(&mut secret);
    assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\nword"), "{text}");
}

#[test]
fn a_renewed_certificate_is_for_the_connections_to_come() {
    let backend = Backend::named("a");
    let mut certificate = Certificate::new();
    let lab = Lab::start(&certificate.table(), &[backend.address]);
    let mut before = certificate.connect(lab.listen, &[]).expect("a handshake");
    certificate.renew();
    let early = certificate.connect(lab.listen, &[]).expect_err("not loaded yet").to_string();
    assert!(early.contains("certificate"), "{early}");
    lab.reload_certificate().expect("both files are well");
    let mut after = certificate.connect(lab.listen, &[]).expect("the new one");
    certificate.break_key();
    let refused = lab.reload_certificate().expect_err("no key").to_string();
    assert!(refused.contains("key.pem"), "{refused}");
    let mut still = certificate.connect(lab.listen, &[]).expect("the same one");
    for secret in [&mut before, &mut after, &mut still] {
        secret.write_all(LAST.as_bytes()).expect("open");
        assert!(rest(secret).starts_with("HTTP/1.1 200 OK"));
    }
}

#[test]
fn a_proxy_whose_certificate_is_missing_does_not_start() {
    let text = "listen = \"127.0.0.1:0\"\nstrategy = \"round_robin\"\n\
                [tls]\ncert = \"none.pem\"\nkey = \"none.pem\"\n\
                [[backends]]\naddress = \"127.0.0.1:1\"\n";
    let registry = Registry::standard();
    let config = ProxyConfig::parse("/nowhere/proxy.toml", text, &registry).expect("valid");
    let error = proxy::start(config, Clock::start()).err().expect("no certificate").to_string();
    let expected = "[tls] cert = \"/nowhere/none.pem\": No such file or directory";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn who_never_shakes_hands_is_dropped_and_others_are_served() {
    let backend = Backend::named("a");
    let certificate = Certificate::new();
    let tables = format!("{}[timeout]\nrequest_head = \"1s\"\n", certificate.table());
    let lab = Lab::start(&tables, &[backend.address]);
    let open = || {
        let stream = TcpStream::connect(lab.listen).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("above zero");
        stream
    };
    let mut silent = open();
    let mut plain = open();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").expect("open");
    let mut said = vec![];
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "nothing is answered in the open");
    let mut secret = certificate.connect(lab.listen, &[]).expect("a handshake");
    secret.write_all(LAST.as_bytes()).expect("open");
    assert!(rest(&mut secret).starts_with("HTTP/1.1 200 OK"));
    // Ended by the proxy: only a broken one would let the read time out.
    assert!(matches!(silent.read(&mut [0; 1]), Ok(0)), "closed by the limit");
}

#[test]
fn a_stop_does_not_wait_for_handshakes() {
    let backend = Backend::named("a");
    let certificate = Certificate::new();
    let lab = Lab::start(&certificate.table(), &[backend.address]);
    let silent = TcpStream::connect(lab.listen).expect("it listens");
    let mut idle = certificate.connect(lab.listen, &[]).expect("a handshake");
    eventually("both are counted", || {
        lab.call("GET", "/metrics", "").1.to_string().contains("lab_client_connections 2")
    });
    lab.stop();
    assert_eq!(rest(&mut idle), "");
    lab.wait();
    drop(silent);
}
