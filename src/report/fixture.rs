//! A run for the tests, made up but of the shape that real ones have: a minute at 120 requests/s,
//! a backend that crashes and one that hangs, and as many variants and backends as a test wants.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::Rng;
use record::Run;
use record::rows::{BackendRow, EventLine, ResourceRow, SpectrumRow, TimelineRow};
use record::summary::{
    BackendEntry, Counts, Judgement, Percentiles, PhaseEntry, ResourceEntry, RoundSummary, Summary,
    VariantSummary,
};

const SECONDS: u32 = 60;
const RATE: f64 = 120.0;
const CRASH: (f64, f64) = (10.0, 25.0);
const HANG: (f64, f64) = (38.0, 50.0);

/// What to make up.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) variants: &'a [&'a str],
    pub(crate) backends: usize,
    pub(crate) rounds: u32,
    pub(crate) engine: &'a str,
}

impl Shape<'_> {
    /// Two strategies, four backends, live.
    pub(crate) const FAILOVER: Shape<'static> = Shape {
        variants: &["round_robin", "least_request"],
        backends: 4,
        rounds: 1,
        engine: "live",
    };

    pub(crate) fn run(self) -> Run {
        let mut run = empty(self.engine);
        for (i, name) in self.variants.iter().enumerate() {
            // Later variants bear faults better.
            let harm = 3.0 / (1.0 + i as f64 * 1.5);
            for round in 1..=self.rounds {
                self.round(&mut run, name, round, harm);
            }
            self.summarise(&mut run, name, harm);
        }
        run
    }

    fn round(self, run: &mut Run, variant: &str, round: u32, harm: f64) {
        let mut rng = Rng::from_seed(7).fork(variant).fork(&round.to_string());
        for second in 0..SECONDS {
            let t_s = f64::from(second);
            let within = |(from, to): (f64, f64)| (from..to).contains(&t_s);
            let first_moments =
                (0.0..2.0).contains(&(t_s - CRASH.0)) || (0.0..3.0).contains(&(t_s - HANG.0));
            let load = if within(CRASH) || within(HANG) { 1.35 } else { 1.0 };
            let intended = (RATE * (0.85 + 0.3 * rng.unit())) as u64;
            let failed = if first_moments { (harm * 4.0 * rng.unit()) as u64 } else { 0 };
            let rejected = if within(HANG) && rng.chance(0.3) { 1 } else { 0 };
            let p50 = 22.0 * load * (0.95 + 0.1 * rng.unit());
            let tail = if first_moments { 1.0 + harm * 6.0 } else { load };
            let p99 = 80.0 * tail * (0.8 + 0.5 * rng.unit());
            run.timeline.push(TimelineRow {
                variant: variant.to_owned(),
                round,
                t_s,
                intended,
                sent: intended,
                ok: intended - failed - rejected,
                failed,
                rejected,
                retries: Some(if first_moments { 12 + rng.below(20) as u64 } else { 0 }),
                in_flight: (p50 * 0.15) as u64,
                p50_ms: Some(p50),
                p90_ms: Some(p50 * 1.9),
                p99_ms: Some(p99),
                max_ms: Some(p99 * 1.4),
                dispatch_p99_ms: Some(0.1 + 0.1 * rng.unit()),
            });
            self.backend_rows(run, variant, round, t_s, &mut rng);
            if run.summary.engine == "live" {
                resource_rows(run, variant, round, t_s, &mut rng);
            }
        }
        events(run, variant, round);
    }

    fn backend_rows(self, run: &mut Run, variant: &str, round: u32, t_s: f64, rng: &mut Rng) {
        let rows: Vec<(u64, u32, bool)> = (1..=self.backends)
            .map(|n| {
                let out = n == 2 && (CRASH.0 + 1.0..CRASH.1).contains(&t_s);
                let hangs = n == 3 && (HANG.0..HANG.1).contains(&t_s);
                let requests = match (out, hangs && t_s > HANG.0 + 2.0) {
                    (false, false) => {
                        (RATE / self.backends as f64 * (0.8 + 0.4 * rng.unit())) as u64
                    }
                    _ => 0,
                };
                let stuck = if hangs { 14 + rng.below(4) as u32 } else { 0 };
                (requests, if out { 0 } else { stuck + 1 + rng.below(4) as u32 }, out || hangs)
            })
            .collect();
        let all: u64 = rows.iter().map(|row| row.0).sum();
        for (n, (requests, in_flight, out)) in rows.into_iter().enumerate() {
            run.backends.push(BackendRow {
                variant: variant.to_owned(),
                round,
                t_s,
                backend: format!("a-{}", n + 1),
                requests,
                share: Some(requests as f64 / all as f64),
                in_flight,
                failed: 0,
                state: if out { "down" } else { "ready" }.to_owned(),
            });
        }
    }

    fn summarise(self, run: &mut Run, name: &str, harm: f64) {
        let rows: Vec<&TimelineRow> =
            run.timeline.iter().filter(|row| row.variant == name).collect();
        let sum = |of: fn(&TimelineRow) -> u64| rows.iter().map(|row| of(row)).sum::<u64>();
        let (intended, failed) = (sum(|r| r.intended), sum(|r| r.failed));
        let counts = Counts {
            intended,
            sent: intended,
            ok: sum(|r| r.ok),
            failed,
            rejected: sum(|r| r.rejected),
            dropped: 0,
            unfinished: 0,
            attempts: Some(intended + sum(|r| r.retries.unwrap_or(0))),
            retries: Some(sum(|r| r.retries.unwrap_or(0))),
        };
        let latency_ms = percentiles(harm);
        spectrum(run, name, harm, counts.ok);
        let process = |cpu_seconds: f64, mib: u64| ResourceEntry {
            cpu_seconds,
            cpu_us_per_request: Some(cpu_seconds * 1e6 / intended as f64),
            rss_peak_bytes: mib << 20,
        };
        let live = run.summary.engine == "live";
        let resources = [
            ("proxy", process(0.42, 14)),
            ("backends", process(0.55, 18)),
            ("lab", process(0.6, 24)),
        ];
        run.summary.variants.push(VariantSummary {
            name: name.to_owned(),
            subject: "lab".to_owned(),
            generator: live.then(|| "builtin".to_owned()),
            parameters: BTreeMap::from([("proxy.strategy".to_owned(), name.to_owned())]),
            rounds: self.rounds,
            counts,
            offered_rps: intended as f64 / f64::from(SECONDS * self.rounds),
            achieved_rps: intended as f64 / f64::from(SECONDS * self.rounds),
            latency_ms,
            service_ms: latency_ms,
            dispatch_ms: Percentiles {
                p50: Some(0.04),
                p99: Some(0.16),
                max: Some(0.9),
                ..Percentiles::default()
            },
            failed_ms: Percentiles { p50: Some(2000.0), ..Percentiles::default() },
            failures: BTreeMap::from([("reset".to_owned(), failed)]),
            backends: self.entries(intended),
            resources: resources
                .into_iter()
                .filter(|_| live)
                .map(|(n, r)| (n.to_owned(), r))
                .collect(),
            per_round: (1..=self.rounds)
                .map(|round| RoundSummary {
                    round,
                    verdict: "valid".to_owned(),
                    reasons: Vec::new(),
                    counts,
                    achieved_rps: RATE,
                    latency_ms: percentiles(harm * (1.0 + f64::from(round) * 0.03)),
                    dispatch_ms: Percentiles::default(),
                })
                .collect(),
        });
        let failed_ratio = failed as f64 / intended as f64;
        expectations(run, name, failed_ratio, latency_ms.p99.unwrap_or(0.0));
    }

    fn entries(self, intended: u64) -> Vec<BackendEntry> {
        let even = intended / self.backends as u64;
        (1..=self.backends)
            .map(|n| BackendEntry {
                name: format!("a-{n}"),
                requests: even,
                share: Some(1.0 / self.backends as f64),
                max_in_flight: if n == 3 { 18 } else { 5 },
            })
            .collect()
    }
}

