//! How many requests a second of one core the simulator plays: each strategy over a thousand
//! backends.
//! It must not judge: the figure belongs in reports/benchmarks.md, with the machine's description.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Clock, Distribution, Stop};
use policy::{Choice, Registry, Settings};
use record::Recorder;
use scenario::{BackendSpec, Generator, LoadSpec, ProxySpec, SubjectKind, Trial, Variant};
use workload::{Abandoned, BackendModel, Discipline, LoadShape, Network, Pattern, Phase};

const BACKENDS: usize = 1_000;
/// Requests of one trial.
const REQUESTS: f64 = 3e6;
const ROUNDS: usize = 5;

/// Ten milliseconds each at four fifths of what the backends can do.
fn trial(strategy: Choice) -> Trial {
    let mean = 0.010;
    let model = BackendModel {
        concurrency: 1,
        queue: Some(1024),
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Finish,
        service: Distribution::Exponential { mean },
        response_bytes: 128,
    };
    let backend = |i| BackendSpec { name: format!("b-{i}"), weight: 1, model: model.clone() };
    let rate = 0.8 * BACKENDS as f64 / mean;
    let duration = Duration::from_secs_f64(REQUESTS / rate);
    Trial {
        variant: Variant {
            name: "default".into(),
            parameters: vec![],
            proxy: ProxySpec {
                kind: SubjectKind::Lab,
                workers: 1,
                balancers: 1,
                settings: Settings::plain(strategy),
            },
            backends: (1..=BACKENDS).map(backend).collect(),
            network: Network::default(),
            load: LoadSpec {
                generator: Generator::Builtin,
                shape: LoadShape {
                    warmup: Duration::ZERO,
                    phases: vec![Phase { name: "steady".into(), duration, rate, to: None }],
                    pattern: Pattern::Poisson,
                },
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
        seed: 1,
        window: Duration::from_secs(1),
        spans: vec![],
        keep_requests: false,
    }
}

fn main() {
    for entry in Registry::standard().entries() {
        let name = entry.name;
        let trial = trial(entry.choose(&BTreeMap::new()).expect("defaults are valid"));
        let mut rates: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let clock = Clock::start();
                let mut recorder = Recorder::new(trial.plan());
                sim::play(&trial, &mut recorder, &Stop::default()).expect("the trial is sane");
                let seconds = clock.now().as_secs_f64();
                recorder.finish().counts().ok as f64 / seconds
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        println!(
            "{name}, {BACKENDS} backends: {:.2} million requests/s (median of {ROUNDS}, {:.2} to {:.2})",
            rates[ROUNDS / 2] / 1e6,
            rates[0] / 1e6,
            rates[ROUNDS - 1] / 1e6,
        );
    }
}
