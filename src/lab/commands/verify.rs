//! `lab verify`: the simulator held against what queues are known to do. It must not know the
//! points, nor play them itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use report::deviations::{self, Deviation};
use serde::Serialize;
use theory::{BOUND, Row};

use crate::cli::VerifyArgs;
use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::signals;
use crate::stamp::fresh;
use crate::table::{GREEN, RED, ruled};

/// Plays all points, prints the table, and keeps it with a chart.
pub(crate) fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let folder = args.out.clone().unwrap_or_else(|| fresh(Path::new("reports/verify")));
    // Before minutes are spent; nothing is left of it if there is nothing to keep.
    fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, error))?;
    let stop = signals::install()?;
    let jobs = args
        .jobs
        .map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let points = theory::points(theory::points::ROUNDS, f64::from(args.requests));
    let bar = bar(args.quiet);
    let rows = theory::verify(&points, jobs, &stop, &|done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let rows = match rows {
        Ok(rows) => rows,
        Err(theory::Error::Interrupted) => {
            // One with something in it stays.
            let _ = fs::remove_dir(&folder);
            return Ok(Exit::Interrupted(stop.reason().unwrap_or(2)));
        }
        Err(error) => return Err(Failure::new(Exit::Internal, error.to_string())),
    };
    let files = keep(&rows, &folder)?;
    say!("{}", render(&rows, args.requests).trim_end());
    say!("Table and chart: {}", files.display());
    let held = rows.iter().all(Row::holds);
    Ok(if held { Exit::Good } else { Exit::ExpectationFailed })
}

/// Nothing where stderr is no terminal.
fn bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("verify {wide_bar} {pos} of {len} rounds, {eta} left");
    ProgressBar::new(1).with_style(style.expect("the template is a constant"))
}

fn name(row: &Row) -> String {
    format!("{}: {}", row.point, row.known.metric.word())
}

fn unwritable(path: &Path, error: std::io::Error) -> Failure {
    let path = path.display();
    Failure::environment(format!("cannot write {path}: {error}; choose another with --out"))
}

/// verify.csv, verify.svg and verify.png.
fn keep(rows: &[Row], folder: &Path) -> Result<PathBuf, Failure> {
    let all: Vec<Deviation> =
        rows.iter().map(|row| Deviation { name: name(row), z: row.z() }).collect();
    let drawn = deviations::draw(&all, BOUND)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    for artefact in drawn {
        let path = folder.join(&artefact.path);
        fs::write(&path, artefact.bytes).map_err(|error| unwritable(&path, error))?;
    }
    let path = folder.join("verify.csv");
    let written = table(rows).map_err(std::io::Error::from);
    let written = written.and_then(|bytes| fs::write(&path, bytes));
    written.map_err(|error| unwritable(&path, error))?;
    Ok(folder.to_path_buf())
}

/// A row of verify.csv: values in mean service times, or as shares.
#[derive(Serialize)]
struct CsvRow<'a> {
    system: &'a str,
    metric: &'a str,
    known: String,
    known_standard_error: String,
    source: &'a str,
    simulated: String,
    standard_error: String,
    standard_errors_off: String,
    holds: bool,
}

impl<'a> CsvRow<'a> {
    fn of(row: &'a Row) -> Self {
        let Row { point, known, measured } = row;
        let digits = |value: f64| format!("{value:.6}");
        Self {
            system: point,
            metric: known.metric.word(),
            known: digits(known.value),
            known_standard_error: digits(known.error),
            source: known.source,
            simulated: digits(measured.mean),
            standard_error: digits(measured.error),
            standard_errors_off: format!("{:.2}", row.z()),
            holds: row.holds(),
        }
    }
}

fn table(rows: &[Row]) -> csv::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| csv.serialize(CsvRow::of(row)))?;
    csv.into_inner().map_err(|error| error.into_error().into())
}

fn render(rows: &[Row], requests: u32) -> String {
    let header = ["system", "", "known", "simulated", "error", "std. errors off", "", "by"];
    let cells = rows.iter().map(|row| {
        let (style, mark) = if row.holds() { (GREEN, "✓") } else { (RED, "✗") };
        vec![
            row.point.clone(),
            row.known.metric.word().to_owned(),
            format!("{:.4}", row.known.value),
            format!("{:.4} ± {:.4}", row.measured.mean, row.measured.error),
            format!("{:+.2} %", 100.0 * row.relative()),
            format!("{:+.1}", row.z()),
            format!("{style}{mark}{style:#}"),
            row.known.source.to_owned(),
        ]
    });
    let table = ruled(&header, cells, 2..6);
    let beyond = rows.iter().filter(|row| !row.holds()).count();
    let (style, mark) = if beyond == 0 { (GREEN, "✓") } else { (RED, "✗") };
    format!(
        "The simulator against what is known of queues: times in mean service times, ± one standard\n\
         error over {} rounds of {requests} requests each.\n{table}\n\
         {style}{mark}{style:#} {} of {} figures within {BOUND} standard errors\n",
        theory::points::ROUNDS,
        rows.len() - beyond,
        rows.len(),
    )
}
