//! Panels over time, one a variant on the same axes, with the faults behind them.
//! It must not know what is drawn over time.

use record::Run;

use crate::fault::{self, Fault};
use crate::figure::{Frame, Key, Sample, columns_for, panel_width};
use crate::panel::{Area, Panel};
use crate::scale::Scale;
use crate::scene::{Align, Scene};
use crate::theme;
use crate::words;

/// More panels are not comparable at a glance.
pub(crate) const MAX_PANELS: usize = 6;
/// Rows of labels above the lines.
const MAX_LABEL_ROWS: usize = 3;
const LABEL_ROW: f64 = 16.0;
/// More bands than this are a flapping backend: their edges would hide the lines.
const MAX_BANDS: usize = 60;

/// What is drawn over time.
pub(crate) struct TimeChart {
    pub(crate) grid: Grid,
    pub(crate) title: &'static str,
    pub(crate) subtitle: String,
    pub(crate) legend: Vec<Key>,
    pub(crate) y_title: &'static str,
    pub(crate) y: Scale,
    /// Room on top of each panel for what the chart itself puts there.
    pub(crate) lane: f64,
    /// Room to the right of each panel.
    pub(crate) margin: f64,
}

/// How the variants of a run get their panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grid {
    /// A panel for each.
    Variants,
    /// A row for each two that follow each other: one variant as two runs have it.
    Pairs,
}

impl Grid {
    /// Of so many a run's charts have panels: the first ones in the scenario's order.
    const fn most(self) -> usize {
        self.of_one() * MAX_PANELS
    }

    /// The panels of one variant of the scenario.
    const fn of_one(self) -> usize {
        match self {
            Self::Variants => 1,
            Self::Pairs => 2,
        }
    }

    fn columns(self, panels: usize) -> usize {
        match self {
            Self::Variants => columns_for(panels),
            Self::Pairs => 2,
        }
    }

    /// The variants that get a panel.
    pub(crate) fn shown(self, run: &Run) -> Vec<&str> {
        let shown = run.summary.variants.iter().take(self.most());
        shown.map(|variant| variant.name.as_str()).collect()
    }

    /// What [`Grid::shown`] leaves out, in words.
    pub(crate) fn left_out(self, run: &Run) -> Option<String> {
        let all = run.summary.variants.len() / self.of_one();
        (all > MAX_PANELS).then(|| {
            format!("{MAX_PANELS} of {all} variants shown: the first in the scenario's order.")
        })
    }
}

/// A panel of a time chart: its axes, and the top of the room above its lines.
pub(crate) struct TimePanel {
    pub(crate) panel: Panel,
    pub(crate) lane_top: f64,
}

impl TimeChart {
    /// The scene with frame, faults and axes, and one panel a variant to draw into.
    pub(crate) fn draw(self, run: &Run, variants: &[&str]) -> (Scene, Vec<TimePanel>) {
        let faults: Vec<Vec<Fault>> = variants.iter().map(|v| fault::faults(run, v)).collect();
        let (x, unit) = Scale::of_time(run.summary.duration_s);
        let columns = self.grid.columns(variants.len());
        let inside = panel_width(columns, self.margin);
        let rows = faults.iter().map(|f| label_rows(f, &x, inside)).max().unwrap_or(0);
        let lane = rows as f64 * LABEL_ROW + self.lane;
        let mut legend = self.legend;
        if faults.iter().any(|faults| !faults.is_empty()) {
            legend.push(Key::new("fault", Sample::Ground(theme::BAND, 0.18)));
        }
        let single = variants.len() == 1;
        let frame = Frame {
            title: self.title.to_owned(),
            subtitle: self.subtitle,
            legend,
            headings: variants
                .iter()
                .map(|v| if single { String::new() } else { (*v).to_owned() })
                .collect(),
            columns,
            panel_height: if single { 250.0 } else { 170.0 } + lane,
            margin: self.margin,
        };
        let (mut scene, areas) = frame.draw();
        let mut panels = Vec::new();
        for (i, area) in areas.iter().enumerate() {
            let inner = Area { top: area.top + lane, ..*area };
            let panel = Panel { area: inner, x: x.clone(), y: self.y.clone() };
            draw_bands(&mut scene, &panel, area.top, &faults[i]);
            panel.draw_axes(&mut scene, frame.is_lowest(i));
            if frame.is_lowest(i) {
                panel.draw_x_title(
                    &mut scene,
                    &format!("time from {} ({})", words::zero(run), unit.word()),
                );
            }
            if frame.is_leftmost(i) {
                panel.draw_y_title(&mut scene, self.y_title);
            }
            panels.push(TimePanel { panel, lane_top: area.top + rows as f64 * LABEL_ROW });
        }
        (scene, panels)
    }
}

/// Label, left end and row of each fault's label; `None` as row where there is no room.
fn labels(faults: &[Fault], x: &Scale, width: f64) -> Vec<(String, f64, Option<usize>)> {
    let mut ends = [f64::NEG_INFINITY; MAX_LABEL_ROWS];
    faults
        .iter()
        .take(MAX_BANDS)
        .map(|fault| {
            let label = theme::fitted(&fault.label(), theme::SMALL, width * 0.6);
            let wide = theme::text_width(&label, theme::SMALL);
            let left = (x.place(fault.from_s) * width + 4.0).min(width - wide).max(0.0);
            let row = ends.iter().position(|end| *end + 8.0 <= left);
            if let Some(row) = row {
                ends[row] = left + wide;
            }
            (label, left, row)
        })
        .collect()
}

fn label_rows(faults: &[Fault], x: &Scale, width: f64) -> usize {
    labels(faults, x, width).iter().filter_map(|(_, _, row)| *row).max().map_or(0, |row| row + 1)
}

fn draw_bands(scene: &mut Scene, panel: &Panel, top: f64, faults: &[Fault]) {
    let Area { left, right, bottom, .. } = panel.area;
    for fault in faults.iter().take(MAX_BANDS) {
        let from = panel.x_at(fault.from_s);
        let to = fault.to_s.map_or(right, |to| panel.x_at(to));
        scene.rect((from, top), (to.max(from + 1.0), bottom), theme::BAND, 0.11);
        scene.line(vec![(from, top), (from, bottom)], theme::BAND, 0.8);
    }
    for (label, offset, row) in labels(faults, &panel.x, panel.area.width()) {
        if let Some(row) = row {
            let place = (left + offset, top + row as f64 * LABEL_ROW + LABEL_ROW / 2.0 + 1.0);
            scene.text(place, label, theme::SMALL, theme::INK, Align::Left);
        }
    }
}

/// The beginnings and ends of faults as lines, for charts whose grounds hide the bands.
pub(crate) fn draw_edges(scene: &mut Scene, panel: &Panel, faults: &[Fault]) {
    for fault in faults.iter().take(MAX_BANDS) {
        for t in [Some(fault.from_s), fault.to_s].into_iter().flatten() {
            let x = panel.x_at(t);
            scene.dashed((x, panel.area.top), (x, panel.area.bottom), theme::INK, 1.2);
        }
    }
}
