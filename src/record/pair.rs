//! The folder of a scenario that was played twice, by two engines or under two load generators: a run
//! folder for each, and their comparison beside them. It must not compare, nor draw.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::agreement::{Agreement, VariantAgreement};
use crate::fidelity::{Comparison, FaultWindow, VariantComparison};
use crate::folder::{About, remove_charts, remove_file, remove_old_run};
use crate::manifest::{self, Manifest};
use crate::run::{LoadError, Run};
use crate::table::{at, replace};

/// comparison.json's name.
pub const COMPARISON: &str = "comparison.json";
/// comparison.csv's name.
pub const COMPARISON_TABLE: &str = "comparison.csv";

/// What the two runs differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Live and simulated.
    Engines,
    /// Loaded by the built-in generator and by Artillery.
    Generators,
}

impl Pairing {
    const ALL: [Self; 2] = [Self::Engines, Self::Generators];

    /// What tells such a folder from a run's, in its manifest.
    const fn kind(self) -> &'static str {
        match self {
            Self::Engines => "lab comparison",
            Self::Generators => "lab agreement",
        }
    }

    /// The names of the two folders.
    const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Engines => ["live", "sim"],
            Self::Generators => ["builtin", "artillery"],
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Engines => "a live and a simulated run",
            Self::Generators => "two load generators",
        }
    }
}

/// Such a folder.
#[derive(Clone, Debug)]
pub struct PairFolder {
    folder: PathBuf,
    pairing: Pairing,
}

impl PairFolder {
    /// Makes the folder with its parents. An existing one that is neither empty nor of this kind is
    /// refused; what an earlier comparison left there is removed.
    ///
    /// # Errors
    /// The path, what is wrong with it and what to do.
    pub fn create(folder: &Path, pairing: Pairing) -> io::Result<Self> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let pair = Self { folder: folder.to_owned(), pairing };
        if fs::read_dir(folder).map_err(at(folder))?.next().is_some() {
            if !Manifest::has_kind(folder, pairing.kind()) {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!(
                        "{}: there are files in this folder and it is no comparison of {}; choose \
                         another one with --out, or empty it",
                        folder.display(),
                        pairing.words()
                    ),
                ));
            }
            pair.remove_old()?;
        }
        Manifest { kind: pairing.kind().to_owned(), ..Manifest::begun() }.write(folder)?;
        Ok(pair)
    }

    /// One that was written before, whole or not; `None` when it is none.
    pub fn open(folder: &Path) -> Option<Self> {
        let found = Pairing::ALL.into_iter().find(|one| Manifest::has_kind(folder, one.kind()));
        found.map(|pairing| Self { folder: folder.to_owned(), pairing })
    }

    /// What its two runs differ by.
    pub fn pairing(&self) -> Pairing {
        self.pairing
    }

    /// The folder of both.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the two runs lie: live and simulated, or of the built-in generator and of Artillery.
    pub fn runs(&self) -> [PathBuf; 2] {
        self.pairing.names().map(|name| self.folder.join(name))
    }

    /// Loads both runs.
    ///
    /// # Errors
    /// The file, the line and the remedy.
    pub fn load(&self) -> Result<(Run, Run), LoadError> {
        let [first, second] = self.runs();
        Ok((Run::load(&first)?, Run::load(&second)?))
    }

    /// Writes comparison.json and comparison.csv.
    ///
    /// # Errors
    /// A file that cannot be written, by its path.
    pub fn keep(&self, comparison: &Comparison) -> io::Result<()> {
        let rows = comparison.variants.iter().flat_map(|variant| {
            let windows =
                variant.faults.iter().map(|window| CsvRow::of_window(&variant.name, window));
            std::iter::once(CsvRow::of(variant)).chain(windows)
        });
        self.write(comparison, rows)
    }

    /// Likewise, of two generators.
    ///
    /// # Errors
    /// As above.
    pub fn keep_agreement(&self, agreement: &Agreement) -> io::Result<()> {
        self.write(agreement, agreement.variants.iter().map(AgreementRow::of))
    }

    fn write(
        &self,
        comparison: &impl Serialize,
        rows: impl Iterator<Item = impl Serialize>,
    ) -> io::Result<()> {
        let path = self.folder.join(COMPARISON);
        let mut json =
            serde_json::to_vec_pretty(comparison).map_err(io::Error::from).map_err(at(&path))?;
        json.push(b'\n');
        replace(&path, &json)?;
        let path = self.folder.join(COMPARISON_TABLE);
        let mut csv = csv::Writer::from_writer(Vec::new());
        for row in rows {
            csv.serialize(row).map_err(io::Error::from).map_err(at(&path))?;
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
        Manifest { kind: self.pairing.kind().to_owned(), ..sealed }.write(&self.folder)
    }

    /// A comparison that ends early must not stand beside an older one's runs.
    fn remove_old(&self) -> io::Result<()> {
        for name in [COMPARISON, COMPARISON_TABLE, "report.html"] {
            remove_file(&self.folder.join(name))?;
        }
        remove_charts(&self.folder)?;
        for run in self.runs() {
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

/// A row of comparison.csv: a variant, or a window round a fault.
#[derive(Default, Serialize)]
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
    // Of windows alone:
    fault: Option<&'a str>,
    from_s: Option<f64>,
    to_s: Option<f64>,
    slow_ms: Option<f64>,
    live_slow: Option<u64>,
    sim_slow: Option<u64>,
    live_failed: Option<u64>,
    sim_failed: Option<u64>,
    live_retries: Option<u64>,
    sim_retries: Option<u64>,
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
            ..Self::default()
        }
    }

    fn of_window(variant: &'a str, window: &'a FaultWindow) -> Self {
        let FaultWindow { p50_ms, p99_ms, slow, failed, retries, .. } = window;
        Self {
            variant,
            grade: window.grade.word(),
            live_p50_ms: p50_ms.live,
            sim_p50_ms: p50_ms.sim,
            p50_difference: p50_ms.difference,
            live_p99_ms: p99_ms.live,
            sim_p99_ms: p99_ms.sim,
            p99_difference: p99_ms.difference,
            fault: Some(&window.fault),
            from_s: Some(window.from_s),
            to_s: Some(window.to_s),
            slow_ms: window.slow_ms,
            live_slow: slow.live,
            sim_slow: slow.sim,
            live_failed: failed.live,
            sim_failed: failed.sim,
            live_retries: retries.live,
            sim_retries: retries.sim,
            ..Self::default()
        }
    }
}

