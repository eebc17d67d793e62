//! `lab merge`: makes of parts the run folder that one `lab run` would have made, byte for byte but
//! for its manifest. It must not play anything, nor add up figures: that is the writer's, who does
//! not know where a record comes from.

use std::path::Path;

use record::{About, Parts, RunWriter};

use crate::about::{self, maker};
use crate::cli::MergeArgs;
use crate::commands::conclude::{conclude, judge, why};
use crate::exit::{Exit, Failure};
use crate::signals;
use crate::stamp::fresh;

/// Merges the parts. Nothing is created before all of them are there and fit each other.
pub(crate) fn merge(args: &MergeArgs) -> Result<Exit, Failure> {
    let parts = Parts::open(&args.parts, &maker()).map_err(|problems| Failure {
        exit: Exit::Invalid,
        lines: problems.iter().map(ToString::to_string).collect(),
    })?;
    let sweep = parts.sweep();
    let about = About {
        scenario: sweep.scenario.clone(),
        question: sweep.question.clone(),
        notes: sweep.notes.clone(),
        scenario_text: sweep.scenario_text.clone(),
        engine: sweep.engine.clone(),
        seed: sweep.seed,
        overrides: sweep.overrides.clone(),
        parts: parts.entries(),
        calibration: sweep.calibration.clone(),
        ..about::here()
    };
    let folder = args.out.clone();
    let folder = folder.unwrap_or_else(|| fresh(&Path::new("reports").join(&sweep.scenario)));
    let stop = signals::install()?;
    let mut writer = RunWriter::create(&folder).map_err(Failure::unwritten)?;
    let kept = parts.trials().take_while(|_| !stop.is_raised()).try_for_each(|record| {
        let record = record.map_err(|error| Failure::invalid(error.to_string()))?;
        writer.trial(record).map_err(Failure::unwritten)
    });
    let cut_short = why(kept.as_ref().err(), &stop);
    let failed = kept.err().map(Failure::report);
    let summary =
        conclude(writer, &about, &sweep.expectations, cut_short.as_deref(), Some(&args.shown))?;
    let judged = stop.reason().map_or_else(|| judge(&summary), Exit::Interrupted);
    Ok(failed.unwrap_or(Exit::Good).worst(judged))
}
