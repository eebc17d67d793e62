//! What the tests of the simulator share: trials of a few lines. It must not check anything.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Distribution, Stop};
use policy::{Choice, HealthSettings, Registry, RetrySettings, Settings};
use record::{Recorder, Span, TrialRecord};
use scenario::{
    BackendSpec, Generator, LoadSpec, ProxySpec, SubjectKind, Trial, Variant, ViewSpec,
};
use workload::{
    Abandoned, BackendModel, Discipline, Fault, FaultKind, LoadShape, Network, Pattern, Phase,
};

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn choose(name: &str) -> Choice {
    Registry::standard().choose(name, &BTreeMap::new()).expect("the tests choose what there is")
}

/// Backends `b-1` … that take `service`, under a steady load of `rate` a second for `seconds`.
pub fn trial(
    strategy: &str,
    backends: usize,
    service: Distribution,
    rate: f64,
    seconds: u64,
) -> Trial {
    let model = BackendModel {
        concurrency: 1,
        queue: None,
        discipline: Discipline::Fifo,
        abandoned: Abandoned::Finish,
        service,
        response_bytes: 128,
    };
    let backends = (1..=backends).map(|i| BackendSpec {
        name: format!("b-{i}"),
        weight: 1,
        model: model.clone(),
    });
    let phase = Phase { name: "steady".into(), duration: ms(1000 * seconds), rate, to: None };
    Trial {
        variant: Variant {
            name: "default".into(),
            parameters: vec![],
            proxy: ProxySpec {
                kind: SubjectKind::Lab,
                workers: 1,
                balancers: 1,
                view: ViewSpec::default(),
                settings: Settings::plain(choose(strategy)),
            },
            backends: backends.collect(),
            network: Network::default(),
            load: LoadSpec {
                generator: Generator::Builtin,
                shape: LoadShape {
                    warmup: ms(1000),
                    phases: vec![phase],
                    pattern: Pattern::Poisson,
                },
                connections: 256,
                max_connections: 4096,
                timeout: ms(10_000),
                method: "GET".into(),
                path: "/".into(),
                keys: None,
            },
            faults: vec![],
        },
        round: 1,
        seed: 1,
        window: ms(1000),
        spans: vec![],
        keep_requests: true,
    }
}

pub fn constant(ms: u64) -> Distribution {
    Distribution::Constant { value: ms as f64 / 1e3 }
}

pub fn fault(at_ms: u64, for_ms: u64, backends: &[usize], kind: FaultKind) -> Fault {
    Fault { at: ms(at_ms), length: Some(ms(for_ms)), backends: backends.to_vec(), kind }
}

pub fn span(from_ms: u64, to_ms: u64) -> Span {
    Span { from: ms(from_ms), to: ms(to_ms) }
}

/// Probes every 500 ms; two failures take a backend down, two passes bring it back.
pub fn with_health(mut trial: Trial) -> Trial {
    trial.variant.proxy.settings.health = Some(HealthSettings {
        interval: ms(500),
        timeout: ms(200),
        fall: 2,
        rise: 2,
        ..HealthSettings::default()
    });
    trial
}

pub fn with_retry(mut trial: Trial, attempts: u32) -> Trial {
    let retry = RetrySettings { attempts, ..RetrySettings::default() };
    trial.variant.proxy.settings.retry = Some(retry);
    trial
}

pub fn play(trial: &Trial) -> TrialRecord {
    let mut recorder = Recorder::new(trial.plan());
    sim::play(trial, &mut recorder, &Stop::default()).expect("the trial is sane");
    recorder.finish()
}

/// The events as lines, times from the beginning of the warm-up: "2.000 scenario b-1 crash".
pub fn lines(record: &TrialRecord) -> Vec<String> {
    record
        .events()
        .iter()
        .map(|e| {
            let at = e.at.as_secs_f64();
            let line = format!("{at:.3} {} {} {} {}", e.source, e.subject, e.kind, e.detail);
            line.trim_end().to_owned()
        })
        .collect()
}
