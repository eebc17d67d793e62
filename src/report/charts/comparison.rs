//! p50, p90 and p99 of the variants, one row each.

use record::Run;
use record::summary::VariantSummary;

use super::Chart;
use crate::figure::{Frame, Key, Sample};
use crate::panel::{Area, Look, Panel};
use crate::scale::Scale;
use crate::scene::{Align, Colour, Marker, Scene};
use crate::theme;
use crate::{format, words};

pub(super) const NAME: &str = "comparison";

/// More rows do not fit a page.
const MAX_ROWS: usize = 24;
const ROW: f64 = 40.0;
/// Room for the variants' names.
const NAMES: f64 = 230.0;

const P50: Look = Look::new(theme::BLUE, Marker::Circle);
const P90: Look = Look::new(theme::ORANGE, Marker::Diamond);
const P99: Look = Look::new(theme::VERMILLION, Marker::Square);

pub(super) fn draw(run: &Run) -> Option<Chart> {
    let all = &run.summary.variants;
    let shown = &all[..all.len().min(MAX_ROWS)];
    if shown.len() < 2 {
        return None;
    }
    let values =
        || shown.iter().flat_map(|v| [v.latency_ms.p50, v.latency_ms.p90, v.latency_ms.p99]);
    values().flatten().next()?;
    let x = Scale::of_latencies(values().flatten());
    let rounds = shown.iter().any(|variant| variant.per_round.len() > 1);
    let mut legend = vec![
        Key::new("p50", Sample::Line(P50)),
        Key::new("p90", Sample::Line(P90)),
        Key::new("p99", Sample::Line(P99)),
    ];
    if rounds {
        legend.push(Key::new("p99 of one round", Sample::Mark(Marker::Ring, theme::MUTED)));
    }
    let kind = if x.is_log() { ", log scale" } else { "" };
    let frame = Frame {
        title: "Latency by variant".to_owned(),
        subtitle: format!("{}{kind}", words::latency(run)),
        legend,
        headings: vec![String::new()],
        columns: 1,
        panel_height: ROW * shown.len() as f64,
        margin: 0.0,
    };
    let (mut scene, areas) = frame.draw();
    let area =
        Area { left: areas[0].left + NAMES - 48.0, right: areas[0].right - 20.0, ..areas[0] };
    let panel = Panel { area, x, y: Scale::of_shares() };
    draw_axis(&mut scene, &panel);
    for (i, variant) in shown.iter().enumerate() {
        draw_row(&mut scene, &panel, area.top + (i as f64 + 0.5) * ROW, variant);
    }
    Some(Chart {
        name: NAME,
        title: "Latency by variant",
        reading: "Further left is better. The distance between p50 and p99 is what the unlucky pay; two variants with the same p50 can differ much in it.",
        alt: alt(shown),
        left_out: (all.len() > MAX_ROWS).then(|| {
            let all = all.len();
            format!("{MAX_ROWS} of {all} variants shown: the first in the scenario's order.")
        }),
        scene,
    })
}

fn draw_axis(scene: &mut Scene, panel: &Panel) {
    let Area { left, right, bottom, .. } = panel.area;
    panel.draw_upright_grid(scene);
    scene.line(vec![(left, bottom), (right, bottom)], theme::AXIS, 1.0);
    for tick in panel.x.ticks() {
        let place = (panel.x_at(tick.value), bottom + 14.0);
        scene.text(place, &tick.label, theme::SMALL, theme::MUTED, Align::Middle);
    }
    let title = if panel.x.is_log() { "latency (ms, log)" } else { "latency (ms)" };
    panel.draw_x_title(scene, title);
}

fn draw_row(scene: &mut Scene, panel: &Panel, y: f64, variant: &VariantSummary) {
    let name = theme::fitted(&variant.name, theme::TEXT, NAMES - 20.0);
    scene.text((panel.area.left - 14.0, y), name, theme::TEXT, theme::INK, Align::Right);
    let of = &variant.latency_ms;
    let found: Vec<(f64, f64, Look)> = [(of.p50, P50), (of.p90, P90), (of.p99, P99)]
        .into_iter()
        .filter_map(|(value, look)| value.map(|value| (panel.x_at(value), value, look)))
        .collect();
    if let (Some(first), Some(last)) = (found.first(), found.last()) {
        scene.line(vec![(first.0, y), (last.0, y)], theme::OTHERS, 2.5);
    }
    if variant.per_round.len() > 1 {
        for p99 in variant.per_round.iter().filter_map(|round| round.latency_ms.p99) {
            scene.mark((panel.x_at(p99), y + 9.0), Marker::Ring, 2.8, theme::MUTED);
        }
    }
    let mut free_from = f64::NEG_INFINITY;
    for (x, value, look) in found {
        scene.mark((x, y), look.marker, 5.0, look.colour);
        draw_value(scene, (x, y - 13.0), value, theme::INK, &mut free_from);
    }
}

/// The figure above its marker, moved to the right where it would cover the one before.
fn draw_value(scene: &mut Scene, at: (f64, f64), value: f64, colour: Colour, free_from: &mut f64) {
    let label = format::short(value);
    let width = theme::text_width(&label, theme::SMALL);
    let left = (at.0 - width / 2.0).max(*free_from);
    scene.text((left, at.1), label, theme::SMALL, colour, Align::Left);
    *free_from = left + width + 6.0;
}

fn alt(shown: &[VariantSummary]) -> String {
    let one = |variant: &VariantSummary| {
        let of = &variant.latency_ms;
        let [p50, p90, p99] = [of.p50, of.p90, of.p99].map(format::optional);
        format!("{}: p50 {p50}, p90 {p90}, p99 {p99} ms", variant.name)
    };
    let each: Vec<String> = shown.iter().map(one).collect();
    format!("Latency percentiles of each variant. {}.", each.join("; "))
}
