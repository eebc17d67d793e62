//! TOML to a scenario, or to all of its errors with their places. It must not open files.

use config::Problem;
use policy::Registry;

use crate::model::Scenario;

/// `--set path=value`, or one value of `--vary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// TOML keys joined by dots; array elements by name or index.
    pub path: String,
    /// The value as written; TOML if it parses as such, else a string.
    pub value: String,
}

/// What the command line changes in a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--set`, in order.
    pub set: Vec<Override>,
    /// `--vary path=a,b,c`, in order, added to the file's `[vary]` (the same path: replaces it).
    pub vary: Vec<(String, Vec<String>)>,
    /// `--engine`.
    pub engine: Option<String>,
    /// `--proxy`.
    pub proxy: Option<String>,
    /// `--load`.
    pub load: Option<String>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--rounds`.
    pub rounds: Option<u32>,
}

/// Reads a scenario. `read_file` reads a file named by an empirical distribution, by its path as
/// written there (the caller resolves it against the scenario's folder).
pub fn parse(
    file: &str,
    text: &str,
    overrides: &Overrides,
    registry: &Registry,
    read_file: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<Scenario, Vec<Problem>> {
    let _ = (file, text, overrides, registry, read_file);
    todo!()
}
