//! The Artillery that is run: which one, where it lies, how it comes there. It must not play
//! anything.
//!
//! package.json and its lock name one version with all that it needs, and are part of this program.
//! npm installs them into a cache folder named after the lock, so that another version gets another
//! folder; under a name of its own, and only a whole installation gets the right one. No package's
//! scripts are run: none is needed, and one would fetch a browser.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base::Stop;
use base::rng::hash_bytes;

use crate::error::{Error, LastLines};
use crate::launch::{Kept, Spec};
use crate::process::Process;

/// What npm is to install.
const PACKAGE: &str = include_str!("../../../../artillery/package.json");
/// Exactly.
const LOCK: &str = include_str!("../../../../artillery/package-lock.json");
/// The oldest Node with which this Artillery runs (it reads `import.meta.dirname`); it asks for
/// 22.18 itself, and npm warns.
const OLDEST_NODE: (u32, u32) = (20, 11);
/// 461 packages over a slow line.
const INSTALL_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How often is looked whether the installation has ended, or shall not go on.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often is told that it goes on.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// From SIGTERM to SIGKILL: npm removes what it has begun.
const GRACE: Duration = Duration::from_secs(2);

/// An Artillery that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Node.
    pub node: PathBuf,
    /// Artillery's own program, for Node.
    pub artillery: PathBuf,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A program is missing.
    #[error(
        "{program} is not on the PATH, and Artillery needs it: install Node.js 22.18 or newer \
         (https://nodejs.org, or the packages nodejs and npm), or use the built-in generator \
         (--load builtin)"
    )]
    Missing {
        /// "node", "npm".
        program: &'static str,
    },
    /// Node is there, and Artillery would not run.
    #[error(
        "{} is Node {found}, and Artillery needs 22.18 or newer ({}.{} may do): install it, or use \
         the built-in generator (--load builtin)",
        node.display(), OLDEST_NODE.0, OLDEST_NODE.1
    )]
    Old {
        /// Which one.
        node: PathBuf,
        /// What it says of itself.
        found: String,
    },
    /// Nobody says where caches belong.
    #[error(
        "there is no folder to install Artillery into: set HOME, or XDG_CACHE_HOME to a folder \
         that can be written"
    )]
    NoCache,
    /// The cache folder cannot be written.
    #[error(
        "cannot write {}: {source}; set XDG_CACHE_HOME to a folder that can be written and has \
         half a gigabyte of room",
        path.display()
    )]
    Cache {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// npm did not come to its end.
    #[error(
        "Artillery could not be installed ({how}); all that npm printed is in {} and beside it. \
         Look whether npm reaches its registry (npm ping) and whether there is half a gigabyte of \
         room, then try again{}",
        log.display(), LastLines(last_lines)
    )]
    Failed {
        /// "exit code 1", "not within 15 min".
        how: String,
        /// Where npm's errors stand.
        log: PathBuf,
        /// The end of what it printed.
        last_lines: Vec<String>,
    },
    /// npm could not be started or watched.
    #[error(transparent)]
    Process(#[from] Error),
}

