//! `lab sweep`: plays one shard of a scenario's trials and leaves them in a file. It must not judge
//! them: a part says nothing about the whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use record::{Calibration, PartHead, PartWriter, Shard, Sweep};
use scenario::{Scenario, Trial};

use crate::about::{self, maker};
use crate::cli::{EngineArg, ScriptArg, SweepArgs};
use crate::commands::{calibration, load, memory, overrides, play, script, shard};
use crate::exit::{Exit, Failure};
use crate::progress::Display;
use crate::say::{say, tell};
use crate::signals;

/// Plays the shard. Its part gets its name when all of it is there.
pub(crate) fn sweep(args: &SweepArgs) -> Result<Exit, Failure> {
    if let Some(kind) = args.engine_script {
        return write_script(args, kind);
    }
    if args.changes.engine == Some(EngineArg::Both) {
        return Err(Failure::usage(
            "--engine both: a sweep is simulated, and its parts have no live run beside them; write \
             --engine sim",
        ));
    }
    if args.changes.load.as_deref() == Some("both") {
        return Err(Failure::usage(
            "--load both: generators send real requests, and a sweep is simulated; leave --load out",
        ));
    }
    let environment = |name: &str| std::env::var(name).ok();
    let shard = shard::shard(args.shard.as_deref(), args.shards.as_deref(), &environment)?;
    let (scenario, inputs) = load::simulated(&args.file, &overrides::overrides(&args.changes)?)?;
    for note in &scenario.notes {
        tell!("{note}");
    }
    let calibration = calibration::of_sweep(args.calibration.as_deref())?;
    let overhead = calibration.as_ref().map(Calibration::overhead);
    let overhead = overhead.transpose().map_err(Failure::invalid)?;
    if let Some(added) = &calibration {
        calibration::tell_of(added, std::iter::once(&scenario));
    }
    let all = scenario.trials();
    let head = head(args, &scenario, inputs, calibration, shard, all.len());
    let trials: Vec<(usize, Trial)> =
        all.into_iter().enumerate().filter(|(number, _)| shard.holds(*number as u64)).collect();
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("part-{}", shard.index)));
    let room = memory::room(&scenario.file, &trials, args.pace.jobs)?;
    let stop = signals::install()?;
    let mut writer = PartWriter::create(&out, &maker(), &head).map_err(Failure::unwritten)?;
    let display = Display::start(&scenario, &trials, args.pace.quiet);
    let mut keep =
        |number, record| writer.trial(number as u64, &record).map_err(Failure::unwritten);
    let played = play::simulated(&trials, room, overhead.as_ref(), &mut keep, &display, &stop);
    display.finish();
    played?;
    if let Some(signal) = stop.reason() {
        tell!("{}: not written, the shard was not played to its end", out.display());
        return Ok(Exit::Interrupted(signal));
    }
    writer.finish().map_err(Failure::unwritten)?;
    say!(
        "Part: {} (shard {shard}, {} of {} trials)",
        out.display(),
        trials.len(),
        head.sweep.trials
    );
    Ok(Exit::Good)
}

/// The job files go to stdout, or to a file that is not there yet: somebody may have edited it.
fn write_script(args: &SweepArgs, kind: ScriptArg) -> Result<Exit, Failure> {
    let shards = shard::count(args.shards.as_deref().unwrap_or_default())?;
    let text = script::script(kind, args, shards)?;
    match &args.out {
        None => say!("{}", text.trim_end()),
        Some(out) => File::create_new(out)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| {
                Failure::environment(format!(
                    "{}: cannot be written: {error}; name another file with --out",
                    out.display()
                ))
            })?,
    }
    Ok(Exit::Good)
}

fn head(
    args: &SweepArgs,
    scenario: &Scenario,
    inputs: BTreeMap<String, String>,
    calibration: Option<Calibration>,
    shard: Shard,
    trials: usize,
) -> PartHead {
    let here = about::here();
    PartHead {
        sweep: Sweep {
            scenario: scenario.name.clone(),
            question: scenario.question.clone(),
            notes: scenario.overloads(),
            scenario_text: scenario.text.clone(),
            engine: scenario.engine.word().to_owned(),
            seed: scenario.seed,
            overrides: overrides::as_given(&args.changes),
            options: overrides::others(&args.changes),
            inputs: inputs.into_iter().collect(),
            trials: trials as u64,
            calibration,
            expectations: scenario.expectations.clone(),
        },
        shard,
        host: here.host,
        command_line: here.command_line,
        started: here.started,
    }
}
