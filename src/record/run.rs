//! Loads a run folder into typed rows. It must not know who wrote it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::folder::{HLOG, SUMMARY, SUMMARY_TABLE};
use crate::manifest::{self, FileEntry, KIND, Manifest, SCHEMA};
use crate::rows::{BackendRow, EventLine, RequestRow, ResourceRow, Row, SpectrumRow, TimelineRow};
use crate::summary::Summary;
use crate::verdict::Verdict;

/// What is wrong with a run folder: always a file, a line where there is one, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", line.map(|l| format!(":{l}")).unwrap_or_default())]
pub struct LoadError {
    /// Which file, with the folder's path.
    pub file: String,
    /// Which line, from 1.
    pub line: Option<u64>,
    /// What is wrong with it and what to do.
    pub message: String,
}

/// A run folder, loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Where it lies.
    pub folder: PathBuf,
    /// summary.json.
    pub summary: Summary,
    /// manifest.json, untyped: it is shown, not calculated with.
    pub manifest: serde_json::Value,
    /// timeline.csv.
    pub timeline: Vec<TimelineRow>,
    /// backends.csv.
    pub backends: Vec<BackendRow>,
    /// events.csv.
    pub events: Vec<EventLine>,
    /// resources.csv; empty when simulated.
    pub resources: Vec<ResourceRow>,
    /// spectrum.csv.
    pub spectrum: Vec<SpectrumRow>,
    /// Files whose checksum is no longer the manifest's: edited since the run. Charts and the
    /// report are not looked at, for they are drawn again.
    pub edited: Vec<String>,
}

/// What to do about a file that is not as the run wrote it.
const REMEDY: &str = "restore the file from a copy, or run the scenario again";

impl Run {
    /// Loads `folder`. Edited values are taken as they are (their files are named in
    /// [`Run::edited`]); missing files, broken rows and missing rows are errors.
    ///
    /// # Errors
    /// The file, the line and the remedy.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let loader = Loader::open(folder)?;
        let edited = loader.check_files()?;
        let summary: Summary = loader.json(SUMMARY)?;
        if summary.schema != SCHEMA {
            let message = format!(
                "schema {} is not the one that this lab reads ({SCHEMA}); use the lab that wrote it",
                summary.schema
            );
            return Err(loader.error(SUMMARY, None, message));
        }
        loader.check_summary(&summary)?;
        let variants = summary.variants.iter().map(|variant| variant.name.as_str()).collect();
        let resources = match loader.manifest.entry(ResourceRow::FILE) {
            Some(_) => loader.rows(&variants)?,
            None => Vec::new(),
        };
        Ok(Self {
            timeline: loader.rows(&variants)?,
            backends: loader.rows(&variants)?,
            events: loader.rows(&variants)?,
            resources,
            spectrum: loader.rows(&variants)?,
            edited,
            manifest: loader.json(manifest::FILE)?,
            folder: folder.to_owned(),
            summary,
        })
    }
}

struct Loader<'a> {
    folder: &'a Path,
    manifest: Manifest,
}

impl<'a> Loader<'a> {
    fn open(folder: &'a Path) -> Result<Self, LoadError> {
        let mut loader = Self { folder, manifest: Manifest::default() };
        if !folder.is_dir() {
            let what = if folder.exists() { "this is a file" } else { "there is no such folder" };
            return Err(LoadError {
                file: folder.display().to_string(),
                line: None,
                message: format!(
                    "{what}; give a run folder, `lab list runs` shows those there are"
                ),
            });
        }
        if !folder.join(manifest::FILE).exists() {
            let message = "it is missing, so this is no run folder; `lab list runs` shows the runs \
                           there are";
            return Err(loader.error(manifest::FILE, None, message));
        }
        loader.manifest = loader.json(manifest::FILE)?;
        let message = match &loader.manifest {
            found if found.kind != KIND => {
                format!("it is not a run's (its kind is \"{}\", not \"{KIND}\")", found.kind)
            }
            found if found.schema != SCHEMA => format!(
                "schema {} is not the one that this lab reads ({SCHEMA}); use the lab that wrote it",
                found.schema
            ),
            found if !found.complete => {
                "the run was killed, or is still going: its rows are in the CSV files, but there \
                 is no summary; run the scenario again"
                    .to_owned()
            }
            _ => return Ok(loader),
        };
        Err(loader.error(manifest::FILE, None, message))
    }

    fn error(&self, file: &str, line: Option<u64>, message: impl Into<String>) -> LoadError {
        let file = self.folder.join(file).display().to_string();
        LoadError { file, line, message: message.into() }
    }

    fn unreadable(&self, file: &str, error: &io::Error) -> LoadError {
        let message = match error.kind() {
            io::ErrorKind::NotFound => format!("it is missing; {REMEDY}"),
            _ => format!("it cannot be read: {error}"),
        };
        self.error(file, None, message)
    }

