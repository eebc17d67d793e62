//! What must hold always, whatever the seed. Every property is stated once, shown to fail against
//! a wrong implementation that many have shipped, and then shown to hold.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{AttemptId, BackendId, RequestMeta, Rng, Time};
use policy::{
    Balancer, Candidates, Choice, Command, End, Entry, HealthSettings, Next, Pool, RetrySettings,
    Settings, State, Strategy, Verdict,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generate;
use support::*;

// ---- only those that are ready are picked ----

/// Wrong: a table of the first pool it ever saw. (The balancer refuses its picks with a panic, so
/// that here it is asked directly.)
struct StaleTable(Vec<BackendId>);

impl Strategy for StaleTable {
    fn pick(&mut self, _: Time, _: &RequestMeta, _: &Candidates<'_>, rng: &mut Rng) -> BackendId {
        self.0[rng.below(self.0.len())]
    }
    fn pool_changed(&mut self, pool: &Pool, _: &mut Rng) -> Option<policy::strategy::Job> {
        if self.0.is_empty() {
            self.0 = pool.ready().map(|(id, _)| id).collect();
        }
        None
    }
}

static STALE_TABLE: Entry = Entry {
    name: "stale_table",
    summary: "",
    parameters: &[],
    build: |_| Box::new(StaleTable(Vec::new())),
};

/// One of the things that can happen to a balancer.
#[derive(Clone, Copy, Debug)]
enum Step {
    Request,
    Retry,
    Drain(usize),
    Ready(usize),
    Weight(usize, u32),
    Remove(usize),
    Add(u32),
}

fn steps() -> impl Generate<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Request),
        2 => Just(Step::Retry),
        1 => any::<usize>().prop_map(Step::Drain),
        1 => any::<usize>().prop_map(Step::Ready),
        1 => (any::<usize>(), 1..50_u32).prop_map(|(i, w)| Step::Weight(i, w)),
        1 => any::<usize>().prop_map(Step::Remove),
        1 => (1..9_u32).prop_map(Step::Add),
    ];
    prop::collection::vec(step, 1..150)
}

/// Plays the steps; `Err` when a backend is sent to that is not ready. Every attempt stays open
/// until a retry takes over or the steps end, when all counts must be back at zero.
fn picks_only_ready(choice: Choice, seed: u64, steps: &[Step]) -> Result<(), String> {
    let retry = RetrySettings { attempts: 100, budget: 100.0, ..RetrySettings::default() };
    let settings = Settings { retry: Some(retry), ..Settings::plain(choice) };
    let (mut balancer, mut ids) = balancer(settings, seed, &[1, 2, 3]);
    let mut open: Vec<AttemptId> = Vec::new();
    let check = |balancer: &Balancer, id: BackendId| match balancer.pool().status(id) {
        Some(status) if status.state == State::Ready => Ok(()),
        other => Err(format!("{id} was picked: {other:?}")),
    };
    for (i, step) in steps.iter().enumerate() {
        let command = match *step {
            Step::Request => {
                match balancer.handle_request(at(i as u64), request(i as u64, true)) {
                    Verdict::Send(attempt) => {
                        check(&balancer, attempt.backend)?;
                        open.push(attempt.id);
                    }
                    _ if balancer.pool().statuses().all(|b| b.state != State::Ready) => {}
                    other => return Err(format!("{other:?} though one is ready")),
                }
                continue;
            }
            Step::Retry => {
                let Some(id) = open.pop() else { continue };
                if let Next::Retry(next) = balancer.handle_head(at(i as u64), id, reset()) {
                    check(&balancer, next.backend)?;
                    open.insert(0, next.id);
                }
                balancer.handle_end(at(i as u64), id, End::Aborted);
                continue;
            }
            Step::Add(weight) => Command::Add { name: format!("n-{i}"), weight },
            _ if ids.is_empty() => continue,
            Step::Drain(k) => Command::Drain(ids[k % ids.len()]),
            Step::Ready(k) => Command::Ready(ids[k % ids.len()]),
            Step::Weight(k, weight) => Command::Weight(ids[k % ids.len()], weight),
            Step::Remove(k) => Command::Remove(ids.remove(k % ids.len())),
        };
        ids.extend(balancer.handle_command(at(i as u64), command).expect("it is valid"));
    }
    for id in open {
        balancer.handle_end(at(1_000), id, End::Complete);
    }
    match balancer.pool().statuses().find(|backend| backend.in_flight > 0) {
        None if balancer.requests_in_flight() == 0 => Ok(()),
        left => Err(format!("left in flight: {left:?}")),
    }
}

