//! What strategies by key promise, counted over many keys on the whole balancer. Every promise is
//! stated once, shown to be broken by a wrong implementation, and then shown to be kept.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{BackendId, RequestMeta, Rng, Time};
use policy::{
    Balancer, Candidates, Choice, Command, End, Entry, Next, RetrySettings, Settings,
    SlowStartSettings, State, Strategy, Verdict,
};
use support::keys::*;
use support::*;

/// Wrong, and the first thing that comes to mind: the key modulo the number of candidates.
struct Modulo;
impl Strategy for Modulo {
    fn pick(
        &mut self,
        _: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        let key = request.key.expect("these tests send keys");
        candidates.id((key % candidates.len() as u64) as usize)
    }
}
static MODULO: Entry =
    Entry { name: "modulo", summary: "", parameters: &[], build: |_| Box::new(Modulo) };

/// Takes the probes down to those that `passes` names, or up.
fn probe(balancer: &mut Balancer, from: u64, until: u64, passes: impl Fn(BackendId) -> bool) {
    let _ = pass_time(balancer, at(from), at(until), |_, id| passes(id));
}

// ---- few keys move ----

/// How a backend goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Drained,
    Down,
    Removed,
}

/// What part of all keys moves when the first of `n` goes that way, and what part moves between
/// others.
fn moved(choice: Choice, seed: u64, n: usize, way: Way) -> (f64, f64) {
    let settings = Settings { strategy: choice, ..with_health(1, 1) };
    let (mut balancer, ids) = balancer(settings, seed, &vec![1; n]);
    probe(&mut balancer, 0, 900, |_| true);
    let before = map(&mut balancer);
    match way {
        Way::Drained => command(&mut balancer, Command::Drain(ids[0])),
        Way::Removed => command(&mut balancer, Command::Remove(ids[0])),
        Way::Down => {
            probe(&mut balancer, 901, 1_600, |id| id != ids[0]);
            assert_eq!(state(&balancer, ids[0]), State::Down);
        }
    }
    let after = map(&mut balancer);
    let pairs = || before.iter().zip(&after);
    let share = |count: usize| count as f64 / KEYS as f64;
    assert!(after.iter().all(|name| name != "b-0"), "{way:?}: it is gone");
    (
        share(pairs().filter(|(a, b)| a != b).count()),
        share(pairs().filter(|(a, b)| a != b && *a != "b-0").count()),
    )
}

/// Few keys move: those of the one that goes, whose share is 1/n with the spread of its strategy,
/// and hardly others'.
fn few_keys_move(choice: Choice, seed: u64, n: usize, way: Way) -> Result<(), String> {
    let name = choice.name();
    let (all, needless) = moved(choice, seed, n, way);
    // The ring's shares have a standard deviation of 1/√160 of themselves, 20,000 keys one of
    // √(1/n / 20,000); five of both.
    let mean = 1.0 / n as f64;
    let epsilon = 5.0 * (mean * mean / 160.0 + mean / KEYS as f64).sqrt();
    // A table of Maglev's is made anew where the list changes: the paper has 0.57 % of needless
    // moves at 100 backends, and fewer at fewer.
    let spared = if matches!(way, Way::Removed) && name == "maglev" { 0.01 } else { 0.0 };
    if all > mean + epsilon + spared || needless > spared {
        return Err(format!("{name} {n} {way:?}: {all} of the keys moved, {needless} needlessly"));
    }
    Ok(())
}

#[test]
fn removing_one_of_n_moves_one_nth_of_the_keys() {
    for way in [Way::Drained, Way::Down, Way::Removed] {
        for n in [2, 3, 10, 50] {
            // Of two, even the wrong one moves half.
            assert!(few_keys_move(choose_own(&MODULO), 0, n, way).is_err() || n == 2);
            for seed in 0..2 {
                for strategy in BY_KEY {
                    assert_eq!(few_keys_move(choose(strategy, &[]), seed, n, way), Ok(()));
                }
            }
        }
    }
}

/// Few keys move to anyone but the new one.
fn a_new_one_takes_its_share(choice: Choice, seed: u64, n: usize) -> Result<(), String> {
    let name = choice.name();
    let (mut balancer, _) = balancer(Settings::plain(choice), seed, &vec![1; n]);
    let before = map(&mut balancer);
    add(&mut balancer, at(0), "new", 1);
    let after = map(&mut balancer);
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b && *b != "new").count();
    let taken = after.iter().filter(|name| *name == "new").count();
    let (mean, keys) = (1.0 / (n + 1) as f64, KEYS as f64);
    let off = (taken as f64 / keys - mean).abs();
    let spared = if name == "maglev" { 0.01 } else { 0.0 };
    if off > 5.0 * (mean * mean / 160.0 + mean / keys).sqrt() || moved as f64 / keys > spared {
        return Err(format!("{name} {n}: {taken} keys taken, {moved} moved elsewhere"));
    }
    Ok(())
}

