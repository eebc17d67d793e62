//! The page: one file that reads without JavaScript and without a network. It must not calculate;
//! all text of the run passes through maud, which escapes it.

pub(crate) mod agreement;
pub(crate) mod fidelity;
mod provenance;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use record::Run;
use record::summary::Terms;

use crate::charts::Chart;
use crate::{format, words};

const STYLE: &str = include_str!("style.css");

/// The whole page. `drawn` are the charts with their SVG documents.
pub(crate) fn page(run: &Run, drawn: &[(Chart, String)]) -> String {
    let summary = &run.summary;
    let title = format!("{}: {}", summary.scenario, summary.verdict);
    let main = html! {
        (verdict(run))
        (tables::expectations(run))
        (tables::requests(run))
        (tables::latency(run))
        (tables::recovery(run))
        (charts(summary.terms.as_ref(), drawn))
        (tables::backends(run))
        (tables::resources(run))
        (tables::events(run))
        (provenance::provenance(run))
    };
    document(&title, &summary.scenario, &summary.question, &main)
}

/// A page of its own: what every one begins with, and `main` behind its heading.
fn document(title: &str, heading: &str, question: &str, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { (heading) }
                        p.question { (question) }
                    }
                    (main)
                }
            }
        }
    };
    page.into_string()
}

fn charts(terms: Option<&Terms>, drawn: &[(Chart, String)]) -> Markup {
    html! {
        @if !drawn.is_empty() {
            section {
                h2 { "Charts" }
                @if let Some(terms) = terms {
                    p.note {
                        "What is drawn was measured by " (terms.measured_by) ": latency is of " (terms.latency)
                        "; everything is counted " (terms.counted) ", whatever the text under a chart says "
                        "of the lab's own runs."
                    }
                }
                @for (chart, svg) in drawn { (figure(chart, svg)) }
            }
        }
    }
}

fn verdict(run: &Run) -> Markup {
    let summary = &run.summary;
    let (sign, class, words) = match summary.verdict.as_str() {
        "valid" => ("✓", "good", "the measurement can be believed."),
        "suspect" => ("!", "doubtful", "read the reasons before the figures."),
        "invalid" => {
            ("✗", "bad", "the measurement does not answer the question, and no variant wins.")
        }
        "interrupted" => {
            ("!", "doubtful", "the run was stopped; what was measured until then is here.")
        }
        _ => ("?", "doubtful", "a verdict that this version does not know."),
    };
    let held = summary.expectations.iter().filter(|judgement| judgement.passed).count();
    let all = summary.expectations.len();
    html! {
        section.verdict.(class) aria-label="Verdict" {
            p { strong { (sign) " " (summary.verdict) } ": " (words) }
            @if !summary.reasons.is_empty() {
                ul { @for reason in &summary.reasons { li { (reason) } } }
            }
            p.facts {
                (played(run)) ", "
                (format::seconds(summary.duration_s)) " measured in windows of "
                (format::seconds(summary.window_s)) (rounds(run)) (words::clock(run)) "."
                @for phase in &summary.phases { " " (load(phase)) }
            }
        }
        @if !summary.notes.is_empty() {
            section.verdict.doubtful aria-label="Overload" {
                p { strong { "! More load than can be served" } }
                ul { @for note in &summary.notes { li { (note) } } }
            }
        }
        @if all > 0 {
            section.verdict.(if held == all { "good" } else { "bad" }) aria-label="Expectations" {
                p {
                    strong { (if held == all { "✓" } else { "✗" }) " " (held) " of " (all) }
                    (if all == 1 { " expectation holds." } else { " expectations hold." })
                }
            }
        }
        @if !run.edited.is_empty() {
            section.verdict.doubtful aria-label="Edited files" {
                p {
                    strong { "! Edited since the run: " }
                    (run.edited.join(", ")) ". Charts and tables show what the files say now; the verdict "
                    "and the summary were made from what they said then."
                }
            }
        }
    }
}

/// Who played it, and from which seed.
fn played(run: &Run) -> String {
    let summary = &run.summary;
    let how = match (&summary.terms, summary.engine.as_str()) {
        (Some(terms), _) => return format!("Measured by {}, imported", terms.measured_by),
        (None, "live") => "Played live, on real sockets",
        (None, "sim") => "Simulated, in virtual time",
        (None, other) => other,
    };
    format!("{how}, seed {}", summary.seed)
}

fn rounds(run: &Run) -> String {
    match run.summary.variants.iter().map(|variant| variant.rounds).max() {
        None | Some(0 | 1) => String::new(),
        Some(rounds) => format!(", {rounds} rounds"),
    }
}

fn load(phase: &record::summary::PhaseEntry) -> String {
    let (from, to) = (format::seconds(phase.from_s), format::seconds(phase.to_s));
    let rate = format::trimmed(phase.rate_from);
    let rate = if phase.rate_from == phase.rate_to {
        rate
    } else {
        format!("{rate} → {}", format::trimmed(phase.rate_to))
    };
    format!("{} ({from} to {to}): {rate} requests/s.", phase.name)
}

fn figure(chart: &Chart, svg: &str) -> Markup {
    // Inside HTML the namespace is known, and a page without addresses is seen to be self-contained.
    let svg = svg.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    html! {
        figure id=(chart.name) {
            // The picture has its title too; this one is for those who go from heading to heading.
            h3.unseen { (chart.title) }
            div.card tabindex="0" { (PreEscaped(svg)) }
            figcaption {
                (chart.reading)
                @if let Some(left_out) = &chart.left_out { " " strong { (left_out) } }
            }
        }
    }
}
