//! A run that is split into shards: the merged folder is the one that a single process writes, and
//! what does not belong together is not merged.

mod support;

use std::collections::BTreeMap;
use std::fs;

use support::{Bench, Done, files, read, root, summary, until};

/// Two variants and three rounds, with everything that a record can hold when simulated: a warm-up,
/// phases, a span that cuts windows, a fault, retries, rows of requests, a distribution from a file.
const SCENARIO: &str = r#"name = "split"
question = "Does it matter where a trial is played?"
engine = "sim"
rounds = 3
seed = 18446744073709551615

[record]
requests = true

[proxy]
strategy = "random"
[proxy.health]
interval = "100ms"
[proxy.retry]
attempts = 2

[[backends]]
name = "a"
count = 3
concurrency = 2
service = { distribution = "empirical", file = "times.csv", column = "ms", unit = "ms" }

[load]
warmup = "300ms"
[[load.phases]]
name = "calm"
duration = "1500ms"
rate = 100
[[load.phases]]
name = "storm"
duration = "1700ms"
rate = 300

[[faults]]
at = "1s"
backend = "a-2"
kind = "crash"
for = "700ms"

[[expect]]
metric = "latency.p99"
phase = "storm"
below = "10s"
[[expect]]
metric = "failed_ratio"
from = "250ms"
to = "1750ms"
below = 0.30000000000000004

[vary]
"proxy.strategy" = ["random", "p2c"]
"#;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.file("split.toml", SCENARIO);
    bench.file("times.csv", "ms\n5\n6\n7\n30\n");
    bench
}

fn sweep(bench: &Bench, shard: &str, out: &str, more: &[&str]) -> Done {
    let args = ["sweep", "split.toml", "--shard", shard, "--out", out, "--quiet"];
    bench.run(&[&args, more].concat())
}

/// The same in three parts, one of them played by one thread; they must succeed.
fn three_parts(bench: &Bench, more: &[&str]) {
    for (index, jobs) in [(2, "1"), (0, "4"), (1, "2")] {
        let (shard, out) = (format!("{index}/3"), format!("parts/part-{index}"));
        let done = sweep(bench, &shard, &out, &[&["--jobs", jobs], more].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.stdout.contains(&format!("shard {shard}")), "{done:?}");
    }
}

/// All files but the manifest.
fn content(bench: &Bench, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let all = files(&bench.path(folder));
    all.into_iter().filter(|(name, _)| name != "manifest.json").collect()
}

fn assert_same(bench: &Bench, whole: &str, merged: &str) {
    let (whole, merged) = (content(bench, whole), content(bench, merged));
    assert_eq!(whole.keys().collect::<Vec<_>>(), merged.keys().collect::<Vec<_>>());
    assert!(whole.len() > 10, "{:?}", whole.keys());
    for (name, bytes) in whole {
        assert!(merged[&name] == bytes, "{name} differs");
    }
}