#[test]
fn adding_one_moves_its_keys_alone() {
    for n in [1, 2, 9, 49] {
        assert!(a_new_one_takes_its_share(choose_own(&MODULO), 0, n).is_err() || n == 1);
        for seed in 0..2 {
            for strategy in BY_KEY {
                assert_eq!(a_new_one_takes_its_share(choose(strategy, &[]), seed, n), Ok(()));
            }
        }
    }
}

// ---- a key's backend is a matter of names ----

/// Wrong, and easily done: the points are made of the backend's place in the pool. It moves nobody
/// when a backend goes, and everybody when the order of a list changes.
struct BySlot;
impl Strategy for BySlot {
    fn pick(
        &mut self,
        _: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        let key = request.key.expect("these tests send keys");
        (0..candidates.len())
            .map(|index| candidates.id(index))
            .max_by_key(|id| base::rng::mix(key, u64::from(id.slot)))
            .expect("there is one")
    }
}
static BY_SLOT: Entry =
    Entry { name: "by_slot", summary: "", parameters: &[], build: |_| Box::new(BySlot) };

/// The keys' backends, of a balancer to which these were added in this order.
fn map_of(choice: Choice, seed: u64, backends: &[(String, u32)]) -> Vec<String> {
    let (mut balancer, _) = balancer(Settings::plain(choice), seed, &[]);
    for (name, weight) in backends {
        add(&mut balancer, at(0), name, *weight);
    }
    map(&mut balancer)
}

fn order_does_not_matter(choice: &Choice, weights: &[u32]) -> bool {
    let mut backends: Vec<(String, u32)> =
        weights.iter().enumerate().map(|(i, &w)| (format!("10.0.0.{i}:80"), w)).collect();
    let first = map_of(choice.clone(), 1, &backends);
    backends.reverse();
    first == map_of(choice.clone(), 2, &backends)
}

#[test]
fn balancers_agree_whatever_their_seed_and_the_order_of_their_lists() {
    for weights in [&[1, 1, 1][..], &[5, 1, 2, 2], &[1; 30]] {
        assert!(!order_does_not_matter(&choose_own(&BY_SLOT), weights));
        for strategy in BY_KEY {
            assert!(order_does_not_matter(&choose(strategy, &[]), weights), "{strategy}");
        }
    }
}

// ---- keys come back ----

/// Whether every backend that goes, in any way, and comes back has exactly its keys again.
fn keys_come_back(choice: Choice, seed: u64) -> Result<(), String> {
    let settings = Settings { strategy: choice, ..with_health(1, 1) };
    let (mut balancer, ids) = balancer(settings, seed, &[2, 1, 1, 3, 1]);
    probe(&mut balancer, 0, 900, |_| true);
    let before = map(&mut balancer);
    let compare = |balancer: &mut Balancer, what| {
        if map(balancer) == before {
            Ok(())
        } else {
            Err(format!("{what}: other keys than before"))
        }
    };
    for id in [ids[1], ids[3]] {
        command(&mut balancer, Command::Drain(id));
        let _ = map(&mut balancer);
        command(&mut balancer, Command::Ready(id));
        compare(&mut balancer, "drained")?;
    }
    probe(&mut balancer, 901, 1_600, |id| id == ids[0]);
    let _ = map(&mut balancer);
    probe(&mut balancer, 1_601, 3_000, |_| true);
    compare(&mut balancer, "down")?;
    command(&mut balancer, Command::Remove(ids[1]));
    let _ = map(&mut balancer);
    let again = add(&mut balancer, at(3_001), "b-1", 1);
    probe(&mut balancer, 3_002, 3_900, |_| true);
    assert_eq!(state(&balancer, again), State::Ready);
    compare(&mut balancer, "removed and added")
}

#[test]
fn a_backend_that_is_back_has_its_keys_back() {
    assert!(keys_come_back(choose_own(&MODULO), 1).is_err(), "the new one stands at the end");
    for strategy in BY_KEY {
        for seed in 0..5 {
            assert_eq!(keys_come_back(choose(strategy, &[]), seed), Ok(()), "{strategy}");
        }
    }
}

// ---- weights ----

#[test]
fn shares_of_keys_follow_the_weights() {
    for weights in [&[1, 1][..], &[1, 2, 3, 4], &[5, 1, 1], &[100, 1, 50], &[2; 20]] {
        for (strategy, points) in [("ring_hash", 160.0), ("maglev", 1e9), ("rendezvous", 1e9)] {
            let (mut balancer, _) = balancer(plain(strategy), 1, weights);
            let map = map(&mut balancer);
            let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
            for (i, &weight) in weights.iter().enumerate() {
                let share = f64::from(weight) / total;
                let count = map.iter().filter(|name| **name == format!("b-{i}")).count() as f64;
                // Of a ring's share: that of w · V points among all (a beta distribution).
                let own = share * (1.0 - share) / (total * points + 1.0);
                let deviation = (own + share * (1.0 - share) / KEYS as f64).sqrt();
                let off = (count / KEYS as f64 - share).abs();
                assert!(off < 5.0 * deviation, "{strategy} {weights:?} {i}: {count}, {share}");
            }
        }
    }
}

