//! Requests that wait, backends that are full, settings that change on the way: as a shell sees it.
//! These tests must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{RequestId, Time};
use policy::{
    Attempt, Balancer, Command, End, Excluded, HealthSettings, LimitSettings, MAX_EXPLAINED, Next,
    Output, QueueSettings, Reject, RetrySettings, Settings, TimeoutSettings, Verdict,
};
use support::*;

/// At most `each` at a backend, `size` in the queue for 100 ms.
fn bounded(each: u32, size: u32) -> Settings {
    let limits = LimitSettings { max_in_flight: Some(each), ..LimitSettings::default() };
    let queue = (size > 0).then(|| QueueSettings { size, wait: ms(100) });
    Settings { limits: Some(limits), queue, ..plain("p2c") }
}

/// What becomes of a new request, in a word.
fn arrive(balancer: &mut Balancer, now: Time, id: u64) -> &'static str {
    match balancer.handle_request(now, request(id, true)) {
        Verdict::Send(_) => "sent",
        Verdict::Wait(waits) if waits == RequestId(id) => "waits",
        Verdict::Reject(Reject::QueueFull) => "full",
        Verdict::Reject(Reject::NoBackend) => "nobody",
        other => panic!("{other:?}"),
    }
}

/// What the balancer put out for requests: those sent, and those refused.
fn served(balancer: &mut Balancer) -> (Vec<Attempt>, Vec<(u64, Reject)>) {
    let (mut sent, mut refused) = (Vec::new(), Vec::new());
    while let Some(output) = balancer.poll_output() {
        match output {
            Output::Send(attempt) => sent.push(attempt),
            Output::Reject(request, why) => refused.push((request.0, why)),
            _ => {}
        }
    }
    (sent, refused)
}

fn ids(sent: &[Attempt]) -> Vec<u64> {
    sent.iter().map(|attempt| attempt.request.0).collect()
}

#[test]
fn a_full_backend_gets_nothing_while_another_has_room() {
    for strategy in strategies() {
        let settings = Settings { strategy: choose(strategy, &[]), ..bounded(3, 0) };
        let (mut balancer, backends) = balancer(settings, 5, &[9, 1, 1]);
        let words: Vec<_> = (0..11).map(|id| arrive(&mut balancer, at(0), id)).collect();
        assert_eq!(words, [["sent"; 9].as_slice(), &["full"; 2]].concat(), "{strategy}");
        for id in backends {
            assert_eq!(balancer.pool().status(id).unwrap().in_flight, 3, "{strategy}");
        }
    }
}

#[test]
fn those_who_wait_are_sent_in_their_order_and_nobody_overtakes() {
    let (mut balancer, _) = balancer(bounded(1, 3), 1, &[1]);
    let first = send(&mut balancer, at(0), 0);
    assert_eq!(
        [1, 2, 3, 4].map(|id| arrive(&mut balancer, at(1), id)),
        ["waits", "waits", "waits", "full"]
    );
    balancer.handle_cancel(at(2), RequestId(2));
    assert_eq!(balancer.queued(), 2);
    assert_eq!(arrive(&mut balancer, at(3), 5), "waits", "a place is free at once");
    let mut open = first.id;
    for (now, expected) in [(10, 1), (20, 3), (30, 5)] {
        balancer.handle_end(at(now), open, End::Complete);
        let (sent, refused) = served(&mut balancer);
        assert_eq!((ids(&sent), refused.len()), (vec![expected], 0));
        open = sent[0].id;
    }
    balancer.handle_end(at(40), open, End::Complete);
    assert_eq!((balancer.queued(), balancer.requests_in_flight()), (0, 0));
    balancer.handle_cancel(at(50), RequestId(5));
    assert_eq!(balancer.poll_timeout(), None);
}

#[test]
fn nobody_waits_longer_than_the_queue_and_the_total_allow() {
    for (total, ends) in [(None, 110), (Some(500), 110), (Some(40), 50)] {
        let timeout = TimeoutSettings { total: total.map(ms), ..TimeoutSettings::default() };
        let (mut balancer, _) = balancer(Settings { timeout, ..bounded(1, 5) }, 1, &[1]);
        let _ = send(&mut balancer, at(0), 0);
        assert_eq!([1, 2].map(|id| arrive(&mut balancer, at(10), id)), ["waits"; 2]);
        assert_eq!(arrive(&mut balancer, at(11), 3), "waits");
        assert_eq!(balancer.poll_timeout(), Some(at(ends)));
        balancer.handle_timeout(at(ends - 1));
        assert_eq!(served(&mut balancer), (vec![], vec![]));
        balancer.handle_timeout(at(ends));
        let late = |id| (id, Reject::QueueTimeout);
        assert_eq!(served(&mut balancer), (vec![], vec![late(1), late(2)]));
        assert_eq!(balancer.poll_timeout(), Some(at(ends + 1)));
    }
}

