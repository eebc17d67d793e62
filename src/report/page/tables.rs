//! The page's tables, from summary and rows. It must not judge or draw.

use maud::{Markup, html};
use record::Run;
use record::summary::{Judgement, VariantSummary};

use crate::format::{self, count, optional, short};
use crate::recovery::{self, Back, Recovery};
use crate::words;

use Head::{Number, Text};

/// Rows of a table; the CSV files hold the rest.
const MAX_BACKENDS: usize = 64;
const MAX_EVENTS: usize = 200;
const MAX_RECOVERIES: usize = 60;
const MAX_VARIANTS: usize = 200;

/// A table that scrolls in itself where the screen is narrow.
pub(super) fn wide(label: &str, table: &Markup) -> Markup {
    html! { div.wide role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// A column's head stands where its values stand.
#[derive(Clone, Copy)]
pub(super) enum Head {
    Text(&'static str),
    Number(&'static str),
}

pub(super) fn column_heads(heads: &[Head]) -> Markup {
    html! {
        thead {
            tr {
                @for head in heads {
                    @match head {
                        Text(name) => { th.text scope="col" { (name) } }
                        Number(name) => { th scope="col" { (name) } }
                    }
                }
            }
        }
    }
}

/// What a bounded table says below itself.
fn left_out(all: usize, shown: usize, what: &str, file: &str) -> Markup {
    html! {
        @if all > shown { p.note { (shown) " of " (all) " " (what) " shown; all are in " code { (file) } "." } }
    }
}

pub(super) fn expectations(run: &Run) -> Markup {
    let judgements = &run.summary.expectations;
    html! {
        @if !judgements.is_empty() {
            section {
                h2 { "Expectations" }
                (wide("Expectations", &html! {
                    table {
                        caption { "What the scenario expects, over which part of the measured time, and what was measured." }
                        (column_heads(&[Text(""), Text("metric"), Text("variant"), Number("window"), Number("expected"), Number("measured"), Text("from")]))
                        tbody { @for judgement in judgements { (expectation(judgement)) } }
                    }
                }))
            }
        }
    }
}

fn expectation(judgement: &Judgement) -> Markup {
    // Values are in the unit of the limit, of which a duration has one.
    let unit = if judgement.limit.ends_with(['s', 'm', 'h']) { " ms" } else { "" };
    html! {
        tr {
            td.text {
                @if judgement.passed { span.yes { "✓ holds" } } @else { span.no { "✗ fails" } }
            }
            th scope="row" { (judgement.metric) }
            td.text { (judgement.variant) }
            td { (judgement.window) }
            td { (judgement.limit) }
            td {
                @match judgement.measured {
                    Some(measured) => { (figure(measured)) (unit) }
                    None => { "nothing to measure" }
                }
            }
            td.text { (judgement.place) }
        }
    }
}

/// Ratios need more digits than [`short`] gives small numbers.
fn figure(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 { format::fixed(value, 5) } else { short(value) }
}

pub(super) fn requests(run: &Run) -> Markup {
    let all = &run.summary.variants;
    let heads = [
        Text("variant"),
        Number("intended"),
        Number("ok"),
        Number("failed"),
        Number("rejected"),
        Number("dropped"),
        Number("unfinished"),
        Number("not ok"),
        Number("retries"),
        Number("offered/s"),
        Number("achieved/s"),
    ];
    html! {
        @if !all.is_empty() {
            section {
                h2 { "Requests" }
                (wide("Requests per variant", &html! {
                    table {
                        caption { "Counted " (words::counted(run)) ", rounds added up. Offered and achieved are requests a second." }
                        (column_heads(&heads))
                        tbody { @for variant in all.iter().take(MAX_VARIANTS) { (request_row(variant)) } }
                    }
                }))
                (left_out(all.len(), MAX_VARIANTS, "variants", "summary.csv"))
                (failures(&all[..all.len().min(MAX_VARIANTS)]))
            }
        }
    }
}

fn request_row(variant: &VariantSummary) -> Markup {
    let counts = &variant.counts;
    let bad = counts.intended.saturating_sub(counts.ok);
    let retries = counts.retries.map_or_else(|| "–".to_owned(), count);
    html! {
        tr {
            th scope="row" { (variant.name) }
            @for number in [counts.intended, counts.ok, counts.failed, counts.rejected, counts.dropped, counts.unfinished] {
                td { (count(number)) }
            }
            td {
                @if counts.intended == 0 { "–" } @else { (format::percent(bad as f64 / counts.intended as f64)) }
            }
            td { (retries) }
            td { (short(variant.offered_rps)) }
            td { (short(variant.achieved_rps)) }
        }
    }
}

/// How requests failed, where some did.
fn failures(variants: &[VariantSummary]) -> Markup {
    let kinds = |variant: &VariantSummary| -> Vec<String> {
        let some = variant.failures.iter().filter(|(_, number)| **number > 0);
        some.map(|(kind, number)| format!("{kind} {}", count(*number))).collect()
    };
    let each: Vec<String> = variants
        .iter()
        .map(|variant| (&variant.name, kinds(variant)))
        .filter(|(_, kinds)| !kinds.is_empty())
        .map(|(name, kinds)| format!("{name}: {}", kinds.join(", ")))
        .collect();
    html! { @if !each.is_empty() { p.note { "Failed by kind: " (each.join("; ")) "." } } }
}

pub(super) fn latency(run: &Run) -> Markup {
    let all = &run.summary.variants;
    let heads = [
        Text("variant"),
        Number("mean"),
        Number("p50"),
        Number("p90"),
        Number("p99"),
        Number("p99.9"),
        Number("max"),
        Number("dispatch p99"),
        Number("proxy CPU µs/request"),
    ];
    html! {
        @if !all.is_empty() {
            section {
                h2 { "Latency" }
                (wide("Latency per variant", &html! {
                    table {
                        caption {
                            @if let Some(terms) = &run.summary.terms {
                                "Milliseconds, of " (terms.latency) ". What is not known is –."
                            } @else {
                                "Milliseconds. Good requests only, from intended start to last byte; rounds merged, never averaged. "
                                "Dispatch is the part before the first byte was written: what the generator or its connections added."
                                @if let Some(sentence) = words::sentence(run) { " " (sentence) }
                            }
                        }
                        (column_heads(&heads))
                        tbody { @for variant in all.iter().take(MAX_VARIANTS) { (latency_row(variant)) } }
                    }
                }))
                (left_out(all.len(), MAX_VARIANTS, "variants", "summary.csv"))
            }
        }
    }
}

fn latency_row(variant: &VariantSummary) -> Markup {
    let of = &variant.latency_ms;
    let cpu = variant.resources.get("proxy").and_then(|proxy| proxy.cpu_us_per_request);
    html! {
        tr {
            th scope="row" { (variant.name) }
            @for value in [of.mean, of.p50, of.p90, of.p99, of.p999, of.max, variant.dispatch_ms.p99, cpu] {
                td { (optional(value)) }
            }
        }
    }
}

pub(super) fn recovery(run: &Run) -> Markup {
    let rows: Vec<(&str, Recovery)> = (run.summary.variants.iter().take(MAX_VARIANTS))
        .flat_map(|variant| {
            let rows = recovery::recoveries(run, &variant.name);
            rows.into_iter().map(|row| (variant.name.as_str(), row))
        })
        .collect();
    let heads = [
        Text("fault"),
        Text("variant"),
        Number("from"),
        Number("to"),
        Number("failed"),
        Number("rejected"),
        Number("p99 before"),
        Number("worst p99"),
        Number("p99 back after"),
    ];
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "Recovery" }
                (wide("Recovery from each fault", &html! {
                    table {
                        caption {
                            "Failed and rejected: in the windows that the fault touches. p99 before (ms): the median of the windows "
                            "before the first fault. Back: seconds from the fault's beginning to the first window after the worst "
                            "one from which p99, as the median of five windows (fewer just before the next fault or the end), is "
                            "within 10 % of before. With several rounds, p99 of a window is their median."
                        }
                        (column_heads(&heads))
                        tbody { @for (variant, row) in rows.iter().take(MAX_RECOVERIES) { (recovery_row(variant, row)) } }
                    }
                }))
                (left_out(rows.len(), MAX_RECOVERIES, "faults", "events.csv"))
            }
        }
    }
}

