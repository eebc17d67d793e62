//! A run folder from the first row to the loaded run, and what becomes of a damaged one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base::{FailureKind, Outcome, Time};
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use record::{
    About, BackendSample, EventRow, Exchange, Expectation, Harness, Limit, Metric, PhaseSpan, Plan,
    ProcessTotals, Recorder, ResourceSample, Run, RunWriter, Sample, Span, Summary, TrialRecord,
};

const SECOND: Duration = Duration::from_secs(1);
const WARMUP: Duration = Duration::from_secs(2);

fn span(from: u64, to: u64) -> Span {
    Span { from: Duration::from_secs(from), to: Duration::from_secs(to) }
}

fn plan(variant: &str, round: u32) -> Plan {
    Plan {
        variant: variant.to_owned(),
        parameters: vec![("proxy.strategy".to_owned(), variant.to_owned())],
        subject: "lab".to_owned(),
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
fn recorder(variant: &str, round: u32) -> Recorder {
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

fn ready() -> BackendSample {
    BackendSample { state: "ready".to_owned(), ..BackendSample::default() }
}

fn live(variant: &str, round: u32) -> TrialRecord {
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

fn about(engine: &str) -> About {
    About {
        scenario: "failover".to_owned(),
        question: "How many fail?".to_owned(),
        scenario_text: "name = \"failover\"\n".to_owned(),
        engine: engine.to_owned(),
        seed: 1,
        overrides: vec!["seed=1".to_owned()],
        command_line: vec!["lab".to_owned(), "run".to_owned()],
        versions: vec![("lab".to_owned(), "0.1.0".to_owned())],
        host: vec![("cores".to_owned(), "2".to_owned())],
        git_revision: None,
        started: "2026-01-02T03:04:05Z".to_owned(),
    }
}

fn expectation(metric: &str, span: Span, variant: Option<&str>, limit: Limit) -> Expectation {
    Expectation {
        metric: Metric::parse(metric).expect("known"),
        span,
        variant: variant.map(str::to_owned),
        limit,
        place: "failover.toml:41".to_owned(),
    }
}

/// Two variants, two rounds, in the order of play.
fn write(folder: &Path, engine: &str) -> Summary {
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
    let summary = writer.finish(&about(engine), &expectations, false).expect("writable");
    writer.seal(&about(engine)).expect("writable");
    summary
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).expect("it was written")
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable"));
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().expect("ASCII");
            (name, fs::read(entry.path()).expect("readable"))
        })
        .collect()
}

#[test]
fn what_is_written_is_what_is_loaded() {
    let folder = temporary();
    let summary = write(folder.path(), "live");
    let run = Run::load(folder.path()).expect("untouched");
    assert_eq!(run.summary, summary);
    assert_eq!(run.edited, [""; 0]);
    assert_eq!(run.timeline.len(), 2 * 2 * 4);
    assert_eq!(run.backends.len(), 2 * 2 * 4 * 2);
    assert_eq!(run.resources.len(), 2 * 2 * 4);
    assert_eq!(run.events.len(), 2 * 2);
    assert_eq!(run.events[0].detail, "said \"bye\",\nand left");
    assert_eq!((run.events[0].t_s, run.events[0].kind.as_str()), (1.5, "crash"));
    assert_eq!(run.manifest["engine"], "live");
    let row = &run.timeline[1];
    assert_eq!((row.variant.as_str(), row.round, row.t_s), ("round_robin", 1, 1.0));
    assert_eq!(
        (row.intended, row.sent, row.ok, row.failed, row.retries),
        (100, 100, 98, 2, Some(1))
    );
    assert_eq!((row.dispatch_p99_ms, row.max_ms), (Some(0.05), Some(26.0)));
    let backend = &run.backends[2];
    assert_eq!((backend.requests, backend.share, backend.state.as_str()), (60, Some(0.6), "ready"));
    assert_eq!(read(folder.path(), "requests.csv").lines().count(), 1 + 2 * 2 * 400);
}

#[test]
fn counters_sum_over_rounds_and_percentiles_come_from_merged_histograms() {
    let folder = temporary();
    let summary = write(folder.path(), "live");
    assert_eq!((summary.verdict.as_str(), summary.reasons.len()), ("valid", 0));
    assert_eq!((summary.duration_s, summary.window_s, summary.phases.len()), (4.0, 1.0, 2));
    assert_eq!(summary.variants.len(), 2);
    let variant = &summary.variants[0];
    let counts = variant.counts;
    assert_eq!((variant.rounds, counts.intended, counts.ok, counts.failed), (2, 800, 784, 16));
    // The sample after the last window counts: one retry more than the four windows have.
    assert_eq!((counts.retries, counts.attempts), (Some(10), Some(810)));
    assert_eq!((variant.offered_rps, variant.achieved_rps), (100.0, 100.0));
    assert_eq!(variant.failures, BTreeMap::from([("timeout".to_owned(), 16)]));
    // Round 1 lies at 20–26 ms, round 2 at 40–46 ms: no mean of two rounds' medians or p90s.
    assert_eq!(variant.per_round[0].latency_ms.p90.map(f64::round), Some(26.0));
    assert_eq!(variant.latency_ms.p50.map(f64::round), Some(26.0));
    assert_eq!(variant.latency_ms.p90.map(f64::round), Some(45.0));
    assert_eq!(variant.failed_ms.max, Some(1000.0));
    let backends: Vec<_> = variant.backends.iter().map(|b| (b.requests, b.share)).collect();
    assert_eq!(backends, [(600, Some(0.6)), (400, Some(0.4))]);
    let proxy = variant.resources["proxy"];
    assert_eq!((proxy.cpu_seconds, proxy.cpu_us_per_request), (0.08, Some(100.0)));
    assert_eq!(proxy.rss_peak_bytes, 9 << 20);
}

#[test]
fn expectations_are_judged_for_each_variant() {
    let folder = temporary();
    let summary = write(folder.path(), "live");
    let judged: Vec<_> = summary
        .expectations
        .iter()
        .map(|j| (j.variant.as_str(), j.window.as_str(), j.limit.as_str(), j.passed))
        .collect();
    assert_eq!(
        judged,
        [
            ("round_robin", "0s..4s", "< 0.05", true),
            ("p2c, 2", "0s..4s", "< 0.05", true),
            ("p2c, 2", "2s..4s", "< 30ms", false),
            ("never played", "0s..4s", "> 0", false),
        ]
    );
    assert_eq!(summary.expectations[0].measured, Some(0.02));
    assert_eq!(summary.expectations[3].measured, None);
}

#[test]
fn a_simulated_run_has_the_same_bytes_again_and_no_resources() {
    let (one, two) = (temporary(), temporary());
    for folder in [&one, &two] {
        write(folder.path(), "sim");
    }
    let (mut one, mut two) = (files(one.path()), files(two.path()));
    assert!(!one.contains_key("resources.csv"));
    assert!(one.remove("manifest.json").is_some() && two.remove("manifest.json").is_some());
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    assert!(one == two);
}

#[test]
fn summary_json_has_the_documented_shape_in_its_order() {
    let folder = temporary();
    write(folder.path(), "live");
    let json = read(folder.path(), "summary.json");
    let mut from = 0;
    for key in [
        "schema",
        "scenario",
        "engine",
        "seed",
        "verdict",
        "reasons",
        "variants",
        "name",
        "subject",
        "parameters",
        "rounds",
        "intended",
        "sent",
        "ok",
        "failed",
        "rejected",
        "dropped",
        "unfinished",
        "attempts",
        "retries",
        "offered_rps",
        "achieved_rps",
        "latency_ms",
        "mean",
        "p50",
        "p90",
        "p99",
        "p999",
        "max",
        "service_ms",
        "dispatch_ms",
        "backends",
        "share",
        "max_in_flight",
        "resources",
        "cpu_seconds",
        "cpu_us_per_request",
        "rss_peak_bytes",
        "per_round",
        "expectations",
        "metric",
        "window",
        "variant",
        "measured",
        "limit",
        "passed",
    ] {
        let at = json[from..].find(&format!("\"{key}\":"));
        from += at.unwrap_or_else(|| panic!("{key} is missing or out of order"));
    }
    let table = read(folder.path(), "summary.csv");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0].starts_with("variant,subject,proxy.strategy,rounds,intended,"),
        "{}",
        lines[0]
    );
    assert!(lines[0].ends_with(",proxy_cpu_seconds,proxy_cpu_us_per_request,proxy_rss_peak_bytes"));
    assert!(
        lines[2].starts_with("\"p2c, 2\",lab,\"p2c, 2\",2,800,800,784,16,0,0,0,810,10,100,100,")
    );
}

