//! All that can go wrong with a load generator that is not ours: no Node, no npm, an installation that
//! fails, an Artillery that dies, is killed, lies or falls silent. Nothing is asserted about speed.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use live::load::artillery::install;
use support::artillery::{cache, lab, load};
use support::{Bench, Done, Running, alive, children, read, signal, until};

/// Live runs want the machine for themselves: the tests of this file take turns.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A scenario of its own: so many seconds of 20 requests/s, without a warm-up.
fn scenario(seconds: u32) -> String {
    format!(
        r#"name = "artillery"
question = "Does it end as it should?"

[proxy]
strategy = "random"

[[backends]]
name = "a"
count = 2
service = {{ distribution = "constant", value = "5ms" }}

[load]
generator = "artillery"
connections = 16
timeout = "2s"
warmup = "0s"

[[load.phases]]
name = "steady"
duration = "{seconds}s"
rate = 20
"#
    )
}

/// Waits until Artillery is there: its process, and all children of `lab`.
fn hired(running: Running) -> (Running, i32, Vec<(i32, String)>) {
    let (node, started) = until("Artillery", || {
        let found = children(running.pid());
        let keeper = found.iter().find(|(_, line)| line.contains(" keep "))?.0;
        let node = children(keeper);
        Some((node.first()?.0, [found, node].concat()))
    });
    (running, node, started)
}

/// Starts a long run and waits until Artillery sends.
fn sending(bench: &Bench) -> (Running, i32, Vec<(i32, String)>) {
    bench.file("long.toml", &scenario(60));
    let args = ["run", "long.toml", "--out", "out", "--quiet"];
    let mut command = lab(bench, &cache(), &args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (running, node, started) = hired(Running::start(command));
    let (proxy, _) =
        started.iter().find(|(_, line)| line.contains(" proxy ")).expect("a proxy").clone();
    // Connections from the load to the proxy, beside those that it has anyway.
    let quiet = fs::read_dir(format!("/proc/{proxy}/fd")).map_or(0, Iterator::count);
    until("requests", || {
        let now = fs::read_dir(format!("/proc/{proxy}/fd")).ok()?.count();
        (now > quiet).then_some(())
    });
    (running, node, started)
}

fn gone(started: &[(i32, String)]) {
    until("the children to go", || started.iter().all(|(pid, _)| !alive(*pid)).then_some(()));
}

#[test]
fn an_artillery_that_is_killed_ends_the_run_and_nothing_is_left() {
    let _alone = alone();
    let bench = Bench::new();
    let (running, node, started) = sending(&bench);
    signal(node, "KILL");
    let done = running.wait();
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains("Artillery ended before its report (exit code 137)"), "{done:?}");
    assert!(done.stderr.contains("artillery.out"), "where to look: {}", done.stderr);
    assert_eq!(done.stderr.matches("Artillery ended").count(), 1, "said once: {}", done.stderr);
    let last = "its last lines";
    assert!(!done.stdout.contains(last), "and not once more: {}", done.stdout);
    gone(&started);
    let run = load(&bench.path("out"));
    assert_eq!(run.summary.verdict, "interrupted", "what was measured is kept");
    let c = run.summary.variants[0].counts;
    assert_eq!(c.intended, c.ok + c.failed + c.rejected + c.dropped + c.unfinished);
}

