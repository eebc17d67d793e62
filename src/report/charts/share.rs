//! Each backend's share of the requests over time, stacked.

use record::Run;

use super::Chart;
use crate::fault;
use crate::figure::{Key, Sample};
use crate::format;
use crate::panel::Look;
use crate::scale::Scale;
use crate::scene::{Align, Colour, Marker, Scene};
use crate::theme;
use crate::timechart::{self, Grid, TimeChart, TimePanel};
use crate::timeline::{self, BackendLine};

pub(super) const NAME: &str = "share";

/// As many backends as there are colours get their own; the rest are one.
pub(super) const MAX_BACKENDS: usize = theme::PALETTE.len();
/// A panel is no more than twice as wide in places that can be told apart.
const MAX_POINTS: usize = 300;
const MARGIN: f64 = 64.0;

pub(super) fn draw(run: &Run) -> Option<Chart> {
    let variants = Grid::Variants.shown(run);
    let limit = MAX_POINTS / variants.len().clamp(1, 3);
    let lines: Vec<Vec<BackendLine>> =
        variants.iter().map(|v| timeline::backends(run, v, limit)).collect();
    if lines.iter().flatten().all(|line| line.requests == 0) {
        return None;
    }
    let picked = picked(run, &variants, &lines, |line| line.requests);
    let all = names(&lines).len();
    let mut legend: Vec<Key> = picked
        .iter()
        .enumerate()
        .map(|(i, name)| {
            Key::new(name.clone(), Sample::Ground(theme::softened(Look::of(i).colour), 1.0))
        })
        .collect();
    if all > picked.len() {
        let label = format!("the other {}", all - picked.len());
        legend.push(Key::new(label, Sample::Ground(theme::softened(theme::OTHERS), 1.0)));
    }
    let chart = TimeChart {
        grid: Grid::Variants,
        title: "Share of requests per backend",
        subtitle: "attempts that each backend read, of all backends' in the same window".to_owned(),
        legend,
        y_title: "share of requests",
        y: Scale::of_shares(),
        lane: 0.0,
        margin: MARGIN,
    };
    let (mut scene, panels) = chart.draw(run, &variants);
    for ((panel, lines), variant) in panels.iter().zip(&lines).zip(&variants) {
        draw_panel(&mut scene, panel, lines, &picked);
        timechart::draw_edges(&mut scene, &panel.panel, &fault::faults(run, variant));
    }
    Some(Chart {
        name: NAME,
        title: "Share of requests per backend",
        reading: "The thicker a layer, the more of the traffic its backend got; retries count where they went. Under fair balancing equal backends have equal layers; a layer that thins out is a backend that the balancer avoids, one that does not thin out under a fault is a backend that still gets requests.",
        alt: alt(run),
        left_out: left_out(run, all, picked.len(), "the busiest and those with faults"),
        scene,
    })
}

/// The backends' names in the order of the files.
pub(super) fn names(lines: &[Vec<BackendLine>]) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    let all = lines.iter().flatten().map(|line| &line.name);
    all.filter(|name| seen.insert(name.as_str())).cloned().collect()
}

/// The backends that are drawn in their own colour, in the order of the files: those with faults
/// first, since they are what the run is about, then those with most of `weight`.
pub(super) fn picked(
    run: &Run,
    variants: &[&str],
    lines: &[Vec<BackendLine>],
    weight: fn(&BackendLine) -> u64,
) -> Vec<String> {
    let order = names(lines);
    let mut weights: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for line in lines.iter().flatten() {
        let sum = weights.entry(&line.name).or_default();
        *sum = sum.saturating_add(weight(line));
    }
    let faulted: std::collections::BTreeSet<String> =
        variants.iter().flat_map(|v| fault::faults(run, v)).flat_map(|f| f.subjects).collect();
    let mut ranked: Vec<(usize, &String)> = order.iter().enumerate().collect();
    ranked.sort_by_key(|(place, name)| {
        let weight = weights.get(name.as_str()).copied().unwrap_or(0);
        (!faulted.contains(*name), std::cmp::Reverse(weight), *place)
    });
    ranked.truncate(MAX_BACKENDS);
    ranked.sort_by_key(|(place, _)| *place);
    ranked.into_iter().map(|(_, name)| name.clone()).collect()
}