fn recovery_row(variant: &str, row: &Recovery) -> Markup {
    let to = row.fault.to_s.map_or_else(|| "the end".to_owned(), format::seconds);
    html! {
        tr {
            th scope="row" { (row.fault.label()) }
            td.text { (variant) }
            td { (format::seconds(row.fault.from_s)) }
            td { (to) }
            td { (count(row.failed)) }
            td { (count(row.rejected)) }
            td { (optional(row.before_ms)) }
            td { @if row.worst_ms == Some(f64::INFINITY) { "no answers" } @else { (optional(row.worst_ms)) } }
            td {
                @match row.back {
                    Back::NeverLeft => { "never left" }
                    Back::After(seconds) => { (format::seconds(seconds)) }
                    Back::NotWithin(seconds) => { "not within " (format::seconds(seconds)) }
                    Back::Unknown => { "–" }
                }
            }
        }
    }
}

pub(super) fn backends(run: &Run) -> Markup {
    let rows = || run.summary.variants.iter().flat_map(|v| v.backends.iter().map(move |b| (v, b)));
    let all = rows().count();
    html! {
        @if all > 0 {
            section {
                h2 { "Backends" }
                (wide("Requests per backend", &html! {
                    table {
                        caption { "Attempts that each backend read, retries included and health checks left out, and the most that were inside it at once." }
                        (column_heads(&[Text("backend"), Text("variant"), Number("requests"), Number("share"), Number("most in flight")]))
                        tbody {
                            @for (variant, backend) in rows().take(MAX_BACKENDS) {
                                tr {
                                    th scope="row" { (backend.name) }
                                    td.text { (variant.name) }
                                    td { (count(backend.requests)) }
                                    td { (backend.share.map_or_else(|| "–".to_owned(), format::percent)) }
                                    td { (backend.max_in_flight) }
                                }
                            }
                        }
                    }
                }))
                (left_out(all, MAX_BACKENDS, "backends", "summary.json"))
            }
        }
    }
}

