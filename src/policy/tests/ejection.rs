//! What becomes of backends that fail their requests: who is ejected, for how long, and what keeps
//! enough of them in service. It must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{BackendId, FailureKind, Sent, Time};
use policy::{
    Balancer, Command, EjectionSettings, End, Head, HealthSettings, Next, PanicSettings,
    RetrySettings, Settings, State,
};
use support::*;

fn ejecting(change: impl FnOnce(&mut EjectionSettings)) -> Settings {
    let mut ejection = EjectionSettings { jitter: 0.0, ..EjectionSettings::default() };
    change(&mut ejection);
    Settings { ejection: Some(ejection), ..plain("round_robin") }
}

/// Sends one request and has it answered by what `answer` says of its backend.
fn serve(balancer: &mut Balancer, now: Time, id: u64, answer: impl Fn(BackendId) -> Head) {
    let mut attempt = send(balancer, now, id);
    loop {
        let end = match balancer.handle_head(now, attempt.id, answer(attempt.backend)) {
            Next::Retry(next) => {
                balancer.handle_end(now, attempt.id, End::Aborted);
                attempt = next;
                continue;
            }
            Next::Deliver => End::Complete,
            Next::GiveUp => End::UpstreamBroke,
            Next::Later => panic!("no backoff is set"),
        };
        return balancer.handle_end(now, attempt.id, end);
    }
}

