//! The balancer as its shells see it: attempts, retries, deadlines, checks, commands, events.
//! These tests must not reach into it.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{BackendId, FailureKind, RequestId, Sent, Time};
use policy::{
    Balancer, Command, CommandError, End, Head, Next, Reject, RetrySettings, Settings, State,
    TimeoutSettings, Verdict,
};
use support::*;

fn with_retry(attempts: u32) -> Settings {
    let retry = RetrySettings { attempts, ..RetrySettings::default() };
    Settings { retry: Some(retry), ..plain("round_robin") }
}

#[test]
fn without_a_backend_a_request_is_rejected() {
    let (mut balancer, _) = balancer(plain("p2c"), 1, &[]);
    let verdict = balancer.handle_request(Time::ZERO, request(0, true));
    assert_eq!(verdict, Verdict::Reject(Reject::NoBackend));
    let id = add(&mut balancer, Time::ZERO, "a-1", 1);
    assert_eq!(send(&mut balancer, Time::ZERO, 1).backend, id, "it takes part at once");
}

#[test]
fn deadlines_are_the_earliest_of_connect_attempt_and_total() {
    let mut settings = with_retry(3);
    for (connect, attempt, total, first, second) in [
        (100, None, None, [100, u64::MAX, u64::MAX], [150, u64::MAX, u64::MAX]),
        (100, Some(200), None, [100, 200, u64::MAX], [150, 250, u64::MAX]),
        (100, Some(200), Some(500), [100, 200, 500], [150, 250, 500]),
        (100, Some(200), Some(80), [80, 80, 80], [80, 80, 80]),
        (300, Some(200), None, [200, 200, u64::MAX], [250, 250, u64::MAX]),
    ] {
        settings.timeout = TimeoutSettings {
            connect: ms(connect),
            attempt: attempt.map(ms),
            total: total.map(ms),
            ..TimeoutSettings::default()
        };
        let (mut balancer, _) = balancer(settings.clone(), 1, &[1, 1, 1]);
        let deadlines = |a: policy::Attempt| {
            [a.connect_by, a.head_by, a.body_by].map(|t| match t {
                Time::MAX => u64::MAX,
                t => t.as_nanos() / 1_000_000,
            })
        };
        let attempt = send(&mut balancer, at(0), 7);
        assert_eq!((attempt.number, attempt.request), (1, RequestId(7)));
        assert_eq!(deadlines(attempt), first);
        let Next::Retry(retry) = balancer.handle_head(at(50), attempt.id, reset()) else {
            panic!("a retry is right here");
        };
        assert_eq!((retry.number, retry.request), (2, RequestId(7)));
        assert_eq!(deadlines(retry), second);
        // Once the total has passed there is no further attempt.
        let late = total.map_or(at(60), at);
        let next = balancer.handle_head(late, retry.id, reset());
        assert_eq!(matches!(next, Next::Retry(_)), total.is_none(), "{next:?}");
    }
}

#[test]
fn what_follows_a_head() {
    let lost = |replayable| Head::Failed {
        error: FailureKind::Timeout,
        sent: Sent::All,
        reused: false,
        replayable,
    };
    for (attempts, idempotent, head, expected) in [
        (2, true, status(200), "deliver"),
        (2, true, status(500), "deliver"),
        (2, true, status(503), "retry"),
        (2, false, status(503), "deliver"),
        (2, true, Head::Status { status: 503, replayable: false, retry_after: None }, "deliver"),
        (1, true, status(503), "deliver"), // the client sees the original answer
        (2, false, refused(), "retry"),
        (1, false, refused(), "give up"),
        (2, true, lost(true), "retry"),
        (2, true, lost(false), "give up"),
        (2, false, lost(true), "give up"),
    ] {
        let (mut balancer, _) = balancer(with_retry(attempts), 1, &[1, 1]);
        let Verdict::Send(attempt) = balancer.handle_request(at(0), request(0, idempotent)) else {
            panic!("there are backends");
        };
        let word = match balancer.handle_head(at(1), attempt.id, head) {
            Next::Deliver => "deliver",
            Next::GiveUp => "give up",
            Next::Later => "later",
            Next::Retry(retry) => {
                assert_ne!(retry.backend, attempt.backend);
                "retry"
            }
        };
        assert_eq!(word, expected, "{attempts} {idempotent} {head:?}");
    }
}

