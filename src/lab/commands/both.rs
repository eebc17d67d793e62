//! What follows when a scenario was played live and simulated: the comparison, drawn and shown. It
//! must not play anything, nor compare: `record` does.

use std::fmt::Write as _;
use std::path::PathBuf;

use record::fidelity::{self, Count, FaultWindow, Figure, VariantComparison};
use record::{About, Comparison, PairFolder};

use crate::cli::Shown;
use crate::commands::compared;
use crate::exit::Failure;
use crate::table::{GREEN, RED, YELLOW, ruled};

/// Compares the two runs, keeps and shows what comes of it, and seals the folder.
pub(crate) fn conclude(pair: &PairFolder, about: &About, shown: &Shown) -> Result<(), Failure> {
    let (comparison, page) = draw(pair)?;
    pair.seal(about).map_err(Failure::unwritten)?;
    compared::show(&comparison, &words(&comparison), &page, shown)
}

/// Compares and draws a folder from its files alone.
pub(crate) fn draw(pair: &PairFolder) -> Result<(Comparison, PathBuf), Failure> {
    let (live, sim) = compared::load(pair)?;
    let comparison = fidelity::compare(&live, &sim);
    let comparison = comparison.map_err(|error| Failure::invalid(error.to_string()))?;
    pair.keep(&comparison).map_err(Failure::unwritten)?;
    let page = report::fidelity::write(&comparison, &live, &sim, pair.folder());
    let page = page.map_err(|error| Failure::environment(error.to_string()))?;
    Ok((comparison, page))
}

fn words(comparison: &Comparison) -> String {
    let style = match comparison.verdict.as_str() {
        "excellent" | "good" => GREEN,
        "poor" => RED,
        _ => YELLOW,
    };
    let mut text = compared::words(
        &format!("{}, live and simulated", comparison.scenario),
        &["live → simulated", "p50 ms", "p90 ms", "p99 ms", "failed", "share", "W1/mean", "KS", ""],
        comparison.variants.iter().map(row),
        ("Simulation", &comparison.verdict, style),
        &comparison.reasons,
    );
    let windows =
        || comparison.variants.iter().flat_map(|of| of.faults.iter().map(move |at| (of, at)));
    if windows().next().is_some() {
        let header = ["round faults", "p50 ms", "p99 ms", "slow", "failed", "retries", ""];
        let rows = windows().map(|(of, window)| window_row(of, window));
        let table = ruled(&header, rows, 1..);
        let _ = writeln!(text, "{table}");
    }
    let _ = writeln!(text, "In the simulation {}.", comparison.overhead);
    text
}

fn window_row(of: &VariantComparison, window: &FaultWindow) -> Vec<String> {
    let FaultWindow { fault, from_s, to_s, p50_ms, p99_ms, slow, failed, retries, .. } = window;
    let mut cells = vec![format!("{}, {fault}, {from_s} to {to_s} s", of.name)];
    cells.extend([*p50_ms, *p99_ms].map(apart));
    cells.extend([*slow, *failed, *retries].map(counts));
    cells.push(window.grade.word().to_owned());
    cells
}

fn counts(Count { live, sim }: Count) -> String {
    let word = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    format!("{} → {}", word(live), word(sim))
}

fn row(variant: &VariantComparison) -> Vec<String> {
    let percent = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{:.1} %", value * 100.0))
    };
    let failed = &variant.failed_ratio;
    let mut cells = vec![variant.name.clone()];
    cells.extend([variant.p50_ms, variant.p90_ms, variant.p99_ms].map(apart));
    cells.extend([
        format!("{} → {}", percent(failed.live), percent(failed.sim)),
        percent(variant.share_difference),
        percent(variant.wasserstein),
        variant.ks.map_or_else(|| "–".to_owned(), |ks| format!("{ks:.3}")),
        variant.grade.word().to_owned(),
    ]);
    cells
}

fn apart(figure: Figure) -> String {
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
    let difference =
        figure.difference.map_or_else(String::new, |of| format!(" {:+.1} %", of * 100.0));
    format!("{} → {}{difference}", ms(figure.live), ms(figure.sim))
}
