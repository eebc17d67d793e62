//! A run folder drawn: charts and one self-contained page. It must not know engines: it reads the
//! rows that `record` loaded and nothing else.
//!
//! No clock, no chance, no environment: the same run gives the same bytes, so `lab report DIR`
//! can be repeated, and a value changed in a CSV file changes the chart that is drawn from it.

pub mod agreement;
mod charts;
pub mod deviations;
mod fault;
pub mod fidelity;
mod figure;
#[cfg(test)]
mod fixture;
mod format;
mod limits;
mod page;
mod paint;
mod pair;
mod panel;
mod recovery;
mod scale;
mod scene;
#[cfg(test)]
mod tests;
mod theme;
mod timechart;
mod timeline;
mod words;

use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use record::Run;

use crate::charts::Chart;

const PAGE: &str = "report.html";

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
    #[error("cannot write {}: {source}; make room for it, or draw a copy of the folder elsewhere", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Draws everything: `charts/*.svg`, `charts/*.png` and `report.html`.
pub fn render(run: &Run) -> Result<Vec<Artefact>, Error> {
    let mut artefacts = Vec::new();
    let mut drawn = Vec::new();
    for (chart, svg, png) in paint_all(charts::draw_all(run))? {
        let path = |ending| format!("charts/{}.{ending}", chart.name);
        artefacts.push(Artefact { path: path("svg"), bytes: svg.clone().into_bytes() });
        artefacts.push(Artefact { path: path("png"), bytes: png });
        drawn.push((chart, svg));
    }
    let page = page::page(run, &drawn);
    artefacts.push(Artefact { path: PAGE.to_owned(), bytes: page.into_bytes() });
    Ok(artefacts)
}

/// Each chart with its SVG and PNG files, painted side by side: pixels take most of the time.
fn paint_all(charts: Vec<Chart>) -> Result<Vec<(Chart, String, Vec<u8>)>, Error> {
    thread::scope(|scope| {
        let painters: Vec<_> = charts
            .into_iter()
            .map(|chart| {
                scope.spawn(move || {
                    let failed = |message| Error::Draw { chart: chart.name, message };
                    let svg = paint::svg(&chart.scene, &chart.alt).map_err(failed)?;
                    let png = paint::png(&chart.scene).map_err(failed)?;
                    Ok((chart, svg, png))
                })
            })
            .collect();
        painters
            .into_iter()
            .map(|painter| painter.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

/// Writes what [`render`] draws into `folder` and returns the path of the page. A file appears
/// whole or not at all; charts of an earlier report that no longer apply are removed.
pub fn write(run: &Run, folder: &Path) -> Result<PathBuf, Error> {
    let artefacts = render(run)?;
    for artefact in &artefacts {
        write_whole(&folder.join(&artefact.path), &artefact.bytes)?;
    }
    for name in charts::NAMES {
        for ending in ["svg", "png"] {
            let path = format!("charts/{name}.{ending}");
            if artefacts.iter().all(|artefact| artefact.path != path) {
                remove(&folder.join(path))?;
            }
        }
    }
    Ok(folder.join(PAGE))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Write { path: path.to_path_buf(), source })
        }
        _ => Ok(()),
    }
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
