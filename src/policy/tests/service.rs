//! Who is in service and how much of it they get: slow start, panic, doubt, and what changes when
//! these are switched while requests run. It must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{BackendId, Time};
use policy::{
    Balancer, CheckKind, Command, EjectionSettings, End, HealthSettings, PanicSettings, ProbeKind,
    ProbeResult, Reject, Settings, SlowStartSettings, State, Verdict,
};
use support::*;

fn slow(name: &str) -> Settings {
    Settings { slow_start: Some(SlowStartSettings::default()), ..plain(name) }
}

fn weight(balancer: &Balancer, id: BackendId) -> f64 {
    balancer.pool().status(id).expect("it is in the pool").effective_weight
}

fn change(balancer: &mut Balancer, now: Time, change: impl FnOnce(&mut Settings)) {
    let mut settings = balancer.settings().clone();
    change(&mut settings);
    let changed = balancer.handle_command(now, Command::Settings(Box::new(settings)));
    assert_eq!(changed, Ok(None));
}

/// Everything that is due by then, without probes.
fn tend(balancer: &mut Balancer, until: Time) {
    while let Some(due) = balancer.poll_timeout().filter(|&due| due <= until) {
        balancer.handle_timeout(due);
    }
}

/// Of `n` requests that end at once, how many this backend gets.
fn share(balancer: &mut Balancer, now: Time, id: BackendId, n: u64) -> f64 {
    let mut got = 0;
    for i in 0..n {
        let attempt = send(balancer, now, i);
        got += u32::from(attempt.backend == id);
        balancer.handle_end(now, attempt.id, End::Complete);
    }
    f64::from(got) / n as f64
}

/// The shares of a backend that joins two others of its weight, second by second.
fn shares_of_a_new_backend(settings: Settings) -> Vec<f64> {
    let (mut balancer, _) = balancer(settings, 1, &[65_536, 65_536]);
    share(&mut balancer, at(0), BackendId { slot: 0, generation: 0 }, 1);
    let new = add(&mut balancer, at(1_000), "new", 65_536);
    let seconds = (0..=11).map(|second| {
        let now = at(1_000 + 1_000 * second);
        tend(&mut balancer, now);
        share(&mut balancer, now, new, 20_000)
    });
    seconds.collect()
}

/// It begins with a tenth of its weight, and every second a tenth of the rest comes to it.
fn grows_linearly(shares: &[f64]) -> Result<(), String> {
    for (second, &share) in shares.iter().enumerate() {
        let part = (0.1 + 0.09 * second as f64).min(1.0);
        let expected = part / (2.0 + part);
        // Six standard deviations of 20,000 draws.
        if (share - expected).abs() > 6.0 * (expected * (1.0 - expected) / 20_000.0).sqrt() {
            return Err(format!("{share} in second {second}, {expected} expected"));
        }
    }
    Ok(())
}

#[test]
fn a_new_backend_gets_a_share_that_grows() {
    for strategy in ["random", "round_robin"] {
        assert_eq!(grows_linearly(&shares_of_a_new_backend(slow(strategy))), Ok(()), "{strategy}");
        // Wrong: its whole share at once.
        assert!(grows_linearly(&shares_of_a_new_backend(plain(strategy))).is_err(), "{strategy}");
    }
    // In flight per weight: of those whose requests never end.
    let (mut balancer, _) = balancer(slow("least_request"), 1, &[65_536, 65_536]);
    tend(&mut balancer, at(0));
    send(&mut balancer, at(0), 0);
    let new = add(&mut balancer, at(1), "new", 65_536);
    for i in 0..209 {
        send(&mut balancer, at(1), i);
    }
    assert_eq!(balancer.pool().status(new).unwrap().in_flight, 10, "a tenth of 100");
}