#[test]
fn the_interval_log_is_read_by_the_fields_own_reader() {
    use base64::Engine as _;
    let folder = temporary();
    let summary = write(folder.path(), "live");
    let log = fs::read(folder.path().join("latency.hlog")).expect("written");
    let mut merged: BTreeMap<String, hdrhistogram::Histogram<u64>> = BTreeMap::new();
    let mut intervals = 0;
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.expect("well formed") else { continue };
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(interval.encoded_histogram())
            .expect("base64");
        let histogram: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).expect("V2, deflated");
        assert_eq!(interval.duration(), SECOND);
        assert!((interval.max() - histogram.max() as f64 / 1e6).abs() < 0.001);
        let tag = interval.tag().expect("tagged").as_str().to_owned();
        let variant = tag.split('/').next().expect("a name").to_owned();
        merged
            .entry(variant)
            .and_modify(|all| all.add(&histogram).expect("one shape"))
            .or_insert(histogram);
        intervals += 1;
    }
    assert_eq!(intervals, 2 * 2 * 4);
    assert_eq!(merged.keys().collect::<Vec<_>>(), ["p2c__2", "round_robin"]);
    let variant = &summary.variants[0];
    let all = &merged["round_robin"];
    assert_eq!(all.len(), variant.counts.ok);
    let p99 = variant.latency_ms.p99.expect("measured");
    assert!((all.value_at_quantile(0.99) as f64 / 1e6 - p99).abs() < p99 / 1000.0);
}

