//! What is the same whatever two runs of one scenario differ by: they are loaded, what came of the
//! comparison is shown. It must not compare, nor know what they differ by.

use std::fmt::Write as _;
use std::path::Path;

use anstyle::Style;
use record::{PairFolder, Run};
use serde::Serialize;

use crate::cli::Shown;
use crate::commands::conclude::open_in_browser;
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};
use crate::table::ruled;

/// Both runs, and which of their files were changed since.
pub(crate) fn load(pair: &PairFolder) -> Result<(Run, Run), Failure> {
    let (first, second) = pair.load().map_err(|error| Failure::invalid(error.to_string()))?;
    for (run, place) in [&first, &second].into_iter().zip(pair.runs()) {
        for file in &run.edited {
            tell!(
                "{}: changed since the run; the comparison shows what stands there now",
                place.join(file).display()
            );
        }
    }
    Ok((first, second))
}

/// Shows a comparison, as it is kept or in words, and where its page lies.
pub(crate) fn show(
    comparison: &impl Serialize,
    words: &str,
    page: &Path,
    shown: &Shown,
) -> Result<(), Failure> {
    if shown.json {
        let text = serde_json::to_string_pretty(comparison)
            .map_err(|error| Failure::new(Exit::Internal, format!("comparison.json: {error}")))?;
        say!("{text}");
    } else {
        say!("{}", words.trim_end());
        say!("Comparison: {}", page.display());
    }
    if shown.open {
        open_in_browser(page);
    }
    Ok(())
}

/// A table with a line for each variant, and the verdict below it with what decided it.
pub(crate) fn words(
    title: &str,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    (of, verdict, style): (&str, &str, Style),
    reasons: &[String],
) -> String {
    let table = ruled(header, rows, 1..);
    let mut text = format!("{title}\n{table}\n{of}: {style}{verdict}{style:#}\n");
    for reason in reasons {
        let _ = writeln!(text, "  {reason}");
    }
    text
}