#[test]
fn who_warms_up() {
    let (mut balancer, ids) = balancer(
        Settings { ejection: Some(EjectionSettings::default()), ..slow("round_robin") },
        1,
        &[2, 2],
    );
    assert_eq!(weight(&balancer, ids[0]), 2.0, "not at the start, when all are new");
    let early = add(&mut balancer, at(5), "early", 2);
    assert_eq!(weight(&balancer, early), 2.0, "nor before the first request");
    assert_eq!(balancer.poll_timeout(), None);
    share(&mut balancer, at(10), ids[0], 6);
    let new = add(&mut balancer, at(10), "new", 2);
    assert_eq!(weight(&balancer, new), 0.2, "new to a pool at work");

    // The steps come exactly, and after the last there is none.
    let mut steps = Vec::new();
    while let Some(due) = balancer.poll_timeout() {
        balancer.handle_timeout(due);
        steps.push((due.as_nanos() / 1_000_000, weight(&balancer, new)));
    }
    let expected =
        [19, 28, 37, 46, 55, 64, 73, 82, 91, 100, 100].map(|percent| f64::from(percent) / 50.0);
    let expected: Vec<(u64, f64)> = (1..).map(|second| 1_000 * second).zip(expected).collect();
    assert_eq!(steps, expected);

    // A drain leaves it warm, but not before it was.
    let drain_and_back = |balancer: &mut Balancer, now, id| {
        for command in [Command::Drain(id), Command::Ready(id)] {
            assert_eq!(balancer.handle_command(now, command), Ok(None));
        }
    };
    drain_and_back(&mut balancer, at(20_000), new);
    assert_eq!(weight(&balancer, new), 2.0);
    let other = add(&mut balancer, at(20_000), "other", 2);
    tend(&mut balancer, at(25_000));
    assert_eq!(weight(&balancer, other), 1.1);
    drain_and_back(&mut balancer, at(25_000), other);
    assert_eq!(weight(&balancer, other), 0.2, "it begins again");

    // An ejected one comes back cold.
    for i in 0..200 {
        let attempt = send(&mut balancer, at(40_000), i);
        let head = if attempt.backend == ids[0] { status(500) } else { status(200) };
        let _ = balancer.handle_head(at(40_000), attempt.id, head);
        balancer.handle_end(at(40_000), attempt.id, End::Complete);
    }
    let until = balancer.pool().status(ids[0]).unwrap().ejected_until.expect("it failed");
    tend(&mut balancer, until);
    assert_eq!((state(&balancer, ids[0]), weight(&balancer, ids[0])), (State::Ready, 0.2));

    // Switched off it is all there at once; on again it is for those to come.
    change(&mut balancer, until, |settings| settings.slow_start = None);
    assert_eq!(weight(&balancer, ids[0]), 2.0);
    assert_eq!(balancer.poll_timeout(), None);
    change(&mut balancer, until, |s| s.slow_start = Some(SlowStartSettings::default()));
    assert_eq!(weight(&balancer, ids[0]), 2.0);
}

#[test]
fn a_backend_that_was_down_comes_back_cold() {
    let mut settings = with_health(1, 1);
    settings.slow_start = Some(SlowStartSettings::default());
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
    pass_time(&mut balancer, at(0), at(1_000), |_, _| true);
    assert_eq!(weight(&balancer, ids[0]), 1.0, "first passes at the start find it warm");
    pass_time(&mut balancer, at(1_000), at(2_000), |_, id| id != ids[0]);
    assert_eq!(state(&balancer, ids[0]), State::Down);
    let events = pass_time(&mut balancer, at(2_000), at(2_600), |_, _| true);
    assert_eq!(state(&balancer, ids[0]), State::Ready);
    assert_eq!(weight(&balancer, ids[0]), 0.1);
    let back = events[0].at;
    pass_time(&mut balancer, at(2_600), at(7_000), |_, _| true);
    let exact = 0.1 + 0.9 * at(7_000).since(back).as_secs_f64() / 10.0;
    assert!((weight(&balancer, ids[0]) - exact).abs() <= 0.005, "to a percent");
}

/// Four backends of which the first `up` pass their probes from 1 s on, all did before, and one
/// that never did.
fn outage(panic: Option<PanicSettings>, up: u32) -> (Balancer, Vec<BackendId>, Vec<String>) {
    let mut settings = with_health(1, 1);
    settings.panic = panic;
    let (mut balancer, ids) = balancer(settings, 1, &[1; 5]);
    pass_time(&mut balancer, at(0), at(1_000), |_, id| id.slot < 4);
    let events = pass_time(&mut balancer, at(1_000), at(2_000), |_, id| id.slot < up);
    let events = lines(&events).into_iter().filter(|line| line.contains(" panic_")).collect();
    (balancer, ids, events)
}

