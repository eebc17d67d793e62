//! A small run that tests write: two variants of two rounds, live or simulated.

// Each test file uses its part.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base::{FailureKind, Outcome, Time};
use record::{
    About, BackendSample, EventRow, Exchange, Expectation, Harness, Limit, Metric, PhaseSpan, Plan,
    ProcessTotals, Recorder, ResourceSample, RunWriter, Sample, Span, Summary, TrialRecord,
};

pub const SECOND: Duration = Duration::from_secs(1);
pub const WARMUP: Duration = Duration::from_secs(2);

pub fn span(from: u64, to: u64) -> Span {
    Span { from: Duration::from_secs(from), to: Duration::from_secs(to) }
}

pub fn plan(variant: &str, round: u32) -> Plan {
    Plan {
        variant: variant.to_owned(),
        parameters: vec![("proxy.strategy".to_owned(), variant.to_owned())],
        subject: "lab".to_owned(),
        generator: None,
        round,
        warmup: WARMUP,
        phases: vec![
            PhaseSpan { name: "steady".to_owned(), span: span(0, 2), rate: (100.0, 100.0) },
            PhaseSpan { name: "burst".to_owned(), span: span(2, 4), rate: (100.0, 100.0) },
        ],
        window: SECOND,
        backends: vec!["a-1".to_owned(), "a-2".to_owned()],
        spans: vec![span(2, 4)],
        keep_requests: true,
    }
}

/// Four seconds at 100 requests/s: mostly 20 ms, longer in later rounds, one in fifty fails.
pub fn recorder(variant: &str, round: u32) -> Recorder {
    let mut recorder = Recorder::new(plan(variant, round));
    for request in 0..600u64 {
        let intended = Time::ZERO + Duration::from_millis(request * 10);
        let is_bad = request % 50 == 7;
        let lasts = match is_bad {
            true => Duration::from_secs(1),
            false => Duration::from_micros(20_000 * u64::from(round) + request % 7 * 1000),
        };
        recorder.begin(intended);
        recorder.end(&Exchange {
            request,
            intended,
            sent: Some(intended + Duration::from_micros(50)),
            ended: intended + lasts,
            outcome: match is_bad {
                true => Outcome::Failed(FailureKind::Timeout),
                false => Outcome::Ok,
            },
            status: (!is_bad).then_some(200),
            backend: Some((request % 2) as u32),
        });
    }
    for window in 0..=5u64 {
        recorder.sample(Sample {
            at: Time::ZERO + WARMUP + SECOND * window as u32,
            retries: Some(window),
            backends: vec![
                BackendSample { requests: 100 + window * 60, max_in_flight: 3, ..ready() },
                BackendSample { requests: 100 + window * 40, max_in_flight: 2, ..ready() },
            ],
        });
    }
    recorder.event(EventRow {
        at: Time::ZERO + WARMUP + Duration::from_millis(1500),
        source: "scenario".to_owned(),
        subject: "a-2".to_owned(),
        kind: "crash".to_owned(),
        detail: "said \"bye\",\nand left".to_owned(),
    });
    recorder
}

pub fn ready() -> BackendSample {
    BackendSample { state: "ready".to_owned(), ..BackendSample::default() }
}

pub fn live(variant: &str, round: u32) -> TrialRecord {
    let mut recorder = recorder(variant, round);
    for window in 1..=4 {
        recorder.resources(ResourceSample {
            at: Time::ZERO + WARMUP + SECOND * window,
            process: "proxy".to_owned(),
            cpu_percent: Some(12.5),
            rss_bytes: Some(8 << 20),
            disk_read_bytes: Some(0),
            disk_written_bytes: None,
            net_rx_bytes: None,
            net_tx_bytes: None,
            fds: Some(9),
            threads: Some(2),
        });
    }
    recorder.process_totals(ProcessTotals {
        process: "proxy".to_owned(),
        cpu_seconds: 0.04,
        rss_peak_bytes: 9 << 20,
    });
    recorder.harness(Harness::default());
    recorder.finish()
}

pub fn about(engine: &str) -> About {
    About {
        scenario: "failover".to_owned(),
        question: "How many fail?".to_owned(),
        notes: Vec::new(),
        scenario_text: "name = \"failover\"\n".to_owned(),
        engine: engine.to_owned(),
        generator: String::new(),
        seed: 1,
        overrides: vec!["seed=1".to_owned()],
        command_line: vec!["lab".to_owned(), "run".to_owned()],
        versions: vec![("lab".to_owned(), "0.1.0".to_owned())],
        host: vec![("cores".to_owned(), "2".to_owned())],
        git_revision: None,
        started: "2026-01-02T03:04:05Z".to_owned(),
        parts: Vec::new(),
        calibration: None,
    }
}

pub fn expectation(metric: &str, span: Span, variant: Option<&str>, limit: Limit) -> Expectation {
    Expectation {
        metric: Metric::parse(metric).expect("known"),
        span,
        variant: variant.map(str::to_owned),
        limit,
        place: "failover.toml:41".to_owned(),
    }
}

/// Two variants, two rounds, in the order of play.
pub fn write(folder: &Path, engine: &str) -> Summary {
    let mut writer = RunWriter::create(folder).expect("a new folder");
    for round in [1, 2] {
        for variant in ["round_robin", "p2c, 2"] {
            let record = match engine {
                "live" => live(variant, round),
                _ => recorder(variant, round).finish(),
            };
            writer.trial(record).expect("writable");
        }
    }
    let expectations = [
        expectation("failed_ratio", span(0, 4), None, Limit::Below(0.05)),
        expectation("latency.p99", span(2, 4), Some("p2c, 2"), Limit::Below(30.0)),
        expectation("ok", span(0, 4), Some("never played"), Limit::Above(0.0)),
    ];
    let summary = writer.finish(&about(engine), &expectations, None).expect("writable");
    writer.seal(&about(engine)).expect("writable");
    summary
}

pub fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

pub fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).expect("it was written")
}

pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable"));
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().expect("ASCII");
            (name, fs::read(entry.path()).expect("readable"))
        })
        .collect()
}
