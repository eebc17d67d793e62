//! The page of two load generators: what each measured. It must not judge.

use std::fmt::Display;

use maud::{Markup, html};
use record::Agreement;
use record::agreement::{Measured, VariantAgreement};

use super::tables::{Head, column_heads, wide};
use super::{charts, document};
use crate::charts::Chart;
use crate::format::{optional, percent, short};

use Head::{Number, Text};

/// The whole page. `drawn` are the charts with their SVG documents.
pub(crate) fn page(agreement: &Agreement, drawn: &[(Chart, String)]) -> String {
    let heading = format!("{}, under two load generators", agreement.scenario);
    let main = html! {
        (verdict(agreement))
        (figures(agreement))
        (charts(None, drawn))
        section {
            h2 { "Where this comes from" }
            p {
                "The two runs, each with a report of its own: "
                a href="builtin/report.html" { "built-in" } ", "
                a href="artillery/report.html" { "Artillery" }
                ". The figures are in " code { "comparison.json" } " and "
                code { "comparison.csv" } "."
            }
        }
    };
    let title = format!("{heading}: {}", agreement.verdict);
    document(&title, &heading, &agreement.question, &main)
}

fn verdict(agreement: &Agreement) -> Markup {
    let (sign, class, words) = match agreement.verdict.as_str() {
        "agree" => ("✓", "good", "both generators measured the same."),
        "differ" => ("✗", "bad", "the generators differ by more than the limits."),
        _ => ("!", "doubtful", "the two runs cannot be compared as they are."),
    };
    html! {
        section.verdict.(class) aria-label="Verdict" {
            p { strong { (sign) " " (agreement.verdict) } ": " (words) }
            ul { @for reason in &agreement.reasons { li { (reason) } } }
            p.facts {
                "Both have the same scenario text, changes and seed (" (agreement.seed)
                "), even gaps, and for each request the same luck and key. They agree where they made "
                "equally many requests, the shares that failed are within 1 %, and the medians "
                "from the first byte sent, which are the system's under test, within 2 ms. What a "
                "generator takes before that byte is its own work (Artillery prepares a request for "
                "a millisecond or two): it is in its latencies from the intended time, and more than "
                "10 ms of it would be a difference. Measurement: " (agreement.builtin)
                " under the built-in generator, " (agreement.artillery) " under Artillery."
            }
        }
    }
}

fn figures(agreement: &Agreement) -> Markup {
    let heads = [
        Text("variant"),
        Text("agree"),
        Number("requests"),
        Number("ok"),
        Number("failed"),
        Number("service p50 ms"),
        Number("generator's own ms"),
        Number("latency p50 ms"),
        Number("p90 ms"),
        Number("p99 ms"),
    ];
    html! {
        section {
            h2 { "Figures" }
            (wide("Figures", &html! {
                table {
                    caption {
                        "Under the built-in generator → under Artillery (1 ms clock), and the "
                        "difference; one figure where both have the same. Service: from the first byte sent, what the system under test "
                        "took; the verdict goes by it. The generator's own: the median of what it "
                        "took before that byte. Latency, p90 and p99: from the intended time, with "
                        "both."
                    }
                    (column_heads(&heads))
                    tbody { @for variant in &agreement.variants { (row(variant)) } }
                }
            }))
        }
    }
}

/// What is the same under both stands there once: the table is wide enough.
fn both<T: Display + PartialEq>(a: &T, b: &T) -> String {
    if a == b { a.to_string() } else { format!("{a} → {b}") }
}

fn row(of: &VariantAgreement) -> Markup {
    let class = if of.agrees { "yes" } else { "no" };
    let failed = |of: &Measured| of.failed_ratio.map_or_else(|| "–".to_owned(), percent);
    let (a, b) = (&of.builtin, &of.artillery);
    let apart = |a, b, by: Option<f64>| {
        html! {
            (optional(a)) " → " (optional(b))
            @if let Some(ms) = by { span.by { (if ms > 0.0 { "+" } else { "" }) (short(ms)) } }
        }
    };
    html! {
        tr {
            th scope="row" { (of.name) }
            td.text { span.(class) { (class) } }
            td { (both(&a.intended, &b.intended)) }
            td { (both(&a.ok, &b.ok)) }
            td { (both(&failed(a), &failed(b))) }
            td { (apart(a.service_p50_ms, b.service_p50_ms, of.service_p50_difference_ms)) }
            td { (apart(a.dispatch_p50_ms, b.dispatch_p50_ms, of.dispatch_p50_difference_ms)) }
            td { (apart(a.p50_ms, b.p50_ms, of.p50_difference_ms)) }
            td { (optional(a.p90_ms)) " → " (optional(b.p90_ms)) }
            td { (optional(a.p99_ms)) " → " (optional(b.p99_ms)) }
        }
    }
}