    /// Compares the data files with the manifest: what was edited; an error if rows are missing.
    fn check_files(&self) -> Result<Vec<String>, LoadError> {
        let always = [
            SUMMARY,
            SUMMARY_TABLE,
            TimelineRow::FILE,
            BackendRow::FILE,
            EventLine::FILE,
            SpectrumRow::FILE,
            HLOG,
        ];
        let mut edited = Vec::new();
        for file in always.into_iter().chain([ResourceRow::FILE, RequestRow::FILE]) {
            let Some(written) = self.manifest.entry(file) else {
                if always.contains(&file) {
                    let message = format!("its list of files lacks {file}; {REMEDY}");
                    return Err(self.error(manifest::FILE, None, message));
                }
                continue;
            };
            let found = manifest::describe(&self.folder.join(file), file.to_owned())
                .map_err(|error| self.unreadable(file, &io::Error::from(error.kind())))?;
            self.check_length(written, &found)?;
            if found.sha256 != written.sha256 {
                edited.push(file.to_owned());
            }
        }
        Ok(edited)
    }

    /// JSON says by itself that it is cut off; rows do not.
    fn check_length(&self, written: &FileEntry, found: &FileEntry) -> Result<(), LoadError> {
        if written.path.ends_with(".json") || found.lines >= written.lines {
            return Ok(());
        }
        let message = format!("the file ends here, {} lines were written; {REMEDY}", written.lines);
        Err(self.error(&written.path, Some(found.lines.max(1)), message))
    }

    fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T, LoadError> {
        let bytes =
            fs::read(self.folder.join(file)).map_err(|error| self.unreadable(file, &error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let line = (error.line() > 0).then_some(error.line() as u64);
            self.error(file, line, format!("{error}; {REMEDY}"))
        })
    }

    fn rows<R: Row>(&self, variants: &BTreeSet<&str>) -> Result<Vec<R>, LoadError> {
        let path = self.folder.join(R::FILE);
        let mut reader =
            csv::Reader::from_path(&path).map_err(|error| self.broken_row::<R>(None, &error))?;
        let header =
            reader.headers().map_err(|error| self.broken_row::<R>(Some(1), &error))?.clone();
        if header.iter().ne(R::COLUMNS.iter().copied()) {
            let message = format!(
                "the columns are \"{}\", but should be \"{}\"; {REMEDY}",
                header.iter().collect::<Vec<_>>().join(","),
                R::COLUMNS.join(",")
            );
            return Err(self.error(R::FILE, Some(1), message));
        }
        let mut rows = Vec::new();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| self.broken_row::<R>(None, &error))? {
            let line = record.position().map(csv::Position::line);
            let row: R = record
                .deserialize(Some(&header))
                .map_err(|error| self.broken_cell::<R>(line, &record, &error))?;
            if !row.is_finite() {
                let message = format!("a number here is not finite; {REMEDY}");
                return Err(self.error(R::FILE, line, message));
            }
            if !variants.contains(row.variant()) {
                let message =
                    format!("there is no variant \"{}\" in {SUMMARY}; {REMEDY}", row.variant());
                return Err(self.error(R::FILE, line, message));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// What every summary promises, whoever edited it: a known verdict, and counters that add up.
    fn check_summary(&self, summary: &Summary) -> Result<(), LoadError> {
        if Verdict::parse(&summary.verdict).is_none() {
            let message = format!(
                "\"{}\" is no verdict; one of valid, suspect, invalid, interrupted",
                summary.verdict
            );
            return Err(self.error(SUMMARY, self.line_of("\"verdict\""), message));
        }
        for variant in &summary.variants {
            let c = &variant.counts;
            if !c.add_up() {
                let sum = c.ends();
                let message = format!(
                    "of {}'s {} intended requests {sum} ended (ok, failed, rejected, dropped and \
                     unfinished must add up); {REMEDY}",
                    variant.name, c.intended
                );
                let line = self.line_of(&format!("\"name\": \"{}\"", variant.name));
                return Err(self.error(SUMMARY, line, message));
            }
        }
        Ok(())
    }

    /// The first line of summary.json that holds `needle`, from 1.
    fn line_of(&self, needle: &str) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(SUMMARY)).ok()?;
        let line = text.lines().position(|line| line.contains(needle))?;
        Some(line as u64 + 1)
    }

    fn broken_row<R: Row>(&self, line: Option<u64>, error: &csv::Error) -> LoadError {
        let line = line.or_else(|| error.position().map(csv::Position::line));
        let message = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("there are {len} cells, and {expected_len} columns; {REMEDY}")
            }
            csv::ErrorKind::Utf8 { .. } => format!("this is not text in UTF-8; {REMEDY}"),
            csv::ErrorKind::Io(error) => return self.unreadable(R::FILE, error),
            _ => format!("{error}; {REMEDY}"),
        };
        self.error(R::FILE, line, message)
    }

    fn broken_cell<R: Row>(
        &self,
        line: Option<u64>,
        record: &csv::StringRecord,
        error: &csv::Error,
    ) -> LoadError {
        let message = match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => {
                let field = err.field().map_or(0, |field| field as usize);
                format!(
                    "{}: \"{}\" will not do: {}; {REMEDY}",
                    R::COLUMNS.get(field).unwrap_or(&"a cell"),
                    record.get(field).unwrap_or(""),
                    err.kind()
                )
            }
            _ => format!("{error}; {REMEDY}"),
        };
        self.error(R::FILE, line, message)
    }
}