#[test]
fn the_merged_folder_is_the_one_of_a_single_process() {
    let bench = bench();
    let more = ["--set", "load.phases.calm.rate=120", "--rounds", "4", "--seed", "7"];
    let whole =
        bench.run(&[&["run", "split.toml", "--out", "whole", "--quiet"][..], &more].concat());
    assert_eq!(whole.code, Some(0), "{whole:?}");
    three_parts(&bench, &more);
    // In any order, and with nothing of the sweep at hand but its parts.
    fs::remove_file(bench.path("times.csv")).expect("it is there");
    fs::remove_file(bench.path("split.toml")).expect("it is there");
    let merge = ["merge", "parts/part-1", "parts/part-2", "parts/part-0", "--out", "merged"];
    let merged = bench.run(&merge);
    assert_eq!(merged.code, Some(0), "{merged:?}");
    assert_eq!(
        merged.stdout.replace("merged/report.html", "whole/report.html"),
        whole.stdout,
        "the same is printed"
    );
    assert_same(&bench, "whole", "merged");
    assert!(content(&bench, "merged").contains_key("requests.csv"));
    let manifest: serde_json::Value =
        serde_json::from_str(&read(&bench.path("merged/manifest.json"))).expect("JSON");
    let parts = manifest["parts"].as_array().expect("a list");
    let shards: Vec<_> = parts.iter().filter_map(|part| part["shard"].as_str()).collect();
    assert_eq!(shards, ["0/3", "1/3", "2/3"]);
    assert_eq!(parts[1]["path"], "parts/part-1");
    assert_eq!(parts[1]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(manifest["complete"], true);
    assert_eq!(manifest["scenario_text"], SCENARIO);
    assert!(!read(&bench.path("whole/manifest.json")).contains("\"parts\""));
    // What is drawn from it is drawn from its files.
    assert_eq!(bench.run(&["report", "merged"]).code, Some(0));
    assert_same(&bench, "whole", "merged");
}

#[test]
fn committed_scenarios_are_judged_and_noted_alike() {
    // An expectation that fails; a load beyond what a backend can serve, of which the summary tells.
    for (name, set, code, notes) in
        [("failover", "expect.1.below=1ms", 10, 0), ("strategies", "load.warmup=2s", 0, 1)]
    {
        let bench = Bench::new();
        let scenario = root().join(format!("scenarios/{name}.toml")).display().to_string();
        let args = [&scenario, "--engine", "sim", "--set", set];
        let whole = bench.run(&[&["run"], &args[..], &["--out", "whole", "-q"]].concat());
        assert_eq!(whole.code, Some(code), "{whole:?}");
        assert_eq!(whole.stdout.matches("Note: ").count(), notes, "{whole:?}");
        // More shards than trials: some are empty, and all are asked for.
        let shards = 5;
        let mut merge = vec!["merge".to_owned()];
        for index in 0..shards {
            let shard = format!("{index}/{shards}");
            let done = bench.run(&[&["sweep"], &args[..], &["--shard", &shard, "-q"]].concat());
            assert_eq!(done.code, Some(0), "{done:?}");
            merge.push(format!("part-{index}"));
        }
        merge.extend(["--out", "merged"].map(str::to_owned));
        let merge: Vec<&str> = merge.iter().map(String::as_str).collect();
        assert_eq!(bench.run(&merge).code, Some(code), "merging judges as running does");
        assert_same(&bench, "whole", "merged");
        assert_eq!(summary(&bench.path("merged")).notes.len(), notes);
        let page = read(&bench.path("merged/report.html"));
        assert_eq!(page.contains("More load than can be served"), notes > 0);
    }
}

/// Runs under `ulimit -v`, kibibytes, as batch systems do.
fn limited(bench: &Bench, kibibytes: u64, args: &[&str]) -> Done {
    let script = format!("ulimit -v {kibibytes}; exec \"$0\" \"$@\"");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_lab")]).args(args);
    Done::new(command.current_dir(bench.path("")).output().expect("a shell"))
}

#[test]
fn what_does_not_fit_into_memory_is_refused_and_leaves_nothing() {
    let bench = bench();
    let large = ["split.toml", "--set", "backends.a.count=20000", "--set", "window=10ms"];
    let large = [&large[..], &["--set", "load.phases.calm.duration=90s", "--jobs", "1"]].concat();
    for command in [&["run", "--out", "out"][..], &["sweep", "--shard", "0/1", "--out", "out"]] {
        let done = limited(&bench, 4_000_000, &[command, &large].concat());
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(
            done.stderr.contains("split.toml: the records of a trial take some 29."),
            "{done:?}"
        );
        assert!(done.stderr.contains("20000 backends, read off in 9170 windows"), "{done:?}");
    }
    // What is under way is not known beforehand: here more than a million requests that wait.
    let full =
        ["backends.a.queue=unlimited", "load.timeout=90000s", "load.phases.calm.rate=3000000"];
    let set = full.iter().flat_map(|text| ["--set", text]);
    let service = ["--set", "backends.a.service={ distribution = \"constant\", value = \"900s\" }"];
    let args: Vec<&str> =
        ["sweep", "split.toml", "--shard", "0/6", "--set", "record.requests=false"]
            .into_iter()
            .chain(set)
            .chain(service)
            .collect();
    let done = limited(&bench, 1_600_000, &args);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("events are to come at"), "{done:?}");
    assert!(done.stderr.contains("all that memory should hold; lower the rate"), "{done:?}");
    assert_eq!(files(&bench.path("")).len(), 2, "nothing is left");
}

