//! What a machine takes beyond the service times, as `lab calibrate` has measured it: a file. It must
//! not measure, nor know what becomes of its tables.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use base::Quantiles;
use serde::{Deserialize, Serialize};

use crate::overhead::Overhead;
use crate::run::LoadError;
use crate::table::{at, replace, temporary};

/// What tells such a file from any other JSON.
const KIND: &str = "lab calibration";
/// The version of its shape.
const SCHEMA: u32 = 2;
/// Far above what four tables need; keeps a wrong path (a log, a device) from filling the memory.
const MAX_BYTES: u64 = 1 << 20;
/// No request takes so long beyond its service time on a machine that could be measured.
const MAX_NS: u64 = 10_000_000_000;
/// Nor was one measured at a higher rate, or for longer.
const MOST_OF_LOAD: f64 = 1e8;
/// What of a host's description decides that it is another machine: memory and the like do not.
const HOST: [&str; 5] = ["os", "kernel", "architecture", "cpu", "cores"];

/// calibration.json.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Always "lab calibration".
    kind: String,
    /// The version of this shape.
    schema: u32,
    /// The program that was measured, with version and revision.
    pub lab: String,
    /// The machine.
    pub host: BTreeMap<String, String>,
    /// When, RFC 3339, UTC.
    pub measured: String,
    /// "valid" or "suspect".
    pub verdict: String,
    /// Why it is suspect.
    pub reasons: Vec<String>,
    /// The load.
    pub load: CalibrationLoad,
    /// What was measured.
    pub tables: Tables,
}

/// The load under which a calibration was measured: another one may cost something else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationLoad {
    /// Requests a second, at random.
    pub rate: f64,
    /// What each of them takes at its backend.
    pub service_ms: f64,
    /// How often each way was measured at least …
    pub rounds: u32,
    /// … beside rounds that were invalid and are not in the tables, of all ways …
    pub left_out: u32,
    /// … and for how long.
    pub seconds: f64,
}

/// What requests take beyond their service time, by the way they go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tables {
    /// From the generator to a backend and back.
    pub direct: Table,
    /// The same from the request's first byte on: without what the generator was late with.
    pub backend: Table,
    /// Through the proxy, which has a connection to the backend.
    pub kept: Table,
    /// Through the proxy, which must open one first.
    pub fresh: Table,
}

/// One measured distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Requests.
    pub samples: u64,
    /// Their mean, the tail included that the quantiles leave out.
    pub mean_ns: u64,
    /// At the middles of equal shares.
    pub quantiles_ns: Vec<u64>,
}

impl Table {
    /// Of samples in any order; `None` without any.
    pub fn of(samples_ns: Vec<u64>) -> Option<Self> {
        let samples = samples_ns.len() as u64;
        let sum: u128 = samples_ns.iter().map(|ns| u128::from(*ns)).sum();
        let mean_ns = u64::try_from(sum / u128::from(samples.max(1))).unwrap_or(u64::MAX);
        let quantiles_ns = Quantiles::of(samples_ns)?.ns().to_vec();
        Some(Self { samples, mean_ns, quantiles_ns })
    }

    /// A quantile in milliseconds, for people.
    pub fn ms(&self, quantile: f64) -> f64 {
        let last = self.quantiles_ns.len().saturating_sub(1);
        let place = (quantile * self.quantiles_ns.len() as f64) as usize;
        self.quantiles_ns.get(place.min(last)).map_or(0.0, |ns| *ns as f64 / 1e6)
    }

    /// The table, or what is wrong with it.
    fn checked(&self, name: &str) -> Result<Quantiles, String> {
        let ns = &self.quantiles_ns;
        if let Some(place) = ns.iter().position(|ns| *ns > MAX_NS) {
            let value = ns[place];
            return Err(format!(
                "tables.{name}.quantiles_ns[{place}] is {value}, more than ten seconds"
            ));
        }
        Quantiles::new(ns.clone()).map_err(|place| match place {
            0 => format!("tables.{name}.quantiles_ns is empty"),
            _ => format!(
                "tables.{name}.quantiles_ns[{place}] is {}, less than the {} before it",
                ns[place],
                ns[place - 1]
            ),
        })
    }
}

impl CalibrationLoad {
    /// Whether it can have been.
    fn check(&self) -> Result<(), String> {
        for (name, value) in
            [("rate", self.rate), ("service_ms", self.service_ms), ("seconds", self.seconds)]
        {
            if !(0.0..=MOST_OF_LOAD).contains(&value) {
                return Err(format!("load.{name} is {value}, and not from 0 to {MOST_OF_LOAD}"));
            }
        }
        Ok(())
    }
}

impl Calibration {
    /// Of what was measured by the program `lab` on `host`.
    pub fn new(
        lab: String,
        host: impl IntoIterator<Item = (String, String)>,
        measured: String,
        reasons: Vec<String>,
        load: CalibrationLoad,
        tables: Tables,
    ) -> Self {
        Self {
            kind: KIND.to_owned(),
            schema: SCHEMA,
            lab,
            host: host.into_iter().filter(|(key, _)| HOST.contains(&key.as_str())).collect(),
            measured,
            verdict: if reasons.is_empty() { "valid" } else { "suspect" }.to_owned(),
            reasons,
            load,
            tables,
        }
    }

    /// Reads a file that the program `lab` has measured on `host`, and nothing else.
    ///
    /// # Errors
    /// The file, the line or the value, and the remedy.
    pub fn load(path: &Path, lab: &str, host: &[(String, String)]) -> Result<Self, LoadError> {
        let found = Self::load_of_any(path, lab)?;
        match found.strange(host) {
            None => Ok(found),
            Some(message) => Err(LoadError {
                file: path.display().to_string(),
                line: None,
                message: again(message, path),
            }),
        }
    }

