//! Reads files for the commands: scenarios with all their problems, configurations. It must not
//! write anything.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
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
    let problem =
        |message: String| Problem { file: path.display().to_string(), place: None, message };
    let length = fs::metadata(path)
        .map_err(|error| problem(format!("cannot be read: {error}; give the path of a file")))?
        .len();
    if length > MAX_TEXT_BYTES {
        return Err(problem(format!(
            "is {length} bytes long, more than the {MAX_TEXT_BYTES} that a text may have"
        )));
    }
    fs::read_to_string(path)
        .map_err(|error| problem(format!("cannot be read: {error}; give the path of a text file")))
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
        let text = fs::read_to_string(folder.join(name))?;
        inputs.borrow_mut().insert(name.to_owned(), checksum(text.as_bytes()));
        Ok(text)
    })
}
