//! Requests inside each backend over time.

use record::Run;

use super::Chart;
use super::share::{MAX_BACKENDS, left_out, names, picked};
use crate::figure::{Key, Sample};
use crate::panel::Look;
use crate::scale::Scale;
use crate::scene::Scene;
use crate::theme;
use crate::timechart::{Grid, TimeChart, TimePanel};
use crate::timeline::{self, BackendLine};

pub(super) const NAME: &str = "in_flight";

const MAX_POINTS: usize = 300;

pub(super) fn draw(run: &Run) -> Option<Chart> {
    let variants = Grid::Variants.shown(run);
    let limit = MAX_POINTS / variants.len().clamp(1, 3);
    let lines: Vec<Vec<BackendLine>> =
        variants.iter().map(|v| timeline::backends(run, v, limit)).collect();
    let points = || lines.iter().flatten().flat_map(|line| &line.points);
    points().next()?;
    let picked = picked(run, &variants, &lines, |line| u64::from(peak(line)));
    let all = names(&lines).len();
    let mut legend: Vec<Key> = picked
        .iter()
        .enumerate()
        .map(|(i, name)| Key::new(name.clone(), Sample::Line(Look::of(i))))
        .collect();
    if all > MAX_BACKENDS {
        legend.push(Key::new(format!("range of all {all}"), Sample::Ground(theme::OTHERS, 0.5)));
    }
    let chart = TimeChart {
        grid: Grid::Variants,
        title: "Requests in flight per backend",
        subtitle: "requests inside each backend, served and waiting, at the windows' ends"
            .to_owned(),
        legend,
        y_title: "requests in flight",
        y: Scale::of_counts(points().map(|point| f64::from(point.in_flight))),
        lane: 0.0,
        margin: 0.0,
    };
    let (mut scene, panels) = chart.draw(run, &variants);
    for (panel, lines) in panels.iter().zip(&lines) {
        draw_panel(&mut scene, panel, lines, &picked, all > MAX_BACKENDS);
    }
    Some(Chart {
        name: NAME,
        title: "Requests in flight per backend",
        reading: "Lines close together are a balanced pool. A line that climbs away from the others is a backend that gets more than it can serve: requests pile up in it, and the tail of the latency follows.",
        alt: alt(&variants, &lines),
        left_out: left_out(
            run,
            all,
            picked.len(),
            "those with the highest peaks and those with faults",
        ),
        scene,
    })
}

fn peak(line: &BackendLine) -> u32 {
    line.points.iter().map(|point| point.in_flight).max().unwrap_or(0)
}

fn draw_panel(
    scene: &mut Scene,
    panel: &TimePanel,
    lines: &[BackendLine],
    picked: &[String],
    with_range: bool,
) {
    let panel = &panel.panel;
    if let (true, Some(first)) = (with_range, lines.first()) {
        let range: Vec<_> = (0..first.points.len())
            .map(|i| {
                let all =
                    || lines.iter().filter_map(|l| l.points.get(i)).map(|p| f64::from(p.in_flight));
                let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
                (first.points[i].to_s, Some((low.min(high), high)))
            })
            .collect();
        panel.draw_between(scene, &range, theme::OTHERS, 0.5);
    }
    for (number, name) in picked.iter().enumerate() {
        if let Some(line) = lines.iter().find(|line| &line.name == name) {
            let points: Vec<_> =
                line.points.iter().map(|p| (p.to_s, Some(f64::from(p.in_flight)))).collect();
            panel.draw_line(scene, &points, Look { width: 1.5, ..Look::of(number) }, number);
        }
    }
}

fn alt(variants: &[&str], lines: &[Vec<BackendLine>]) -> String {
    let one = |(variant, lines): (&&str, &Vec<BackendLine>)| {
        let highest = lines.iter().max_by_key(|line| peak(line));
        highest.map_or_else(
            || format!("{variant}: no figures"),
            |line| format!("{variant}: at most {} in {}", peak(line), line.name),
        )
    };
    let each: Vec<String> = variants.iter().zip(lines).map(one).collect();
    format!("Lines of requests in flight in each backend over time. {}.", each.join("; "))
}
