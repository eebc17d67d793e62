//! Further attempts, before and after one has failed: as a shell sees it.
//! These tests must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{BackendId, RequestId, RequestMeta, Time};
use policy::{
    Attempt, Balancer, Command, End, Head, HedgingSettings, LimitSettings, Next, Output, Reject,
    RetrySettings, Settings, TimeoutSettings, Verdict, settings::MAX_ATTEMPTS,
};
use support::*;

fn with_backoff(backoff: u64) -> Settings {
    let retry = RetrySettings {
        attempts: 3,
        backoff: ms(backoff),
        budget_min: 100.0,
        ..RetrySettings::default()
    };
    Settings { retry: Some(retry), ..plain("p2c") }
}

/// What the balancer put out for requests.
fn served(balancer: &mut Balancer) -> Vec<Result<Attempt, Reject>> {
    let mut served = Vec::new();
    while let Some(output) = balancer.poll_output() {
        match output {
            Output::Send(attempt) => served.push(Ok(attempt)),
            Output::Reject(_, why) => served.push(Err(why)),
            _ => {}
        }
    }
    served
}

/// Fails an attempt, which the balancer drops for later.
fn fail_for_later(balancer: &mut Balancer, now: Time, attempt: &Attempt, head: Head) {
    assert_eq!(balancer.handle_head(now, attempt.id, head), Next::Later);
    balancer.handle_end(now, attempt.id, End::Aborted);
}

#[test]
fn a_retry_waits_for_its_backoff_and_picks_afresh() {
    let (mut balancer, ids) = balancer(with_backoff(50), 1, &[1, 1, 1]);
    let mut attempt = send(&mut balancer, at(0), 7);
    let mut now = at(0);
    let first = attempt.backend;
    for number in [2, 3] {
        fail_for_later(&mut balancer, now, &attempt, status(503));
        assert!(served(&mut balancer).is_empty());
        assert_eq!(balancer.requests_in_flight(), 1, "it is not over");
        let due = balancer.poll_timeout().expect("the backoff ends");
        assert!(due > now && due < now + ms(50 * (2 << (number - 2)) - 50), "{due}");
        if number == 2 {
            // One of the two that it may go to leaves meanwhile.
            let gone = ids.iter().find(|&&id| id != first).expect("there are three");
            balancer.handle_command(now, Command::Remove(*gone)).expect("it is there");
        }
        balancer.handle_timeout(due);
        let [Ok(retry)] = served(&mut balancer)[..] else { panic!("one is sent") };
        assert_eq!((retry.number, retry.request), (number, RequestId(7)));
        assert!(balancer.pool().status(retry.backend).is_some());
        if number == 2 {
            assert_ne!(retry.backend, first);
        }
        (attempt, now) = (retry, due);
    }
    assert_eq!(balancer.handle_head(now, attempt.id, status(503)), Next::Deliver, "the last");
    balancer.handle_end(now, attempt.id, End::Complete);
    assert_eq!((balancer.retries(), balancer.requests_in_flight()), (2, 0));
    assert_eq!(balancer.poll_timeout(), None);
}

/// A request counts its attempts in a byte.
#[test]
fn nobody_is_tried_beyond_all_measure_whatever_the_settings_say() {
    let retry = RetrySettings { attempts: u32::MAX, budget_min: 1e6, ..RetrySettings::default() };
    let settings = Settings { retry: Some(retry), ..plain("p2c") };
    let (mut balancer, _) = balancer(settings, 1, &[1, 1]);
    let mut attempt = send(&mut balancer, at(0), 0);
    let mut sent = 1;
    while let Next::Retry(next) = balancer.handle_head(at(0), attempt.id, status(503)) {
        sent += 1;
        assert_eq!(next.number, sent);
        balancer.handle_end(at(0), attempt.id, End::Aborted);
        attempt = next;
    }
    balancer.handle_end(at(0), attempt.id, End::Complete);
    assert_eq!((sent, balancer.requests_in_flight()), (MAX_ATTEMPTS, 0));
}

