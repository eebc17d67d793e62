//! `lab run`: plays scenarios, keeps what happened, judges and draws it. It must not know how an
//! engine plays.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base::Stop;
use record::{About, Calibration, PairFolder, Pairing, RunWriter};
use scenario::{Engine, Scenario, Trial};

use crate::about;
use crate::cli::{Changes, EngineArg, RunArgs, Shown};
use crate::commands::conclude::{conclude, judge, why};
use crate::commands::memory::{self, Room};
use crate::commands::{agree, both, calibration, hire, load, overrides, play};
use crate::exit::{Exit, Failure};
use crate::progress::Display;
use crate::say::tell;
use crate::signals;
use crate::stamp::fresh;

/// Plays every file of `args`; the worst end wins.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let pairing = pairing(&args.changes)?;
    let (scenarios, seconds) = match pairing {
        Some(pairing) => load_pairs(args, pairing)?,
        None => (load::scenarios(&args.files, &overrides::overrides(&args.changes)?)?, Vec::new()),
    };
    let mut told = BTreeSet::new();
    for note in scenarios.iter().chain(&seconds).flat_map(|scenario| &scenario.notes) {
        if told.insert(note) {
            tell!("{note}");
        }
    }
    let folders = folders(args, &scenarios)?;
    let both = pairing == Some(Pairing::Engines);
    let simulates = both || scenarios.iter().any(|scenario| scenario.engine == Engine::Sim);
    let calibration = calibration::of_run(args.calibration.as_deref(), both, simulates)?;
    let calibration = calibration.as_ref();
    if let Some(added) = calibration {
        calibration::tell_of(added, scenarios.iter().chain(&seconds));
    }
    let stop = signals::install()?;
    let mut worst = Exit::Good;
    for (index, (scenario, folder)) in scenarios.iter().zip(folders).enumerate() {
        let exit = match (pairing, seconds.get(index)) {
            (Some(pairing), Some(second)) => {
                run_pair(args, pairing, [scenario, second], &folder, calibration, &stop)
            }
            _ => run_one(args, scenario, &folder, calibration, &stop, Some(&args.shown)),
        };
        let exit = exit.unwrap_or_else(Failure::report);
        worst = worst.worst(exit);
        if stop.is_raised() {
            break;
        }
    }
    Ok(worst)
}

/// Whether every scenario is to be played twice, and what the two runs differ by.
fn pairing(changes: &Changes) -> Result<Option<Pairing>, Failure> {
    let generators = changes.load.as_deref() == Some("both");
    match (changes.engine, generators) {
        (Some(EngineArg::Both), true) => Err(Failure::usage(
            "--engine both and --load both: write one of them, for one comparison at a time",
        )),
        (Some(EngineArg::Sim), true) => Err(Failure::usage(
            "--load both: generators send real requests, and none are sent with --engine sim; \
             write one of the two",
        )),
        (Some(EngineArg::Both), false) => Ok(Some(Pairing::Engines)),
        (_, true) => Ok(Some(Pairing::Generators)),
        _ => Ok(None),
    }
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

/// Every scenario as both runs of a pair play it, or what is wrong with it for either.
fn load_pairs(args: &RunArgs, pairing: Pairing) -> Result<(Vec<Scenario>, Vec<Scenario>), Failure> {
    let given = overrides::overrides(&args.changes)?;
    let of = |which: &str| {
        let mut overrides = given.clone();
        match pairing {
            Pairing::Engines => overrides.engine = Some(which.to_owned()),
            Pairing::Generators => {
                overrides.engine = Some(Engine::Live.word().to_owned());
                overrides.load = Some(which.to_owned());
                overrides.set.push(overrides::even_gaps());
            }
        }
        load::scenarios(&args.files, &overrides)
    };
    let [first, second] = match pairing {
        Pairing::Engines => ["live", "sim"],
        Pairing::Generators => ["builtin", "artillery"],
    };
    match (of(first), of(second)) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Err(mut failure), Err(other)) => {
            let more = other.lines.into_iter().filter(|line| !failure.lines.contains(line));
            let more: Vec<String> = more.collect();
            failure.lines.extend(more);
            Err(failure)
        }
    }
}

/// A scenario played twice, each time in its folder as if played alone, and the comparison.
fn run_pair(
    args: &RunArgs,
    pairing: Pairing,
    scenarios: [&Scenario; 2],
    folder: &Path,
    calibration: Option<&Calibration>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let about = of_pair(args, pairing, scenarios[0]);
    // Before the live runs, which take minutes.
    room(args, scenarios[1], &numbered(scenarios[1]))?;
    hire::artillery(scenarios[1], &numbered(scenarios[1]), args.pace.quiet, stop)?;
    let pair = PairFolder::create(folder, pairing).map_err(Failure::unwritten)?;
    let shown = (!args.shown.json).then_some(&Shown { json: false, open: false });
    let mut worst = Exit::Good;
    for (scenario, folder) in scenarios.into_iter().zip(pair.runs()) {
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
    match pairing {
        // A simulation that is poor is a result, and no failure of the command.
        Pairing::Engines => both::conclude(&pair, &about, &args.shown)?,
        Pairing::Generators => worst = worst.worst(agree::conclude(&pair, &about, &args.shown)?),
    }
    Ok(worst)
}

fn of_pair(args: &RunArgs, pairing: Pairing, first: &Scenario) -> About {
    let about = about(args, first);
    match pairing {
        Pairing::Engines => About { engine: "both".to_owned(), ..about },
        Pairing::Generators => About { generator: "builtin, artillery".to_owned(), ..about },
    }
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
    let mut here = about::here();
    here.versions.extend(hire::versions(scenario));
    About {
        scenario: scenario.name.clone(),
        question: scenario.question.clone(),
        notes: scenario.overloads(),
        scenario_text: scenario.text.clone(),
        engine: scenario.engine.word().to_owned(),
        generator: hire::generators(scenario),
        seed: scenario.seed,
        overrides: overrides::as_given(&args.changes),
        ..here
    }
}
