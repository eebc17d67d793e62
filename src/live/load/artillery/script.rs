//! The script that Artillery plays, from the phases of a scenario, and what must come of it. Pure:
//! it must not read a file or start anything.
//!
//! Artillery has three pacers, and each has a trap:
//!
//! - A constant `arrivalRate` (and `mode: poisson`) waits for its next arrival in a loop that never
//!   sleeps, and keeps a core busy at any rate: on a small machine that core is the proxy's.
//! - A ramp climbs once a second, to whole requests, and sleeps in between; from a rate to the same
//!   rate it is the cheap constant pacer. But a ramp of one second fires everything at once, and of
//!   a length that is no whole number of seconds it makes the next whole one.
//! - `arrivalCount` takes any length and count. It has the busy loop, but only for a phase's own
//!   time, and below some 40 requests/s it sleeps.
//!
//! So phases of whole requests a second and whole seconds, two at least, are ramps; all others are
//! counted out. Arrivals come at even gaps whatever the scenario says: Artillery's Poisson gaps are
//! drawn from a generator without a seed, so that no two runs would have the same load.

use std::time::Duration;

use base::{Rng, rng};
use scenario::artillery::SHORTEST_RAMP;
use scenario::{KEY_FIELD, LoadSpec};
use serde_json::{Value, json};
use std::net::SocketAddr;
use workload::{Keys, Phase};

/// The file names that the script and what goes with it refer to each other by.
pub(crate) const SCRIPT: &str = "artillery.json";
/// The lucks (and keys) of the requests.
pub(crate) const REQUESTS: &str = "artillery.requests";
/// What notes every request; see artillery/recorder.cjs.
pub(crate) const RECORDER: &str = "recorder.cjs";

/// Before the warm-up Artillery pauses: time to hand over the faults once it is known when it will
/// begin.
pub(crate) const LEAD: Duration = Duration::from_secs(1);

/// Requests a second that one of Artillery's threads sends without being late.
const EASY_RATE: f64 = 500.0;

/// What Artillery is given, and what it must make of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    /// The script.
    pub(crate) json: String,
    /// Of each request in its order its luck, 8 bytes, and, where the load has keys, the key's
    /// number, 4 bytes; little-endian.
    pub(crate) requests: Vec<u8>,
    /// What comes of it.
    pub(crate) plan: Planned,
}

/// How many requests Artillery makes of a script, and in which phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Threads that send.
    pub(crate) workers: u32,
    /// Of the warm-up.
    pub(crate) warmup: u64,
    /// Of the phases together.
    pub(crate) measured: u64,
    /// The number that Artillery gives to the first measured phase.
    pub(crate) first: usize,
    /// And to the last one.
    pub(crate) last: usize,
    /// Of the measured phases those that have a rate and not one whole request.
    pub(crate) empty: Vec<String>,
}

impl Planned {
    /// All requests.
    pub(crate) const fn requests(&self) -> u64 {
        self.warmup + self.measured
    }
}

/// One phase as Artillery paces it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Paced {
    /// Second by second from a rate to a rate.
    Ramp { seconds: u64, from: f64, to: f64 },
    /// So many, evenly.
    Counted { duration: Duration, count: u64 },
}

/// Writes the script of a load that goes to these addresses in turn; `seed` is the trial's, and
/// `cores` are the machine's, of which Artillery leaves one to itself.
pub(crate) fn script(load: &LoadSpec, targets: &[SocketAddr], seed: u64, cores: u32) -> Script {
    let shape = &load.shape;
    let rates = shape.phases.iter().flat_map(|phase| [phase.rate, phase.to.unwrap_or(0.0)]);
    let workers = (rates.fold(0.0, f64::max) / EASY_RATE).ceil() as u32;
    let workers = workers.clamp(1, cores.saturating_sub(1).max(1));
    let warmup = shape.phases.first().filter(|_| !shape.warmup.is_zero()).map(|first| Phase {
        name: "warm-up".to_owned(),
        duration: shape.warmup,
        rate: first.rate,
        to: None,
    });
    let mut phases = vec![json!({ "name": "lead", "pause": LEAD.as_secs() })];
    let mut counts = Vec::new();
    for phase in warmup.iter().chain(&shape.phases) {
        let paced = paced(phase);
        phases.push(paced.json(&phase.name));
        counts.push(paced.requests(workers));
    }
    let of_warmup = if warmup.is_some() { counts.remove(0) } else { 0 };
    let empty = shape.phases.iter().zip(&counts).filter(|(phase, count)| {
        **count == 0 && (phase.rate > 0.0 || phase.to.is_some_and(|to| to > 0.0))
    });
    let plan = Planned {
        empty: empty.map(|(phase, _)| phase.name.clone()).collect(),
        workers,
        warmup: of_warmup,
        measured: counts.iter().sum(),
        first: phases.len() - shape.phases.len(),
        last: phases.len() - 1,
    };
    let json = document(load, targets, phases, workers);
    let json = serde_json::to_string_pretty(&json).expect("plain values");
    Script { json, requests: requests(load, seed, plan.requests()), plan }
}

