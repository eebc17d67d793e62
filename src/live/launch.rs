//! What is started, and how: the command line, the lifeline, what is inherited. It must not start
//! it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Spec<'a> {
    /// "proxy", "backends": names its logs and messages.
    pub(crate) name: &'a str,
    /// Its path.
    pub(crate) program: &'a Path,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// Whether it takes `--lifeline FD` (every `lab` does).
    pub(crate) lifeline: bool,
    /// The folder of its output, which exists: `<name>.out` and `<name>.err`.
    pub(crate) logs: &'a Path,
    /// For a program that is not ours, and takes no lifeline itself.
    pub(crate) kept: Option<Kept<'a>>,
}

/// How a program that is not ours is started.
#[derive(Clone, Debug)]
pub(crate) struct Kept<'a> {
    /// The `lab` that keeps it.
    pub(crate) keeper: &'a Path,
    /// Where it works.
    pub(crate) folder: &'a Path,
    /// Variables that it gets, or does not (`None`), beside ours.
    pub(crate) environment: Vec<(&'static str, Option<OsString>)>,
    /// A descriptor that it gets under the same number.
    pub(crate) inherits: Option<BorrowedFd<'a>>,
}

impl Kept<'_> {
    fn prepare(&self, command: &mut Command) -> std::io::Result<()> {
        command.current_dir(self.folder);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(descriptor) = self.inherits {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    }
}

impl Spec<'_> {
    /// The command: no stdin, stdout and stderr piped, a process group of its own; and both ends of
    /// its lifeline, which is open as long as the second one is.
    pub(crate) fn command(&self) -> io::Result<(Command, Option<(OwnedFd, OwnedFd)>)> {
        let program = self.kept.as_ref().map_or(self.program, |kept| kept.keeper);
        let mut command = Command::new(program);
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match &self.kept {
            None => command.args(&self.arguments),
            Some(kept) => {
                kept.prepare(&mut command)?;
                command.arg("keep")
            }
        };
        let lifeline = if self.lifeline || self.kept.is_some() {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            // From here on the read end is inherited. Another child started in this moment may get
            // it too, which does no harm: only writers keep a pipe alive.
            fcntl_setfd(&read, FdFlags::empty())?;
            command.arg("--lifeline").arg(read.as_raw_fd().to_string());
            Some((read, write))
        } else {
            None
        };
        if self.kept.is_some() {
            command.arg("--").arg(self.program).args(&self.arguments);
        }
        Ok((command, lifeline))
    }
}