#[test]
fn the_manifest_has_every_file_that_lies_there_when_it_is_sealed() {
    let folder = temporary();
    let mut writer = RunWriter::create(folder.path()).expect("new");
    writer.trial(live("default", 1)).expect("writable");
    writer.finish(&about("live"), &[], false).expect("writable");
    Run::load(folder.path()).expect("the report is drawn from the folder before it is sealed");
    for (name, text) in [("charts", "share.svg"), ("logs", "proxy.err")] {
        fs::create_dir(folder.path().join(name)).expect("writable");
        fs::write(folder.path().join(name).join(text), "x\n").expect("writable");
    }
    writer.seal(&about("live")).expect("writable");
    let run = Run::load(folder.path()).expect("sealed");
    let listed: Vec<&str> = run.manifest["files"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["path"].as_str().expect("a path"))
        .collect();
    assert_eq!(
        listed,
        [
            "backends.csv",
            "charts/share.svg",
            "events.csv",
            "latency.hlog",
            "logs/proxy.err",
            "requests.csv",
            "resources.csv",
            "spectrum.csv",
            "summary.csv",
            "summary.json",
            "timeline.csv",
        ]
    );
    assert_eq!(run.manifest["scenario_text"], "name = \"failover\"\n");
    assert_eq!(run.manifest["files"][10]["lines"], 5);
}

#[test]
fn an_edited_value_is_taken_and_named() {
    let folder = temporary();
    write(folder.path(), "live");
    let path = folder.path().join("timeline.csv");
    let text = read(folder.path(), "timeline.csv");
    fs::write(
        &path,
        text.replacen("round_robin,1,0.0,100,100,98,2,", "round_robin,1,0.0,100,100,97,3,", 1),
    )
    .expect("writable");
    let run = Run::load(folder.path()).expect("still whole");
    assert_eq!(run.edited, ["timeline.csv"]);
    assert_eq!((run.timeline[0].ok, run.timeline[0].failed), (97, 3));
}

