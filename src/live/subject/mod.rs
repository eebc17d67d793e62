//! Systems under test: what stands between the load and the backends.
//!
//! A subject is a pure plan: which program to start with which files, and where the load goes. It
//! must not start anything, open anything or know the conductor that performs the plan.

pub mod direct;
pub mod lab;

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use scenario::{SubjectKind, Trial};

/// What a subject may know of the trial's surroundings: the backends are up already.
#[derive(Clone, Copy, Debug)]
pub struct Topology<'a> {
    /// What is to be played.
    pub trial: &'a Trial,
    /// Where each backend of the trial listens, in the trial's order.
    pub backends: &'a [SocketAddr],
    /// The `lab` program.
    pub exe: &'a Path,
    /// The folder in which the subject's files will be written.
    pub folder: &'a Path,
    /// The run's time zero (`--epoch`), ns of CLOCK_MONOTONIC.
    pub epoch_ns: u64,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// Nothing to start: the load goes to these addresses in turn.
    Nothing {
        /// At least one.
        addresses: Vec<SocketAddr>,
    },
    /// A program that reports its ports on stdout when it is ready; the load goes there.
    Program(Program),
}

/// A program to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its path.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Files to write before, with their contents.
    pub files: Vec<(PathBuf, String)>,
}

/// Something that a scenario asks for and a subject cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The subject's name.
    pub subject: &'static str,
    /// The scenario's key.
    pub key: String,
    /// Why not, and what to write instead.
    pub remedy: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy.kind = \"{}\" cannot have {}: {}", self.subject, self.key, self.remedy)
    }
}

/// A system under test.
pub trait Subject {
    /// The word that stands in scenarios.
    fn name(&self) -> &'static str;

    /// What the trial asks for and this subject cannot do; nothing when it can be played.
    fn check(&self, trial: &Trial) -> Vec<Unsupported>;

    /// What to start, and where the load goes. Only for a trial that passed [`Subject::check`].
    fn plan(&self, topology: &Topology<'_>) -> Launch;
}

/// The subject of this kind.
pub fn of(kind: SubjectKind) -> &'static dyn Subject {
    match kind {
        SubjectKind::Lab => &lab::Lab,
        SubjectKind::Direct => &direct::Direct,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use base::Distribution;
    use policy::Registry;
    use scenario::{Overrides, Trial};

    const SCENARIO: &str = r#"
        name = "subjects"
        question = "Does every subject get what the scenario says?"
        seed = 7
        [proxy]
        strategy = { name = "p2c", choices = 3 }
        workers = 2
        [proxy.health]
        interval = "250ms"
        [proxy.timeout]
        attempt = "1500ms"
        [[backends]]
        name = "a"
        count = 2
        weight = 3
        service = { distribution = "constant", value = "20ms" }
        [load]
        warmup = "1s"
        [[load.phases]]
        name = "steady"
        duration = "2s"
        rate = 50
    "#;

    /// The first trial of a small scenario of this kind.
    pub(crate) fn trial(kind: &str) -> Trial {
        let overrides = Overrides { proxy: Some(kind.into()), ..Overrides::default() };
        let registry = Registry::standard();
        let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let scenario = scenario::parse("subjects.toml", SCENARIO, &overrides, &registry, &read);
        scenario.expect("a valid scenario").trials().swap_remove(0)
    }

    #[test]
    fn the_trial_is_the_one_that_was_written() {
        let trial = trial("lab");
        assert_eq!(trial.variant.backends.len(), 2);
        let service = &trial.variant.backends[0].model.service;
        assert_eq!(*service, Distribution::Constant { value: 0.02 });
    }
}
