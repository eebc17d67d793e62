//! What strategies do to queues: fast failures, recoveries, several balancers. Every promise is
//! stated once, shown to be broken by a rule that has shipped, and then shown to be kept.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::collections::VecDeque;
use std::time::Duration;

use base::{BackendId, RequestMeta, Rng, Time};
use policy::strategy::{Observation, PerBackend, Seen};
use policy::{Candidates, Choice, Command, Entry, ParameterValue, Settings, Strategy};
use support::queues::*;
use support::*;

const N: usize = 4;
const SERVES: Conduct = Conduct::Serves(Duration::from_millis(10));
/// Half of what the backends can do.
const RATE: f64 = 200.0;
/// Five requests a second at each.
const LOW_RATE: f64 = 20.0;
const SEEDS: u64 = 4;
const MANY_SEEDS: u64 = 16;

fn world(settings: &Settings, seed: u64, tells: Tells) -> World {
    let mut world = World::new(settings, seed, 1, &[SERVES; N]);
    world.tells = tells;
    world
}

/// What backends tell to probes makes a difference for those alone that ask.
fn all_tells(strategy: &str) -> &'static [Tells] {
    if strategy == "prequal" {
        &[Tells::Nothing, Tells::InFlight, Tells::InFlightAndLatency]
    } else {
        &[Tells::Nothing]
    }
}

// ---- a backend that fails fast is no sinkhole ----

/// How many times its fair share a backend gets that answers 500 in 1 ms, from five seconds after
/// it began to for ten more.
fn shares_at_the_failing(settings: &Settings, tells: Tells) -> f64 {
    let shares = (0..SEEDS).map(|seed| {
        let mut world = world(settings, seed, tells);
        world.run(RATE, at(2_000));
        world.set_conduct(0, Conduct::FailsFast);
        world.run(RATE, at(7_000));
        share(&world.run(RATE, at(17_000)), 0) * N as f64
    });
    shares.sum::<f64>() / SEEDS as f64
}

#[test]
fn a_backend_that_fails_fast_draws_no_load() {
    // Wrong: it is always idle, which is all that least requests looks at; and it is the fastest.
    let least_request = shares_at_the_failing(&plain("least_request"), Tells::Nothing);
    assert!(least_request > 1.3, "{least_request}");
    let off = ParameterValue::Duration(Duration::ZERO);
    let unpenalised = Settings::plain(choose("peak_ewma", &[("penalty", off)]));
    let unpenalised = shares_at_the_failing(&unpenalised, Tells::Nothing);
    assert!(unpenalised > 1.3, "{unpenalised}");

    // Those that learn from failures keep away by themselves; for all others there is passive
    // ejection (sinkhole.rs).
    for strategy in ["peak_ewma", "prequal"] {
        for &tells in all_tells(strategy) {
            let shares = shares_at_the_failing(&plain(strategy), tells);
            assert!(shares <= 1.1, "{strategy} {tells:?}: {shares}");
        }
    }
}

/// Few requests tell as much as many, and where all fail nobody is left out.
#[test]
fn peak_ewma_knows_the_failing_at_a_low_rate_and_shares_where_all_fail() {
    let settings = plain("peak_ewma");
    for (failing, least, most) in [(1, 0.0, 1.1), (N, 0.7, 1.3)] {
        let shares = (0..MANY_SEEDS).map(|seed| {
            let mut world = world(&settings, seed, Tells::Nothing);
            world.run(LOW_RATE, at(2_000));
            (0..failing).for_each(|backend| world.set_conduct(backend, Conduct::FailsFast));
            world.run(LOW_RATE, at(7_000));
            share(&world.run(LOW_RATE, at(27_000)), 0) * N as f64
        });
        let mean = shares.sum::<f64>() / MANY_SEEDS as f64;
        assert!((least..=most).contains(&mean), "{failing} of {N} fail: {mean}");
    }
}

/// Wrong: a failure believed at once, as an answer of 5 s: beside backends that take 10 ms it would
/// keep a backend out for a minute. Here a moment of failures is over within one decay.
#[test]
fn peak_ewma_forgives_a_moment_of_failures_within_its_decay() {
    let settings = plain("peak_ewma");
    for rate in [LOW_RATE, RATE] {
        let shares = (0..MANY_SEEDS).map(|seed| {
            let mut world = world(&settings, seed, Tells::Nothing);
            world.run(rate, at(2_000));
            world.set_conduct(0, Conduct::FailsFast);
            // One request, as a rule.
            let moment = Duration::from_secs_f64(N as f64 / rate);
            world.run(rate, at(2_000) + moment);
            world.set_conduct(0, SERVES);
            world.run(rate, at(12_000) + moment);
            share(&world.run(rate, at(22_000) + moment), 0) * N as f64
        });
        let mean = shares.sum::<f64>() / MANY_SEEDS as f64;
        assert!(mean >= 0.5, "{rate}/s: {mean}");
    }
}

// ---- who recovers is used again ----

/// Wrong, as Traefik's leasttime was (#12306): the mean of the last 100 answers, times those in
/// flight, and nothing ever fades.
struct NeverForgets(PerBackend<VecDeque<Duration>>);

impl NeverForgets {
    fn cost(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        let Some(answers) = self.0.get(candidates.id(index)) else { return 0.0 };
        let mean = answers.iter().sum::<Duration>().as_secs_f64() / answers.len() as f64;
        mean * f64::from(candidates.in_flight(index) + 1)
    }
}

impl Strategy for NeverForgets {
    fn pick(
        &mut self,
        _: Time,
        _: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        let costs = (0..candidates.len()).map(|index| (self.cost(candidates, index), index));
        let (_, best) = costs.min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are candidates");
        candidates.id(best)
    }

