//! `lab calibrate`: what a request takes on this machine beyond its service time, measured with the
//! real programs and kept for simulations. It must not know what a simulation makes of it.

use std::time::{Duration, Instant};

use base::{Outcome, Stop, Time};
use live::load::limits::Limits;
use policy::Registry;
use record::calibration::{CalibrationLoad, Table, Tables};
use record::{Calibration, Exchange, TrialRecord, Verdict};
use scenario::{Overrides, Scenario};

use crate::about::build;
use crate::cli::CalibrateArgs;
use crate::commands::{calibration, play};
use crate::exit::{Exit, Failure};
use crate::host;
use crate::progress::Display;
use crate::say::{say, tell};
use crate::signals;
use crate::stamp::Stamp;
use crate::table::ruled;

/// What each request takes at its backend; long enough for a proxy and its machine to go to sleep in
/// between, as they do under the loads of most scenarios.
const SERVICE: Duration = Duration::from_millis(10);
/// Requests a second: what scenarios for one machine ask for, and far below what its proxy can do.
const RATE: f64 = 250.0;
/// Left out of the figures, as in any run.
const WARMUP: Duration = Duration::from_millis(500);
/// So many times the rounds that are wanted are played in place of invalid ones, and so many times as
/// long is gone on: a machine on which three of four rounds are disturbed is no place to measure.
const MOST_AGAIN: u32 = 3;
/// Of those that are told when it comes to nothing, the last so many.
const MOST_REASONS: usize = 6;
/// A table of less says nothing about its tail.
const LEAST_SAMPLES: u64 = 50;
/// More failures than this and something else was measured.
const MOST_FAILED: f64 = 0.01;

/// What is measured, in the order of the variants.
const WAYS: [&str; 3] = [DIRECT, "lab", "lab, new connections"];
const DIRECT: &str = "direct";

/// Measures, shows and keeps.
pub(crate) fn calibrate(args: &CalibrateArgs) -> Result<Exit, Failure> {
    let out = args.out.clone().map_or_else(calibration::default_path, Ok)?;
    // Before half a minute is spent.
    Calibration::check_place(&out).map_err(Failure::unwritten)?;
    let scenario = scenario(args)?;
    room(&scenario)?;
    let stop = signals::install()?;
    let measured = measure(&scenario, args.quiet, &stop)?;
    if let Some(signal) = stop.reason() {
        tell!("{}: not written, the measurement was not brought to its end", out.display());
        return Ok(Exit::Interrupted(signal));
    }
    let [rounds, left_out] = measured.used_and_left_out();
    if let Some(way) = measured.used.iter().position(|used| 2 * used < args.rounds) {
        let hidden = measured.left_out.len().saturating_sub(MOST_REASONS);
        measured.left_out.iter().skip(hidden).for_each(|reason| tell!("{reason}"));
        tell!(
            "{}: not written, {} of {} rounds of \"{}\" are valid, and half of {} are needed; try again \
             when the machine is quiet",
            out.display(),
            measured.used[way],
            measured.played[way],
            WAYS[way],
            args.rounds
        );
        return Ok(Exit::MeasurementInvalid);
    }
    let load = CalibrationLoad {
        rate: RATE,
        service_ms: SERVICE.as_secs_f64() * 1e3,
        rounds,
        left_out,
        seconds: args.seconds,
    };
    let reasons = measured.reasons.clone();
    let tables = tables(measured)?;
    let host = host::describe();
    let found = Calibration::new(build(), host, Stamp::now().rfc3339(), reasons, load, tables);
    found.write(&out).map_err(Failure::unwritten)?;
    say!("{}", render(&found).trim_end());
    say!("Calibration: {}", out.display());
    Ok(Exit::Good)
}