/// What a chart of backends leaves out, in words.
pub(super) fn left_out(run: &Run, all: usize, shown: usize, which: &str) -> Option<String> {
    let backends =
        (all > shown).then(|| format!("{shown} of {all} backends have their own colour: {which}."));
    match (Grid::Variants.left_out(run), backends) {
        (Some(a), Some(b)) => Some(format!("{a} {b}")),
        (a, b) => a.or(b),
    }
}

fn draw_panel(scene: &mut Scene, panel: &TimePanel, lines: &[BackendLine], picked: &[String]) {
    let panel = &panel.panel;
    let Some(times) = lines.first().map(|line| &line.points) else { return };
    let total: Vec<u64> = (0..times.len())
        .map(|i| {
            lines
                .iter()
                .filter_map(|l| l.points.get(i))
                .map(|p| p.requests)
                .fold(0, u64::saturating_add)
        })
        .collect();
    let mut floor = vec![0.0; times.len()];
    let mut layers: Vec<(String, Colour, Vec<f64>)> = Vec::new();
    let share = |line: &BackendLine, i: usize| {
        line.points.get(i).map_or(0.0, |p| p.requests as f64 / total[i].max(1) as f64)
    };
    for (number, name) in picked.iter().enumerate() {
        if let Some(line) = lines.iter().find(|line| &line.name == name) {
            let shares = (0..times.len()).map(|i| share(line, i)).collect();
            layers.push((name.clone(), Look::of(number).colour, shares));
        }
    }
    let others: Vec<f64> = (0..times.len())
        .map(|i| (1.0 - layers.iter().map(|layer| layer.2[i]).sum::<f64>()).max(0.0))
        .collect();
    if lines.len() > layers.len() {
        layers.push(("others".to_owned(), theme::OTHERS, others));
    }
    let mut labels = Vec::new();
    let mut tops: Vec<(Colour, Vec<f64>)> = Vec::new();
    for (name, colour, shares) in layers {
        let below = floor.clone();
        for (floor, share) in floor.iter_mut().zip(&shares) {
            *floor += share;
        }
        if let (Some(low), Some(high), Some(1..)) = (below.last(), floor.last(), total.last()) {
            let (low, high) = (panel.y_at(*low), panel.y_at(*high));
            labels.push((f64::midpoint(low, high), low - high, name));
        }
        tops.push((colour, floor.clone()));
    }
    // From the highest layer down, each from the axis up: half the points of separate layers.
    for (colour, top) in tops.into_iter().rev() {
        let steps = |i: usize| {
            [times[i].from_s, times[i].to_s].map(|t| (t, (total[i] > 0).then_some(top[i])))
        };
        let edge: Vec<(f64, Option<f64>)> = (0..times.len()).flat_map(steps).collect();
        let ground: Vec<_> = edge.iter().map(|(t, top)| (*t, top.map(|top| (0.0, top)))).collect();
        panel.draw_between(scene, &ground, theme::softened(colour), 1.0);
        let gap = Look { colour: theme::PAPER, marker: Marker::Plus, width: 0.8 };
        panel.draw_bare_line(scene, &edge, gap);
    }
    // The layers' names at their ends, so that nobody has to match colours.
    for (y, thickness, name) in labels {
        if thickness >= theme::SMALL {
            let name = theme::fitted(&name, theme::SMALL, MARGIN - 8.0);
            let place = (panel.area.right + 6.0, y);
            scene.text(place, name, theme::SMALL, theme::INK, Align::Left);
        }
    }
}

fn alt(run: &Run) -> String {
    let one = |variant: &record::summary::VariantSummary| {
        let mut shares: Vec<(f64, &str)> = variant
            .backends
            .iter()
            .filter_map(|b| b.share.map(|share| (share, b.name.as_str())))
            .collect();
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        let text = |pair: Option<&(f64, &str)>| {
            pair.map_or("none".into(), |(share, name)| {
                format!("{name} {}", format::percent(*share))
            })
        };
        format!("{}: most {}, least {}", variant.name, text(shares.first()), text(shares.last()))
    };
    let each: Vec<String> =
        run.summary.variants.iter().take(timechart::MAX_PANELS).map(one).collect();
    format!(
        "Stacked shares of requests per backend over time. Over the whole run: {}.",
        each.join("; ")
    )
}
