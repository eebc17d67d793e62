//! How many requests may come and be in flight: as a shell sees it.
//! These tests must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::RequestMeta;
use policy::{
    AdaptiveSettings, Command, End, KeySource, KeyedRate, LimitSettings, Next, QueueSettings,
    Quota, Rate, RateSettings, Reject, RetrySettings, Settings, Verdict,
};
use support::*;

fn with_rate(each: f64, burst: u32) -> Settings {
    let keyed = KeyedRate { key: KeySource::Address, each: Rate { rate: each, burst }, keys: 1000 };
    let rate = RateSettings { global: None, keyed: Some(keyed) };
    let limits = LimitSettings { rate, ..LimitSettings::default() };
    Settings {
        limits: Some(limits),
        retry: Some(RetrySettings::default()),
        ..plain("least_request")
    }
}

#[test]
fn a_client_beyond_its_rate_is_told_when_to_come_back() {
    let (mut balancer, _) = balancer(with_rate(2.0, 2), 1, &[1, 1]);
    let from = |id, client| RequestMeta { limit_key: Some(client), ..request(id, true) };
    let quota =
        |remaining, reset| Quota { limit: 2, window: ms(1000), remaining, reset: ms(reset) };
    let Verdict::Send(first) = balancer.handle_request(at(0), from(0, 7)) else { panic!("full") };
    assert_eq!(first.quota, Some(quota(1, 500)));
    let Verdict::Send(second) = balancer.handle_request(at(100), from(1, 7)) else { panic!("one") };
    assert_eq!(second.quota, Some(quota(0, 400)));
    let verdict = balancer.handle_request(at(200), from(2, 7));
    assert_eq!(verdict, Verdict::Reject(Reject::RateLimited(quota(0, 300))));
    assert!(matches!(balancer.handle_request(at(200), from(3, 8)), Verdict::Send(_)), "another");

    // A retry costs its client nothing and tells the same.
    let Next::Retry(retry) = balancer.handle_head(at(300), first.id, reset()) else {
        panic!("the other backend is untried");
    };
    assert_eq!(retry.quota, first.quota);
    balancer.handle_end(at(300), first.id, End::Aborted);

    // Settings that change elsewhere give nobody new tokens; others do.
    let change = |balancer: &mut policy::Balancer, settings: Settings| {
        balancer.handle_command(at(400), Command::Settings(Box::new(settings))).expect("valid");
    };
    change(&mut balancer, Settings { retry: None, ..with_rate(2.0, 2) });
    let verdict = balancer.handle_request(at(400), from(4, 7));
    assert_eq!(verdict, Verdict::Reject(Reject::RateLimited(quota(0, 100))));
    change(&mut balancer, Settings { limits: None, ..with_rate(2.0, 2) });
    let Verdict::Send(free) = balancer.handle_request(at(400), from(5, 7)) else { panic!("off") };
    assert_eq!(free.quota, None);
}

fn adaptive(queue: bool) -> Settings {
    let adaptive = AdaptiveSettings { min: 2, requests: 4, ..AdaptiveSettings::default() };
    let limits = LimitSettings { adaptive: Some(adaptive), ..LimitSettings::default() };
    let queue = queue.then(QueueSettings::default);
    Settings { limits: Some(limits), queue, ..plain("least_request") }
}

#[test]
fn beyond_the_measured_limit_requests_wait_or_are_refused() {
    let (mut refusing, _) = balancer(adaptive(false), 1, &[1, 1]);
    let (mut queueing, _) = balancer(adaptive(true), 1, &[1, 1]);
    for balancer in [&mut refusing, &mut queueing] {
        let _ = [send(balancer, at(0), 0), send(balancer, at(0), 1)];
    }
    let verdict = refusing.handle_request(at(1), request(2, true));
    assert_eq!(verdict, Verdict::Reject(Reject::Overloaded));
    assert!(matches!(queueing.handle_request(at(1), request(2, true)), Verdict::Wait(_)));
}

#[test]
fn whole_good_answers_alone_draw_the_limit() {
    // (head, end, whether it is a sample)
    for (head, end, counts) in [
        (status(200), End::Complete, true),
        (status(404), End::Complete, true),
        (status(500), End::Complete, false),
        (status(429), End::Complete, false),
        (status(200), End::ClientLeft, false),
        (status(200), End::UpstreamBroke, false),
        (reset(), End::UpstreamBroke, false),
    ] {
        let (mut balancer, _) = balancer(adaptive(true), 1, &[1, 1]);
        let mut open = Vec::new();
        for id in 0..40 {
            if let Verdict::Send(attempt) = balancer.handle_request(at(0), request(id, true)) {
                open.push(attempt.id);
            }
        }
        assert_eq!(open.len(), 2);
        // Everybody else waits: four samples end the measurement, and then the limit grows.
        let (mut now, mut most) = (0, 0);
        while let Some(attempt) = open.pop() {
            now += 60;
            let _ = balancer.handle_head(at(now), attempt, head);
            balancer.handle_end(at(now), attempt, end);
            while let Some(output) = balancer.poll_output() {
                if let policy::Output::Send(attempt) = output {
                    open.insert(0, attempt.id);
                }
            }
            most = most.max(open.len());
        }
        assert_eq!(most > 2, counts, "{head:?} {end:?}: {most} at once");
        assert_eq!(balancer.requests_in_flight(), 0, "all are sent or refused in the end");
    }
}
