//! What becomes of backends that fail their requests: who is ejected, for how long, and what keeps
//! enough of them in service. It must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::time::Duration;

use base::{BackendId, Time};
use policy::{Balancer, EjectionSettings, End, Head, Next, RetrySettings, Settings, State};
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
