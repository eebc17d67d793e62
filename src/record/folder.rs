//! Writes a run folder (DESIGN.md §7). It must not decide anything but the files' syntax.

use std::path::{Path, PathBuf};

use crate::expect::Expectation;
use crate::recorder::TrialRecord;
use crate::summary::Summary;

/// What the run was, for manifest.json and summary.json.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The scenario's name.
    pub scenario: String,
    /// Its question.
    pub question: String,
    /// Its text, as read.
    pub scenario_text: String,
    /// "live" or "sim".
    pub engine: String,
    /// The seed.
    pub seed: u64,
    /// `--set`, `--vary` … as given.
    pub overrides: Vec<String>,
    /// The command line.
    pub command_line: Vec<String>,
    /// lab's version, and what else took part ("nginx 1.22.1").
    pub versions: Vec<(String, String)>,
    /// The machine: ("cores", "2"), ("kernel", "6.1"), ("memory_bytes", "…").
    pub host: Vec<(String, String)>,
    /// The revision of the source, where it is known.
    pub git_revision: Option<String>,
    /// When it began, RFC 3339, UTC.
    pub started: String,
}

/// Writes the records of a run.
pub struct RunWriter {
    folder: PathBuf,
}

impl RunWriter {
    /// Makes the folder with its parents. An existing folder that is neither empty nor a run
    /// folder is refused; the files of an old run in it are removed first.
    pub fn create(folder: &Path) -> std::io::Result<Self> {
        let _ = folder;
        todo!()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a trial: its rows are appended to the files now, so that a run that dies later has
    /// lost nothing. Trials come in the order of rounds, then variants.
    pub fn trial(&mut self, record: TrialRecord) -> std::io::Result<()> {
        let _ = record;
        todo!()
    }

    /// Writes the summaries and judges the expectations. `interrupted` wins over every verdict.
    pub fn finish(
        &mut self,
        about: &About,
        expectations: &[Expectation],
        interrupted: bool,
    ) -> std::io::Result<Summary> {
        let _ = (about, expectations, interrupted);
        todo!()
    }

    /// Writes manifest.json with the checksum of every other file, the charts included: last.
    pub fn seal(self, about: &About) -> std::io::Result<()> {
        let _ = about;
        todo!()
    }
}
