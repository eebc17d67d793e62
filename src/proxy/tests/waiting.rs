//! Requests that the balancer lets wait: in its queue, for a backoff, beside a hedge. And what it
//! says of limits and of its choice.

mod support;

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use policy::Registry;
use support::{Backend, Lab, PATIENCE, eventually, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A backend that answers `/held` when the test says so, and everything else at once.
fn held() -> (Backend, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let backend = Backend::start(move |request, stream| {
        if request.first_line.contains("/held") {
            let _ = released.lock().expect("no panic").recv_timeout(PATIENCE);
        }
        ok(stream, "served")
    });
    (backend, release)
}

const ONE_AT_A_TIME: &str = "[limits]\nmax_in_flight = 1\n[queue]\nsize = 2\nwait = \"20s\"\n";
const HELD: &str = "GET /held HTTP/1.1\r\nhost: h\r\n\r\n";

/// Asks so many times at once, one time more than there is room to wait: those that wait, and the
/// answer to the one that may not, whichever that is.
fn one_too_many(lab: &Lab, count: usize) -> (Vec<support::Reader>, support::Message) {
    let mut clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = lab.connect();
            write(&mut client.stream, GET);
            client
        })
        .collect();
    let mut refused = None;
    eventually("one is refused", || {
        refused = clients.iter_mut().position(support::Reader::has_more);
        refused.is_some()
    });
    let mut client = clients.remove(refused.expect("it was a moment ago"));
    (clients, client.answer("GET").expect("an answer"))
}

#[test]
fn a_request_waits_in_the_queue_until_there_is_room() {
    // With several workers the decision comes from another thread than the one that waits.
    for workers in [1, 3] {
        let (backend, release) = held();
        let lab = Lab::start(&format!("workers = {workers}\n{ONE_AT_A_TIME}"), &[backend.address]);
        let mut first = lab.connect();
        write(&mut first.stream, HELD);
        eventually("it is in flight", || lab.in_flight() == 1);
        let (mut waiting, refused) = one_too_many(&lab, 3);
        assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("1")));
        assert!(refused.text().contains("waiting"), "{}", refused.text());
        assert_eq!(backend.seen().len(), 1, "nobody else was sent");
        release.send(()).expect("it waits");
        for client in std::iter::once(&mut first).chain(&mut waiting) {
            assert_eq!(client.answer("GET").expect("an answer").text(), "served");
        }
        assert_eq!((lab.in_flight(), backend.seen().len()), (0, 3));
    }
}

#[test]
fn who_waits_too_long_is_told_so() {
    let (backend, _release) = held();
    let tables = "[limits]\nmax_in_flight = 1\n[queue]\nsize = 2\nwait = \"50ms\"\n";
    let lab = Lab::start(tables, &[backend.address]);
    let mut first = lab.connect();
    write(&mut first.stream, HELD);
    eventually("it is in flight", || lab.in_flight() == 1);
    let answer = lab.ask(GET);
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    assert_eq!(backend.seen().len(), 1);
}

#[test]
fn a_client_that_leaves_the_queue_leaves_its_place() {
    let (backend, release) = held();
    let tables = "[limits]\nmax_in_flight = 1\n[queue]\nsize = 1\nwait = \"20s\"\n";
    let lab = Lab::start(tables, &[backend.address]);
    let mut first = lab.connect();
    write(&mut first.stream, HELD);
    eventually("it is in flight", || lab.in_flight() == 1);
    let (leaves, refused) = one_too_many(&lab, 2);
    assert_eq!(refused.status(), 503);
    drop(leaves);
    // Its place is free: another one may wait, and is served.
    let address = lab.listen;
    let other = thread::spawn(move || {
        loop {
            let answer = support::exchange(address, GET);
            if answer.status() != 503 {
                return answer;
            }
        }
    });
    release.send(()).expect("it waits");
    assert_eq!(first.answer("GET").expect("an answer").text(), "served");
    assert_eq!(other.join().expect("no panic").text(), "served");
    assert_eq!(lab.in_flight(), 0);
    assert_eq!(backend.seen().len(), 2, "sent for nobody");
}