#[test]
fn the_total_counts_from_the_arrival() {
    let timeout = TimeoutSettings { total: Some(ms(80)), ..TimeoutSettings::default() };
    let (mut balancer, _) = balancer(Settings { timeout, ..bounded(1, 5) }, 1, &[1]);
    let first = send(&mut balancer, at(0), 0);
    assert_eq!(arrive(&mut balancer, at(10), 1), "waits");
    balancer.handle_end(at(60), first.id, End::Complete);
    let (sent, _) = served(&mut balancer);
    assert_eq!((sent[0].number, sent[0].body_by, sent[0].connect_by), (1, at(90), at(90)));
}

#[test]
fn with_a_queue_requests_wait_for_a_backend_too() {
    let health = HealthSettings { interval: ms(50), jitter: 0.0, ..HealthSettings::default() };
    let settings = Settings { health: Some(health), ..bounded(8, 2) };
    let (mut balancer, _) = balancer(Settings { queue: None, ..settings.clone() }, 1, &[1]);
    assert_eq!(arrive(&mut balancer, at(0), 0), "nobody", "without a queue");

    let (mut balancer, _) = support::balancer(settings, 1, &[1]);
    assert_eq!([0, 1, 2].map(|id| arrive(&mut balancer, at(0), id)), ["waits", "waits", "full"]);
    let (probes, _) = drain(&mut balancer);
    balancer.handle_probe(at(3), probes[0].id, passed());
    assert_eq!(ids(&served(&mut balancer).0), [0, 1], "the first probe passes");

    let (mut balancer, _) = support::balancer(bounded(8, 2), 1, &[]);
    assert_eq!(arrive(&mut balancer, at(0), 0), "waits", "for a backend to be added");
    add(&mut balancer, at(5), "late", 1);
    assert_eq!(ids(&served(&mut balancer).0), [0]);
}

#[test]
fn what_makes_room_serves_the_queue() {
    type Change = fn(&Balancer) -> Command;
    let more: Change = |_| Command::Settings(Box::new(bounded(2, 5)));
    let without: Change = |_| Command::Settings(Box::new(plain("p2c")));
    let another: Change = |_| Command::Add { name: "another".into(), weight: 1 };
    let ready: Change = |balancer| {
        let drained = balancer.pool().statuses().last().unwrap().id;
        Command::Ready(drained)
    };
    for (change, expected) in [(more, vec![1]), (another, vec![1]), (ready, vec![1])] {
        let (mut balancer, backends) = balancer(bounded(1, 5), 1, &[1, 1]);
        balancer.handle_command(at(0), Command::Drain(backends[1])).unwrap();
        let _ = send(&mut balancer, at(0), 0);
        assert_eq!([1, 2].map(|id| arrive(&mut balancer, at(1), id)), ["waits"; 2]);
        served(&mut balancer);
        let command = change(&balancer);
        balancer.handle_command(at(2), command).unwrap();
        assert_eq!(ids(&served(&mut balancer).0), expected);
    }
    // Without a limit there is room for all, so that nobody needs the queue that is gone.
    let (mut balancer, _) = balancer(bounded(1, 5), 1, &[1]);
    let _ = send(&mut balancer, at(0), 0);
    assert_eq!([1, 2].map(|id| arrive(&mut balancer, at(1), id)), ["waits"; 2]);
    let command = without(&balancer);
    balancer.handle_command(at(2), command).unwrap();
    let (sent, refused) = served(&mut balancer);
    assert_eq!((ids(&sent), refused), (vec![1, 2], vec![]));
}

#[test]
fn a_queue_that_shrinks_refuses_the_last_to_come() {
    let (mut balancer, _) = balancer(bounded(1, 5), 1, &[1]);
    let _ = send(&mut balancer, at(0), 0);
    assert_eq!([1, 2, 3, 4].map(|id| arrive(&mut balancer, at(1), id)), ["waits"; 4]);
    let change = |balancer: &mut Balancer, settings: Settings| {
        balancer.handle_command(at(2), Command::Settings(Box::new(settings))).unwrap();
        served(balancer)
    };
    let full = |id| (id, Reject::QueueFull);
    assert_eq!(change(&mut balancer, bounded(1, 2)), (vec![], vec![full(4), full(3)]));
    assert_eq!(arrive(&mut balancer, at(2), 5), "full");
    // A shorter total holds for those who wait; a longer wait too.
    let timeout = TimeoutSettings { total: Some(ms(20)), ..TimeoutSettings::default() };
    let mut settings = Settings { timeout, ..bounded(1, 2) };
    change(&mut balancer, settings.clone());
    assert_eq!(balancer.poll_timeout(), Some(at(21)));
    settings.timeout.total = None;
    settings.queue = Some(QueueSettings { size: 2, wait: ms(5) });
    change(&mut balancer, settings);
    assert_eq!(balancer.poll_timeout(), Some(at(6)));
    let settings = bounded(1, 0);
    assert_eq!(change(&mut balancer, settings), (vec![], vec![full(2), full(1)]));
}

