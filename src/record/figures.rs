//! A run of which only the figures are known: another program has measured it and kept no histogram.
//! It must not know which program, nor calculate a figure.

use std::io;

use crate::folder::{About, RunWriter};
use crate::rows::{EventLine, SpectrumRow, TimelineRow};
use crate::summary::Summary;

/// The engine of such a run, in summary.json and manifest.json.
pub const IMPORTED: &str = "imported";

/// All that is known of a run. What is not known is absent: `None`, no row, an empty list.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// summary.json.
    pub summary: Summary,
    /// timeline.csv.
    pub timeline: Vec<TimelineRow>,
    /// events.csv.
    pub events: Vec<EventLine>,
    /// spectrum.csv: the quantiles that are known.
    pub spectrum: Vec<SpectrumRow>,
}

impl RunWriter {
    /// Writes a run's figures in place of records: in place of [`RunWriter::trial`] and
    /// [`RunWriter::finish`]. latency.hlog has no interval then, and there are no backends.
    ///
    /// # Errors
    /// A file that cannot be written, by its path.
    ///
    /// # Panics
    /// When the counters of a variant do not add up, with which the folder could not be loaded.
    pub fn adopt(&mut self, about: &About, figures: &Figures) -> io::Result<()> {
        for variant in &figures.summary.variants {
            assert!(variant.counts.add_up(), "{}: {:?}", variant.name, variant.counts);
        }
        self.rows(figures.timeline.iter().cloned(), figures.events.iter().cloned())?;
        self.close(about, &figures.summary, figures.spectrum.iter().cloned())
    }
}