#[test]
fn a_chain_tries_every_backend_before_it_comes_back_to_one() {
    for strategy in ["round_robin", "random", "least_request", "p2c"] {
        let settings = Settings { strategy: choose(strategy, &[]), ..with_retry(5) };
        let (mut balancer, _) = balancer(settings, 3, &[1, 5, 1]);
        let mut attempt = send(&mut balancer, at(0), 0);
        let mut chain = vec![attempt.backend];
        while let Next::Retry(next) = balancer.handle_head(at(1), attempt.id, reset()) {
            balancer.handle_end(at(1), attempt.id, End::Aborted);
            attempt = next;
            chain.push(next.backend);
        }
        balancer.handle_end(at(1), attempt.id, End::UpstreamBroke);
        assert_eq!(chain.len(), 5, "{strategy}: all attempts are used");
        let mut first: Vec<u32> = chain[..3].iter().map(|id| id.slot).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2], "{strategy}");
        assert_eq!(balancer.retries(), 4);
        assert_eq!(balancer.requests_in_flight(), 0);
    }
}

#[test]
fn a_spent_budget_denies_and_says_so_once_a_second() {
    let retry = RetrySettings { budget: 0.1, budget_min: 0.0, ..RetrySettings::default() };
    let settings = Settings { retry: Some(retry), ..plain("round_robin") };
    let (mut balancer, _) = balancer(settings, 1, &[1, 1]);
    drain(&mut balancer);
    let mut events = Vec::new();
    for i in 0..200 {
        let now = at(10 * i);
        let attempt = send(&mut balancer, now, i);
        match balancer.handle_head(now, attempt.id, status(503)) {
            Next::Retry(next) => {
                balancer.handle_end(now, attempt.id, End::Aborted);
                balancer.handle_end(now, next.id, End::UpstreamBroke);
            }
            Next::Deliver => balancer.handle_end(now, attempt.id, End::Complete),
            other => panic!("{other:?}"),
        }
        events.extend(drain(&mut balancer).1);
    }
    assert_eq!(balancer.retries(), 20, "a tenth of 200");
    let wake = balancer.poll_timeout().expect("a report of the rest is due");
    balancer.handle_timeout(wake);
    events.extend(drain(&mut balancer).1);
    assert_eq!(
        lines(&events),
        [
            "0 - retries_denied 1 retries beyond the budget",
            "1000 - retries_denied 90 retries beyond the budget",
            "2000 - retries_denied 89 retries beyond the budget",
        ]
    );
    assert_eq!(balancer.poll_timeout(), None);
}

#[test]
fn in_flight_and_failures_are_counted_once() {
    for (head, end, failures) in [
        (Some(status(200)), End::Complete, 0),
        (Some(status(404)), End::Complete, 0),
        (Some(status(500)), End::Complete, 1),
        (Some(status(500)), End::UpstreamBroke, 1),
        (Some(status(200)), End::UpstreamBroke, 1),
        (Some(status(200)), End::ClientLeft, 0),
        (Some(reset()), End::UpstreamBroke, 1),
        (None, End::ClientLeft, 0),
        (None, End::UpstreamBroke, 1),
    ] {
        let (mut balancer, ids) = balancer(plain("random"), 1, &[1]);
        let attempt = send(&mut balancer, at(0), 0);
        assert_eq!(balancer.pool().status(ids[0]).unwrap().in_flight, 1);
        if let Some(head) = head {
            let _ = balancer.handle_head(at(1), attempt.id, head);
        }
        assert_eq!(balancer.pool().status(ids[0]).unwrap().in_flight, 1, "until its end");
        balancer.handle_end(at(2), attempt.id, end);
        let status = balancer.pool().status(ids[0]).unwrap();
        assert_eq!((status.in_flight, status.attempts), (0, 1));
        assert_eq!(status.failures, failures, "{head:?} {end:?}");
    }
}

