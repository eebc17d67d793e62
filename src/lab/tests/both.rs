//! A scenario played live and simulated: two run folders and a comparison, whatever the machine
//! makes of the figures.

mod support;

use record::Comparison;
use support::{Bench, alive, children, files, read, summary, until};

const SHORT: &str = r#"
name = "short"
question = "Does it play both ways?"

[proxy]
strategy = "round_robin"

[[backends]]
name = "a"
count = 2
service = { distribution = "constant", value = "5ms" }

[load]
warmup = "200ms"
connections = 4

[[load.phases]]
name = "steady"
duration = "1s"
rate = 50

[vary]
"proxy.kind" = ["direct", "lab"]
"#;

#[test]
fn both_engines_leave_their_runs_and_a_comparison_that_can_be_drawn_again() {
    let bench = Bench::new();
    bench.file("short.toml", SHORT);
    let done = bench.run(&["run", "short.toml", "--engine", "both", "--out", "out", "-q"]);
    // A busy machine may make the measurement invalid; the files are the same.
    assert!(matches!(done.code, Some(0 | 13)), "{done:?}");
    assert!(done.stdout.contains("Simulation: "), "{}", done.stdout);
    // This machine was never calibrated, as far as the test knows.
    assert!(done.stderr.contains("Simulated without the overhead of this machine: "), "{done:?}");
    assert!(done.stdout.contains("In the simulation proxy, connections and timers take no time."));
    for (folder, engine) in [("out/live", "live"), ("out/sim", "sim")] {
        let summary = summary(&bench.path(folder));
        assert_eq!((summary.engine.as_str(), summary.variants.len()), (engine, 2));
    }
    let text = read(&bench.path("out/comparison.json"));
    let comparison: Comparison = serde_json::from_str(&text).expect("it has its shape");
    let words = ["excellent", "good", "poor", "none"];
    assert!(words.contains(&comparison.verdict.as_str()), "{}", comparison.verdict);
    assert_eq!(comparison.variants.len(), 2);
    assert!(comparison.ranking.note.contains("no interval exists"), "{:?}", comparison.ranking);
    let live = summary(&bench.path("out/live"));
    for (compared, variant) in comparison.variants.iter().zip(&live.variants) {
        assert_eq!(compared.p99_ms.live, variant.latency_ms.p99);
        assert!(compared.ks.is_some_and(|ks| (0.0..=1.0).contains(&ks)), "{compared:?}");
    }
    let rows = read(&bench.path("out/comparison.csv"));
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let page = read(&bench.path("out/report.html"));
    assert!(page.contains("Go up from a percentile") && !page.contains("http://"), "{page}");

    // Drawn again from the two folders alone: the same bytes.
    let before = files(&bench.path("out"));
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["charts/both_spectra.svg", "charts/both_spectra.png", "manifest.json"] {
        assert!(names.contains(&name), "{name} is missing: {names:?}");
    }
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(files(&bench.path("out")) == before, "drawing again changed something");

    // A histogram that is broken is named with its line, and what was there is left alone.
    let path = bench.path("out/sim/latency.hlog");
    let broken = read(&path).replacen("HISTFAAA", "HISTFAA*", 1);
    std::fs::write(&path, broken).expect("written");
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("latency.hlog:"), "{}", done.stderr);
    assert_eq!(read(&bench.path("out/comparison.json")), text);
}

#[test]
fn what_only_one_engine_can_play_is_refused_before_anything_is_made() {
    let bench = Bench::new();
    bench.file("short.toml", SHORT);
    let out = ["--engine", "both", "--out", "out", "-q"];
    let run = |more: &[&str]| bench.run(&[&["run", "short.toml"], &out[..], more].concat());
    for key in ["network.delay=5ms", "proxy.balancers=3"] {
        let done = run(&["--set", key]);
        assert_eq!(done.code, Some(3), "{done:?}");
        assert!(done.stderr.contains("simulator only"), "{}", done.stderr);
        assert!(!bench.path("out").exists(), "{key}");
    }
    // A folder with something else in it is not touched.
    std::fs::create_dir(bench.path("out")).expect("made");
    bench.file("out/notes.txt", "mine");
    let done = run(&[]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert_eq!(files(&bench.path("out")).len(), 1);
}

#[test]
fn an_interrupted_live_run_is_kept_and_there_is_no_half_of_a_pair() {
    let bench = Bench::new();
    let lengths = "\"load.phases.steady.duration\" = [\"500ms\", \"60s\"]";
    let kinds = "\"proxy.kind\" = [\"direct\", \"lab\"]";
    bench.file("long.toml", &SHORT.replace(kinds, lengths));
    let running = bench.spawn(&["run", "long.toml", "--engine", "both", "--out", "out", "-q"]);
    // The first trial is kept, and the second, which takes a minute, has begun.
    let rows = bench.path("out/live/timeline.csv");
    until("the first trial", || {
        std::fs::read_to_string(&rows).is_ok_and(|text| text.lines().count() > 1).then_some(())
    });
    let started = until("the children of the second", || {
        let found = children(running.pid());
        found.iter().any(|(_, line)| line.contains(" backends ")).then_some(found)
    });
    running.signal("INT");
    let done = running.wait();
    assert_eq!(done.code, Some(130), "{done:?}");
    assert!(
        done.stderr.contains("out: there is no comparison; what was played is kept"),
        "{done:?}"
    );
    until("the children to go", || started.iter().all(|(pid, _)| !alive(*pid)).then_some(()));
    let live = summary(&bench.path("out/live"));
    assert_eq!(
        (live.verdict.as_str(), live.reasons[0].as_str()),
        ("interrupted", "stopped by SIGINT")
    );
    assert!(live.variants[0].counts.ok > 0, "{:?}", live.variants);
    assert!(bench.path("out/live/report.html").exists());
    // Nothing was simulated, compared or sealed.
    let names: Vec<String> = files(&bench.path("out")).into_iter().map(|(name, _)| name).collect();
    let others: Vec<&String> = names.iter().filter(|name| !name.starts_with("live/")).collect();
    assert_eq!(others, ["manifest.json"], "{names:?}");
    assert!(read(&bench.path("out/manifest.json")).contains("\"complete\": false"));
    assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{names:?}");
    // It says so when it is asked for, and another run may take its place.
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    bench.file("long.toml", SHORT);
    let done = bench.run(&["run", "long.toml", "--engine", "both", "--out", "out", "-q"]);
    assert!(matches!(done.code, Some(0 | 13)), "{done:?}");
}
