//! The percentile spectra of two runs of a scenario, one panel a variant. It must not know what the
//! two differ by.

use record::Run;

use super::Chart;
use super::spectrum::{fit, line};
use crate::figure::{Frame, Key, Sample, columns_for};
use crate::format;
use crate::panel::{Look, Panel, Points};
use crate::scale::Scale;
use crate::theme;

pub(crate) const NAME: &str = "both_spectra";

/// More panels than this nobody compares by eye; the table has them all.
const MAX_PANELS: usize = 12;

/// So many requests are slower than what is drawn. Of ten the number alone varies by a third
/// (1 ÷ √10) from run to run: a line through fewer shows chance as if it were a course, and two of
/// them part where nothing differs.
const LEAST_BEYOND: f64 = 10.0;

const FIRST: Look = Look::new(theme::BLUE, theme::MARKERS[0]);
const SECOND: Look = Look::new(theme::VERMILLION, theme::MARKERS[1]);

/// A variant, as both runs have it.
pub(crate) struct Both<'a> {
    pub(crate) name: &'a str,
    /// Above its panel.
    pub(crate) heading: String,
    /// Milliseconds, of the first run and of the second.
    pub(crate) p50: [Option<f64>; 2],
    pub(crate) p99: [Option<f64>; 2],
}

/// What the two runs are called, and how the chart is read.
pub(crate) struct Words {
    pub(crate) title: &'static str,
    /// Behind what is drawn in which unit; may be empty.
    pub(crate) subtitle: &'static str,
    /// In the legend and in sentences.
    pub(crate) runs: [&'static str; 2],
    pub(crate) reading: &'static str,
}

struct Pair<'a> {
    both: &'a Both<'a>,
    first: Points,
    second: Points,
}

pub(crate) fn draw(variants: &[Both<'_>], words: &Words, runs: [&Run; 2]) -> Option<Chart> {
    let mut pairs: Vec<Pair<'_>> = variants
        .iter()
        .take(MAX_PANELS)
        .map(|both| Pair {
            first: sure(line(runs[0], both.name)),
            second: sure(line(runs[1], both.name)),
            both,
        })
        .collect();
    let points = || pairs.iter().flat_map(|pair| pair.first.iter().chain(&pair.second));
    points().next()?;
    let x = Scale::of_tails(points().map(|point| point.0).fold(10.0, f64::max));
    let lines = pairs.iter_mut().flat_map(|pair| [&mut pair.first, &mut pair.second]).collect();
    let y = fit(lines);
    let kind = if y.is_log() { ", both axes logarithmic" } else { "" };
    let frame = Frame {
        title: words.title.to_owned(),
        subtitle: format!(
            "good requests, intended start to last byte, all rounds merged{kind}{}",
            words.subtitle
        ),
        legend: vec![
            Key::new(words.runs[0], Sample::Line(FIRST)),
            Key::new(words.runs[1], Sample::Dashed(SECOND.colour)),
        ],
        headings: pairs.iter().map(|pair| pair.both.heading.clone()).collect(),
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
        panel.draw_line(&mut scene, &pair.first, FIRST, 0);
        panel.draw_dashes(&mut scene, &pair.second, SECOND);
    }
    let all = variants.len();
    Some(Chart {
        name: NAME,
        title: words.title,
        reading: words.reading,
        alt: alt(&pairs, words.runs),
        left_out: (all > MAX_PANELS).then(|| {
            format!("{MAX_PANELS} of {all} variants shown: the first in the scenario's order.")
        }),
        scene,
    })
}

/// A spectrum without the tail that too few requests are beyond; to the median, where there are
/// hardly any.
fn sure(mut points: Points) -> Points {
    // The slowest of n stands at n + 1.
    let all = points.last().map_or(0.0, |point| point.0 - 1.0);
    points.retain(|point| point.0 <= (all / LEAST_BEYOND).max(2.0));
    points
}

fn alt(pairs: &[Pair<'_>], runs: [&str; 2]) -> String {
    let one = |pair: &Pair<'_>| {
        let Both { name, p50, p99, .. } = pair.both;
        let of = |figures: [Option<f64>; 2]| figures.map(format::optional);
        let ([p50_a, p50_b], [p99_a, p99_b]) = (of(*p50), of(*p99));
        let [a, b] = runs;
        format!("{name}: p50 {p50_a} ms {a} and {p50_b} ms {b}, p99 {p99_a} and {p99_b} ms")
    };
    let each: Vec<String> = pairs.iter().map(one).collect();
    let [a, b] = runs;
    format!("Latency against percentile of requests, {a} and {b}. {}.", each.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_fewer_than_ten_are_slower() {
        for (all, last) in [(100_000.0, 8_192.0), (1_000.0, 64.0), (40.0, 4.0), (3.0, 2.0)] {
            let halves = (0..40).map(|i| f64::from(i).exp2()).take_while(|x| *x <= all);
            let points = halves.chain([all + 1.0]).map(|x| (x, Some(1.0))).collect();
            assert_eq!(sure(points).last(), Some(&(last, Some(1.0))), "{all}");
        }
        assert!(sure(Points::new()).is_empty());
    }
}