pub(super) fn resources(run: &Run) -> Markup {
    let rows = || run.summary.variants.iter().flat_map(|v| v.resources.iter().map(move |r| (v, r)));
    html! {
        @if rows().next().is_some() {
            section {
                h2 { "Resources" }
                (wide("Resources per process", &html! {
                    table {
                        caption { "From the end of the warm-up to the end of the phases, rounds added up; memory is the most that was resident." }
                        (column_heads(&[Text("process"), Text("variant"), Number("CPU seconds"), Number("CPU µs/request"), Number("memory")]))
                        tbody {
                            @for (variant, (process, used)) in rows().take(MAX_VARIANTS) {
                                tr {
                                    th scope="row" { (process) }
                                    td.text { (variant.name) }
                                    td { (short(used.cpu_seconds)) }
                                    td { (optional(used.cpu_us_per_request)) }
                                    td { (format::mebibytes(used.rss_peak_bytes)) }
                                }
                            }
                        }
                    }
                }))
                (left_out(rows().count(), MAX_VARIANTS, "rows", "summary.json"))
            }
        }
    }
}

pub(super) fn events(run: &Run) -> Markup {
    html! {
        @if !run.events.is_empty() {
            section {
                h2 { "Events" }
                (wide("Events", &html! {
                    table {
                        caption { "What the scenario did and what was noticed, in seconds from " (words::zero(run)) "." }
                        (column_heads(&[Number("time"), Text("variant"), Number("round"), Text("source"), Text("subject"), Text("event"), Text("detail")]))
                        tbody {
                            @for event in run.events.iter().take(MAX_EVENTS) {
                                tr {
                                    td { (format::fixed(event.t_s, 3)) }
                                    td.text { (event.variant) }
                                    td { (event.round) }
                                    td.text { (event.source) }
                                    td.text { (event.subject) }
                                    th scope="row" { (event.kind) }
                                    td.text.long { (event.detail) }
                                }
                            }
                        }
                    }
                }))
                (left_out(run.events.len(), MAX_EVENTS, "events", "events.csv"))
            }
        }
    }
}
