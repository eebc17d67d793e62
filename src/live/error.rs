//! Why a trial could not be played. It must not know exit codes: the binary translates.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::CallError;
use crate::load::LoadError;
use crate::subject::Unsupported;

/// Why a trial could not be played, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A log or a child's configuration could not be written.
    #[error("cannot write {}: {source}; give a folder that can be written (--out)", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {name} ({}): {source}", program.display())]
    Start {
        /// "proxy", "backends".
        name: String,
        /// Its path.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A child ended though nobody had asked it to.
    #[error("{0}")]
    Died(Death),
    /// A child did not say in time that it is ready.
    #[error(
        "{name} did not report its ports within {} s; what it printed is in {}{}",
        within.as_secs(), logs.display(), LastLines(last_lines)
    )]
    Silent {
        /// "proxy", "backends".
        name: String,
        /// How long it had.
        within: Duration,
        /// Where its output is.
        logs: PathBuf,
        /// The end of what it printed.
        last_lines: Vec<String>,
    },
    /// A child's first line was not the one it owes.
    #[error(
        "{name} reported {:?}, which is not its ready line: {problem}",
        line.chars().take(200).collect::<String>()
    )]
    Confused {
        /// "proxy", "backends".
        name: String,
        /// What it printed.
        line: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The proxy does not find every backend ready.
    #[error(
        "after {} s the proxy still finds {}; look at [proxy.health] (path, timeout) and at the proxy's log",
        within.as_secs(), waiting.join(", ")
    )]
    NotReady {
        /// Names, states and reasons.
        waiting: Vec<String>,
        /// How long they had.
        within: Duration,
    },
    /// An API of a child did not do what it should.
    #[error("{name} at {address}: {source}")]
    Call {
        /// "the proxy's admin API", "the backends' control API".
        name: &'static str,
        /// Where it listens.
        address: SocketAddr,
        /// What happened.
        source: CallError,
    },
    /// The subject cannot play what the scenario asks for.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unsupported(Vec<Unsupported>),
    /// Artillery did not come to its end.
    #[error(
        "Artillery {how}; all that it printed is in {}/artillery.out and .err. Play it again, and \
         look for memory and time that others take; or use the built-in generator (--load builtin){}",
        logs.display(), LastLines(last_lines)
    )]
    Artillery {
        /// What happened.
        how: String,
        /// Where its output is.
        logs: PathBuf,
        /// The end of what it printed.
        last_lines: Vec<String>,
    },
    /// Artillery is to play, and nobody has installed it: whoever plays a trial does so before.
    #[error("Artillery is not installed; please report this")]
    NoArtillery,
    /// The generator could not start or go on.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No event loop for the conductor.
    #[error("cannot set up an event loop: {0}; look at the limit of open files (ulimit -n)")]
    Runtime(io::Error),
    /// The system keeps no account of processes.
    #[error("cannot read what processes use: {0}; is /proc mounted?")]
    Gauges(sysinfo::Error),
    /// A thread of ours broke: a mistake of ours.
    #[error("the {0} broke down; please report this")]
    Panicked(&'static str),
}

impl Error {
    /// Whether the machine, a port, a program or a folder is to blame, and not the lab itself.
    pub const fn is_environment(&self) -> bool {
        !matches!(self, Self::Confused { .. } | Self::NoArtillery | Self::Panicked(_))
    }
}

/// How a child ended though nobody had asked it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// "proxy", "backends".
    pub name: String,
    /// "exit code 1", "signal 9".
    pub status: String,
    /// The end of what it printed, at most ten lines.
    pub last_lines: Vec<String>,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, status, last_lines } = self;
        write!(f, "{name} died unasked ({status}){}", LastLines(last_lines))
    }
}

/// The end of a child's output, as the end of a message.
pub(crate) struct LastLines<'a>(pub(crate) &'a [String]);

impl fmt::Display for LastLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "; it printed nothing");
        }
        write!(f, "; its last lines:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}
