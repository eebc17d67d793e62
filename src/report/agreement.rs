//! A run under the built-in generator and one under Artillery, drawn side by side. It must not
//! compare: `record` has done that.

use std::path::{Path, PathBuf};

use record::agreement::VariantAgreement;
use record::{Agreement, Run};

use crate::charts::both_spectra::{Both, Words};
use crate::{Artefact, Error, page, pair};

const WORDS: Words = Words {
    title: "Latency by percentile, under two load generators",
    subtitle: "; Artillery: 1 ms clock",
    runs: ["built-in", "Artillery"],
    reading: "Solid is what the built-in generator measured, dashed what Artillery did, under the same load. The dashed line lies above the solid one by what Artillery takes to prepare a request, some milliseconds on a slow core: its own work, which the table names, and none of the system under test. Where they part further, one of the two measured itself or its machine. A line ends where fewer than ten requests are slower: what is beyond is chance, and stands in spectrum.csv of both runs.",
};

/// Draws both spectra, the charts over time beside each other, and `report.html`.
pub fn render(
    agreement: &Agreement,
    builtin: &Run,
    artillery: &Run,
) -> Result<Vec<Artefact>, Error> {
    let variants: Vec<Both<'_>> = agreement.variants.iter().map(both).collect();
    let runs = [builtin, artillery];
    pair::render(&variants, &WORDS, runs, |drawn| page::agreement::page(agreement, drawn))
}

/// Writes what [`render`] draws into `folder` and returns the path of the page.
pub fn write(
    agreement: &Agreement,
    builtin: &Run,
    artillery: &Run,
    folder: &Path,
) -> Result<PathBuf, Error> {
    pair::write(&render(agreement, builtin, artillery)?, folder)
}

fn both(variant: &VariantAgreement) -> Both<'_> {
    let VariantAgreement { name, agrees, builtin, artillery, .. } = variant;
    Both {
        name,
        heading: format!("{name}: {}", if *agrees { "they agree" } else { "they differ" }),
        p50: [builtin.p50_ms, artillery.p50_ms],
        p99: [builtin.p99_ms, artillery.p99_ms],
    }
}
