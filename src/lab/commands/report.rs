//! `lab report`: draws a run folder again, from its files alone. It must not measure anything.

use std::path::{Path, PathBuf};

use record::{PairFolder, Pairing, Run};

use crate::cli::ReportArgs;
use crate::commands::conclude::open_in_browser;
use crate::commands::{agree, both};
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};

/// Draws the charts and the page of `args.run` again.
pub(crate) fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let page = match PairFolder::open(&args.run) {
        Some(pair) if pair.pairing() == Pairing::Engines => both::draw(&pair)?.1,
        Some(pair) => agree::draw(&pair)?.1,
        None => of_run(&args.run)?,
    };
    say!("{}", page.display());
    if args.open {
        open_in_browser(&page);
    }
    Ok(Exit::Good)
}

fn of_run(folder: &Path) -> Result<PathBuf, Failure> {
    let run = Run::load(folder).map_err(|error| Failure::invalid(error.to_string()))?;
    for file in &run.edited {
        tell!(
            "{}: changed since the run; the report shows what stands there now",
            folder.join(file).display()
        );
    }
    report::write(&run, folder).map_err(|error| Failure::environment(error.to_string()))
}
