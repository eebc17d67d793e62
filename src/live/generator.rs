//! Whoever loads the subject: the built-in generator on a thread of ours, or a program that is not
//! ours. It must not know what else happens in a trial.

use std::time::Duration;

use base::{Clock, Rng, Stop, Time};
use record::Recorder;
use scenario::Trial;

use crate::conductor::Stage;
use crate::engine::Options;
use crate::error::Error;
use crate::load::artillery::Hired;
use crate::load::{LoadReport, Target, open_loop};
use crate::observer::Schedule;

/// From the moment when everything is ready to the beginning of the warm-up: time to hand over the
/// faults and the times of samples, and to start the generator.
const LEAD: Duration = Duration::from_millis(200);

/// Whoever loads the subject.
pub(crate) enum Generator {
    /// Ours, in this process.
    Builtin,
    /// Begun already.
    Artillery(Box<Hired>),
}

/// What came of a load.
pub(crate) struct Loaded {
    pub(crate) report: LoadReport,
    /// What the generator says of itself.
    pub(crate) words: Vec<String>,
    /// Why it did not come to its end.
    pub(crate) failed: Option<Error>,
}

/// Has the generator ready; `None` when `stop` was raised meanwhile.
pub(crate) fn hire(
    trial: &Trial,
    stage: &mut Stage,
    options: &Options,
    stop: &Stop,
) -> Result<Option<Generator>, Error> {
    if trial.variant.load.generator == scenario::Generator::Builtin {
        return Ok(Some(Generator::Builtin));
    }
    let installed = options.artillery.as_ref().ok_or(Error::NoArtillery)?;
    let Options { exe, logs, .. } = options;
    let Some(hired) = Hired::start(trial, &stage.addresses, installed, exe, logs, stop)? else {
        return Ok(None);
    };
    stage.generator = Some(("artillery".to_owned(), hired.pid));
    Ok(Some(Generator::Artillery(Box::new(hired))))
}

impl Generator {
    /// When the warm-up begins.
    pub(crate) fn start(&self, clock: &Clock) -> Time {
        match self {
            Self::Builtin => clock.now() + LEAD,
            Self::Artillery(hired) => hired.start_on(clock.epoch_ns()),
        }
    }

    /// Loads to the end of the last request, or until `halt` is raised.
    pub(crate) fn generate(
        self,
        trial: &Trial,
        target: &Target,
        schedule: &Schedule,
        recorder: &mut Recorder,
        halt: &Stop,
    ) -> Loaded {
        let load = &trial.variant.load;
        match self {
            Self::Artillery(hired) => {
                let (report, words, failed) =
                    hired.follow(trial, &target.backends, schedule, recorder, halt);
                Loaded { report, words, failed }
            }
            Self::Builtin => {
                let arrivals = load.shape.arrivals(&Rng::from_seed(trial.seed));
                let Schedule { clock, start, .. } = schedule;
                let loaded = open_loop::run(load, arrivals, target, clock, *start, recorder, halt);
                let (report, failed) = match loaded {
                    Ok(report) => (report, None),
                    Err(error) => (LoadReport::default(), Some(error.into())),
                };
                Loaded { report, words: Vec::new(), failed }
            }
        }
    }
}
