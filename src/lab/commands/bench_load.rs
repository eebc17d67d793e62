//! `lab bench-load`: one generator against one URL, for `make bench`. It must not be a scenario.

use crate::cli::BenchLoadArgs;
use crate::exit::{Exit, Failure};
use crate::say::say;

/// Loads `args.url` and prints what came of it as JSON.
pub(crate) fn bench_load(args: &BenchLoadArgs) -> Result<Exit, Failure> {
    let result = live::load::bench(&args.url, args.connections, args.duration, args.rate)
        .map_err(|error| Failure::environment(error.to_string()))?;
    let text = serde_json::to_string(&result)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    say!("{text}");
    Ok(Exit::Good)
}
