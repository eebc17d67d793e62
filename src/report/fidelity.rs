//! A live run and its simulation drawn side by side: one chart, one page. It must not compare:
//! `record` has done that.

use std::path::{Path, PathBuf};

use record::{Comparison, Run};

use crate::charts::both_spectra;
use crate::{Artefact, Error, PAGE, page, paint_all, remove, write_whole};

/// Draws `charts/both_spectra.svg`, its `.png`, and `report.html`.
pub fn render(comparison: &Comparison, live: &Run, sim: &Run) -> Result<Vec<Artefact>, Error> {
    let mut artefacts = Vec::new();
    let mut drawn = Vec::new();
    let charts = both_spectra::draw(comparison, live, sim);
    for (chart, svg, png) in paint_all(charts.into_iter().collect())? {
        let bytes = svg.clone().into_bytes();
        artefacts.push(Artefact { path: path("svg"), bytes });
        artefacts.push(Artefact { path: path("png"), bytes: png });
        drawn.push((chart, svg));
    }
    let page = page::fidelity::page(comparison, &drawn);
    artefacts.push(Artefact { path: PAGE.to_owned(), bytes: page.into_bytes() });
    Ok(artefacts)
}

fn path(ending: &str) -> String {
    format!("charts/{}.{ending}", both_spectra::NAME)
}

/// Writes what [`render`] draws into `folder` and returns the path of the page.
pub fn write(
    comparison: &Comparison,
    live: &Run,
    sim: &Run,
    folder: &Path,
) -> Result<PathBuf, Error> {
    let artefacts = render(comparison, live, sim)?;
    for artefact in &artefacts {
        write_whole(&folder.join(&artefact.path), &artefact.bytes)?;
    }
    for path in ["svg", "png"].map(path) {
        if artefacts.iter().all(|artefact| artefact.path != path) {
            remove(&folder.join(path))?;
        }
    }
    Ok(folder.join(PAGE))
}
