//! When requests go, on which connection, and what the generator says of its own punctuality.

use std::collections::BTreeSet;
use std::time::Duration;

use base::{FailureKind, Outcome, Rng, Stop};

use super::server::{OK, Server, Then, say};
use super::{SEED, load, play, play_with};
use crate::load::Target;

#[test]
fn with_all_connections_busy_requests_wait_in_order_and_nobody_blames_the_generator() {
    let server = Server::start(|s| {
        std::thread::sleep(Duration::from_millis(8));
        say(s, OK, Then::Keep)
    });
    let (ended, report) = play(&load(20, 2, 20_000, 1, 1), &server.target());
    assert!(ended.iter().all(|exchange| exchange.outcome == Outcome::Ok));
    for pair in ended.windows(2) {
        assert!(pair[0].request < pair[1].request, "first come, first served");
        assert!(pair[0].ended <= pair[1].sent.expect("sent"), "one connection, one request");
    }
    // The last is 38 ms after the first, and 19 × 8 ms stand before it.
    assert!(report.waited_for_connection + report.late_by_generator >= 10, "{report:?}");
    // Were back-pressure charged to the generator, all that went late would be.
    let went_late = ended.iter().filter(|exchange| {
        exchange.sent.is_some_and(|sent| sent.since(exchange.intended) > Duration::from_millis(1))
    });
    assert!(report.late_by_generator < went_late.count() as u64, "{report:?}");
    assert_eq!(server.stop().1, 1);
}

#[test]
fn a_request_whose_time_passes_in_the_queue_is_dropped() {
    let server = Server::start(|_| Then::Keep);
    let (ended, report) = play(&load(10, 10, 400, 1, 1), &server.target());
    let first = ended.iter().find(|exchange| exchange.request == 0).expect("the first");
    assert_eq!(first.outcome, Outcome::Failed(FailureKind::Timeout));
    for exchange in &ended {
        // When the first has timed out the second has 10 ms left: sent or not, nobody answers it.
        let expected = match exchange.sent {
            Some(_) => Outcome::Failed(FailureKind::Timeout),
            None => exchange.outcome,
        };
        assert_eq!(exchange.outcome, expected);
        assert!(matches!(
            exchange.outcome,
            Outcome::Dropped | Outcome::Failed(FailureKind::Timeout | FailureKind::ConnectTimeout)
        ));
        assert!(exchange.ended >= exchange.intended + Duration::from_millis(400));
    }
    // None found a connection free: the first waited for its handshake.
    assert_eq!(report.waited_for_connection + report.late_by_generator, 10);
}

#[test]
fn requests_carry_their_luck_and_go_round_the_targets() {
    let servers =
        [Server::start(|s| say(s, OK, Then::Keep)), Server::start(|s| say(s, OK, Then::Keep))];
    let target = Target {
        addresses: servers.iter().map(|server| server.address).collect(),
        backends: Vec::new(),
    };
    let mut load = load(10, 3, 20_000, 2, 64);
    load.method = "POST".into();
    load.path = "/a?b".into();
    play(&load, &target);
    let lucks: Vec<u64> =
        load.shape.arrivals(&Rng::from_seed(SEED)).map(|arrival| arrival.luck).collect();
    for (number, server) in servers.into_iter().enumerate() {
        let address = server.address;
        let heads: BTreeSet<String> = server.stop().0.into_iter().collect();
        let expected: BTreeSet<String> = (0..lucks.len())
            .filter(|request| request % 2 == number)
            .map(|request| {
                format!(
                    "POST /a?b HTTP/1.1\r\nhost: {address}\r\nuser-agent: lab\r\n\
                     content-length: 0\r\nx-lab-luck: {}\r\nx-lab-request: {request}\r\n\r\n",
                    lucks[request]
                )
            })
            .collect();
        assert_eq!(heads, expected);
    }
}

#[test]
fn the_warm_up_opens_the_connections() {
    let server = Server::start(|s| say(s, OK, Then::Keep));
    let mut load = load(2, 100, 20_000, 7, 64);
    load.shape.warmup = Duration::from_millis(100);
    let (ended, report) = play(&load, &server.target());
    assert!(ended.iter().all(|exchange| exchange.outcome == Outcome::Ok));
    assert!(report.connections_opened >= 7, "{report:?}");
}

#[test]
fn a_stopped_load_ends_what_is_open() {
    let server = Server::start(|_| Then::Keep);
    let stop = Stop::default();
    let raise = stop.clone();
    let (kept, _) = play_with(&load(1000, 5, 60_000, 2, 64), &server.target(), &stop, |what, n| {
        if what == "begin" && n == 5 {
            raise.raise(2);
        }
    });
    assert!(kept.begun.len() >= 5 && kept.begun.len() < 1000);
    assert!(kept.interrupted.is_some());
    assert!(kept.ended.iter().all(|exchange| exchange.outcome == Outcome::Unfinished));
    assert!(kept.ended.iter().any(|exchange| exchange.sent.is_some()));
}

#[test]
fn a_stall_shows_in_the_report_and_in_dispatch() {
    let server = Server::start(|s| say(s, OK, Then::Keep));
    let stall = Duration::from_millis(80);
    let (kept, report) =
        play_with(&load(40, 5, 20_000, 2, 64), &server.target(), &Stop::default(), |what, n| {
            if (what, n) == ("begin", 10) {
                std::thread::sleep(stall);
            }
        });
    assert!(report.max_stall >= stall, "{report:?}");
    assert!(report.max_stall_at.is_some());
    // The requests of the next 80 ms were due meanwhile, at 5 ms from one another.
    assert!(report.late_by_generator >= 15, "{report:?}");
    let worst = kept.ended.iter().filter_map(|e| e.sent.map(|sent| sent.since(e.intended))).max();
    assert!(worst >= Some(stall - Duration::from_millis(5)), "{worst:?}");
}
