//! What this machine takes beyond the service times: measured, kept, and added to simulations that
//! ask for it. Nothing is asserted about how long anything takes.

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use record::Calibration;
use record::calibration::{CalibrationLoad, Table, Tables};
use support::{Bench, Done, files, read, root};

/// Plays in virtual time, two variants of it.
const SMALL: &str = r#"
name = "small"
question = "What does the machine add?"
rounds = 2

[proxy]
strategy = "least_request"

[[backends]]
name = "a"
count = 4
concurrency = 4
service = { distribution = "lognormal", median = "20ms", p99 = "80ms" }

[load]
warmup = "1s"

[[load.phases]]
name = "steady"
duration = "5s"
rate = 200

[vary]
"proxy.kind" = ["direct", "lab"]
"#;

fn json(bench: &Bench, name: &str) -> serde_json::Value {
    serde_json::from_str(&read(&bench.path(name))).expect("JSON")
}

/// Of this machine and program, as a run's manifest tells of them, and twice as slow as any.
fn made_up(bench: &Bench) -> Calibration {
    bench.file("small.toml", SMALL);
    bench.run(&["run", "small.toml", "--engine", "sim", "--out", "plain", "-q"]);
    let manifest = json(bench, "plain/manifest.json");
    let version = manifest["versions"]["lab"].as_str().expect("a version");
    let revision = manifest["git_revision"].as_str();
    let lab = revision.map_or(format!("lab {version}"), |at| format!("lab {version} ({at})"));
    let host: BTreeMap<String, String> =
        serde_json::from_value(manifest["host"].clone()).expect("words");
    let table = |us: u64| {
        let samples = (0..1_000).map(|n| us * 1_000 + n * 1_000).collect();
        Table::of(samples).expect("samples")
    };
    let load =
        CalibrationLoad { rate: 250.0, service_ms: 10.0, rounds: 1, left_out: 0, seconds: 4.0 };
    let [direct, backend, kept, fresh] = [1_000, 900, 2_000, 4_000].map(table);
    let tables = Tables { direct, backend, kept, fresh };
    let measured = "2026-01-02T03:04:05Z".to_owned();
    Calibration::new(lab, host, measured, Vec::new(), load, tables)
}

/// All but the manifest, which names host and time.
fn bytes(bench: &Bench, out: &str) -> Vec<(String, Vec<u8>)> {
    let all = files(&bench.path(out)).into_iter();
    all.filter(|(name, _)| name != "manifest.json").collect()
}

#[test]
fn the_machine_is_measured_or_the_measurement_is_refused() {
    let bench = Bench::new();
    let args = ["calibrate", "--seconds", "0.4", "--rounds", "2", "-q"];
    let done = bench.run(&args);
    let stored = bench.path("data/lab/calibration.json");
    if done.code == Some(13) {
        // A busy machine: nothing is kept, and it is said which way and why.
        assert!(done.stderr.contains("calibration.json: not written, "), "{}", done.stderr);
        assert!(!stored.exists());
        return;
    }
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("over a new connection"), "{}", done.stdout);
    let found = json(&bench, "data/lab/calibration.json");
    for way in ["direct", "backend", "kept", "fresh"] {
        let table = &found["tables"][way];
        // 100 expected in each round.
        assert!(table["samples"].as_u64().is_some_and(|n| (50..=400).contains(&n)), "{table}");
        let ns: Vec<u64> =
            serde_json::from_value(table["quantiles_ns"].clone()).expect("whole numbers");
        assert!(ns.is_sorted() && ns[0] > 0, "nothing takes no time: {ns:?}");
    }
    // And a simulation takes it.
    bench.file("small.toml", SMALL);
    let file = stored.display().to_string();
    let run = ["run", "small.toml", "--engine", "sim", "--calibration", &file, "--out", "o", "-q"];
    assert_eq!(bench.run(&run).code, Some(0));
    assert_eq!(json(&bench, "o/manifest.json")["calibration"], found);
}

#[test]
fn too_few_descriptors_are_told_of_before_anything_is_measured() {
    let bench = Bench::new();
    // A shell sets the limit, and becomes the program.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -n 256 && exec "$0" "$@""#, env!("CARGO_BIN_EXE_lab")]);
    shell.args(["calibrate", "--out", "c.json"]).current_dir(bench.path("."));
    let done = Done::new(shell.output().expect("sh is there"));
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains("file descriptors, and ") && done.stderr.contains("`ulimit -Hn`"));
    assert!(!done.stderr.contains("trial 1"), "{}", done.stderr);
    assert!(!bench.path("c.json").exists());
}