fn document(load: &LoadSpec, targets: &[SocketAddr], phases: Vec<Value>, workers: u32) -> Value {
    let targets: Vec<String> = targets.iter().map(|target| format!("http://{target}")).collect();
    // Sockets that all workers may open together; each opens one when none of its own is free.
    let pool = load.max_connections.div_ceil(workers);
    let method = load.method.to_lowercase();
    json!({
        "config": {
            "target": targets.first(),
            "processor": format!("./{RECORDER}"),
            "phases": phases,
            "http": {
                "pool": pool,
                "timeout": load.timeout.as_secs_f64(),
                "extendedMetrics": true,
            },
            // Loaded in any case; this way it keeps no figures of its own for each URL.
            "plugins": {
                "metrics-by-endpoint": { "suppressOutput": true, "useOnlyRequestNames": true },
            },
            // Artillery passes over it; the recorder reads it.
            "lab": {
                "workers": workers,
                "targets": targets,
                "key_field": load.keys.map(|_| KEY_FIELD),
            },
        },
        "scenarios": [{
            "name": "lab",
            "beforeScenario": "begin",
            "beforeRequest": "prepare",
            "afterResponse": "answered",
            "onError": "failed",
            "flow": [{
                method: {
                    "url": load.path,
                    // As the built-in generator: what comes is taken as it is.
                    "followRedirect": false,
                    "gzip": false,
                    "headers": { "user-agent": "lab" },
                },
            }],
        }],
    })
}

/// The luck and the key of each request: those that the built-in generator would give it.
fn requests(load: &LoadSpec, seed: u64, count: u64) -> Vec<u8> {
    let seed = Rng::from_seed(seed).seed();
    let keys = load.keys.map(Keys::new);
    let mut bytes = Vec::new();
    for request in 0..count {
        let luck = rng::mix(seed, request);
        bytes.extend(luck.to_le_bytes());
        if let Some(keys) = &keys {
            bytes.extend(keys.of(luck).0.to_le_bytes());
        }
    }
    bytes
}

fn paced(phase: &Phase) -> Paced {
    let Phase { duration, rate, .. } = *phase;
    let to = phase.to.unwrap_or(rate);
    let whole_seconds = duration.subsec_nanos() == 0 && duration >= SHORTEST_RAMP;
    let whole_rate = rate.fract() == 0.0 && to.fract() == 0.0;
    if whole_seconds && (whole_rate || rate != to) {
        return Paced::Ramp { seconds: duration.as_secs(), from: rate, to };
    }
    // A scenario's check has left no ramp of another length.
    Paced::Counted { duration, count: phase.expected().round() as u64 }
}

impl Paced {
    fn json(self, name: &str) -> Value {
        match self {
            // A ramp to 0 is taken for none at all.
            Self::Ramp { seconds, from, to } => json!({
                "name": name,
                "duration": seconds,
                "arrivalRate": number(from),
                "rampTo": number(to.max(1e-9)),
            }),
            Self::Counted { duration, count: 0 } => {
                json!({ "name": name, "pause": milliseconds(duration) })
            }
            Self::Counted { duration, count } => json!({
                "name": name,
                "duration": milliseconds(duration),
                "arrivalCount": count,
            }),
        }
    }

    /// How many requests all workers make of it: Artillery's arithmetic, in its own steps, because
    /// it rounds on the way.
    fn requests(self, workers: u32) -> u64 {
        match self {
            Self::Ramp { seconds, from, to } => {
                let all = f64::from(workers);
                let (from, difference) = (from / all, to.max(1e-9) / all - from / all);
                let steps = (seconds - 1) as f64;
                let of = |second: u64| {
                    let raw = difference / steps * second as f64 + from;
                    let spare = (raw.fract() * all + 0.5).floor();
                    (1..=workers)
                        .map(|worker| raw.floor() as u64 + u64::from(spare >= f64::from(worker)))
                        .sum::<u64>()
                };
                (0..seconds).map(of).sum()
            }
            Self::Counted { count: 0, .. } => 0,
            Self::Counted { duration, count } => {
                // A tick is cut to whole microseconds; more of them may fit then.
                let whole_us = duration.as_secs_f64() * 1e6;
                let tick_us = (whole_us / count as f64).floor();
                (whole_us / tick_us).floor() as u64
            }
        }
    }
}

/// A whole number without a point, as a person would write it.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 { json!(value as u64) } else { json!(value) }
}

