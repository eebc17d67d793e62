//! What becomes of a run folder that was edited, cut, mixed up or never finished.

mod support;

use std::fs;
use std::path::Path;

use record::{Run, RunWriter};
use support::{live, read, temporary, write};

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
    let cases: [(&str, Damage, &str); 18] = [
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
            "a verdict of one's own",
            |f| edit(f, "summary.json", |t| t.replacen("\"valid\"", "\"great\"", 1)),
            "summary.json:7: \"great\" is no verdict; one of valid, suspect,",
        ),
        (
            "counters that do not add up",
            |f| edit(f, "summary.json", |t| t.replacen("\"dropped\": 0", "\"dropped\": 5", 1)),
            "summary.json:",
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
