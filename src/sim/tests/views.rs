//! What strategies see of the backends: their own requests, those of all, old ones, the work left,
//! who is idle.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{Distribution, Time};
use policy::{LimitSettings, QueueSettings, Registry, Settings};
use record::{Exchange, TrialRecord};
use scenario::{Trial, ViewSpec};
use support::*;
use workload::FaultKind;

fn exponential(ms: f64) -> Distribution {
    Distribution::Exponential { mean: ms / 1e3 }
}

/// Of those requests that found the backends unequal in what was to be seen: how many there are,
/// and how many went to one that had more than the least. `seen` is the time up to which what
/// happened was to be seen.
fn strayed(record: &TrialRecord, backends: usize, seen: impl Fn(Time) -> Time) -> (usize, usize) {
    let requests = record.requests();
    let (mut unequal, mut strayed) = (0, 0);
    for request in requests {
        let now = request.intended;
        let until = seen(now);
        let mut counts = vec![0; backends];
        let has_begun = |e: &&Exchange| e.intended < now && e.intended <= until;
        for other in requests.iter().filter(has_begun).filter(|e| e.ended > until) {
            counts[other.backend.expect("answered") as usize] += 1;
        }
        let least = counts.iter().min().expect("backends");
        if counts.iter().any(|count| count > least) {
            unequal += 1;
            strayed += usize::from(counts[request.backend.expect("answered") as usize] > *least);
        }
    }
    (unequal, strayed)
}

fn with_view(balancers: u32, shared: bool, delay: u64, refresh: u64) -> Trial {
    let mut trial = trial("least_request", 4, exponential(20.0), 150.0, 5);
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial.variant.proxy.balancers = balancers;
    trial.variant.proxy.view =
        ViewSpec { shared, delay: ms(delay), refresh: ms(refresh), idle_reports: false };
    trial
}

/// Least requests never goes to a backend that shows more than another one.
#[test]
fn what_is_seen_is_what_the_scenario_says() {
    for (balancers, shared, delay, refresh) in [
        (1, false, 0, 0),
        (1, true, 0, 0),
        (5, true, 0, 0),
        (1, false, 30, 0),
        (1, true, 30, 0),
        (5, true, 30, 0),
        (1, false, 0, 50),
        (5, true, 0, 50),
        (5, true, 7, 50),
    ] {
        let record = play(&with_view(balancers, shared, delay, refresh));
        let seen = |now: Time| {
            let past = now.as_nanos().saturating_sub(ms(delay).as_nanos() as u64);
            let every = (ms(refresh).as_nanos() as u64).max(1);
            Time::from_nanos(past / every * every)
        };
        let (unequal, strayed) = strayed(&record, 4, seen);
        assert!(unequal > 300, "{unequal} of {}", record.requests().len());
        assert_eq!(strayed, 0, "{balancers} {shared} {delay} {refresh}: of {unequal}");
        if balancers > 1 || delay + refresh > 0 {
            let (unequal, strayed) = self::strayed(&record, 4, |now| now);
            let expected = delay + refresh > 0;
            assert_eq!(strayed * 10 > unequal, expected, "{strayed} of {unequal} see the truth");
        }
    }
}

#[test]
fn balancers_that_see_only_their_own_stray() {
    let (unequal, strayed) = strayed(&play(&with_view(5, false, 0, 0)), 4, |now| now);
    assert!(strayed * 10 > unequal, "{strayed} of {unequal}");
}

fn latencies(record: &TrialRecord) -> Vec<Duration> {
    record.requests().iter().map(|e| e.ended.since(e.intended)).collect()
}

/// One queue for all: the balancer's own, from which a backend gets what it can serve at once.
fn central_queue(mut trial: Trial) -> Trial {
    let concurrency = trial.variant.backends[0].model.concurrency;
    let settings = &mut trial.variant.proxy.settings;
    settings.limits =
        Some(LimitSettings { max_in_flight: Some(concurrency), ..LimitSettings::default() });
    settings.queue = Some(QueueSettings { size: 1_000_000, wait: Duration::from_secs(100_000) });
    trial
}

fn ideal() -> Settings {
    let registry = Registry::ideals();
    let choice = registry.choose(registry.entries()[0].name, &Default::default());
    Settings::plain(choice.expect("it has no parameters"))
}

