//! `lab calibrate`: what a request takes on this machine beyond its service time, measured with the
//! real programs and kept for simulations. It must not know what a simulation makes of it.

use std::time::Duration;

use base::{Outcome, Stop, Time};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, LineStyle, Table as Lines};
use policy::Registry;
use record::calibration::{CalibrationLoad, Table, Tables};
use record::{Calibration, Exchange, TrialRecord, Verdict};
use scenario::{Overrides, Scenario};

use crate::about::maker;
use crate::cli::CalibrateArgs;
use crate::commands::{calibration, play};
use crate::exit::{Exit, Failure};
use crate::host;
use crate::progress::Display;
use crate::say::{say, tell};
use crate::signals;
use crate::stamp::Stamp;

/// What each request takes at its backend; long enough for a proxy and its machine to go to sleep in
/// between, as they do under the loads of most scenarios.
const SERVICE: Duration = Duration::from_millis(10);
/// Requests a second: what scenarios for one machine ask for, and far below what its proxy can do.
const RATE: f64 = 250.0;
/// Left out of the figures, as in any run.
const WARMUP: Duration = Duration::from_millis(500);
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
    let stop = signals::install()?;
    let measured = measure(&scenario, args.quiet, &stop)?;
    if let Some(signal) = stop.reason() {
        tell!("{}: not written, the measurement was not brought to its end", out.display());
        return Ok(Exit::Interrupted(signal));
    }
    if let Some(way) = measured.left_out.iter().position(|rounds| 2 * rounds > args.rounds) {
        measured.reasons.iter().for_each(|reason| tell!("{reason}"));
        tell!(
            "{}: not written, {} of {} rounds of \"{}\" are invalid; try again when the machine is quiet",
            out.display(),
            measured.left_out[way],
            args.rounds,
            WAYS[way]
        );
        return Ok(Exit::MeasurementInvalid);
    }
    let load = CalibrationLoad {
        rate: RATE,
        service_ms: SERVICE.as_secs_f64() * 1e3,
        rounds: args.rounds,
        seconds: args.seconds,
    };
    let reasons = measured.reasons.clone();
    let tables = tables(measured)?;
    let host = host::describe();
    let found = Calibration::new(maker(), host, Stamp::now().rfc3339(), reasons, load, tables);
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

/// What all trials have found together. One whose measurement is invalid is left out: the generator was
/// kept from its work, and what it saw is of that.
#[derive(Default)]
struct Measured {
    /// Rounds of each of the [`WAYS`].
    left_out: [u32; WAYS.len()],
    reasons: Vec<String>,
    /// Nanoseconds beyond the service time, for each of the [`WAYS`].
    samples: [Vec<u64>; WAYS.len()],
    /// Of those without a proxy, from their first byte on.
    backend: Vec<u64>,
    failed: u64,
    intended: u64,
}

fn measure(scenario: &Scenario, quiet: bool, stop: &Stop) -> Result<Measured, Failure> {
    // What children print is of interest only if one dies, and then its last lines are told.
    let logs = tempfile::tempdir().map_err(Failure::unwritten)?;
    let trials: Vec<_> = scenario.trials().into_iter().enumerate().collect();
    let display = Display::start(scenario, &trials, quiet);
    let mut measured = Measured::default();
    let mut keep = |number: usize, record: TrialRecord| {
        measured.add(number % WAYS.len(), &record);
        Ok(())
    };
    let played = play::live(&trials, None, logs.path(), &mut keep, &display, stop);
    display.finish();
    played.map(|()| measured)
}

impl Measured {
    fn add(&mut self, way: usize, record: &TrialRecord) {
        let (verdict, reasons) = record.verdict();
        let invalid = verdict >= Verdict::Invalid;
        let (name, round) = (WAYS[way], record.plan().round);
        let out = if invalid { ", left out" } else { "" };
        let reasons = reasons.into_iter().map(|why| format!("{name}, round {round}{out}: {why}"));
        self.reasons.extend(reasons);
        if invalid {
            self.left_out[way] += 1;
            return;
        }
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
    let mut lines = Lines::new();
    let rule = LineStyle::none().fill('─').junction('─');
    lines.load_style(NOTHING.header_separator(rule).bottom_border(rule));
    lines.set_header([
        "beyond the service time",
        "requests",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "mean ms",
    ]);
    let Tables { direct, backend, kept, fresh } = &found.tables;
    for (way, table) in [
        ("without a proxy", direct),
        ("of it from the first byte on", backend),
        ("through the proxy", kept),
        ("over a new connection", fresh),
    ] {
        let figures = [table.ms(0.5), table.ms(0.9), table.ms(0.99), table.mean_ns as f64 / 1e6];
        let figures = figures.map(|ms| format!("{ms:.3}"));
        let cells = [way.to_owned(), table.samples.to_string()];
        lines.add_row(cells.into_iter().chain(figures));
    }
    for column in lines.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let reasons: String = found.reasons.iter().map(|reason| format!("  {reason}\n")).collect();
    format!("{lines}\nMeasurement: {}\n{reasons}", found.verdict)
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
}
