//! Scenarios loaded by the real Artillery, from the command line to the folder. Nothing is asserted about
//! speed; what can go wrong stands in `artillery_fails`.
//!
//! Node and npm must be there; where they are not they are installed from the distribution, and where
//! that cannot be done the tests fail and say so. Artillery is installed once, below target/.

mod support;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use live::load::artillery::install;
use record::{Agreement, Run};
use support::artillery::{load, run};
use support::{Bench, Done, files, read, root};

/// Live runs want the machine for themselves: the tests of this file take turns.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the committed scenarios, shortened.
fn shipped(name: &str, changes: &[&str], out: &str) -> Vec<String> {
    let file = root().join("scenarios").join(name);
    let mut words = vec!["run".to_owned(), file.display().to_string()];
    for change in changes.iter().chain(&["expect=[]", "load.warmup=2s"]) {
        words.extend(["--set".to_owned(), (*change).to_owned()]);
    }
    words.extend(["--out", out, "--quiet"].map(str::to_owned));
    words
}

/// What holds of every folder that Artillery filled, whatever the machine made of the figures.
fn is_whole(folder: &Path, planned: u64) -> Run {
    let run = load(folder);
    for variant in &run.summary.variants {
        let c = variant.counts;
        assert_eq!(variant.generator.as_deref(), Some("artillery"));
        assert_eq!(c.intended, planned, "{c:?}");
        assert_eq!(c.intended, c.ok + c.failed + c.rejected + c.dropped + c.unfinished, "{c:?}");
        assert_eq!(c.unfinished + c.dropped, 0, "{c:?}");
        for process in ["artillery", "backends", "lab"] {
            assert!(variant.resources.contains_key(process), "{:?}", variant.resources);
        }
        let timeline = run.timeline.iter().filter(|row| row.variant == variant.name);
        assert_eq!(timeline.map(|row| row.intended).sum::<u64>(), planned);
        // Cut at the end of the warm-up, which drifts by some milliseconds.
        let served: u64 = variant.backends.iter().map(|backend| backend.requests).sum();
        assert!(served + 5 >= c.ok, "backends served {served} of {} good ones", c.ok);
    }
    let said = run.summary.reasons.join("; ");
    assert!(!said.contains("disagree") && !said.contains("no end"), "{said}");
    assert!(["valid", "suspect", "invalid"].contains(&run.summary.verdict.as_str()), "{said}");
    assert_eq!(run.manifest["generator"], "artillery");
    assert_eq!(run.manifest["versions"]["artillery"], install::version());
    assert!(read(&folder.join("report.html")).contains("Artillery, 1 ms clock"));
    let spectrum = read(&folder.join("charts/spectrum.svg"));
    assert!(spectrum.contains("Artillery, 1 ms clock"), "the chart says whose clock it is");
    for name in ["timeline.csv", "backends.csv", "resources.csv", "latency.hlog"] {
        assert!(folder.join(name).exists(), "{name} is missing");
    }
    run
}

/// A run that came to its end, on whatever machine.
fn ended(done: &Done) {
    assert!(matches!(done.code, Some(0 | 13)), "{done:?}");
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn burst_is_played_by_artillery() {
    let _alone = alone();
    let bench = Bench::new();
    let args = shipped(
        "burst.toml",
        &[
            "load.phases.steady.duration=2s",
            "load.phases.steady.rate=40",
            "load.phases.burst.duration=1500ms",
            "load.phases.burst.rate=120",
            "load.phases.high.duration=2s",
            "load.phases.high.rate=60",
            "load.phases.high.to=100",
            "load.phases.back.duration=2s",
            "load.phases.back.rate=40",
            "load.keys={ count = 10 }",
        ],
        "out",
    );
    let done = run(&bench, &[&words(&args)[..], &["--load", "artillery"]].concat());
    ended(&done);
    assert!(done.stdout.contains("Load: Artillery"), "{}", done.stdout);
    is_whole(&bench.path("out"), 80 + 180 + 160 + 80);
}

#[test]
fn failover_is_played_by_artillery_and_the_faults_fall_where_they_belong() {
    let _alone = alone();
    let bench = Bench::new();
    let args = shipped(
        "failover.toml",
        &[
            "load.generator=artillery",
            "proxy.strategy=least_request",
            "load.phases.steady.duration=7s",
            "load.phases.steady.rate=60",
            "faults.0.at=1s",
            "faults.0.for=2s",
            "faults.1.at=4s",
            "faults.1.for=2s",
            "record.requests=true",
        ],
        "out",
    );
    let done = run(&bench, &words(&args));
    ended(&done);
    let run = is_whole(&bench.path("out"), 420);
    let kinds: Vec<(&str, &str)> =
        run.events.iter().map(|event| (event.subject.as_str(), event.kind.as_str())).collect();
    for wanted in [("a-2", "crash"), ("a-2", "crash_end"), ("a-2", "down"), ("a-3", "hang")] {
        assert!(kinds.contains(&wanted), "{wanted:?} is not in {kinds:?}");
    }
    // The clocks of Artillery and of the backends agree on when the warm-up ended: no answer comes
    // from a backend while it is gone, but for what was on its way.
    let rows = read(&bench.path("out/requests.csv"));
    let mut reader = rows.lines();
    let header: Vec<&str> = reader.next().expect("a header").split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).expect("a column");
    let (intended, backend) = (column("intended_s"), column("backend"));
    let cells: Vec<Vec<&str>> = reader.map(|row| row.split(',').collect()).collect();
    let of = |name: &str, from: f64, to: f64| {
        let inside = cells.iter().filter(|row| {
            let at: f64 = row[intended].parse().expect("a number");
            row[backend] == name && (from..to).contains(&at)
        });
        inside.count()
    };
    assert!(of("a-2", 0.0, 0.9) > 0, "before the crash");
    assert_eq!(of("a-2", 1.1, 2.9), 0, "while it is gone");
    assert!(of("a-1", 1.1, 2.9) > 0, "the others go on");
}

