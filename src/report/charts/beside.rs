//! Two runs of a scenario over time, beside each other: a row a variant, one panel each run, drawn as
//! the charts of one run are and on the same axes. It must not know what the two differ by.

use record::Run;

use super::{Chart, errors_over_time, latency_over_time, offered_achieved};
use crate::timechart::Grid;

/// The names of these charts, in the order of the page.
pub(crate) const NAMES: [&str; 3] =
    [latency_over_time::NAME, errors_over_time::NAME, offered_achieved::NAME];

/// Draws what both runs say of these variants; `words` are what the two are called.
pub(crate) fn draw(variants: &[&str], words: [&str; 2], runs: [&Run; 2]) -> Vec<Chart> {
    let both = both(variants, words, runs);
    [latency_over_time::draw_in, errors_over_time::draw_in, offered_achieved::draw_in]
        .into_iter()
        .filter_map(|draw| draw(Grid::Pairs, &both))
        .collect()
}

/// One run that has each variant twice, as "p2c: built-in" and "p2c: Artillery", with what is drawn
/// over time of it and no more.
fn both(variants: &[&str], words: [&str; 2], runs: [&Run; 2]) -> Run {
    let mut both = Run {
        timeline: Vec::new(),
        backends: Vec::new(),
        events: Vec::new(),
        resources: Vec::new(),
        spectrum: Vec::new(),
        ..runs[0].clone()
    };
    both.summary.variants.clear();
    both.summary.expectations.clear();
    for &variant in variants {
        for (run, word) in runs.into_iter().zip(words) {
            take(run, variant, &format!("{variant}: {word}"), &mut both);
        }
    }
    both
}

/// Takes what `run` has of a variant, by another name.
fn take(run: &Run, variant: &str, name: &str, into: &mut Run) {
    macro_rules! renamed {
        ($rows:expr, $field:ident) => {
            $rows.iter().filter(|row| row.$field == variant).map(|row| {
                let mut row = row.clone();
                name.clone_into(&mut row.$field);
                row
            })
        };
    }
    into.summary.variants.extend(renamed!(run.summary.variants, name));
    into.summary.expectations.extend(renamed!(run.summary.expectations, variant));
    into.timeline.extend(renamed!(run.timeline, variant));
    into.events.extend(renamed!(run.events, variant));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Shape;
    use crate::scene::Shape as Drawn;

    const WORDS: [&str; 2] = ["ours", "theirs"];

    /// Where a heading stands.
    fn place(chart: &Chart, heading: &str) -> (f64, f64) {
        let texts = chart.scene.shapes.iter().filter_map(|shape| match shape {
            Drawn::Text { at, text, .. } if text == heading => Some(*at),
            _ => None,
        });
        let places: Vec<(f64, f64)> = texts.collect();
        assert_eq!(places.len(), 1, "{}: {heading}", chart.name);
        places[0]
    }

    #[test]
    fn each_variant_has_a_row_with_both_runs_in_it() {
        let names = ["round_robin", "random", "least_request", "p2c"];
        let run = Shape { variants: &names, ..Shape::FAILOVER }.run();
        let charts = draw(&names, WORDS, [&run, &run]);
        assert_eq!(charts.iter().map(|chart| chart.name).collect::<Vec<_>>(), NAMES);
        for chart in &charts {
            let mut above = 0.0;
            for name in names {
                let [ours, theirs] = WORDS.map(|word| place(chart, &format!("{name}: {word}")));
                assert!(ours.0 < theirs.0 && ours.1 == theirs.1, "{}: {name}", chart.name);
                assert!(ours.1 > above, "{}: {name} has no row of its own", chart.name);
                above = ours.1;
            }
            assert_eq!(chart.left_out, None);
        }
        // One variant too: its two panels are beside each other, not one above the other.
        let charts = draw(&names[..1], WORDS, [&run, &run]);
        let [ours, theirs] = WORDS.map(|word| place(&charts[0], &format!("{}: {word}", names[0])));
        assert!(ours.0 < theirs.0 && ours.1 == theirs.1);
    }

    #[test]
    fn each_run_shows_what_it_has_itself() {
        let run = Shape::FAILOVER.run();
        let names = Shape::FAILOVER.variants;
        let plain = draw(names, WORDS, [&run, &run]);
        let mut other = run.clone();
        for row in &mut other.timeline {
            row.p50_ms = row.p50_ms.map(|ms| ms * 1.2);
        }
        let slower = draw(names, WORDS, [&run, &other]);
        assert_ne!(draw(names, WORDS, [&other, &run])[0].scene, slower[0].scene);
        for (i, (a, b)) in plain.iter().zip(&slower).enumerate() {
            assert_eq!(a.scene != b.scene, i == 0, "{}: only latencies changed", a.name);
        }
        other.timeline.iter_mut().for_each(|row| row.failed += 3);
        let failing = draw(names, WORDS, [&run, &other]);
        assert_ne!(slower[1].scene, failing[1].scene);
        assert!(failing[1].alt.contains("round_robin: theirs: "), "{}", failing[1].alt);
    }

    #[test]
    fn what_has_no_room_is_counted_in_variants() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let run = Shape { variants: &names, ..Shape::FAILOVER }.run();
        let left_out = draw(&names, WORDS, [&run, &run])[0].left_out.clone();
        let said = "6 of 7 variants shown: the first in the scenario's order.";
        assert_eq!(left_out.as_deref(), Some(said));
    }
}
