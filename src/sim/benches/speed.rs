//! How many requests a second of one core the simulator plays.
//! It must not judge: the figures belong in reports/benchmarks.md, with the machine's description.
//!
//! Without arguments each strategy is played over a thousand backends. `play STRATEGY BACKENDS
//! REQUESTS` plays one trial and prints its requests a second, and `bare BACKENDS REQUESTS` does the
//! same without a balancer, events or a record: what the arrivals and services alone cost.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Clock, Distribution, Rng, Stop};
use policy::{Choice, Registry, Settings};
use record::Recorder;
use scenario::{
    BackendSpec, Generator, LoadSpec, ProxySpec, SubjectKind, Trial, Variant, ViewSpec,
};
use workload::{Abandoned, BackendModel, Discipline, LoadShape, Network, Pattern, Phase};

const BACKENDS: usize = 1_000;
/// Requests of one trial.
const REQUESTS: f64 = 3e6;
const ROUNDS: usize = 5;

/// The mean of a service, in seconds.
const MEAN: f64 = 0.010;
const SEED: u64 = 1;

const SERVICE: Distribution = Distribution::Exponential { mean: MEAN };

/// Four fifths of what the backends can do.
fn load(backends: usize, requests: f64) -> LoadShape {
    let rate = 0.8 * backends as f64 / MEAN;
    let duration = Duration::from_secs_f64(requests / rate);
    LoadShape {
        warmup: Duration::ZERO,
        phases: vec![Phase { name: "steady".into(), duration, rate, to: None }],
        pattern: Pattern::Poisson,
    }
}

fn trial(strategy: Choice, backends: usize, requests: f64) -> Trial {
    let model = BackendModel {
        concurrency: 1,
        queue: Some(1024),
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Finish,
        service: SERVICE,
        response_bytes: 128,
    };
    let backend = |i| BackendSpec { name: format!("b-{i}"), weight: 1, model: model.clone() };
    let shape = load(backends, requests);
    let window = Duration::from_secs(1).max(shape.length() / 600);
    Trial {
        variant: Variant {
            name: "default".into(),
            parameters: vec![],
            proxy: ProxySpec {
                kind: SubjectKind::Lab,
                workers: 1,
                balancers: 1,
                view: ViewSpec::default(),
                settings: Settings::plain(strategy),
            },
            backends: (1..=backends).map(backend).collect(),
            network: Network::default(),
            load: LoadSpec {
                generator: Generator::Builtin,
                shape,
                connections: 256,
                max_connections: 4096,
                timeout: Duration::from_secs(10),
                method: "GET".into(),
                path: "/".into(),
                keys: None,
            },
            faults: vec![],
        },
        round: 1,
        seed: SEED,
        window,
        spans: vec![],
        keep_requests: false,
    }
}

/// Requests a second of one trial, and the mean latency in it.
fn play(trial: &Trial) -> (f64, f64) {
    let clock = Clock::start();
    let mut recorder = Recorder::new(trial.plan());
    sim::play(trial, &mut recorder, &Stop::default()).expect("the trial is sane");
    let seconds = clock.now().as_secs_f64();
    let record = recorder.finish();
    let latency = &record.tallies()[0].latency;
    (record.counts().ok as f64 / seconds, latency.sum_ns() as f64 / latency.count() as f64)
}

/// The same arrivals and services, each at a backend of its luck, first come first served.
fn bare(backends: usize, requests: f64) -> (f64, f64) {
    let clock = Clock::start();
    let mut free_ns = vec![0_u64; backends];
    let (mut count, mut sum_ns) = (0_u64, 0_u64);
    for arrival in load(backends, requests).arrivals(&Rng::from_seed(SEED)) {
        let luck = base::rng::mix(arrival.luck, 1);
        let service_ns = SERVICE.sample_ns(&mut Rng::from_seed(luck));
        let free = &mut free_ns[((u128::from(luck) * backends as u128) >> 64) as usize];
        *free = arrival.at.as_nanos().max(*free) + service_ns;
        count += 1;
        sum_ns += *free - arrival.at.as_nanos();
    }
    (count as f64 / clock.now().as_secs_f64(), sum_ns as f64 / count as f64)
}

fn main() {
    // Cargo adds an argument of its own.
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<f64>().expect("BACKENDS and REQUESTS are numbers");
    let choose = |name: &str| {
        let registry = Registry::standard();
        let entry = registry.entries().iter().find(|entry| entry.name == name);
        entry.expect("STRATEGY is known").choose(&BTreeMap::new()).expect("defaults are valid")
    };
    let (rate, mean_ns) = match given[..] {
        [] => return every_strategy(),
        ["play", name, backends, requests] => {
            play(&trial(choose(name), number(backends) as usize, number(requests)))
        }
        ["bare", backends, requests] => bare(number(backends) as usize, number(requests)),
        _ => panic!("give nothing, `play STRATEGY BACKENDS REQUESTS` or `bare BACKENDS REQUESTS`"),
    };
    println!("{rate:.0} requests/s, mean latency {:.6} ms", mean_ns / 1e6);
}

fn every_strategy() {
    for entry in Registry::standard().entries() {
        let name = entry.name;
        let choice = entry.choose(&BTreeMap::new()).expect("defaults are valid");
        let trial = trial(choice, BACKENDS, REQUESTS);
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| play(&trial).0).collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "{name}, {BACKENDS} backends: {:.2} million requests/s (median of {ROUNDS}, {:.2} to {:.2})",
            rates[ROUNDS / 2] / 1e6,
            rates[0] / 1e6,
            rates[ROUNDS - 1] / 1e6,
        );
    }
}
