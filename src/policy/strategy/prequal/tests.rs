//! Prequal, part by part: rates, thresholds, the order of answers, what is seen without asking.

use std::time::Duration;

use base::{BackendId, RequestId, RequestMeta, Rng, Time};

use super::entries::{Answer, Entries, Threshold, stand_of};
use super::view::View;
use super::*;
use crate::message::Load;
use crate::pool::tests::ready_pool;

fn prequal(given: &[(&str, ParameterValue)]) -> Prequal {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Prequal::new(ENTRY.choose(&given).expect("valid").parameters())
}

fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// For so many backends: probes and removals a request, uses of an answer, answers kept.
#[test]
fn rates_fit_the_number_of_backends() {
    let default = &[][..];
    let many = &[("probes", ParameterValue::Number(0.5)), ("pool", ParameterValue::Integer(4))][..];
    for (given, n, expected) in [
        (default, 1, (0.0, 0.0, 16.0, 2)), // there is no choice
        (default, 2, (2.0, 0.0, 16.0, 2)), // both answers are there, and are renewed
        (default, 3, (3.0, 0.5, 4.0, 2)),
        (default, 4, (3.0, 0.75, 8.0 / 3.0, 2)),
        (default, 10, (3.0, 0.75, 8.0 / 3.0, 5)),
        (default, 32, (3.0, 0.75, 8.0 / 3.0, 16)),
        (default, 100, (3.0, 1.0, 2.0 / 1.52, 16)), // 1.32, as in the paper
        (default, 10_000, (3.0, 1.0, 2.0 / 1.9952, 16)),
        (many, 8, (0.5, 0.125, 16.0, 4)),
    ] {
        let mut strategy = prequal(given);
        strategy.pool_changed(&ready_pool(&vec![(1, 0); n]), &mut Rng::from_seed(1));
        let rates = [strategy.probes.rate, strategy.removals.rate, strategy.uses.rate];
        let (probes, removals, uses, kept) = expected;
        for (rate, expected) in rates.into_iter().zip([probes, removals, uses]) {
            assert!((rate - expected).abs() < 1e-9, "{n}: {rates:?}");
        }
        assert_eq!(strategy.entries.limit, kept, "{n}");
    }
}

#[test]
fn a_rate_comes_out_in_whole_numbers() {
    for rate in [0.0, 0.1, 0.5, 0.75, 1.0, 1.32, 3.0] {
        let mut spread = Spread::of(rate);
        let sum: usize = (0..1_000).map(|_| spread.next()).sum();
        assert!((sum as f64 - 1_000.0 * rate).abs() <= 1.0, "{rate}: {sum}");
    }
    let mut spread = Spread::of(1.5);
    assert_eq!([(); 4].map(|()| spread.next()), [1, 2, 1, 2]);
}

#[test]
fn probes_go_to_distinct_backends_and_bring_answers() {
    let mut strategy = prequal(&[]);
    let pool = ready_pool(&[(1, 0); 8]);
    let mut rng = Rng::from_seed(3);
    strategy.pool_changed(&pool, &mut rng);
    let candidates = pool.candidates().expect("eight");
    let request = RequestMeta::new(RequestId(0), true);
    strategy.pick(at(0), &request, &candidates, &mut rng);
    let mut asked = Vec::new();
    while let Some(probe) = strategy.poll_load_probe() {
        assert_eq!((probe.path.as_str(), probe.within), ("/health", ms(250)));
        assert!(!asked.contains(&probe.backend));
        asked.push(probe.backend);
    }
    assert_eq!(asked.len(), 3);
    // All cold: the lowest latency wins; after its uses it is gone, and the next one is best.
    for (i, &id) in asked.iter().enumerate() {
        let load = Some(Load { in_flight: 1, latency: ms(10 * (i as u64 + 1)) });
        strategy.load_reported(at(1), id, Some(LoadReport { after: ms(1), load }));
    }
    let best = strategy.entries.best(&candidates, 1 << 16, 2).expect("three answers");
    assert_eq!(candidates.id(best.1), asked[0]);
    // A probe without an answer takes the former answer away.
    strategy.load_reported(at(1), asked[0], None);
    assert_eq!(strategy.pick(at(2), &request, &candidates, &mut rng), asked[1]);
    // And all are too old after a second.
    assert_eq!(
        strategy.score(at(1_001), &request, &candidates, 0).is_some(),
        asked[1..].iter().any(|id| id.slot == 0)
    );
    strategy.pick(at(1_002), &request, &candidates, &mut rng);
    assert_eq!(strategy.entries.len(), 0);
}

