//! The report as a whole: what it is made from, and what no run may do to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use record::Run;

use crate::charts::{self, Chart};
use crate::fixture::{self, Shape};
use crate::{Artefact, Error, page, paint, render, write};

/// Draws made-up runs for a person to look at: `LOOK=folder cargo test -p report look -- --ignored`.
#[test]
#[ignore = "writes pictures for a person to look at"]
fn look() {
    let folder = std::env::var("LOOK").expect("LOOK names a folder");
    let many = ["round_robin", "random", "least_request", "p2c"];
    let crowd = crowd_names();
    let crowd: Vec<&str> = crowd.iter().map(String::as_str).collect();
    for (name, shape) in [
        ("failover", Shape::FAILOVER),
        ("single", Shape { variants: &["default"], ..Shape::FAILOVER }),
        ("four", Shape { variants: &many, rounds: 5, ..Shape::FAILOVER }),
        ("crowd", Shape { variants: &crowd, backends: 40, engine: "sim", ..Shape::FAILOVER }),
    ] {
        let path = write(&shape.run(), &Path::new(&folder).join(name)).expect("a folder to write");
        assert!(path.exists());
    }
}

fn crowd_names() -> Vec<String> {
    (1..=30).map(|n| format!("p2c, retry.attempts = {n}")).collect()
}

fn drawn(run: &Run) -> BTreeMap<String, Vec<u8>> {
    let artefacts = render(run).unwrap_or_else(|error| panic!("{error}"));
    artefacts.into_iter().map(|Artefact { path, bytes }| (path, bytes)).collect()
}

/// Everything but the pixels, which take ten times as long.
fn written(run: &Run) -> BTreeMap<String, String> {
    let svg = |chart: Chart| {
        let svg = paint::svg(&chart.scene, &chart.alt).unwrap_or_else(|error| panic!("{error}"));
        (chart, svg)
    };
    let charts: Vec<(Chart, String)> = charts::draw_all(run).into_iter().map(svg).collect();
    let page = page::page(run, &charts);
    let named = charts.into_iter().map(|(chart, svg)| (format!("charts/{}.svg", chart.name), svg));
    named.chain([("report.html".to_owned(), page)]).collect()
}

fn page(run: &Run) -> String {
    written(run).remove("report.html").expect("there is always a page")
}

