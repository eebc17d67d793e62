//! Puts into the binary of which source it was built, and how: what `lab` takes for a request depends on
//! both. The revision is there where git can tell it; the source has a name of its own, so that changes
//! since that revision are not passed over. It must not fail.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;
use std::process::Command;

/// What the program is made of, from this folder. Scenarios and Artillery's files, which are in the binary
/// too, change nothing that is calibrated or recorded by another text.
const SOURCES: [&str; 5] = [
    "../../Cargo.toml",
    "../../Cargo.lock",
    "../../rust-toolchain.toml",
    "../../fakebackends",
    "../../src",
];
/// Folders of which nothing is in the binary.
const LEFT_OUT: [&str; 3] = ["tests", "benches", "target"];

fn main() {
    let mut hasher = DefaultHasher::new();
    SOURCES.iter().for_each(|path| add(Path::new(path), &mut hasher));
    let name = format!("{:016x}", hasher.finish());
    let source = format!("source {}", &name[..12]);
    println!("cargo:rustc-env=LAB_SOURCE={source}");
    let mut origin = source;
    if let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo:rustc-env=LAB_REVISION={revision}");
        origin = format!("{revision}, {origin}");
    }
    println!("cargo:rustc-env=LAB_ORIGIN={origin}");
    println!("cargo:rustc-env=LAB_PROFILE={}", std::env::var("PROFILE").unwrap_or_default());
    for moves in ["HEAD", "logs/HEAD"] {
        if let Some(file) = git(&["rev-parse", "--git-path", moves]) {
            println!("cargo:rerun-if-changed={file}");
        }
    }
}

/// Adds a file, or all that is in a folder, and has this run again when it changes.
fn add(path: &Path, hasher: &mut DefaultHasher) {
    if let Ok(entries) = fs::read_dir(path) {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let is_left_out = |path: &Path| LEFT_OUT.iter().any(|name| path.ends_with(name));
        paths.iter().filter(|path| !is_left_out(path)).for_each(|path| add(path, hasher));
    } else if path.extension().is_none_or(|extension| extension != "md") {
        println!("cargo:rerun-if-changed={}", path.display());
        hasher.write(path.to_string_lossy().as_bytes());
        // Between a file and the next stands what is in no text.
        hasher.write_u8(0xff);
        hasher.write(&fs::read(path).unwrap_or_default());
        hasher.write_u8(0xff);
    }
}

fn git(args: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    answer.status.success().then_some(text)
}