/// The sample path itself: every request takes as long, to the nanosecond.
#[test]
fn least_work_left_is_one_queue_for_all() {
    let services = [
        exponential(10.0),
        constant(10),
        Distribution::Pareto { min: 0.004, shape: 2.1 },
        Distribution::Hyperexponential { mean: 0.010, scv: 10.0 },
    ];
    for (service, (backends, concurrency)) in services.iter().zip([(10, 1), (3, 1), (7, 1), (4, 3)])
    {
        let rate = 95.0 * f64::from(backends) * f64::from(concurrency);
        let mut shared = trial("random", backends as usize, service.clone(), rate, 30);
        shared.variant.load.timeout = Duration::from_secs(1_000);
        for backend in &mut shared.variant.backends {
            backend.model.concurrency = concurrency;
        }
        let central = latencies(&play(&central_queue(shared.clone())));
        let mut trial = shared.clone();
        trial.variant.proxy.settings = ideal();
        let record = play(&trial);
        assert!(latencies(&record) == central, "{backends} of {concurrency}: {service:?}");
        // Work is of the backends, whoever sent it.
        trial.variant.proxy.balancers = 5;
        assert!(latencies(&play(&trial)) == central, "{backends}, five balancers");
        // Without knowing it, many wait longer.
        let blind = latencies(&play(&shared));
        let longer = blind.iter().zip(&central).filter(|(blind, ideal)| blind > ideal).count();
        assert!(longer * 2 > blind.len(), "{longer} of {}", blind.len());
    }
}

/// Of requests that found an idle backend, how many went to one that was not.
fn missed(record: &TrialRecord, backends: usize) -> (usize, usize) {
    let requests = record.requests();
    let (mut found, mut missed) = (0, 0);
    for request in requests {
        let now = request.intended;
        let mut busy = vec![false; backends];
        for other in requests.iter().filter(|e| e.intended < now && e.ended > now) {
            busy[other.backend.expect("answered") as usize] = true;
        }
        if busy.contains(&false) {
            found += 1;
            missed += usize::from(busy[request.backend.expect("answered") as usize]);
        }
    }
    (found, missed)
}

fn idle_queues(balancers: u32, reports: bool) -> Trial {
    let mut trial = trial("join_idle_queue", 20, exponential(20.0), 600.0, 5);
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial.variant.proxy.balancers = balancers;
    trial.variant.proxy.view.idle_reports = reports;
    trial
}

/// Backends that tell are found by one of many balancers, which by its own requests alone takes
/// nearly all for idle.
#[test]
fn balancers_that_are_told_miss_fewer_idle_ones() {
    let misses = |balancers, reports| {
        let (found, missed) = missed(&play(&idle_queues(balancers, reports)), 20);
        assert!(found > 2_000, "{found}");
        missed as f64 / found as f64
    };
    let told = [1, 4].map(|balancers| misses(balancers, true));
    assert!(told[0] == 0.0, "one balancer hears of all: {told:?}");
    assert!(told[1] * 2.0 < misses(4, false), "{told:?}");
}

/// It says that it is idle as soon as it is back, and its balancer believes the probes, which pass a
/// second later: what it said must not be lost until then, for it says it once.
#[test]
fn who_was_out_of_service_is_found_again() {
    let mut trial = with_health(trial("join_idle_queue", 3, constant(1), 20.0, 20));
    trial.variant.load.shape.warmup = Duration::ZERO;
    trial.variant.proxy.view.idle_reports = true;
    trial.variant.faults = vec![fault(2_000, 3_000, &[0], FaultKind::Crash)];
    let record = play(&trial);
    let shares = [0, 1, 2].map(|backend| {
        let requests = record.requests().iter();
        let late = requests.filter(|request| request.intended > Time::ZERO + ms(8_000));
        late.filter(|request| request.backend == Some(backend)).count()
    });
    // In turns, as long as all three are idle nearly always.
    assert!(shares.iter().all(|share| share.abs_diff(80) < 20), "{shares:?}");
}

/// Whom a backend tells is drawn from a stream of its own, and nobody listens here.
#[test]
fn reports_move_nothing_for_whoever_does_not_listen() {
    let mut trial = with_view(5, false, 0, 0);
    let without = play(&trial);
    trial.variant.proxy.view.idle_reports = true;
    assert_eq!(play(&trial).requests(), without.requests());
}
