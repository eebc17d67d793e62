//! The page of a comparison: what was measured beside what was simulated. It must not judge.

use maud::{Markup, html};
use record::fidelity::{Comparison, Count, FaultWindow, Figure, Grade, VariantComparison};

use super::tables::{Head, column_heads, wide};
use super::{charts, document};
use crate::charts::Chart;
use crate::format::{fixed, optional, percent, short};

use Head::{Number, Text};

/// The whole page. `drawn` are the charts with their SVG documents.
pub(crate) fn page(comparison: &Comparison, drawn: &[(Chart, String)]) -> String {
    let heading = format!("{}, live and simulated", comparison.scenario);
    let main = html! {
        (verdict(comparison))
        (figures(comparison))
        (round_faults(comparison))
        (charts(None, drawn))
        (ranking(comparison))
        section {
            h2 { "Where this comes from" }
            p {
                "The two runs, each with a report of its own: "
                a href="live/report.html" { "live" } ", "
                a href="sim/report.html" { "simulated" }
                ". The figures are in " code { "comparison.json" } " and "
                code { "comparison.csv" } "."
            }
        }
    };
    let title = format!("{heading}: {}", comparison.verdict);
    document(&title, &heading, &comparison.question, &main)
}

fn verdict(comparison: &Comparison) -> Markup {
    let (sign, class, words) = match comparison.verdict.as_str() {
        "excellent" => ("✓", "good", "the simulation tells what was measured."),
        "good" => ("✓", "good", "the simulation is close to what was measured."),
        "poor" => ("✗", "bad", "the simulation lacks something that happened live."),
        _ => ("!", "doubtful", "the two runs cannot be compared as they are."),
    };
    html! {
        section.verdict.(class) aria-label="Verdict" {
            p { strong { (sign) " " (comparison.verdict) } ": " (words) }
            ul { @for reason in &comparison.reasons { li { (reason) } } }
            p.facts {
                "Both have the same scenario text, changes and seed (" (comparison.seed)
                "), so the same requests arrive and are equally long. Measurement: "
                (comparison.live) ". In the simulation " (comparison.overhead) "."
            }
        }
    }
}

fn figures(comparison: &Comparison) -> Markup {
    let heads = [
        Text("variant"),
        Text("grade"),
        Number("p50 ms"),
        Number("p90 ms"),
        Number("p99 ms"),
        Number("mean ms"),
        Number("failed"),
        Number("share"),
        Number("Wasserstein"),
        Number("KS"),
    ];
    html! {
        section {
            h2 { "Figures" }
            (wide("Figures", &html! {
                table {
                    caption {
                        "Measured → simulated, and the difference as a share of what was measured. "
                        "Share: the largest difference of a backend's part of the requests. "
                        "Wasserstein: how far a request's latency has to be moved on average to "
                        "turn one distribution into the other, over the mean. KS: the largest "
                        "difference of the shares of requests below a latency."
                    }
                    (column_heads(&heads))
                    tbody { @for variant in &comparison.variants { (row(variant)) } }
                }
            }))
        }
    }
}

fn row(of: &VariantComparison) -> Markup {
    let class = if of.grade == Grade::Poor { "no" } else { "yes" };
    html! {
        tr {
            th scope="row" { (of.name) }
            td.text { span.(class) { (of.grade.word()) } }
            @for figure in [of.p50_ms, of.p90_ms, of.p99_ms, of.mean_ms] { td { (apart(figure)) } }
            td {
                (of.failed_ratio.live.map_or_else(|| "–".to_owned(), percent)) " → "
                (of.failed_ratio.sim.map_or_else(|| "–".to_owned(), percent))
            }
            td {
                (of.share_difference.map_or_else(|| "–".to_owned(), percent))
                @if let Some(backend) = &of.share_backend { " (" (backend) ")" }
            }
            td { (of.wasserstein.map_or_else(|| "–".to_owned(), percent)) }
            td { (of.ks.map_or_else(|| "–".to_owned(), |ks| fixed(ks, 3))) }
        }
    }
}

/// What the figures of a whole run hide.
fn round_faults(comparison: &Comparison) -> Markup {
    let heads = [
        Text("variant"),
        Text("fault"),
        Text("grade"),
        Number("from s"),
        Number("to s"),
        Number("requests"),
        Number("p50 ms"),
        Number("p99 ms"),
        Number("slow"),
        Number("failed"),
        Number("retries"),
    ];
    html! {
        @if comparison.variants.iter().any(|variant| !variant.faults.is_empty()) {
            section {
                h2 { "Round the faults" }
                (wide("Round the faults", &html! {
                    table {
                        caption {
                            "Measured → simulated, from the beginning of a fault to five seconds after "
                            "its end, or to the next. Slow: good requests that took more than twice the "
                            "p99 measured outside of all these windows. Counts may differ by 20 % and two "
                            "standard deviations of what chance makes of so few, and be good; p50 by 5 % "
                            "and as many; p99 is shown and not judged."
                        }
                        (column_heads(&heads))
                        tbody {
                            @for variant in &comparison.variants {
                                @for window in &variant.faults { (window_row(&variant.name, window)) }
                            }
                        }
                    }
                }))
            }
        }
    }
}

fn window_row(variant: &str, of: &FaultWindow) -> Markup {
    let class = if of.grade == Grade::Poor { "no" } else { "yes" };
    html! {
        tr {
            th scope="row" { (variant) }
            td.text { (of.fault) }
            td.text { span.(class) { (of.grade.word()) } }
            td { (short(of.from_s)) }
            td { (short(of.to_s)) }
            td { (counts(of.intended)) }
            td { (apart(of.p50_ms)) }
            td { (apart(of.p99_ms)) }
            td { (counts(of.slow)) }
            td { (counts(of.failed)) }
            td { (counts(of.retries)) }
        }
    }
}

fn counts(Count { live, sim }: Count) -> String {
    let word = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    match (live, sim) {
        (Some(a), Some(b)) if a == b => a.to_string(),
        _ => format!("{} → {}", word(live), word(sim)),
    }
}

fn apart(figure: Figure) -> Markup {
    html! {
        (optional(figure.live)) " → " (optional(figure.sim))
        @if let Some(difference) = figure.difference {
            span.by { (if difference > 0.0 { "+" } else { "" }) (short(difference * 100.0)) " %" }
        }
    }
}

fn ranking(comparison: &Comparison) -> Markup {
    let ranking = &comparison.ranking;
    html! {
        @if comparison.variants.len() > 1 {
            section {
                h2 { "Ranking" }
                p { (ranking.note) "." }
                (wide("Ranking", &html! {
                    table {
                        caption { "The variants from the lowest to the highest." }
                        (column_heads(&[Text("by"), Text("live"), Text("simulated")]))
                        tbody {
                            @for order in &ranking.orders {
                                tr {
                                    th scope="row" { (order.metric) }
                                    td.text { (order.live.join(" < ")) }
                                    td.text { (order.sim.join(" < ")) }
                                }
                            }
                        }
                    }
                }))
                @if ranking.pairs.iter().any(|pair| !pair.agrees) {
                    ul {
                        @for pair in ranking.pairs.iter().filter(|pair| !pair.agrees) {
                            li { "By " (pair.metric) ", " (pair.lower) " is below " (pair.higher) " live, and not simulated." }
                        }
                    }
                }
            }
        }
    }
}
