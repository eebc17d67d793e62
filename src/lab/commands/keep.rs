//! `lab keep`: runs a program that is not ours and ends it when its parent is gone. It must not
//! know which program.

use crate::cli::KeepArgs;
use crate::exit::Failure;
use crate::signals;

/// The program's exit code.
pub(crate) fn keep(args: &KeepArgs) -> Result<i32, Failure> {
    // What ends the group ends the program; this process tells how.
    signals::on_signal(|_| {})?;
    let (program, arguments) = args.command.split_first().expect("one at least is required");
    live::keep(args.lifeline, program, arguments)
        .map_err(|error| Failure::environment(format!("lab keep: {error}")))
}
