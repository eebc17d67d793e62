//! The program and the machine, as run folders and parts name them. It must not know a scenario.

use record::About;

use crate::host;
use crate::stamp::Stamp;

/// What every run folder says of the program and the machine; the rest is the scenario's.
pub(crate) fn here() -> About {
    About {
        scenario: String::new(),
        question: String::new(),
        notes: Vec::new(),
        scenario_text: String::new(),
        engine: String::new(),
        generator: String::new(),
        seed: 0,
        overrides: Vec::new(),
        command_line: std::env::args().collect(),
        versions: vec![("lab".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
        host: host::describe(),
        git_revision: option_env!("LAB_REVISION").map(str::to_owned),
        started: Stamp::now().rfc3339(),
        parts: Vec::new(),
        calibration: None,
    }
}

/// The program as parts name it: records of another version, revision or source are not read.
pub(crate) fn maker() -> String {
    concat!("lab ", env!("CARGO_PKG_VERSION"), " (", env!("LAB_SOURCE"), ")").to_owned()
}

/// Its version as calibrations name it, too: what a request takes depends on how the program was built,
/// and no record does.
pub(crate) const BUILD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("LAB_SOURCE"),
    ", ",
    env!("LAB_PROFILE"),
    " build)"
);

/// The program as calibrations name it.
pub(crate) fn build() -> String {
    format!("lab {BUILD}")
}
