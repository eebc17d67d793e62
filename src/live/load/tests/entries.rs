//! The entries that others call: the loop with a recorder, its errors, the closed loop, benchmarks.

use std::time::Duration;

use base::{Clock, Rng, Stop, Time};
use record::{PhaseSpan, Plan, Recorder, Span};
use scenario::LoadSpec;

use super::server::{OK, Script, Server, Then, say};
use super::{Kept, SEED, load};
use crate::load::{LoadError, Target, bench, closed_loop, open_loop};

#[test]
fn a_recorder_hears_it_all() {
    let server = Server::start(|s| say(s, OK, Then::Keep));
    let load = load(30, 2, 20_000, 2, 64);
    let span = Span { from: Duration::ZERO, to: load.shape.length() };
    let mut recorder = Recorder::new(Plan {
        variant: "default".into(),
        parameters: Vec::new(),
        subject: "direct".into(),
        generator: None,
        round: 1,
        warmup: Duration::ZERO,
        phases: vec![PhaseSpan { name: "only".into(), span, rate: (500.0, 500.0) }],
        window: Duration::from_secs(1),
        backends: vec!["a-1".into(), "a-2".into()],
        spans: Vec::new(),
        keep_requests: false,
    });
    let clock = Clock::start();
    let arrivals = load.shape.arrivals(&Rng::from_seed(SEED));
    let (target, stop) = (server.target(), Stop::default());
    open_loop::run(&load, arrivals, &target, &clock, clock.now(), &mut recorder, &stop)
        .expect("a load that can be sent");
    let progress = recorder.progress();
    let seen = [&progress.intended, &progress.ok, &progress.not_ok]
        .map(|counter| counter.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(seen, [30, 30, 0]);
}

#[test]
fn a_load_that_cannot_be_sent_is_an_error_with_a_remedy() {
    let target = Target { addresses: Vec::new(), backends: Vec::new() };
    let somewhere = Target { addresses: vec![([127, 0, 0, 1], 9).into()], ..target.clone() };
    let good = load(1, 1, 1, 1, 1);
    let cases = [
        (good.clone(), &target, "give the subject at least one"),
        (LoadSpec { path: "x".into(), ..good.clone() }, &somewhere, "load.path = \"x\""),
        (LoadSpec { method: "G T".into(), ..good }, &somewhere, "load.method = \"G T\""),
    ];
    for (load, target, part) in cases {
        let mut kept = Kept {
            begun: Vec::new(),
            ended: Vec::new(),
            interrupted: None,
            on_event: |_: &str, _| {},
        };
        let (clock, arrivals) = (Clock::start(), load.shape.arrivals(&Rng::from_seed(SEED)));
        let stop = Stop::default();
        let error = open_loop::play(&load, arrivals, target, &clock, Time::ZERO, &mut kept, &stop)
            .expect_err("refused")
            .to_string();
        assert!(error.contains(part), "{error}");
        assert!(kept.begun.is_empty());
    }
}

#[test]
fn the_closed_loop_counts_every_answer() {
    for (script, good) in [
        ((|s| say(s, OK, Then::Keep)) as Script, true),
        (
            |s| {
                say(s, b"HTTP/1.1 500 No\r\nconnection: close\r\n", Then::Close);
                say(s, b"content-length: 0\r\n\r\n", Then::Close)
            },
            false,
        ),
    ] {
        let server = Server::start(script);
        let stop = Stop::default();
        let duration = Duration::from_millis(400);
        let tally = closed_loop::run(server.address, "/", 4, duration, &stop).expect("a server");
        let counted = tally.ok + tally.failed;
        let served = server.stop().0.len() as u64;
        assert!(tally.elapsed >= duration);
        assert!(if good { tally.failed == 0 } else { tally.ok == 0 }, "{tally:?}");
        assert_eq!(tally.latency.len(), tally.ok);
        // At the end each connection may have one request that was not waited for.
        assert!(counted > 0 && counted <= served && served <= counted + 4, "{counted} {served}");
    }
}

#[test]
fn a_benchmark_measures_both_loops() {
    let server = Server::start(|s| say(s, OK, Then::Keep));
    let url = format!("http://{}/x", server.address);
    for (rate, mode) in [(None, "closed"), (Some(200.0), "open")] {
        let report = bench(&url, 2, 0.5, rate).expect("a server");
        assert_eq!((report.mode, report.failed), (mode, 0));
        assert!(report.ok > 0 && report.rps > 0.0 && report.service_ms.p50 > 0.0, "{report:?}");
        assert_eq!(report.dispatch_ms.is_some(), rate.is_some());
        let json = serde_json::to_value(&report).expect("plain figures");
        assert!(json["rps"].is_f64() && json["service_ms"]["p99"].is_f64(), "{json}");
    }
    let gone = server.address;
    drop(server);
    let error = bench(&format!("http://{gone}/"), 1, 0.1, None).expect_err("nobody there");
    assert!(matches!(error, LoadError::Unreachable { .. }), "{error}");
}