fn expectations(run: &mut Run, variant: &str, failed_ratio: f64, p99_ms: f64) {
    for (metric, window, limit, measured, passed) in [
        ("failed_ratio", "0s..60s", "< 0.01", failed_ratio, failed_ratio < 0.01),
        ("latency.p99", "28s..60s", "< 250ms", p99_ms, p99_ms < 250.0),
    ] {
        run.summary.expectations.push(Judgement {
            metric: metric.to_owned(),
            window: window.to_owned(),
            variant: variant.to_owned(),
            measured: Some(measured),
            limit: limit.to_owned(),
            passed,
            place: "failover.toml:41".to_owned(),
        });
    }
}

fn percentiles(harm: f64) -> Percentiles {
    Percentiles {
        mean: Some(31.4),
        p50: Some(23.1),
        p75: Some(30.2),
        p90: Some(44.0 + harm),
        p95: Some(61.0 + harm * 5.0),
        p99: Some(92.0 + harm * 70.0),
        p999: Some(400.0 + harm * 500.0),
        p9999: Some(900.0 + harm * 800.0),
        max: Some(1_000.0 + harm * 900.0),
    }
}

fn spectrum(run: &mut Run, variant: &str, harm: f64, count: u64) {
    let mut quantiles: Vec<f64> = (0..60).map(|i| 1.0 - 0.5_f64.powf(f64::from(i) / 5.0)).collect();
    quantiles.push(1.0);
    for quantile in quantiles {
        let tail = (1.0 / (1.0 - quantile).max(1e-4)).ln();
        let value_ms = 12.0 + 9.0 * tail + harm * (tail - 3.0).max(0.0).powf(2.2) * 12.0;
        let count = (count as f64 * quantile) as u64;
        let (variant, metric) = (variant.to_owned(), "latency".to_owned());
        run.spectrum.push(SpectrumRow { variant, metric, quantile, value_ms, count });
    }
}

