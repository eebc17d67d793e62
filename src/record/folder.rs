//! Writes a run folder (DESIGN.md §7). It must not decide anything but the files' syntax.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::calibration::Calibration;
use crate::expect::Expectation;
use crate::hlog;
use crate::manifest::{Manifest, SCHEMA};
use crate::parts::PartEntry;
use crate::rows::{BackendRow, EventLine, RequestRow, ResourceRow, Row, SpectrumRow, TimelineRow};
use crate::summary::{Judgement, PhaseEntry, Summary};
use crate::table::{Appended, TEMPORARY, Table, at, replace};
use crate::trial::TrialRecord;
use crate::units;
use crate::variant::Variant;
use crate::verdict::Verdict;
use crate::{spectrum, summary_table};

/// summary.json's name.
pub const SUMMARY: &str = "summary.json";
/// summary.csv's name.
pub const SUMMARY_TABLE: &str = "summary.csv";
/// The interval log's name.
pub const HLOG: &str = "latency.hlog";

/// What the run was, for manifest.json and summary.json.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// The scenario's name.
    pub scenario: String,
    /// Its question.
    pub question: String,
    /// What a reader should know of it, whatever the verdict.
    pub notes: Vec<String>,
    /// Its text, as read.
    pub scenario_text: String,
    /// "live" or "sim".
    pub engine: String,
    /// Who sends the requests: "builtin", "artillery", or both; empty when simulated.
    pub generator: String,
    /// The seed.
    pub seed: u64,
    /// `--set`, `--vary` … as given.
    pub overrides: Vec<String>,
    /// The command line.
    pub command_line: Vec<String>,
    /// lab's version, and what else took part ("nginx 1.22.1").
    pub versions: Vec<(String, String)>,
    /// The machine: ("cores", "2"), ("kernel", "6.1"), ("memory_bytes", "…").
    pub host: Vec<(String, String)>,
    /// The revision of the source, where it is known.
    pub git_revision: Option<String>,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// The parts that it was merged from, if it was.
    pub parts: Vec<PartEntry>,
    /// What a simulation added to the service times; `None`: nothing.
    pub calibration: Option<Calibration>,
}

/// Writes the records of a run: `create`, `trial` for each, `finish`; then the report is drawn,
/// and `seal`.
pub struct RunWriter {
    folder: PathBuf,
    timeline: Table,
    backends: Table,
    events: Table,
    hlog: Appended,
    /// Made when the first row comes.
    resources: Option<Table>,
    /// Likewise.
    requests: Option<Table>,
    variants: Vec<Variant>,
    trials: Vec<TrialVerdict>,
}

struct TrialVerdict {
    variant: String,
    round: u32,
    verdict: Verdict,
    reasons: Vec<String>,
}

