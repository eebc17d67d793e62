//! What follows when a scenario was played under both load generators: the comparison, drawn and
//! shown. It must not play anything, nor compare: `record` does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, LineStyle, Table};
use record::agreement::{self, VariantAgreement};
use record::{About, Agreement, PairFolder};

use crate::cli::Shown;
use crate::commands::conclude::open_in_browser;
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};

/// Compares the two runs, keeps and shows what comes of it, and seals the folder. Generators that
/// differ leave open which of them is right.
pub(crate) fn conclude(pair: &PairFolder, about: &About, shown: &Shown) -> Result<Exit, Failure> {
    let (agreement, page) = draw(pair)?;
    pair.seal(about).map_err(Failure::unwritten)?;
    show(&agreement, &page, shown)?;
    Ok(if agreement.verdict == "differ" { Exit::Inconclusive } else { Exit::Good })
}

/// Compares and draws a folder from its files alone.
pub(crate) fn draw(pair: &PairFolder) -> Result<(Agreement, PathBuf), Failure> {
    let (builtin, artillery) = pair.load().map_err(|error| Failure::invalid(error.to_string()))?;
    for (run, place) in [&builtin, &artillery].into_iter().zip(pair.runs()) {
        for file in &run.edited {
            tell!(
                "{}: changed since the run; the comparison shows what stands there now",
                place.join(file).display()
            );
        }
    }
    let agreement = agreement::compare(&builtin, &artillery);
    let agreement = agreement.map_err(|error| Failure::invalid(error.to_string()))?;
    pair.keep_agreement(&agreement).map_err(Failure::unwritten)?;
    let page = report::agreement::write(&agreement, &builtin, &artillery, pair.folder());
    let page = page.map_err(|error| Failure::environment(error.to_string()))?;
    Ok((agreement, page))
}

fn show(agreement: &Agreement, page: &Path, shown: &Shown) -> Result<(), Failure> {
    if shown.json {
        let text = serde_json::to_string_pretty(agreement)
            .map_err(|error| Failure::new(Exit::Internal, format!("comparison.json: {error}")))?;
        say!("{text}");
    } else {
        say!("{}", render(agreement).trim_end());
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

fn render(agreement: &Agreement) -> String {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(NOTHING.header_separator(rule).bottom_border(rule));
    table.set_header(["built-in → Artillery", "requests", "ok", "p50 ms", "p90 ms", "p99 ms", ""]);
    for variant in &agreement.variants {
        table.add_row(row(variant));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let style = match agreement.verdict.as_str() {
        "agree" => GREEN,
        "differ" => RED,
        _ => YELLOW,
    };
    let mut text = format!(
        "{}, under two load generators\n{table}\nGenerators: {style}{}{style:#}\n",
        agreement.scenario, agreement.verdict
    );
    for reason in &agreement.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    text
}

fn row(variant: &VariantAgreement) -> Vec<String> {
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
    let (a, b) = (&variant.builtin, &variant.artillery);
    let apart = variant.p50_difference_ms.map_or_else(String::new, |of| format!(" ({of:+.1})"));
    vec![
        variant.name.clone(),
        format!("{} → {}", a.intended, b.intended),
        format!("{} → {}", a.ok, b.ok),
        format!("{} → {}{apart}", ms(a.p50_ms), ms(b.p50_ms)),
        format!("{} → {}", ms(a.p90_ms), ms(b.p90_ms)),
        format!("{} → {}", ms(a.p99_ms), ms(b.p99_ms)),
        if variant.agrees { "agree" } else { "differ" }.to_owned(),
    ]
}