#[test]
fn no_backoff_begins_that_leads_nowhere() {
    // Beyond the total; nobody to try; no budget: the answer is delivered at once.
    let late = TimeoutSettings { total: Some(ms(1)), ..TimeoutSettings::default() };
    let poor = RetrySettings { budget: 0.0, budget_min: 0.0, ..with_backoff(50).retry.unwrap() };
    for (settings, drained) in [
        (Settings { timeout: late, ..with_backoff(1_000_000) }, false),
        (Settings { retry: Some(poor), ..with_backoff(50) }, false),
        (with_backoff(50), true),
    ] {
        let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
        let attempt = send(&mut balancer, at(0), 0);
        for id in ids.into_iter().filter(|_| drained) {
            balancer.handle_command(at(0), Command::Drain(id)).expect("it is there");
        }
        assert_eq!(balancer.handle_head(at(0), attempt.id, status(503)), Next::Deliver);
        balancer.handle_end(at(0), attempt.id, End::Complete);
        assert_eq!(balancer.requests_in_flight(), 0);
    }
}

#[test]
fn when_nobody_is_left_after_a_backoff_the_request_is_refused() {
    for (drain, most, expected) in
        [(true, None, Reject::NoBackend), (false, Some(1), Reject::QueueFull)]
    {
        let limits = LimitSettings { max_in_flight: most, ..LimitSettings::default() };
        let settings = Settings { limits: Some(limits), ..with_backoff(50) };
        let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
        let attempt = send(&mut balancer, at(0), 0);
        fail_for_later(&mut balancer, at(0), &attempt, reset());
        if drain {
            for &id in &ids {
                balancer.handle_command(at(0), Command::Drain(id)).expect("it is there");
            }
        } else {
            let _ = [send(&mut balancer, at(0), 1), send(&mut balancer, at(0), 2)];
        }
        served(&mut balancer);
        balancer.handle_timeout(at(50));
        assert_eq!(served(&mut balancer), [Err(expected)]);
        assert_eq!(balancer.requests_in_flight(), if drain { 0 } else { 2 });
    }
}

#[test]
fn a_client_that_leaves_during_a_backoff_is_forgotten() {
    for before_its_end in [false, true] {
        let (mut balancer, _) = balancer(with_backoff(50), 1, &[1, 1]);
        let attempt = send(&mut balancer, at(0), 0);
        assert_eq!(balancer.handle_head(at(0), attempt.id, reset()), Next::Later);
        if !before_its_end {
            balancer.handle_end(at(0), attempt.id, End::Aborted);
        }
        balancer.handle_cancel(at(0), RequestId(0));
        if before_its_end {
            balancer.handle_end(at(0), attempt.id, End::Aborted);
        }
        assert_eq!(balancer.requests_in_flight(), 0);
        assert_eq!(balancer.poll_timeout(), None, "nobody is woken for it");
        balancer.handle_timeout(at(100));
        assert!(served(&mut balancer).is_empty());
    }
}

#[test]
fn who_asks_for_time_is_not_asked_again_and_holds_nobody_back() {
    let asks = Head::Status { status: 503, replayable: true, retry_after: Some(ms(60_000)) };
    // Another is there: at once.
    let (mut two, _) = balancer(with_backoff(0), 1, &[1, 1]);
    let attempt = send(&mut two, at(0), 0);
    let Next::Retry(retry) = two.handle_head(at(0), attempt.id, asks) else {
        panic!("the other has not asked for anything");
    };
    assert_ne!(retry.backend, attempt.backend);
    // Nobody else: the client is told, as it is not by a 503 that asks for nothing.
    for (head, again) in [(asks, false), (status(503), true)] {
        let (mut one, _) = balancer(with_backoff(0), 1, &[1]);
        let attempt = send(&mut one, at(0), 0);
        let next = one.handle_head(at(0), attempt.id, head);
        assert_eq!(matches!(next, Next::Retry(_)), again, "{next:?}");
        assert_eq!(next == Next::Deliver, !again);
    }
}