/// Direct, through the proxy, and through the proxy with so many backends that each meets one request:
/// then each request needs a connection that is not there yet.
fn scenario(args: &CalibrateArgs) -> Result<Scenario, Failure> {
    let expected = RATE * (WARMUP.as_secs_f64() + args.seconds);
    // Arrivals are at random: six standard deviations more than are expected.
    let strangers = (expected + 6.0 * expected.sqrt()).ceil() as u32;
    let mut scenario = parse(&text(args, 4, r#"["direct", "lab"]"#))?;
    scenario.variants.extend(parse(&text(args, strangers, r#"["lab"]"#))?.variants);
    for (variant, way) in scenario.variants.iter_mut().zip(WAYS) {
        way.clone_into(&mut variant.name);
    }
    Ok(scenario)
}

fn text(args: &CalibrateArgs, backends: u32, kinds: &str) -> String {
    let [service, warmup] = [SERVICE, WARMUP].map(|time| time.as_millis());
    let (rounds, seconds) = (args.rounds, args.seconds);
    format!(
        r#"name = "calibration"
question = "What does a request take on this machine beyond its service time?"
rounds = {rounds}
# Read off at its beginning and end alone: to read off hundreds of backends takes them milliseconds.
window = "{seconds}s"

[proxy]
strategy = "round_robin"

[[backends]]
name = "a"
count = {backends}
service = {{ distribution = "constant", value = "{service}ms" }}

[load]
warmup = "{warmup}ms"
connections = 64

[[load.phases]]
name = "steady"
duration = "{seconds}s"
rate = {RATE}

[record]
requests = true

[vary]
"proxy.kind" = {kinds}
"#
    )
}

fn parse(text: &str) -> Result<Scenario, Failure> {
    let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let (overrides, registry) = (Overrides::default(), Registry::standard());
    scenario::parse("calibration", text, &overrides, &registry, &none)
        .map_err(|problems| Failure { exit: Exit::Internal, ..Failure::problems(&problems) })
}

/// Whether the descriptors suffice, of the process that needs most: of so many backends each has a
/// listener, and a connection when it has met its request.
fn room(scenario: &Scenario) -> Result<(), Failure> {
    let unreadable =
        |error| Failure::environment(format!("the limits of this machine cannot be read: {error}"));
    let limits = Limits::raise_and_read().map_err(unreadable)?;
    let most = scenario.variants.iter().map(|variant| variant.backends.len() as u64).max();
    let most = most.unwrap_or(0);
    match limits.descriptors_short_of(2 * most) {
        None => Ok(()),
        Some(short) => Err(Failure::environment(format!(
            "new connections are measured with a backend for each request: {most} of them, each with a \
             listener and a connection, need {short}; raise it with `ulimit -Hn` (root may, and \
             /etc/security/limits.conf for a user), and measure again"
        ))),
    }
}

/// What all trials have found together. One whose measurement is invalid is left out: the generator was
/// kept from its work, and what it saw is of that.
#[derive(Default)]
struct Measured {
    /// Rounds of each of the [`WAYS`] …
    played: [u32; WAYS.len()],
    /// … and those of them that are not left out.
    used: [u32; WAYS.len()],
    /// Why others were.
    left_out: Vec<String>,
    /// What is to be said of those that are used.
    reasons: Vec<String>,
    /// Nanoseconds beyond the service time, for each of the [`WAYS`].
    samples: [Vec<u64>; WAYS.len()],
    /// Of those without a proxy, from their first byte on.
    backend: Vec<u64>,
    failed: u64,
    intended: u64,
}

/// Plays the rounds that were asked for, and then more of the ways that lack valid ones, until none
/// does or the bounds are reached.
fn measure(scenario: &Scenario, quiet: bool, stop: &Stop) -> Result<Measured, Failure> {
    let mut measured = Measured::default();
    let began = Instant::now();
    measured.play(scenario, 0, scenario.rounds, quiet, stop)?;
    let longest = began.elapsed() * (1 + MOST_AGAIN);
    let most = scenario.rounds * (1 + MOST_AGAIN);
    for round in scenario.rounds + 1..=most {
        let lacking = measured.lacking(scenario.rounds);
        if lacking.is_empty() || stop.is_raised() || began.elapsed() > longest {
            break;
        }
        if !quiet {
            tell!(
                "Rounds that are invalid are left out, and others played: {} (round {round} of at most \
                 {most}, within {:.0} s in all)",
                lacking.join("; "),
                longest.as_secs_f64()
            );
        }
        let more = Scenario { rounds: round, ..scenario.clone() };
        measured.play(&more, round - 1, scenario.rounds, quiet, stop)?;
    }
    if let Some(lacks) = measured.lacking(scenario.rounds).first() {
        measured.reasons.push(format!("after as many rounds as there may be, {lacks}"));
    }
    Ok(measured)
}

impl Measured {
    /// Plays the rounds of a scenario after the first `behind`, of the ways that have not `wanted` valid
    /// ones yet.
    fn play(
        &mut self,
        scenario: &Scenario,
        behind: u32,
        wanted: u32,
        quiet: bool,
        stop: &Stop,
    ) -> Result<(), Failure> {
        // What children print is of interest only if one dies, and then its last lines are told.
        let logs = tempfile::tempdir().map_err(Failure::unwritten)?;
        let trials = scenario.trials().into_iter().enumerate();
        let trials: Vec<_> = trials
            .filter(|(number, trial)| {
                trial.round > behind && self.used[number % WAYS.len()] < wanted
            })
            .collect();
        let display = Display::start(scenario, &trials, quiet);
        let mut keep = |number: usize, record: TrialRecord| {
            self.add(number % WAYS.len(), &record);
            Ok(())
        };
        let played = play::live(&trials, None, logs.path(), &mut keep, &display, stop);
        display.finish();
        played
    }

    /// The ways that have fewer valid rounds than are wanted, in words.
    fn lacking(&self, wanted: u32) -> Vec<String> {
        let ways = WAYS.iter().zip(self.used).filter(|(_, used)| *used < wanted);
        ways.map(|(way, used)| format!("\"{way}\" has {used} of {wanted} valid")).collect()
    }

    /// How often each way was measured at least, and how many rounds of all are left out.
    fn used_and_left_out(&self) -> [u32; 2] {
        let used = self.used.iter().min().copied().unwrap_or(0);
        [used, self.played.iter().sum::<u32>() - self.used.iter().sum::<u32>()]
    }

    fn add(&mut self, way: usize, record: &TrialRecord) {
        let (verdict, reasons) = record.verdict();
        let invalid = verdict >= Verdict::Invalid;
        let (name, round) = (WAYS[way], record.plan().round);
        let out = if invalid { ", left out" } else { "" };
        let reasons = reasons.into_iter().map(|why| format!("{name}, round {round}{out}: {why}"));
        self.played[way] += 1;
        if invalid {
            self.left_out.extend(reasons);
            return;
        }
        self.used[way] += 1;
        self.reasons.extend(reasons);
        let counts = record.counts();
        self.intended += counts.intended;
        self.failed += counts.intended - counts.ok;
        let beyond = |request: &Exchange, from: Time| {
            request.ended.since(from).saturating_sub(SERVICE).as_nanos() as u64
        };
        for request in record.requests().iter().filter(|of| of.outcome == Outcome::Ok) {
            self.samples[way].push(beyond(request, request.intended));
            if WAYS[way] == DIRECT {
                self.backend.extend(request.sent.map(|sent| beyond(request, sent)));
            }
        }
    }
}

fn tables(measured: Measured) -> Result<Tables, Failure> {
    let Measured { samples, backend, failed, intended, .. } = measured;
    if failed as f64 > MOST_FAILED * intended as f64 {
        return Err(Failure::environment(format!(
            "{failed} of {intended} requests failed, so this is no measurement of what good ones take; \
             `lab doctor` tells what the machine lacks"
        )));
    }
    let table = |samples| Table::of(samples).filter(|of| of.samples >= LEAST_SAMPLES);
    let [direct, kept, fresh] = samples.map(table);
    match (direct, table(backend), kept, fresh) {
        (Some(direct), Some(backend), Some(kept), Some(fresh)) => {
            Ok(Tables { direct, backend, kept, fresh })
        }
        _ => Err(Failure::environment(format!(
            "fewer than {LEAST_SAMPLES} good requests went one of the ways; measure longer, with more \
             --rounds"
        ))),
    }
}

fn render(found: &Calibration) -> String {
    let Tables { direct, backend, kept, fresh } = &found.tables;
    let ways = [
        ("without a proxy", direct),
        ("of it from the first byte on", backend),
        ("through the proxy", kept),
        ("over a new connection", fresh),
    ];
    let rows = ways.into_iter().map(|(way, table)| {
        let figures = [table.ms(0.5), table.ms(0.9), table.ms(0.99), table.mean_ns as f64 / 1e6];
        let figures = figures.map(|ms| format!("{ms:.3}"));
        [way.to_owned(), table.samples.to_string()].into_iter().chain(figures).collect()
    });
    let header = ["beyond the service time", "requests", "p50 ms", "p90 ms", "p99 ms", "mean ms"];
    let lines = ruled(&header, rows, 1..);
    let reasons: String = found.reasons.iter().map(|reason| format!("  {reason}\n")).collect();
    let left_out = match found.load.left_out {
        0 => String::new(),
        rounds => format!(" ({rounds} invalid rounds left out)"),
    };
    format!("{lines}\nMeasurement: {}{left_out}\n{reasons}", found.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_take_turns_and_no_backend_of_the_last_meets_two_requests() {
        let args = CalibrateArgs { out: None, rounds: 2, quiet: true, seconds: 0.4 };
        let trials = scenario(&args).expect("it is valid").trials();
        let names: Vec<&str> = trials.iter().map(|trial| trial.variant.name.as_str()).collect();
        assert_eq!(names, [WAYS, WAYS].concat());
        let last = &trials[2].variant;
        let rng = base::Rng::from_seed(trials[2].seed);
        let requests = last.load.shape.arrivals(&rng).count();
        assert!(requests > 150 && requests <= last.backends.len(), "{requests}");
        assert!(trials.iter().all(|trial| trial.keep_requests && trial.variant.faults.is_empty()));
    }

    #[test]
    fn invalid_rounds_are_counted_apart_and_more_are_asked_for() {
        let args = CalibrateArgs { out: None, rounds: 4, quiet: true, seconds: 0.4 };
        let trials = scenario(&args).expect("it is valid").trials();
        let mut measured = Measured::default();
        // Of two ways one round each is disturbed.
        for (number, trial) in trials.iter().enumerate().take(6) {
            let mut recorder = record::Recorder::new(trial.live_plan());
            let at = base::Time::ZERO + trial.variant.load.shape.warmup;
            recorder.begin(at);
            recorder.end(&record::Exchange {
                request: 0,
                intended: at,
                sent: Some(at),
                ended: at,
                outcome: base::Outcome::Ok,
                status: Some(200),
                backend: Some(0),
            });
            let shortages = [1, 5].contains(&number).then(|| "no room".to_owned());
            let shortages = shortages.into_iter().collect();
            recorder.harness(record::Harness { shortages, ..record::Harness::default() });
            measured.add(number % WAYS.len(), &recorder.finish());
        }
        assert_eq!((measured.played, measured.used), ([2; 3], [2, 1, 1]));
        assert_eq!(measured.used_and_left_out(), [1, 2]);
        let lacking = ["\"lab\" has 1 of 2 valid", "\"lab, new connections\" has 1 of 2 valid"];
        assert_eq!(measured.lacking(2), lacking);
        assert!(measured.lacking(1).is_empty());
        assert_eq!(measured.reasons, Vec::<String>::new());
        assert_eq!(measured.left_out[0], "lab, round 1, left out: no room");
    }
}