#[test]
fn a_body_waits_with_its_request() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let backend = Backend::start(move |request, stream| {
        if request.first_line.contains("/held") {
            let _ = released.lock().expect("no panic").recv_timeout(PATIENCE);
        }
        ok(stream, &request.text().len().to_string())
    });
    let lab = Lab::start(ONE_AT_A_TIME, &[backend.address]);
    let mut first = lab.connect();
    write(&mut first.stream, HELD);
    eventually("it is in flight", || lab.in_flight() == 1);
    let mut second = lab.connect();
    // More than the buffers hold: the rest waits in the client's socket.
    let mut writer = second.stream.try_clone().expect("a descriptor");
    let sending = thread::spawn(move || {
        let size = 1_000_000;
        let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n");
        write(&mut writer, &head) && write(&mut writer, &"x".repeat(size))
    });
    eventually("it is known to wait", || {
        lab.call("GET", "/v1/backends", "").0 == 200 && lab.in_flight() == 1
    });
    release.send(()).expect("it waits");
    assert_eq!(first.answer("GET").expect("an answer").status(), 200);
    assert_eq!(second.answer("POST").expect("an answer").text(), "1000000");
    assert!(sending.join().expect("no panic"));
}

/// Answers 503 to the first `failures` requests.
fn recovers(failures: usize) -> Backend {
    let count = Arc::new(AtomicUsize::new(0));
    Backend::start(move |_, stream| match count.fetch_add(1, Ordering::SeqCst) < failures {
        true => write(stream, "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"),
        false => ok(stream, "served"),
    })
}

#[test]
fn a_retry_may_wait_for_its_backoff() {
    let tables = "[retry]\nattempts = 3\nbackoff = \"5ms\"\nmax_backoff = \"20ms\"\n";
    let (a, b, c) = (recovers(1), recovers(1), Backend::named("c"));
    let lab = Lab::start(tables, &[a.address, b.address, c.address]);
    for _ in 0..4 {
        let answer = lab.ask(GET);
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    let seen = [a.seen(), b.seen(), c.seen()].concat();
    let retried = seen.iter().filter(|request| request.header("x-attempt-count").is_some());
    assert_eq!(retried.count(), 2);
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn a_client_that_leaves_in_a_backoff_ends_its_request() {
    let tables = "[retry]\nattempts = 2\nbackoff = \"20s\"\nmax_backoff = \"20s\"\n";
    let fails =
        || Backend::start(|_, s| write(s, "HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"));
    let (a, b) = (fails(), fails());
    let lab = Lab::start(tables, &[a.address, b.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    eventually("it was tried", || a.seen().len() + b.seen().len() == 1);
    eventually("it waits", || lab.in_flight() == 0);
    drop(client);
    // Nothing of it is left that could keep the proxy.
    lab.stop();
    lab.wait();
    assert_eq!(a.seen().len() + b.seen().len(), 1);
}

#[test]
fn a_slow_attempt_gets_a_rival_and_the_loser_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let noticed = Arc::clone(&dropped);
    let slow = Backend::start(move |request, stream| {
        if request.first_line.contains("/warm") {
            return ok(stream, "slow");
        }
        // Silent until the proxy hangs up.
        let end = stream.read(&mut [0; 1]);
        noticed.fetch_add(usize::from(!matches!(end, Ok(1))), Ordering::SeqCst);
        false
    });
    let quick = Backend::named("quick");
    let tables = "[hedging]\npercentile = 0.5\nmin_requests = 5\nmin_delay = \"5ms\"\n";
    let lab = Lab::start(tables, &[slow.address, quick.address]);
    for _ in 0..10 {
        assert_eq!(lab.get("/warm").status(), 200);
    }
    // Round robin meets both as the first.
    for path in ["/1", "/2"] {
        assert_eq!(lab.get(path).text(), "quick");
    }
    eventually("the loser is let go", || dropped.load(Ordering::SeqCst) == 1);
    eventually("both attempts have ended", || lab.in_flight() == 0);
    let hedges = quick.seen().iter().filter(|m| m.header("x-attempt-count") == Some("2")).count();
    assert_eq!(hedges, 1);
}

#[test]
fn a_rate_limit_says_what_is_left() {
    let backend = Backend::named("a");
    let lab = Lab::start("[limits]\nrate = 0.01\nburst = 2\n", &[backend.address]);
    for remaining in [1, 0] {
        let answer = lab.ask(GET);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=2;w=200"));
        let left = answer.header("ratelimit").expect("what is left");
        assert!(left.starts_with(&format!("\"default\";r={remaining};t=")), "{left}");
    }
    let refused = lab.ask(GET);
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.header("retry-after").expect("when").parse().expect("seconds");
    assert!((1..=100).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").is_some_and(|left| left.starts_with("\"default\";r=0;t=")));
    assert_eq!(backend.seen().len(), 2);
}

#[test]
fn a_limit_by_key_counts_each_key_for_itself() {
    let backend = Backend::named("a");
    let tables = "[limits]\nkey = \"header:x-user\"\nkey_rate = 0.01\nkey_burst = 1\n";
    let lab = Lab::start(tables, &[backend.address]);
    let ask = |user: &str| {
        lab.ask(&format!("GET / HTTP/1.1\r\nhost: h\r\nX-User: {user}\r\n\r\n")).status()
    };
    assert_eq!([ask("ann"), ask("bob"), ask("ann"), ask("bob")], [200, 200, 429, 429]);
}

#[test]
fn a_cookie_keeps_a_client_at_its_backend() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let addresses = [a.address, b.address];
    let lab = Lab::start_with("sticky", "", &addresses, Registry::standard());
    let first = lab.ask(GET);
    let cookie = first.header("set-cookie").expect("a cookie").to_owned();
    let (pair, attributes) = cookie.split_once(';').expect("attributes");
    let value = pair.strip_prefix("lab_backend=").expect("its name");
    assert!(value.len() == 16 && value.bytes().all(|b| b.is_ascii_hexdigit()), "{cookie}");
    assert_eq!(attributes, " Path=/; HttpOnly; SameSite=Lax");
    for _ in 0..20 {
        let request = format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: x=y; {pair}\r\n\r\n");
        let answer = lab.ask(&request);
        assert_eq!((answer.text(), answer.header("set-cookie")), (first.text(), None));
    }
    // One that names nobody is replaced.
    let stale = "GET / HTTP/1.1\r\nhost: h\r\ncookie: lab_backend=0000000000000001\r\n\r\n";
    assert!(lab.ask(stale).header("set-cookie").is_some());
}