    /// The same, measured on whatever machine.
    ///
    /// # Errors
    /// As above.
    pub fn load_of_any(path: &Path, lab: &str) -> Result<Self, LoadError> {
        let fault = |line: Option<u64>, message: String| LoadError {
            file: path.display().to_string(),
            line,
            message,
        };
        // To measure again is no remedy for a file that is something else: it would be lost.
        let another = |message: String| format!("{message}; give a file of `lab calibrate`");
        let again = |message: String| again(message, path);
        let bytes = read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => fault(None, again("there is no calibration here".into())),
            _ => fault(None, another(format!("it cannot be read: {error}"))),
        })?;
        let head: Head = serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("it is no calibration or damaged: {error}");
            fault(Some(error.line() as u64), another(message))
        })?;
        head.check().map_err(|message| fault(None, another(message)))?;
        if head.schema != SCHEMA {
            let message =
                format!("schema {} is not the one that this lab reads ({SCHEMA})", head.schema);
            return Err(fault(None, again(message)));
        }
        let found: Self = serde_json::from_slice(&bytes).map_err(|error| {
            fault(Some(error.line() as u64), again(format!("it is damaged: {error}")))
        })?;
        let sound = found.load.check().and_then(|()| found.overhead().map(|_| ()));
        sound.map_err(|message| fault(None, again(format!("it is damaged: {message}"))))?;
        if found.lab != lab {
            let message = format!("it was measured with {}, and this is {lab}", found.lab);
            return Err(fault(None, again(message)));
        }
        Ok(found)
    }

    /// What tells the machine that was measured from this one; `None`: nothing.
    pub fn strange(&self, host: &[(String, String)]) -> Option<String> {
        for key in HOST {
            let here = host.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
            let there = self.host.get(key).map(String::as_str);
            if here != there {
                let [there, here] = [there, here].map(|value| value.unwrap_or("nothing"));
                let machine =
                    host.iter().find(|(name, _)| key == "cores" && name == "machine_cores");
                let of = machine.map_or(String::new(), |(_, cores)| {
                    format!(
                        " of the machine's {cores}: taskset or a control group keeps the others"
                    )
                });
                return Some(format!(
                    "it is another machine's: its host.{key} is \"{there}\", and here it is \
                     \"{here}\"{of}"
                ));
            }
        }
        None
    }

    /// Whether a calibration may be written here: where nothing is, or another calibration. Makes the
    /// folder.
    ///
    /// # Errors
    /// The path, why it cannot be written and what to do.
    pub fn check_place(path: &Path) -> io::Result<()> {
        let strange = |what: &str| {
            let message = format!(
                "{}: {what}, which would be lost; choose another file with --out",
                path.display()
            );
            Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(at(folder))?;
        }
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let probe = temporary(path);
                fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)).map_err(at(path))
            }
            Err(error) => Err(at(path)(error)),
            Ok(metadata) if !metadata.is_file() => strange("there is a folder or a device here"),
            Ok(_) => {
                let head = match read(path) {
                    Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
                    head => head.map_err(at(path))?,
                };
                match serde_json::from_slice::<Head>(&head) {
                    Ok(head) if head.check().is_ok() => Ok(()),
                    _ => strange("there is a file here that is no calibration"),
                }
            }
        }
    }

    /// Writes the file, and makes its folder.
    ///
    /// # Errors
    /// The path, why it cannot be written and what to do.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        Self::check_place(path)?;
        let mut json =
            serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(at(path))?;
        json.push(b'\n');
        replace(path, &json)
    }

    /// What each leg takes by them, as the simulator draws from it.
    ///
    /// # Errors
    /// What is wrong with one of them; none of a file that [`Calibration::load`] has read is.
    pub fn overhead(&self) -> Result<Overhead, String> {
        let Tables { direct, backend, kept, fresh } = &self.tables;
        Ok(Overhead::of_ways(
            &direct.checked("direct")?,
            backend.checked("backend")?,
            &kept.checked("kept")?,
            &fresh.checked("fresh")?,
        ))
    }

    /// What it adds to a simulated run, in a sentence without its end.
    pub fn sentence(&self) -> String {
        let Tables { direct, backend, kept, fresh } = &self.tables;
        let doubt = match self.reasons.first() {
            Some(reason) => format!(" (a measurement that is {}: {reason})", self.verdict),
            None => String::new(),
        };
        format!(
            "proxy, connections and timers take what they took on the machine that was measured at {} \
             ({} requests/s): half of the requests less than {:.2} ms through the proxy, {:.2} ms over a new \
             connection, {:.2} ms without a proxy; of that {:.2} ms with each attempt, the rest once{doubt}",
            self.measured,
            self.load.rate,
            kept.ms(0.5),
            fresh.ms(0.5),
            direct.ms(0.5),
            backend.ms(0.5)
        )
    }
}

/// What a run added to the service times, in a sentence, by its manifest.
pub fn added(manifest: &serde_json::Value) -> Option<String> {
    let calibration: Option<Calibration> =
        serde_json::from_value(manifest["calibration"].clone()).ok();
    calibration.map(|calibration| calibration.sentence())
}

/// The remedy, where the file may be written over.
fn again(message: String, path: &Path) -> String {
    format!("{message}; measure with `lab calibrate --out {}`", path.display())
}

/// No more than a calibration can have, whatever the file is.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes, and no calibration has");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// What is looked at before the rest: a file of another kind has other fields.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    schema: u32,
}

impl Head {
    fn check(&self) -> Result<(), String> {
        match self.kind.as_str() {
            KIND => Ok(()),
            "" => Err("it is no calibration: it names no kind".to_owned()),
            kind => Err(format!("its kind is \"{kind}\" and not \"{KIND}\"")),
        }
    }
}