#[test]
#[should_panic(expected = "the strategy picked what is no candidate")]
fn a_stale_table_is_caught() {
    let steps = [Step::Request, Step::Drain(0), Step::Drain(1)];
    let steps: Vec<Step> = steps.into_iter().chain([Step::Request; 50]).collect();
    picks_only_ready(choose_own(&STALE_TABLE), 1, &steps)
        .expect("the balancer does not let it pass");
}

proptest! {
    #[test]
    fn only_ready_backends_are_picked(
        seed: u64,
        steps in steps(),
        strategy in prop::sample::select(strategies()),
    ) {
        let held = picks_only_ready(choose(strategy, &[]), seed, &steps);
        prop_assert!(held.is_ok(), "{strategy}: {held:?}");
    }
}

// ---- in-flight counts are conserved ----

/// What a shell may forget to report.
trait Reports {
    fn ends(&mut self, balancer: &mut Balancer, now: Time, attempt: AttemptId, end: End);
}

struct EveryEnd;
impl Reports for EveryEnd {
    fn ends(&mut self, balancer: &mut Balancer, now: Time, attempt: AttemptId, end: End) {
        balancer.handle_end(now, attempt, end);
    }
}

/// Wrong: an attempt that a retry replaced is not counted down, as if it had never been.
struct ForgetsReplacedAttempts;
impl Reports for ForgetsReplacedAttempts {
    fn ends(&mut self, balancer: &mut Balancer, now: Time, attempt: AttemptId, end: End) {
        if end != End::Aborted {
            balancer.handle_end(now, attempt, end);
        }
    }
}