#[test]
fn who_asks_is_shown_the_candidates() {
    let (a, b) = (Backend::named("b1"), Backend::named("b2"));
    let addresses = [a.address, b.address];
    for (line, shown) in [("explain = true\n", true), ("", false)] {
        let lab = Lab::start_with("least_request", line, &addresses, Registry::standard());
        assert_eq!(lab.ask(GET).header("x-lab-explain"), None, "nobody asked");
        let answer = lab.ask("GET / HTTP/1.1\r\nhost: h\r\nX-Lab-Explain: 1\r\n\r\n");
        let Some(text) = answer.header("x-lab-explain") else {
            assert!(!shown);
            continue;
        };
        assert!(shown);
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(value["picked"], answer.text());
        assert_eq!((&value["strategy"], &value["of"]), (&"least_request".into(), &2.into()));
        for (backend, id) in value["backends"].as_array().expect("a list").iter().zip(["b1", "b2"])
        {
            assert_eq!((&backend["id"], &backend["state"]), (&id.into(), &"ready".into()));
            assert_eq!(backend["in_flight"], 0, "as it was before the pick");
        }
    }
}

#[test]
fn a_key_keeps_its_backend() {
    let (a, b, c) = (Backend::named("a"), Backend::named("b"), Backend::named("c"));
    let addresses = [a.address, b.address, c.address];
    let lab = Lab::start_with("rendezvous", "", &addresses, Registry::standard());
    // By the client's address: it is one.
    let first = lab.ask(GET).text();
    for _ in 0..10 {
        assert_eq!(lab.ask(GET).text(), first);
    }
    let by_path = r#"{"strategy":{"name":"rendezvous","key":"path"}}"#;
    assert_eq!(lab.call("PATCH", "/v1/config", by_path).0, 200);
    let at = |path: &str| lab.get(path).text();
    let met: std::collections::BTreeSet<_> = (0..50).map(|i| at(&format!("/{i}"))).collect();
    assert_eq!(met.len(), 3, "fifty paths meet all three");
    for path in ["/1", "/2", "/3"] {
        assert_eq!(at(path), at(&format!("{path}?query=is+no+part")), "{path}");
    }
}