#[test]
fn strategies_are_played_by_artillery_and_requests_are_as_long_as_with_the_built_in_generator() {
    let _alone = alone();
    let bench = Bench::new();
    // Nothing in between and nobody waits: then it is the luck that decides how long.
    let wide = "service={ distribution = \"uniform\", min = \"10ms\", max = \"500ms\" }";
    let (fast, slow) = (format!("backends.fast.{wide}"), format!("backends.slow.{wide}"));
    let changes = [
        fast.as_str(),
        slow.as_str(),
        "backends.fast.concurrency=64",
        "backends.slow.concurrency=64",
        "proxy.strategy=p2c",
        "load.phases.near-capacity.duration=3s",
        "load.phases.near-capacity.rate=50",
        "load.arrivals=constant",
        "record.requests=true",
    ];
    let mut of = Vec::new();
    for generator in ["artillery", "builtin"] {
        let args = shipped("strategies.toml", &changes, generator);
        let more = ["--load", generator, "--proxy", "direct"];
        ended(&run(&bench, &[&words(&args)[..], &more].concat()));
        let rows = read(&bench.path(&format!("{generator}/requests.csv")));
        let lengths: Vec<(String, f64)> = rows
            .lines()
            .skip(1)
            .map(|row| {
                let cells: Vec<&str> = row.split(',').collect();
                let latency = cells[4].parse().expect("a latency");
                (format!("{} {}", cells[2], cells[cells.len() - 1]), latency)
            })
            .collect();
        of.push(lengths);
    }
    is_whole(&bench.path("artillery"), 150);
    assert_eq!(of[0].len(), of[1].len());
    // The same request goes to the same backend under both, and takes what its luck says. A machine
    // that is slow adds to it, some way or other.
    let (mut same, mut all) = (0, 0);
    for (artillery, builtin) in of[0].iter().zip(&of[1]) {
        assert_eq!(artillery.0, builtin.0, "the same request, the same backend");
        all += 1;
        same += usize::from((artillery.1 - builtin.1).abs() < 40.0);
    }
    // With lucks of their own two of ten are that close by chance: 15 % of all pairs.
    assert!(same * 10 >= all * 6, "only {same} of {all} requests took about as long");
}

#[test]
fn both_generators_are_compared_on_the_baseline() {
    let _alone = alone();
    let bench = Bench::new();
    let changes =
        ["proxy.kind=lab", "load.phases.steady.duration=3s", "load.phases.steady.rate=60"];
    let args = shipped("baseline.toml", &changes, "out");
    let done = run(&bench, &[&words(&args)[..], &["--load", "both"]].concat());
    // A busy machine may make a measurement invalid, or a median differ.
    assert!(matches!(done.code, Some(0 | 12 | 13)), "{done:?}");
    assert!(done.stdout.contains("Generators: "), "{}", done.stdout);
    is_whole(&bench.path("out/artillery"), 180);
    let text = read(&bench.path("out/comparison.json"));
    let agreement: Agreement = serde_json::from_str(&text).expect("it has its shape");
    assert_eq!(agreement.variants.len(), 1);
    for variant in &agreement.variants {
        assert_eq!((variant.builtin.intended, variant.artillery.intended), (180, 180));
        assert_eq!((variant.builtin.ok, variant.artillery.ok), (180, 180), "{variant:?}");
        let apart = variant.p50_difference_ms.expect("all ended well");
        assert_eq!(variant.agrees, apart.abs() <= 2.0, "{variant:?}");
    }
    let rows = read(&bench.path("out/comparison.csv"));
    assert_eq!(rows.lines().count(), 2, "{rows}");
    let chart = read(&bench.path("out/charts/both_spectra.svg"));
    assert!(chart.contains("built-in") && chart.contains("Artillery"), "both lines are named");

    // Drawn again from the two folders alone: the same bytes.
    let before = files(&bench.path("out"));
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(files(&bench.path("out")) == before, "drawing again changed something");
}
