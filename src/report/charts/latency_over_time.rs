//! p50 and p99 in every window, with faults, limits and what was noticed.

use record::Run;
use record::rows::EventLine;

use super::Chart;
use crate::fault;
use crate::figure::{Key, Sample};
use crate::limits::{self, LimitLine};
use crate::panel::{Look, Panel};
use crate::scale::Scale;
use crate::scene::{Align, Colour, Marker, Point, Scene};
use crate::theme;
use crate::timechart::{Grid, TimeChart, TimePanel};
use crate::timeline::{self, Window};
use crate::{format, words};

pub(super) const NAME: &str = "latency_over_time";

const P50: Look = Look::new(theme::BLUE, Marker::Circle);
const P99: Look = Look::new(theme::VERMILLION, Marker::Square);
const LIMIT: Colour = theme::INK;
/// The room above the lines where marks stand.
const LANE: f64 = 16.0;
/// Marks nearer than this would cover each other.
const MARKS_APART: f64 = 7.0;

pub(super) fn draw(run: &Run) -> Option<Chart> {
    draw_in(Grid::Variants, run)
}

pub(super) fn draw_in(grid: Grid, run: &Run) -> Option<Chart> {
    let variants = grid.shown(run);
    let windows: Vec<Vec<Window>> = variants.iter().map(|v| timeline::windows(run, v)).collect();
    let limits: Vec<Vec<LimitLine>> =
        variants.iter().map(|v| limits::latency_limits(run, v)).collect();
    let marks: Vec<Vec<&EventLine>> = variants.iter().map(|v| fault::marks(run, v)).collect();
    let spreads = || windows.iter().flatten().flat_map(|w| [w.p50, w.p99]).flatten();
    spreads().next()?;
    let drawn_limits: Vec<f64> = limits.iter().flatten().map(|limit| limit.limit_ms).collect();
    let y = Scale::of_latencies(spreads().flat_map(|s| [s.low, s.high]).chain(drawn_limits));
    let kind = if y.is_log() { ", log scale" } else { "" };
    let rounds = run.summary.variants.iter().map(|v| v.rounds).max().unwrap_or(1);
    let rounds = match rounds {
        0 | 1 => String::new(),
        n => format!("; lines: median of {n} rounds, ground: lowest to highest"),
    };
    let window = format::trimmed(run.summary.window_s);
    let chart = TimeChart {
        grid,
        title: "Latency over time",
        subtitle: format!("{}, windows of {window} s{kind}{rounds}", words::latency_by_window(run)),
        legend: legend(&limits, &marks),
        y_title: if y.is_log() { "latency (ms, log)" } else { "latency (ms)" },
        y,
        lane: if marks.iter().all(Vec::is_empty) { 0.0 } else { LANE },
        margin: 0.0,
    };
    let (mut scene, panels) = chart.draw(run, &variants);
    for (i, panel) in panels.iter().enumerate() {
        draw_panel(&mut scene, panel, &windows[i], &limits[i]);
        draw_marks(&mut scene, panel, &marks[i]);
    }
    Some(Chart {
        name: NAME,
        title: "Latency over time",
        reading: "Half of the good requests of a window were faster than p50, 99 in 100 faster than p99; a request counts where it should have started, so a stall shows where it began. Shaded: faults. Dashed: a limit that an expectation sets for that whole span (not for each window), as a landmark. The triangles on top are what balancers noticed.",
        alt: alt(&variants, &windows),
        left_out: grid.left_out(run),
        scene,
    })
}

fn legend(limits: &[Vec<LimitLine>], marks: &[Vec<&EventLine>]) -> Vec<Key> {
    let mut legend = vec![Key::new("p50", Sample::Line(P50)), Key::new("p99", Sample::Line(P99))];
    if limits.iter().any(|limits| !limits.is_empty()) {
        legend.push(Key::new("expected limit", Sample::Dashed(LIMIT)));
    }
    for (kind, (marker, colour)) in MARKS {
        if marks.iter().flatten().any(|event| mark_of(event) == kind) {
            legend.push(Key::new(kind, Sample::Mark(marker, colour)));
        }
    }
    legend
}

const MARKS: [(&str, (Marker, Colour)); 4] = [
    ("backend down", (Marker::TriangleDown, theme::VERMILLION)),
    ("backend ready", (Marker::TriangleUp, theme::GREEN)),
    ("backend removed", (Marker::Cross, theme::INK)),
    ("other event", (Marker::Diamond, theme::MUTED)),
];

fn mark_of(event: &EventLine) -> &'static str {
    match event.kind.as_str() {
        "down" | "ejected" => "backend down",
        "ready" | "up" | "readmitted" => "backend ready",
        "removed" => "backend removed",
        _ => "other event",
    }
}

fn draw_panel(scene: &mut Scene, panel: &TimePanel, windows: &[Window], limits: &[LimitLine]) {
    let panel = &panel.panel;
    for (turn, (look, of)) in [(P50, p50 as fn(&Window) -> _), (P99, p99)].into_iter().enumerate() {
        let ground: Vec<_> = windows
            .iter()
            .map(|w| (w.middle(), of(w).filter(|s| s.high > s.low).map(|s| (s.low, s.high))))
            .collect();
        panel.draw_between(scene, &ground, look.colour, 0.18);
        let line: Vec<_> = windows.iter().map(|w| (w.middle(), of(w).map(|s| s.mid))).collect();
        panel.draw_line(scene, &line, look, turn * 2);
    }
    let mut taken: Vec<_> = limits.iter().map(|limit| draw_limit(scene, panel, limit)).collect();
    for limit in limits {
        name_limit(scene, panel, limit, &mut taken);
    }
}

