//! `lab run`: plays scenarios, keeps what happened, judges and draws it. It must not know how an
//! engine plays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base::Stop;
use record::{About, Calibration, PairFolder, RunWriter};
use scenario::{Engine, Overrides, Scenario, Trial};

use crate::about;
use crate::cli::{EngineArg, RunArgs, Shown};
use crate::commands::conclude::{conclude, judge, why};
use crate::commands::memory::{self, Room};
use crate::commands::{both, calibration, hire, load, overrides, play};
use crate::exit::{Exit, Failure};
use crate::progress::Display;
use crate::say::tell;
use crate::signals;
use crate::stamp::fresh;

/// Plays every file of `args`; the worst end wins.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let overrides = overrides::overrides(&args.changes)?;
    let (scenarios, also_simulated) = match args.changes.engine {
        Some(EngineArg::Both) => load_both(args, &overrides)?,
        _ => (load::scenarios(&args.files, &overrides)?, Vec::new()),
    };
    let mut told = BTreeSet::new();
    for note in scenarios.iter().chain(&also_simulated).flat_map(|scenario| &scenario.notes) {
        if told.insert(note) {
            tell!("{note}");
        }
    }
    let folders = folders(args, &scenarios)?;
    let both = !also_simulated.is_empty();
    let simulates = both || scenarios.iter().any(|scenario| scenario.engine == Engine::Sim);
    let calibration = calibration::of_run(args.calibration.as_deref(), both, simulates)?;
    let calibration = calibration.as_ref();
    if let Some(added) = calibration {
        tell!("In the simulation {}.", added.sentence());
    }
    let stop = signals::install()?;
    let mut worst = Exit::Good;
    for (index, (scenario, folder)) in scenarios.iter().zip(folders).enumerate() {
        let exit = match also_simulated.get(index) {
            Some(sim) => run_both(args, scenario, sim, &folder, calibration, &stop),
            None => run_one(args, scenario, &folder, calibration, &stop, Some(&args.shown)),
        };
        let exit = exit.unwrap_or_else(Failure::report);
        worst = worst.worst(exit);
        if stop.is_raised() {
            break;
        }
    }
    Ok(worst)
}

/// One run folder per scenario.
fn folders(args: &RunArgs, scenarios: &[Scenario]) -> Result<Vec<PathBuf>, Failure> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for scenario in scenarios {
        let folder = match &args.out {
            Some(out) if scenarios.len() == 1 => out.clone(),
            Some(out) => out.join(&scenario.name),
            None => fresh(&Path::new("reports").join(&scenario.name)),
        };
        if folders.contains(&folder) {
            return Err(Failure::invalid(format!(
                "{}: two of the scenarios are named \"{}\" and would share this folder; rename one",
                folder.display(),
                scenario.name
            )));
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// Every scenario for both engines, or what is wrong with it for either.
fn load_both(
    args: &RunArgs,
    overrides: &Overrides,
) -> Result<(Vec<Scenario>, Vec<Scenario>), Failure> {
    let of = |engine: &str| {
        let overrides = Overrides { engine: Some(engine.to_owned()), ..overrides.clone() };
        load::scenarios(&args.files, &overrides)
    };
    match (of("live"), of("sim")) {
        (Ok(live), Ok(sim)) => Ok((live, sim)),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Err(mut failure), Err(other)) => {
            let more = other.lines.into_iter().filter(|line| !failure.lines.contains(line));
            let more: Vec<String> = more.collect();
            failure.lines.extend(more);
            Err(failure)
        }
    }
}

/// A scenario live and then simulated, each in its folder as if played alone, and the comparison.
/// A simulation that is poor is a result, and no failure of the command.
fn run_both(
    args: &RunArgs,
    live: &Scenario,
    sim: &Scenario,
    folder: &Path,
    calibration: Option<&Calibration>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let about = About { engine: "both".to_owned(), ..about(args, live) };
    // Before the live run, which takes minutes.
    room(args, sim, &numbered(sim))?;
    let pair = PairFolder::create(folder).map_err(Failure::unwritten)?;
    let shown = (!args.shown.json).then_some(&Shown { json: false, open: false });
    let mut worst = Exit::Good;
    for (scenario, folder) in [(live, pair.live()), (sim, pair.sim())] {
        let exit = run_one(args, scenario, &folder, calibration, stop, shown)
            .unwrap_or_else(Failure::report);
        worst = worst.worst(exit);
        // A run that did not come to its end leaves nothing to compare with.
        let ended = matches!(exit, Exit::Good | Exit::ExpectationFailed | Exit::MeasurementInvalid);
        if !ended {
            tell!("{}: there is no comparison; what was played is kept", pair.folder().display());
            return Ok(worst);
        }
    }
    both::conclude(&pair, &about, &args.shown)?;
    Ok(worst)
}

fn run_one(
    args: &RunArgs,
    scenario: &Scenario,
    folder: &Path,
    calibration: Option<&Calibration>,
    stop: &Stop,
    shown: Option<&Shown>,
) -> Result<Exit, Failure> {
    let calibration = calibration.filter(|_| scenario.engine == Engine::Sim);
    let overhead = calibration.map(Calibration::overhead).transpose().map_err(Failure::invalid)?;
    let about = About { calibration: calibration.cloned(), ..about(args, scenario) };
    let trials = numbered(scenario);
    // Before anything is created.
    let room = room(args, scenario, &trials)?;
    let artillery = hire::artillery(scenario, &trials, args.pace.quiet, stop)?;
    if let Some(reason) = stop.reason() {
        return Ok(Exit::Interrupted(reason));
    }
    let mut writer = RunWriter::create(folder).map_err(Failure::unwritten)?;
    let display = Display::start(scenario, &trials, args.pace.quiet);
    let logs = folder.join("logs");
    let mut keep = |_, record| writer.trial(record).map_err(Failure::unwritten);
    let played = match room {
        None => play::live(&trials, artillery.as_ref(), &logs, &mut keep, &display, stop),
        Some(room) => play::simulated(&trials, room, overhead.as_ref(), &mut keep, &display, stop),
    };
    display.finish();
    // What was measured before a failure is kept, judged and drawn like any other run; why it
    // failed is told before anything else can fail.
    let cut_short = why(played.as_ref().err(), stop);
    let failed = played.err().map(Failure::report);
    let cut_short = cut_short.as_deref();
    let summary = conclude(writer, &about, &scenario.expectations, cut_short, shown)?;
    let judged = stop.reason().map_or_else(|| judge(&summary), Exit::Interrupted);
    Ok(failed.unwrap_or(Exit::Good).worst(judged))
}

/// What simulated trials may take; none for live ones.
fn room(
    args: &RunArgs,
    scenario: &Scenario,
    trials: &[(usize, Trial)],
) -> Result<Option<Room>, Failure> {
    match scenario.engine {
        Engine::Live => Ok(None),
        Engine::Sim => memory::room(&scenario.file, trials, args.pace.jobs).map(Some),
    }
}

/// All trials with their numbers, in the order of play.
fn numbered(scenario: &Scenario) -> Vec<(usize, Trial)> {
    scenario.trials().into_iter().enumerate().collect()
}

fn about(args: &RunArgs, scenario: &Scenario) -> About {
    About {
        scenario: scenario.name.clone(),
        question: scenario.question.clone(),
        notes: scenario.overloads(),
        scenario_text: scenario.text.clone(),
        engine: scenario.engine.word().to_owned(),
        generator: hire::generators(scenario),
        seed: scenario.seed,
        overrides: overrides::as_given(&args.changes),
        ..about::here()
    }
}
