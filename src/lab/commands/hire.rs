//! Who sends the requests: names them for the record, and has Artillery there where it is wanted.
//! It must not play.

use std::collections::BTreeSet;

use base::Stop;
use live::load::artillery::install::{self, Installed};
use scenario::{Engine, Generator, Scenario, Trial};

use crate::exit::Failure;
use crate::say::tell;

/// Artillery, installed if it was not, where a trial asks for it. With `stop` raised meanwhile there
/// is none.
pub(crate) fn artillery(
    scenario: &Scenario,
    trials: &[(usize, Trial)],
    quiet: bool,
    stop: &Stop,
) -> Result<Option<Installed>, Failure> {
    let wanted = |(_, trial): &(usize, Trial)| trial.variant.load.generator == Generator::Artillery;
    if scenario.engine == Engine::Sim || !trials.iter().any(wanted) {
        return Ok(None);
    }
    let lab = crate::commands::play::own_program()?;
    let mut told = |line: &str| {
        if !quiet {
            tell!("{line}");
        }
    };
    install::ensure(&lab, stop, &mut told).map_err(|error| Failure::environment(error.to_string()))
}

/// The generators of a scenario, each once, in words for its record; none when it is simulated.
pub(crate) fn generators(scenario: &Scenario) -> String {
    if scenario.engine == Engine::Sim {
        return String::new();
    }
    let words: BTreeSet<&str> =
        scenario.variants.iter().map(|variant| variant.load.generator.word()).collect();
    // The lab's own first.
    words.into_iter().rev().collect::<Vec<_>>().join(", ")
}

/// What takes part in a run of this scenario beside `lab`, with versions.
pub(crate) fn versions(scenario: &Scenario) -> Vec<(String, String)> {
    if !generators(scenario).contains(Generator::Artillery.word()) {
        return Vec::new();
    }
    let node = install::node().ok().map(|(_, version)| ("node".to_owned(), version));
    [("artillery".to_owned(), install::version())].into_iter().chain(node).collect()
}
