//! `lab import`: results of other programs as run folders. It must not know their syntax, nor
//! calculate a figure.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use config::value::is_name;
use import::artillery::{self, Written};
use record::figures::IMPORTED;
use record::part::checksum;
use record::{About, RunWriter};

use crate::about;
use crate::cli::{ArtilleryArgs, ImportArgs, ImportWhat};
use crate::commands::conclude::{judge, present};
use crate::exit::{Exit, Failure};
use crate::stamp::{Stamp, fresh};

/// A period of Artillery takes three kilobytes: this is a run of a week.
const MAX_BYTES: u64 = 256 << 20;
/// What names of scenarios may have.
const LONGEST_NAME: usize = 64;

/// Imports what `args` names.
pub(crate) fn import(args: &ImportArgs) -> Result<Exit, Failure> {
    let ImportWhat::Artillery(args) = &args.what;
    artillery(args)
}

/// Nothing is created before all results are read.
fn artillery(args: &ArtilleryArgs) -> Result<Exit, Failure> {
    let name = match &args.name {
        Some(name) if is_name(name) => name.clone(),
        Some(name) => {
            return Err(Failure::invalid(format!(
                "--name {name}: up to {LONGEST_NAME} letters, digits, - and _, for it names a folder"
            )));
        }
        None => name_of(&args.results[0]),
    };
    let (mut results, mut problems) = (Vec::new(), Vec::new());
    let mut about = about::here();
    for (variant, path) in variants(&args.results) {
        match read(path) {
            Ok((checksum, written)) => {
                about.versions.push((path.display().to_string(), format!("SHA-256 {checksum}")));
                results.push((variant, written));
            }
            Err(failure) => problems.extend(failure.lines),
        }
    }
    if !problems.is_empty() {
        return Err(Failure { exit: Exit::Invalid, lines: problems });
    }
    let figures = artillery::figures(&name, &results)
        .map_err(|problem| Failure::invalid(problem.to_string()))?;
    let began = results.iter().filter_map(|(_, written)| written.began_s()).min();
    let about = About {
        scenario: name.clone(),
        question: figures.summary.question.clone(),
        engine: IMPORTED.to_owned(),
        generator: "artillery".to_owned(),
        // The machine that measured is not this one.
        host: Vec::new(),
        started: began.map_or_else(String::new, |seconds| Stamp::at(seconds).rfc3339()),
        ..about
    };
    let folder = args.out.clone().unwrap_or_else(|| fresh(&Path::new("reports").join(&name)));
    let mut writer = RunWriter::create(&folder).map_err(Failure::unwritten)?;
    writer.adopt(&about, &figures).map_err(Failure::unwritten)?;
    present(writer, &about, &figures.summary, Some(&args.shown))?;
    Ok(judge(&figures.summary))
}

/// The checksum of a result, and what is in it.
fn read(path: &Path) -> Result<(String, Written), Failure> {
    let file = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        Failure::invalid(format!(
            "{file}: it cannot be read: {error}; give the file that `artillery run --output FILE` wrote"
        ))
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Failure::invalid(format!(
            "{file}: this is a folder; give the file that `artillery run --output FILE` wrote"
        )));
    }
    // Of a pipe or a device the end may never come.
    if !metadata.is_file() {
        return Err(Failure::invalid(format!(
            "{file}: this is a pipe, a socket or a device and no ordinary file; write the result into one, \
             as `artillery run --output FILE` does"
        )));
    }
    let mut text = Vec::new();
    File::open(path)
        .and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::invalid(format!(
            "{file}: larger than {} MiB; no result of Artillery is: give another file",
            MAX_BYTES >> 20
        )));
    }
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::invalid(format!(
            "{file}: not text in UTF-8 (byte {at}); copy the file again, or repeat the run"
        ))
    })?;
    let written =
        Written::parse(&file, &text).map_err(|problem| Failure::invalid(problem.to_string()))?;
    Ok((checksum(text.as_bytes()), written))
}

/// Each file with its variant's name: the file's own where no other has the same, else its path; and
/// a number where even the path is there twice.
fn variants(paths: &[PathBuf]) -> Vec<(String, &Path)> {
    let mut of_stem: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        *of_stem.entry(name_of(path)).or_default() += 1;
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut name = |path: &Path| {
        let stem = name_of(path);
        let name = if of_stem[&stem] == 1 { stem } else { path.display().to_string() };
        let times = taken.entry(name.clone()).or_default();
        *times += 1;
        if *times == 1 { name } else { format!("{name} ({times})") }
    };
    paths.iter().map(|path| (name(path), path.as_path())).collect()
}

/// The file's name without its ending, as a folder may be called.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().map(|c| if is_in_name(c) { c } else { '-' }).collect();
    let name: String = name.chars().take(LONGEST_NAME).collect();
    if name.is_empty() { "artillery".to_owned() } else { name }
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_names_of_their_own() {
        for (paths, names) in [
            (&["out.json"][..], &["out"][..]),
            (&["a/out.json", "b/mine.json"], &["out", "mine"]),
            (&["a/out.json", "b/out.json"], &["a/out.json", "b/out.json"]),
            (&["out.json", "out.json"], &["out.json", "out.json (2)"]),
            (&["my result.json"], &["my-result"]),
            (&[".."], &["artillery"]),
        ] {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            let found: Vec<String> = variants(&paths).into_iter().map(|(name, _)| name).collect();
            assert_eq!(found, names);
        }
    }
}