#[test]
fn what_does_not_belong_together_is_not_merged() {
    let bench = bench();
    three_parts(&bench, &[]);
    let [zero, one, two] = ["parts/part-0", "parts/part-1", "parts/part-2"];
    sweep(&bench, "1/3", "seed", &["--seed", "8"]);
    sweep(&bench, "1/3", "set", &["--set", "load.phases.calm.rate=120"]);
    sweep(&bench, "1/3", "rounds", &["--rounds", "2"]);
    sweep(&bench, "1/3", "proxy", &["--proxy", "direct", "--vary", "backends.a.count=2,3"]);
    sweep(&bench, "1/4", "count", &[]);
    bench.file("split.toml", &SCENARIO.replace("rate = 300", "rate = 301"));
    sweep(&bench, "1/3", "text", &[]);
    bench.file("split.toml", SCENARIO);
    bench.file("times.csv", "ms\n5\n6\n7\n31\n");
    sweep(&bench, "1/3", "times", &[]);
    let good = fs::read(bench.path(one)).expect("a part");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(bench.path(name), bytes).expect("the folder can be written");
    };
    write("short", &good[..good.len() - 40]);
    write("shorter", &good[..50]);
    write("empty", b"");
    write("longer", &[&good[..], b"x"].concat());
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0x10;
    write("flipped", &flipped);
    let at = good.windows(6).position(|w| w == b"lab 0.").expect("the program's name");
    let mut other = good.clone();
    other[at + 4] = b'9';
    write("version", &other);
    write("image", b"\x89PNG\r\n and so on, longer than the line that opens a part");
    let cases: &[(&[&str], &[&str])] = &[
        (&[zero, two], &["shard 1/3 is missing", "lab sweep FILE --shard 1/3"]),
        (&[two], &["shards 0/3, 1/3 are missing"]),
        (&[zero, one, two, one], &["parts/part-1: shard 1/3 is parts/part-1 already"]),
        (
            &[zero, "seed", two],
            &[
                "seed: belongs to another run than parts/part-0: its seed is 8, there it is 18446744073709551615",
            ],
        ),
        (
            &[zero, "set", two],
            &[
                "set: belongs to another run",
                "\"--set load.phases.calm.rate=120\", there it is empty",
            ],
        ),
        (&[zero, "rounds", two], &["its number of trials is 4, there it is 6"]),
        (&[zero, "proxy", two], &["--proxy direct"]),
        (&[zero, "count", two], &["its number of shards is 4, there it is 3"]),
        (&[zero, "text", two], &["its scenario's text differs from line 32 on"]),
        (&[zero, "times", two], &["a file that the scenario reads had other bytes"]),
        (&[zero, "short", two], &["short: is damaged or cut short", "play its shard again"]),
        (&[zero, "shorter", two], &["shorter: is damaged or cut short"]),
        (&[zero, "empty", two], &["empty: is no part of a sweep"]),
        (&[zero, "longer", two], &["longer: is damaged or cut short"]),
        (&[zero, "flipped", two], &["flipped: is damaged or cut short"]),
        (&[zero, "version", two], &["version: was made by lab 9."]),
        (&[zero, "image", two], &["image: is no part of a sweep"]),
        (&[zero, "parts", two], &["parts: is no file"]),
        (&[zero, "nowhere", two], &["nowhere: cannot be read"]),
        (
            &[zero, "flipped", "short"],
            &[
                "flipped: is",
                "short: is",
                "shards 1/3, 2/3 are in none of the files that can be read",
            ],
        ),
        // All of it at once.
        (&[zero, "flipped", "seed", "image"], &["flipped: ", "seed: ", "image: ", "2/3"]),
    ];
    for (parts, wanted) in cases {
        let done = bench.run(&[&["merge"], *parts, &["--out", "out"]].concat());
        assert_eq!(done.code, Some(3), "{parts:?}: {done:?}");
        if *parts == [zero, "short", two] {
            assert!(done.stderr.contains("shard 1/3, which `lab sweep FILE --shard 1/3` plays"));
        }
        if parts.iter().any(|part| ["short", "flipped"].contains(part)) {
            assert!(!done.stderr.contains("missing"), "named once: {}", done.stderr);
        }
        for word in *wanted {
            assert!(done.stderr.contains(word), "{parts:?}: {word} is not in {}", done.stderr);
        }
        assert_eq!(done.stdout, "", "{parts:?}");
        assert!(!bench.path("out").exists(), "{parts:?}");
    }
}

