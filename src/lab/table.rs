//! The result in the terminal: a table, the expectations, the verdict. It must not judge.

use std::fmt::Write as _;
use std::ops::RangeBounds;

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, LineStyle, Table};
use record::Summary;
use record::summary::{Judgement, VariantSummary};

pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();

/// A column of the table that is left out where it would be all zeros.
type Rare = (&'static str, fn(&VariantSummary) -> u64);

const RARE: [Rare; 2] = [
    ("never sent", |variant| variant.counts.dropped),
    ("unfinished", |variant| variant.counts.unfinished),
];

/// Everything that `lab run` prints of a summary, but the report's path.
pub(crate) fn render(summary: &Summary) -> String {
    let mut text = format!("{}: {}\n", summary.scenario, summary.question);
    text.push_str(&figures(summary));
    text.push('\n');
    for judgement in &summary.expectations {
        text.push_str(&expectation(judgement));
    }
    text.push_str(&verdict(summary));
    text
}

/// A table as all of lab's are: ruled below its head and its end, with the columns of numbers to the right.
pub(crate) fn ruled(
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    numbers: impl RangeBounds<usize>,
) -> Table {
    let mut table = Table::new();
    let rule = LineStyle::none().fill('─').junction('─');
    table.load_style(NOTHING.header_separator(rule).bottom_border(rule));
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let columns = table.column_iter_mut().enumerate();
    for (_, column) in columns.filter(|(place, _)| numbers.contains(place)) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn figures(summary: &Summary) -> String {
    let measured_cpu = summary.variants.iter().any(|v| v.resources.contains_key("proxy"));
    let mut header = vec![
        "variant", "requests", "ok", "failed", "rejected", "retries", "rate/s", "p50 ms", "p90 ms",
        "p99 ms", "max ms",
    ];
    // Rare ends get a column only where there are any.
    let rare = RARE.map(|(name, of)| (name, of, summary.variants.iter().any(|v| of(v) > 0)));
    let rare: Vec<_> = rare.into_iter().filter(|(_, _, any)| *any).collect();
    header.extend(rare.iter().map(|(name, _, _)| *name));
    if measured_cpu {
        header.push("proxy CPU µs/req");
    }
    let rows = summary.variants.iter().map(|variant| {
        let mut cells = row(variant);
        cells.extend(rare.iter().map(|(_, of, _)| of(variant).to_string()));
        if measured_cpu {
            let proxy = variant.resources.get("proxy").and_then(|entry| entry.cpu_us_per_request);
            cells.push(proxy.map_or_else(|| "–".to_owned(), |us| format!("{us:.0}")));
        }
        cells
    });
    format!("{}\n", ruled(&header, rows, 1..))
}

fn row(variant: &VariantSummary) -> Vec<String> {
    let counts = &variant.counts;
    let latency = &variant.latency_ms;
    let mut cells = vec![
        variant.name.clone(),
        counts.intended.to_string(),
        counts.ok.to_string(),
        counts.failed.to_string(),
        counts.rejected.to_string(),
        counts.retries.map_or_else(|| "–".to_owned(), |retries| retries.to_string()),
        format!("{:.1}", variant.achieved_rps),
    ];
    cells.extend([latency.p50, latency.p90, latency.p99, latency.max].map(milliseconds));
    cells
}

fn milliseconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"))
}

fn expectation(judgement: &Judgement) -> String {
    let (style, mark) = if judgement.passed { (GREEN, "✓") } else { (RED, "✗") };
    let measured = judgement.measured.map_or_else(
        || "nothing to measure".to_owned(),
        |value| format!("{}{}", significant(value), if is_time(judgement) { " ms" } else { "" }),
    );
    format!(
        "{style}{mark}{style:#} {} {} in {}, {}: {measured}{}\n",
        judgement.metric,
        judgement.limit,
        judgement.window,
        judgement.variant,
        if judgement.passed { String::new() } else { format!("  ({})", judgement.place) },
    )
}

fn is_time(judgement: &Judgement) -> bool {
    record::Metric::parse(&judgement.metric).is_ok_and(|metric| metric.is_duration())
}

/// About four digits, without an exponent where people would not write one.
fn significant(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.5}"),
    }
}

fn verdict(summary: &Summary) -> String {
    let style = match summary.verdict.as_str() {
        "valid" => GREEN,
        "suspect" => YELLOW,
        _ => RED,
    };
    let mut text = String::new();
    // How somebody else's Artillery was paced, its result does not say.
    let ours = summary.terms.is_none();
    if ours && summary.variants.iter().any(|v| v.generator.as_deref() == Some("artillery")) {
        text.push_str("Load: Artillery, at even gaps, by a clock of 1 ms\n");
    }
    let _ = writeln!(text, "Measurement: {style}{}{style:#}", summary.verdict);
    for reason in &summary.reasons {
        let _ = writeln!(text, "  {}", brief(reason));
    }
    for note in &summary.notes {
        let _ = writeln!(text, "{YELLOW}Note{YELLOW:#}: {note}");
    }
    let failed = summary.expectations.iter().filter(|judgement| !judgement.passed).count();
    if failed > 0 {
        let all = summary.expectations.len();
        let _ = writeln!(text, "{RED}{failed} of {all} expectations failed{RED:#}");
    }
    text
}

/// A reason in one line: what a process printed last stands once, in the error on stderr, and is kept in
/// summary.json.
fn brief(reason: &str) -> &str {
    if reason.contains('\n') { reason.split(';').next().unwrap_or(reason) } else { reason }
}