#[test]
#[should_panic(expected = "an attempt ends exactly once")]
fn an_attempt_that_ends_twice_is_a_bug_of_the_shell() {
    let (mut balancer, _) = balancer(plain("random"), 1, &[1]);
    let attempt = send(&mut balancer, at(0), 0);
    balancer.handle_end(at(1), attempt.id, End::Complete);
    balancer.handle_end(at(1), attempt.id, End::Complete);
}

#[test]
fn a_removed_backend_ends_its_attempts_in_peace() {
    let (mut balancer, ids) = balancer(with_retry(2), 1, &[1, 1]);
    let first = send(&mut balancer, at(0), 0);
    let second = send(&mut balancer, at(0), 1);
    for id in &ids {
        assert_eq!(balancer.handle_command(at(1), Command::Remove(*id)), Ok(None));
    }
    let again = add(&mut balancer, at(1), "b-0", 1);
    assert!(!ids.contains(&again), "an old id never means another backend");
    assert_eq!(balancer.handle_head(at(2), first.id, status(200)), Next::Deliver);
    balancer.handle_end(at(2), first.id, End::Complete);
    let Next::Retry(retry) = balancer.handle_head(at(2), second.id, reset()) else {
        panic!("the new backend is untried");
    };
    assert_eq!(retry.backend, again);
    balancer.handle_end(at(2), second.id, End::Aborted);
    balancer.handle_end(at(3), retry.id, End::Complete);
    let status = balancer.pool().status(again).unwrap();
    assert_eq!((status.in_flight, status.attempts, status.failures), (0, 1, 0));
}

#[test]
fn a_backend_comes_in_with_its_first_pass_and_goes_by_fall_and_rise() {
    let (mut balancer, ids) = balancer(with_health(2, 2), 1, &[1]);
    assert_eq!(state(&balancer, ids[0]), State::Checking);
    assert_eq!(
        balancer.handle_request(at(0), request(0, true)),
        Verdict::Reject(Reject::NoBackend)
    );
    let down = at(2_000)..at(4_000);
    let events = pass_time(&mut balancer, at(0), at(8_000), |now, _| !down.contains(&now));
    let seen = lines(&events);
    assert_eq!(seen[0], "0 b-0 added");
    assert_eq!(seen[1], "0 b-0 ready was checking: probe passed: 200 in 1.2 ms");
    let [_, _, fell, rose] = &events[..] else { panic!("{seen:?}") };
    assert!(
        seen[2].ends_with("b-0 down was ready: 2 probes failed: connection refused"),
        "{seen:?}"
    );
    assert!(seen[3].ends_with("b-0 ready was down: probe passed: 200 in 1.2 ms"), "{seen:?}");
    // Two probes, 0.5 s apart, the first within 0.5 s of the change.
    assert!((at(2_500)..at(3_000)).contains(&fell.at), "{seen:?}");
    assert!((at(4_500)..at(5_000)).contains(&rose.at), "{seen:?}");
    let status = balancer.pool().status(ids[0]).unwrap();
    assert_eq!((status.last_check, status.since), (Some("200 in 1.2 ms"), rose.at));
}

