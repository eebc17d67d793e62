//! The file in which changes by the admin API are kept over a restart: JSON that says what it is,
//! replaced as a whole, for one proxy at a time. It must not know what the changes mean.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::overlay::Overlay;

/// What such a file says of itself.
const WHAT: &str = "changes by the admin API of lab proxy";
/// The shape of it that is written and read.
const VERSION: u64 = 1;
/// The largest one that is read; 20,000 backends are about 2 MiB.
const MAX_BYTES: u64 = 64 << 20;

/// Why the state file cannot be used. It stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or locked.
    #[error("cannot use the state file {path}: {source}; correct `state_file` or its folder")]
    Unusable {
        /// Where it is, or the lock beside it.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another proxy has it.
    #[error("the state file {0} is in use by another proxy; give each its own `state_file`")]
    Taken(PathBuf),
    /// It is none, or not whole.
    #[error(
        "{path}:{line}:{column}: not a state file of lab proxy: {reason}; name another `state_file`, \
         or move this one away to start without the changes in it"
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// From 1; 0 when it is about the whole.
        line: usize,
        /// As `line`.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// Its shape is another one's.
    #[error(
        "{path}: a state file of version {version}, and this proxy knows version {known}; start the \
         one that wrote it, or move it away to start without the changes in it",
        known = VERSION
    )]
    Version {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        version: Value,
    },
}

/// Why a change that is in force may be gone after a restart.
#[derive(Debug, thiserror::Error)]
#[error(
    "the change is in force, but not kept over a restart: cannot write {path}: {source}; correct \
     that, and the next change will be kept together with this one"
)]
pub(crate) struct NotKept {
    path: PathBuf,
    source: io::Error,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<T> {
    what: String,
    version: u64,
    changes: T,
}

/// The file of one proxy, which nobody else writes while this lives.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// The lock is beside the file, because the file is exchanged with every change. It is let go
    /// with the descriptor, however the process ends.
    _lock: File,
}

impl StateFile {
    /// Takes the file, which may be missing, and reads it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Overlay), StateError> {
        let beside = beside(path, "lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&beside);
        let unusable = |source| StateError::Unusable { path: beside.clone(), source };
        let lock = lock.map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::Taken(path.into()),
            TryLockError::Error(source) => unusable(source),
        })?;
        let found = read(path)?;
        Ok((Self { path: path.into(), _lock: lock }, found))
    }

    /// Makes `overlay` what the file holds. Whoever reads it, after a crash too, finds this one or
    /// the former, whole.
    pub(crate) fn write(&self, overlay: &Overlay) -> Result<(), NotKept> {
        let whole = Whole { what: WHAT.into(), version: VERSION, changes: overlay };
        let mut text = serde_json::to_string_pretty(&whole).expect("texts and numbers are JSON");
        text.push('\n');
        replace(&self.path, text.as_bytes())
            .map_err(|source| NotKept { path: self.path.clone(), source })
    }
}

/// What the file holds; nothing if there is none.
pub(crate) fn read(path: &Path) -> Result<Overlay, StateError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    let damaged = |line, column, reason: String| {
        Err(StateError::Damaged { path: path.into(), line, column, reason })
    };
    let unfit = |error: serde_json::Error| {
        let message = error.to_string();
        // The place comes first in our messages, and once.
        let reason = message.split(" at line ").next().unwrap_or_default();
        damaged(error.line(), error.column(), reason.into())
    };
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Overlay::default()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return damaged(0, 0, "it is not text".into());
        }
        Err(source) => return Err(StateError::Unusable { path: path.into(), source }),
        Ok(_) if text.len() as u64 > MAX_BYTES => {
            return damaged(0, 0, format!("it is larger than {MAX_BYTES} bytes"));
        }
        Ok(_) => {}
    }
    // First what it is, so that another version's is not called damaged.
    let about: Value = match serde_json::from_str(&text) {
        Ok(about) => about,
        Err(error) => return unfit(error),
    };
    if about.get("what").and_then(Value::as_str) != Some(WHAT) {
        return damaged(1, 1, format!("\"what\" is not {WHAT:?}"));
    }
    match about.get("version") {
        Some(version) if version.as_u64() != Some(VERSION) => {
            Err(StateError::Version { path: path.into(), version: version.clone() })
        }
        _ => match serde_json::from_str::<Whole<Overlay>>(&text) {
            Ok(whole) => Ok(whole.changes),
            Err(error) => unfit(error),
        },
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = beside(path, "tmp");
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The name is kept by the folder, not by the file.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// The path with a dot and a word after it.
fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(word);
    name.into()
}