    fn observed(&mut self, _: Time, backend: BackendId, observation: Observation) {
        if observation.seen == Seen::Nothing {
            return;
        }
        if let Some(answers) = self.0.or_insert_with(backend, VecDeque::new) {
            answers.push_back(observation.after);
            if answers.len() > 100 {
                answers.pop_front();
            }
        }
    }
}

static NEVER_FORGETS: Entry = Entry {
    name: "never_forgets",
    summary: "",
    parameters: &[],
    build: |_| Box::new(NeverForgets(PerBackend::default())),
};

/// What a backend recovers from.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    FailsFast,
    Slow,
    Drained,
}

/// How many times its fair share a backend gets in ten seconds, `after` its trouble of ten seconds
/// is over; the least over some seeds.
fn shares_at_the_recovered(
    settings: &Settings,
    tells: Tells,
    trouble: Trouble,
    after: Duration,
) -> f64 {
    let over = at(12_000);
    let shares = (0..SEEDS).map(|seed| {
        let mut world = world(settings, seed, tells);
        world.run(RATE, at(2_000));
        match trouble {
            Trouble::FailsFast => world.set_conduct(0, Conduct::FailsFast),
            Trouble::Slow => world.set_conduct(0, Conduct::Serves(ms(1_000))),
            Trouble::Drained => world.command(at(2_000), 0, Command::Drain),
        }
        world.run(RATE, over);
        world.set_conduct(0, SERVES);
        world.command(over, 0, Command::Ready);
        world.run(RATE, over + after);
        share(&world.run(RATE, over + after + ms(10_000)), 0) * N as f64
    });
    shares.fold(f64::INFINITY, f64::min)
}

/// Until when a strategy promises, by its parameters, to use a backend again that is as good as the
/// others.
fn promised(choice: &Choice, trouble: Trouble) -> Duration {
    let seconds = |name| match choice.parameters().get(name) {
        Some(&ParameterValue::Duration(duration)) => duration.as_secs_f64(),
        other => panic!("{name} is {other:?}"),
    };
    // What had begun to be served slowly must end, whatever the strategy.
    let any = 5.0;
    Duration::from_secs_f64(match choice.name() {
        // To the ten milliseconds that the others take: failures fade by their square, and so twice
        // as fast as a latency of seconds; who was drained begins anew.
        "peak_ewma" => match trouble {
            Trouble::FailsFast => any + seconds("decay") / 2.0 * (seconds("penalty") / 0.010).ln(),
            Trouble::Slow => any + seconds("decay") * (5.0_f64 / 0.010).ln(),
            Trouble::Drained => any,
        },
        // The longest aversion, and the age of the oldest answer in use.
        "prequal" => any + 33.0 * seconds("max_age"),
        _ => any,
    })
}

#[test]
fn who_recovers_gets_at_least_half_a_fair_share() {
    let wrong = Settings::plain(choose_own(&NEVER_FORGETS));
    let starved = shares_at_the_recovered(&wrong, Tells::Nothing, Trouble::Slow, ms(60_000));
    assert!(starved < 0.1, "{starved}");

    for strategy in strategies() {
        let settings = plain(strategy);
        for &tells in all_tells(strategy) {
            for trouble in [Trouble::FailsFast, Trouble::Slow, Trouble::Drained] {
                let promised = promised(&settings.strategy, trouble);
                let shares = shares_at_the_recovered(&settings, tells, trouble, promised);
                assert!(shares >= 0.5, "{strategy} {tells:?} {trouble:?}: {shares}");
            }
        }
    }
}

// ---- what asking for the load is good for ----

/// The 99th percentile over backends half of which are half as fast, at this load.
fn p99(settings: &Settings, tells: Tells, balancers: usize, n: usize, load: f64) -> f64 {
    let conducts: Vec<Conduct> =
        (0..n).map(|i| Conduct::Serves(ms(if i % 2 == 0 { 10 } else { 20 }))).collect();
    let rate = load * 75.0 * n as f64;
    // The same number of requests for every n: 30,000 a seed at full load.
    let measured = ms(400_000 / n as u64);
    let mut fates = Vec::new();
    for seed in 0..3 {
        let mut world = World::new(settings, seed, balancers, &conducts);
        world.tells = tells;
        world.run(rate, at(2_000));
        fates.extend(world.run(rate, at(2_000) + measured));
    }
    quantile(&fates, 0.99)
}

/// Many balancers know little by themselves (here 10 before 20 backends), and asking helps.
#[test]
fn several_balancers_that_ask_beat_those_that_do_not() {
    let asks = p99(&plain("prequal"), Tells::InFlight, 10, 20, 0.9);
    let draws = p99(&plain("p2c"), Tells::Nothing, 10, 20, 0.9);
    assert!(asks < 0.7 * draws, "{asks} {draws}");
}

/// Why the default of `q_rif` is not the paper's: with latencies that are a second old the paper's
/// herds, and with those that backends tell it is little better.
#[test]
fn the_default_quantile_is_safe_where_backends_tell_no_latency() {
    let with =
        |q_rif| Settings::plain(choose("prequal", &[("q_rif", ParameterValue::Number(q_rif))]));
    let own = plain("prequal");
    let untold =
        [p99(&own, Tells::InFlight, 1, 10, 0.9), p99(&with(0.84), Tells::InFlight, 1, 10, 0.9)];
    assert!(untold[1] > 1.3 * untold[0], "{untold:?}");
    let told = Tells::InFlightAndLatency;
    let told = [p99(&own, told, 1, 10, 0.9), p99(&with(0.84), told, 1, 10, 0.9)];
    assert!(told[0] < 1.25 * told[1], "{told:?}");
}
