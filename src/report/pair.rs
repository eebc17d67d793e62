//! Two runs of a scenario side by side: one chart, one page. It must not know what they differ by.

use std::path::{Path, PathBuf};

use record::Run;

use crate::charts::Chart;
use crate::charts::both_spectra::{self, Both, Words};
use crate::{Artefact, Error, PAGE, paint_all, remove, write_whole};

/// Draws `charts/both_spectra.svg`, its `.png`, and the page round it.
pub(crate) fn render(
    variants: &[Both<'_>],
    words: &Words,
    runs: [&Run; 2],
    page: impl FnOnce(&[(Chart, String)]) -> String,
) -> Result<Vec<Artefact>, Error> {
    let mut artefacts = Vec::new();
    let mut drawn = Vec::new();
    let charts = both_spectra::draw(variants, words, runs);
    for (chart, svg, png) in paint_all(charts.into_iter().collect())? {
        let bytes = svg.clone().into_bytes();
        artefacts.push(Artefact { path: path("svg"), bytes });
        artefacts.push(Artefact { path: path("png"), bytes: png });
        drawn.push((chart, svg));
    }
    artefacts.push(Artefact { path: PAGE.to_owned(), bytes: page(&drawn).into_bytes() });
    Ok(artefacts)
}

fn path(ending: &str) -> String {
    format!("charts/{}.{ending}", both_spectra::NAME)
}

/// Writes what was drawn into `folder` and returns the path of the page.
pub(crate) fn write(artefacts: &[Artefact], folder: &Path) -> Result<PathBuf, Error> {
    for artefact in artefacts {
        write_whole(&folder.join(&artefact.path), &artefact.bytes)?;
    }
    for path in ["svg", "png"].map(path) {
        if artefacts.iter().all(|artefact| artefact.path != path) {
            remove(&folder.join(path))?;
        }
    }
    Ok(folder.join(PAGE))
}
