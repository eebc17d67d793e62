//! A child process: started in a group of its own, tied to us by a pipe, heard, stopped, reaped.
//! It must not know what the child is for.
//!
//! Nothing of it may outlive us, SIGKILL of us included. Children that are `lab` itself hold the
//! read end of a [lifeline](crate::lifeline) and end when it breaks. A program that is not ours
//! does not know lifelines: it is started under a [keeper](crate::keeper), a `lab` that holds the
//! lifeline and kills the program's group when it breaks.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use base::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::{Death, Error};
use crate::launch::Spec;
use crate::output::Output;

/// How long the streams of a child that has ended may take to be read to their ends.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);
/// SIGKILL cannot be refused, but a process can be stuck in the kernel.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// How often a wait looks whether the run shall end.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// A child. Dropping it kills its whole group.
pub(crate) struct Process {
    name: String,
    child: Child,
    group: Pid,
    /// Readable as soon as the child has ended, reaped or not.
    pidfd: OwnedFd,
    /// Never written to: that it is open says that we live.
    _lifeline: Option<OwnedFd>,
    output: Output,
    logs: PathBuf,
    /// Set once the child is reaped; from then on its number may be another's.
    reaped: Option<ExitStatus>,
}

impl Process {
    /// Starts a child with no stdin, in a process group of its own.
    ///
    /// # Errors
    /// When a log cannot be written, or the program not be started.
    pub(crate) fn start(spec: Spec<'_>) -> Result<Self, Error> {
        let out = log(spec.logs, spec.name, "out")?;
        let err = log(spec.logs, spec.name, "err")?;
        let failed = |source: std::io::Error| Error::Start {
            name: spec.name.to_owned(),
            program: spec.program.to_owned(),
            source,
        };
        let (mut command, lifeline) = spec.command().map_err(failed)?;
        let mut child = command.spawn().map_err(failed)?;
        // The read end is the child's alone from here on.
        let lifeline = lifeline.map(|(_, write)| write);
        match adopt(&mut child, out, err) {
            Ok((group, pidfd, output)) => Ok(Self {
                name: spec.name.to_owned(),
                child,
                group,
                pidfd,
                _lifeline: lifeline,
                output,
                logs: spec.logs.to_owned(),
                reaped: None,
            }),
            Err(source) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(source))
            }
        }
    }

    /// What it was started as.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its number.
    pub(crate) const fn pid(&self) -> Pid {
        self.group
    }

    /// Waits for the first line on its stdout. `None` when `stop` was raised meanwhile.
    ///
    /// # Errors
    /// When it dies before, or `within` is over.
    pub(crate) fn ready_line(
        &mut self,
        within: Duration,
        stop: &Stop,
    ) -> Result<Option<String>, Error> {
        let began = Instant::now();
        loop {
            let left = within.saturating_sub(began.elapsed());
            match self.output.first_line(left.min(STOP_LOOK)) {
                Ok(line) => return Ok(Some(line)),
                // Its stdout ended, so it is dying, or it closed it and will never be ready.
                Err(RecvTimeoutError::Disconnected) if self.ended(left) => {
                    return Err(Error::Died(self.death()));
                }
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => {
                    return Err(Error::Silent {
                        name: self.name.clone(),
                        within,
                        logs: self.logs.clone(),
                        last_lines: self.output.last_lines(),
                    });
                }
            }
            if stop.is_raised() {
                return Ok(None);
            }
        }
    }

    /// Waits until it has ended, at most `within`; whether it has.
    pub(crate) fn ended(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout)) {
                Ok(0) if left.is_zero() => return false,
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return true,
                // Nothing can be waited for without memory; then it is killed instead.
                Err(_) => return false,
            }
        }
    }

    /// Kills what is left of its group and tells how it ended. For a child that has ended unasked.
    pub(crate) fn death(&mut self) -> Death {
        let status = self.kill().map_or_else(|| "still running".into(), describe);
        self.output.wait(OUTPUT_WAIT);
        Death { name: self.name.clone(), status, last_lines: self.output.last_lines() }
    }

    /// Where its output is.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }

    /// The end of what it has printed so far.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        self.output.last_lines()
    }

    /// Asks the group to end (SIGTERM); [`Process::finish`] follows.
    pub(crate) fn ask_to_end(&self) {
        if self.reaped.is_none() {
            let _ = kill_process_group(self.group, Signal::TERM);
        }
    }

    /// Waits at most `grace` for the child to end, then kills the group, and reaps the child.
    pub(crate) fn finish(&mut self, grace: Duration) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            self.ended(grace);
        }
        let status = self.kill();
        self.output.wait(OUTPUT_WAIT);
        status
    }

    /// SIGKILL for the group, while the child, reaped or not, still reserves its number.
    fn kill(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            let _ = kill_process_group(self.group, Signal::KILL);
            self.ended(KILL_WAIT);
            self.reaped = self.child.try_wait().ok().flatten();
        }
        self.reaped
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All that can fail once the child runs.
fn adopt(child: &mut Child, out: File, err: File) -> std::io::Result<(Pid, OwnedFd, Output)> {
    let group = Pid::from_child(child);
    let pidfd = pidfd_open(group, PidfdFlags::empty())?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    Ok((group, pidfd, Output::follow((stdout, out), (stderr, err))?))
}

