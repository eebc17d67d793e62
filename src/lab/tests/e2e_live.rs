//! Scenarios on real processes and sockets, from the command line to the folder. Loads are small
//! and short; nothing is asserted about speed but what the scenario's own model fixes.

mod support;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::Run;
use support::{Bench, Running, alive, children, files, read, signal, summary, until};

/// Live runs want the machine for themselves: the tests of this file take turns.
static MACHINE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Four backends of 10 ms behind the lab's proxy; `tail` comes last and may add tables.
fn scenario(load: &str, tail: &str) -> String {
    format!(
        r#"name = "live"
question = "Does it work on real sockets?"

[proxy]
strategy = "least_request"

[proxy.health]
interval = "100ms"
timeout = "80ms"
fall = 2
rise = 1

[proxy.retry]
attempts = 3

[[backends]]
name = "a"
count = 4
concurrency = 64
service = {{ distribution = "constant", value = "10ms" }}

[load]
warmup = "500ms"
connections = 32
timeout = "3s"

[[load.phases]]
name = "steady"
{load}

{tail}
"#
    )
}

fn load(folder: &Path) -> Run {
    Run::load(folder).unwrap_or_else(|error| panic!("{error}"))
}

/// Starts a long run and waits until its proxy and its backends are up and loaded.
fn long_run(bench: &Bench) -> (Running, Vec<(i32, String)>) {
    bench.file("long.toml", &scenario("duration = \"60s\"\nrate = 50", ""));
    let running = bench.spawn(&["run", "long.toml", "--out", "out", "--quiet"]);
    let started = until("the children", || {
        let found = children(running.pid());
        let named = |word: &str| found.iter().any(|(_, line)| line.contains(word));
        (named(" proxy ") && named(" backends ")).then_some(found)
    });
    (running, started)
}

/// Waits until the run has begun to measure: the child processes take part in a load.
fn loaded(children: &[(i32, String)]) {
    let (proxy, _) = children.iter().find(|(_, line)| line.contains(" proxy ")).expect("a proxy");
    until("open connections to the proxy", || {
        let fds = std::fs::read_dir(format!("/proc/{proxy}/fd")).ok()?.count();
        (fds > 40).then_some(())
    });
}

#[test]
fn a_run_writes_everything_and_every_request_is_accounted_for() {
    let _alone = alone();
    let bench = Bench::new();
    bench.file(
        "run.toml",
        &scenario(
            "duration = \"3s\"\nrate = 200",
            "[[faults]]\nat = \"1s\"\nbackend = \"a-2\"\nkind = \"crash\"\nfor = \"1s\"\n\
         [[expect]]\nmetric = \"failed_ratio\"\nbelow = 0.2\n",
        ),
    );
    let done = bench.run(&["run", "run.toml", "--out", "out", "--quiet"]);
    assert!(matches!(done.code, Some(0 | 13)), "{done:?}");
    let folder = bench.path("out");
    for name in [
        "manifest.json",
        "summary.json",
        "summary.csv",
        "timeline.csv",
        "backends.csv",
        "events.csv",
        "resources.csv",
        "spectrum.csv",
        "latency.hlog",
        "report.html",
        "charts/spectrum.svg",
        "charts/spectrum.png",
    ] {
        assert!(folder.join(name).exists(), "{name} is missing");
    }
    assert!(files(&folder).iter().any(|(name, _)| name.starts_with("logs/")), "no logs");

    let run = load(&folder);
    let variant = &run.summary.variants[0];
    let c = variant.counts;
    assert_eq!(c.intended, c.ok + c.failed + c.rejected + c.dropped + c.unfinished);
    // Poisson with mean 600: 5 standard deviations are 122.
    assert!(c.intended.abs_diff(600) < 123, "{c:?}");
    assert_eq!(c.attempts, c.retries.map(|retries| c.sent + retries));
    assert!(variant.latency_ms.p50.expect("good requests") >= 10.0, "a service time is 10 ms");
    assert!(variant.resources.contains_key("proxy") && variant.resources.contains_key("backends"));
    let kinds: Vec<(&str, &str)> =
        run.events.iter().map(|event| (event.subject.as_str(), event.kind.as_str())).collect();
    for wanted in [("a-2", "crash"), ("a-2", "crash_end"), ("a-2", "down"), ("a-2", "ready")] {
        assert!(kinds.contains(&wanted), "{wanted:?} is not in {kinds:?}");
    }
    assert!(run.resources.iter().any(|row| row.process == "loopback"));
    let served: u64 = variant.backends.iter().map(|backend| backend.requests).sum();
    // Cut exactly at the end of the warm-up: what was intended after it arrives after it.
    assert!(served >= c.ok, "backends served {served} of {} good ones", c.ok);
}

