//! What follows when a scenario was played live and simulated: the comparison, drawn and shown. It
//! must not play anything, nor compare: `record` does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, LineStyle, Table};
use record::fidelity::{self, Figure, VariantComparison};
use record::{About, Comparison, PairFolder};

use crate::cli::Shown;
use crate::commands::conclude::open_in_browser;
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};

/// Compares the two runs, keeps and shows what comes of it, and seals the folder.
pub(crate) fn conclude(pair: &PairFolder, about: &About, shown: &Shown) -> Result<(), Failure> {
    let (comparison, page) = draw(pair)?;
    pair.seal(about).map_err(Failure::unwritten)?;
    show(&comparison, &page, shown)
}

/// Compares and draws a folder from its files alone.
pub(crate) fn draw(pair: &PairFolder) -> Result<(Comparison, PathBuf), Failure> {
    let (live, sim) = pair.load().map_err(|error| Failure::invalid(error.to_string()))?;
    for (run, place) in [&live, &sim].into_iter().zip(pair.runs()) {
        for file in &run.edited {
            tell!(
                "{}: changed since the run; the comparison shows what stands there now",
                place.join(file).display()
            );
        }
    }
    let comparison = fidelity::compare(&live, &sim);
    let comparison = comparison.map_err(|error| Failure::invalid(error.to_string()))?;
    pair.keep(&comparison).map_err(Failure::unwritten)?;
    let page = report::fidelity::write(&comparison, &live, &sim, pair.folder());
    let page = page.map_err(|error| Failure::environment(error.to_string()))?;
    Ok((comparison, page))
}

fn show(comparison: &Comparison, page: &Path, shown: &Shown) -> Result<(), Failure> {
    if shown.json {
        let text = serde_json::to_string_pretty(comparison)
            .map_err(|error| Failure::new(Exit::Internal, format!("comparison.json: {error}")))?;
        say!("{text}");
    } else {
        say!("{}", render(comparison).trim_end());
        say!("Comparison: {}", page.display());
    }
    if shown.open {
        open_in_browser(page);
    }
    Ok(())
}

const GREEN: Style = AnsiColor::Green.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();

fn render(comparison: &Comparison) -> String {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(NOTHING.header_separator(rule).bottom_border(rule));
    table.set_header([
        "live → simulated",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "failed",
        "share",
        "W1/mean",
        "KS",
        "",
    ]);
    for variant in &comparison.variants {
        table.add_row(row(variant));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let style = match comparison.verdict.as_str() {
        "excellent" | "good" => GREEN,
        "poor" => RED,
        _ => YELLOW,
    };
    let mut text = format!(
        "{}, live and simulated\n{table}\nSimulation: {style}{}{style:#}\n",
        comparison.scenario, comparison.verdict
    );
    for reason in &comparison.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    let _ = writeln!(text, "In the simulation {}.", comparison.overhead);
    text
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