#[test]
fn a_shard_that_is_out_of_range_plays_nothing() {
    let bench = bench();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--shard", "3/3"], 2, "--shard 3/3: "),
        (&["--shard", "0/0"], 2, "--shard 0/0: "),
        (&["--shard", "one/3"], 2, "--shard one: "),
        (&["--shard=-1/3"], 2, "--shard -1: "),
        (&["--shard", "1"], 2, "--shard 1: "),
        (&["--shards", "0"], 2, "--shards 0: "),
        (&["--shards", "4"], 2, "which shard?"),
        (&[], 2, "which shard?"),
        (&["--shard", "-1/3"], 2, "--shard -1: this is no whole number from 0 on; write one"),
        (&["--shards", "-1"], 2, "--shards -1: "),
        (&["--shard", "0/1", "--shards", "1"], 2, "--shards"),
        (&["--shard", "0/1", "--rounds", "0"], 2, "--rounds"),
        (&["--shard", "0/1", "--engine", "both"], 2, "--engine both: a sweep is simulated"),
        (&["--shard", "0/1", "--load", "both"], 2, "--load both: generators send real requests"),
        (&["--shard", "0/1", "--engine", "live"], 3, "split.toml: this scenario is played live"),
        (&["--shard", "0/1", "--set", "load.phases.calm.rate=-5"], 3, "load.phases.calm.rate=-5"),
        (&["--shard", "0/1", "--set", "backends.b.count=1"], 3, "backends.b.count"),
    ];
    for (args, code, wanted) in cases {
        let done = bench.run(&[&["sweep", "split.toml", "--quiet"], *args].concat());
        assert_eq!(done.code, Some(*code), "{args:?}: {done:?}");
        assert!(done.stderr.contains(wanted), "{args:?}: {}", done.stderr);
        assert_eq!(files(&bench.path("")).len(), 2, "{args:?} left something behind");
    }
}

