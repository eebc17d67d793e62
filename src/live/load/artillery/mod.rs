//! Artillery as load generator: an independent second opinion, at rates of some hundred requests a
//! second. It must not know what the subject is, which faults are played or how a run is judged.
//!
//! [`Hired`] starts it and follows it; `script` is what it plays, `notes` what it tells, `tracker`
//! what the recorder learns of that, [`install`] how it comes onto the machine.

pub mod install;
mod notes;
pub(crate) mod script;
mod tracker;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use base::{Stop, Time};
use record::Recorder;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use scenario::Trial;

use self::install::Installed;
use self::notes::Note;
use self::script::{LEAD, Planned, RECORDER, REQUESTS, SCRIPT};
use self::tracker::{Expected, Tracker};
use super::LoadReport;
use crate::error::Error;
use crate::launch::{Kept, Spec};
use crate::observer::Schedule;
use crate::process::{Process, describe};

/// What runs inside Artillery.
const RECORDER_TEXT: &str = include_str!("../../../../artillery/recorder.cjs");
/// Names its logs and its rows among the resources.
const NAME: &str = "artillery";
/// From its start to its first phase: some three seconds of loading on a free core.
const BEGINS_WITHIN: Duration = Duration::from_secs(90);
/// From the end of the last request to the end of its report: it looks every few seconds.
const REPORTS_WITHIN: Duration = Duration::from_secs(90);
/// From SIGTERM to SIGKILL: it tells its plugins.
const GRACE: Duration = Duration::from_secs(5);
/// How often is looked whether it lives and the load shall go on.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long notes may be on their way when Artillery has ended: a stranger may hold the pipe open, and
/// then no end of it comes.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// Notes that may wait: some 4 MB.
const WAITING_NOTES: usize = 1 << 16;
/// More than the longest line that is written whole.
const LINE_LIMIT: u64 = 1 << 16;

/// An Artillery that has begun: its pause before the warm-up lasts.
pub(crate) struct Hired {
    process: Process,
    notes: Receiver<Heard>,
    plan: Planned,
    /// Node's process, for the gauges.
    pub(crate) pid: Pid,
    /// Who it says it is.
    pub(crate) words: String,
    /// When the warm-up will begin, ns of CLOCK_MONOTONIC.
    zero_ns: u64,
}

/// A note, or what is none.
type Heard = Result<Note, String>;

impl Hired {
    /// Writes the script into `folder` and starts Artillery; returns when its pause has begun.
    /// `None` when `stop` was raised meanwhile.
    ///
    /// # Errors
    /// When it cannot be started, dies, or is silent.
    pub(crate) fn start(
        trial: &Trial,
        targets: &[SocketAddr],
        installed: &Installed,
        keeper: &Path,
        folder: &Path,
        stop: &Stop,
    ) -> Result<Option<Self>, Error> {
        // Artillery takes a reporter by its whole path alone.
        let folder = std::path::absolute(folder)
            .map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
        let script = script::script(&trial.variant.load, targets, trial.seed, cores());
        let parts = [
            (SCRIPT, script.json.as_bytes()),
            (REQUESTS, &script.requests),
            (RECORDER, RECORDER_TEXT.as_bytes()),
        ];
        for (name, bytes) in parts {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(|source| Error::Folder { path, source })?;
        }
        let (mut process, notes) = launch(installed, keeper, &folder)?;
        let began = Instant::now();
        let mut who = None;
        loop {
            let heard = notes.recv_timeout(LOOK_EVERY);
            let ended = heard.is_err() && process.ended(LOOK_EVERY);
            // What it said last may still be on its way.
            match if ended { notes.recv_timeout(READ_WITHIN) } else { heard } {
                Ok(Ok(Note::Hello { pid, node, version })) => {
                    who = Pid::from_raw(pid).map(|pid| (pid, node, version));
                }
                Ok(Ok(Note::Phase { index: 0, at_ns })) => {
                    let Some((pid, node, version)) = who else {
                        return Err(broken(process, "did not say who it is"));
                    };
                    let zero_ns = at_ns.saturating_add(base::time::nanos(LEAD));
                    let words = format!("Artillery {version} on Node {node}");
                    let plan = script.plan;
                    return Ok(Some(Self { process, notes, plan, pid, words, zero_ns }));
                }
                Ok(Ok(_)) => {}
                Ok(Err(line)) => {
                    return Err(broken(process, &format!("wrote half a note ({line:?})")));
                }
                Err(_) if ended => {
                    let status = process.finish(Duration::ZERO).map_or_else(String::new, describe);
                    return Err(broken(process, &format!("ended before it began ({status})")));
                }
                Err(_) if began.elapsed() >= BEGINS_WITHIN => {
                    return Err(broken(process, "did not begin within 90 s"));
                }
                Err(_) => {}
            }
            if stop.is_raised() {
                return Ok(None);
            }
        }
    }

    /// When the warm-up will begin, on a clock with this epoch.
    pub(crate) fn start_on(&self, epoch_ns: u64) -> Time {
        Time::from_nanos(self.zero_ns.saturating_sub(epoch_ns))
    }

