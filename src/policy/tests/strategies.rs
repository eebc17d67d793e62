//! What strategies promise, counted over many picks. Every promise is stated once, shown to be
//! broken by a wrong implementation that many have shipped, and then shown to be kept.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{BackendId, RequestMeta, Rng};
use policy::{
    Balancer, Candidates, Choice, Command, End, Entry, Next, ParameterValue, Pool, RetrySettings,
    Settings, Strategy, Verdict,
};
use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};
use support::*;

// ---- weights hold ----

/// Wrong: blind to weights.
struct IgnoresWeights;
impl Strategy for IgnoresWeights {
    fn pick(
        &mut self,
        _: base::Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId {
        candidates.id(rng.below(candidates.len()))
    }
}
static IGNORES_WEIGHTS: Entry = Entry {
    name: "ignores_weights",
    summary: "",
    parameters: &[],
    build: |_| Box::new(IgnoresWeights),
};

/// Sends many requests that never end, or end at once, and compares the shares with the weights:
/// no count may be further off than six standard deviations of a weighted draw.
fn weights_hold(choice: Choice, seed: u64, weights: &[u32], end: bool) -> Result<(), String> {
    let (mut balancer, ids) = balancer(Settings::plain(choice), seed, weights);
    let n = 20_000;
    for i in 0..n {
        let attempt = send(&mut balancer, at(i), i);
        if end {
            balancer.handle_end(at(i), attempt.id, End::Complete);
        }
    }
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    for (&id, &weight) in ids.iter().zip(weights) {
        let p = f64::from(weight) / total;
        let expected = n as f64 * p;
        let count = balancer.pool().status(id).expect("present").attempts as f64;
        if (count - expected).abs() > 6.0 * (expected * (1.0 - p)).sqrt() + 1.0 {
            return Err(format!("{id}: {count} of {n}, its weight gives {expected}"));
        }
    }
    Ok(())
}

#[test]
fn blindness_to_weights_is_noticed() {
    assert!(weights_hold(choose_own(&IGNORES_WEIGHTS), 1, &[1, 2, 3], true).is_err());
    assert!(weights_hold(choose_own(&IGNORES_WEIGHTS), 1, &[2, 2, 2], true).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn shares_follow_the_weights(seed: u64, weights in prop::collection::vec(1..20_u32, 1..8)) {
        for (strategy, end) in [
            ("round_robin", true),
            ("random", true),
            ("p2c", true), // idle: the first that is drawn
            ("least_request", true), // idle: the random tie
            ("least_request", false), // busy: in flight per weight
        ] {
            let held = weights_hold(choose(strategy, &[]), seed, &weights, end);
            prop_assert!(held.is_ok(), "{strategy}, ends: {end}: {held:?}");
        }
        // P2C compares per weight: of two busy ones the weight decides.
        if weights.len() == 2 {
            let held = weights_hold(choose("p2c", &[]), seed, &weights, false);
            prop_assert!(held.is_ok(), "p2c: {held:?}");
        }
    }
}

// ---- P2C never picks the strictly busiest ----

/// How many of 100,000 picks go to the one backend that is busier than all others.
fn picks_of_the_busiest(choice: Choice, seed: u64, n: usize) -> u32 {
    let (mut balancer, _) = balancer(Settings::plain(choice), seed, &vec![1; n]);
    let busiest = send(&mut balancer, at(0), 0).backend;
    let picks = (1..=100_000).filter(|&i| {
        let attempt = send(&mut balancer, at(0), i);
        balancer.handle_end(at(0), attempt.id, End::Complete);
        attempt.backend == busiest
    });
    picks.count() as u32
}

#[test]
fn p2c_never_picks_the_strictly_busiest() {
    for n in [2, 3, 4, 10] {
        // Wrong, and shipped by many: draws with replacement give the busiest 1/n² of all picks.
        let with_replacement = choose("p2c", &[("replacement", ParameterValue::Flag(true))]);
        let wrong = picks_of_the_busiest(with_replacement, 1, n);
        let share = 1.0 / (n * n) as f64;
        let deviation = (100_000.0 * share * (1.0 - share)).sqrt();
        assert!((f64::from(wrong) - 100_000.0 * share).abs() < 5.0 * deviation, "{n}: {wrong}");
        for seed in 0..5 {
            for choices in [2, 3, 16] {
                let choice = choose("p2c", &[("choices", ParameterValue::Integer(choices))]);
                assert_eq!(picks_of_the_busiest(choice, seed, n), 0, "{n} {seed} {choices}");
            }
            assert_eq!(picks_of_the_busiest(choose("least_request", &[]), seed, n), 0);
        }
        // One choice is plain random, and a scan is a scan.
        let one = choose("p2c", &[("choices", ParameterValue::Integer(1))]);
        assert!(picks_of_the_busiest(one, 1, n) > 0);
        let scan =
            [("choices", ParameterValue::Integer(1)), ("scan_below", ParameterValue::Integer(11))];
        assert_eq!(picks_of_the_busiest(choose("p2c", &scan), 1, n), 0);
    }
}

/// Ties are fair: among idle backends every strategy picks each equally often.
#[test]
fn idle_backends_share_alike() {
    for strategy in strategies() {
        for n in [2, 3, 7] {
            let held = weights_hold(choose(strategy, &[]), 5, &vec![1; n], true);
            assert!(held.is_ok(), "{strategy}: {held:?}");
        }
    }
}

// ---- retries leave the turns of first attempts alone ----

/// Wrong, though nginx and others do it: a retry takes the next turn. A backend that fails then
/// gets more first attempts, because its share of all attempts is kept up.
struct RetriesTakeTurns(usize);
impl Strategy for RetriesTakeTurns {
    fn pick(
        &mut self,
        _: base::Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        loop {
            let id = BackendId { slot: (self.0 % 2) as u32, generation: 0 };
            self.0 += 1;
            if candidates.contains(id) {
                return id;
            }
        }
    }
}
static RETRIES_TAKE_TURNS: Entry = Entry {
    name: "retries_take_turns",
    summary: "",
    parameters: &[],
    build: |_| Box::new(RetriesTakeTurns(0)),
};

/// The share of first attempts that go to the one of two backends that fails them all.
fn first_attempts_at_the_failing(choice: Choice) -> f64 {
    let retry = RetrySettings { budget: 10.0, ..RetrySettings::default() };
    let settings = Settings { retry: Some(retry), ..Settings::plain(choice) };
    let (mut balancer, ids) = balancer(settings, 1, &[1, 1]);
    let mut failing = 0;
    for i in 0..1_000 {
        let attempt = send(&mut balancer, at(i), i);
        let head = if attempt.backend == ids[0] { reset() } else { status(200) };
        if let Next::Retry(next) = balancer.handle_head(at(i), attempt.id, head) {
            failing += 1;
            balancer.handle_end(at(i), next.id, End::Complete);
        }
        balancer.handle_end(at(i), attempt.id, End::Complete);
    }
    f64::from(failing) / 1_000.0
}

#[test]
fn a_failing_backend_gets_no_more_first_attempts_for_it() {
    assert!(first_attempts_at_the_failing(choose_own(&RETRIES_TAKE_TURNS)) > 0.99);
    assert!((first_attempts_at_the_failing(choose("round_robin", &[])) - 0.5).abs() < 0.002);
    // 1,000 fair draws: a standard deviation of 0.016.
    assert!((first_attempts_at_the_failing(choose("random", &[])) - 0.5).abs() < 0.08);
}

// ---- balancers that start together do not begin together ----

/// Wrong: everybody begins with the first backend (ingress-nginx #4023: 50 proxies, all of whose
/// first requests went to endpoint 1).
struct BeginsAtTheFirst(usize);
impl Strategy for BeginsAtTheFirst {
    fn pick(
        &mut self,
        _: base::Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        self.0 += 1;
        candidates.id((self.0 - 1) % candidates.len())
    }
    fn pool_changed(&mut self, _: &Pool, _: &mut Rng) -> Option<policy::strategy::Job> {
        self.0 = 0;
        None
    }
}
static BEGINS_AT_THE_FIRST: Entry = Entry {
    name: "begins_at_the_first",
    summary: "",
    parameters: &[],
    build: |_| Box::new(BeginsAtTheFirst(0)),
};

/// χ² of the first picks of 1,000 balancers over ten backends, at their start or after a backend
/// came and went; nine degrees of freedom put 99.99 % below 33.7.
fn chi_square_of_first_picks(choice: &Choice, after_a_change: bool, keyed: bool) -> f64 {
    let mut counts = [0_u32; 10];
    for k in 0..1_000 {
        // Who hashes sends each client to a backend of its own, if they have keys at all.
        let key = keyed.then(|| base::rng::mix(k, 3));
        let send = |balancer: &mut Balancer, now, id| {
            let request = RequestMeta { key, ..request(id, true) };
            match balancer.handle_request(now, request) {
                Verdict::Send(attempt) => attempt,
                other => panic!("request {id} is not sent: {other:?}"),
            }
        };
        let (mut balancer, ids) = balancer(Settings::plain(choice.clone()), k, &[1; 10]);
        if after_a_change {
            send(&mut balancer, at(0), 0);
            for command in [Command::Drain(ids[3]), Command::Ready(ids[3])] {
                let _ = balancer.handle_command(at(0), command);
                send(&mut balancer, at(0), 0);
            }
        }
        counts[send(&mut balancer, at(1), 1).backend.slot as usize] += 1;
    }
    counts.iter().map(|&count| (f64::from(count) - 100.0).powi(2) / 100.0).sum()
}

#[test]
fn first_picks_of_many_balancers_are_spread() {
    let chi_square = chi_square_of_first_picks;
    for (after_a_change, keyed) in [(false, false), (false, true), (true, false), (true, true)] {
        let wrong = chi_square(&choose_own(&BEGINS_AT_THE_FIRST), after_a_change, keyed);
        assert!(wrong > 33.7, "{wrong}");
        for strategy in strategies() {
            let spread = chi_square(&choose(strategy, &[]), after_a_change, keyed);
            assert!(spread < 33.7, "{strategy} {after_a_change} {keyed}: {spread}");
        }
    }
}

// ---- the same seed gives the same picks ----

#[test]
fn a_seed_is_a_promise() {
    for strategy in strategies() {
        let picks = |seed| {
            let (mut balancer, _) = balancer(plain(strategy), seed, &[1, 2, 3, 4, 5]);
            (0..200).map(|i| send(&mut balancer, at(i), i).backend.slot).collect::<Vec<_>>()
        };
        assert_eq!(picks(1), picks(1), "{strategy}");
        assert_ne!(picks(1), picks(2), "{strategy}");
    }
}

// ---- what is foreseen comes ----

/// Of how many requests it was foreseen where they go, and how many of those went there. It is foreseen
/// one request before, so that what happens in between can make it untrue.
fn foreseen_come(choice: &Choice, weights: &[u32], seed: u64) -> (usize, usize) {
    let (mut balancer, _) = balancer(Settings::plain(choice.clone()), seed, weights);
    let (mut foreseen, mut came, mut ends) = (0, 0, Rng::from_seed(seed));
    let (mut open, mut due) = (Vec::new(), None);
    for i in 0..500 {
        let later = balancer.foresee();
        let attempt = send(&mut balancer, at(i), i);
        if let Some(slot) = std::mem::replace(&mut due, later) {
            foreseen += 1;
            came += usize::from(slot == attempt.backend.slot);
        }
        open.push(attempt.id);
        if ends.chance(0.7) {
            let ended = open.swap_remove(ends.below(open.len()));
            balancer.handle_end(at(i), ended, End::Complete);
        }
    }
    (foreseen, came)
}

#[test]
fn whom_a_strategy_foresees_it_picks() {
    let mut who_foresees = Vec::new();
    for entry in policy::Registry::standard().entries() {
        let choice = choose(entry.name, &[]);
        // Loads that are compared may change in between.
        let least = if entry.name == "p2c" { 0.9 } else { 1.0 };
        for weights in [&[1; 30][..], &[1, 2, 3, 50], &[1]] {
            for seed in 0..5 {
                let (foreseen, came) = foreseen_come(&choice, weights, seed);
                // Not the first two: before the first it has not been told of the pool.
                assert!([0, 498].contains(&foreseen), "{}: {foreseen}", entry.name);
                assert!(came as f64 >= least * foreseen as f64, "{}: {came} came", entry.name);
                if foreseen > 0 && weights.len() == 30 && seed == 0 {
                    who_foresees.push(entry.name);
                }
            }
        }
    }
    assert_eq!(who_foresees, ["random", "p2c"]);
}