#[test]
fn the_index_comes_from_the_array() {
    let bench = bench();
    for (variables, args, shard) in [
        (
            &[
                ("SLURM_ARRAY_TASK_ID", "2"),
                ("SLURM_ARRAY_TASK_MIN", "1"),
                ("SLURM_ARRAY_TASK_COUNT", "6"),
            ][..],
            &[][..],
            "1/6",
        ),
        (&[("JOB_COMPLETION_INDEX", "4")], &["--shards", "5"], "4/5"),
    ] {
        let mut command = bench.lab();
        command.args(["sweep", "split.toml", "--quiet"]).args(args);
        command.envs(variables.iter().copied());
        let output = command.output().expect("lab starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&format!("shard {shard},")), "{output:?}");
        assert!(bench.path(&format!("part-{}", &shard[..1])).is_file(), "{output:?}");
    }
}

#[test]
fn a_part_replaces_a_part_and_nothing_else() {
    let bench = bench();
    for _ in 0..2 {
        assert_eq!(sweep(&bench, "0/6", "part", &[]).code, Some(0));
    }
    let part = fs::read(bench.path("part")).expect("a part");
    let done = sweep(&bench, "0/6", "times.csv", &[]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains("times.csv: is there, is no part of a sweep"), "{done:?}");
    assert!(read(&bench.path("times.csv")).starts_with("ms\n5"));
    fs::create_dir(bench.path("folder")).expect("a folder");
    let done = sweep(&bench, "0/6", "folder", &[]);
    assert_eq!(done.code, Some(4), "{done:?}");
    let done = sweep(&bench, "0/6", "times.csv/part", &[]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(part.starts_with(b"lab part 2\n"));
    let names: Vec<String> = files(&bench.path("")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["part", "split.toml", "times.csv"], "nothing half-written is left");
}

#[test]
fn an_interrupted_sweep_leaves_nothing() {
    let bench = bench();
    let args = ["sweep", "split.toml", "--shard", "0/1", "--rounds", "5000"];
    let running = bench.spawn(&args);
    until("the part's beginning", || (files(&bench.path("")).len() > 2).then_some(()));
    running.signal("TERM");
    let done = running.wait();
    assert_eq!(done.code, Some(143), "{done:?}");
    assert!(done.stderr.contains("part-0: not written"), "{done:?}");
    assert_eq!(files(&bench.path("")).len(), 2);
}

#[test]
fn the_job_files_of_kubernetes_play_all_shards_and_merge_them() {
    let bench = bench();
    // Pods have the scenario alone.
    let text = SCENARIO.replace(
        "{ distribution = \"empirical\", file = \"times.csv\", column = \"ms\", unit = \"ms\" }",
        "{ distribution = \"exponential\", mean = \"5ms\" }",
    );
    let script = ["--shards", "2", "--engine-script", "kubernetes", "--set", "load.connections=7"];
    let refused = bench.run(&[&["sweep", "split.toml"][..], &script].concat());
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("it reads times.csv"), "{refused:?}");
    bench.file("split.toml", &text);
    let done = bench.run(&[&["sweep", "split.toml"][..], &script].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let list: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let item = |kind: &str, name: &str| {
        let items = list["items"].as_array().expect("a list").iter();
        let mut found =
            items.filter(|item| item["kind"] == kind && item["metadata"]["name"] == name);
        found.next().unwrap_or_else(|| panic!("{kind} {name} is not in {list}")).clone()
    };
    assert_eq!(item("ConfigMap", "split-scenario")["data"]["split.toml"], text.as_str());
    item("PersistentVolumeClaim", "split-parts");
    let sweep = &item("Job", "split-sweep")["spec"];
    assert_eq!((&sweep["completionMode"], &sweep["completions"]), (&"Indexed".into(), &2.into()));
    let words = |job: &serde_json::Value| -> Vec<String> {
        let words = job["template"]["spec"]["containers"][0]["command"].as_array().expect("a list");
        words.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    // What the pods would do, done here.
    let bin = bench.path("bin");
    fs::create_dir(&bin).expect("a folder");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lab"), bin.join("lab")).expect("a link");
    let scenario = bench.path("").display().to_string();
    fs::create_dir(bench.path("parts")).expect("a folder");
    let run = |words: &[String], index: &str| {
        let words: Vec<String> =
            words.iter().map(|word| word.replace("/scenario/", &scenario)).collect();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let done = std::process::Command::new("env")
            .arg(format!("PATH={path}"))
            .args(&words)
            .env("JOB_COMPLETION_INDEX", index)
            .current_dir(bench.path("parts"))
            .output()
            .expect("env starts");
        assert!(done.status.success(), "{words:?}: {done:?}");
    };
    for index in ["0", "1"] {
        run(&words(sweep), index);
    }
    run(&words(&item("Job", "split-merge")["spec"]), "0");
    let args = ["run", "split.toml", "--set", "load.connections=7", "--out", "whole", "--quiet"];
    assert_eq!(bench.run(&args).code, Some(0));
    assert_same(&bench, "whole", "parts/merged");
}
