//! What a balancer says beside "send it there", each carried through virtual time: requests that
//! wait, hedges, retries after a while, limits, probes of all kinds, tables made elsewhere.
//! These tests must not reach into the engine.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use base::{BackendId, RequestMeta, Rng, Time};
use policy::strategy::{LoadProbe, LoadReport};
use policy::{Candidates, CheckKind, Entry, Registry, Strategy};
use scenario::Trial;
use support::*;
use workload::{FaultKind, Network, Pattern};

/// Constant arrivals: one every 10 ms, so that counts are exact.
fn regular(strategy: &str, backends: usize, seconds: u64) -> Trial {
    let mut trial = trial(strategy, backends, constant(5), 100.0, seconds);
    trial.variant.load.shape.pattern = Pattern::Constant;
    trial
}

thread_local! {
    /// What was reported to the strategy below, in this test's thread.
    static REPORTS: RefCell<Vec<(Time, u32, Option<LoadReport>)>> = const { RefCell::new(vec![]) };
}

/// Goes round, and asks every backend in turn for its load.
#[derive(Default)]
struct Curious {
    picked: u32,
    asks: Option<BackendId>,
}

impl Strategy for Curious {
    fn pick(
        &mut self,
        _: Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        let id = candidates.id(self.picked as usize % candidates.len());
        self.picked += 1;
        self.asks = Some(id);
        id
    }

    fn poll_load_probe(&mut self) -> Option<LoadProbe> {
        let backend = self.asks.take()?;
        Some(LoadProbe { backend, path: "/health".into(), within: ms(100) })
    }

    fn load_reported(&mut self, now: Time, backend: BackendId, report: Option<LoadReport>) {
        REPORTS.with_borrow_mut(|reports| reports.push((now, backend.slot, report)));
    }
}

static CURIOUS: Entry = Entry {
    name: "curious",
    summary: "",
    parameters: &[],
    build: |_| Box::new(Curious::default()),
};

#[test]
fn a_probe_for_the_load_goes_over_the_network_and_brings_it_back() {
    let mut trial = regular("random", 2, 3);
    let registry = Registry::standard().with(&CURIOUS);
    trial.variant.proxy.settings.strategy =
        registry.choose("curious", &BTreeMap::new()).expect("it is registered");
    trial.variant.network = Network { delay: ms(1) };
    trial.variant.backends[1].model.service = constant(30);
    trial.variant.faults = vec![fault(1000, 1000, &[0], FaultKind::Hang)];
    play(&trial);
    let reports = REPORTS.take();
    let of = |backend, from_ms: u64, to_ms: u64| {
        let span = Time::ZERO + ms(from_ms)..Time::ZERO + ms(to_ms);
        let within = reports.iter().filter(move |r| r.1 == backend && span.contains(&r.0));
        within.map(|r| r.2).collect::<Vec<_>>()
    };
    let told = |reports: Vec<Option<LoadReport>>| {
        reports
            .into_iter()
            .map(|report| report.expect("it answers"))
            .map(|report| (report.after, report.load.expect("it tells")))
            .map(|(after, load)| (after, load.in_flight, load.latency))
            .collect::<Vec<_>>()
    };
    // Asked at once with its own request, which is there at +3 ms on a connection that is kept and
    // has been read as the question is, and both answers cross the network.
    let quick = told(of(0, 500, 1500));
    assert_eq!(quick.len(), 50, "one in 20 ms");
    assert!(
        quick.iter().all(|&it| it == (ms(4), 1, ms(0)) || it == (ms(4), 1, ms(5))),
        "{quick:?}"
    );
    let slow = told(of(1, 800, 1500));
    assert!(slow.iter().all(|&(_, in_flight, _)| in_flight > 1), "it falls behind: {slow:?}");
    assert!(slow.iter().all(|&(.., latency)| latency >= ms(30)), "and says so: {slow:?}");
    // A backend that hangs answers nothing within the 100 ms that it has.
    let hung = of(0, 2150, 2950);
    assert_eq!(hung.len(), 40);
    assert!(hung.iter().all(Option::is_none), "{hung:?}");
}

#[test]
fn a_check_that_only_connects_sees_a_crash_and_no_hang() {
    let downs = |check, kind| {
        let mut trial = with_health(regular("round_robin", 2, 4));
        trial.variant.proxy.settings.health.as_mut().expect("just set").check = check;
        trial.variant.network = Network { delay: ms(1) };
        trial.variant.faults = vec![fault(500, 2000, &[0], kind)];
        let lines = lines(&play(&trial));
        lines.iter().filter(|line| line.contains("balancer/0 b-1 down")).count()
    };
    for (check, kind, expected) in [
        (CheckKind::Http, FaultKind::Hang, 1),
        (CheckKind::Tcp, FaultKind::Hang, 0),
        (CheckKind::Http, FaultKind::Refuse, 1),
        (CheckKind::Tcp, FaultKind::Refuse, 1),
    ] {
        assert_eq!(downs(check, kind.clone()), expected, "{check:?} {kind:?}");
    }
}

#[test]
fn a_check_that_only_connects_takes_one_round_trip() {
    let passes = |timeout| {
        let mut trial = with_health(regular("round_robin", 1, 2));
        let health = trial.variant.proxy.settings.health.as_mut().expect("just set");
        (health.check, health.timeout) = (CheckKind::Tcp, timeout);
        trial.variant.network = Network { delay: ms(10) };
        !lines(&play(&trial)).iter().any(|line| line.contains("down"))
    };
    assert!(passes(ms(20)));
    assert!(!passes(ms(20) - Duration::from_nanos(1)));
}