#[test]
fn a_retry_finds_room_or_does_not_happen() {
    let retry = RetrySettings { budget_min: 100.0, ..RetrySettings::default() };
    for (each, expected) in [(2, true), (1, false)] {
        let settings = Settings { retry: Some(retry.clone()), ..bounded(each, 5) };
        let (mut balancer, _) = balancer(settings, 1, &[1, 1]);
        let first = send(&mut balancer, at(0), 0);
        let second = send(&mut balancer, at(0), 1);
        assert_ne!(first.backend, second.backend, "two choices of two");
        let next = balancer.handle_head(at(1), first.id, status(503));
        match next {
            Next::Retry(retry) if expected => assert_eq!(retry.backend, second.backend),
            Next::Deliver if !expected => {}
            other => panic!("{each}: {other:?}"),
        }
    }
}

#[test]
fn settings_that_change_are_told_and_spare_what_is_under_way() {
    let timeout = |ms_: u64| TimeoutSettings { total: Some(ms(ms_)), ..TimeoutSettings::default() };
    let settings = Settings {
        retry: Some(RetrySettings::default()),
        timeout: timeout(500),
        ..plain("round_robin")
    };
    let (mut balancer, _) = balancer(settings.clone(), 1, &[1, 1]);
    let attempt = send(&mut balancer, at(0), 0);
    drain(&mut balancer);
    let mut change = |settings: Settings| {
        balancer.handle_command(at(1), Command::Settings(Box::new(settings))).unwrap();
        let (probes, events) = drain(&mut balancer);
        (probes.len(), lines(&events))
    };
    assert_eq!(change(settings.clone()), (0, vec![]), "nothing is different");
    let settings =
        Settings { timeout: timeout(50), queue: Some(QueueSettings::default()), ..settings };
    assert_eq!(change(settings.clone()), (0, vec!["1 - settings_changed queue, timeout".into()]));
    let settings = Settings { strategy: choose("p2c", &[]), ..settings };
    let events = vec!["1 - strategy_changed p2c".into(), "1 - settings_changed strategy".into()];
    assert_eq!(change(settings), (0, events));
    let Next::Retry(retry) = balancer.handle_head(at(60), attempt.id, reset()) else {
        panic!("its own total has not passed");
    };
    assert_eq!(retry.body_by, at(500));
    assert_eq!(send(&mut balancer, at(60), 1).body_by, at(110));
}

#[test]
fn health_can_be_switched_on_and_off() {
    let (mut balancer, backends) = balancer(plain("p2c"), 1, &[1]);
    drain(&mut balancer);
    let on = with_health(1, 1);
    balancer.handle_command(at(0), Command::Settings(Box::new(on))).unwrap();
    let (probes, _) = drain(&mut balancer);
    assert_eq!(probes.len(), 1, "probed at once");
    balancer.handle_probe(at(1), probes[0].id, failed());
    assert_ne!(state(&balancer, backends[0]), policy::State::Ready);
    let off = plain("p2c");
    balancer.handle_command(at(2), Command::Settings(Box::new(off))).unwrap();
    assert_eq!(state(&balancer, backends[0]), policy::State::Ready);
    assert!(!pass_time(&mut balancer, at(2), at(5_000), |_, _| panic!("a probe")).is_empty());
    assert_eq!(balancer.poll_timeout(), None);
}

#[test]
fn a_pick_can_be_explained_without_being_made() {
    let settings = Settings { strategy: choose("least_request", &[]), ..bounded(2, 5) };
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1, 4]);
    for id in 0..4 {
        let _ = send(&mut balancer, at(0), id);
    }
    balancer.handle_command(at(0), Command::Drain(ids[0])).unwrap();
    let explanation = balancer.explain(at(0), &request(9, true));
    assert_eq!((explanation.strategy, explanation.of, explanation.queued), ("least_request", 3, 0));
    let shown: Vec<_> = explanation
        .backends
        .iter()
        .map(|b| (b.name.as_str(), b.weight, b.in_flight, b.excluded.map(Excluded::word)))
        .collect();
    let expected = [("b-0", 1, 1, Some("state")), ("b-1", 1, 1, None), ("b-2", 4, 2, Some("full"))];
    assert_eq!(shown, expected);
    assert_eq!(balancer.explain(at(0), &request(9, true)), explanation, "nothing has changed");
    assert_eq!(send(&mut balancer, at(0), 10).backend, ids[1], "as was explained");

    let (mut many, _) = support::balancer(plain("p2c"), 1, &[1; 100]);
    let explanation = many.explain(at(0), &request(0, true));
    assert_eq!((explanation.backends.len(), explanation.of), (MAX_EXPLAINED, 100));
}

#[test]
fn what_was_refused_is_counted_by_reason() {
    let (mut balancer, _) = balancer(bounded(1, 1), 1, &[1]);
    let _ = send(&mut balancer, at(0), 0);
    assert_eq!([1, 2].map(|id| arrive(&mut balancer, at(1), id)), ["waits", "full"]);
    balancer.handle_timeout(at(200));
    let refused: Vec<_> =
        balancer.counts().rejected().into_iter().filter(|&(_, count)| count > 0).collect();
    assert_eq!(refused, [("queue_full", 1), ("queue_timeout", 1)]);
}
