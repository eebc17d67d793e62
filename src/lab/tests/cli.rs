//! What bad input gets: one clear message each, the documented exit code, nothing created.

mod support;

use std::net::TcpListener;

use support::{Bench, files, read};

const GOOD: &str = r#"name = "good"
question = "Is this a scenario?"
engine = "sim"

[proxy]
strategy = "random"

[[backends]]
name = "a"
count = 2
service = { distribution = "constant", value = "5ms" }

[load]
warmup = "100ms"

[[load.phases]]
name = "steady"
duration = "2s"
rate = 100

[[expect]]
metric = "failed_ratio"
below = 0.01
"#;

#[test]
fn bad_scenarios_are_refused_with_place_value_and_remedy() {
    // What is replaced in GOOD, by what, and what the message must hold.
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "strategy = \"random\"",
            "strategi = \"random\"",
            &["bad.toml:6:1:", "strategi", "strategy"],
        ),
        ("rate = 100", "rate = \"many\"", &["bad.toml:19:8:", "many"]),
        ("\"random\"", "\"p2\"", &["bad.toml:6:12:", "\"p2\"", "p2c"]),
        ("duration = \"2s\"", "duration = \"0s\"", &["bad.toml:18:12:", "0s"]),
        ("rate = 100", "rate = 0", &["bad.toml:19:8:", "0"]),
        ("name = \"a\"", "name = 7", &["bad.toml:9:8:", "7"]),
        (
            "[[expect]]",
            "[[faults]]\nat = \"1s\"\nbackend = \"b-1\"\nkind = \"crash\"\n[[expect]]",
            &["bad.toml:23:11:", "b-1", "a-1"],
        ),
        ("below = 0.01", "below = 0.01\nabove = 1", &["bad.toml:", "above"]),
        ("question = \"Is this a scenario?\"", "", &["bad.toml:", "question"]),
    ];
    for (old, new, wanted) in cases {
        let bench = Bench::new();
        assert!(GOOD.contains(old), "{old}");
        bench.file("bad.toml", &GOOD.replacen(old, new, 1));
        for args in [&["run", "bad.toml", "--out", "out"][..], &["validate", "bad.toml"]] {
            let done = bench.run(args);
            assert_eq!(done.code, Some(3), "{args:?} with {new}: {done:?}");
            assert_eq!(done.stdout, "", "{new}");
            for word in *wanted {
                assert!(done.stderr.contains(word), "{new}: {word} is not in {}", done.stderr);
            }
            assert!(!bench.path("out").exists() && !bench.path("reports").exists(), "{new}");
        }
    }
}

#[test]
fn all_problems_of_all_files_are_reported_even_when_quiet() {
    let bench = Bench::new();
    bench
        .file("one.toml", &GOOD.replace("\"random\"", "\"p2\"").replace("rate = 100", "rate = -1"));
    bench.file("two.toml", &GOOD.replace("count = 2", "count = 0"));
    let done = bench.run(&["run", "one.toml", "two.toml", "missing.toml", "--quiet"]);
    assert_eq!(done.code, Some(3));
    for word in ["one.toml:6:", "one.toml:19:", "two.toml:10:", "missing.toml"] {
        assert!(done.stderr.contains(word), "{word} is not in {}", done.stderr);
    }
}

