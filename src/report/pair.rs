//! Two runs of a scenario side by side: their charts, one page. It must not know what they differ by.

use std::path::{Path, PathBuf};

use record::Run;

use crate::charts::both_spectra::{self, Both, Words};
use crate::charts::{Chart, beside};
use crate::{Artefact, Error, PAGE, paint_all, remove, write_whole};

/// Draws `charts/both_spectra.svg`, the charts over time beside each other, their `.png`s, and the page
/// round them.
pub(crate) fn render(
    variants: &[Both<'_>],
    words: &Words,
    runs: [&Run; 2],
    page: impl FnOnce(&[(Chart, String)]) -> String,
) -> Result<Vec<Artefact>, Error> {
    let mut artefacts = Vec::new();
    let mut drawn = Vec::new();
    let names: Vec<&str> = variants.iter().map(|both| both.name).collect();
    let spectra = both_spectra::draw(variants, words, runs);
    let over_time = beside::draw(&names, words.runs, runs);
    for (chart, svg, png) in paint_all(spectra.into_iter().chain(over_time).collect())? {
        let path = |ending| format!("charts/{}.{ending}", chart.name);
        artefacts.push(Artefact { path: path("svg"), bytes: svg.clone().into_bytes() });
        artefacts.push(Artefact { path: path("png"), bytes: png });
        drawn.push((chart, svg));
    }
    artefacts.push(Artefact { path: PAGE.to_owned(), bytes: page(&drawn).into_bytes() });
    Ok(artefacts)
}

/// Writes what was drawn into `folder` and returns the path of the page.
pub(crate) fn write(artefacts: &[Artefact], folder: &Path) -> Result<PathBuf, Error> {
    for artefact in artefacts {
        write_whole(&folder.join(&artefact.path), &artefact.bytes)?;
    }
    let names = [both_spectra::NAME].into_iter().chain(beside::NAMES);
    for path in names.flat_map(|name| ["svg", "png"].map(|kind| format!("charts/{name}.{kind}"))) {
        if artefacts.iter().all(|artefact| artefact.path != path) {
            remove(&folder.join(path))?;
        }
    }
    Ok(folder.join(PAGE))
}
