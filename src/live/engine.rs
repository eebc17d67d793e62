//! Plays one trial on processes and sockets, and hands everything that was seen to the recorder.
//! It must not judge what was seen.

use std::path::PathBuf;
use std::thread;

use base::{Clock, Stop, Time};
use record::{EventRow, Harness, Recorder};
use scenario::{SubjectKind, Trial};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use workload::FaultChange;

use crate::conductor::Stage;
use crate::error::Error;
use crate::gauge;
use crate::generator::{Generator, Loaded, hire};
use crate::load::artillery::install::Installed;
use crate::load::limits::{Leg, Limits};
use crate::load::{LoadError, LoadReport, Target};
use crate::observer::{Observations, Schedule, observe, own_event};
use crate::subject;

/// What an engine on processes needs to know of its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The `lab` program, which is started again as proxy and as backends.
    pub exe: PathBuf,
    /// The folder of this trial for what children print and for the configurations they get. It is
    /// made with its parents; files of a trial before are overwritten.
    pub logs: PathBuf,
    /// Artillery, for trials that it loads.
    pub artillery: Option<Installed>,
}

/// Plays a trial to its end, or until `stop` is raised: then what is open ends as unfinished and
/// the recorder is told of the interruption. However it ends, no child is left.
///
/// # Errors
/// When the stage cannot be set up, or a child dies. What was measured until then is in the
/// recorder.
pub fn play(
    trial: &Trial,
    recorder: &mut Recorder,
    stop: &Stop,
    options: &Options,
) -> Result<(), Error> {
    let subject = subject::of(trial.variant.proxy.kind);
    let unsupported = subject.check(trial);
    if !unsupported.is_empty() {
        return Err(Error::Unsupported(unsupported));
    }
    // Before the children are started: they inherit the limit that is raised here.
    let foreseen = foresee(trial)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let clock = Clock::start();
    let stage = runtime.block_on(Stage::set_up(trial, subject, options, &clock, stop));
    let mut stage = match stage {
        Ok(Some(stage)) => stage,
        nothing => {
            recorder.interrupted(Time::ZERO);
            return nothing.map(|_| ());
        }
    };
    let played = perform(trial, &mut stage, options, &clock, &runtime, recorder, stop, foreseen);
    stage.take_down();
    played
}

/// Loads the stage, watches it, and tells the recorder.
#[expect(clippy::too_many_arguments, reason = "all that a trial is played with")]
fn perform(
    trial: &Trial,
    stage: &mut Stage,
    options: &Options,
    clock: &Clock,
    runtime: &Runtime,
    recorder: &mut Recorder,
    stop: &Stop,
    foreseen: Foreseen,
) -> Result<(), Error> {
    let generator = match hire(trial, stage, options, stop) {
        Ok(Some(generator)) => generator,
        nothing => {
            recorder.interrupted(Time::ZERO);
            return nothing.map(|_| ()).map_err(|error| stage.blame(error));
        }
    };
    let shape = &trial.variant.load.shape;
    let schedule = Schedule {
        clock: *clock,
        start: generator.start(clock),
        warmup: shape.warmup,
        length: shape.length(),
        window: trial.window,
    };
    let planned = runtime.block_on(async {
        stage.control.plan_samples(schedule.boundaries().map(|at| schedule.start + at)).await?;
        stage.control.schedule(trial, schedule.start).await
    });
    if let Err(error) = planned {
        recorder.interrupted(Time::ZERO);
        return Err(stage.blame(error));
    }
    let (loaded, mut seen) =
        load_and_observe(trial, stage, generator, schedule, runtime, recorder, stop)?;
    let Loaded { report, words, failed } = loaded;
    let words = words.into_iter().map(|words| own_event(Time::ZERO, "generator", words));
    seen.events.extend(words);
    let died = seen.died.clone();
    tell(trial, recorder, seen, &report, foreseen, schedule.now());
    // A subject that is gone cannot be loaded; its death is the news.
    match (died, failed) {
        (Some(name), _) => stage.died(&name).map_or(Ok(()), Err),
        (None, Some(failed)) => Err(failed),
        (None, None) => Ok(()),
    }
}

/// Has the generator load on a thread of its own, and watches meanwhile.
fn load_and_observe(
    trial: &Trial,
    stage: &mut Stage,
    generator: Generator,
    schedule: Schedule,
    runtime: &Runtime,
    recorder: &mut Recorder,
    stop: &Stop,
) -> Result<(Loaded, Observations), Error> {
    let target = Target {
        addresses: stage.addresses.clone(),
        backends: trial.variant.backends.iter().map(|spec| spec.name.clone()).collect(),
    };
    // Raised for the generator alone: a child's death is no signal to `lab`.
    let halt = Stop::default();
    let (loaded, observed) = thread::scope(|scope| {
        let (end, ended) = oneshot::channel();
        let (generator_recorder, generator_halt) = (recorder, &halt);
        let thread = thread::Builder::new().name("generator".into()).spawn_scoped(scope, || {
            // Dropped in any case, also by a panic, and so the observer learns of the end.
            let _end = end;
            generator.generate(trial, &target, &schedule, generator_recorder, generator_halt)
        });
        let thread = thread.map_err(Error::Runtime)?;
        let observed = runtime.block_on(observe(stage, trial, schedule, ended, stop, &halt));
        if observed.is_err() {
            halt.raise(rustix::process::Signal::TERM.as_raw());
        }
        Ok::<_, Error>((thread.join(), observed))
    })?;
    let loaded = loaded.map_err(|_| Error::Panicked("load generator"))?;
    Ok((loaded, observed?))
}