#[test]
fn an_interrupted_measurement_keeps_nothing() {
    let bench = Bench::new();
    let running = bench.spawn(&["calibrate", "--rounds", "100", "--out", "c.json", "-q"]);
    let started = support::until("the children", || {
        let found = support::children(running.pid());
        found.iter().any(|(_, line)| line.contains(" backends ")).then_some(found)
    });
    running.signal("INT");
    let done = running.wait();
    assert_eq!(done.code, Some(130), "{done:?}");
    let gone = || started.iter().all(|(pid, _)| !support::alive(*pid)).then_some(());
    support::until("the children to go", gone);
    assert!(!bench.path("c.json").exists());
}

#[test]
fn a_calibrated_simulation_is_a_function_of_its_file_and_a_plain_one_has_nothing_hidden() {
    let bench = Bench::new();
    let calibration = made_up(&bench);
    calibration.write(&bench.path("c.json")).expect("written");
    let args = ["run", "small.toml", "--engine", "sim", "-q", "--calibration", "c.json"];
    for (out, jobs) in [("one", "1"), ("two", "2")] {
        let done = bench.run(&[&args[..], &["--jobs", jobs, "--out", out]].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stderr.contains("less than 2.50 ms through the proxy"), "{}", done.stderr);
    }
    assert!(bytes(&bench, "one") == bytes(&bench, "two"), "another run, other bytes");
    let kept = json(&bench, "one/manifest.json");
    let file = json(&bench, "c.json");
    assert_eq!(kept["calibration"], file, "the values are the run's");
    assert!(read(&bench.path("one/report.html")).contains("less than 2.50 ms through the proxy"));

    // The mean is later by what was added: 1.5 ms directly, 2.5 through the proxy.
    let mean = |out: &str| {
        let variants = support::summary(&bench.path(out)).variants;
        variants.iter().map(|of| of.latency_ms.mean.expect("good ones")).collect::<Vec<_>>()
    };
    let (plain, late) = (mean("plain"), mean("one"));
    for (added, wanted) in plain.iter().zip(&late).map(|(a, b)| b - a).zip([1.5, 2.5]) {
        // The same requests: what is left is the draws' own error, 0.29 ms ÷ √2,000, and what queues do.
        assert!((added - wanted).abs() < 0.2, "{added} and not {wanted}");
    }

    let busier = ["--set", "load.phases.steady.rate=600", "--out", "busier"];
    let done = bench.run(&[&args[..], &busier].concat());
    assert!(done.stderr.contains("small: up to 600 requests/s, and what a request takes was"));

    // A stored one changes no plain simulation.
    calibration.write(&bench.path("data/lab/calibration.json")).expect("written");
    let done = bench.run(&["run", "small.toml", "--engine", "sim", "-q", "--out", "again"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(bytes(&bench, "plain") == bytes(&bench, "again"), "something is hidden");
    assert_eq!(json(&bench, "again/manifest.json")["calibration"], serde_json::Value::Null);
}

#[test]
fn a_file_that_will_not_do_is_named_before_anything_is_made() {
    let bench = Bench::new();
    let calibration = made_up(&bench);
    calibration.write(&bench.path("c.json")).expect("written");
    let text = read(&bench.path("c.json"));
    bench.file("host.json", &text.replacen("\"cores\": \"", "\"cores\": \"1", 1));
    bench.file("lab.json", &text.replacen("\"lab\": \"lab ", "\"lab\": \"lab 9.", 1));
    bench.file("cut.json", &text[..text.len() / 2]);
    let baseline = root().join("scenarios/baseline.toml").display().to_string();
    for (scenario, engine, file, wanted) in [
        ("small.toml", "sim", "none.json", "none.json: there is no calibration here; measure with"),
        ("small.toml", "sim", "cut.json", "it is no calibration or damaged"),
        ("small.toml", "sim", "host.json", "another machine's: its host.cores is \"1"),
        ("small.toml", "both", "lab.json", "it was measured with lab 9."),
        (&baseline, "live", "c.json", "--calibration c.json: it is for simulations"),
    ] {
        let args = ["run", scenario, "--engine", engine, "--calibration", file, "--out", "o", "-q"];
        let done = bench.run(&args);
        assert_eq!(done.code, Some(3), "{done:?}");
        assert!(done.stderr.contains(wanted), "{}\nand not\n{wanted}", done.stderr);
        assert!(!bench.path("o").exists());
    }
    let done = bench.run(&["calibrate", "--seconds", "0"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    // Nothing is measured where it could not be kept.
    let done = bench.run(&["calibrate", "--out", "small.toml"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains("small.toml: there is a file here that is no calibration"));
    assert_eq!(read(&bench.path("small.toml")), SMALL);
}
