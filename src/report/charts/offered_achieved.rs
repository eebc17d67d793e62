//! What the schedule offered, what was sent and what was answered well, a second.

use record::Run;

use super::Chart;
use crate::figure::{Key, Sample};
use crate::format;
use crate::panel::Look;
use crate::scale::Scale;
use crate::scene::{Marker, Scene};
use crate::theme;
use crate::timechart::{Grid, TimeChart, TimePanel};
use crate::timeline::{self, Window};
use crate::words;

pub(super) const NAME: &str = "offered_achieved";

const SENT: Look = Look::new(theme::BLUE, Marker::Circle);
const OK: Look = Look::new(theme::GREEN, Marker::TriangleUp);

pub(super) fn draw(run: &Run) -> Option<Chart> {
    draw_in(Grid::Variants, run)
}

pub(super) fn draw_in(grid: Grid, run: &Run) -> Option<Chart> {
    let variants = grid.shown(run);
    let windows: Vec<Vec<Window>> = variants.iter().map(|v| timeline::windows(run, v)).collect();
    let all = || windows.iter().flatten();
    all().next()?;
    let chart = TimeChart {
        grid,
        title: "Offered against achieved load",
        subtitle: format!(
            "requests a second {}, windows of {} s",
            words::counted(run),
            format::trimmed(run.summary.window_s)
        ),
        legend: vec![
            Key::new(words::offered(run), Sample::Ground(theme::OTHERS, 0.6)),
            Key::new("sent", Sample::Line(SENT)),
            Key::new("answered well", Sample::Line(OK)),
        ],
        y_title: "requests/s",
        y: Scale::from_zero(all().flat_map(|w| [w.intended_rate, w.sent_rate, w.ok_rate])),
        lane: 0.0,
        margin: 0.0,
    };
    let (mut scene, panels) = chart.draw(run, &variants);
    for (panel, windows) in panels.iter().zip(&windows) {
        draw_panel(&mut scene, panel, windows);
    }
    let each: Vec<String> = (run.summary.variants.iter().take(variants.len()))
        .map(|v| {
            let (offered, achieved) = (format::short(v.offered_rps), format::short(v.achieved_rps));
            format!("{}: {offered} offered, {achieved} achieved", v.name)
        })
        .collect();
    Some(Chart {
        name: NAME,
        title: "Offered against achieved load",
        reading: "The load is open: the schedule does not slow down when answers do. Where “sent” leaves the grey ground the generator or its connections did not keep up; where “answered well” leaves “sent” requests failed or were rejected.",
        alt: format!("Requests a second over time. {}.", each.join("; ")),
        left_out: grid.left_out(run),
        scene,
    })
}

fn draw_panel(scene: &mut Scene, panel: &TimePanel, windows: &[Window]) {
    let panel = &panel.panel;
    // Steps, because a rate holds for its whole window.
    let offered: Vec<_> = windows
        .iter()
        .flat_map(|w| [w.from_s, w.to_s].map(|t| (t, Some((0.0, w.intended_rate)))))
        .collect();
    panel.draw_between(scene, &offered, theme::OTHERS, 0.6);
    let sent: Vec<_> = windows.iter().map(|w| (w.middle(), Some(w.sent_rate))).collect();
    let ok: Vec<_> = windows.iter().map(|w| (w.middle(), Some(w.ok_rate))).collect();
    panel.draw_line(scene, &sent, SENT, 0);
    panel.draw_line(scene, &ok, OK, 2);
}