#[test]
fn while_all_backends_hang_arrivals_go_on_and_latencies_fall_linearly() {
    let _alone = alone();
    let bench = Bench::new();
    // Without health checks nothing is taken out of service: the requests wait.
    let text = scenario(
        "duration = \"4s\"\nrate = 100",
        "[[faults]]\nat = \"1s\"\nbackend = \"a-*\"\nkind = \"hang\"\nfor = \"2s\"\n\
         [record]\nrequests = true\n",
    );
    let text = text.replace(
        "[proxy.health]\ninterval = \"100ms\"\ntimeout = \"80ms\"\nfall = 2\nrise = 1\n",
        "",
    );
    let text = text.replace("connections = 32", "connections = 400");
    bench.file("hang.toml", &text);
    let done = bench.run(&["run", "hang.toml", "--out", "out", "--quiet"]);
    assert!(matches!(done.code, Some(0 | 13)), "{done:?}");
    let counts = summary(&bench.path("out")).variants[0].counts;
    // The schedule is a function of the seed: the simulator without a fault has the same.
    let calm = text.split("[[faults]]").next().expect("the part before the faults");
    bench.file("calm.toml", calm);
    bench.run(&["run", "calm.toml", "--engine", "sim", "--out", "calm", "--quiet"]);
    let calm = summary(&bench.path("calm")).variants[0].counts;
    assert_eq!(counts.intended, calm.intended, "arrivals waited for answers");
    assert_eq!(counts.intended, counts.ok, "the hang is shorter than the timeout: {counts:?}");

    // A request of the hang waits until its end at 3 s: latency = 3 s - intended + 10 ms or so.
    let rows = read(&bench.path("out/requests.csv"));
    let mut reader = rows.lines();
    let header: Vec<&str> = reader.next().expect("a header").split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).expect("a column");
    let (intended, latency) = (column("intended_s"), column("latency_ms"));
    let mut inside = Vec::new();
    for row in reader {
        let cells: Vec<&str> = row.split(',').collect();
        let at: f64 = cells[intended].parse().expect("a number");
        let ms: f64 = cells[latency].parse().expect("a number");
        // The edges are left out: a request just before the hang may be caught by it.
        if (1.05..2.95).contains(&at) {
            let expected = (3.0 - at) * 1000.0;
            assert!(ms >= expected - 5.0, "{at} s took {ms} ms: it was answered during the hang");
            assert!(ms <= expected + 900.0, "{at} s took {ms} ms: the hang did not end for it");
            inside.push(ms);
        }
    }
    assert!(inside.len() > 120, "{} requests in the hang", inside.len());
    inside.sort_by(f64::total_cmp);
    let median = inside[inside.len() / 2];
    // Uniform between 0.05 and 1.95 s, 190 of them: the median's standard error is 70 ms.
    assert!((median - 1000.0).abs() < 350.0, "the median is {median} ms");
}

#[test]
fn a_stopped_generator_shows_in_dispatch_and_is_suspect() {
    let _alone = alone();
    let bench = Bench::new();
    // Quiet while it is stopped, busy afterwards: fewer than 1 % of the requests meet the stop, so
    // the p99 of dispatch, which would make the run invalid, is not touched.
    let busy = "[[load.phases]]\nname = \"busy\"\nduration = \"2s\"\nrate = 1000";
    let quiet = format!("duration = \"4s\"\nrate = 20\n\n{busy}");
    // Long service times make the limit on dispatch, 5 % of the latency's p99, a generous one.
    let text = scenario(&quiet, "").replace("value = \"10ms\"", "value = \"100ms\"");
    bench.file("stop.toml", &text.replace("connections = 32", "connections = 200"));
    let running = bench.spawn(&["run", "stop.toml", "--out", "out", "--quiet"]);
    let started = until("the children", || {
        let found = children(running.pid());
        found.iter().any(|(_, line)| line.contains(" proxy ")).then_some(found)
    });
    loaded(&started);
    // Into the quiet phase, wherever in it: the warm-up is half a second long.
    std::thread::sleep(Duration::from_millis(1500));
    running.signal("STOP");
    std::thread::sleep(Duration::from_millis(300));
    running.signal("CONT");
    let done = running.wait();
    let summary = summary(&bench.path("out"));
    let stalls = summary.reasons.iter().filter(|reason| reason.contains("kept from running"));
    assert!(stalls.count() > 0, "{:?}", summary.reasons);
    assert_eq!((summary.verdict.as_str(), done.code), ("suspect", Some(0)), "{summary:?}");
    let dispatch = summary.variants[0].dispatch_ms.max.expect("requests were sent");
    assert!(dispatch >= 150.0, "300 ms without the generator show as {dispatch} ms in dispatch");
}

