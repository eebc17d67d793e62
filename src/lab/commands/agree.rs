//! What follows when a scenario was played under both load generators: the comparison, drawn and
//! shown. It must not play anything, nor compare: `record` does.

use std::path::PathBuf;

use record::agreement::{self, VariantAgreement};
use record::{About, Agreement, PairFolder};

use crate::cli::Shown;
use crate::commands::compared::{self, GREEN, RED, YELLOW};
use crate::exit::{Exit, Failure};

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

fn words(agreement: &Agreement) -> String {
    let style = match agreement.verdict.as_str() {
        "agree" => GREEN,
        "differ" => RED,
        _ => YELLOW,
    };
    compared::words(
        &format!("{}, under two load generators", agreement.scenario),
        &["built-in → Artillery", "requests", "ok", "p50 ms", "p90 ms", "p99 ms", ""],
        agreement.variants.iter().map(row),
        ("Generators", &agreement.verdict, style),
        &agreement.reasons,
    )
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