/// Hedges after 10 ms or more; retries as they are by default.
fn with_hedging(retry: bool) -> Settings {
    let hedging = HedgingSettings { percentile: 0.9, min_requests: 20, min_delay: ms(10) };
    let retry = retry.then(|| RetrySettings { attempts: 3, ..RetrySettings::default() });
    Settings { hedging: Some(hedging), retry, ..plain("p2c") }
}

/// A balancer that knows that requests take 4 ms, at 1 s.
fn hedging(settings: Settings, weights: &[u32]) -> (Balancer, Vec<BackendId>) {
    let (mut balancer, ids) = balancer(settings, 1, weights);
    for id in 0..20 {
        let attempt = send(&mut balancer, at(990), 1_000 + id);
        assert_eq!(balancer.handle_head(at(994), attempt.id, status(200)), Next::Deliver);
        balancer.handle_end(at(994), attempt.id, End::Complete);
    }
    served(&mut balancer);
    (balancer, ids)
}

fn send_replayable(balancer: &mut Balancer, now: Time, id: u64) -> Attempt {
    let meta = RequestMeta { replayable: true, ..request(id, true) };
    let Verdict::Send(attempt) = balancer.handle_request(now, meta) else { panic!("{id}") };
    attempt
}

/// A request and its hedge.
fn pair(balancer: &mut Balancer) -> (Attempt, Attempt) {
    let first = send_replayable(balancer, at(1_000), 7);
    assert_eq!(balancer.poll_timeout(), Some(at(1_010)));
    balancer.handle_timeout(at(1_010));
    let [Ok(hedge)] = served(balancer)[..] else { panic!("a hedge is due") };
    assert_eq!((hedge.request, hedge.number), (first.request, 2));
    assert_ne!(hedge.backend, first.backend);
    (first, hedge)
}

#[test]
fn the_first_good_head_wins_and_the_other_is_broken_off() {
    for first_wins in [true, false] {
        let (mut balancer, _) = hedging(with_hedging(true), &[1, 1]);
        let (first, hedge) = pair(&mut balancer);
        let (winner, loser) = if first_wins { (first, hedge) } else { (hedge, first) };
        assert_eq!(balancer.handle_head(at(1_012), winner.id, status(200)), Next::Deliver);
        assert!(matches!(balancer.poll_output(), Some(Output::Abort(id)) if id == loser.id));
        // Its head may have been on its way: it changes nothing.
        if first_wins {
            assert_eq!(balancer.handle_head(at(1_012), loser.id, status(200)), Next::Later);
        }
        balancer.handle_end(at(1_012), loser.id, End::Aborted);
        balancer.handle_end(at(1_013), winner.id, End::Complete);
        assert_eq!((balancer.requests_in_flight(), balancer.counts().hedges), (0, 1));
        assert_eq!((balancer.retries(), balancer.poll_timeout()), (0, None));
        assert!(balancer.pool().statuses().all(|backend| backend.in_flight == 0));
    }
}