/// Requests without a key go anywhere, by weight.
#[test]
fn requests_without_a_key_are_spread_by_weight() {
    for strategy in BY_KEY {
        let (mut balancer, ids) = balancer(plain(strategy), 1, &[1, 3]);
        let keyless = (0..KEYS).filter(|&i| {
            let attempt = send(&mut balancer, at(i), i);
            balancer.handle_end(at(i), attempt.id, End::Complete);
            attempt.backend == ids[1]
        });
        let count = keyless.count() as f64;
        let deviation = (KEYS as f64 * 0.75 * 0.25).sqrt();
        assert!((count - KEYS as f64 * 0.75).abs() < 5.0 * deviation, "{strategy}: {count}");
    }
}

// ---- with most backends away ----

/// The keys of many that are away are spread over those that are left as evenly as any, and the
/// walk to them ends. One that comes back takes its own.
#[test]
fn a_few_of_many_share_alike() {
    for strategy in BY_KEY {
        let (mut balancer, ids) = balancer(plain(strategy), 1, &[1; 400]);
        for &id in &ids[..395] {
            command(&mut balancer, Command::Drain(id));
        }
        let few = map(&mut balancer);
        for i in 395..400 {
            let count = few.iter().filter(|name| **name == format!("b-{i}")).count() as f64;
            // A ring's share has a deviation of 8 %, five keys' binomial 1.4 %.
            assert!((count / 4_000.0 - 1.0).abs() < 0.4, "{strategy} {i}: {count} keys of 4,000");
        }
        command(&mut balancer, Command::Ready(ids[0]));
        let more = map(&mut balancer);
        assert!(more.iter().any(|name| name == "b-0"));
        for (before, after) in few.iter().zip(&more) {
            assert!(before == after || after == "b-0", "{strategy}: {before} to {after}");
        }
    }
}

// ---- a slow start moves no keys ----

/// Wrong, and what comes of weights as candidates show them: every step of a slow start moves keys.
struct ByWeightOfTheMoment;
impl Strategy for ByWeightOfTheMoment {
    fn pick(
        &mut self,
        _: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        let key = request.key.expect("these tests send keys");
        let time = |index: usize| {
            let name = base::rng::hash_text(candidates.name(index));
            let luck = (base::rng::mix(name, key) >> 11) as f64 / 2_f64.powi(53);
            -luck.ln() / f64::from(candidates.weight(index))
        };
        let first = (0..candidates.len()).min_by(|&a, &b| time(a).total_cmp(&time(b)));
        candidates.id(first.expect("there is one"))
    }
}
static BY_WEIGHT_OF_THE_MOMENT: Entry = Entry {
    name: "by_weight_of_the_moment",
    summary: "",
    parameters: &[],
    build: |_| Box::new(ByWeightOfTheMoment),
};

/// Whether a backend that warms up has all its keys from the start.
fn warming_moves_no_keys(choice: Choice) -> bool {
    let slow_start = Some(SlowStartSettings::default());
    let settings = Settings { slow_start, ..Settings::plain(choice) };
    let (mut balancer, _) = balancer(settings, 1, &[1; 4]);
    let _ = map(&mut balancer);
    let new = add(&mut balancer, at(1), "new", 1);
    let warming = map(&mut balancer);
    let weight = balancer.pool().status(new).expect("present").effective_weight;
    assert!(weight < 1.0, "it warms up: {weight}");
    balancer.handle_timeout(at(1_000_000));
    let weight = balancer.pool().status(new).expect("present").effective_weight;
    assert!((weight - 1.0).abs() < f64::EPSILON, "it is warm: {weight}");
    warming == map(&mut balancer)
}

#[test]
fn a_backend_that_warms_up_has_its_keys() {
    assert!(!warming_moves_no_keys(choose_own(&BY_WEIGHT_OF_THE_MOMENT)));
    for strategy in BY_KEY {
        assert!(warming_moves_no_keys(choose(strategy, &[])), "{strategy}");
    }
}

// ---- a retry goes on in the key's order ----

#[test]
fn a_retry_goes_where_the_key_would_go_without_the_first() {
    for strategy in BY_KEY {
        let retry = RetrySettings { budget: 100.0, ..RetrySettings::default() };
        let settings = Settings { retry: Some(retry), ..plain(strategy) };
        let (mut balancer, _) = balancer(settings, 1, &[1, 2, 3, 4]);
        let _ = map(&mut balancer);
        for key in 0..200 {
            let Verdict::Send(first) = balancer.handle_request(at(key), keyed(key, key)) else {
                panic!("it is sent");
            };
            let Next::Retry(second) = balancer.handle_head(at(key), first.id, refused()) else {
                panic!("it is retried");
            };
            for attempt in [first, second] {
                balancer.handle_end(at(key), attempt.id, End::Aborted);
            }
            command(&mut balancer, Command::Drain(first.backend));
            let without = try_key(&mut balancer, key);
            command(&mut balancer, Command::Ready(first.backend));
            assert_eq!(without, Some(second.backend), "{strategy} {key}");
        }
    }
}