/// In flight, latency and whether it was told of some backends, and which is best: by the HCL rule
/// with the threshold at 2 in flight.
#[test]
fn cold_ones_go_by_latency_and_hot_ones_by_load() {
    // What is in flight by the balancer's own count.
    let pool = ready_pool(&[(1, 3), (1, 0), (2, 0), (1, 0)]);
    let candidates = pool.candidates().expect("four");
    for (answers, best) in [
        (&[(0, 0, 50, true), (1, 2, 20, true)][..], 1), // both cold: the faster
        (&[(0, 0, 20, true), (1, 2, 20, true)], 0),     // as fast: the emptier
        (&[(0, 3, 1, true), (1, 2, 20, true)], 1),      // a hot one is worse than any cold one
        (&[(0, 3, 90, true), (1, 4, 1, true)], 0),      // both hot: the emptier
        (&[(0, 3, 90, true), (1, 3, 1, true)], 1),      // as empty: the faster
        (&[(2, 4, 1, true), (1, 2, 20, true)], 2),      // per weight it is cold
        (&[(0, 0, 1, false), (1, 2, 20, true)], 1),     // not told: the own count is hot
        (&[(1, 9, 1, false), (3, 2, 20, true)], 1),     // not told: the own count is cold
    ] {
        let mut entries = Entries::new();
        entries.limit(4);
        for &(index, in_flight, latency, told) in answers {
            let backend = candidates.id(index);
            entries.put(Answer {
                backend,
                at: at(0),
                in_flight,
                told,
                latency: ms(latency),
                uses: 1,
            });
        }
        let found = entries.best(&candidates, stand_of(2, 1), 2).map(|(_, index)| index);
        assert_eq!(found, Some(best), "{answers:?}");
        assert_eq!(entries.best(&candidates, 0, 3), None, "too few");
    }
}

#[test]
fn answers_are_one_a_backend_used_up_and_removed_by_turns() {
    let pool = ready_pool(&[(1, 0); 5]);
    let candidates = pool.candidates().expect("five");
    let answer = |index, at_ms, in_flight, uses| Answer {
        backend: candidates.id(index),
        at: at(at_ms),
        in_flight,
        told: true,
        latency: ms(10 * (index as u64 + 1)),
        uses,
    };
    let mut entries = Entries::new();
    entries.limit(4);
    let who = |entries: &Entries| -> Vec<u32> {
        entries.answers.iter().map(|answer| answer.backend.slot).collect()
    };
    for (index, at_ms) in [(0, 0), (1, 1), (2, 2), (0, 3), (3, 4), (4, 5)] {
        entries.put(answer(index, at_ms, 1, 2));
    }
    assert_eq!(who(&entries), [2, 0, 3, 4], "1 was the oldest; 0 was asked again");
    entries.use_up(1);
    assert_eq!((entries.answers[1].in_flight, entries.answers[1].uses), (2, 1));
    entries.use_up(1);
    assert_eq!(who(&entries), [2, 3, 4], "used up");
    entries.remove_one(&candidates, stand_of(1, 1));
    assert_eq!(who(&entries), [3, 4], "the oldest");
    entries.put(answer(0, 6, 7, 2));
    entries.remove_one(&candidates, stand_of(1, 1));
    assert_eq!(who(&entries), [3, 4], "the worst: the hot one");
    entries.put(answer(0, 7, 0, 2));
    entries.remove_one(&candidates, stand_of(1, 1));
    assert_eq!(who(&entries), [4, 0], "the oldest again");
    entries.remove_one(&candidates, stand_of(1, 1));
    assert_eq!(who(&entries), [0], "the worst of the cold: the slower");
    entries.expire(at(1_007), ms(1_000));
    assert_eq!(entries.len(), 1);
    entries.expire(at(1_008), ms(1_000));
    assert_eq!(entries.len(), 0);
}

