//! The charts of a run, one file each. They must not know files or pages.

pub(crate) mod beside;
pub(crate) mod both_spectra;
mod comparison;
mod errors_over_time;
mod in_flight;
mod latency_over_time;
mod offered_achieved;
mod resources;
mod share;
mod spectrum;

use record::Run;

use crate::scene::Scene;

/// One chart, drawn.
pub(crate) struct Chart {
    /// Its file's name without an ending.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// How to read it.
    pub(crate) reading: &'static str,
    /// What it shows, for those who cannot see it.
    pub(crate) alt: String,
    /// What had no room, in words.
    pub(crate) left_out: Option<String>,
    pub(crate) scene: Scene,
}

/// Draws one chart; `None` where the run has nothing for it.
type Draw = fn(&Run) -> Option<Chart>;

/// In the order of the page.
const ALL: [Draw; 8] = [
    comparison::draw,
    latency_over_time::draw,
    errors_over_time::draw,
    share::draw,
    in_flight::draw,
    spectrum::draw,
    offered_achieved::draw,
    resources::draw,
];

/// The names of all charts that there can be: files of an older report that no longer apply are
/// known by them.
pub(crate) const NAMES: [&str; 8] = [
    comparison::NAME,
    latency_over_time::NAME,
    errors_over_time::NAME,
    share::NAME,
    in_flight::NAME,
    spectrum::NAME,
    offered_achieved::NAME,
    resources::NAME,
];

/// The charts that this run has something for.
pub(crate) fn draw_all(run: &Run) -> Vec<Chart> {
    ALL.iter().filter_map(|draw| draw(run)).collect()
}