impl RunWriter {
    /// Makes the folder with its parents. An existing folder that is neither empty nor a run
    /// folder is refused; the files of an old run in it are removed first.
    ///
    /// # Errors
    /// The path, what is wrong with it and what to do.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        if fs::read_dir(folder).map_err(at(folder))?.next().is_some() {
            if !Manifest::is_in(folder) {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!(
                        "{}: there are files in this folder and it is no run folder; choose \
                         another one with --out, or empty it",
                        folder.display()
                    ),
                ));
            }
            remove_old_run(folder)?;
        }
        Manifest::begun().write(folder)?;
        let mut hlog = Appended::create(folder.join(HLOG))?;
        hlog.write(&hlog::header()?)?;
        Ok(Self {
            timeline: Table::create::<TimelineRow>(folder)?,
            backends: Table::create::<BackendRow>(folder)?,
            events: Table::create::<EventLine>(folder)?,
            hlog,
            resources: None,
            requests: None,
            variants: Vec::new(),
            trials: Vec::new(),
            folder: folder.to_owned(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a trial: its rows are appended to the files now, so that a run that dies later has
    /// lost nothing. Trials come in the order of rounds, then variants.
    ///
    /// # Errors
    /// A file that cannot be written, by its path.
    pub fn trial(&mut self, record: TrialRecord) -> io::Result<()> {
        self.timeline.append(record.timeline_rows())?;
        self.backends.append(record.backend_rows())?;
        self.events.append(record.event_rows())?;
        self.hlog.write(&hlog::lines(&record)?)?;
        append_where_any(&mut self.resources, &self.folder, record.resource_rows())?;
        if record.plan.keep_requests {
            append_where_any(&mut self.requests, &self.folder, record.request_rows())?;
        }
        let (verdict, reasons) = record.verdict();
        self.trials.push(TrialVerdict {
            variant: record.plan.variant.clone(),
            round: record.plan.round,
            verdict,
            reasons,
        });
        let name = &record.plan.variant;
        let index = self.variants.iter().position(|variant| variant.plan.variant == *name);
        let index = index.unwrap_or_else(|| {
            self.variants.push(Variant::new(&record.plan));
            self.variants.len() - 1
        });
        self.variants[index].add(&record);
        Ok(())
    }

    /// Writes the summaries and judges the expectations. A run that was `cut_short` says why: that
    /// wins over every verdict, and its expectations are not judged, because a part of a run says
    /// nothing about the whole. Afterwards the folder can be loaded; the manifest of
    /// [`RunWriter::seal`] adds the report.
    ///
    /// # Errors
    /// A file that cannot be written, by its path.
    pub fn finish(
        &mut self,
        about: &About,
        expectations: &[Expectation],
        cut_short: Option<&str>,
    ) -> io::Result<Summary> {
        let summary = self.summary(about, expectations, cut_short);
        if about.engine == "live" && self.resources.is_none() {
            self.resources = Some(Table::create::<ResourceRow>(&self.folder)?);
        }
        let variants = self.variants.iter();
        let rows = variants.flat_map(|v| spectrum::rows(&v.plan.variant, v.whole()));
        self.close(about, &summary, rows)?;
        Ok(summary)
    }

    /// Appends rows that no record holds.
    pub(crate) fn rows(
        &mut self,
        timeline: impl Iterator<Item = TimelineRow>,
        events: impl Iterator<Item = EventLine>,
    ) -> io::Result<()> {
        self.timeline.append(timeline)?;
        self.events.append(events)
    }

    /// Writes what ends a run: the spectrum, the summaries, the manifest.
    pub(crate) fn close(
        &self,
        about: &About,
        summary: &Summary,
        spectrum: impl Iterator<Item = SpectrumRow>,
    ) -> io::Result<()> {
        Table::create::<SpectrumRow>(&self.folder)?.append(spectrum)?;
        let path = self.folder.join(SUMMARY);
        let mut json =
            serde_json::to_vec_pretty(summary).map_err(io::Error::from).map_err(at(&path))?;
        json.push(b'\n');
        replace(&path, &json)?;
        replace(&self.folder.join(SUMMARY_TABLE), &summary_table::csv(&summary.variants)?)?;
        Manifest::of(&self.folder, about)?.write(&self.folder)
    }

    /// Writes manifest.json with the checksum of every other file, the charts included: last.
    ///
    /// # Errors
    /// A file that cannot be read or written, by its path.
    pub fn seal(self, about: &About) -> io::Result<()> {
        Manifest::of(&self.folder, about)?.write(&self.folder)
    }

    fn summary(&self, about: &About, expected: &[Expectation], cut_short: Option<&str>) -> Summary {
        let plan = self.variants.first().map(|variant| &variant.plan);
        let worst = self.trials.iter().map(|trial| trial.verdict).max();
        let mut verdict = worst.unwrap_or(Verdict::Valid);
        let mut reasons: Vec<String> =
            self.trials.iter().flat_map(|trial| trial.reasons_in(self.trials.len())).collect();
        if let Some(why) = cut_short {
            verdict = Verdict::Interrupted;
            reasons.insert(0, why.to_owned());
            if !expected.is_empty() {
                reasons.push("the expectations are not judged: a part is not the whole".into());
            }
        }
        let expected = if cut_short.is_some() { &[] } else { expected };
        Summary {
            schema: SCHEMA,
            scenario: about.scenario.clone(),
            question: about.question.clone(),
            engine: about.engine.clone(),
            seed: about.seed,
            verdict: verdict.word().to_owned(),
            reasons,
            notes: about.notes.clone(),
            terms: None,
            duration_s: plan.map_or(0.0, |plan| units::duration_s(plan.duration())),
            window_s: plan.map_or(0.0, |plan| units::duration_s(plan.window)),
            phases: plan
                .map_or_else(Vec::new, |plan| plan.phases.iter().map(PhaseEntry::of).collect()),
            variants: self.variants.iter().map(Variant::summary).collect(),
            expectations: expected.iter().flat_map(|one| self.judge(one)).collect(),
        }
    }

    /// A variant that was never played has nothing to measure.
    fn judge(&self, expectation: &Expectation) -> Vec<Judgement> {
        let judge = |variant: &Variant| {
            expectation.judge(&variant.plan.variant, variant.tally(expectation.span))
        };
        match &expectation.variant {
            None => self.variants.iter().map(judge).collect(),
            Some(name) => {
                let variant = self.variants.iter().find(|variant| variant.plan.variant == *name);
                vec![variant.map_or_else(|| expectation.judge(name, None), judge)]
            }
        }
    }
}

impl TrialVerdict {
    /// Its reasons; with several trials each says whose it is.
    fn reasons_in(&self, trials: usize) -> Vec<String> {
        let named = |reason: &String| match trials {
            1 => reason.clone(),
            _ => format!("{}, round {}: {reason}", self.variant, self.round),
        };
        self.reasons.iter().map(named).collect()
    }
}

fn append_where_any<R: Row>(
    table: &mut Option<Table>,
    folder: &Path,
    rows: impl Iterator<Item = R>,
) -> io::Result<()> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    if table.is_none() {
        *table = Some(Table::create::<R>(folder)?);
    }
    match table {
        Some(table) => table.append(rows),
        None => Ok(()),
    }
}

/// Removes what a run writes, and nothing that somebody else may have put there.
pub(crate) fn remove_old_run(folder: &Path) -> io::Result<()> {
    let own = [
        SUMMARY,
        SUMMARY_TABLE,
        HLOG,
        TimelineRow::FILE,
        BackendRow::FILE,
        EventLine::FILE,
        ResourceRow::FILE,
        SpectrumRow::FILE,
        RequestRow::FILE,
        "report.html",
    ];
    for name in own {
        remove_file(&folder.join(name))?;
        remove_file(&folder.join(format!("{name}{TEMPORARY}")))?;
    }
    remove_charts(folder)?;
    // What children print has any name; nothing but a run writes here.
    let logs = folder.join("logs");
    match fs::remove_dir_all(&logs) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&logs)(error)),
        _ => Ok(()),
    }
}

/// Removes the pictures that were drawn into a folder.
pub(crate) fn remove_charts(folder: &Path) -> io::Result<()> {
    for path in entries(&folder.join("charts"))? {
        if path.extension().is_some_and(|kind| kind == "svg" || kind == "png") {
            remove_file(&path)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at(folder)(error)),
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(at(folder))).collect()
        }
    }
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