#[test]
fn a_bad_head_loses_while_the_other_is_out_and_the_last_one_decides() {
    // What the attempts show in turn, with retries on or off, and what follows each.
    for (retries, heads, ends) in [
        (true, [reset(), status(200)], Next::Deliver),
        (true, [status(500), status(200)], Next::Deliver),
        (true, [status(503), status(500)], Next::Deliver), // the client sees what came last
        (true, [status(500), reset()], Next::GiveUp),      // stands for a retry: see below
        (false, [status(503), status(503)], Next::Deliver),
        (false, [reset(), reset()], Next::GiveUp),
    ] {
        let (mut balancer, _) = hedging(with_hedging(retries), &[1, 1, 1]);
        let (first, hedge) = pair(&mut balancer);
        assert_eq!(balancer.handle_head(at(1_011), hedge.id, heads[0]), Next::Later);
        balancer.handle_end(at(1_011), hedge.id, End::Aborted);
        let next = balancer.handle_head(at(1_012), first.id, heads[1]);
        if retries && ends == Next::GiveUp {
            let Next::Retry(third) = next else { panic!("a third attempt is due: {next:?}") };
            assert_eq!(third.number, 3, "the hedge counts as an attempt");
            assert!(third.backend != first.backend && third.backend != hedge.backend);
            balancer.handle_end(at(1_012), third.id, End::Complete);
        } else {
            assert_eq!(next, ends, "{heads:?}");
        }
        balancer.handle_end(at(1_012), first.id, End::Complete);
        assert!(served(&mut balancer).is_empty());
        assert_eq!(balancer.requests_in_flight(), 0);
    }
}

#[test]
fn hedges_are_for_slow_requests_that_may_be_sent_twice() {
    let poor = RetrySettings { budget: 0.0, budget_min: 0.0, ..RetrySettings::default() };
    let poor = Settings { retry: Some(poor), ..with_hedging(true) };
    let limits = LimitSettings { max_in_flight: Some(1), ..LimitSettings::default() };
    let full = Settings { limits: Some(limits), ..with_hedging(true) };
    let late = TimeoutSettings { total: Some(ms(10)), ..TimeoutSettings::default() };
    let late = Settings { timeout: late, ..with_hedging(true) };
    let plain = || with_hedging(false);
    for (settings, weights, meta, hedged, why) in [
        (plain(), vec![1, 1], (true, true), true, "as a rule, also without retries"),
        (plain(), vec![1, 1], (true, false), false, "it cannot be sent again"),
        (plain(), vec![1, 1], (false, true), false, "it must not be sent twice"),
        (plain(), vec![1], (true, true), false, "there is nobody else"),
        (poor, vec![1, 1], (true, true), false, "no budget"),
        (full, vec![1, 1], (true, true), false, "no room"),
        (late, vec![1, 1], (true, true), false, "no time"),
    ] {
        let (mut balancer, _) = hedging(settings, &weights);
        let (idempotent, replayable) = meta;
        let meta = RequestMeta { replayable, ..request(0, idempotent) };
        let Verdict::Send(_) = balancer.handle_request(at(1_000), meta) else { panic!("{why}") };
        if why == "no room" {
            let _ = send(&mut balancer, at(1_000), 1);
        }
        balancer.handle_timeout(at(1_010));
        assert_eq!(served(&mut balancer).len(), usize::from(hedged), "{why}");
        balancer.handle_timeout(at(1_100));
        assert!(served(&mut balancer).is_empty(), "one at most");
    }
}

#[test]
fn a_request_that_is_answered_in_time_wakes_nobody() {
    let (mut balancer, _) = hedging(with_hedging(true), &[1, 1]);
    let attempts: Vec<_> = (0..5).map(|id| send_replayable(&mut balancer, at(1_000), id)).collect();
    for attempt in attempts {
        assert_eq!(balancer.poll_timeout(), Some(at(1_010)));
        assert_eq!(balancer.handle_head(at(1_004), attempt.id, status(200)), Next::Deliver);
        balancer.handle_end(at(1_004), attempt.id, End::Complete);
    }
    assert_eq!(balancer.poll_timeout(), None);
}

#[test]
fn a_client_that_leaves_ends_both_attempts() {
    let (mut balancer, _) = hedging(with_hedging(true), &[1, 1]);
    let (first, hedge) = pair(&mut balancer);
    balancer.handle_end(at(1_011), first.id, End::ClientLeft);
    assert_eq!(balancer.requests_in_flight(), 1);
    balancer.handle_end(at(1_011), hedge.id, End::ClientLeft);
    assert_eq!((balancer.requests_in_flight(), balancer.poll_timeout()), (0, None));
}
