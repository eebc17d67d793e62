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

/// How the two ways to build `lab` are named; a calibration is of one of them.
const BUILDS: [&str; 2] = ["debug build", "release build"];

/// Of this machine and program, as a run's manifest tells of them, and twice as slow as any.
fn made_up(bench: &Bench) -> Calibration {
    bench.file("small.toml", SMALL);
    bench.run(&["run", "small.toml", "--engine", "sim", "--out", "plain", "-q"]);
    let manifest = json(bench, "plain/manifest.json");
    let version = bench.run(&["--version"]).stdout.trim().to_owned();
    // Its revision says nothing of what a request takes.
    let (program, origin) = version.split_once(" (").expect("it says of what it was built");
    let source = &origin[origin.find("source ").expect("the source has a name")..];
    let lab = format!("{program} ({source}");
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
    let [here, other] = if text.contains(BUILDS[0]) { BUILDS } else { [BUILDS[1], BUILDS[0]] };
    bench.file("build.json", &text.replacen(here, other, 1));
    let source = text.find("(source ").expect("the source has a name") + "(source ".len();
    let digit = if text[source..].starts_with('0') { "1" } else { "0" };
    let (before, after) = (&text[..source], &text[source + 1..]);
    bench.file("source.json", &format!("{before}{digit}{after}"));
    let refused = format!("{other}), and this is lab ");
    bench.file("cut.json", &text[..text.len() / 2]);
    let baseline = root().join("scenarios/baseline.toml").display().to_string();
    for (scenario, engine, file, wanted) in [
        ("small.toml", "sim", "none.json", "none.json: there is no calibration here; measure with"),
        ("small.toml", "sim", "cut.json", "it is no calibration or damaged"),
        ("small.toml", "sim", "host.json", "another machine's: its host.cores is \"1"),
        ("small.toml", "both", "lab.json", "it was measured with lab 9."),
        ("small.toml", "sim", "build.json", &refused),
        ("small.toml", "sim", "source.json", "it was measured with lab "),
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

/// Plays both shards and merges them.
fn swept(bench: &Bench, calibration: &str, out: &str) -> Done {
    for shard in ["0", "1"] {
        let (part, shard) = (format!("{out}-{shard}"), format!("{shard}/2"));
        let args = ["sweep", "small.toml", "--engine", "sim", "-q", "--shard", &shard];
        let done =
            bench.run(&[&args[..], &["--calibration", calibration, "--out", &part]].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    let [zero, one] = ["0", "1"].map(|shard| format!("{out}-{shard}"));
    bench.run(&["merge", &one, &zero, "--out", out])
}

#[test]
fn calibrated_shards_are_merged_to_what_one_process_writes() {
    let bench = Bench::new();
    made_up(&bench).write(&bench.path("c.json")).expect("written");
    let args = ["run", "small.toml", "--engine", "sim", "--calibration", "c.json", "-q"];
    assert_eq!(bench.run(&[&args[..], &["--out", "whole"]].concat()).code, Some(0));
    let done = swept(&bench, "c.json", "merged");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(bytes(&bench, "whole") == bytes(&bench, "merged"), "other bytes");
    assert!(bytes(&bench, "plain") != bytes(&bench, "merged"), "nothing was added");
    let kept = json(&bench, "merged/manifest.json");
    assert_eq!(kept["calibration"], json(&bench, "c.json"), "the values are the run's");

    // Another calibration is of another run, and so is none.
    let text = read(&bench.path("c.json"));
    bench.file("later.json", &text.replacen("2026-", "2027-", 1));
    bench.file("slower.json", &text.replacen("\"mean_ns\": 1", "\"mean_ns\": 2", 1));
    bench.file("host.json", &text.replacen("\"cores\": \"", "\"cores\": \"1", 1));
    let sweep = ["sweep", "small.toml", "--engine", "sim", "-q", "--shard", "1/2", "--out"];
    for (other, wanted) in [
        ("none", "its calibration is none, there it is the one of 2026-01-02T03:04:05Z"),
        ("later", "its calibration is the one of 2027-01-02T03:04:05Z, there it is the one of"),
        ("slower", "its calibration was measured at the same second and has other values"),
        ("host", "its calibration was measured at the same second and has other values"),
    ] {
        let file = format!("{other}.json");
        let with = ["--calibration", file.as_str()];
        let with = if other == "none" { &with[..0] } else { &with[..] };
        let done = bench.run(&[&sweep[..], &[other], with].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        // Where a shard is played does not matter, but one should know.
        let is_strange = done.stderr.contains("host.json: it is another machine's: its host.cores");
        assert_eq!(is_strange, other == "host", "{}", done.stderr);
        let done = bench.run(&["merge", "merged-0", other, "--out", "mixed"]);
        assert_eq!(done.code, Some(3), "{done:?}");
        assert!(done.stderr.contains(&format!("{other}: belongs to another run")), "{done:?}");
        assert!(done.stderr.contains(wanted), "{}\nand not\n{wanted}", done.stderr);
        assert!(!bench.path("mixed").exists());
    }
    bench.file("lab.json", &text.replacen("\"lab\": \"lab ", "\"lab\": \"lab 9.", 1));
    let done = bench.run(&[&sweep[..], &["part", "--calibration", "lab.json"]].concat());
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("lab.json: it was measured with lab 9."), "{done:?}");
    assert!(!bench.path("part").exists());
}

#[test]
fn job_files_bring_the_calibration_to_their_tasks() {
    let bench = Bench::new();
    made_up(&bench).write(&bench.path("c.json")).expect("written");
    let script = |kind, file| {
        let args =
            ["sweep", "small.toml", "--engine", "sim", "--shards", "2", "--calibration", file];
        bench.run(&[&args[..], &["--engine-script", kind]].concat())
    };
    for kind in ["slurm", "kubernetes"] {
        let done = script(kind, "none.json");
        assert_eq!(done.code, Some(3), "{done:?}");
        assert!(done.stderr.contains("none.json: there is no calibration here"), "{done:?}");
    }
    let done = script("slurm", "c.json");
    assert!(done.stdout.contains(" --calibration c.json "), "{done:?}");
    // A pod has the ConfigMap alone, and plays with what lies there.
    let done = script("kubernetes", "c.json");
    let list: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let pod = &list["items"][2]["spec"]["template"]["spec"]["containers"][0];
    let command: Vec<String> = serde_json::from_value(pod["command"].clone()).expect("words");
    assert!(command.join(" ").contains("--calibration /scenario/calibration.json"), "{command:?}");
    let text = list["items"][0]["data"]["calibration.json"].as_str().expect("a text");
    bench.file("pod.json", text);
    let [one, two] = ["c.json", "pod.json"].map(|file| {
        assert_eq!(swept(&bench, file, file.trim_end_matches(".json")).code, Some(0));
        bytes(&bench, file.trim_end_matches(".json"))
    });
    assert!(one == two, "other bytes");
}