#[test]
fn an_interrupted_or_killed_lab_takes_artillery_with_it() {
    let _alone = alone();
    let bench = Bench::new();
    let (running, _, started) = sending(&bench);
    running.signal("INT");
    let done = running.wait();
    assert_eq!(done.code, Some(130), "{done:?}");
    gone(&started);
    let run = load(&bench.path("out"));
    assert_eq!(run.summary.reasons[0], "stopped by SIGINT");
    let c = run.summary.variants[0].counts;
    assert_eq!(c.intended, c.ok + c.failed + c.rejected + c.dropped + c.unfinished);

    // One that does nothing is there sooner.
    let bench = Bench::new();
    bench.file("long.toml", &scenario(60));
    let cache = stand_in(&bench, "begin(); setInterval(() => {}, 1000);");
    let mut command = lab(&bench, &cache, &["run", "long.toml", "--out", "out", "--quiet"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (running, _, started) = hired(Running::start(command));
    running.signal("KILL");
    running.wait();
    gone(&started);
}

/// A folder with programs of these names, each a script.
fn programs(bench: &Bench, scripts: &[(&str, &str)]) -> PathBuf {
    let folder = bench.path("bin");
    fs::create_dir_all(&folder).expect("made");
    for (name, script) in scripts {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    folder
}

const NODE_22: (&str, &str) = ("node", "echo v22.18.0");

#[test]
fn without_a_node_that_will_do_it_says_what_to_install_and_makes_nothing() {
    for (scripts, said) in [
        (&[][..], "node is not on the PATH"),
        (&[("node", "echo v18.19.0")][..], "is Node v18.19.0, and Artillery needs 22.18"),
        (&[NODE_22][..], "npm is not on the PATH"),
    ] {
        let bench = Bench::new();
        bench.file("run.toml", &scenario(2));
        let path = programs(&bench, scripts);
        let mut command = lab(&bench, &bench.path("cache"), &["run", "run.toml", "--out", "out"]);
        let done = Done::new(command.env("PATH", &path).output().expect("lab starts"));
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(done.stderr.contains(said), "{said}: {}", done.stderr);
        assert!(done.stderr.contains("--load builtin"), "{}", done.stderr);
        assert!(!bench.path("out").exists());
        // And the doctor knows.
        let mut command = lab(&bench, &bench.path("cache"), &["doctor"]);
        let done = Done::new(command.env("PATH", &path).output().expect("lab starts"));
        assert!(done.stdout.contains(said), "{said}: {}", done.stdout);
    }
}

#[test]
fn an_installation_that_fails_or_is_stopped_is_never_taken_for_one() {
    let bench = Bench::new();
    bench.file("run.toml", &scenario(2));
    let args = ["run", "run.toml", "--out", "out"];
    let with = |npm: &str| {
        let path = programs(&bench, &[NODE_22, ("npm", npm)]);
        let mut command = lab(&bench, &bench.path("cache"), &args);
        command.env("PATH", format!("{}:/usr/bin:/bin", path.display()));
        command
    };
    let left = || {
        let found = fs::read_dir(bench.path("cache/lab")).expect("it was made");
        let mut names: Vec<String> = found
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.ends_with(".lock") && !name.starts_with("npm."))
            .collect();
        names.sort();
        names
    };
    let npm = "mkdir node_modules; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo step $i >&2; done; exit 7";
    let done = Done::new(with(npm).output().expect("lab starts"));
    assert_eq!(done.code, Some(4), "{done:?}");
    for part in ["exit code 7", "step 12", "step 3", "npm.err", "npm ping"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    assert!(!done.stderr.contains("step 2\n"), "the last ten lines: {}", done.stderr);
    assert!(read(&bench.path("cache/lab/npm.err")).starts_with("step 1\n"), "the rest is kept");
    assert_eq!(left(), [""; 0]);

    // npm says that all is well, and it is not.
    let done = Done::new(with("true").output().expect("lab starts"));
    assert_eq!(done.code, Some(4), "{done:?}");
    assert_eq!(left(), [""; 0]);

    let mut command = with("echo $$ > running; exec sleep 1000");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(command);
    let part = until("npm", || {
        let folder = left().pop().filter(|name| name.ends_with(".part"))?;
        let pid = fs::read_to_string(bench.path(&format!("cache/lab/{folder}/running"))).ok()?;
        pid.trim().parse::<i32>().ok()
    });
    running.signal("INT");
    let done = running.wait();
    assert_eq!(done.code, Some(130), "{done:?}");
    until("npm to go", || (!alive(part)).then_some(()));
    assert_eq!(left(), [""; 0]);
    assert!(!bench.path("out").exists(), "nothing is made before Artillery is there");
}

/// Puts a program in Artillery's place, for Node.
fn stand_in(bench: &Bench, script: &str) -> PathBuf {
    let cache = bench.path("cache");
    let folder = install::folder().expect("HOME is set");
    let bin = cache.join("lab").join(folder.file_name().expect("a name"));
    let bin = bin.join("node_modules/artillery/bin");
    fs::create_dir_all(&bin).expect("made");
    // What every one of them needs.
    let begin = "const fs = require('node:fs');\n\
                 const fd = Number(process.env.LAB_RECORD_FD);\n\
                 const now = () => process.hrtime.bigint();\n\
                 const note = (text) => fs.writeSync(fd, text);\n\
                 const begin = () => note(`hello ${process.pid} 1.2.3 4.5.6\\nphase 0 ${now()}\\n`);\n";
    fs::write(bin.join("run"), format!("{begin}{script}")).expect("written");
    cache
}

#[test]
fn an_artillery_that_does_not_do_its_work_is_named_with_its_last_lines() {
    let _alone = alone();
    let lines = "for (let i = 1; i < 13; i++) console.error(`line ${i}`);";
    for (script, how) in [
        ("process.exit(5);", "ended before it began (exit code 5)"),
        ("begin(); process.exit(6);", "ended before its report (exit code 6)"),
        ("begin(); process.exit(0);", "ended before its report (exit code 0)"),
        ("begin(); note('b 0 12'); process.exit(0);", "wrote half a note (\"b 0 12\")"),
        ("note('hello'); process.exit(0);", "wrote half a note (\"hello\")"),
        ("begin(); note('bye\\n'); process.exit(1);", "ended before its report (exit code 1)"),
        ("begin(); process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 1000);", "139"),
    ] {
        let bench = Bench::new();
        bench.file("run.toml", &scenario(2));
        let cache = stand_in(&bench, &format!("{lines}\n{script}"));
        let mut command = lab(&bench, &cache, &["run", "run.toml", "--out", "out", "--quiet"]);
        let done = Done::new(command.output().expect("lab starts"));
        assert_eq!(done.code, Some(4), "{script}: {done:?}");
        assert!(done.stderr.contains(how), "{script}: {}", done.stderr);
        for part in ["line 12", "line 3\n", "--load builtin"] {
            assert!(done.stderr.contains(part), "{script}, {part}: {}", done.stderr);
        }
        assert!(!done.stderr.contains("line 2\n"), "the last ten: {}", done.stderr);
        let run = load(&bench.path("out"));
        assert_eq!(run.summary.verdict, "interrupted", "{script}");
    }
}

#[test]
fn an_artillery_that_makes_too_little_or_counts_otherwise_is_invalid() {
    let _alone = alone();
    // What it made, each answered at once, and what it says that it counted.
    let script = |made: u32, counted: u32| {
        format!(
            "begin();\n\
             const zero = now() + 1000000000n;\n\
             setTimeout(() => {{\n\
               note(`phase 1 ${{zero}}\\n`);\n\
               for (let i = 0; i < {made}; i++) {{\n\
                 const at = zero + BigInt(i) * 50000000n;\n\
                 note(`b ${{i}} ${{at}}\\ne ${{i}} ${{at}} ${{at + 9000000n}} 200 a-1 -\\n`);\n\
               }}\n\
               note(`over 1 ${{zero + 1000000000n}}\\n`);\n\
               note('total vusers.created {counted}\\ntotal vusers.completed {counted}\\n');\n\
               note('total http.codes.200 {counted}\\nbye\\n');\n\
             }}, 2100);\n"
        )
    };
    for (made, counted, reason) in [
        (20, 20, None),
        (19, 19, Some("made only 19 of the 20 planned requests")),
        (20, 21, Some("vusers.created is 21, and the record has 20")),
    ] {
        let bench = Bench::new();
        bench.file("run.toml", &scenario(1));
        let cache = stand_in(&bench, &script(made, counted));
        let mut command = lab(&bench, &cache, &["run", "run.toml", "--out", "out", "--quiet"]);
        let done = Done::new(command.output().expect("lab starts"));
        let run = load(&bench.path("out"));
        assert_eq!(run.summary.variants[0].counts.ok, u64::from(made), "{done:?}");
        let said = run.summary.reasons.join("; ");
        let code = if reason.is_some() { 13 } else { 0 };
        assert_eq!(done.code, Some(code), "{said}: {done:?}");
        assert!(said.contains(reason.unwrap_or_default()), "{said}");
    }
}