/// Gives the recorder what was collected beside the requests.
fn tell(
    trial: &Trial,
    recorder: &mut Recorder,
    seen: Observations,
    report: &LoadReport,
    foreseen: Foreseen,
    now: Time,
) {
    let mut harness = Harness {
        max_stall: report.max_stall,
        late_by_generator: report.late_by_generator,
        waited_for_connection: report.waited_for_connection,
        own_dispatch_p99: Some(report.own_dispatch_p99),
        foreign: report.foreign.clone(),
        ..Harness::default()
    };
    if let [first, .., last] = &seen.readings[..] {
        harness.steal_ratio = gauge::steal_ratio(first, last);
        let measured = last.at.since(first.at).as_secs_f64();
        harness.generator_cpu =
            if measured > 0.0 { report.cpu.as_secs_f64() / measured } else { 0.0 };
        // Nobody can ask a dead process what it used in its last moments; totals that leave them
        // out would be set against requests that they do not cover.
        if seen.died.is_none() {
            gauge::totals(first, last).into_iter().for_each(|used| recorder.process_totals(used));
        }
    }
    for pair in seen.readings.windows(2) {
        let samples = gauge::samples(&pair[0], &pair[1], pair[1].at);
        samples.into_iter().for_each(|sample| recorder.resources(sample));
    }
    seen.samples.into_iter().for_each(|sample| recorder.sample(sample));
    let faults = trial.fault_plan().changes;
    let faults = faults.iter().filter(|change| change.at <= now);
    faults.for_each(|change| recorder.event(fault_row(trial, change)));
    seen.events.into_iter().for_each(|event| recorder.event(event));
    for caution in foreseen.cautions {
        recorder.event(own_event(Time::ZERO, "limits_near", caution));
    }
    let mut shortages = foreseen.shortages;
    shortages.extend(report.shortages.iter().cloned());
    recorder.harness(Harness { shortages, ..harness });
}

fn fault_row(trial: &Trial, change: &FaultChange) -> EventRow {
    let (kind, detail) = change.words();
    EventRow {
        at: change.at,
        source: "scenario".into(),
        subject: trial.variant.backends[change.backend].name.clone(),
        kind,
        detail,
    }
}

/// What is known of the machine's limits before anything is started.
struct Foreseen {
    /// What will not do: the run is invalid.
    shortages: Vec<String>,
    /// What will not do if the load comes to need it: told as events.
    cautions: Vec<String>,
}

/// Holds both legs against the machine's limits.
fn foresee(trial: &Trial) -> Result<Foreseen, Error> {
    let limits = Limits::raise_and_read()
        .map_err(|source| Error::Load(LoadError::System { what: "read its limits", source }))?;
    let load = &trial.variant.load;
    let backends = trial.variant.backends.len() as u64;
    let leg = |name: &str, ends: u64, addresses| Leg {
        name: name.into(),
        connections: ends * u64::from(load.connections),
        max_connections: ends * u64::from(load.max_connections),
        addresses,
    };
    let legs = match trial.variant.proxy.kind {
        SubjectKind::Direct => vec![leg("generator to backends", 1, backends)],
        SubjectKind::Lab => vec![
            leg("generator to proxy", 1, 1),
            // The proxy holds both ends of what passes through it.
            leg("proxy to backends", 2, backends),
        ],
    };
    Ok(Foreseen { shortages: limits.shortages(&legs), cautions: limits.cautions(&legs) })
}

#[cfg(test)]
mod tests {
    use workload::FaultKind;

    use super::*;

    use crate::subject::tests::trial;

    #[test]
    fn faults_become_events_with_a_beginning_and_an_end() {
        let trial = trial("lab");
        let row = |kind: FaultKind, begins| {
            fault_row(
                &trial,
                &FaultChange { at: Time::from_nanos(7), backend: 1, fault: 0, kind, begins },
            )
        };
        let crash = row(FaultKind::Crash, true);
        assert_eq!((crash.source.as_str(), crash.subject.as_str()), ("scenario", "a-2"));
        assert_eq!((crash.at, crash.kind.as_str()), (Time::from_nanos(7), "crash"));
        assert_eq!(row(FaultKind::Crash, false).kind, "crash_end");
        let slow = row(FaultKind::Slow { factor: 3.0, health: false }, true);
        assert_eq!(slow.detail, "3 times slower");
    }

    #[test]
    fn a_program_that_is_not_there_is_the_environments_fault() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            exe: "/no/such/lab".into(),
            logs: folder.path().join("logs"),
            artillery: None,
        };
        let trial = trial("lab");
        let mut recorder = Recorder::new(trial.plan());
        let error = play(&trial, &mut recorder, &Stop::default(), &options).expect_err("no lab");
        assert!(error.to_string().contains("cannot start backends (/no/such/lab)"), "{error}");
        assert!(error.is_environment());
    }
}