/// Artillery takes a number for seconds and rounds text of seconds; milliseconds it takes as they
/// are.
fn milliseconds(duration: Duration) -> Value {
    json!(format!("{}ms", duration.as_nanos() as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::tests::trial;

    fn phase(seconds: f64, rate: f64, to: Option<f64>) -> Phase {
        Phase { name: "p".into(), duration: Duration::from_secs_f64(seconds), rate, to }
    }

    #[test]
    fn phases_are_paced_by_what_suits_them() {
        let ramp = |seconds, from, to| Paced::Ramp { seconds, from, to };
        let counted = |ms, count| Paced::Counted { duration: Duration::from_millis(ms), count };
        // (seconds, rate, to → how, requests of one worker, of three)
        for (seconds, rate, to, expected, one, three) in [
            (20.0, 300.0, None, ramp(20, 300.0, 300.0), 6000, 6000),
            (2.0, 100.0, None, ramp(2, 100.0, 100.0), 200, 200),
            (10.0, 50.0, Some(150.0), ramp(10, 50.0, 150.0), 1000, 1000),
            (4.0, 0.0, Some(90.0), ramp(4, 0.0, 90.0), 180, 180),
            (4.0, 90.0, Some(0.0), ramp(4, 90.0, 0.0), 180, 180),
            // What a person measured: 200 + 300 of two phases, and 50 of this one.
            (2.0, 50.0, Some(0.0), ramp(2, 50.0, 0.0), 50, 50),
            (1.0, 50.0, None, counted(1000, 50), 50, 50),
            (1.5, 20.0, None, counted(1500, 30), 30, 30),
            (10.0, 0.5, None, counted(10_000, 5), 5, 5),
            (0.5, 0.5, None, counted(500, 0), 0, 0),
            // 1 s ÷ 1900 is cut to 526 µs, of which 1901 fit.
            (1.0, 1900.0, None, counted(1000, 1900), 1901, 1901),
        ] {
            let how = paced(&phase(seconds, rate, to));
            assert_eq!(how, expected, "{seconds} s of {rate} to {to:?}");
            assert_eq!((how.requests(1), how.requests(3)), (one, three), "{how:?}");
        }
    }

    #[test]
    fn the_script_says_what_the_scenario_says() {
        let mut load = trial("lab").variant.load;
        load.keys = Some(workload::KeyShape { count: 10, zipf: 1.0 });
        load.shape.phases.push(phase(1.5, 20.0, None));
        load.shape.phases.push(phase(3.0, 50.0, Some(0.0)));
        load.path = "/a?b=1".into();
        load.method = "POST".into();
        let target = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let script = script(&load, &[target(8080), target(8081)], 7, 2);
        let golden = include_str!("script_golden.json");
        assert_eq!(script.json.trim(), golden.trim(), "{}", script.json);
        let plan =
            Planned { workers: 1, warmup: 50, measured: 205, first: 2, last: 4, empty: vec![] };
        assert_eq!(script.plan, plan);
        assert_eq!(script.requests.len(), 255 * 12);
    }

    #[test]
    fn a_phase_without_a_whole_request_is_named_and_a_pause_is_not() {
        let mut load = trial("lab").variant.load;
        let somewhere = [SocketAddr::from(([127, 0, 0, 1], 80))];
        for (seconds, rate, is_empty) in
            [(2.0, 0.2, true), (2.0, 0.0, false), (0.5, 0.5, true), (2.0, 0.5, false)]
        {
            load.shape.phases = vec![phase(seconds, rate, None)];
            let plan = script(&load, &somewhere, 1, 2).plan;
            assert_eq!(plan.empty.len(), usize::from(is_empty), "{seconds} s of {rate}: {plan:?}");
            assert_eq!(plan.measured == 0, is_empty || rate == 0.0, "{plan:?}");
        }
    }

    #[test]
    fn each_request_has_the_luck_that_the_built_in_generator_gives_it() {
        let trial = trial("lab");
        let load = &trial.variant.load;
        let somewhere = [SocketAddr::from(([127, 0, 0, 1], 80))];
        let script = script(load, &somewhere, trial.seed, 2);
        let lucks = script
            .requests
            .chunks(8)
            .map(|luck| u64::from_le_bytes(luck.try_into().expect("eight bytes")));
        let arrivals = load.shape.arrivals(&Rng::from_seed(trial.seed));
        assert_eq!(script.plan.requests(), 150);
        let both: Vec<_> = lucks.zip(arrivals).collect();
        assert!(both.len() > 100 && both.iter().all(|(luck, arrival)| *luck == arrival.luck));
    }

    #[test]
    fn there_are_as_many_workers_as_the_rate_needs_and_the_machine_has() {
        let somewhere = [SocketAddr::from(([127, 0, 0, 1], 80))];
        for (rate, cores, workers) in
            [(50.0, 64, 1), (500.0, 64, 1), (501.0, 64, 2), (5000.0, 4, 3), (5000.0, 1, 1)]
        {
            let mut load = trial("lab").variant.load;
            load.shape.phases[0].rate = rate;
            let script = script(&load, &somewhere, 1, cores);
            assert_eq!(script.plan.workers, workers, "{rate} {cores}");
            assert_eq!(script.plan.measured, 2 * rate as u64);
        }
    }
}
