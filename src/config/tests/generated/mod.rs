//! Settings of every kind, for property tests. It must not test anything itself.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::Registry;
use policy::settings::{
    AdaptiveSettings, CheckKind, EjectionSettings, HealthSettings, HedgingSettings, KeySource,
    KeyedRate, LimitSettings, PanicSettings, QueueSettings, Rate, RateSettings, RetrySettings,
    Settings, SlowStartSettings, TimeoutSettings,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Above zero, up to the longest that can be written.
pub(crate) fn duration() -> impl Strategy<Value = Duration> {
    nanos(10_000_000_000_000_000)
}

fn nanos(most: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![1_u64..2_000_000_000, 1_u64..most].prop_map(Duration::from_nanos)
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.1), Just(1.0), f64::MIN_POSITIVE..=1.0]
}

fn ordered<T: Ord>((a, b): (T, T)) -> (T, T) {
    if a <= b { (a, b) } else { (b, a) }
}

fn health() -> impl Strategy<Value = HealthSettings> {
    let range = (100_u16..=599, 100_u16..=599).prop_map(ordered);
    let statuses = vec(prop_oneof![range, (100_u16..=599).prop_map(|s| (s, s))], 1..8);
    // A tenth of the longest, so that there is room for a longer `remove_after`.
    let times = (nanos(1_000_000_000_000_000), nanos(1_000_000_000_000_000));
    let longer = option::of(nanos(1_000_000_000_000_000));
    let counts = (1_u32..=1_000, 1_u32..=1_000);
    let check = prop_oneof![Just(CheckKind::Http), Just(CheckKind::Tcp)];
    (check, "/[!-\"$-~]{0,40}", statuses, times, option::of(share()), longer, counts, 0.0..=1.0)
        .prop_map(|(check, path, statuses, times, fast, longer, (fall, rise), jitter)| {
            let (interval, timeout) = times;
            let fast = fast.map(|share| interval.mul_f64(share).max(Duration::from_nanos(1)));
            HealthSettings {
                check,
                path,
                statuses,
                interval,
                fast_interval: fast,
                timeout,
                fall,
                rise,
                jitter,
                remove_after: longer
                    .map(|longer| interval.mul_f64(1.0 + jitter) + timeout + longer),
            }
        })
}

fn ejection() -> impl Strategy<Value = EjectionSettings> {
    let triggers = prop_oneof![
        (1_u32..=1_000_000).prop_map(|count| (Some(count), None)),
        share().prop_map(|ratio| (None, Some(ratio))),
        (1_u32..=1_000_000, share()).prop_map(|(count, ratio)| (Some(count), Some(ratio))),
    ];
    let times = (duration(), (duration(), duration()).prop_map(ordered));
    (triggers, 1_u32..=1_000_000, times, 0.0..=1.0, 0.0..=1.0).prop_map(
        |((consecutive, ratio), min_requests, (window, (base, max)), jitter, max_ejected)| {
            EjectionSettings {
                consecutive,
                ratio,
                min_requests,
                window,
                base,
                max,
                jitter,
                max_ejected,
            }
        },
    )
}

fn retry() -> impl Strategy<Value = RetrySettings> {
    let statuses = vec(400_u16..=599, 0..64);
    let backoff = (duration(), duration()).prop_map(ordered);
    (1_u32..=100, 0.0..=10.0, 0.0..=1e8, statuses, option::of(backoff), option::of(duration()))
        .prop_map(|(attempts, budget, budget_min, statuses, backoff, max_retry_after)| {
            let (backoff, max_backoff) = backoff.unwrap_or_default();
            let max_retry_after = max_retry_after.unwrap_or_default();
            RetrySettings {
                attempts,
                budget,
                budget_min,
                statuses,
                backoff,
                max_backoff,
                max_retry_after,
            }
        })
}

fn hedging() -> impl Strategy<Value = HedgingSettings> {
    (0.0001..0.9999, 1_u32..=1_000_000, option::of(duration())).prop_map(
        |(percentile, min_requests, delay)| HedgingSettings {
            percentile,
            min_requests,
            min_delay: delay.unwrap_or_default(),
        },
    )
}

fn key() -> impl Strategy<Value = KeySource> {
    prop_oneof![
        Just(KeySource::Address),
        Just(KeySource::Path),
        "[!#$%&'*+.^_`|~0-9a-z-]{1,64}".prop_map(|name| KeySource::Header(name.into())),
        "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}".prop_map(|name| KeySource::Cookie(name.into())),
    ]
}

fn limits() -> impl Strategy<Value = LimitSettings> {
    let rate = || {
        let rate = prop_oneof![1e-6..=1.0, 1.0..=1e8];
        (rate, 1_u32..=100_000_000).prop_map(|(rate, burst)| Rate { rate, burst })
    };
    let keyed = (key(), rate(), 1_u32..=10_000_000).prop_map(|(key, each, keys)| KeyedRate {
        key,
        each,
        keys,
    });
    let bounds = (1_u32..=1_000_000, 1_u32..=1_000_000).prop_map(ordered);
    let adaptive = (bounds, duration(), duration(), 1_u32..=1_000_000, 0.0..=10.0).prop_map(
        |((min, max), update, interval, requests, buffer)| AdaptiveSettings {
            min,
            max,
            update,
            interval,
            requests,
            buffer,
        },
    );
    let in_flight = option::of(1_u32..=1_000_000);
    (option::of(rate()), option::of(keyed), in_flight, option::of(adaptive)).prop_map(
        |(global, keyed, max_in_flight, adaptive)| LimitSettings {
            rate: RateSettings { global, keyed },
            max_in_flight,
            adaptive,
        },
    )
}

fn timeout() -> impl Strategy<Value = TimeoutSettings> {
    let ends = (option::of(duration()), option::of(duration()));
    (duration(), ends, duration(), duration(), duration()).prop_map(
        |(connect, (attempt, total), request_head, client_idle, upstream_idle)| TimeoutSettings {
            connect,
            attempt,
            total,
            request_head,
            client_idle,
            upstream_idle,
        },
    )
}

/// Any strategy of the lab, and any policies that a file can hold.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let strategies = Registry::standard().entries().len();
    let slow_start = (duration(), share());
    let slow_start = slow_start.prop_map(|(window, min)| SlowStartSettings { window, min });
    let panic = (0.0..=1.0).prop_map(|threshold| PanicSettings { threshold });
    let queue = (1_u32..=1_000_000, duration());
    let queue = queue.prop_map(|(size, wait)| QueueSettings { size, wait });
    let states = (option::of(health()), option::of(ejection()));
    let comings = (option::of(slow_start), option::of(panic));
    let attempts = (option::of(retry()), option::of(hedging()));
    let crowds = (option::of(limits()), option::of(queue));
    (0..strategies, states, comings, attempts, crowds, timeout()).prop_map(
        |(strategy, states, comings, attempts, crowds, timeout)| Settings {
            strategy: Registry::standard().entries()[strategy]
                .choose(&BTreeMap::new())
                .expect("defaults are valid"),
            health: states.0,
            ejection: states.1,
            slow_start: comings.0,
            panic: comings.1,
            retry: attempts.0,
            hedging: attempts.1,
            limits: crowds.0,
            queue: crowds.1,
            timeout,
        },
    )
}
