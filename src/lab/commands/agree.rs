//! What follows when a scenario was played under both load generators: the comparison, drawn and
//! shown. It must not play anything, nor compare: `record` does.

use std::path::PathBuf;

use record::agreement::{self, VariantAgreement};
use record::{About, Agreement, PairFolder};

use crate::cli::Shown;
use crate::commands::compared;
use crate::exit::{Exit, Failure};
use crate::table::{GREEN, RED, YELLOW};

/// Compares the two runs, keeps and shows what comes of it, and seals the folder. Generators that
/// differ leave open which of them is right.
pub(crate) fn conclude(pair: &PairFolder, about: &About, shown: &Shown) -> Result<Exit, Failure> {
    let (agreement, page) = draw(pair)?;
    pair.seal(about).map_err(Failure::unwritten)?;
    compared::show(&agreement, &words(&agreement), &page, shown)?;
    Ok(if agreement.verdict == "differ" { Exit::Inconclusive } else { Exit::Good })
}

/// Compares and draws a folder from its files alone.
pub(crate) fn draw(pair: &PairFolder) -> Result<(Agreement, PathBuf), Failure> {
    let (builtin, artillery) = compared::load(pair)?;
    let agreement = agreement::compare(&builtin, &artillery);
    let agreement = agreement.map_err(|error| Failure::invalid(error.to_string()))?;
    pair.keep_agreement(&agreement).map_err(Failure::unwritten)?;
    let page = report::agreement::write(&agreement, &builtin, &artillery, pair.folder());
    let page = page.map_err(|error| Failure::environment(error.to_string()))?;
    Ok((agreement, page))
}

/// What the generator takes stands between the system's part and the whole: it is their difference, and
/// nobody shall take it for the system's.
const HEADER: [&str; 9] = [
    "built-in → Artillery",
    "requests",
    "ok",
    "service p50 ms",
    "generator's own ms",
    "latency p50 ms",
    "p90 ms",
    "p99 ms",
    "",
];

fn words(agreement: &Agreement) -> String {
    let style = match agreement.verdict.as_str() {
        "agree" => GREEN,
        "differ" => RED,
        _ => YELLOW,
    };
    compared::words(
        &format!("{}, under two load generators", agreement.scenario),
        &HEADER,
        agreement.variants.iter().map(row),
        ("Generators", &agreement.verdict, style),
        &agreement.reasons,
    )
}

fn row(variant: &VariantAgreement) -> Vec<String> {
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
    let (a, b) = (&variant.builtin, &variant.artillery);
    let pair = |a, b| format!("{} → {}", ms(a), ms(b));
    let apart = |a, b, by: Option<f64>| {
        format!("{}{}", pair(a, b), by.map_or_else(String::new, |by| format!(" ({by:+.1})")))
    };
    vec![
        variant.name.clone(),
        format!("{} → {}", a.intended, b.intended),
        format!("{} → {}", a.ok, b.ok),
        apart(a.service_p50_ms, b.service_p50_ms, variant.service_p50_difference_ms),
        apart(a.dispatch_p50_ms, b.dispatch_p50_ms, variant.dispatch_p50_difference_ms),
        apart(a.p50_ms, b.p50_ms, variant.p50_difference_ms),
        pair(a.p90_ms, b.p90_ms),
        pair(a.p99_ms, b.p99_ms),
        if variant.agrees { "agree" } else { "differ" }.to_owned(),
    ]
}