/// Where this Artillery lies, installed or not.
///
/// # Errors
/// When neither XDG_CACHE_HOME nor HOME says where caches belong.
pub fn folder() -> Result<PathBuf, InstallError> {
    let absolute = |name: &str| {
        let path = PathBuf::from(std::env::var_os(name)?);
        // The standard: what is not absolute is to be ignored.
        path.is_absolute().then_some(path)
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let lock = hash_bytes(LOCK.as_bytes());
    cache.map(|cache| cache.join(format!("lab/artillery-{lock:016x}"))).ok_or(InstallError::NoCache)
}

/// The version that is pinned.
pub fn version() -> String {
    let package: serde_json::Value = serde_json::from_str(PACKAGE).expect("package.json is ours");
    package["dependencies"]["artillery"].as_str().unwrap_or_default().to_owned()
}

/// The installation, if it is there.
pub fn find(folder: &Path) -> Option<PathBuf> {
    let program = folder.join("node_modules/artillery/bin/run");
    program.is_file().then_some(program)
}

/// Node, if there is one that Artillery runs with, and its version.
///
/// # Errors
/// When there is none, or an older one.
pub fn node() -> Result<(PathBuf, String), InstallError> {
    let node = on_path("node").ok_or(InstallError::Missing { program: "node" })?;
    let said = Command::new(&node).arg("--version").output();
    let said =
        said.map_err(|source| Error::Start { name: "node".into(), program: node.clone(), source })?;
    let found = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    match number(&found) {
        Some(version) if version >= OLDEST_NODE => Ok((node, found)),
        _ => Err(InstallError::Old { node, found }),
    }
}

/// Finds the installation, or installs it: `keeper` is the `lab` that npm is run under, `tell` is
/// told what takes long. `None` when `stop` was raised meanwhile.
///
/// # Errors
/// When Node or npm are missing or old, the folder cannot be written, or npm fails. A half-finished
/// installation is never taken for a whole one.
pub fn ensure(
    keeper: &Path,
    stop: &Stop,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<Installed>, InstallError> {
    let (node, _) = node()?;
    let folder = folder()?;
    let installed = |artillery| Some(Installed { node: node.clone(), artillery });
    if let Some(artillery) = find(&folder) {
        return Ok(installed(artillery));
    }
    let npm = on_path("npm").ok_or(InstallError::Missing { program: "npm" })?;
    let cache = folder.parent().expect("it has a name").to_owned();
    fs::create_dir_all(&cache).map_err(at(&cache))?;
    let Some(_lock) = lock(&folder.with_extension("lock"), stop, tell)? else { return Ok(None) };
    // Another lab may have installed it while this one waited.
    if find(&folder).is_none() && !install(&npm, &folder, keeper, stop, tell)? {
        return Ok(None);
    }
    Ok(find(&folder).and_then(installed))
}

/// Waits until no other `lab` installs; the file stays, empty, for the next.
fn lock(
    path: &Path,
    stop: &Stop,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<File>, InstallError> {
    let file = File::options().create(true).append(true).open(path).map_err(at(path))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(at(path)(source)),
        }
        if stop.is_raised() {
            return Ok(None);
        }
        if !told {
            tell("Another lab is installing Artillery; waiting for it");
            told = true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Has npm install into a folder of another name, which gets the right one at the end; false when
/// `stop` was raised meanwhile.
fn install(
    npm: &Path,
    folder: &Path,
    keeper: &Path,
    stop: &Stop,
    tell: &mut dyn FnMut(&str),
) -> Result<bool, InstallError> {
    let part = folder.with_extension("part");
    let cache = folder.parent().expect("it has a name");
    // Whoever began it is gone: the lock is ours.
    remove(&part)?;
    fs::create_dir_all(&part).map_err(at(&part))?;
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
        let path = part.join(name);
        fs::write(&path, text).map_err(at(&path))?;
    }
    tell(&format!(
        "Installing Artillery {} into {}, once: 461 packages, half a gigabyte",
        version(),
        folder.display()
    ));
    let arguments = ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"];
    let mut process = Process::start(Spec {
        name: "npm",
        program: npm,
        arguments: arguments.map(OsString::from).to_vec(),
        lifeline: false,
        logs: cache,
        kept: Some(Kept {
            keeper,
            folder: &part,
            environment: vec![
                ("npm_config_update_notifier", Some("false".into())),
                ("npm_config_progress", Some("false".into())),
            ],
            inherits: None,
        }),
    })?;
    let began = Instant::now();
    let ended = watch(&process, began, stop, tell);
    if ended != Some(true) {
        process.ask_to_end();
    }
    let status = process.finish(GRACE);
    let how = match (ended, status) {
        (None, _) => return remove(&part).map(|()| false),
        (Some(true), Some(status)) if status.success() && find(&part).is_some() => {
            // Of another lab's that was damaged since, nothing must be left.
            remove(folder)?;
            fs::rename(&part, folder).map_err(at(folder))?;
            tell(&format!("Artillery is installed, in {} s", began.elapsed().as_secs()));
            return Ok(true);
        }
        (Some(true), Some(status)) if status.success() => {
            "npm ended well, and there is no node_modules/artillery/bin/run".to_owned()
        }
        (Some(true), Some(status)) => crate::process::describe(status),
        _ => format!("not within {} min", INSTALL_WITHIN.as_secs() / 60),
    };
    remove(&part)?;
    let last_lines = process.last_lines();
    Err(InstallError::Failed { how, log: cache.join("npm.err"), last_lines })
}

/// Whether npm has ended in time; `None` when `stop` was raised meanwhile.
fn watch(
    process: &Process,
    began: Instant,
    stop: &Stop,
    tell: &mut dyn FnMut(&str),
) -> Option<bool> {
    let mut told = began;
    while !process.ended(LOOK_EVERY) {
        if stop.is_raised() {
            return None;
        }
        if began.elapsed() >= INSTALL_WITHIN {
            return Some(false);
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(&format!("Still installing Artillery, for {} s", began.elapsed().as_secs()));
        }
    }
    Some(true)
}

fn remove(folder: &Path) -> Result<(), InstallError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Cache { path, source }
}

/// The first program of this name on the PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_program = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(is_program)
}

/// Major and minor of "v20.11.1".
fn number(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read() {
        for (text, version) in [
            ("v20.20.2", Some((20, 20))),
            ("v22.18.0-nightly", Some((22, 18))),
            ("v8.1.0", Some((8, 1))),
            ("20.1.0", None),
            ("", None),
        ] {
            assert_eq!(number(text), version, "{text}");
        }
    }

    #[test]
    fn the_lock_is_of_the_version_that_is_pinned() {
        let lock: serde_json::Value = serde_json::from_str(LOCK).expect("JSON");
        let locked = &lock["packages"]["node_modules/artillery"]["version"];
        assert_eq!(locked.as_str(), Some(version().as_str()));
        assert!(version().split('.').count() == 3, "a version and no range: {}", version());
    }
}
