//! A run folder from the first row to the loaded run.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use base::{Outcome, Time};
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use record::figures::{Figures, IMPORTED};
use record::{Exchange, Harness, Run, RunWriter};
use support::{SECOND, WARMUP, about, files, live, read, recorder, temporary, write};

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
    writer.finish(&about("live"), &[], None).expect("writable");
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
    let summary = writer.finish(&about("live"), &[], None).expect("writable");
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
    let summary = writer.finish(&about("live"), &[], Some("stopped by SIGINT")).expect("writable");
    assert_eq!(summary.verdict, "interrupted");
    assert_eq!(summary.reasons[0], "stopped by SIGINT");
    assert_eq!(
        summary.reasons[2],
        "default, round 3: interrupted after 2.5 s of the 4 s to be measured"
    );

    let folder = temporary();
    let mut writer = RunWriter::create(folder.path()).expect("new");
    let summary = writer
        .finish(&about("live"), &[], Some("stopped by SIGINT"))
        .expect("even before the first trial");
    writer.seal(&about("live")).expect("writable");
    assert_eq!((summary.verdict.as_str(), summary.variants.len()), ("interrupted", 0));
    Run::load(folder.path()).expect("an empty run is one");
}

#[test]
fn what_the_record_had_to_leave_out_is_an_event() {
    let folder = temporary();
    let mut writer = RunWriter::create(folder.path()).expect("new");
    let mut endless = recorder("default", 1);
    let intended = Time::ZERO + WARMUP;
    endless.begin(intended);
    endless.end(&Exchange {
        request: 600,
        intended,
        sent: Some(intended),
        ended: intended + Duration::from_secs(2_000_000),
        outcome: Outcome::Ok,
        status: Some(200),
        backend: None,
    });
    writer.trial(endless.finish()).expect("writable");
    let summary = writer.finish(&about("sim"), &[], None).expect("writable");
    let run = Run::load(folder.path()).expect("whole");
    let last = run.events.last().expect("the crash, and this");
    assert_eq!((last.source.as_str(), last.kind.as_str(), last.t_s), ("lab", "clipped", 4.0));
    assert!(last.detail.starts_with("1 durations above 1000000 s"), "{}", last.detail);
    let latency = summary.variants[0].latency_ms;
    assert_eq!(latency.max, Some(2e9), "the maximum is exact all the same");
}

/// A run's figures as somebody else might have them: what a run of ours says, without its backends.
fn figures(folder: &std::path::Path) -> Figures {
    let mut summary = write(folder, "live");
    let run = Run::load(folder).expect("untouched");
    summary.engine = IMPORTED.to_owned();
    summary.variants.iter_mut().for_each(|variant| variant.backends.clear());
    Figures { summary, timeline: run.timeline, events: run.events, spectrum: run.spectrum }
}

#[test]
fn figures_without_records_are_loaded_as_they_were_written() {
    let (theirs, folder) = (temporary(), temporary());
    let figures = figures(theirs.path());
    let about = record::About { engine: IMPORTED.to_owned(), ..about("live") };
    let mut writer = RunWriter::create(folder.path()).expect("an empty folder");
    writer.adopt(&about, &figures).expect("a folder to write");
    writer.seal(&about).expect("likewise");
    let run = Run::load(folder.path()).expect("untouched");
    assert_eq!(run.summary, figures.summary);
    assert_eq!(run.timeline, figures.timeline);
    assert_eq!(run.events, figures.events);
    assert_eq!(run.spectrum, figures.spectrum);
    assert_eq!((run.backends.len(), run.resources.len(), run.edited.len()), (0, 0, 0));
    let histograms = record::histograms::read(folder.path(), &run.summary).expect("a log");
    assert!(histograms.iter().all(Vec::is_empty), "there are none");
}

#[test]
#[should_panic(expected = "round_robin: Counts")]
fn figures_that_do_not_add_up_are_a_programmers_mistake() {
    let (theirs, folder) = (temporary(), temporary());
    let mut figures = figures(theirs.path());
    figures.summary.variants[0].counts.ok += 1;
    let mut writer = RunWriter::create(folder.path()).expect("an empty folder");
    let _ = writer.adopt(&about("live"), &figures);
}
