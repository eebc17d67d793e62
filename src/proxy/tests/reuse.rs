//! Connections to backends that are used again: what comes on them unasked, what dies on them, and
//! how long they are kept.

mod support;

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use support::{Backend, Bystander, Lab, Message, PATIENCE, Reader, eventually, ok, write};

/// Every failure may be followed by another attempt: what is tried is not the budget.
const RETRY: &str = "[retry]\nattempts = 2\nbudget = 1.0\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")
}

#[test]
fn what_comes_unasked_on_an_idle_connection_reaches_nobody() {
    for unasked in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nevil",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "\r\n",
        "x",
    ] {
        for workers in [1, 3] {
            let (speak, asked) = mpsc::channel::<()>();
            let (spoken, said) = mpsc::channel::<()>();
            let (asked, spoken) = (Mutex::new(asked), Mutex::new(spoken));
            let backend = Backend::start(move |request, stream| {
                ok(stream, &request.first_line);
                if request.first_line.contains("/last") {
                    let _ = asked.lock().expect("no panic").recv_timeout(PATIENCE);
                    write(stream, unasked);
                    let _ = spoken.lock().expect("no panic").send(());
                }
                true
            });
            let lab = Lab::start(&format!("workers = {workers}"), &[backend.address]);
            assert_eq!(lab.get("/last").text(), "GET /last HTTP/1.1");
            eventually("its connection is idle", || lab.in_flight() == 0);
            speak.send(()).expect("it waits");
            said.recv_timeout(PATIENCE).expect("it was written");
            for path in ["/a", "/b", "/c"] {
                let text = lab.get(path).text();
                assert_eq!(text, format!("GET {path} HTTP/1.1"), "{unasked:?}, {workers} workers");
            }
            assert!(backend.connections() >= 2, "{unasked:?}: the connection is not used again");
        }
    }
}

/// Which request of its connection this is, from 1 on.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<HashMap<SocketAddr, usize>>>);

impl Places {
    fn next(&self, stream: &TcpStream) -> usize {
        let peer = stream.peer_addr().expect("connected");
        *self.0.lock().expect("no panic").entry(peer).and_modify(|place| *place += 1).or_insert(1)
    }
}

/// A backend each of whose connections dies at its second request, and a proxy that has kept
/// `count` connections to it.
fn with_kept_connections(count: usize) -> (Backend, Lab) {
    let (places, held) = (Places::default(), Arc::new(AtomicUsize::new(0)));
    let backend = Backend::start(move |request, stream| {
        let first = places.next(stream) == 1;
        if first && request.first_line.contains("/open") {
            // Nobody is answered before all are there: each needs a connection of its own.
            held.fetch_add(1, Ordering::SeqCst);
            eventually("all have come", || held.load(Ordering::SeqCst) >= count);
        }
        first && ok(stream, "served")
    });
    let lab = Lab::start(RETRY, &[backend.address]);
    let mut clients: Vec<Reader> = (0..count).map(|_| lab.connect()).collect();
    for client in &mut clients {
        write(&mut client.stream, &get("/open"));
    }
    for client in &mut clients {
        assert_eq!(client.answer("GET").expect("an answer").text(), "served");
    }
    assert_eq!(backend.connections(), count);
    (backend, lab)
}

#[test]
fn a_request_meets_one_dead_connection_at_most() {
    let (backend, lab) = with_kept_connections(5);
    for left in (1..=5).rev() {
        let answer = lab.get("/again");
        assert_eq!((answer.status(), answer.header("x-attempt-count")), (200, Some("2")), "{left}");
    }
    let again = backend.seen().iter().filter(|m| m.first_line.contains("/again")).count();
    assert_eq!(again, 10, "each was read once in vain and once more");
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn what_may_not_be_sent_twice_is_not_when_a_kept_connection_dies() {
    let (backend, lab) = with_kept_connections(2);
    let answer = lab.ask("POST /pay HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!((answer.status(), answer.header("x-attempt-count")), (502, None));
    let paid = backend.seen().iter().filter(|m| m.first_line.contains("/pay")).count();
    assert_eq!(paid, 1, "the backend may have acted on it");
    assert_eq!(lab.get("/").status(), 200, "the rest goes on");
    assert_eq!(lab.in_flight(), 0);
}

/// Answers, and closes at about the time at which the next request comes: sooner and later in turns.
fn closes_about_now() -> Backend {
    let count = AtomicUsize::new(0);
    Backend::start(move |request, stream| {
        ok(stream, &request.first_line);
        let wait = Duration::from_micros(count.fetch_add(1, Ordering::SeqCst) as u64 * 7 % 300);
        let began = Instant::now();
        // Shorter than what a sleep can do.
        while began.elapsed() < wait {
            thread::yield_now();
        }
        false
    })
}

/// So many times a request met a connection that died under it.
const RACES: f64 = 30.0;

#[test]
fn gets_never_fail_while_backends_close_their_idle_connections() {
    let (a, b) = (closes_about_now(), closes_about_now());
    let lab = Lab::start(RETRY, &[a.address, b.address]);
    let bystander = Bystander::start(lab.listen);
    let mut client = lab.connect();
    let mut asked = 0;
    eventually("the race was met often", || {
        for _ in 0..100 {
            asked += 1;
            write(&mut client.stream, &get(&format!("/{asked}")));
            let answer = client.answer("GET").expect("an answer");
            let expected = format!("GET /{asked} HTTP/1.1");
            assert_eq!((answer.status(), answer.text()), (200, expected));
        }
        lab.metric("lab_retries_total") >= RACES
    });
    bystander.end();
    eventually("every attempt has ended", || lab.in_flight() == 0);
}

#[test]
fn posts_are_sent_once_while_backends_close_their_idle_connections() {
    let (a, b) = (closes_about_now(), closes_about_now());
    let lab = Lab::start(RETRY, &[a.address, b.address]);
    let mut client = lab.connect();
    let (mut asked, mut broken) = (0, 0);
    eventually("the race was met", || {
        for _ in 0..100 {
            asked += 1;
            let head = format!("POST /{asked} HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n");
            write(&mut client.stream, &format!("{head}\r\nabc"));
            let answer = client.answer("POST").expect("an answer");
            match answer.status() {
                200 => assert_eq!(answer.text(), format!("POST /{asked} HTTP/1.1")),
                status => {
                    broken += 1;
                    assert_eq!(status, 502, "{}", answer.text());
                }
            }
        }
        broken > 0
    });
    let seen = [a.seen(), b.seen()].concat();
    let different: HashSet<&str> = seen.iter().map(|m| m.first_line.as_str()).collect();
    assert_eq!(different.len(), seen.len(), "no POST was read twice");
    assert!(seen.len() >= asked - broken);
    assert_eq!(lab.in_flight(), 0);
}

#[test]
fn an_idle_connection_is_closed_before_its_backend_would() {
    let ended = Arc::new(AtomicBool::new(false));
    let noticed = Arc::clone(&ended);
    let backend = Backend::start(move |_: &Message, stream| {
        ok(stream, "served");
        noticed.store(matches!(stream.read(&mut [0; 1]), Ok(0)), Ordering::SeqCst);
        false
    });
    let lab = Lab::start("[timeout]\nupstream_idle = \"1s\"\n", &[backend.address]);
    assert_eq!(lab.get("/").text(), "served");
    eventually("the proxy closes it", || ended.load(Ordering::SeqCst));
}