/// After every step the balancer's in-flight counts are those that a plain list of open attempts
/// gives.
fn in_flight_is_conserved(
    reports: &mut dyn Reports,
    strategy: &str,
    seed: u64,
    draws: &[(u8, usize)],
) -> Result<(), String> {
    let retry = RetrySettings { attempts: 4, budget: 10.0, ..RetrySettings::default() };
    let settings = Settings { retry: Some(retry), ..plain(strategy) };
    let (mut balancer, ids) = balancer(settings, seed, &[1, 1, 3, 1]);
    let mut open: Vec<(AttemptId, BackendId)> = Vec::new();
    for (i, &(kind, which)) in draws.iter().enumerate() {
        let now = at(i as u64);
        match kind {
            0..4 => {
                let attempt = send(&mut balancer, now, i as u64);
                open.push((attempt.id, attempt.backend));
            }
            _ if open.is_empty() => {}
            4 | 5 => {
                let (id, _) = open.remove(which % open.len());
                match balancer.handle_head(now, id, refused()) {
                    Next::Retry(next) => {
                        open.push((next.id, next.backend));
                        reports.ends(&mut balancer, now, id, End::Aborted);
                    }
                    _ => reports.ends(&mut balancer, now, id, End::UpstreamBroke),
                }
            }
            6 => {
                let (id, _) = open.remove(which % open.len());
                reports.ends(&mut balancer, now, id, End::ClientLeft);
            }
            _ => {
                let (id, _) = open.remove(which % open.len());
                if balancer.handle_head(now, id, status(200)) != Next::Deliver {
                    return Err("a 200 is delivered".into());
                }
                reports.ends(&mut balancer, now, id, End::Complete);
            }
        }
        for &backend in &ids {
            let expected = open.iter().filter(|&&(_, b)| b == backend).count();
            let counted = balancer.pool().status(backend).expect("nobody removes it").in_flight;
            if counted as usize != expected {
                return Err(format!("step {i}: {counted} at {backend}, {expected} are open"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_forgotten_end_is_noticed() {
    let draws = [(0, 0), (4, 0), (7, 0)];
    let wrong = in_flight_is_conserved(&mut ForgetsReplacedAttempts, "p2c", 1, &draws);
    assert!(wrong.is_err());
    assert!(in_flight_is_conserved(&mut EveryEnd, "p2c", 1, &draws).is_ok());
}

proptest! {
    #[test]
    fn in_flight_counts_are_conserved(
        seed: u64,
        draws in prop::collection::vec((0..10_u8, any::<usize>()), 1..300),
        strategy in prop::sample::select(strategies()),
    ) {
        let held = in_flight_is_conserved(&mut EveryEnd, strategy, seed, &draws);
        prop_assert!(held.is_ok(), "{strategy}: {held:?}");
    }
}

// ---- nobody is tried twice while another is untried ----

/// The backends that the attempts of one request go to, all of them failing.
trait Chain {
    fn chain(&mut self, backends: usize, attempts: u32) -> Vec<u32>;
}

struct OfBalancer {
    strategy: &'static str,
    seed: u64,
    /// A failed connect also takes the backend out of the candidates.
    health: bool,
}

impl Chain for OfBalancer {
    fn chain(&mut self, backends: usize, attempts: u32) -> Vec<u32> {
        let retry = RetrySettings { attempts, ..RetrySettings::default() };
        let health = self.health.then(HealthSettings::default);
        let settings = Settings { retry: Some(retry), health, ..plain(self.strategy) };
        let weights: Vec<u32> = (1..=backends as u32).collect();
        let (mut balancer, _) = balancer(settings, self.seed, &weights);
        pass_time(&mut balancer, at(0), at(1), |_, _| true);
        let mut attempt = send(&mut balancer, at(1), 0);
        let mut chain = vec![attempt.backend.slot];
        let head = if self.health { refused() } else { reset() };
        while let Next::Retry(next) = balancer.handle_head(at(1), attempt.id, head) {
            balancer.handle_end(at(1), attempt.id, End::Aborted);
            attempt = next;
            chain.push(attempt.backend.slot);
        }
        chain
    }
}

/// Wrong: HAProxy's default of old, which retries at the same server.
struct SameBackendAgain(Rng);
impl Chain for SameBackendAgain {
    fn chain(&mut self, backends: usize, attempts: u32) -> Vec<u32> {
        vec![self.0.below(backends) as u32; attempts as usize]
    }
}

/// Wrong: a fresh draw for every attempt, which may hit the same one.
struct FreshDraw(Rng);
impl Chain for FreshDraw {
    fn chain(&mut self, backends: usize, attempts: u32) -> Vec<u32> {
        (0..attempts).map(|_| self.0.below(backends) as u32).collect()
    }
}

fn no_backend_twice_too_early(chain: &[u32], backends: usize) -> bool {
    chain.iter().enumerate().all(|(i, slot)| i >= backends || !chain[..i].contains(slot))
}

#[test]
fn wrong_chains_are_noticed() {
    let same = SameBackendAgain(Rng::from_seed(1)).chain(4, 2);
    assert!(!no_backend_twice_too_early(&same, 4));
    let mut fresh = FreshDraw(Rng::from_seed(1));
    assert!((0..100).any(|_| !no_backend_twice_too_early(&fresh.chain(4, 3), 4)));
}

proptest! {
    #[test]
    fn no_backend_is_tried_twice_while_another_is_untried(
        seed: u64,
        backends in 1..8_usize,
        attempts in 1..12_u32,
        strategy in prop::sample::select(strategies()),
        health: bool,
    ) {
        let chain = OfBalancer { strategy, seed, health }.chain(backends, attempts);
        prop_assert!(no_backend_twice_too_early(&chain, backends), "{strategy}: {chain:?}");
        // With health on every one that refuses goes out, and in the end nobody is left to try.
        let length = if health { backends.min(attempts as usize) } else { attempts as usize };
        prop_assert_eq!(chain.len(), length);
    }
}
