//! Whether two runs can be compared: they are of one scenario and differ by one thing alone. It must
//! not compare them.

use crate::run::{LoadError, Run};

/// The one thing that the two differ by.
pub(crate) struct Difference {
    /// "engine", in messages.
    pub(crate) what: &'static str,
    /// What it is of a run.
    pub(crate) of: fn(&Run) -> &str,
    /// What it must be of the first and of the second.
    pub(crate) wanted: [&'static str; 2],
    /// The option that leaves two such runs.
    pub(crate) option: &'static str,
}

/// Two runs of different scenarios have no difference that says anything.
pub(crate) fn belong_together(runs: [&Run; 2], difference: &Difference) -> Result<(), LoadError> {
    let Difference { what, of, wanted, option } = difference;
    let fault = |run: &Run, message: String| {
        Err(LoadError {
            file: run.folder.join(crate::manifest::FILE).display().to_string(),
            line: None,
            message: format!(
                "{message}; compare two runs of one scenario, as lab run {option} both leaves them"
            ),
        })
    };
    for (run, wanted) in runs.into_iter().zip(wanted) {
        let found = of(run);
        if found != *wanted {
            return fault(run, format!("this run's {what} is \"{found}\" and not \"{wanted}\""));
        }
    }
    let [first, second] = runs;
    for key in ["scenario", "scenario_text", "overrides", "seed"] {
        if first.manifest[key] != second.manifest[key] {
            let other = first.folder.display();
            return fault(second, format!("its {key} is not that of {other}"));
        }
    }
    Ok(())
}