#[test]
fn when_too_few_are_in_service_those_that_are_out_are_used() {
    let panic = Some(PanicSettings::default());
    for (settings, up, used) in [
        (panic.clone(), 4, 4),
        (panic.clone(), 2, 2), // half is enough
        (panic.clone(), 1, 4), // never the one that has not passed yet
        (panic.clone(), 0, 4),
        (None, 1, 1), // wrong: the whole load on the one that is left
        (Some(PanicSettings { threshold: 0.0 }), 1, 1),
        (Some(PanicSettings { threshold: 1.0 }), 3, 4),
    ] {
        let (mut balancer, ids, events) = outage(settings, up);
        let mut got = [0; 5];
        for i in 0..60 {
            let attempt = send(&mut balancer, at(2_000), i);
            got[attempt.backend.slot as usize] += 1;
            balancer.handle_end(at(2_000), attempt.id, End::ClientLeft);
        }
        let expected: Vec<i32> = (0..5).map(|i| if i < used { 60 / used } else { 0 }).collect();
        assert_eq!(got[..], expected, "{up} of 4 up");
        let panics = used > up as i32;
        assert_eq!(balancer.pool().is_panicking(), panics);
        assert_eq!(events.len(), usize::from(panics), "{events:?}");
        if panics {
            let number = if up == 3 { 3 } else { 1 };
            assert!(
                events[0]
                    .ends_with(&format!("- panic_began {number} of 4 in service, all are used")),
                "{events:?}"
            );
        }
        let shown = ids.iter().filter(|&&id| state(&balancer, id) == State::Ready).count();
        assert_eq!(shown, up as usize, "the states stay what they are");
    }
    let (mut balancer, _, _) = outage(None, 0);
    let verdict = balancer.handle_request(at(2_000), request(0, true));
    assert_eq!(verdict, Verdict::Reject(Reject::NoBackend), "without panic there is nobody");
}

#[test]
fn a_panic_ends_when_enough_are_back_or_it_is_switched_off() {
    let (mut balancer, ids, _) = outage(Some(PanicSettings::default()), 1);
    // A drained one is used in no panic, and does not count.
    assert_eq!(balancer.handle_command(at(2_000), Command::Drain(ids[1])), Ok(None));
    let got = share(&mut balancer, at(2_000), ids[1], 30);
    assert!(balancer.pool().is_panicking() && got == 0.0);
    assert_eq!(balancer.handle_command(at(2_000), Command::Drain(ids[2])), Ok(None));
    assert!(!balancer.pool().is_panicking(), "one of two is enough");
    assert_eq!(share(&mut balancer, at(2_000), ids[0], 30), 1.0);
    for id in [ids[1], ids[2]] {
        assert_eq!(balancer.handle_command(at(2_000), Command::Ready(id)), Ok(None));
    }
    assert!(balancer.pool().is_panicking());
    change(&mut balancer, at(2_001), |settings| settings.panic = None);
    assert!(!balancer.pool().is_panicking());
    change(&mut balancer, at(2_002), |s| s.panic = Some(PanicSettings::default()));
    assert!(balancer.pool().is_panicking());
    let events = pass_time(&mut balancer, at(2_002), at(3_000), |_, id| id.slot < 2);
    let lines = lines(&events);
    let panics: Vec<&String> = lines.iter().filter(|line| line.contains(" panic_")).collect();
    let words: Vec<&str> = panics.iter().map(|line| line.split_once(" - ").unwrap().1).collect();
    assert_eq!(
        words,
        [
            "panic_ended 1 of 2 in service, the others are not used any more",
            "panic_began 1 of 3 in service, all are used",
            "panic_ended 1 of 4 in service, the others are not used any more",
            "panic_began 1 of 4 in service, all are used",
            "panic_ended 2 of 4 in service, the others are not used any more",
        ]
    );
}

#[test]
fn doubt_is_settled_fast() {
    let mut settings = with_health(3, 2);
    let health = settings.health.as_mut().unwrap();
    health.interval = ms(10_000);
    health.fast_interval = Some(ms(100));
    let (mut balancer, ids) = balancer(settings, 1, &[1]);
    // New and not there yet: looked for every 100 ms.
    let up_at = at(150);
    let events = pass_time(&mut balancer, at(0), at(9_000), |now, _| now >= up_at);
    assert_eq!(lines(&events)[1], "200 b-0 ready was checking: probe passed: 200 in 1.2 ms");
    // Down: the next probe in its own time, two more 100 ms after it.
    let events = pass_time(&mut balancer, at(9_000), at(40_000), |_, _| false);
    let first_failed = events[0].at.as_nanos() / 1_000_000 - 200;
    assert_eq!(
        lines(&events)[0],
        format!("{} b-0 down was ready: 3 probes failed: connection refused", first_failed + 200)
    );
    // Up again: two passes, 100 ms apart.
    let events = pass_time(&mut balancer, at(40_000), at(60_000), |_, _| true);
    let up = events[0].at.as_nanos() / 1_000_000;
    assert_eq!((up - first_failed - 300) % 10_000, 0, "{up}, first failed at {first_failed}");
    // A failed connect asks at once.
    let attempt = send(&mut balancer, at(60_000), 0);
    let _ = balancer.handle_head(at(60_000), attempt.id, refused());
    balancer.handle_end(at(60_000), attempt.id, End::UpstreamBroke);
    let events = pass_time(&mut balancer, at(60_000), at(61_000), |_, _| true);
    let expected = ["60000 b-0 down was ready: connect failed".to_owned()];
    assert_eq!(lines(&events)[..1], expected);
    assert_eq!(events[1].at, at(60_100));
    assert_eq!(state(&balancer, ids[0]), State::Ready);
}

