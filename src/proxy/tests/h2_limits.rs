//! HTTP/2 clients that leave, wait, are slow or idle, over real sockets: each costs what it may, and
//! nobody else pays for it.

mod support;

use std::io::Write;
use std::net::TcpListener;

use bytes::Bytes;
use support::http2::{Client, head, piece, run, whole};
use support::{Backend, Lab, Reader, eventually, ok, write};

/// Answers without end.
fn endless() -> Backend {
    Backend::start(|request, stream| {
        if !request.first_line.contains("/endless") {
            return ok(stream, "quick");
        }
        write(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024));
        // All buffers on the way would be full long before this many.
        let mut taken = 0;
        while taken < 10_000 && stream.write_all(chunk.as_bytes()).is_ok() {
            taken += 1;
        }
        assert!(taken < 10_000, "nothing holds it back");
        false
    })
}

#[test]
fn a_client_that_resets_its_stream_ends_the_attempt() {
    let backend = endless();
    let lab = Lab::start("", &[backend.address]);
    run(async {
        let client = Client::connect(lab.listen).await;
        let (answer, mut stream) = client.open(head("GET", "/endless"), true).await;
        let mut body = answer.await.expect("a head").into_body();
        assert!(piece(&mut body).await.expect("data").is_ok());
        assert_eq!(lab.in_flight(), 1);
        stream.send_reset(h2::Reason::CANCEL);
        // Answered on the same connection, whose task has sent the reset before.
        assert_eq!(client.get("/").await.text(), "quick");
        eventually("the attempt has ended", || lab.in_flight() == 0);
    });
}

#[test]
fn a_client_that_leaves_ends_all_its_attempts() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    let mut held = vec![];
    run(async {
        let client = Client::connect(lab.listen).await;
        let mut waiting = vec![];
        for _ in 0..3 {
            waiting.push(client.open(head("GET", "/"), true).await);
            let mut backend = Reader::new(listener.accept().expect("a connection").0);
            // An attempt that is broken off before it has sent its head sends none.
            assert!(backend.head().is_some(), "it is under way");
            held.push(backend);
        }
        assert_eq!(lab.in_flight(), 3);
        client.ended.abort();
    });
    eventually("the attempts have ended", || lab.in_flight() == 0);
    for backend in &mut held {
        assert!(backend.is_closed(), "nobody waits for an answer");
    }
}

#[test]
fn a_slow_reader_holds_back_its_backend_and_nobody_else() {
    let backend = endless();
    let lab = Lab::start("", &[backend.address]);
    run(async {
        let client = Client::connect(lab.listen).await;
        let (answer, _stream) = client.open(head("GET", "/endless"), true).await;
        // Taken and not read: the stream's window stays shut.
        let body = answer.await.expect("a head").into_body();
        for _ in 0..20 {
            assert_eq!(client.get("/").await.text(), "quick");
        }
        assert_eq!(lab.in_flight(), 1);
        drop(body);
        drop(client);
    });
    eventually("the attempt has ended", || lab.in_flight() == 0);
}

#[test]
fn a_backend_that_takes_no_more_holds_back_its_client() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("", &[listener.local_addr().expect("bound")]);
    run(async {
        let client = Client::connect(lab.listen).await;
        let (answer, mut stream) = client.open(head("POST", "/"), false).await;
        let mut sent: usize = 0;
        // The first bytes make the proxy open its connection, on which nobody reads.
        let mut backend = None;
        loop {
            stream.reserve_capacity(64 * 1024);
            let room = std::future::poll_fn(|cx| stream.poll_capacity(cx));
            // The proxy has said how much it takes: no more comes while the backend takes nothing.
            let limit = std::time::Duration::from_millis(500);
            let Ok(Some(Ok(room))) = tokio::time::timeout(limit, room).await else { break };
            stream.send_data(Bytes::from(vec![b'x'; room]), false).expect("open");
            sent += room;
            backend.get_or_insert_with(|| listener.accept().expect("a connection").0);
            assert!(sent < 64 << 20, "nothing holds it back");
        }
        let mut backend = Reader::new(backend.expect("it was asked"));
        assert!(backend.head().is_some());
        // It can still answer, and wants no more.
        write(&mut backend.stream, "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nno!");
        let answer = whole(answer.await.expect("an answer")).await.expect("whole");
        assert_eq!((answer.status, answer.text().as_str()), (413, "no!"));
    });
    eventually("the attempt has ended", || lab.in_flight() == 0);
}

#[test]
fn who_stalls_one_stream_does_not_hide_behind_others() {
    let backend = endless();
    let lab = Lab::start("[timeout]\nclient_idle = \"1s\"\n", &[backend.address]);
    run(async {
        let client = Client::connect(lab.listen).await;
        let (upload, _never_sent) = client.open(head("POST", "/"), false).await;
        let (answer, _stream) = client.open(head("GET", "/endless"), true).await;
        let mut unread = answer.await.expect("a head").into_body();
        // The others go on, and so does the connection.
        let mut served = 0;
        let stalled = tokio::spawn(upload);
        while !stalled.is_finished() || lab.in_flight() > 0 {
            assert_eq!(client.get("/").await.text(), "quick");
            served += 1;
        }
        assert!(served > 0);
        let error = stalled.await.expect("no panic").expect_err("reset");
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        let mut last = piece(&mut unread).await;
        while let Some(Ok(_)) = last {
            last = piece(&mut unread).await;
        }
        assert!(matches!(last, Some(Err(error)) if error.reason() == Some(h2::Reason::CANCEL)));
        assert_eq!(client.get("/").await.text(), "quick");
    });
}

#[test]
fn an_idle_connection_is_told_of_its_end() {
    let backend = Backend::named("a");
    let lab = Lab::start("[timeout]\nclient_idle = \"2s\"\n", &[backend.address]);
    run(async {
        let client = Client::connect(lab.listen).await;
        assert_eq!(client.get("/").await.text(), "a");
        let Client { send: _send, ended } = client;
        ended.await.expect("no panic").expect("GOAWAY with NO_ERROR, then the end");
    });
}

#[test]
fn a_drain_ends_what_is_idle_and_finishes_what_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let lab = Lab::start("drain_timeout = \"30s\"", &[listener.local_addr().expect("bound")]);
    run(async {
        let idle = Client::connect(lab.listen).await;
        let busy = Client::connect(lab.listen).await;
        let (answer, _stream) = busy.open(head("GET", "/"), true).await;
        let mut backend = Reader::new(listener.accept().expect("a connection").0);
        assert!(backend.head().is_some());
        lab.stop();
        let Client { send: _send, ended } = idle;
        ended.await.expect("no panic").expect("GOAWAY with NO_ERROR, then the end");
        // Told not to ask for more, and served to the end.
        eventually_async("told", async || busy.send.clone().ready().await.is_err()).await;
        write(&mut backend.stream, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast");
        let answer = whole(answer.await.expect("an answer")).await.expect("whole");
        assert_eq!(answer.text(), "last");
        let Client { send: _send, ended } = busy;
        ended.await.expect("no panic").expect("then the end");
    });
    lab.wait();
}

/// [`eventually`] for what has to be awaited.
async fn eventually_async(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !met().await {
        assert!(began.elapsed() < support::PATIENCE, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
