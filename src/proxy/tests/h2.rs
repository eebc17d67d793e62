//! HTTP/2 towards clients over real sockets: what is asked in it is served as it is in HTTP/1.1.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Barrier};

use http::{HeaderMap, HeaderValue};
use support::certificate::Certificate;
use support::http2::{Client, PREFACE, head, request, run, upload, whole};
use support::{Backend, Lab, Message, Reader, nobody, ok, write};

#[test]
fn who_knows_it_speaks_it_at_once_and_backends_get_http_1_1() {
    let backend = Backend::start(|_, stream| {
        write(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
             Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Kept: Yes\r\n\r\nhi",
        )
    });
    let lab = Lab::start("", &[backend.address]);
    let answer = run(async {
        let client = Client::connect(lab.listen).await;
        let asked = request("GET", "/a?b=c").header("cookie", "a=1").header("x-user", "u");
        let asked = asked.header("cookie", "b=2").header("te", "trailers");
        client.ask(asked.body(()).expect("valid"), None).await.expect("an answer")
    });
    assert_eq!((answer.status, answer.text().as_str()), (200, "hi"));
    let mut names: Vec<_> = answer.fields.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "date", "via", "x-kept"], "nothing of another hop");
    let seen = backend.seen();
    let [seen] = seen.as_slice() else { panic!("one request: {seen:?}") };
    assert_eq!(seen.first_line, "GET /a?b=c HTTP/1.1");
    for (name, value) in [
        ("host", "h"),
        ("cookie", "a=1; b=2"),
        ("x-user", "u"),
        ("via", "2.0 lab"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "h"),
    ] {
        assert_eq!(seen.all(name), [value], "{name}");
    }
    assert_eq!(seen.header("x-request-id").map(str::len), Some(32));
    assert_eq!(seen.header("te"), None);
    assert_eq!(lab.metric("lab_requests_total"), 1.0);
    assert_eq!(lab.metric("lab_answers_total{class=\"2xx\"}"), 1.0);
}