fn log(folder: &Path, name: &str, stream: &str) -> Result<File, Error> {
    let path = folder.join(format!("{name}.{stream}"));
    File::create(&path).map_err(|source| Error::Folder { path, source })
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use rustix::process::{test_kill_process, test_kill_process_group};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(folder: &Path, script: &str, lifeline: bool) -> Process {
        Process::start(Spec {
            name: "child",
            program: Path::new("/bin/sh"),
            arguments: ["-c", script, "sh"].map(OsString::from).to_vec(),
            lifeline,
            logs: folder,
            kept: None,
        })
        .expect("a shell starts")
    }

    fn first_line(child: &mut Process) -> String {
        child.ready_line(PATIENCE, &Stop::default()).expect("ready").expect("not stopped")
    }

    /// A process without a parent is reaped by init, or whoever stands in for it: some time later.
    fn is_gone(pid: Pid) -> bool {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            if !stat.is_ok_and(|stat| !stat.contains(") Z ")) {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    fn number(text: &str) -> Pid {
        Pid::from_raw(text.trim().parse().expect("a number")).expect("not zero")
    }

    #[test]
    fn the_ready_line_is_the_first_one_and_output_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = shell(folder.path(), "echo ready; echo more; echo oops >&2", false);
        assert_eq!(first_line(&mut child), "ready");
        assert_eq!(child.finish(PATIENCE).expect("reaped").code(), Some(0));
        let read = |name| std::fs::read_to_string(folder.path().join(name)).expect("a log");
        assert_eq!(read("child.out"), "ready\nmore\n");
        assert_eq!(read("child.err"), "oops\n");
    }

    #[test]
    fn a_child_that_dies_is_told_of_with_its_last_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i >&2; done; exit 7";
        let mut child = shell(folder.path(), script, false);
        let error = child.ready_line(PATIENCE, &Stop::default()).expect_err("it dies");
        let Error::Died(death) = error else { panic!("{error}") };
        assert_eq!(death.status, "exit code 7");
        assert_eq!(death.last_lines.len(), 10);
        assert_eq!(death.last_lines[9], "line 12");
    }

    #[test]
    fn a_child_that_is_silent_is_given_up_and_a_raised_stop_ends_the_wait() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = shell(folder.path(), "exec sleep 1000", false);
        let error = child.ready_line(Duration::from_millis(1), &Stop::default());
        assert!(matches!(error, Err(Error::Silent { .. })));
        let stop = Stop::default();
        stop.raise(2);
        assert!(child.ready_line(PATIENCE, &stop).expect("no error").is_none());
        let pid = child.pid();
        drop(child);
        assert!(test_kill_process(pid).is_err(), "dropped, so dead and reaped");
    }

    #[test]
    fn a_closed_stdout_is_not_taken_for_death() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = shell(folder.path(), "exec >&-; exec sleep 1000", false);
        let error = child.ready_line(Duration::from_millis(200), &Stop::default());
        assert!(matches!(error, Err(Error::Silent { .. })));
    }

    #[test]
    fn sigterm_ends_a_child_and_sigkill_one_that_ignores_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let wait = "echo ready; while :; do sleep 1000 & wait; done";
        let mut polite = shell(folder.path(), &format!("trap 'exit 3' TERM; {wait}"), false);
        assert_eq!(first_line(&mut polite), "ready");
        polite.ask_to_end();
        assert_eq!(polite.finish(PATIENCE).expect("reaped").code(), Some(3));

        let mut deaf = shell(folder.path(), &format!("trap '' TERM; {wait}"), false);
        assert_eq!(first_line(&mut deaf), "ready");
        deaf.ask_to_end();
        let status = deaf.finish(Duration::from_millis(50)).expect("reaped");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        assert_eq!(deaf.finish(PATIENCE).expect("still known").signal(), Some(9), "twice is fine");
    }

    #[test]
    fn a_grandchild_dies_with_the_group_though_the_child_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = shell(folder.path(), "trap '' TERM; sleep 1000 & echo $!", false);
        let grandchild = number(&first_line(&mut child));
        assert!(child.ended(PATIENCE));
        assert!(test_kill_process_group(child.pid()).is_ok(), "the grandchild lives on");
        drop(child);
        assert!(is_gone(grandchild));
    }

    #[test]
    fn the_lifeline_is_inherited_and_breaks_with_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        // The arguments are `--lifeline FD`; a shell reads from FD until its end.
        let script = r#"echo $1; eval "cat <&$2"; echo over; exec sleep 1000"#;
        let mut child = shell(folder.path(), script, true);
        assert_eq!(first_line(&mut child), "--lifeline");
        assert!(child.output.last_lines().iter().all(|line| line != "over"));
        child._lifeline = None;
        let began = Instant::now();
        while !child.output.last_lines().iter().any(|line| line == "over") {
            assert!(began.elapsed() < PATIENCE, "the pipe never ended");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_cannot_start_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let spec = |program, logs| Spec {
            name: "proxy",
            program,
            arguments: vec![],
            lifeline: true,
            logs,
            kept: None,
        };
        let error = Process::start(spec(Path::new("/no/such/program"), folder.path())).err();
        let text = error.expect("refused").to_string();
        assert!(text.contains("cannot start proxy (/no/such/program)"), "{text}");
        let nowhere = folder.path().join("nowhere");
        let error = Process::start(spec(Path::new("/bin/true"), &nowhere)).err();
        let text = error.expect("refused").to_string();
        assert!(text.contains("proxy.out") && text.contains("--out"), "{text}");
    }
}