    /// Follows it to its end and tells the recorder; when `halt` is raised, it is asked to end, and
    /// what is open ends as unfinished. What it says of itself comes as words beside the report, and
    /// the error is why it did not come to its end.
    pub(crate) fn follow(
        mut self,
        trial: &Trial,
        backends: &[String],
        schedule: &Schedule,
        recorder: &mut Recorder,
        halt: &Stop,
    ) -> (LoadReport, Vec<String>, Option<Error>) {
        let load = &trial.variant.load;
        let expected = Expected {
            plan: &self.plan,
            zero_ns: self.zero_ns,
            warmup: schedule.warmup,
            length: schedule.length,
            timeout: load.timeout,
            backends,
        };
        let mut tracker = Tracker::new(expected, recorder);
        let patience = LEAD + schedule.length * 2 + load.timeout + REPORTS_WITHIN;
        let heard = hear(&self.process, &self.notes, &mut tracker, patience, halt);
        if halt.is_raised() || heard.is_some() {
            self.process.ask_to_end();
            // What it had noted and not yet written, it writes as it goes.
            let _ = hear(&self.process, &self.notes, &mut tracker, GRACE, &Stop::default());
        }
        let status = self.process.finish(GRACE);
        let whole = tracker.has_ended() && status.is_some_and(|status| status.success());
        let cut_short = !whole;
        let (report, mut words) = tracker.finish(schedule.now(), cut_short);
        words.insert(0, self.words.clone());
        let why = match (heard, status) {
            _ if whole || halt.is_raised() => None,
            (Some(why), _) => Some(why),
            (None, Some(status)) => Some(format!("ended before its report ({})", describe(status))),
            (None, None) => Some("cannot be ended".to_owned()),
        };
        let error = why.map(|why| broken(self.process, &why));
        (report, words, error)
    }
}

/// Takes notes until there are no more; why there should have been, if so.
fn hear(
    process: &Process,
    notes: &Receiver<Heard>,
    tracker: &mut Tracker<'_>,
    patience: Duration,
    halt: &Stop,
) -> Option<String> {
    let began = Instant::now();
    let (mut looked, mut ended) = (began, None);
    loop {
        match notes.recv_timeout(LOOK_EVERY) {
            Ok(Ok(note)) => tracker.handle(note),
            Ok(Err(line)) => return Some(format!("wrote half a note ({line:?})")),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if looked.elapsed() < LOOK_EVERY {
            continue;
        }
        looked = Instant::now();
        if halt.is_raised() {
            return None;
        }
        if began.elapsed() >= patience {
            return Some(format!("did not end within {} s", patience.as_secs()));
        }
        if process.ended(Duration::ZERO) && ended.get_or_insert(looked).elapsed() >= READ_WITHIN {
            return None;
        }
    }
}

fn launch(
    installed: &Installed,
    keeper: &Path,
    folder: &Path,
) -> Result<(Process, Receiver<Heard>), Error> {
    let failed = |source: std::io::Error| Error::Start {
        name: NAME.to_owned(),
        program: installed.node.clone(),
        source,
    };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut environment = vec![
        // That it is set is what counts.
        ("ARTILLERY_DISABLE_TELEMETRY", Some("1".into())),
        ("CUSTOM_REPORTERS", Some(folder.join(RECORDER).into_os_string())),
        ("LAB_RECORD_FD", Some(write.as_raw_fd().to_string().into())),
    ];
    // The load is for this machine alone, and debugging it would change what is measured.
    let not_ours =
        ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "DEBUG", "NODE_OPTIONS"];
    environment.extend(not_ours.map(|name| (name, None)));
    let process = Process::start(Spec {
        name: NAME,
        program: &installed.node,
        arguments: vec![installed.artillery.clone().into(), "run".into(), SCRIPT.into()],
        lifeline: false,
        logs: folder,
        kept: Some(Kept { keeper, folder, environment, inherits: Some(write.as_fd()) }),
    })?;
    drop(write);
    let (sender, notes) = sync_channel(WAITING_NOTES);
    let reader = std::thread::Builder::new().name("notes".into());
    reader.spawn(move || read_notes(File::from(read), &sender)).map_err(failed)?;
    Ok((process, notes))
}

/// Reads notes to the end, or to the first line that is none.
fn read_notes(pipe: File, sender: &SyncSender<Heard>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = String::new();
    loop {
        line.clear();
        let read = pipe.by_ref().take(LINE_LIMIT).read_line(&mut line);
        let heard = match read {
            Ok(0) => return,
            Ok(_) => line.strip_suffix('\n').and_then(Note::parse).ok_or_else(|| line.clone()),
            Err(error) => Err(error.to_string()),
        };
        let over = heard.is_err();
        if sender.send(heard).is_err() || over {
            return;
        }
    }
}

fn broken(mut process: Process, how: &str) -> Error {
    process.ask_to_end();
    process.finish(GRACE);
    Error::Artillery {
        how: how.to_owned(),
        logs: process.logs().to_owned(),
        last_lines: process.last_lines(),
    }
}

/// The cores of this machine, as Artillery counts them.
fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_to_the_first_that_is_none() {
        let b = |number| Ok(Note::Begin { number, at_ns: 2 });
        let half = |line: &str| Err(line.to_owned());
        for (text, heard) in [
            ("", vec![]),
            ("b 1 2\nb 2 2\n", vec![b(1), b(2)]),
            ("b 1 2\nb 2 2", vec![b(1), half("b 2 2")]),
            ("b 1 2\nb 2", vec![b(1), half("b 2")]),
            ("b 1 2\nwhat\nb 2 2\n", vec![b(1), half("what\n")]),
        ] {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
            rustix::io::write(&write, text.as_bytes()).expect("it fits");
            drop(write);
            let (sender, notes) = sync_channel(10);
            read_notes(File::from(read), &sender);
            drop(sender);
            assert_eq!(notes.iter().collect::<Vec<_>>(), heard, "{text:?}");
        }
    }
}
