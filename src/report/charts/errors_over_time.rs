//! Failed and rejected requests and retries a second.

use record::Run;

use super::Chart;
use crate::figure::{Key, Sample};
use crate::format;
use crate::panel::Look;
use crate::scale::Scale;
use crate::scene::{Align, Colour, Marker, Scene};
use crate::theme;
use crate::timechart::{Grid, TimeChart, TimePanel};
use crate::timeline::{self, Window};
use crate::words;

pub(super) const NAME: &str = "errors_over_time";

const FAILED: Colour = theme::VERMILLION;
const REJECTED: Colour = theme::SKY;
const RETRIES: Look = Look { colour: theme::INK, marker: Marker::Ring, width: 1.4 };

pub(super) fn draw(run: &Run) -> Option<Chart> {
    draw_in(Grid::Variants, run)
}

pub(super) fn draw_in(grid: Grid, run: &Run) -> Option<Chart> {
    let variants = grid.shown(run);
    let windows: Vec<Vec<Window>> = variants.iter().map(|v| timeline::windows(run, v)).collect();
    let all = || windows.iter().flatten();
    all().next()?;
    let some_retries = all().any(|w| w.retries_rate.is_some_and(|rate| rate > 0.0));
    let tops = all().flat_map(|w| [w.failed_rate + w.rejected_rate, w.retries_rate.unwrap_or(0.0)]);
    let mut legend = vec![
        Key::new("failed", Sample::Ground(FAILED, 1.0)),
        Key::new("rejected (429, 503), on top of failed", Sample::Ground(REJECTED, 1.0)),
    ];
    if some_retries {
        legend.push(Key::new("retries", Sample::Line(RETRIES)));
    }
    let chart = TimeChart {
        grid,
        title: "Errors over time",
        subtitle: format!(
            "requests a second {}, windows of {} s",
            words::counted(run),
            format::trimmed(run.summary.window_s)
        ),
        legend,
        y_title: "requests/s",
        y: Scale::from_zero(tops),
        lane: 0.0,
        margin: 0.0,
    };
    let (mut scene, panels) = chart.draw(run, &variants);
    for (panel, windows) in panels.iter().zip(&windows) {
        draw_panel(&mut scene, panel, windows, some_retries);
    }
    Some(Chart {
        name: NAME,
        title: "Errors over time",
        reading: "Columns are requests that the client saw end badly, in the window in which they should have started. Retries are attempts that a balancer made again: a line of retries without columns under it is work that the balancer hid from the client.",
        alt: alt(&variants, &windows),
        left_out: grid.left_out(run),
        scene,
    })
}

fn draw_panel(scene: &mut Scene, panel: &TimePanel, windows: &[Window], retries: bool) {
    let panel = &panel.panel;
    let failed: Vec<_> = windows.iter().map(|w| (w.from_s, w.to_s, 0.0, w.failed_rate)).collect();
    let rejected: Vec<_> = windows
        .iter()
        .map(|w| (w.from_s, w.to_s, w.failed_rate, w.failed_rate + w.rejected_rate))
        .collect();
    panel.draw_columns(scene, &failed, FAILED);
    panel.draw_columns(scene, &rejected, REJECTED);
    if retries {
        let line: Vec<_> = windows.iter().map(|w| (w.middle(), w.retries_rate)).collect();
        panel.draw_line(scene, &line, RETRIES, 0);
    }
    if windows.iter().all(|w| w.failed + w.rejected == 0) {
        let middle = f64::midpoint(panel.area.left, panel.area.right);
        let place = (middle, panel.area.top + 14.0);
        let note = "no request failed or was rejected";
        let half = theme::text_width(note, theme::TEXT) / 2.0 + 6.0;
        let (corner, other) = ((place.0 - half, place.1 - 9.0), (place.0 + half, place.1 + 9.0));
        scene.rect(corner, other, theme::PAPER, 0.8);
        scene.text(place, note, theme::TEXT, theme::MUTED, Align::Middle);
    }
}

fn alt(variants: &[&str], windows: &[Vec<Window>]) -> String {
    let one = |(variant, windows): (&&str, &Vec<Window>)| {
        let sum = |of: fn(&Window) -> u64| {
            format::count(windows.iter().map(of).fold(0, u64::saturating_add))
        };
        format!("{variant}: {} failed, {} rejected", sum(|w| w.failed), sum(|w| w.rejected))
    };
    let each: Vec<String> = variants.iter().zip(windows).map(one).collect();
    format!("Columns of failed and rejected requests a second over time. {}.", each.join("; "))
}
