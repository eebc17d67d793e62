//! `lab completions`: a script for a shell. It must not install it.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::{Exit, Failure};

/// Prints the completions of `args.shell`.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    clap_complete::generate(args.shell, &mut Cli::command(), "lab", &mut std::io::stdout());
    Ok(Exit::Good)
}