#[test]
fn a_connection_is_a_pass_where_that_is_the_check() {
    let mut settings = with_health(1, 1);
    settings.health.as_mut().unwrap().check = CheckKind::Tcp;
    let (mut balancer, ids) = balancer(settings, 1, &[1]);
    let (probes, _) = drain(&mut balancer);
    assert_eq!(probes[0].kind, ProbeKind::Tcp);
    let connected = ProbeResult::Status { status: 0, after: ms(3), load: None };
    balancer.handle_probe(at(3), probes[0].id, connected);
    let status = balancer.pool().status(ids[0]).unwrap();
    assert_eq!((status.state, status.last_check), (State::Ready, Some("connected in 3.0 ms")));
}

#[test]
fn only_expected_statuses_pass() {
    let statuses = vec![(200, 200), (300, 399), (418, 418)];
    for (status, passes) in [(200, true), (201, false), (302, true), (418, true), (0, false)] {
        let mut settings = with_health(1, 1);
        settings.health.as_mut().unwrap().statuses = statuses.clone();
        let (mut balancer, ids) = balancer(settings, 1, &[1]);
        let (probes, _) = drain(&mut balancer);
        let result = ProbeResult::Status { status, after: ms(3), load: None };
        balancer.handle_probe(at(3), probes[0].id, result);
        assert_eq!(state(&balancer, ids[0]) == State::Ready, passes, "{status}");
        let words = balancer.pool().status(ids[0]).unwrap().last_check.unwrap();
        let expected = format!("status {status}, expected 200, 300-399, 418");
        assert!(passes || words == expected, "{words}");
    }
}

#[test]
fn health_checks_come_and_go_while_requests_run() {
    let (mut balancer, ids) = balancer(plain("round_robin"), 1, &[1, 1]);
    let attempt = send(&mut balancer, at(0), 0);
    let health = with_health(2, 2).health;
    change(&mut balancer, at(10), |settings| settings.health = health.clone());
    assert!(ids.iter().all(|&id| state(&balancer, id) == State::Ready), "nobody goes for it");
    let (probes, _) = drain(&mut balancer);
    assert_eq!(probes.len(), 2, "all are looked at at once");
    balancer.handle_end(at(10), attempt.id, End::Complete);
    balancer.handle_probe(at(10), probes[0].id, failed());
    balancer.handle_probe(at(10), probes[1].id, passed());
    assert_eq!(state(&balancer, ids[0]), State::Ready, "one of two failures");
    // Another interval: counts go on.
    change(&mut balancer, at(11), |settings| {
        settings.health.as_mut().unwrap().interval = ms(100);
    });
    pass_time(&mut balancer, at(11), at(111), |_, id| id != ids[0]);
    assert_eq!(state(&balancer, ids[0]), State::Down, "the second failure, 100 ms later");
    // Other counts: it stays down until three have passed.
    change(&mut balancer, at(112), |settings| settings.health.as_mut().unwrap().rise = 3);
    pass_time(&mut balancer, at(112), at(312), |_, _| true);
    assert_eq!(state(&balancer, ids[0]), State::Down);
    let (probes, _) = drain(&mut balancer);
    assert!(probes.is_empty());
    change(&mut balancer, at(320), |settings| settings.health = None);
    assert_eq!(state(&balancer, ids[0]), State::Ready);
    assert_eq!(balancer.pool().status(ids[0]).unwrap().reason, "health checks switched off");
    while let Some(due) = balancer.poll_timeout() {
        balancer.handle_timeout(due);
    }
    assert_eq!(drain(&mut balancer).0, [], "no more probes");
    // On again: reports of probes from before say nothing.
    change(&mut balancer, at(9_000), |s| s.health = Some(HealthSettings::default()));
    assert_eq!(drain(&mut balancer).0.len(), 2);
    assert!(ids.iter().all(|&id| state(&balancer, id) == State::Ready));
}
