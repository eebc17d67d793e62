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

/// The program as it names itself.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("LAB_ORIGIN"),
    ", ",
    env!("LAB_PROFILE"),
    " build)"
);

/// The program as parts name it: records of another version, revision or source are not read.
pub(crate) fn maker() -> String {
    concat!("lab ", env!("CARGO_PKG_VERSION"), " (", env!("LAB_ORIGIN"), ")").to_owned()
}

/// The program as calibrations name it. What a request takes depends on how the program was built, and no
/// record does; and not on its revision, which may have changed documents alone.
pub(crate) fn build() -> String {
    concat!(
        "lab ",
        env!("CARGO_PKG_VERSION"),
        " (",
        env!("LAB_SOURCE"),
        ", ",
        env!("LAB_PROFILE"),
        " build)"
    )
    .to_owned()
}