#[test]
fn far_more_than_the_machine_can_do_is_invalid() {
    let _alone = alone();
    let bench = Bench::new();
    let text = scenario("duration = \"1s\"\nrate = 2000000", "");
    bench.file("much.toml", &text.replace("timeout = \"3s\"", "timeout = \"1s\""));
    let done = bench.run(&["run", "much.toml", "--out", "out", "--quiet"]);
    let summary = summary(&bench.path("out"));
    assert_eq!((done.code, summary.verdict.as_str()), (Some(13), "invalid"), "{done:?}");
    assert!(!summary.reasons.is_empty());
    let c = summary.variants[0].counts;
    assert_eq!(c.intended, c.ok + c.failed + c.rejected + c.dropped + c.unfinished);
}

#[test]
fn a_killed_lab_leaves_no_process_behind() {
    let _alone = alone();
    let bench = Bench::new();
    let (running, started) = long_run(&bench);
    loaded(&started);
    running.signal("KILL");
    running.wait();
    until("the children to go", || started.iter().all(|(pid, _)| !alive(*pid)).then_some(()));
}

#[test]
fn a_child_that_dies_ends_the_run_and_nothing_is_left() {
    let _alone = alone();
    let bench = Bench::new();
    let (running, started) = long_run(&bench);
    loaded(&started);
    let (proxy, _) = started.iter().find(|(_, line)| line.contains(" proxy ")).expect("a proxy");
    signal(*proxy, "KILL");
    let done = running.wait();
    assert_eq!(done.code, Some(4), "{done:?}");
    assert!(done.stderr.contains("proxy"), "{}", done.stderr);
    until("the children to go", || started.iter().all(|(pid, _)| !alive(*pid)).then_some(()));
    let run = load(&bench.path("out"));
    assert_eq!(run.summary.verdict, "interrupted", "what was measured is kept");
    assert!(run.summary.reasons[0].contains("proxy"), "{:?}", run.summary.reasons);
}

#[test]
fn an_interrupted_run_keeps_what_it_measured_and_says_so() {
    let _alone = alone();
    for (name, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let bench = Bench::new();
        let (running, started) = long_run(&bench);
        loaded(&started);
        std::thread::sleep(Duration::from_millis(1500));
        running.signal(name);
        let done = running.wait();
        assert_eq!(done.code, Some(code), "{done:?}");
        until("the children to go", || started.iter().all(|(pid, _)| !alive(*pid)).then_some(()));
        let run = load(&bench.path("out"));
        assert_eq!(run.summary.verdict, "interrupted");
        assert_eq!(run.summary.reasons[0], format!("stopped by SIG{name}"));
        let c = run.summary.variants[0].counts;
        assert!(c.ok > 10, "{c:?}");
        assert_eq!(c.intended, c.ok + c.failed + c.rejected + c.dropped + c.unfinished);
        assert!(bench.path("out/report.html").exists());
    }
}

#[test]
fn direct_is_the_load_without_a_proxy() {
    let _alone = alone();
    let bench = Bench::new();
    bench.file("run.toml", &scenario("duration = \"2s\"\nrate = 100", ""));
    let done = bench.run(&["run", "run.toml", "--proxy", "direct", "--out", "out", "--quiet"]);
    assert!(matches!(done.code, Some(0 | 13)), "{done:?}");
    let summary = summary(&bench.path("out"));
    let variant = &summary.variants[0];
    assert_eq!(variant.subject, "direct");
    assert!(!variant.resources.contains_key("proxy"));
    let requests: Vec<u64> = variant.backends.iter().map(|backend| backend.requests).collect();
    let spread = requests.iter().max().expect("four") - requests.iter().min().expect("four");
    assert!(spread <= 2, "round robin over the backends: {requests:?}");
}
