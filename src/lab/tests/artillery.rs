//! The first four scenarios, shortened, under both load generators: the built-in one and the real
//! Artillery, from the command line to the folder. What can go wrong stands in `artillery_fails`.
//!
//! Nothing is asserted about speed. That the two agree is one of truth: they send the same requests to
//! the same system, so they must count the same and see the same medians from the first byte sent. Only
//! a machine that something else disturbs meanwhile can part them, so a scenario may be played again.
//!
//! Node and npm must be there; where none that will do is on the PATH the tests bring one along below
//! target/, and where that cannot be done they fail and say so. Artillery is installed once, below
//! target/ too.

mod support;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use live::load::artillery::install;
use record::agreement::VariantAgreement;
use record::{Agreement, Run};
use support::artillery::{load, run};
use support::{Bench, files, read, root};

/// Live runs want the machine for themselves: the tests of this file take turns.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the committed scenarios, shortened.
fn shipped(name: &str, changes: &[&str]) -> Vec<String> {
    let file = root().join("scenarios").join(name);
    let mut words = vec!["run".to_owned(), file.display().to_string()];
    for change in changes.iter().chain(&["expect=[]", "load.warmup=1s"]) {
        words.extend(["--set".to_owned(), (*change).to_owned()]);
    }
    words.extend(["--out", "out", "--quiet"].map(str::to_owned));
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

/// How often a scenario may be played until the two agree.
const TRIES: u32 = 3;

/// Plays a scenario under both until they agree: `planned` requests in each variant and none that
/// failed, every time; and the rest of the verdict in one of [`TRIES`].
fn both_agree(bench: &Bench, args: &[String], variants: usize, planned: u64) -> Run {
    let mut said = String::new();
    for _ in 0..TRIES {
        let done = run(bench, &[&words(args)[..], &["--load", "both"]].concat());
        assert!(matches!(done.code, Some(0 | 12 | 13)), "{done:?}");
        assert!(done.stdout.contains("Load: Artillery"), "{}", done.stdout);
        let artillery = is_whole(&bench.path("out/artillery"), planned);
        let text = read(&bench.path("out/comparison.json"));
        let agreement: Agreement = serde_json::from_str(&text).expect("it has its shape");
        assert_eq!(agreement.variants.len(), variants);
        for VariantAgreement { name, builtin, artillery, .. } in &agreement.variants {
            assert_eq!((builtin.intended, artillery.intended), (planned, planned), "{name}");
            assert_eq!((builtin.ok, artillery.ok), (planned, planned), "{name}");
        }
        stand_beside_each_other(bench, &agreement);
        said = done.stdout;
        println!("{said}");
        if agreement.verdict == "agree" {
            assert_eq!(done.code, Some(0), "{said}");
            for of in &agreement.variants {
                let apart = of.service_p50_difference_ms.expect("all ended well");
                assert!(of.agrees && apart.abs() <= 2.0, "{of:?}");
            }
            return artillery;
        }
    }
    panic!("the generators did not agree in {TRIES} tries; the last one:\n{said}");
}

/// Each variant has a panel of both runs in every chart over time, and the page shows those charts.
fn stand_beside_each_other(bench: &Bench, agreement: &Agreement) {
    let page = read(&bench.path("out/report.html"));
    assert!(page.contains("generator's own ms"), "it says whose the rest is");
    let names = ["latency_over_time", "errors_over_time", "offered_achieved"];
    for chart in names {
        let drawn = read(&bench.path(&format!("out/charts/{chart}.svg")));
        for VariantAgreement { name, .. } in &agreement.variants {
            for heading in [format!("{name}: built-in"), format!("{name}: Artillery")] {
                assert!(drawn.contains(&heading), "{chart} has no panel of {heading}");
            }
        }
        assert!(page.contains(&format!("<figure id=\"{chart}\">")), "{chart} is not on the page");
    }
    let spectra = read(&bench.path("out/charts/both_spectra.svg"));
    assert!(spectra.contains("built-in") && spectra.contains("Artillery"), "both lines are named");
    let rows = read(&bench.path("out/comparison.csv"));
    assert_eq!(rows.lines().count(), agreement.variants.len() + 1, "{rows}");
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn the_two_agree_on_the_baseline_and_requests_are_equally_long() {
    let _alone = alone();
    let bench = Bench::new();
    let args = shipped(
        "baseline.toml",
        &["load.phases.steady.duration=2s", "load.phases.steady.rate=100", "record.requests=true"],
    );
    both_agree(&bench, &args, 2, 200);

    // The same request goes to the same backend under both, and takes what its luck says, up to what a
    // moment of the machine adds here and there.
    let [builtin, artillery] = ["builtin", "artillery"].map(|run| direct_requests(&bench, run));
    assert_eq!((builtin.len(), artillery.len()), (200, 200));
    let mut same = 0;
    for (ours, theirs) in builtin.iter().zip(&artillery) {
        assert_eq!(ours.0, theirs.0, "the same request, the same backend");
        same += usize::from((ours.1 - theirs.1).abs() < 5.0);
    }
    // With lucks of their own a quarter of them would be that close by chance: 5 ms are not much beside
    // a median of 20 ms and a p99 of 80 ms.
    assert!(same * 10 >= 200 * 6, "only {same} of 200 requests took about as long");

    // Drawn again from the two folders alone: the same bytes.
    let before = files(&bench.path("out"));
    let done = bench.run(&["report", "out"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(files(&bench.path("out")) == before, "drawing again changed something");
}

/// Of the variant without a proxy, in the order of the requests: its number and backend, and how long it
/// took from its first byte on, ms.
fn direct_requests(bench: &Bench, run: &str) -> Vec<(String, f64)> {
    let rows = Rows::read(&bench.path(&format!("out/{run}/requests.csv")));
    let direct = rows.cells.iter().filter(|row| rows.of(row, "variant") == "direct");
    direct
        .map(|row| {
            let ms = |name| rows.of(row, name).parse::<f64>().expect("a number");
            let name = format!("{} {}", rows.of(row, "request"), rows.of(row, "backend"));
            (name, ms("latency_ms") - ms("dispatch_ms"))
        })
        .collect()
}

/// requests.csv, by the names of its columns.
struct Rows {
    header: Vec<String>,
    cells: Vec<Vec<String>>,
}

impl Rows {
    fn read(path: &Path) -> Self {
        let text = read(path);
        let mut lines =
            text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let header = lines.next().expect("a header");
        Self { header, cells: lines.collect() }
    }

    fn of<'a>(&self, row: &'a [String], column: &str) -> &'a str {
        let place = self.header.iter().position(|name| name == column);
        &row[place.unwrap_or_else(|| panic!("no column {column} in {:?}", self.header))]
    }
}

#[test]
fn the_two_agree_on_a_burst_and_the_high_load_after_it() {
    let _alone = alone();
    let bench = Bench::new();
    let args = shipped(
        "burst.toml",
        &[
            "load.phases.steady.duration=1s",
            "load.phases.steady.rate=40",
            "load.phases.burst.duration=1500ms",
            "load.phases.burst.rate=120",
            "load.phases.high.duration=2s",
            "load.phases.high.rate=80",
            "load.phases.back.duration=1s",
            "load.phases.back.rate=40",
            "load.keys={ count = 10 }",
        ],
    );
    both_agree(&bench, &args, 1, 40 + 180 + 160 + 40);
}

#[test]
fn the_two_agree_on_failover_and_the_faults_fall_where_they_belong() {
    let _alone = alone();
    let bench = Bench::new();
    let args = shipped(
        "failover.toml",
        &[
            "proxy.strategy=least_request",
            "load.phases.steady.duration=7s",
            "load.phases.steady.rate=60",
            "faults.0.at=1s",
            "faults.0.for=2s",
            "faults.1.at=4s",
            "faults.1.for=2s",
            "record.requests=true",
        ],
    );
    let run = both_agree(&bench, &args, 1, 420);
    let kinds: Vec<(&str, &str)> =
        run.events.iter().map(|event| (event.subject.as_str(), event.kind.as_str())).collect();
    for wanted in [("a-2", "crash"), ("a-2", "crash_end"), ("a-2", "down"), ("a-3", "hang")] {
        assert!(kinds.contains(&wanted), "{wanted:?} is not in {kinds:?}");
    }
    // The clocks of Artillery and of the backends agree on when the warm-up ended: no answer comes
    // from a backend while it is gone, but for what was on its way.
    let rows = Rows::read(&bench.path("out/artillery/requests.csv"));
    let of = |name: &str, from: f64, to: f64| {
        let inside = rows.cells.iter().filter(|row| {
            let at: f64 = rows.of(row, "intended_s").parse().expect("a number");
            rows.of(row, "backend") == name && (from..to).contains(&at)
        });
        inside.count()
    };
    assert!(of("a-2", 0.0, 0.9) > 0, "before the crash");
    assert_eq!(of("a-2", 1.1, 2.9), 0, "while it is gone");
    assert!(of("a-1", 1.1, 2.9) > 0, "the others go on");
}

#[test]
fn the_two_agree_on_strategies() {
    let _alone = alone();
    let bench = Bench::new();
    let mut args = shipped(
        "strategies.toml",
        &["load.phases.near-capacity.duration=2s", "load.phases.near-capacity.rate=120"],
    );
    args.extend(["--vary", "proxy.strategy=round_robin,least_request"].map(str::to_owned));
    both_agree(&bench, &args, 2, 240);
}
