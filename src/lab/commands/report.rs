//! `lab report`: draws a run folder again, from its files alone. It must not measure anything.

use record::Run;

use crate::cli::ReportArgs;
use crate::commands::conclude::open_in_browser;
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};

/// Draws the charts and the page of `args.run` again.
pub(crate) fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let run = Run::load(&args.run).map_err(|error| Failure::invalid(error.to_string()))?;
    for file in &run.edited {
        tell!(
            "{}: changed since the run; the report shows what stands there now",
            args.run.join(file).display()
        );
    }
    report::write(&run, &args.run).map_err(|error| Failure::environment(error.to_string()))?;
    let page = args.run.join("report.html");
    say!("{}", page.display());
    if args.open {
        open_in_browser(&page);
    }
    Ok(Exit::Good)
}
