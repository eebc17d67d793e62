//! The percentile spectra of a live run and of its simulation, one panel a variant.

use record::Run;

use super::Chart;
use super::spectrum::{fit, line};
use crate::figure::{Frame, Key, Sample, columns_for};
use crate::format;
use crate::panel::{Look, Panel, Points};
use crate::scale::Scale;
use crate::theme;
use record::fidelity::{Comparison, VariantComparison};

pub(crate) const NAME: &str = "both_spectra";

/// More panels than this nobody compares by eye; the table has them all.
const MAX_PANELS: usize = 12;

const LIVE: Look = Look::new(theme::BLUE, theme::MARKERS[0]);
const SIM: Look = Look::new(theme::VERMILLION, theme::MARKERS[1]);

struct Pair<'a> {
    variant: &'a VariantComparison,
    live: Points,
    sim: Points,
}

pub(crate) fn draw(comparison: &Comparison, live: &Run, sim: &Run) -> Option<Chart> {
    let mut pairs: Vec<Pair<'_>> = comparison
        .variants
        .iter()
        .take(MAX_PANELS)
        .map(|variant| Pair {
            live: line(live, &variant.name),
            sim: line(sim, &variant.name),
            variant,
        })
        .collect();
    let points = || pairs.iter().flat_map(|pair| pair.live.iter().chain(&pair.sim));
    points().next()?;
    let x = Scale::of_tails(points().map(|point| point.0).fold(10.0, f64::max));
    let lines = pairs.iter_mut().flat_map(|pair| [&mut pair.live, &mut pair.sim]).collect();
    let y = fit(lines);
    let kind = if y.is_log() { ", both axes logarithmic" } else { "" };
    let frame = Frame {
        title: "Latency by percentile, measured and simulated".to_owned(),
        subtitle: format!("good requests, intended start to last byte, all rounds merged{kind}"),
        legend: vec![
            Key::new("live", Sample::Line(LIVE)),
            Key::new("simulated", Sample::Dashed(SIM.colour)),
        ],
        headings: pairs.iter().map(|pair| heading(pair.variant)).collect(),
        columns: columns_for(pairs.len()),
        panel_height: if pairs.len() > 2 { 200.0 } else { 260.0 },
        margin: 0.0,
    };
    let (mut scene, areas) = frame.draw();
    for (i, (pair, &area)) in pairs.iter().zip(&areas).enumerate() {
        let panel = Panel { area, x: x.clone(), y: y.clone() };
        panel.draw_upright_grid(&mut scene);
        panel.draw_axes(&mut scene, frame.is_lowest(i));
        if frame.is_lowest(i) {
            panel.draw_x_title(&mut scene, "percentile of requests");
        }
        if frame.is_leftmost(i) {
            panel.draw_y_title(&mut scene, "latency (ms)");
        }
        panel.draw_line(&mut scene, &pair.live, LIVE, 0);
        panel.draw_dashes(&mut scene, &pair.sim, SIM);
    }
    let all = comparison.variants.len();
    Some(Chart {
        name: NAME,
        title: "Latency by percentile, measured and simulated",
        reading: "Solid is what was measured, dashed what was simulated. Go up from a percentile: where the two lines lie on each other the simulation tells what really happened; the distance between them there is its error at this percentile. The last points are single requests and may differ.",
        alt: alt(&pairs),
        left_out: (all > MAX_PANELS).then(|| {
            format!("{MAX_PANELS} of {all} variants shown: the first in the scenario's order.")
        }),
        scene,
    })
}

fn heading(variant: &VariantComparison) -> String {
    format!("{}: {}", variant.name, variant.grade.word())
}

fn alt(pairs: &[Pair<'_>]) -> String {
    let one = |pair: &Pair<'_>| {
        let VariantComparison { name, p50_ms, p99_ms, .. } = pair.variant;
        format!(
            "{name}: p50 {} ms live and {} ms simulated, p99 {} and {} ms",
            format::optional(p50_ms.live),
            format::optional(p50_ms.sim),
            format::optional(p99_ms.live),
            format::optional(p99_ms.sim)
        )
    };
    let each: Vec<String> = pairs.iter().map(one).collect();
    format!("Latency against percentile of requests, live and simulated. {}.", each.join("; "))
}
