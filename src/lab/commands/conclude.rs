//! What follows when all records of a run are written: summary, judgement, pictures, exit code.
//! It must not know who played.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base::Stop;
use record::{About, Expectation, Run, RunWriter, Summary};

use crate::cli::Shown;
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};
use crate::table;

/// Writes the summaries, shows them if somebody wants to see them, draws the report and seals the
/// folder.
pub(crate) fn conclude(
    mut writer: RunWriter,
    about: &About,
    expectations: &[Expectation],
    cut_short: Option<&str>,
    shown: Option<&Shown>,
) -> Result<Summary, Failure> {
    let summary = writer.finish(about, expectations, cut_short).map_err(Failure::unwritten)?;
    present(writer, about, &summary, shown)?;
    Ok(summary)
}

/// Shows a summary that is written, draws the report and seals the folder.
pub(crate) fn present(
    writer: RunWriter,
    about: &About,
    summary: &Summary,
    shown: Option<&Shown>,
) -> Result<(), Failure> {
    let folder = writer.folder().to_owned();
    if let Some(shown) = shown {
        show(shown, summary)?;
    }
    let page = draw(&folder).map_err(|mut failure| {
        let again =
            format!("The figures are kept; draw them with: lab report {}", folder.display());
        failure.lines.push(again);
        failure
    })?;
    writer.seal(about).map_err(Failure::unwritten)?;
    if shown.is_some_and(|shown| !shown.json) {
        say!("Report: {}", page.display());
    }
    if shown.is_some_and(|shown| shown.open) {
        open_in_browser(&page);
    }
    Ok(())
}

/// Draws the folder from its files alone, as `lab report` does.
fn draw(folder: &Path) -> Result<PathBuf, Failure> {
    let run = Run::load(folder).map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    report::write(&run, folder).map_err(|error| Failure::environment(error.to_string()))?;
    Ok(folder.join("report.html"))
}

fn show(shown: &Shown, summary: &Summary) -> Result<(), Failure> {
    if shown.json {
        let text = serde_json::to_string_pretty(summary)
            .map_err(|error| Failure::new(Exit::Internal, format!("summary.json: {error}")))?;
        say!("{text}");
    } else {
        say!("{}", table::render(summary).trim_end());
    }
    Ok(())
}

/// Why a run is not whole, in words for its summary.
pub(crate) fn why(failed: Option<&Failure>, stop: &Stop) -> Option<String> {
    let signal = stop.reason().map(|number| match number {
        1 => "stopped by SIGHUP".to_owned(),
        2 => "stopped by SIGINT".to_owned(),
        15 => "stopped by SIGTERM".to_owned(),
        number => format!("stopped by signal {number}"),
    });
    signal.or_else(|| failed.and_then(|failure| failure.lines.first().cloned()))
}

/// The exit code that a summary deserves.
pub(crate) fn judge(summary: &Summary) -> Exit {
    let measured = if summary.verdict == "invalid" { Exit::MeasurementInvalid } else { Exit::Good };
    let held = summary.expectations.iter().all(|expectation| expectation.passed);
    measured.worst(if held { Exit::Good } else { Exit::ExpectationFailed })
}

/// Asks the desktop to show a page. That there is none is no error: the path was printed.
pub(crate) fn open_in_browser(page: &Path) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let asked = Command::new(program)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = asked {
        tell!("--open: {program} cannot be started: {error}");
    }
}
