//! Reads files for the commands: scenarios with all their problems, configurations. It must not
//! write anything.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use config::Problem;
use policy::Registry;
use record::part::checksum;
use scenario::{Engine, Overrides, Scenario};

use crate::exit::Failure;

/// Far above any text of ours (100,000 backends are some 10 MiB); keeps a wrong path (a log, a
/// device) from filling the memory.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// The text of a file, or what is wrong with it.
pub(crate) fn text(path: &Path) -> Result<String, Problem> {
    bounded(path).map_err(|error| Problem {
        file: path.display().to_string(),
        place: None,
        message: format!("cannot be read: {error}; give the path of a text file"),
    })
}

/// No more of a file than a text may have. Of a device the length is not known before.
pub(crate) fn bounded(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        let message = format!("it has more than the {MAX_TEXT_BYTES} bytes that a text may have");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("no text in UTF-8 (byte {at})"))
    })
}

/// All scenarios, or all problems of all files.
pub(crate) fn scenarios(
    paths: &[impl AsRef<Path>],
    overrides: &Overrides,
) -> Result<Vec<Scenario>, Failure> {
    let registry = Registry::standard();
    let mut scenarios = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match scenario(path.as_ref(), overrides, &registry, &mut BTreeMap::new()) {
            Ok(scenario) => scenarios.push(scenario),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(scenarios) } else { Err(Failure::problems(&problems)) }
}

/// One scenario that is simulated, with the checksums of the files that it reads, by their names in
/// it.
pub(crate) fn simulated(
    path: &Path,
    overrides: &Overrides,
) -> Result<(Scenario, BTreeMap<String, String>), Failure> {
    let mut inputs = BTreeMap::new();
    let scenario = scenario(path, overrides, &Registry::standard(), &mut inputs)
        .map_err(|problems| Failure::problems(&problems))?;
    match scenario.engine {
        Engine::Sim => Ok((scenario, inputs)),
        Engine::Live => Err(Failure::invalid(format!(
            "{}: this scenario is played live, and a sweep is simulated; add --engine sim",
            path.display()
        ))),
    }
}

fn scenario(
    path: &Path,
    overrides: &Overrides,
    registry: &Registry,
    inputs: &mut BTreeMap<String, String>,
) -> Result<Scenario, Vec<Problem>> {
    let text = text(path).map_err(|problem| vec![problem])?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let inputs = RefCell::new(inputs);
    scenario::parse(&path.display().to_string(), &text, overrides, registry, &|name| {
        let text = bounded(&folder.join(name))?;
        inputs.borrow_mut().insert(name.to_owned(), checksum(text.as_bytes()));
        Ok(text)
    })
}
