//! Loads a run folder into typed rows. It must not know who wrote it.

use std::path::{Path, PathBuf};

use crate::rows::{BackendRow, EventLine, ResourceRow, SpectrumRow, TimelineRow};
use crate::summary::Summary;

/// What is wrong with a run folder: always a file, a line where there is one, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", line.map(|l| format!(":{l}")).unwrap_or_default())]
pub struct LoadError {
    /// Which file.
    pub file: String,
    /// Which line, from 1.
    pub line: Option<u64>,
    /// What is wrong with it and what to do.
    pub message: String,
}

/// A run folder, loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Where it lies.
    pub folder: PathBuf,
    /// summary.json.
    pub summary: Summary,
    /// manifest.json, untyped: it is shown, not calculated with.
    pub manifest: serde_json::Value,
    /// timeline.csv.
    pub timeline: Vec<TimelineRow>,
    /// backends.csv.
    pub backends: Vec<BackendRow>,
    /// events.csv.
    pub events: Vec<EventLine>,
    /// resources.csv; empty when simulated.
    pub resources: Vec<ResourceRow>,
    /// spectrum.csv.
    pub spectrum: Vec<SpectrumRow>,
    /// Files whose checksum is no longer the manifest's: edited since the run.
    pub edited: Vec<String>,
}

impl Run {
    /// Loads `folder`. Edited values are taken as they are (their files are named in
    /// [`Run::edited`]); missing files, broken rows and missing rows are errors.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let _ = folder;
        todo!()
    }
}