/// A way to damage a run folder.
type Damage = fn(&Path);

fn edit(folder: &Path, file: &str, change: impl Fn(&str) -> String) {
    let text = read(folder, file);
    let changed = change(&text);
    assert_ne!(text, changed, "the damage must be one");
    fs::write(folder.join(file), changed).expect("writable");
}

fn keep_lines(text: &str, count: usize) -> String {
    text.lines().take(count).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_damaged_folder_is_an_error_with_file_line_and_remedy() {
    let cases: [(&str, Damage, &str); 16] = [
        (
            "cut between rows",
            |f| edit(f, "timeline.csv", |t| keep_lines(t, 7)),
            "timeline.csv:7: the file ends here, 17 lines were written; restore the file",
        ),
        (
            "cut within a row",
            |f| edit(f, "timeline.csv", |t| t[..t.len() - 30].to_owned()),
            "timeline.csv:16: the file ends here, 17 lines were written",
        ),
        (
            "one byte short",
            |f| edit(f, "spectrum.csv", |t| t[..t.len() - 1].to_owned()),
            "spectrum.csv:",
        ),
        (
            "an empty file",
            |f| edit(f, "events.csv", |_| String::new()),
            "events.csv:1: the file ends here, 9 lines were written",
        ),
        (
            "a cell that is no number",
            |f| edit(f, "timeline.csv", |t| t.replacen(",100,100,", ",1oo,100,", 1)),
            "timeline.csv:2: intended: \"1oo\" will not do: invalid digit",
        ),
        (
            "a number that is none",
            |f| edit(f, "timeline.csv", |t| t.replacen(",1.0,", ",NaN,", 1)),
            "timeline.csv:3: a number here is not finite",
        ),
        (
            "a cell too many",
            |f| edit(f, "backends.csv", |t| t.replacen(",ready\n", ",ready,1\n", 1)),
            "backends.csv:2: there are 10 cells, and 9 columns",
        ),
        (
            "a column renamed",
            |f| edit(f, "backends.csv", |t| t.replacen("share", "part", 1)),
            "backends.csv:1: the columns are \"variant,round,t_s,backend,requests,part,",
        ),
        (
            "a variant nobody knows",
            |f| edit(f, "spectrum.csv", |t| t.replacen("round_robin", "rr", 1)),
            "spectrum.csv:2: there is no variant \"rr\" in summary.json",
        ),
        (
            "a file missing",
            |f| fs::remove_file(f.join("events.csv")).expect("there"),
            "events.csv: it is missing; restore the file from a copy, or run the scenario again",
        ),
        (
            "half a summary",
            |f| edit(f, "summary.json", |t| t[..t.len() / 2].to_owned()),
            "summary.json:",
        ),
        (
            "a summary of another shape",
            |f| edit(f, "summary.json", |t| t.replacen("\"schema\": 1", "\"schema\": 9", 1)),
            "summary.json: schema 9 is not the one that this lab reads (1)",
        ),
        (
            "half a manifest",
            |f| edit(f, "manifest.json", |t| t[..t.len() / 2].to_owned()),
            "manifest.json:",
        ),
        (
            "somebody else's manifest",
            |f| edit(f, "manifest.json", |t| t.replacen("lab run", "web app", 1)),
            "manifest.json: it is not a run's",
        ),
        (
            "no manifest",
            |f| fs::remove_file(f.join("manifest.json")).expect("there"),
            "manifest.json: it is missing, so this is no run folder",
        ),
        (
            "not a number of processes",
            |f| edit(f, "resources.csv", |t| t.replacen(",9,2\n", ",nine,2\n", 1)),
            "resources.csv:2: fds: \"nine\" will not do",
        ),
    ];
    for (name, damage, expected) in cases {
        let folder = temporary();
        write(folder.path(), "live");
        damage(folder.path());
        let error = Run::load(folder.path()).expect_err(name).to_string();
        let start = format!("{}/{expected}", folder.path().display());
        assert!(error.starts_with(&start), "{name}: {error}");
    }
}

#[test]
fn a_run_that_was_killed_says_so_and_has_kept_its_trials() {
    let folder = temporary();
    let mut writer = RunWriter::create(folder.path()).expect("new");
    writer.trial(live("default", 1)).expect("writable");
    drop(writer);
    assert_eq!(read(folder.path(), "timeline.csv").lines().count(), 1 + 4);
    let error = Run::load(folder.path()).expect_err("no summary").to_string();
    assert!(error.contains("manifest.json: the run was killed"), "{error}");
    let error = Run::load(&folder.path().join("nowhere")).expect_err("missing").to_string();
    assert!(error.contains("nowhere: there is no such folder"), "{error}");
    RunWriter::create(folder.path()).expect("its folder can be used again");
}

#[test]
fn a_folder_is_made_with_its_parents_and_never_emptied_of_what_is_not_ours() {
    let base = temporary();
    let folder = base.path().join("reports/failover/now");
    write(&folder, "live");
    fs::create_dir(folder.join("logs")).expect("writable");
    fs::create_dir(folder.join("charts")).expect("writable");
    for (file, _) in [
        ("logs/proxy.err", ()),
        ("charts/share.svg", ()),
        ("charts/mine.txt", ()),
        ("notes.md", ()),
    ] {
        fs::write(folder.join(file), "x").expect("writable");
    }
    write(&folder, "sim");
    for (file, stays) in [
        ("notes.md", true),
        ("charts/mine.txt", true),
        ("charts/share.svg", false),
        ("logs/proxy.err", false),
        ("resources.csv", false),
        ("timeline.csv", true),
    ] {
        assert_eq!(folder.join(file).exists(), stays, "{file}");
    }

    let foreign = base.path().join("documents");
    fs::create_dir(&foreign).expect("writable");
    fs::write(foreign.join("manifest.json"), "{\"name\": \"my extension\"}").expect("writable");
    let error = RunWriter::create(&foreign).err().expect("refused").to_string();
    assert!(error.contains("documents: there are files in this folder"), "{error}");
    assert_eq!(files(&foreign).len(), 1);

    let error = RunWriter::create(&base.path().join("documents/manifest.json/x")).err();
    let error = error.expect("a file is no folder").to_string();
    assert!(error.contains("documents/manifest.json/x: "), "{error}");
}

#[test]
fn the_worst_trial_decides_and_interruption_wins() {
    let harness = |max_stall| Harness { max_stall, ..Harness::default() };
    let trial = |round, harness| {
        let mut recorder = recorder("default", round);
        recorder.harness(harness);
        recorder.finish()
    };
    let folder = temporary();
    let mut writer = RunWriter::create(folder.path()).expect("new");
    writer.trial(trial(1, harness(Duration::from_millis(1)))).expect("writable");
    writer.trial(trial(2, harness(Duration::from_millis(300)))).expect("writable");
    let summary = writer.finish(&about("live"), &[], false).expect("writable");
    assert_eq!(summary.verdict, "suspect");
    assert_eq!(summary.reasons.len(), 1);
    assert!(
        summary.reasons[0]
            .starts_with("default, round 2: the generator was kept from running for 300 ms")
    );
    assert_eq!(summary.variants[0].per_round[0].verdict, "valid");

    let mut stopped = recorder("default", 3);
    stopped.interrupted(Time::ZERO + WARMUP + Duration::from_millis(2500));
    writer.trial(stopped.finish()).expect("writable");
    let summary = writer.finish(&about("live"), &[], true).expect("writable");
    assert_eq!(summary.verdict, "interrupted");
    assert_eq!(
        summary.reasons[1],
        "default, round 3: interrupted after 2.5 s of the 4 s to be measured"
    );

    let folder = temporary();
    let mut writer = RunWriter::create(folder.path()).expect("new");
    let summary = writer.finish(&about("live"), &[], true).expect("even before the first trial");
    writer.seal(&about("live")).expect("writable");
    assert_eq!((summary.verdict.as_str(), summary.variants.len()), ("interrupted", 0));
    Run::load(folder.path()).expect("an empty run is one");
}