#[test]
fn the_threshold_is_the_quantile_of_the_latest() {
    let mut rng = Rng::from_seed(4);
    for (quantile, place) in [(0.0, 0), (0.6, 76), (0.84, 106), (1.0, 127)] {
        let mut threshold = Threshold::new(quantile);
        assert_eq!(threshold.value(), 0, "nothing is known");
        let loads: Vec<u64> = (0..1_000).map(|_| rng.below(50) as u64).collect();
        for (i, &load) in loads.iter().enumerate() {
            threshold.count(load);
            let mut latest = loads[(i + 1).saturating_sub(128)..=i].to_vec();
            latest.sort_unstable();
            if latest.len() == 128 {
                assert_eq!(threshold.value(), latest[place], "{quantile} {i}");
            }
        }
    }
}

#[test]
fn latencies_are_those_at_about_this_load() {
    let mut view = View::new(0);
    assert_eq!(view.latency(at(0), 3), Duration::ZERO, "nobody knows");
    for (in_flight, latency) in [(1, 10), (1, 30), (1, 20), (4, 400), (5, 500), (9, 900)] {
        view.in_flight = in_flight;
        view.answered(at(0), ms(latency));
    }
    for (in_flight, expected) in
        [(0, 20), (1, 20), (2, 20), (4, 400), (5, 400), (6, 500), (99, 900)]
    {
        assert_eq!(view.latency(at(0), in_flight), ms(expected), "{in_flight}");
    }
    assert_eq!(view.latency(at(1_001), 1), Duration::ZERO, "what is old does not count");
    for i in 0..16 {
        view.answered(at(1_500), ms(i));
    }
    assert_eq!(view.latency(at(1_500), 9), ms(7), "the sixteen latest");
}

/// `x` fails, `+` answers, a digit lets so many seconds pass; after each, whether it is avoided.
#[test]
fn failures_in_a_row_are_avoided_for_longer_and_longer() {
    for (events, expected) in [
        ("x", "."),
        ("xx", ".!"),           // the second in a row
        ("x+x", "..."),         // in a row, that is
        ("xx1", ".!."),         // for a second
        ("xx1x1", ".!.!!"),     // then for two
        ("xx1x1x1", ".!.!!!."), // what fails meanwhile does not count
        ("xx+", ".!."),         // an answer ends it
        ("xx1x2x4x8x88x8888x8888", ".!.!.!.!.!!.!!!!.!!!!."),
    ] {
        let mut view = View::new(0);
        let mut now = 0;
        let seen: String = events
            .chars()
            .map(|event| {
                match event {
                    'x' => view.failed(at(now), ms(1_000)),
                    '+' => view.answered(at(now), ms(1)),
                    digit => now += 1_000 * u64::from(digit.to_digit(10).expect("a digit")),
                }
                if view.is_averse(at(now)) { '!' } else { '.' }
            })
            .collect();
        assert_eq!(seen, expected, "{events}");
    }
}

#[test]
fn who_is_avoided_is_not_drawn_blindly_while_there_is_another() {
    let mut strategy = prequal(&[]);
    let pool = ready_pool(&[(1, 0); 2]);
    let mut rng = Rng::from_seed(1);
    strategy.pool_changed(&pool, &mut rng);
    let candidates = pool.candidates().expect("two");
    let bad = candidates.id(0);
    let failed = Seen::Failure { retry_after: None };
    let failed = Observation { after: ms(1), seen: failed };
    let blind = |strategy: &Prequal, now, rng: &mut Rng| -> Vec<BackendId> {
        (0..100).map(|_| candidates.id(strategy.anyone(now, &candidates, rng))).collect()
    };
    assert!(blind(&strategy, at(0), &mut rng).contains(&bad));
    let load = Some(Load { in_flight: 0, latency: ms(1) });
    let report = Some(LoadReport { after: ms(1), load });
    strategy.load_reported(at(0), bad, report);
    assert_eq!(strategy.entries.len(), 1);
    strategy.observed(at(0), bad, failed);
    assert_eq!(strategy.entries.len(), 0, "a failure takes its answer away");
    strategy.observed(at(0), bad, failed);
    strategy.load_reported(at(0), bad, report);
    assert_eq!(strategy.entries.len(), 0, "what it says is not heard");
    assert!(!blind(&strategy, at(999), &mut rng).contains(&bad));
    assert!(blind(&strategy, at(1_000), &mut rng).contains(&bad));
}
