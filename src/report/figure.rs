//! The frame of a chart: title, legend, and panels side by side and one above the other.
//! It must not know what is drawn in the panels.

use crate::panel::{Area, Look};
use crate::scene::{Align, Colour, Marker, Scene};
use crate::theme;

const SIDE: f64 = 72.0;
const RIGHT_SIDE: f64 = 24.0;
const BETWEEN_COLUMNS: f64 = 56.0;
/// Below the lowest panels: tick labels and the axis title.
const FOOT: f64 = 50.0;
const HEADING: f64 = 22.0;
const BETWEEN_ROWS: f64 = 18.0;
const LEGEND_ROW: f64 = 20.0;

/// How an entry of the legend looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sample {
    Line(Look),
    Dashed(Colour),
    Ground(Colour, f64),
    Mark(Marker, Colour),
}

/// An entry of the legend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) label: String,
    pub(crate) sample: Sample,
}

impl Key {
    pub(crate) fn new(label: impl Into<String>, sample: Sample) -> Self {
        Self { label: label.into(), sample }
    }
}

/// What stands round the panels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Frame {
    pub(crate) title: String,
    /// What is drawn, in which unit.
    pub(crate) subtitle: String,
    pub(crate) legend: Vec<Key>,
    /// One a panel; empty ones take no room when all are.
    pub(crate) headings: Vec<String>,
    pub(crate) columns: usize,
    /// Of the panels' insides.
    pub(crate) panel_height: f64,
    /// Room to the right of each panel, for labels at the lines' ends.
    pub(crate) margin: f64,
}

impl Frame {
    /// The scene with everything round the panels drawn, and where the panels' insides are.
    pub(crate) fn draw(&self) -> (Scene, Vec<Area>) {
        let mut scene = Scene { width: theme::WIDTH, ..Scene::default() };
        let room = theme::WIDTH - 48.0;
        let title = theme::fitted(&self.title, theme::TITLE, room);
        scene.text((24.0, 26.0), title, theme::TITLE, theme::INK, Align::Left);
        let subtitle = theme::fitted(&self.subtitle, theme::TEXT, room);
        scene.text((24.0, 48.0), subtitle, theme::TEXT, theme::MUTED, Align::Left);
        let top = self.draw_legend(&mut scene, 72.0) + 12.0;
        let areas = self.areas(top);
        for (area, heading) in areas.iter().zip(&self.headings) {
            let heading = theme::fitted(heading, theme::TEXT, area.width());
            let place = (area.left, area.top - HEADING / 2.0 - 2.0);
            scene.text(place, heading, theme::TEXT, theme::INK, Align::Left);
        }
        scene.height = areas.iter().map(|area| area.bottom).fold(top, f64::max) + FOOT;
        (scene, areas)
    }

    /// Whether the panel with this number has none below it.
    pub(crate) fn is_lowest(&self, panel: usize) -> bool {
        panel + self.columns >= self.headings.len()
    }

    /// Whether it has none to its left.
    pub(crate) fn is_leftmost(&self, panel: usize) -> bool {
        panel.is_multiple_of(self.columns)
    }

    fn areas(&self, top: f64) -> Vec<Area> {
        let width = panel_width(self.columns, 0.0);
        let heading = if self.headings.iter().all(String::is_empty) { 0.0 } else { HEADING };
        (0..self.headings.len())
            .map(|i| {
                let (row, column) = ((i / self.columns) as f64, (i % self.columns) as f64);
                let left = SIDE + column * (width + BETWEEN_COLUMNS);
                let top = top + heading + row * (heading + self.panel_height + BETWEEN_ROWS);
                let (right, bottom) = (left + width - self.margin, top + self.panel_height);
                Area { left, top, right, bottom }
            })
            .collect()
    }

    /// Draws the legend's rows and returns the place below them.
    fn draw_legend(&self, scene: &mut Scene, top: f64) -> f64 {
        let (mut x, mut y) = (24.0, top);
        for key in &self.legend {
            let label = theme::fitted(&key.label, theme::TEXT, 420.0);
            let width = 32.0 + theme::text_width(&label, theme::TEXT) + 22.0;
            if x > 24.0 && x + width > theme::WIDTH - 12.0 {
                (x, y) = (24.0, y + LEGEND_ROW);
            }
            draw_sample(scene, (x, y), key.sample);
            scene.text((x + 32.0, y), label, theme::TEXT, theme::INK, Align::Left);
            x += width;
        }
        if self.legend.is_empty() { y - 10.0 } else { y + 8.0 }
    }
}

fn draw_sample(scene: &mut Scene, (x, y): (f64, f64), sample: Sample) {
    match sample {
        Sample::Line(look) => {
            scene.line(vec![(x, y), (x + 26.0, y)], look.colour, look.width);
            scene.mark((x + 13.0, y), look.marker, 3.4, look.colour);
        }
        Sample::Dashed(colour) => scene.dashed((x, y), (x + 26.0, y), colour, 1.5),
        Sample::Ground(colour, alpha) => {
            scene.rect((x + 6.0, y - 6.0), (x + 26.0, y + 6.0), colour, alpha);
        }
        Sample::Mark(marker, colour) => scene.mark((x + 18.0, y), marker, 4.5, colour),
    }
}

/// The width of each panel's inside.
pub(crate) fn panel_width(columns: usize, margin: f64) -> f64 {
    let columns = columns.max(1) as f64;
    let inside = theme::WIDTH - SIDE - RIGHT_SIDE - BETWEEN_COLUMNS * (columns - 1.0);
    inside / columns - margin
}

/// How many panels stand side by side.
pub(crate) const fn columns_for(panels: usize) -> usize {
    if panels <= 2 { 1 } else { 2 }
}