#[test]
fn failures_in_a_row_eject_until_the_time_is_over() {
    let (mut balancer, ids) = balancer(ejecting(|_| {}), 1, &[1, 1]);
    drain(&mut balancer);
    let answer = |id| if id == ids[0] { status(500) } else { status(200) };
    for i in 0..100 {
        serve(&mut balancer, at(10 * i), i, answer);
    }
    let status = balancer.pool().status(ids[0]).unwrap();
    assert_eq!((status.state, status.failures, status.ejections), (State::Ejected, 5, 1));
    assert_eq!(status.last_failure.unwrap().to_string(), "status 500");
    assert_eq!(status.reason, "5 failures in a row, the last: status 500; ejected for 5 s");
    let until = status.ejected_until.unwrap();
    assert_eq!(until, status.since + Duration::from_secs(5));
    assert_eq!(balancer.poll_timeout(), Some(until), "exactly then, and nothing before");
    balancer.handle_timeout(until);
    assert_eq!(state(&balancer, ids[0]), State::Ready);
    assert_eq!(balancer.poll_timeout(), None);
    let events = drain(&mut balancer).1;
    assert_eq!(events[1].at, until);
    let lines = lines(&events);
    assert!(lines[0].ends_with(
        "b-0 ejected was ready: 5 failures in a row, the last: status 500; ejected for 5 s"
    ));
    assert!(lines[1].ends_with("b-0 ready was ejected: ejected for 5 s, back"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

/// Time in service takes doublings back, and that before an ejection none of those after it.
#[test]
fn ejections_grow_with_what_went_before() {
    let (mut balancer, ids) = balancer(ejecting(|_| {}), 1, &[1, 1]);
    let mut now = at(0);
    for (served, seconds) in [(100, 5), (0, 10), (19, 20), (40, 20), (0, 40), (0, 60), (0, 60)] {
        now += Duration::from_secs(served);
        for i in 0..12 {
            serve(&mut balancer, now, i, |id| if id == ids[0] { reset() } else { status(200) });
        }
        let until = balancer.pool().status(ids[0]).unwrap().ejected_until.expect("it failed");
        assert_eq!(until, now + Duration::from_secs(seconds), "after {served} s in service");
        now = until;
        balancer.handle_timeout(now);
    }
}

#[test]
fn a_backend_that_asks_to_be_left_alone_is() {
    let retry_after = |seconds| Head::Status {
        status: 503,
        replayable: true,
        retry_after: Some(Duration::from_secs(seconds)),
    };
    for (retries, asked, given) in [(true, 3, Some(3)), (true, 99, Some(30)), (false, 3, None)] {
        let retry = retries.then(RetrySettings::default);
        let (mut balancer, ids) = balancer(Settings { retry, ..plain("random") }, 1, &[1, 1]);
        let answer = |id| if id == ids[0] { retry_after(asked) } else { status(200) };
        for i in 0..20 {
            serve(&mut balancer, at(0), i, answer);
        }
        let until = balancer.pool().status(ids[0]).unwrap().ejected_until;
        assert_eq!(until, given.map(|seconds| at(1_000 * seconds)));
        if let Some(seconds) = given {
            let reason = format!("asked to be left alone for {seconds} s");
            assert_eq!(balancer.pool().status(ids[0]).unwrap().reason, reason);
        }
    }
}

/// What one attempt shows, as a table has it: its head, if any, and its end.
#[test]
fn what_counts_as_a_failure() {
    let late = Head::Failed {
        error: FailureKind::ConnectTimeout,
        sent: Sent::Nothing,
        reused: false,
        replayable: true,
    };
    for (head, after, end, counts) in [
        (Some(status(200)), 1, End::Complete, false),
        (Some(status(404)), 1, End::Complete, false),
        (Some(status(429)), 1, End::Complete, false),
        (Some(status(500)), 1, End::Complete, true),
        (Some(status(503)), 1, End::Aborted, true), // a retry took over: per attempt
        (Some(status(500)), 1, End::ClientLeft, true),
        (Some(reset()), 1, End::UpstreamBroke, true),
        (Some(refused()), 1, End::UpstreamBroke, true),
        (Some(late), 1_000, End::UpstreamBroke, true),
        (Some(late), 999, End::UpstreamBroke, false), // it had less time than connecting may take
        (Some(status(200)), 1, End::UpstreamBroke, true), // the body broke off
        (None, 1, End::UpstreamBroke, true),
        (Some(status(200)), 1, End::ClientLeft, false),
        (None, 1, End::ClientLeft, false),
        (None, 1, End::Aborted, false), // the shell's own trouble, or a hedge was faster
    ] {
        let settings = ejecting(|ejection| ejection.consecutive = Some(2));
        let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
        for i in 0..4 {
            let attempt = send(&mut balancer, at(2_000 * i), i);
            if attempt.backend == ids[0] {
                let now = at(2_000 * i + after);
                if let Some(head) = head {
                    let _ = balancer.handle_head(now, attempt.id, head);
                }
                balancer.handle_end(now, attempt.id, end);
            }
        }
        let status = balancer.pool().status(ids[0]).unwrap();
        assert_eq!(status.state == State::Ejected, counts, "{head:?} {end:?}");
        assert_eq!(status.last_failure.is_some(), counts, "{head:?} {end:?}");
    }
}

/// A client that leaves is no success either: it does not end a streak.
#[test]
fn good_answers_end_a_streak_when_they_are_whole() {
    for (head, end, ejected) in [
        (Some(status(200)), End::Complete, false),
        (Some(status(200)), End::ClientLeft, true),
        (None, End::ClientLeft, true),
    ] {
        let settings = ejecting(|ejection| ejection.consecutive = Some(4));
        let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
        assert_eq!(balancer.handle_command(at(0), Command::Weight(ids[0], 100)), Ok(None));
        let mut seen = 0;
        for i in 0..20 {
            let attempt = send(&mut balancer, at(i), i);
            if attempt.backend == ids[0] && seen < 5 {
                seen += 1;
                let (head, end) =
                    if seen == 3 { (head, end) } else { (Some(status(500)), End::Complete) };
                if let Some(head) = head {
                    let _ = balancer.handle_head(at(i), attempt.id, head);
                }
                balancer.handle_end(at(i), attempt.id, end);
            }
        }
        assert_eq!(state(&balancer, ids[0]) == State::Ejected, ejected, "{head:?} {end:?}");
    }
}

#[test]
fn too_large_a_share_of_failures_ejects() {
    let settings = ejecting(|ejection| {
        ejection.consecutive = None;
        ejection.ratio = Some(0.5);
    });
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
    // Every other request at b-0 fails, from the first.
    let turn = std::cell::Cell::new(0);
    for i in 0..100 {
        serve(&mut balancer, at(10 * i), i, |id| {
            turn.set(turn.get() + u32::from(id == ids[0]));
            if id == ids[0] && turn.get() % 2 == 1 { status(503) } else { status(200) }
        });
    }
    let status = balancer.pool().status(ids[0]).unwrap();
    // 20 are needed, and of 21 eleven are the first half at a failure.
    assert_eq!((status.state, status.attempts), (State::Ejected, 21));
    assert_eq!(status.reason, "52 % of 21 requests failed in 10 s; ejected for 5 s");
}

#[test]
fn a_guard_that_stops_an_ejection_says_so_once_a_second() {
    for (weights, max_ejected, ejected, guard) in [
        (&[1; 4][..], 0.5, 2, "2 of 4 are ejected already"),
        (&[1; 4], 0.25, 1, "1 of 4 is ejected already"),
        (&[1; 4], 1.0, 3, "it is the last one in service"),
        (&[1], 1.0, 0, "it is the last one in service"),
    ] {
        let settings = ejecting(|ejection| ejection.max_ejected = max_ejected);
        let (mut balancer, _) = balancer(settings, 1, weights);
        drain(&mut balancer);
        for i in 0..250 {
            serve(&mut balancer, at(10 * i), i, |_| status(500));
        }
        let events = lines(&drain(&mut balancer).1);
        let (out, denied): (Vec<&String>, Vec<&String>) =
            events.iter().partition(|line| line.contains(" ejected was ready"));
        assert_eq!(out.len(), ejected);
        assert_eq!(denied.len(), 3, "at once, and then once a second: {denied:?}");
        let first =
            format!(" ejection_denied 5 failures in a row, the last: status 500; but {guard}");
        assert!(denied[0].ends_with(&first), "{denied:?}");
        assert!(denied[1].contains(&format!("{guard} (")), "{denied:?}");
        // The rest is reported when its second is over, whether requests come or not.
        let due = balancer.poll_timeout().expect("a report");
        balancer.handle_timeout(due);
        assert!(lines(&drain(&mut balancer).1)[0].contains("ejection_denied"));
    }
}

#[test]
fn a_probe_that_passes_ends_no_ejection() {
    let mut settings = with_health(1, 1);
    settings.ejection = Some(EjectionSettings { jitter: 0.0, ..EjectionSettings::default() });
    settings.health =
        settings.health.map(|h| HealthSettings { remove_after: Some(ms(3_000)), ..h });
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
    pass_time(&mut balancer, at(0), at(1_000), |_, _| true);
    for i in 0..10 {
        serve(&mut balancer, at(1_000), i, |id| if id == ids[0] { reset() } else { status(200) });
    }
    // Its probes pass, fail from 2 s on, and pass again from 4 s on; its time is over at 6 s.
    let passes = |now, id| id != ids[0] || now < at(2_000) || now >= at(4_000);
    let events = pass_time(&mut balancer, at(1_000), at(7_000), passes);
    let words: Vec<String> =
        lines(&events).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let ejection = "5 failures in a row, the last: connection reset; ejected for 5 s";
    assert_eq!(
        words,
        [
            format!("b-0 ejected was ready: {ejection}"),
            "b-0 down was ejected: 1 probe failed: connection refused".into(),
            format!("b-0 ejected was down: {ejection}"),
            "b-0 ready was ejected: ejected for 5 s, back".into(),
        ]
    );
    assert_eq!(events[3].at, at(6_000));
    assert_eq!(balancer.pool().len(), 2, "probes that pass are signs of life");

    // Silent for too long it goes, ejected or not, and its ejection counts no more.
    for i in 0..10 {
        serve(&mut balancer, at(7_000), i, |id| if id == ids[0] { reset() } else { status(200) });
    }
    assert_eq!(balancer.pool().ejected_count(), 1);
    let events = pass_time(&mut balancer, at(7_000), at(30_000), |_, id| id != ids[0]);
    assert!(lines(&events).iter().any(|line| line.contains("b-0 removed silent for 3 s")));
    assert_eq!(balancer.pool().ejected_count(), 0);
}

#[test]
fn switched_off_it_lets_all_back_but_those_that_asked() {
    let settings = Settings {
        retry: Some(RetrySettings { attempts: 1, ..RetrySettings::default() }),
        ..ejecting(|ejection| ejection.max_ejected = 1.0)
    };
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1, 1]);
    let asks =
        Head::Status { status: 429, replayable: true, retry_after: Some(Duration::from_secs(7)) };
    for i in 0..60 {
        let heads = [status(500), asks, status(200)];
        serve(&mut balancer, at(0), i, |id| heads[id.slot as usize]);
    }
    let states =
        |balancer: &Balancer| ids.iter().map(|&id| state(balancer, id)).collect::<Vec<_>>();
    assert_eq!(states(&balancer), [State::Ejected, State::Ejected, State::Ready]);
    let mut settings = balancer.settings().clone();
    settings.ejection = None;
    let command = Command::Settings(Box::new(settings));
    assert_eq!(balancer.handle_command(at(1), command), Ok(None));
    assert_eq!(states(&balancer), [State::Ready, State::Ejected, State::Ready]);
    assert_eq!(balancer.pool().status(ids[0]).unwrap().reason, "ejection switched off");
    assert_eq!(balancer.poll_timeout(), Some(at(7_000)));
    balancer.handle_timeout(at(7_000));
    assert_eq!(states(&balancer), [State::Ready; 3]);
    // And it is off.
    for i in 0..60 {
        serve(&mut balancer, at(8_000), i, |_| status(500));
    }
    assert_eq!(states(&balancer), [State::Ready; 3]);
}

#[test]
fn in_a_panic_the_ejected_are_used_and_stay_ejected() {
    let settings = Settings {
        panic: Some(PanicSettings { threshold: 0.6 }),
        ..ejecting(|ejection| ejection.max_ejected = 0.5)
    };
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
    let mut got = 0;
    for i in 0..100 {
        let used = balancer.pool().status(ids[0]).unwrap().attempts;
        serve(&mut balancer, at(i), i, |id| if id == ids[0] { status(500) } else { status(200) });
        got = balancer.pool().status(ids[0]).unwrap().attempts;
        assert!(got - used <= 1);
    }
    assert!((49..=51).contains(&got), "{got} is not half of all, as if nothing were");
    let status = balancer.pool().status(ids[0]).unwrap();
    assert_eq!((status.state, status.ejections), (State::Ejected, 1));
    let until = status.ejected_until.unwrap();
    balancer.handle_timeout(until);
    assert!(!balancer.pool().is_panicking());
    assert_eq!(state(&balancer, ids[0]), State::Ready);
}