#[test]
fn bad_overrides_name_themselves() {
    let bench = Bench::new();
    bench.file("good.toml", GOOD);
    for (option, text, wanted) in [
        ("--set", "proxy.strategy=p2", "proxy.strategy=p2"),
        ("--set", "backends.b.count=3", "backends.b.count"),
        ("--vary", "proxy.strategy=random,p2", "p2"),
    ] {
        let done = bench.run(&["run", "good.toml", option, text, "--out", "out"]);
        assert_eq!(done.code, Some(3), "{option} {text}: {done:?}");
        assert!(done.stderr.contains(wanted), "{option} {text}: {}", done.stderr);
        assert!(!bench.path("out").exists());
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let bench = Bench::new();
    assert_eq!(bench.run(&["run"]).code, Some(2));
    assert_eq!(bench.run(&["run", "x.toml", "--rounds", "0"]).code, Some(2));
    assert_eq!(bench.run(&["frobnicate"]).code, Some(2));
    let run = |option, value| ["run", "good.toml", "--out", "out", option, value];
    bench.file("good.toml", GOOD);
    let below = |value: &str, option: &str, range: &str| {
        format!("invalid value '{value}' for '{option} <N>': write a whole number from {range}\n")
    };
    for (args, wanted) in [
        (&run("--set", "nonsense")[..], "--set nonsense: write a key, `=` and a value".to_owned()),
        (&run("--set", "=5"), "--set =5: write a key, `=` and a value".to_owned()),
        (&run("--vary", "x"), "--vary x: write a key, `=` and a value".to_owned()),
        (&run("--seed", "-1"), below("-1", "--seed", "0 to 18446744073709551615")),
        (&run("--seed", "many"), below("many", "--seed", "0 to 18446744073709551615")),
        (&run("--rounds", "-2"), below("-2", "--rounds", "1 to 4294967295")),
        (&run("--rounds", "1.5"), below("1.5", "--rounds", "1 to 4294967295")),
        (&run("--jobs", "-1"), below("-1", "--jobs", "1 to 1024")),
        (&run("--jobs", "1025"), below("1025", "--jobs", "1 to 1024")),
        (
            &["run", "good.toml", "--engine", "both", "--load", "both"],
            "--engine both and --load both: write one of them".to_owned(),
        ),
        (
            &["run", "good.toml", "--engine", "sim", "--load", "both"],
            "--load both: generators send real requests".to_owned(),
        ),
        (&["verify", "--requests", "-5"], below("-5", "--requests", "1000 to 100000000")),
        (&["calibrate", "--rounds", "-1"], below("-1", "--rounds", "1 to 100")),
    ] {
        let done = bench.run(args);
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert!(done.stderr.contains(&wanted), "{args:?}: {}", done.stderr);
        // Such as "to pass '-1' as a value, use '-- -1'", which is no help.
        assert!(!done.stderr.contains("tip:"), "{args:?}: {}", done.stderr);
        assert!(!bench.path("out").exists(), "{args:?}");
    }
    let help = bench.run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for word in ["run", "validate", "report", "list", "proxy", "backends", "doctor", "Exit codes"] {
        assert!(help.stdout.contains(word), "{word}");
    }
}

#[test]
fn a_folder_that_is_no_run_folder_is_refused_and_left_alone() {
    let bench = Bench::new();
    bench.file("good.toml", GOOD);
    std::fs::create_dir(bench.path("mine")).expect("a folder");
    bench.file("mine/letter.txt", "dear");
    let done = bench.run(&["run", "good.toml", "--out", "mine"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains("mine"), "{}", done.stderr);
    assert_eq!(files(&bench.path("mine")), [("letter.txt".to_owned(), b"dear".to_vec())]);
}

#[test]
fn a_folder_that_cannot_be_written_is_the_environments_fault() {
    let bench = Bench::new();
    bench.file("good.toml", GOOD);
    bench.file("file", "a file where a folder should be");
    // Before anything is played.
    for args in [&["run", "good.toml", "--out", "file/out"][..], &["verify", "--out", "file"]] {
        let done = bench.run(args);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(done.stderr.contains("file"), "{}", done.stderr);
    }
}

#[test]
fn validate_tells_what_a_run_would_note() {
    let bench = Bench::new();
    bench.file("good.toml", GOOD);
    let done = bench.run(&["validate", "good.toml"]);
    assert_eq!(done.stdout, "good.toml: valid, 1 variant, 1 trial\n", "{done:?}");
    bench.file("good.toml", &GOOD.replace("\"5ms\"", "\"50s\""));
    let done = bench.run(&["validate", "good.toml"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let note = "\nNote: phase \"steady\" offers 100 requests/s";
    assert!(done.stdout.contains(note), "{}", done.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn no_text_is_read_without_end() {
    let bench = Bench::new();
    bench.file("good.toml", &GOOD.replace(
        "{ distribution = \"constant\", value = \"5ms\" }",
        "{ distribution = \"empirical\", file = \"/dev/zero\", column = \"ms\", unit = \"ms\" }",
    ));
    for args in [
        &["validate", "/dev/zero"][..],
        &["validate", "good.toml"],
        &["proxy", "--config", "/dev/zero"],
    ] {
        let done = bench.run(args);
        assert_eq!(done.code, Some(3), "{args:?}: {done:?}");
        assert!(done.stderr.contains("more than the 67108864 bytes"), "{args:?}: {}", done.stderr);
    }
}

#[test]
fn a_failed_expectation_is_10_and_points_at_its_line() {
    let bench = Bench::new();
    bench.file("good.toml", &GOOD.replace("below = 0.01", "above = 0.01"));
    let done = bench.run(&["run", "good.toml", "--out", "out", "--quiet"]);
    assert_eq!(done.code, Some(10), "{done:?}");
    assert!(done.stdout.contains("good.toml:21"), "{}", done.stdout);
    assert!(bench.path("out/report.html").exists());
}

#[test]
fn json_is_the_summary() {
    let bench = Bench::new();
    bench.file("good.toml", GOOD);
    let done = bench.run(&["run", "good.toml", "--out", "out", "--json", "--quiet"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let printed: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    let kept: serde_json::Value =
        serde_json::from_str(&read(&bench.path("out/summary.json"))).expect("JSON");
    assert_eq!(printed, kept);
}

#[test]
fn a_port_in_use_is_named_with_a_remedy() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    bench.file(
        "backends.toml",
        &format!(
            "[[backends]]\nname = \"a\"\nlisten = \"{address}\"\n\
         service = {{ distribution = \"constant\", value = \"1ms\" }}\n"
        ),
    );
    bench.file("proxy.toml", &format!(
        "listen = \"{address}\"\nstrategy = \"random\"\n[[backends]]\naddress = \"127.0.0.1:9\"\n"
    ));
    for args in [["proxy", "--config", "proxy.toml"], ["backends", "--config", "backends.toml"]] {
        let done = bench.run(&args);
        assert_eq!(done.code, Some(4), "{args:?}: {done:?}");
        assert!(done.stderr.contains(&address), "{args:?}: {}", done.stderr);
        assert_eq!(done.stdout, "");
    }
}

#[test]
fn proxy_check_reads_the_file_and_starts_nothing() {
    let bench = Bench::new();
    bench.file(
        "proxy.toml",
        "listen = \"127.0.0.1:0\"\nstrategy = \"p2c\"\n\
        [[backends]]\naddress = \"127.0.0.1:9101\"\n",
    );
    let done = bench.run(&["proxy", "--config", "proxy.toml", "--check"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "proxy.toml: valid\n"));
    bench.file("proxy.toml", "listen = \"nowhere\"\nstrategy = \"p2\"\n");
    let done = bench.run(&["proxy", "--config", "proxy.toml", "--check"]);
    assert_eq!(done.code, Some(3));
    assert!(done.stderr.contains("proxy.toml:1:") && done.stderr.contains("proxy.toml:2:"));
}

#[test]
fn broken_run_folders_are_errors_that_name_file_and_line() {
    let bench = Bench::new();
    bench.file("good.toml", GOOD);
    let done = bench.run(&["run", "good.toml", "--out", "out", "--quiet"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let timeline = bench.path("out/timeline.csv");
    let whole = read(&timeline);

    let cut = whole.rfind(',').expect("a row");
    std::fs::write(&timeline, &whole[..cut]).expect("written");
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("timeline.csv:"), "{}", done.stderr);

    let last = whole.trim_end().rfind('\n').expect("lines");
    std::fs::write(&timeline, &whole[..=last]).expect("written");
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(3), "a row is missing: {done:?}");
    assert!(done.stderr.contains("timeline.csv:"), "{}", done.stderr);

    std::fs::write(&timeline, whole.replacen(",100,", ",ninety,", 1)).expect("written");
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("timeline.csv:"), "{}", done.stderr);

    let done = bench.run(&["report", "nowhere"]);
    assert_eq!(done.code, Some(3), "{done:?}");
    assert!(done.stderr.contains("nowhere"), "{}", done.stderr);
}

#[test]
fn lists_come_from_what_there_is() {
    let bench = Bench::new();
    let strategies = bench.run(&["list", "strategies"]);
    for entry in policy::Registry::standard().entries() {
        assert!(strategies.stdout.contains(entry.name), "{}", entry.name);
    }
    let faults = bench.run(&["list", "faults"]);
    for word in ["crash", "refuse", "hang", "reset", "slow", "factor", "errors", "flap", "duty"] {
        assert!(faults.stdout.contains(word), "{word}");
    }
    let scenarios = bench.run(&["list", "scenarios"]);
    assert_eq!(scenarios.code, Some(3), "there is no scenarios folder here");
    let runs = bench.run(&["list", "runs"]);
    assert_eq!((runs.code, runs.stdout.as_str()), (Some(0), ""), "there are none");
    assert!(runs.stderr.contains("there are no runs yet"), "{}", runs.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::new();
    bench.file("good.toml", GOOD);
    for args in [&["list", "strategies"][..], &["run", "good.toml", "--out", "out"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = bench.lab();
        command.args(args).stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        assert_eq!(command.status().expect("lab starts").code(), Some(0), "{args:?}");
    }
}