/// The names of the charts that differ.
fn differing(a: &Run, b: &Run) -> Vec<String> {
    let (a, b) = (written(a), written(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let charts = a.keys().filter_map(|path| path.strip_prefix("charts/")?.strip_suffix(".svg"));
    let differs = |name: &&str| {
        let path = format!("charts/{name}.svg");
        a[&path] != b[&path]
    };
    charts.filter(differs).map(str::to_owned).collect()
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    assert_eq!(drawn(&Shape::FAILOVER.run()), drawn(&Shape::FAILOVER.run()));
}

#[test]
fn a_value_changed_in_a_file_changes_the_charts_drawn_from_it_and_no_other() {
    type Change = fn(&mut Run);
    let changes: [(&str, Change, &[&str]); 9] = [
        ("timeline p99", |run| run.timeline[70].p99_ms = Some(400.0), &["latency_over_time"]),
        ("timeline p50", |run| run.timeline[70].p50_ms = None, &["latency_over_time"]),
        ("timeline failed", |run| run.timeline[70].failed = 9, &["errors_over_time"]),
        ("timeline sent", |run| run.timeline[70].sent = 60, &["offered_achieved"]),
        ("backends requests", |run| run.backends[5].requests = 90, &["share"]),
        ("backends in flight", |run| run.backends[5].in_flight = 17, &["in_flight"]),
        ("resources", |run| run.resources[5].cpu_percent = Some(1.4), &["resources"]),
        ("spectrum", |run| run.spectrum[20].value_ms = 33.0, &["spectrum"]),
        ("summary", |run| run.summary.variants[0].latency_ms.p90 = Some(99.0), &["comparison"]),
    ];
    let base = Shape::FAILOVER.run();
    for (name, change, expected) in changes {
        let mut changed = base.clone();
        change(&mut changed);
        assert_eq!(differing(&base, &changed), expected, "{name}");
    }
}

#[test]
fn both_files_of_a_chart_are_the_same_picture() {
    let base = Shape { variants: &["a"], ..Shape::FAILOVER }.run();
    let mut changed = base.clone();
    changed.timeline[30].p99_ms = Some(400.0);
    let (base, changed) = (drawn(&base), drawn(&changed));
    let differ: Vec<&String> = base.keys().filter(|path| base[*path] != changed[*path]).collect();
    assert_eq!(
        differ,
        ["charts/latency_over_time.png", "charts/latency_over_time.svg", "report.html"]
    );
}

#[test]
fn a_fault_moved_moves_its_band_in_every_chart_over_time() {
    let base = Shape::FAILOVER.run();
    let mut changed = base.clone();
    changed.events[0].t_s -= 3.0;
    let over_time =
        ["errors_over_time", "in_flight", "latency_over_time", "offered_achieved", "share"];
    assert_eq!(differing(&base, &changed), over_time);
}

#[test]
fn pictures_are_files_that_others_can_read() {
    for (path, bytes) in drawn(&Shape::FAILOVER.run()) {
        if path.ends_with(".png") {
            let mut image =
                png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect(&path);
            let mut pixels = vec![0; image.output_buffer_size().expect("a small picture")];
            let info = image.next_frame(&mut pixels).expect(&path);
            assert_eq!(info.width, 1920, "{path}");
            let inked = pixels.iter().filter(|channel| **channel < 0x80).count();
            assert!(inked > 5_000, "{path} is nearly empty: {inked}");
        } else if path.ends_with(".svg") {
            let text = String::from_utf8(bytes).expect("SVG is UTF-8");
            assert!(text.starts_with("<svg xmlns="), "{path}");
            assert!(text.ends_with("</svg>\n"), "{path}");
            assert!(text.contains("aria-label=\""), "{path}");
            assert_eq!(text.matches("<text").count(), text.matches("</text>").count(), "{path}");
        }
    }
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    let page = page(&Shape::FAILOVER.run());
    for word in ["http:", "https:", "//", "<script", " src=", "href=", "@import", "url("] {
        assert!(!page.contains(word), "the page contains {word}");
    }
    assert!(page.len() < 400_000, "{} bytes", page.len());
    assert!(
        page.find("Verdict").expect("there is a verdict")
            < page.find("<table").expect("and tables")
    );
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
    assert_eq!(page.matches("<figure").count(), page.matches("<figcaption").count());
}

#[test]
fn the_page_shows_what_was_measured() {
    let mut run = Shape::FAILOVER.run();
    run.summary.verdict = "suspect".to_owned();
    run.summary.reasons = vec!["the generator stood still for 31 ms".to_owned()];
    run.edited = vec!["timeline.csv".to_owned()];
    run.summary.variants[1].latency_ms.p999 = Some(1_234.8);
    let page = page(&run);
    for text in [
        "One of four backends crashes under load",
        "the generator stood still for 31 ms",
        "Edited since the run: ",
        "timeline.csv",
        "3 of 4",
        "✗ fails",
        "&lt; 250ms",
        "failover.toml:41",
        "1,235",
        "crash a-2",
        "2 probes failed: connection refused",
        "Linux 6.1",
        "lab run scenarios/failover.toml --vary proxy.strategy=round_robin,least_request",
    ] {
        assert!(page.contains(text), "the page lacks {text:?}");
    }
}

#[test]
fn text_of_the_run_stays_text() {
    let evil = "</text></svg><script>alert(\"1\")</script>&amp;'\u{1}\u{0}\n";
    let mut run = Shape { variants: &[evil, "x"], ..Shape::FAILOVER }.run();
    run.summary.question = evil.to_owned();
    run.summary.verdict = evil.to_owned();
    run.summary.reasons = vec![evil.to_owned()];
    run.edited = vec![evil.to_owned()];
    run.backends.iter_mut().for_each(|row| row.backend = format!("{evil}{}", row.backend));
    run.resources.iter_mut().for_each(|row| row.process = evil.to_owned());
    run.events.iter_mut().for_each(|event| {
        event.subject = evil.to_owned();
        event.detail = evil.to_owned();
    });
    run.summary.expectations.iter_mut().for_each(|judgement| judgement.metric = evil.to_owned());
    run.manifest["scenario_text"] = evil.into();
    run.manifest["command_line"] = serde_json::json!([evil]);
    for (path, text) in written(&run) {
        assert!(!text.contains("<script"), "{path}");
        assert!(!text.contains("alert(\"1\")"), "{path}: {text}");
        if path.ends_with(".svg") {
            assert_eq!(text.matches("</svg>").count(), 1, "{path}");
            assert!(!text.contains(['\u{0}', '\u{1}']), "{path} is no XML");
        }
    }
}

#[test]
fn a_simulated_runs_page_is_the_same_on_every_machine() {
    let shape = Shape { engine: "sim", ..Shape::FAILOVER };
    let here = shape.run();
    let mut there = here.clone();
    there.folder = "/elsewhere".into();
    there.manifest["host"] = serde_json::json!({"cores": "64"});
    there.manifest["started"] = "2030-01-01T00:00:00Z".into();
    there.manifest["command_line"] =
        serde_json::json!(["lab", "run", "x.toml", "--jobs", "7", "--out", "y"]);
    there.manifest["git_revision"] = serde_json::Value::Null;
    there.manifest["files"] = serde_json::json!([]);
    assert_eq!(written(&here), written(&there));
    assert!(
        page(&here).contains(
            "lab run failover.toml --engine sim --seed 1 --set load.phases.steady.rate=120"
        )
    );
    assert!(
        !drawn(&here).contains_key("charts/resources.svg"),
        "nothing of the machine is measured"
    );
}

#[test]
fn what_has_no_room_is_said() {
    let names = crowd_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let run = Shape { variants: &names, backends: 40, engine: "sim", ..Shape::FAILOVER }.run();
    let page = page(&run);
    for text in [
        "6 of 30 variants shown",
        "8 of 40 backends have their own colour",
        "24 of 30 variants shown",
        "64 of 1200 backends shown",
        "200 of 240 events shown",
    ] {
        assert!(page.contains(text), "the page lacks {text:?}");
    }
}

#[test]
fn no_run_is_too_odd_to_be_drawn() {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300, 1e-300];
    let small = || Shape { variants: &["a", "b"], rounds: 2, ..Shape::FAILOVER }.run();
    assert_eq!(written(&fixture::empty("live")).len(), 1, "nothing measured: the page alone");
    for value in odd {
        let mut run = small();
        for (i, row) in run.timeline.iter_mut().enumerate() {
            (row.p50_ms, row.p99_ms) = (Some(value), (i % 3 != 0).then_some(value));
            (row.failed, row.intended, row.retries) = (u64::MAX, 0, None);
        }
        run.backends.iter_mut().for_each(|row| (row.share, row.requests) = (Some(value), u64::MAX));
        run.resources.iter_mut().for_each(|row| row.cpu_percent = Some(value));
        run.spectrum.iter_mut().for_each(|row| (row.quantile, row.value_ms) = (value, value));
        run.summary.variants[0].latency_ms.p99 = Some(value);
        written(&run);
        let mut run = small();
        (run.summary.duration_s, run.summary.window_s) = (value, value);
        run.timeline[7].t_s = value;
        run.backends[7].t_s = value;
        run.events[1].t_s = value;
        run.resources[7].t_s = value;
        written(&run);
    }
    let mut run = small();
    run.timeline.clear();
    run.backends.truncate(5);
    run.spectrum.truncate(1);
    run.manifest = serde_json::Value::Null;
    run.timeline.iter_mut().for_each(|row| row.p99_ms = Some(1e300));
    drawn(&run);
}

#[test]
fn who_measured_says_what_the_figures_are() {
    let mut run = Shape { engine: "imported", ..Shape::FAILOVER }.run();
    let own = written(&run);
    run.summary.terms = Some(record::summary::Terms {
        measured_by: "Somebody".to_owned(),
        latency: "answers <of any kind>".to_owned(),
        counted: "as it came".to_owned(),
        zero: "the first of all".to_owned(),
    });
    let files = written(&run);
    let page = &files["report.html"];
    for words in
        ["Measured by Somebody, imported", "answers &lt;of any kind&gt;", "Counted as it came"]
    {
        assert!(page.contains(words), "{words}");
    }
    // What only the lab can know of a run is not claimed of theirs.
    for words in ["seed 1", "intended start to last byte", "<dt>seed</dt>"] {
        assert!(own["report.html"].contains(words) && !page.contains(words), "{words}");
    }
    for (chart, words) in [
        ("latency_over_time", "answers &lt;of any kind&gt;, as it came"),
        ("comparison", "answers &lt;of any kind&gt;"),
        ("spectrum", "answers &lt;of any kind&gt;"),
        ("offered_achieved", "offered by Somebody"),
        ("errors_over_time", "time from the first of all"),
    ] {
        let text = &files[&format!("charts/{chart}.svg")];
        assert!(text.contains(words), "{chart}: {words}");
        assert!(!text.contains("intended start") && !text.contains("warm-up"), "{chart}");
    }
}

#[test]
fn a_report_replaces_the_one_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let charts = folder.path().join("charts");
    write(&Shape::FAILOVER.run(), folder.path()).expect("a folder to write");
    assert!(charts.join("resources.svg").exists());
    fs::write(charts.join("mine.svg"), "kept").expect("writable");
    let simulated = Shape { engine: "sim", ..Shape::FAILOVER }.run();
    assert_eq!(
        write(&simulated, folder.path()).expect("likewise"),
        folder.path().join("report.html")
    );
    let mut names: Vec<String> = fs::read_dir(&charts)
        .expect("it is there")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".png"))
        .collect();
    names.sort();
    let expected = [
        "comparison.svg",
        "errors_over_time.svg",
        "in_flight.svg",
        "latency_over_time.svg",
        "mine.svg",
        "offered_achieved.svg",
        "share.svg",
        "spectrum.svg",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("charts"), "a file where a folder should be").expect("writable");
    let error = write(&Shape::FAILOVER.run(), folder.path()).expect_err("charts is a file");
    assert!(matches!(error, Error::Write { .. }));
    let text = error.to_string();
    assert!(text.contains("charts") && text.contains("cannot write"), "{text}");
}
