//! Scenarios in virtual time, from the command line to the folder: the same seed, the same bytes.

mod support;

use std::collections::BTreeMap;

use support::{Bench, files, read, root, summary};

fn committed() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("scenarios"))
        .expect("scenarios/")
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 4);
    names
}

#[test]
fn every_committed_scenario_holds_and_gives_the_same_bytes_twice() {
    for scenario in committed() {
        let bench = Bench::new();
        let mut runs = Vec::new();
        for (out, jobs) in [("one", "1"), ("two", "3")] {
            let args = ["run", &scenario, "--engine", "sim", "--out", out, "--jobs", jobs, "-q"];
            let done = bench.run(&args);
            assert_eq!(done.code, Some(0), "{scenario}: {}\n{}", done.stdout, done.stderr);
            let bytes: BTreeMap<String, Vec<u8>> = files(&bench.path(out))
                .into_iter()
                .filter(|(name, _)| name != "manifest.json")
                .collect();
            runs.push(bytes);
        }
        let two = runs.pop().expect("two runs");
        let one = runs.pop().expect("two runs");
        assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
        for (name, bytes) in &one {
            assert!(two[name] == *bytes, "{scenario}: {name} differs between two runs");
        }
        for name in [
            "timeline.csv",
            "backends.csv",
            "events.csv",
            "spectrum.csv",
            "latency.hlog",
            "summary.json",
            "summary.csv",
            "charts/spectrum.svg",
            "charts/spectrum.png",
        ] {
            assert!(one.contains_key(name), "{scenario}: {name} is missing");
        }
    }
}

#[test]
fn another_seed_gives_other_arrivals_and_every_request_is_accounted_for() {
    let bench = Bench::new();
    let scenario = root().join("scenarios/baseline.toml").display().to_string();
    for (seed, out) in [("1", "one"), ("2", "two")] {
        let args = ["run", &scenario, "--engine", "sim", "--seed", seed, "--out", out, "-q"];
        bench.run(&args);
        for variant in summary(&bench.path(out)).variants {
            let c = variant.counts;
            assert_eq!(c.intended, c.ok + c.failed + c.rejected + c.dropped + c.unfinished);
            assert!(c.intended > 0);
        }
    }
    assert_ne!(read(&bench.path("one/timeline.csv")), read(&bench.path("two/timeline.csv")));
}

#[test]
fn a_report_is_drawn_again_from_its_folder_alone() {
    let bench = Bench::new();
    let scenario = root().join("scenarios/failover.toml").display().to_string();
    bench.run(&["run", &scenario, "--engine", "sim", "--out", "out", "-q"]);
    let before = files(&bench.path("out"));
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(files(&bench.path("out")) == before, "drawing again changed something");

    // The p99 column of one row: the chart must follow, nothing else need.
    let chart = bench.path("out/charts/latency_over_time.svg");
    let old = read(&chart);
    let timeline = bench.path("out/timeline.csv");
    let text = read(&timeline);
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    let column = rows[0].split(',').position(|name| name == "p99_ms").expect("a p99 column");
    let mut cells: Vec<String> = rows[5].split(',').map(str::to_owned).collect();
    // A quoted variant name holds commas; cells are counted from the end of the row.
    let from_end = rows[0].split(',').count() - column;
    let at = cells.len() - from_end;
    cells[at] = "777.5".into();
    rows[5] = cells.join(",");
    std::fs::write(&timeline, rows.join("\n") + "\n").expect("written");
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("timeline.csv"), "an edited file is named: {}", done.stderr);
    assert_ne!(read(&chart), old, "the chart does not come from timeline.csv");
}

/// The ideal that knows all work, and one queue that all backends are served from, are the same
/// sample path (theory: M/G/n), so all that is said of requests is the same to the byte. Which
/// backend served whom is not: among idle ones each has its own order.
#[test]
fn least_work_left_and_one_queue_for_all_write_the_same_bytes() {
    let text = |proxy: &str| {
        format!(
            r#"name = "identity"
question = "Is least work left one queue for all?"
engine = "sim"
[proxy]
{proxy}
[[backends]]
name = "a"
count = 7
concurrency = 2
queue = "unlimited"
service = {{ distribution = "hyperexponential", mean = "10ms", scv = 10 }}
[load]
timeout = "1000s"
[[load.phases]]
name = "steady"
duration = "20s"
rate = 1300
"#
        )
    };
    let central = "strategy = \"round_robin\"\nlimits = { max_in_flight = 2 }\n\
                   queue = { size = 100000, wait = \"1000s\" }";
    let bench = Bench::new();
    for (out, proxy) in [
        ("ideal", "strategy = \"least_work_left\""),
        ("central", central),
        ("blind", "strategy = \"round_robin\""),
    ] {
        let scenario = bench.file("identity.toml", &text(proxy)).display().to_string();
        let done = bench.run(&["run", &scenario, "--out", out, "-q"]);
        assert_eq!(done.code, Some(0), "{out}: {}", done.stderr);
    }
    let read = |out: &str, file: &str| read(&bench.path(&format!("{out}/{file}")));
    for file in ["timeline.csv", "spectrum.csv", "latency.hlog", "summary.csv"] {
        assert!(read("ideal", file) == read("central", file), "{file} differs");
        assert!(read("ideal", file) != read("blind", file), "{file} says nothing of waiting");
    }
}
