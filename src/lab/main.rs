//! The binary: parse, call, print. Every command has its file in `commands/`; exit codes are
//! decided in `exit`. It must not measure, decide or draw.

mod about;
mod cli;
mod commands;
mod descriptors;
mod exit;
mod host;
mod progress;
mod say;
mod signals;
mod stamp;
mod table;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use exit::Failure;

fn main() -> ExitCode {
    descriptors::make_room();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => commands::run::run(&args),
        Command::Sweep(args) => commands::sweep::sweep(&args),
        Command::Merge(args) => commands::merge::merge(&args),
        Command::Validate(args) => commands::validate::validate(&args),
        Command::Verify(args) => commands::verify::verify(&args),
        Command::Calibrate(args) => commands::calibrate::calibrate(&args),
        Command::Report(args) => commands::report::report(&args),
        Command::Import(args) => commands::import::import(&args),
        Command::List(args) => commands::list::list(&args),
        Command::Proxy(args) => commands::proxy::proxy(&args),
        Command::Backends(args) => commands::backends::backends(&args),
        Command::Doctor(args) => commands::doctor::doctor(&args),
        Command::Completions(args) => commands::completions::completions(&args),
        Command::BenchLoad(args) => commands::bench_load::bench_load(&args),
        Command::Keep(args) => match commands::keep::keep(&args) {
            // Its code is the program's.
            Ok(code) => std::process::exit(code),
            Err(failure) => Err(failure),
        },
    };
    let exit = result.unwrap_or_else(Failure::report);
    ExitCode::from(exit.code())
}
