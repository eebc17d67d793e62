//! `lab completions`: a script for a shell. It must not install it.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::{Exit, Failure};
use crate::say::say;

/// Prints the completions of `args.shell`.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lab", &mut script);
    say!("{}", String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Good)
}
