//! `lab import`: results that Artillery wrote become run folders that every other command reads.

mod support;

use std::fs;
use std::path::PathBuf;

use support::{Bench, files, read, root, summary};

fn sample(name: &str) -> String {
    path(name).display().to_string()
}

fn path(name: &str) -> PathBuf {
    root().join("src/import/tests/samples").join(name)
}

#[test]
fn a_result_becomes_a_run_folder_that_other_commands_read() {
    let bench = Bench::new();
    let done = bench.run(&["import", "artillery", &sample("errors.json"), "--out", "run"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("Measurement: suspect"), "{}", done.stdout);
    assert!(done.stdout.trim_end().ends_with("Report: run/report.html"), "{}", done.stdout);
    let folder = bench.path("run");
    let imported = summary(&folder);
    assert_eq!((imported.scenario.as_str(), imported.verdict.as_str()), ("errors", "suspect"));
    assert_eq!(imported.variants[0].counts.failed, 120);
    let page = read(&folder.join("report.html"));
    for words in [
        "Measured by Artillery",
        "http.total",
        "ECONNRESET 60",
        "not the lab",
        "SHA-256",
        "2026-11-29T03:50:30Z",
    ] {
        assert!(page.contains(words), "{words}");
    }
    for chart in ["latency_over_time", "errors_over_time", "spectrum", "offered_achieved"] {
        assert!(folder.join(format!("charts/{chart}.png")).exists(), "{chart}");
    }
    let before = files(&folder);
    let done = bench.run(&["report", "run"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(files(&folder) == before, "drawn again, the bytes are the same");
}

#[test]
fn several_results_are_variants_and_the_run_is_listed() {
    let bench = Bench::new();
    let (errors, plain) = (sample("errors.json"), sample("plain.json"));
    let args = ["import", "artillery", &errors, &plain, "--name", "two", "--json"];
    let done = bench.run(&args);
    assert_eq!(done.code, Some(0), "{done:?}");
    let printed: record::Summary = serde_json::from_str(&done.stdout).expect("summary.json");
    let names: Vec<&str> = printed.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["errors", "plain"]);
    let listed = bench.run(&["list", "runs"]);
    assert!(listed.stdout.contains("reports/two/"), "{}", listed.stdout);
    assert!(listed.stdout.contains("imported"), "{}", listed.stdout);
}

#[test]
fn what_cannot_be_imported_is_named_and_nothing_is_made() {
    let bench = Bench::new();
    let whole = fs::read_to_string(path("errors.json")).expect("the sample");
    bench.file("half.json", &whole[..9000]);
    bench.file("letter.json", "dear");
    let made = std::process::Command::new("mkfifo").arg(bench.path("pipe")).status();
    assert!(made.expect("mkfifo is there").success());
    let good = sample("errors.json");
    for (args, code, words) in [
        (&["half.json"][..], 3, &["half.json:", "the file ends here"][..]),
        (
            &["letter.json", "nowhere.json"],
            3,
            &["letter.json:1:1", "no JSON", "nowhere.json: it cannot"],
        ),
        (&["."], 3, &["this is a folder", "--output"]),
        // Nobody will ever write into it.
        (&["pipe"], 3, &["pipe: this is a pipe", "no ordinary file"]),
        (&["/dev/zero"], 3, &["/dev/zero: this is a pipe, a socket or a device", "--output"]),
        (&[&good, "half.json"], 3, &["half.json:"]),
        (&[&good, "--name", "../up"], 3, &["--name ../up", "letters"]),
        (&[], 2, &["OUT.json"]),
    ] {
        let args = [&["import", "artillery"], args, &["--out", "run"]].concat();
        let done = bench.run(&args);
        assert_eq!(done.code, Some(code), "{args:?}: {done:?}");
        for word in words {
            assert!(done.stderr.contains(word), "{args:?}: {word} is not in {}", done.stderr);
        }
        assert!(!bench.path("run").exists() && !bench.path("reports").exists(), "{args:?}");
    }
    fs::create_dir(bench.path("mine")).expect("a folder");
    bench.file("mine/letter.txt", "dear");
    let done = bench.run(&["import", "artillery", &good, "--out", "mine"]);
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains("no run folder"), "{}", done.stderr);
    assert_eq!(files(&bench.path("mine")).len(), 1);
}
