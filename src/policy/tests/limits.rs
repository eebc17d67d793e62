//! How many requests may come and be in flight: as a shell sees it.
//! These tests must not reach into the balancer.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::RequestMeta;
use policy::{
    Command, End, KeySource, KeyedRate, LimitSettings, Next, Quota, Rate, RateSettings, Reject,
    RetrySettings, Settings, Verdict,
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