#[test]
fn a_failed_connect_takes_a_backend_out_until_its_next_pass() {
    let (mut balancer, ids) = balancer(with_health(3, 2), 1, &[1]);
    pass_time(&mut balancer, at(0), at(1_000), |_, _| true);
    let attempt = send(&mut balancer, at(1_000), 0);
    assert_eq!(balancer.handle_head(at(1_001), attempt.id, refused()), Next::GiveUp);
    balancer.handle_end(at(1_001), attempt.id, End::UpstreamBroke);
    assert_eq!(state(&balancer, ids[0]), State::Down);
    let events = pass_time(&mut balancer, at(1_001), at(2_000), |_, _| true);
    assert_eq!(lines(&events)[0], "1001 b-0 down was ready: connect failed");
    assert!(lines(&events)[1].contains("b-0 ready was down"), "one pass is enough");
    assert_eq!(events.len(), 2);

    // A connect that was cut short by the request's own end says nothing of the backend …
    let slow = |balancer: &mut Balancer, from: u64, to: u64| {
        let attempt = send(balancer, at(from), 1);
        let head = Head::Failed {
            error: FailureKind::ConnectTimeout,
            sent: Sent::Nothing,
            reused: false,
            replayable: true,
        };
        assert_eq!(balancer.handle_head(at(to), attempt.id, head), Next::GiveUp);
        balancer.handle_end(at(to), attempt.id, End::UpstreamBroke);
    };
    slow(&mut balancer, 2_000, 2_999);
    assert_eq!(state(&balancer, ids[0]), State::Ready);
    // … one that had its whole second does.
    slow(&mut balancer, 2_000, 3_000);
    assert_eq!(state(&balancer, ids[0]), State::Down);

    // Without health checks nothing could bring it back, so nothing takes it out.
    let (mut balancer, ids) = support::balancer(plain("random"), 1, &[1]);
    let attempt = send(&mut balancer, at(0), 0);
    assert_eq!(balancer.handle_head(at(0), attempt.id, refused()), Next::GiveUp);
    assert_eq!(state(&balancer, ids[0]), State::Ready);
}

#[test]
fn a_silent_backend_is_removed_but_never_the_last() {
    let mut settings = with_health(2, 1);
    settings.health.as_mut().unwrap().remove_after = Some(ms(3_000));
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1, 1]);
    // b-0 is well, b-1 dies at 2 s, b-2 never lives.
    let lives = |now: Time, id| id == ids[0] || (id == ids[1] && now < at(2_000));
    let events = pass_time(&mut balancer, at(0), at(10_000), lives);
    let removed: Vec<String> =
        lines(&events).into_iter().filter(|line| line.contains("removed")).collect();
    assert_eq!(removed[0], "3000 b-2 removed silent for 3 s");
    assert!(removed[1].ends_with("b-1 removed silent for 3 s"), "{removed:?}");
    assert_eq!(removed.len(), 2);
    let gone = events.iter().find(|e| e.at > at(4_000)).unwrap().at;
    assert!((at(4_500)..=at(5_000)).contains(&gone), "3 s after its last pass");
    assert_eq!(balancer.pool().len(), 1);

    // The last one stays, however silent, until it is not the last.
    let events = pass_time(&mut balancer, at(10_000), at(30_000), |_, _| false);
    assert!(!lines(&events).iter().any(|line| line.contains("removed")));
    add(&mut balancer, at(30_000), "b-3", 1);
    let events = pass_time(&mut balancer, at(30_000), at(31_000), |_, id| id != ids[0]);
    assert!(lines(&events).iter().any(|line| line.contains("b-0 removed")), "{events:?}");
}

#[test]
fn any_answer_to_a_request_is_a_sign_of_life() {
    let mut settings = with_health(100, 1);
    settings.health.as_mut().unwrap().remove_after = Some(ms(2_000));
    for (answers, removed) in [(true, false), (false, true)] {
        let (mut balancer, ids) = balancer(settings.clone(), 1, &[1, 1]);
        pass_time(&mut balancer, at(0), at(100), |_, _| true);
        for step in 1..40 {
            let now = at(step * 100);
            for i in 0..2 {
                let attempt = send(&mut balancer, now, step * 2 + i);
                let head = if answers { status(500) } else { reset() };
                let _ = balancer.handle_head(now, attempt.id, head);
                balancer.handle_end(now, attempt.id, End::Complete);
            }
            pass_time(&mut balancer, now, now, |_, _| false);
        }
        let here = ids.iter().filter(|&&id| balancer.pool().status(id).is_some()).count();
        assert_eq!(here, if removed { 1 } else { 2 }, "answers: {answers}");
    }
}

