//! Plays all trials of a scenario, in order or side by side, and hands each record on in order.
//! It must not judge them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use base::Stop;
use live::load::artillery::install::Installed;
use record::{Overhead, Recorder, TrialRecord};
use scenario::Trial;

use crate::commands::memory::Room;
use crate::exit::{Exit, Failure};
use crate::progress::Display;

/// The `lab` that is started again as children.
pub(crate) fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::environment(format!("lab cannot find its own program: {error}")))
}

/// One trial after the other, on real processes; what they print goes to folders in `logs`;
/// `artillery` for those that it loads.
pub(crate) fn live(
    trials: &[(usize, Trial)],
    artillery: Option<&Installed>,
    logs: &Path,
    keep: &mut Keep<'_>,
    display: &Display,
    stop: &Stop,
) -> Result<(), Failure> {
    let exe = own_program()?;
    for &(number, ref trial) in trials {
        let options = live::Options {
            exe: exe.clone(),
            logs: logs.join(folder(number, trial)),
            artillery: artillery.cloned(),
        };
        let mut recorder = Recorder::new(trial.live_plan());
        display.begin(number, trial, recorder.progress());
        let played = live::play(trial, &mut recorder, stop, &options);
        keep(number, recorder.finish())?;
        display.end(number);
        played.map_err(|error| {
            let exit = if error.is_environment() { Exit::Environment } else { Exit::Internal };
            Failure::new(exit, error.to_string())
        })?;
        if stop.is_raised() {
            break;
        }
    }
    Ok(())
}

/// What a trial's folder is called.
fn folder(number: usize, trial: &Trial) -> String {
    let name: String = trial
        .variant
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .take(40)
        .collect();
    format!("{:02}-{name}-round-{}", number + 1, trial.round)
}

/// Does something with a trial's record; the number is the trial's.
pub(crate) type Keep<'a> = dyn FnMut(usize, TrialRecord) -> Result<(), Failure> + 'a;

/// Several trials (each with its number) at once, each in a recorder of its own; records are kept
/// in trial order, so that nothing depends on the number of threads.
pub(crate) fn simulated(
    trials: &[(usize, Trial)],
    room: Room,
    overhead: Option<&Overhead>,
    keep: &mut Keep<'_>,
    display: &Display,
    stop: &Stop,
) -> Result<(), Failure> {
    let jobs = room.jobs.min(trials.len());
    let queue = Queue::new(jobs);
    let (done, finished) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs {
            let (done, queue) = (done.clone(), &queue);
            scope.spawn(move || {
                while let Some(place) = queue.next(trials.len()) {
                    if stop.is_raised() {
                        // A trial that is not played would be waited for.
                        queue.close();
                        break;
                    }
                    let (number, trial) = &trials[place];
                    let mut recorder = Recorder::new(trial.plan());
                    display.begin(*number, trial, recorder.progress());
                    let options = sim::Options { pending: room.pending, overhead };
                    let played = sim::play_with(trial, &mut recorder, stop, options);
                    display.end(*number);
                    if done.send((place, played.map(|()| recorder.finish()))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let mut keep = |place: usize, record| keep(trials[place].0, record);
        let kept = in_order(finished, &queue, &mut keep);
        // After a failure nothing new is begun; what is being played comes to its end.
        queue.close();
        kept
    })
}

/// A trial by its place in the list.
type Played = (usize, Result<TrialRecord, sim::Error>);

/// Keeps records in trial order, however they come in.
fn in_order(
    finished: mpsc::Receiver<Played>,
    queue: &Queue,
    keep: &mut Keep<'_>,
) -> Result<(), Failure> {
    let mut early = BTreeMap::new();
    let mut due = 0;
    for (place, played) in finished {
        let record = played.map_err(|error| Failure::invalid(error.to_string()))?;
        early.insert(place, record);
        while let Some(record) = early.remove(&due) {
            keep(due, record)?;
            due += 1;
        }
        queue.kept(due);
    }
    // After an interruption a gap may be left: what lies behind it is kept all the same.
    early.into_iter().try_for_each(|(place, record)| keep(place, record))
}

/// Hands out trials in order, but none so far ahead of the records kept that finished ones would
/// pile up behind a slow trial.
struct Queue {
    state: Mutex<Handed>,
    moved: Condvar,
    ahead: usize,
}

#[derive(Default)]
struct Handed {
    next: usize,
    kept: usize,
    closed: bool,
}

impl Queue {
    /// For `jobs` threads; each may have one finished record waiting beside the one it plays.
    fn new(jobs: usize) -> Self {
        Self { state: Mutex::default(), moved: Condvar::new(), ahead: 2 * jobs }
    }

    /// The next trial below `end`, once its turn has come.
    fn next(&self, end: usize) -> Option<usize> {
        let early = |handed: &mut Handed| {
            !handed.closed && handed.next < end && handed.next >= handed.kept + self.ahead
        };
        let waited = self.moved.wait_while(self.lock(), early);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed || state.next >= end {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    /// The first `kept` trials are on disk.
    fn kept(&self, kept: usize) {
        self.lock().kept = kept;
        self.moved.notify_all();
    }

    /// No more trials.
    fn close(&self) {
        self.lock().closed = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Handed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
