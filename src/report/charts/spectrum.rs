//! The percentile spectrum of latency, one line a variant.

use record::Run;
use record::rows::SpectrumRow;

use super::Chart;
use crate::figure::{Frame, Key, Sample};
use crate::panel::{Look, Panel, Points};
use crate::scale::Scale;
use crate::theme;
use crate::{format, words};

pub(super) const NAME: &str = "spectrum";

/// As many lines as there are colours.
const MAX_LINES: usize = theme::PALETTE.len();

pub(super) fn draw(run: &Run) -> Option<Chart> {
    let mut lines: Vec<(&str, Points)> = run
        .summary
        .variants
        .iter()
        .take(MAX_LINES)
        .map(|variant| (variant.name.as_str(), line(run, &variant.name)))
        .collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    points().next()?;
    let x = Scale::of_tails(points().map(|point| point.0).fold(10.0, f64::max));
    let y = fit(lines.iter_mut().map(|(_, points)| points).collect());
    let kind = if y.is_log() { ", both axes logarithmic" } else { "" };
    let frame = Frame {
        title: "Latency by percentile".to_owned(),
        subtitle: format!("{}{kind}", words::latency(run)),
        legend: lines
            .iter()
            .enumerate()
            .map(|(i, (name, _))| Key::new(*name, Sample::Line(Look::of(i))))
            .collect(),
        headings: vec![String::new()],
        columns: 1,
        panel_height: 300.0,
        margin: 0.0,
    };
    let y_title = if y.is_log() { "latency (ms, log)" } else { "latency (ms)" };
    let (mut scene, areas) = frame.draw();
    let panel = Panel { area: areas[0], x, y };
    panel.draw_upright_grid(&mut scene);
    panel.draw_axes(&mut scene, true);
    panel.draw_x_title(
        &mut scene,
        "percentile of requests; each further nine is as wide as the one before",
    );
    panel.draw_y_title(&mut scene, y_title);
    for (i, (_, points)) in lines.iter().enumerate() {
        panel.draw_line(&mut scene, points, Look::of(i), i);
    }
    let all = run.summary.variants.len();
    Some(Chart {
        name: NAME,
        title: "Latency by percentile",
        reading: "Go up from a percentile to a line: that share of the requests was at least this fast. The lower line is better; where lines part to the right they differ in their tails only. The last point of a line is its slowest request.",
        alt: alt(run),
        left_out: (all > MAX_LINES).then(|| {
            format!("{MAX_LINES} of {all} variants shown: the first in the scenario's order.")
        }),
        scene,
    })
}

/// The spectrum as (1 ÷ (1 − q), ms).
pub(super) fn line(run: &Run, variant: &str) -> Points {
    let rows: Vec<&SpectrumRow> = run
        .spectrum
        .iter()
        .filter(|row| row.variant == variant && row.metric == "latency" && row.value_ms.is_finite())
        .collect();
    let all = rows.iter().map(|row| row.count).max().unwrap_or(0) as f64;
    rows.into_iter()
        .map(|row| {
            // The largest of n values stands for the quantile n ÷ (n + 1), not for 1, which is
            // infinitely far to the right.
            let tail = (1.0 - row.quantile).max(1.0 / (all + 1.0));
            (1.0 / tail, Some(row.value_ms))
        })
        .collect()
}

/// The axis for all `lines`. From one that is logarithmic the fastest tenth is left out, lines
/// included: of exponential services it alone would take half the height.
pub(super) fn fit(lines: Vec<&mut Points>) -> Scale {
    const TENTH: f64 = 1.0 / (1.0 - 0.1);
    let slower = lines.iter().flat_map(|line| line.iter()).filter(|point| point.0 >= TENTH);
    let scale = Scale::of_latencies(slower.filter_map(|point| point.1));
    if scale.is_log() {
        for line in lines {
            line.retain(|point| point.0 >= TENTH);
        }
    }
    scale
}

fn alt(run: &Run) -> String {
    let one = |variant: &record::summary::VariantSummary| {
        let of = &variant.latency_ms;
        format!(
            "{}: p50 {} ms, p99 {} ms, slowest {} ms",
            variant.name,
            format::optional(of.p50),
            format::optional(of.p99),
            format::optional(of.max)
        )
    };
    let each: Vec<String> = run.summary.variants.iter().take(MAX_LINES).map(one).collect();
    format!("Latency against percentile of requests. {}.", each.join("; "))
}