fn resource_rows(run: &mut Run, variant: &str, round: u32, t_s: f64, rng: &mut Rng) {
    for (process, cpu, mib) in [("proxy", 0.7, 13_u64), ("backends", 0.9, 17), ("lab", 1.0, 23)] {
        run.resources.push(ResourceRow {
            variant: variant.to_owned(),
            round,
            t_s,
            process: process.to_owned(),
            cpu_percent: Some(cpu * (0.8 + 0.4 * rng.unit())),
            rss_bytes: Some((mib << 20) + (t_s as u64) * 20_000),
            disk_read_bytes: Some(0),
            disk_written_bytes: Some(0),
            net_rx_bytes: None,
            net_tx_bytes: None,
            fds: Some(40),
            threads: Some(3),
        });
    }
}

fn events(run: &mut Run, variant: &str, round: u32) {
    for (t_s, source, subject, kind, detail) in [
        (CRASH.0, "scenario", "a-2", "crash", "connections reset, listener closed"),
        (CRASH.0 + 0.9, "balancer/0", "a-2", "down", "2 probes failed: connection refused"),
        (CRASH.1, "scenario", "a-2", "crash_end", ""),
        (CRASH.1 + 1.1, "balancer/0", "a-2", "ready", "2 probes passed"),
        (HANG.0, "scenario", "a-3", "hang", "accepts, answers nothing"),
        (HANG.0 + 1.4, "balancer/0", "a-3", "down", "2 probes failed: no answer within 200 ms"),
        (HANG.1, "scenario", "a-3", "hang_end", ""),
        (HANG.1 + 1.0, "balancer/0", "a-3", "ready", "2 probes passed"),
    ] {
        run.events.push(EventLine {
            variant: variant.to_owned(),
            round,
            t_s,
            source: source.to_owned(),
            subject: subject.to_owned(),
            kind: kind.to_owned(),
            detail: detail.to_owned(),
        });
    }
}

/// A run in which nothing was measured.
pub(crate) fn empty(engine: &str) -> Run {
    Run {
        folder: PathBuf::from("/nowhere"),
        summary: Summary {
            schema: 1,
            scenario: "failover".to_owned(),
            question: "One of four backends crashes under load, later another one hangs: how many requests fail, and how long until the tail recovers?".to_owned(),
            engine: engine.to_owned(),
            seed: 1,
            verdict: "valid".to_owned(),
            reasons: Vec::new(),
            terms: None,
            notes: Vec::new(),
            duration_s: f64::from(SECONDS),
            window_s: 1.0,
            phases: vec![PhaseEntry {
                name: "steady".to_owned(),
                from_s: 0.0,
                to_s: f64::from(SECONDS),
                rate_from: RATE,
                rate_to: RATE,
            }],
            variants: Vec::new(),
            expectations: Vec::new(),
        },
        manifest: serde_json::json!({
            "schema": 1,
            "scenario": "failover",
            "scenario_text": "name = \"failover\"\n",
            "engine": engine,
            "seed": 1,
            "overrides": ["--set", "load.phases.steady.rate=120"],
            "command_line": ["lab", "run", "scenarios/failover.toml", "--vary", "proxy.strategy=round_robin,least_request"],
            "versions": [["lab", "0.1.0"]],
            "host": [["cores", "2"], ["kernel", "Linux 6.1"], ["memory_bytes", "8589934592"]],
            "git_revision": "0123abc",
            "started": "2026-11-23T05:33:21Z",
            "files": [{"path": "timeline.csv", "sha256": "00", "bytes": 1}],
        }),
        timeline: Vec::new(),
        backends: Vec::new(),
        events: Vec::new(),
        resources: Vec::new(),
        spectrum: Vec::new(),
        edited: Vec::new(),
    }
}