/// A limit's line, and the place that it takes.
fn draw_limit(scene: &mut Scene, panel: &Panel, limit: &LimitLine) -> [Point; 2] {
    let (from, to) = (panel.at(limit.from_s, limit.limit_ms), panel.at(limit.to_s, limit.limit_ms));
    scene.dashed(from, to, LIMIT, 1.4);
    [(from.0, from.1 - 1.0), (to.0, to.1 + 1.0)]
}

/// A limit's words on a ground of their own, since they stand among the data: above the end of its
/// line, below it where something stands above already, and else higher.
fn name_limit(scene: &mut Scene, panel: &Panel, limit: &LimitLine, taken: &mut Vec<[Point; 2]>) {
    let end = panel.at(limit.to_s, limit.limit_ms);
    let sign = if limit.above { '>' } else { '<' };
    let word = if limit.passed { '✓' } else { '✗' };
    let label = format!("{} {sign} {} ms {word}", limit.metric, format::trimmed(limit.limit_ms));
    let width = theme::text_width(&label, theme::SMALL);
    let right = end.0.max(panel.area.left + width + 4.0);
    let ground = |y: f64| [(right - 6.0 - width, y - 7.0), (right - 2.0, y + 6.0)];
    let in_the_way = |y: f64| taken.iter().find(|other| overlap(other, &ground(y)));
    let mut y = [end.1 - 9.0, end.1 + 9.0]
        .into_iter()
        .find(|&y| in_the_way(y).is_none())
        .unwrap_or(end.1 - 9.0);
    while let Some([upper, _]) = in_the_way(y) {
        y = upper.1 - 7.0;
    }
    let (place, [corner, other]) = ((right - 4.0, y), ground(y));
    taken.push([corner, other]);
    scene.rect(corner, other, theme::PAPER, 0.7);
    scene.text(place, label, theme::SMALL, theme::INK, Align::Right);
}

/// Whether two rectangles, by their upper left and lower right corners, share more than an edge.
fn overlap([a, b]: &[Point; 2], [c, d]: &[Point; 2]) -> bool {
    a.0 < d.0 && c.0 < b.0 && a.1 < d.1 && c.1 < b.1
}

fn p50(window: &Window) -> Option<timeline::Spread> {
    window.p50
}

fn p99(window: &Window) -> Option<timeline::Spread> {
    window.p99
}

/// The marks on top, each with its subject where there is room for it.
fn draw_marks(scene: &mut Scene, panel: &TimePanel, marks: &[&EventLine]) {
    let y = panel.lane_top + LANE / 2.0;
    let places: Vec<f64> = marks.iter().map(|event| panel.panel.x_at(event.t_s)).collect();
    let mut free_from = f64::NEG_INFINITY;
    for (i, event) in marks.iter().enumerate() {
        let x = places[i];
        if x < free_from {
            continue;
        }
        let kind = mark_of(event);
        let (_, (marker, colour)) = MARKS[MARKS.iter().position(|m| m.0 == kind).unwrap_or(3)];
        scene.mark((x, y), marker, 4.2, colour);
        free_from = x + MARKS_APART;
        let next =
            places.get(i + 1).copied().unwrap_or(f64::INFINITY).min(panel.panel.area.right + 8.0);
        let width = theme::text_width(&event.subject, theme::SMALL);
        if x + 8.0 + width + 6.0 < next {
            scene.text((x + 8.0, y), &event.subject, theme::SMALL, theme::MUTED, Align::Left);
        }
    }
}

fn alt(variants: &[&str], windows: &[Vec<Window>]) -> String {
    let one = |(variant, windows): (&&str, &Vec<Window>)| {
        let typical = timeline::median_of(windows.iter().filter_map(|w| w.p99.map(|s| s.mid)));
        let worst = windows
            .iter()
            .filter_map(|w| w.p99.map(|s| (s.high, w.from_s)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let (worst, at) = worst.map_or((None, 0.0), |(worst, at)| (Some(worst), at));
        format!(
            "{variant}: p99 typically {} ms, at worst {} ms at {}",
            format::optional(typical),
            format::optional(worst),
            format::seconds(at)
        )
    };
    let each: Vec<String> = variants.iter().zip(windows).map(one).collect();
    format!("Lines of p50 and p99 latency over time. {}.", each.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::Area;

    #[test]
    fn words_of_limits_stand_beside_each_other() {
        let area = Area { left: 100.0, top: 0.0, right: 1_000.0, bottom: 300.0 };
        let (x, _) = Scale::of_time(60.0);
        let panel = Panel { area, x, y: Scale::of_latencies([10.0, 2_000.0]) };
        let mut scene = Scene { width: 1_000.0, height: 300.0, shapes: Vec::new() };
        // Short spans next to each other, the last two at the same height.
        let limits: Vec<_> = [(0.0, 5.0, 150.0), (5.0, 9.0, 200.0), (5.0, 9.0, 200.0)]
            .map(|(from_s, to_s, limit_ms)| {
                let (metric, above, passed) = ("p99".to_owned(), false, true);
                LimitLine { metric, from_s, to_s, limit_ms, above, passed }
            })
            .into();
        let mut taken: Vec<_> =
            limits.iter().map(|limit| draw_limit(&mut scene, &panel, limit)).collect();
        for limit in &limits {
            name_limit(&mut scene, &panel, limit, &mut taken);
        }
        assert_eq!(taken.len(), 6);
        for (i, word) in taken.iter().enumerate().skip(3) {
            assert!(taken[..i].iter().all(|other| !overlap(word, other)), "{taken:?}");
        }
    }
}
