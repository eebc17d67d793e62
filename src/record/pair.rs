//! The folder of a scenario that was played live and simulated: two run folders, `live` and `sim`,
//! and their comparison beside them. It must not compare, nor draw.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::fidelity::{Comparison, VariantComparison};
use crate::folder::{About, remove_file, remove_old_run};
use crate::manifest::{self, Manifest};
use crate::run::{LoadError, Run};
use crate::table::{at, replace};

/// comparison.json's name.
pub const COMPARISON: &str = "comparison.json";
/// comparison.csv's name.
pub const COMPARISON_TABLE: &str = "comparison.csv";
/// What tells such a folder from a run's.
const KIND: &str = "lab comparison";

/// Such a folder.
#[derive(Clone, Debug)]
pub struct PairFolder {
    folder: PathBuf,
}

impl PairFolder {
    /// Makes the folder with its parents. An existing one that is neither empty nor of this kind is
    /// refused; what an earlier comparison left there is removed.
    ///
    /// # Errors
    /// The path, what is wrong with it and what to do.
    pub fn create(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let pair = Self { folder: folder.to_owned() };
        if fs::read_dir(folder).map_err(at(folder))?.next().is_some() {
            if !Self::is_in(folder) {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!(
                        "{}: there are files in this folder and it is no comparison of a live and \
                         a simulated run; choose another one with --out, or empty it",
                        folder.display()
                    ),
                ));
            }
            pair.remove_old()?;
        }
        Manifest { kind: KIND.to_owned(), ..Manifest::begun() }.write(folder)?;
        Ok(pair)
    }

    /// Whether this is such a folder, whole or not.
    pub fn is_in(folder: &Path) -> bool {
        Manifest::has_kind(folder, KIND)
    }

    /// One that was written before.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder of both.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the live run lies.
    pub fn live(&self) -> PathBuf {
        self.folder.join("live")
    }

    /// Where the simulated run lies.
    pub fn sim(&self) -> PathBuf {
        self.folder.join("sim")
    }

    /// Loads both runs.
    ///
    /// # Errors
    /// The file, the line and the remedy.
    pub fn load(&self) -> Result<(Run, Run), LoadError> {
        Ok((Run::load(&self.live())?, Run::load(&self.sim())?))
    }

    /// Writes comparison.json and comparison.csv.
    ///
    /// # Errors
    /// A file that cannot be written, by its path.
    pub fn keep(&self, comparison: &Comparison) -> io::Result<()> {
        let path = self.folder.join(COMPARISON);
        let mut json =
            serde_json::to_vec_pretty(comparison).map_err(io::Error::from).map_err(at(&path))?;
        json.push(b'\n');
        replace(&path, &json)?;
        let path = self.folder.join(COMPARISON_TABLE);
        let mut csv = csv::Writer::from_writer(Vec::new());
        for variant in &comparison.variants {
            csv.serialize(CsvRow::of(variant)).map_err(io::Error::from).map_err(at(&path))?;
        }
        let bytes = csv.into_inner().map_err(|error| at(&path)(error.into_error()))?;
        replace(&path, &bytes)
    }

    /// Writes manifest.json with the checksum of every file, last.
    ///
    /// # Errors
    /// A file that cannot be read or written, by its path.
    pub fn seal(&self, about: &About) -> io::Result<()> {
        let sealed = Manifest::of(&self.folder, about)?;
        Manifest { kind: KIND.to_owned(), ..sealed }.write(&self.folder)
    }

    /// A comparison that ends early must not stand beside an older one's runs.
    fn remove_old(&self) -> io::Result<()> {
        for name in [COMPARISON, COMPARISON_TABLE, "report.html"] {
            remove_file(&self.folder.join(name))?;
        }
        for ending in ["svg", "png"] {
            remove_file(&self.folder.join(format!("charts/both_spectra.{ending}")))?;
        }
        for run in [self.live(), self.sim()] {
            if Manifest::is_in(&run) {
                remove_old_run(&run)?;
                remove_file(&run.join(manifest::FILE))?;
                // With somebody's files in it it stays, and stays a run's: the next one goes there.
                let _ = fs::remove_dir(run.join("charts"));
                if fs::remove_dir(&run).is_err() {
                    Manifest::begun().write(&run)?;
                }
            }
        }
        Ok(())
    }
}

/// A row of comparison.csv.
#[derive(Serialize)]
struct CsvRow<'a> {
    variant: &'a str,
    grade: &'a str,
    live_mean_ms: Option<f64>,
    sim_mean_ms: Option<f64>,
    mean_difference: Option<f64>,
    live_p50_ms: Option<f64>,
    sim_p50_ms: Option<f64>,
    p50_difference: Option<f64>,
    live_p90_ms: Option<f64>,
    sim_p90_ms: Option<f64>,
    p90_difference: Option<f64>,
    live_p99_ms: Option<f64>,
    sim_p99_ms: Option<f64>,
    p99_difference: Option<f64>,
    live_failed_ratio: Option<f64>,
    sim_failed_ratio: Option<f64>,
    share_difference: Option<f64>,
    wasserstein_over_mean: Option<f64>,
    ks: Option<f64>,
}

impl<'a> CsvRow<'a> {
    fn of(variant: &'a VariantComparison) -> Self {
        let VariantComparison { mean_ms, p50_ms, p90_ms, p99_ms, failed_ratio, .. } = variant;
        Self {
            variant: &variant.name,
            grade: variant.grade.word(),
            live_mean_ms: mean_ms.live,
            sim_mean_ms: mean_ms.sim,
            mean_difference: mean_ms.difference,
            live_p50_ms: p50_ms.live,
            sim_p50_ms: p50_ms.sim,
            p50_difference: p50_ms.difference,
            live_p90_ms: p90_ms.live,
            sim_p90_ms: p90_ms.sim,
            p90_difference: p90_ms.difference,
            live_p99_ms: p99_ms.live,
            sim_p99_ms: p99_ms.sim,
            p99_difference: p99_ms.difference,
            live_failed_ratio: failed_ratio.live,
            sim_failed_ratio: failed_ratio.sim,
            share_difference: variant.share_difference,
            wasserstein_over_mean: variant.wasserstein,
            ks: variant.ks,
        }
    }
}
