//! `lab validate`: says what is wrong with scenarios. It must not play or create anything.

use scenario::Overrides;

use crate::cli::ValidateArgs;
use crate::commands::load;
use crate::exit::{Exit, Failure};
use crate::say::say;

/// Checks every file; all problems of all files are reported.
pub(crate) fn validate(args: &ValidateArgs) -> Result<Exit, Failure> {
    let scenarios = load::scenarios(&args.files, &Overrides::default())?;
    for scenario in scenarios {
        let trials = scenario.trials().len();
        say!(
            "{}: valid, {} variant{}, {trials} trial{}",
            scenario.file,
            scenario.variants.len(),
            if scenario.variants.len() == 1 { "" } else { "s" },
            if trials == 1 { "" } else { "s" },
        );
        // What a run would say of it, too.
        scenario.overloads().iter().for_each(|note| say!("Note: {note}"));
    }
    Ok(Exit::Good)
}