#[test]
fn inside_tls_the_handshake_decides() {
    let backend = Backend::named("a");
    let certificate = Certificate::new();
    let lab = Lab::start(&certificate.table(), &[backend.address]);
    let answer = run(async {
        let stream = tokio::net::TcpStream::connect(lab.listen).await.expect("it listens");
        let config = Arc::new(certificate.client(&["h2", "http/1.1"]));
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let secret = tokio_rustls::TlsConnector::from(config).connect(name, stream).await;
        let secret = secret.expect("a handshake");
        assert_eq!(secret.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        Client::over(secret).await.get("/").await
    });
    assert_eq!((answer.status, answer.text().as_str()), (200, "a"));
    assert_eq!(backend.seen()[0].header("x-forwarded-proto"), Some("https"));
    // A preface where HTTP/1.1 was agreed on, or nothing, is a request of a wrong version.
    for protocols in [&["http/1.1"][..], &[]] {
        let mut secret = certificate.connect(lab.listen, protocols).expect("a handshake");
        secret.write_all(PREFACE).expect("open");
        let mut text = String::new();
        let _ = secret.read_to_string(&mut text);
        assert!(text.starts_with("HTTP/1.1 505 "), "{text}");
    }
}

#[test]
fn where_it_is_off_nobody_speaks_it() {
    let backend = Backend::named("a");
    let lab = Lab::start("h2 = false", &[backend.address]);
    let mut client = lab.connect();
    client.stream.write_all(PREFACE).expect("open");
    assert_eq!(client.answer("PRI").expect("a refusal").status(), 505);
    let certificate = Certificate::new();
    let tables = format!("h2 = false\n{}", certificate.table());
    let lab = Lab::start(&tables, &[backend.address]);
    let secret = certificate.connect(lab.listen, &["h2", "http/1.1"]).expect("a handshake");
    assert_eq!(secret.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    assert!(certificate.connect(lab.listen, &["h2"]).is_err(), "nothing in common");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_preface_may_come_in_pieces_and_is_one_only_at_the_beginning() {
    let lab = Lab::start("", &[nobody()]);
    let mut client = lab.connect();
    client.stream.set_nodelay(true).expect("open");
    for byte in PREFACE {
        client.stream.write_all(&[*byte]).expect("open");
    }
    assert_eq!(client.exactly(4).map(|frame| frame[3]), Some(4), "SETTINGS");
    for (text, status) in [
        ("PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\nhost: h\r\n\r\n", 505),
        ("PRI * HTTP/1.1\r\nhost: h\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nhost: h\r\n\r\n", 505),
    ] {
        assert_eq!(lab.ask(text).status(), status, "{text}");
    }
    let mut client = lab.connect();
    write(&mut client.stream, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.answer("GET").expect("an answer").status(), 502);
    client.stream.write_all(PREFACE).expect("open");
    assert_eq!(client.answer("PRI").expect("a refusal").status(), 505);
}

#[test]
fn many_requests_at_once_go_to_different_backends() {
    // No backend answers before all have been asked.
    let all = Arc::new(Barrier::new(6));
    let start = |name: &'static str| {
        let all = Arc::clone(&all);
        Backend::start(move |_, stream| {
            all.wait();
            ok(stream, name)
        })
    };
    let backends = [start("a"), start("b"), start("c")];
    let lab = Lab::start("", &backends.each_ref().map(|backend| backend.address));
    let mut names = run(async {
        let client = Client::connect(lab.listen).await;
        let mut waiting = vec![];
        for _ in 0..6 {
            waiting.push(client.open(head("GET", "/"), true).await.0);
        }
        let mut names = vec![];
        for answer in waiting {
            names.push(whole(answer.await.expect("an answer")).await.expect("whole").text());
        }
        names
    });
    names.sort();
    assert_eq!(names, ["a", "a", "b", "b", "c", "c"]);
    assert_eq!(lab.metric("lab_client_connections_total"), 1.0);
}

#[test]
fn large_bodies_pass_both_ways() {
    const BYTES: usize = 3 << 20;
    let backend = Backend::start(|request, stream| {
        ok(stream, std::str::from_utf8(&request.body).expect("what was sent"))
    });
    let lab = Lab::start("", &[backend.address]);
    let body: Vec<u8> = (0..BYTES).map(|at| b'a' + (at * at / 7 % 26) as u8).collect();
    run(async {
        let client = Client::connect(lab.listen).await;
        for with_length in [false, true] {
            let mut asked = head("POST", "/");
            if with_length {
                asked.headers_mut().insert("content-length", HeaderValue::from(BYTES));
            }
            let (answer, mut stream) = client.open(asked, false).await;
            upload(&mut stream, &body, None).await.expect("taken");
            let answer = whole(answer.await.expect("an answer")).await.expect("whole");
            assert!(answer.body == body, "{} bytes came", answer.body.len());
        }
    });
    let framings: Vec<_> =
        backend.seen().iter().map(|seen| seen.header("transfer-encoding").is_some()).collect();
    assert_eq!(framings, [true, false]);
}

#[test]
fn trailers_pass_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let backend = std::thread::spawn(move || {
        let mut backend = Reader::new(listener.accept().expect("a connection").0);
        backend.head().expect("a head");
        let mut lines = vec![];
        while lines.last().map(String::as_str) != Some("x-sum: 7") {
            lines.push(backend.line().expect("a chunked body with a trailer"));
        }
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                      3\r\nabc\r\n0\r\nX-Total: 3\r\nx-total: 4\r\n\r\n";
        write(&mut backend.stream, answer);
        lines
    });
    let answer = run(async {
        let client = Client::connect(lab.listen).await;
        let (answer, mut stream) = client.open(head("POST", "/"), false).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        upload(&mut stream, b"hello", Some(trailers)).await.expect("taken");
        whole(answer.await.expect("an answer")).await.expect("whole")
    });
    assert_eq!(answer.text(), "abc");
    let totals: Vec<_> = answer.trailers.get_all("x-total").iter().collect();
    assert_eq!(totals, ["3", "4"]);
    assert_eq!(answer.field("transfer-encoding"), None);
    let lines = backend.join().expect("no panic");
    assert_eq!(lines, ["5", "hello", "0", "x-sum: 7"]);
}

#[test]
fn answers_without_a_body_end_at_once() {
    let backend = Backend::start(|request, stream| match request.first_line.as_str() {
        "HEAD / HTTP/1.1" => write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"),
        "GET /204 HTTP/1.1" => write(stream, "HTTP/1.1 204 No Content\r\n\r\n"),
        "GET /304 HTTP/1.1" => {
            write(stream, "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n")
        }
        "GET /0 HTTP/1.1" => ok(stream, ""),
        "GET /close HTTP/1.1" => {
            write(stream, "HTTP/1.0 200 OK\r\n\r\nto the end");
            false
        }
        _ => {
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
            write(stream, hints)
                && write(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
        }
    });
    let lab = Lab::start("", &[backend.address]);
    run(async {
        let client = Client::connect(lab.listen).await;
        for (method, path, status, length, body) in [
            ("HEAD", "/", 200, Some("7"), ""),
            ("GET", "/204", 204, None, ""),
            ("GET", "/304", 304, Some("7"), ""),
            ("GET", "/0", 200, Some("0"), ""),
            ("GET", "/close", 200, None, "to the end"),
            ("GET", "/103", 200, None, ""),
        ] {
            let answer = client.ask(head(method, path), None).await.expect("an answer");
            assert_eq!((answer.status, answer.field("content-length")), (status, length), "{path}");
            assert_eq!(answer.text(), body, "{path}");
        }
    });
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    let backend = Backend::start(|request, stream| ok(stream, &request.text()));
    let lab = Lab::start("", &[backend.address]);
    let answer = run(async {
        let client = Client::connect(lab.listen).await;
        let asked = request("PUT", "/").header("expect", "100-continue").body(()).expect("valid");
        let (mut answer, mut stream) = client.open(asked, false).await;
        let told = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        assert_eq!(told.expect("told").expect("well").status(), 100);
        upload(&mut stream, b"body", None).await.expect("taken");
        whole(answer.await.expect("an answer")).await.expect("whole")
    });
    assert_eq!(answer.text(), "body");
    assert_eq!(backend.seen()[0].header("expect"), None);
}

#[test]
fn what_the_balancer_decides_holds_alike() {
    let backend = Backend::start(|request, stream| ok(stream, &request.text()));
    let tables = "explain = true\n[retry]\nattempts = 3\n[limits]\nrate = 0.01\nburst = 3\n";
    let lab = Lab::start(tables, &[nobody(), backend.address]);
    run(async {
        let client = Client::connect(lab.listen).await;
        for body in [&b"kept"[..], b"again"] {
            let asked = request("PUT", "/").header("x-lab-explain", "1").body(()).expect("valid");
            let answer = client.ask(asked, Some(body)).await.expect("an answer");
            assert_eq!((answer.status, &answer.body[..]), (200, body), "{answer:?}");
            assert!(answer.field("x-lab-explain").is_some_and(|text| text.contains("round_robin")));
            assert!(answer.field("ratelimit").is_some());
        }
        client.get("/").await;
        let limited = client.get("/").await;
        assert_eq!(limited.status, 429, "{limited:?}");
        assert!(limited.text().starts_with("429 Too Many Requests: "));
        assert!(limited.field("retry-after").is_some());
    });
    assert!(lab.metric("lab_retries_total") >= 1.0);
    assert_eq!(lab.metric("lab_answers_total{class=\"4xx\"}"), 1.0);
}

#[test]
fn a_cookie_keeps_a_client_at_its_backend() {
    let backends = [Backend::named("a"), Backend::named("b")];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let lab = Lab::start_with("sticky", "", &addresses, policy::Registry::standard());
    run(async {
        let client = Client::connect(lab.listen).await;
        let first = client.get("/").await;
        let set = first.field("set-cookie").expect("a cookie");
        let cookie = set.split(';').next().expect("a pair");
        for _ in 0..4 {
            let asked = request("GET", "/").header("cookie", "x=y").header("cookie", cookie);
            let answer = client.ask(asked.body(()).expect("valid"), None).await.expect("an answer");
            assert_eq!((answer.text(), answer.field("set-cookie")), (first.text(), None));
        }
    });
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    let backend = Backend::start(|request: &Message, stream| {
        let framing = match request.first_line.contains("/length") {
            true => "content-length: 10\r\n\r\n12345",
            false => "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n",
        };
        write(stream, &format!("HTTP/1.1 200 OK\r\n{framing}"));
        false
    });
    let lab = Lab::start("", &[backend.address]);
    run(async {
        let client = Client::connect(lab.listen).await;
        for path in ["/length", "/chunked"] {
            let error = client.ask(head("GET", path), None).await.expect_err("broken");
            assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}: {error}");
        }
        // The connection is none the worse for it.
        assert!(client.ask(head("GET", "/length"), None).await.is_err());
        assert!(!client.ended.is_finished());
    });
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn interim_answers_pass_before_the_answer() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: a\r\nkeep-alive: 1\r\n\r\n";
    let backend = Backend::start(move |_, stream| write(stream, hints) && ok(stream, "final"));
    let lab = Lab::start("", &[backend.address]);
    let (hint, answer) = run(async {
        let client = Client::connect(lab.listen).await;
        let (mut answer, _) = client.open(head("GET", "/"), true).await;
        let hint = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        let hint = hint.expect("a hint").expect("whole");
        (hint, whole(answer.await.expect("an answer")).await.expect("whole"))
    });
    assert_eq!(hint.status(), 103);
    let mut names: Vec<_> = hint.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["link", "via"]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "final"));
}
