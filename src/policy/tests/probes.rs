//! What becomes of the reports of probes, and of those that never come. It must not know sockets.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use policy::{Command, HealthSettings, ProbeResult, State};
use support::*;

#[test]
fn a_probe_that_nobody_reports_has_failed() {
    let (mut balancer, ids) = balancer(with_health(1, 1), 1, &[1]);
    let (probes, _) = drain(&mut balancer);
    assert_eq!(probes[0].deadline, at(200));
    assert_eq!(probes[0].kind, policy::ProbeKind::Http("/health".into()));
    let due = balancer.poll_timeout().expect("the report");
    assert!(due > at(200) && due <= at(500), "{due}");
    balancer.handle_timeout(due);
    assert_eq!(state(&balancer, ids[0]), State::Down);
    assert_eq!(balancer.pool().status(ids[0]).unwrap().last_check, Some("no report of the probe"));
    balancer.handle_probe(due, probes[0].id, passed());
    assert_eq!(state(&balancer, ids[0]), State::Down, "a late report changes nothing");
}

#[test]
fn probes_are_judged_by_what_came() {
    let status = |status| ProbeResult::Status { status, after: ms(3), load: None };
    for (result, expected, check) in [
        (status(200), State::Ready, "200 in 3.0 ms"),
        (status(204), State::Ready, "204 in 3.0 ms"),
        (status(199), State::Down, "status 199, expected 200-299"),
        (status(302), State::Down, "status 302, expected 200-299"),
        (status(500), State::Down, "status 500, expected 200-299"),
        (ProbeResult::Failed("timeout".into()), State::Down, "timeout"),
        // Whoever was not asked is not judged.
        (ProbeResult::Unsent("no file".into()), State::Checking, "not sent: no file"),
    ] {
        let (mut balancer, ids) = balancer(with_health(1, 1), 1, &[1]);
        let (probes, _) = drain(&mut balancer);
        balancer.handle_probe(at(3), probes[0].id, result.clone());
        assert_eq!(state(&balancer, ids[0]), expected, "{result:?}");
        assert_eq!(balancer.pool().status(ids[0]).unwrap().last_check, Some(check));
    }
}

/// Signs of life are noted only where somebody wants to know: who was not listened to before was not
/// silent.
#[test]
fn silence_counts_from_when_somebody_listens() {
    let (mut balancer, ids) = balancer(with_health(1, 1), 1, &[1, 1]);
    let silent = |_, _| false;
    pass_time(&mut balancer, at(0), at(9_999), |_, _| true);
    pass_time(&mut balancer, at(9_999), at(10_000), silent);
    let mut settings = with_health(1, 1);
    let health = settings.health.take().expect("it has checks");
    settings.health = Some(HealthSettings { remove_after: Some(ms(3_000)), ..health });
    let command = Command::Settings(Box::new(settings));
    balancer.handle_command(at(10_000), command).expect("they are valid");
    pass_time(&mut balancer, at(10_000), at(12_999), silent);
    assert!(ids.iter().all(|&id| balancer.pool().status(id).is_some()), "3 s have not passed");
    let removed = pass_time(&mut balancer, at(12_999), at(13_000), silent);
    assert_eq!(lines(&removed), ["13000 b-0 removed silent for 3 s"], "the last one stays");
}

#[test]
fn a_shell_that_cannot_send_probes_takes_nobody_out() {
    let mut settings = with_health(1, 1);
    settings.health.as_mut().unwrap().remove_after = Some(ms(3_000));
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
    let (probes, _) = drain(&mut balancer);
    for probe in probes {
        balancer.handle_probe(at(1), probe.id, passed());
    }
    while let Some(due) = balancer.poll_timeout().filter(|&due| due < at(20_000)) {
        balancer.handle_timeout(due);
        for probe in drain(&mut balancer).0 {
            balancer.handle_probe(due, probe.id, ProbeResult::Unsent("no file".into()));
        }
    }
    assert!(ids.iter().all(|&id| state(&balancer, id) == State::Ready));
}