/// A row of comparison.csv, of two generators.
#[derive(Serialize)]
struct AgreementRow<'a> {
    variant: &'a str,
    agrees: bool,
    builtin_intended: u64,
    artillery_intended: u64,
    builtin_ok: u64,
    artillery_ok: u64,
    builtin_failed_ratio: Option<f64>,
    artillery_failed_ratio: Option<f64>,
    builtin_service_p50_ms: Option<f64>,
    artillery_service_p50_ms: Option<f64>,
    service_p50_difference_ms: Option<f64>,
    builtin_dispatch_p50_ms: Option<f64>,
    artillery_dispatch_p50_ms: Option<f64>,
    dispatch_p50_difference_ms: Option<f64>,
    builtin_p50_ms: Option<f64>,
    artillery_p50_ms: Option<f64>,
    p50_difference_ms: Option<f64>,
    builtin_p90_ms: Option<f64>,
    artillery_p90_ms: Option<f64>,
    builtin_p99_ms: Option<f64>,
    artillery_p99_ms: Option<f64>,
}

impl<'a> AgreementRow<'a> {
    fn of(variant: &'a VariantAgreement) -> Self {
        let VariantAgreement { builtin, artillery, .. } = variant;
        Self {
            variant: &variant.name,
            agrees: variant.agrees,
            builtin_intended: builtin.intended,
            artillery_intended: artillery.intended,
            builtin_ok: builtin.ok,
            artillery_ok: artillery.ok,
            builtin_failed_ratio: builtin.failed_ratio,
            artillery_failed_ratio: artillery.failed_ratio,
            builtin_service_p50_ms: builtin.service_p50_ms,
            artillery_service_p50_ms: artillery.service_p50_ms,
            service_p50_difference_ms: variant.service_p50_difference_ms,
            builtin_dispatch_p50_ms: builtin.dispatch_p50_ms,
            artillery_dispatch_p50_ms: artillery.dispatch_p50_ms,
            dispatch_p50_difference_ms: variant.dispatch_p50_difference_ms,
            builtin_p50_ms: builtin.p50_ms,
            artillery_p50_ms: artillery.p50_ms,
            p50_difference_ms: variant.p50_difference_ms,
            builtin_p90_ms: builtin.p90_ms,
            artillery_p90_ms: artillery.p90_ms,
            builtin_p99_ms: builtin.p99_ms,
            artillery_p99_ms: artillery.p99_ms,
        }
    }
}
