//! manifest.json: what made a run, and the checksums of what it wrote. It must not know the
//! files' contents.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::calibration::Calibration;
use crate::folder::About;
use crate::parts::PartEntry;
use crate::table::{TEMPORARY, at, replace};

/// The file's name.
pub const FILE: &str = "manifest.json";
/// What tells a run folder from any other that has a manifest.json.
pub const KIND: &str = "lab run";
/// The version of the run folder's shape; a change that old readers cannot bear adds one.
pub const SCHEMA: u32 = 1;

/// manifest.json. Until the run has ended it holds the first three fields alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`KIND`].
    pub kind: String,
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether the run reached its end (an interrupted one does, a killed one does not).
    pub complete: bool,
    /// The scenario's name.
    #[serde(default)]
    pub scenario: String,
    /// "live" or "sim".
    #[serde(default)]
    pub engine: String,
    /// Who sent the requests: "builtin", "artillery", or "builtin, artillery"; absent when
    /// simulated.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generator: String,
    /// The seed.
    #[serde(default)]
    pub seed: u64,
    /// `--set`, `--vary` … as given.
    #[serde(default)]
    pub overrides: Vec<String>,
    /// The command line.
    #[serde(default)]
    pub command_line: Vec<String>,
    /// When it began, RFC 3339, UTC.
    #[serde(default)]
    pub started: String,
    /// What took part, by name.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// The revision of the source, where it is known.
    #[serde(default)]
    pub git_revision: Option<String>,
    /// The machine.
    #[serde(default)]
    pub host: BTreeMap<String, String>,
    /// The parts that it was merged from, by shard; none when one program played it all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartEntry>,
    /// What the simulation added to the service times; none when it added nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Every other file of the folder, by path.
    #[serde(default)]
    pub files: Vec<FileEntry>,
    /// The scenario's text, as read.
    #[serde(default)]
    pub scenario_text: String,
}

/// A file as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// From the run folder, with `/`.
    pub path: String,
    /// Its checksum, in hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Its ends of lines.
    pub lines: u64,
}

impl Manifest {
    /// Of a run that has only begun.
    pub(crate) fn begun() -> Self {
        Self { kind: KIND.to_owned(), schema: SCHEMA, ..Self::default() }
    }

    /// Of a run that has ended, with every file that lies in its folder now.
    pub(crate) fn of(folder: &Path, about: &About) -> io::Result<Self> {
        let mut files = Vec::new();
        list(folder, "", &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            kind: KIND.to_owned(),
            schema: SCHEMA,
            complete: true,
            scenario: about.scenario.clone(),
            engine: about.engine.clone(),
            generator: about.generator.clone(),
            seed: about.seed,
            overrides: about.overrides.clone(),
            command_line: about.command_line.clone(),
            started: about.started.clone(),
            versions: about.versions.iter().cloned().collect(),
            git_revision: about.git_revision.clone(),
            host: about.host.iter().cloned().collect(),
            parts: about.parts.clone(),
            calibration: about.calibration.clone(),
            files,
            scenario_text: about.scenario_text.clone(),
        })
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let path = folder.join(FILE);
        let mut bytes =
            serde_json::to_vec_pretty(self).map_err(io::Error::from).map_err(at(&path))?;
        bytes.push(b'\n');
        replace(&path, &bytes)
    }

    /// Whether the folder holds a run, ended or not.
    pub(crate) fn is_in(folder: &Path) -> bool {
        Self::has_kind(folder, KIND)
    }

    /// Whether there is a manifest of this kind.
    pub(crate) fn has_kind(folder: &Path, kind: &str) -> bool {
        fs::read(folder.join(FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .is_some_and(|manifest| manifest.kind == kind)
    }

    /// The entry of a file.
    pub(crate) fn entry(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|entry| entry.path == path)
    }
}

/// Links are not followed: they are no file of the run.
fn list(folder: &Path, prefix: &str, files: &mut Vec<FileEntry>) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        let kind = entry.file_type().map_err(at(&path))?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if kind.is_dir() {
            list(&path, &format!("{name}/"), files)?;
        } else if kind.is_file() && name != FILE && !name.ends_with(TEMPORARY) {
            files.push(describe(&path, name)?);
        }
    }
    Ok(())
}

/// Reads a file through once, however long it is.
pub(crate) fn describe(path: &Path, name: String) -> io::Result<FileEntry> {
    let mut file = File::open(path).map_err(at(path))?;
    let mut hash = Sha256::new();
    let (mut bytes, mut lines) = (0u64, 0u64);
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut chunk).map_err(at(path))?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
        bytes += read as u64;
        lines += chunk[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(FileEntry { path: name, sha256, bytes, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_described_as_sha256sum_and_wc_do() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.csv");
        fs::write(&path, "abc").expect("writable");
        let entry = describe(&path, "x.csv".to_owned()).expect("readable");
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((entry.sha256.as_str(), entry.bytes, entry.lines), (expected, 3, 0));
        fs::write(&path, "a\nb\n".repeat(100_000)).expect("writable");
        let entry = describe(&path, "x.csv".to_owned()).expect("readable");
        assert_eq!((entry.bytes, entry.lines), (400_000, 200_000));
    }
}