#[test]
fn a_drained_backend_gets_nothing_new_until_the_drain_ends() {
    let (mut balancer, ids) = balancer(plain("least_request"), 1, &[1, 1]);
    drain(&mut balancer);
    let running = (0..2).map(|i| send(&mut balancer, at(0), i)).collect::<Vec<_>>();
    let here = running.iter().find(|a| a.backend == ids[0]).expect("one each");
    assert_eq!(balancer.handle_command(at(1), Command::Drain(ids[0])), Ok(None));
    assert_eq!(balancer.handle_command(at(1), Command::Drain(ids[0])), Ok(None), "twice is once");
    assert!((2..50).all(|i| send(&mut balancer, at(1), i).backend == ids[1]));
    balancer.handle_end(at(2), here.id, End::Complete);
    assert_eq!(balancer.handle_command(at(3), Command::Ready(ids[0])), Ok(None));
    assert_eq!(send(&mut balancer, at(3), 50).backend, ids[0], "it has the least to do");
    let (_, events) = drain(&mut balancer);
    assert_eq!(
        lines(&events),
        ["1 b-0 draining was ready: drain asked for", "3 b-0 ready was draining: drain ended"]
    );
}

#[test]
fn commands_check_what_they_are_given() {
    let (mut balancer, ids) = balancer(plain("random"), 1, &[1]);
    drain(&mut balancer);
    let gone = BackendId { slot: 9, generation: 0 };
    let add = |weight| Command::Add { name: "b-1".into(), weight };
    for (command, error) in [
        (Command::Add { name: "b-0".into(), weight: 1 }, CommandError::NameTaken("b-0".into())),
        (add(0), CommandError::BadWeight(0)),
        (add(65_537), CommandError::BadWeight(65_537)),
        (Command::Weight(ids[0], 0), CommandError::BadWeight(0)),
        (Command::Weight(gone, 1), CommandError::UnknownBackend(gone)),
        (Command::Remove(gone), CommandError::UnknownBackend(gone)),
        (Command::Drain(gone), CommandError::UnknownBackend(gone)),
        (Command::Ready(gone), CommandError::UnknownBackend(gone)),
    ] {
        assert_eq!(balancer.handle_command(at(0), command), Err(error));
    }
    assert_eq!(drain(&mut balancer), (vec![], vec![]), "a refused command changes nothing");
    for command in [
        Command::Weight(ids[0], 3),
        Command::Weight(ids[0], 3),
        Command::Strategy(choose("p2c", &[])),
        Command::Remove(ids[0]),
    ] {
        assert_eq!(balancer.handle_command(at(5), command), Ok(None));
    }
    assert_eq!(
        lines(&drain(&mut balancer).1),
        ["5 b-0 weight_changed 3", "5 - strategy_changed p2c", "5 b-0 removed command"]
    );
    assert_eq!(balancer.settings().strategy.name(), "p2c");
}

#[test]
fn a_new_strategy_takes_over_at_once() {
    let (mut balancer, ids) = balancer(plain("round_robin"), 1, &[1, 1]);
    let busy = send(&mut balancer, at(0), 0).backend;
    let idle = if busy == ids[0] { ids[1] } else { ids[0] };
    let command = Command::Strategy(choose("least_request", &[]));
    assert_eq!(balancer.handle_command(at(1), command), Ok(None));
    assert_eq!(send(&mut balancer, at(1), 1).backend, idle);
}
