//! A live run and its simulation drawn side by side: their charts, one page. It must not compare:
//! `record` has done that.

use std::path::{Path, PathBuf};

use record::fidelity::VariantComparison;
use record::{Comparison, Run};

use crate::charts::both_spectra::{Both, Words};
use crate::{Artefact, Error, page, pair};

const WORDS: Words = Words {
    title: "Latency by percentile, measured and simulated",
    subtitle: "",
    runs: ["live", "simulated"],
    reading: "Solid is what was measured, dashed what was simulated. Go up from a percentile: where the two lines lie on each other the simulation tells what really happened; the distance between them there is its error at this percentile. A line ends where fewer than ten requests are slower: what is beyond is chance, and stands in spectrum.csv of both runs.",
};

/// Draws both spectra, the charts over time beside each other, and `report.html`.
pub fn render(comparison: &Comparison, live: &Run, sim: &Run) -> Result<Vec<Artefact>, Error> {
    let variants: Vec<Both<'_>> = comparison.variants.iter().map(both).collect();
    pair::render(&variants, &WORDS, [live, sim], |drawn| page::fidelity::page(comparison, drawn))
}

/// Writes what [`render`] draws into `folder` and returns the path of the page.
pub fn write(
    comparison: &Comparison,
    live: &Run,
    sim: &Run,
    folder: &Path,
) -> Result<PathBuf, Error> {
    pair::write(&render(comparison, live, sim)?, folder)
}

fn both(variant: &VariantComparison) -> Both<'_> {
    Both {
        name: &variant.name,
        heading: format!("{}: {}", variant.name, variant.grade.word()),
        p50: [variant.p50_ms.live, variant.p50_ms.sim],
        p99: [variant.p99_ms.live, variant.p99_ms.sim],
    }
}
