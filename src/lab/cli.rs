//! The command line: what can be written. It must not do any of it.

use std::path::PathBuf;

use crate::about;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// A laboratory for load balancers.
#[derive(Debug, Parser)]
#[command(
    name = "lab",
    version,
    long_version = about::VERSION,
    about = "A laboratory for load balancers: a real proxy, fake backends, honest measurements",
    after_help = "Start with:  lab run scenarios/failover.toml\n\n\
        Exit codes:  0 good · 1 internal error · 2 usage · 3 scenario, configuration or run folder\n\
        invalid, missing or unreadable · 4 environment (port, program, folder that cannot be\n\
        written, child that died) · 10 an expectation failed · 11 regression · 12 inconclusive ·\n\
        13 measurement invalid · 129, 130, 143 interrupted by SIGHUP, SIGINT, SIGTERM"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play scenarios: measure, judge, draw
    Run(RunArgs),
    /// Play one shard of a scenario's trials, to be merged
    Sweep(SweepArgs),
    /// Make a run of the parts that sweeps have left
    Merge(MergeArgs),
    /// Check scenarios without playing them
    Validate(ValidateArgs),
    /// Hold the simulator against what queueing theory knows
    Verify(VerifyArgs),
    /// Measure what this machine takes beyond the service times, for simulations
    Calibrate(CalibrateArgs),
    /// Draw the report of a run folder again
    Report(ReportArgs),
    /// Make a run folder of what another load generator has measured
    Import(ImportArgs),
    /// What there is to use, or what has been run
    List(ListArgs),
    /// The load balancer by itself
    Proxy(ProxyArgs),
    /// The fake backends by themselves
    Backends(BackendsArgs),
    /// Is this machine fit for live runs?
    Doctor(DoctorArgs),
    /// Completions for a shell, to be sourced
    Completions(CompletionsArgs),
    /// One generator against one URL, for `make bench`
    #[command(hide = true)]
    BenchLoad(BenchLoadArgs),
    /// A program that is not ours, which ends when its parent does
    #[command(hide = true)]
    Keep(KeepArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    lab run scenarios/failover.toml\n  \
    lab run scenarios/strategies.toml --engine sim --seed 7\n  \
    lab run scenarios/failover.toml --engine both --rounds 3\n  \
    lab run scenarios/failover.toml --load artillery\n  \
    lab run scenarios/baseline.toml --load both\n  \
    lab run scenarios/failover.toml --set proxy.retry.attempts=1 --out reports/no-retry\n  \
    lab run scenarios/baseline.toml --vary proxy.strategy=round_robin,p2c --rounds 5")]
pub(crate) struct RunArgs {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Simulate with what `lab calibrate` has measured, from this file [default: with --engine both the
    /// stored one if it is of this machine, else nothing]
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// The run folder, exactly; with several files one subfolder each [default: reports/NAME/TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// What the command line changes in a scenario.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// Real processes and sockets, or virtual time [default: the scenario's]
    #[arg(long, value_enum)]
    pub(crate) engine: Option<EngineArg>,
    /// What stands between load and backends: lab, direct [default: the scenario's]
    #[arg(long, value_name = "KIND")]
    pub(crate) proxy: Option<String>,
    /// Who generates the load: builtin, artillery; `lab run` also: both, one after the other, and
    /// whether they agree [default: the scenario's]
    #[arg(long, value_name = "GENERATOR")]
    pub(crate) load: Option<String>,
    /// Replace a value of the scenario, for example load.phases.steady.rate=200
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Play every one of these values, for example proxy.strategy=random,p2c
    #[arg(long, value_name = "KEY=A,B,C")]
    pub(crate) vary: Vec<String>,
    /// The seed of arrivals, sizes and choices [default: the scenario's]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>(0, u64::MAX))]
    pub(crate) seed: Option<u64>,
    /// How often to play each variant [default: the scenario's]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = whole::<u32>(1, u32::MAX.into()))]
    pub(crate) rounds: Option<u32>,
}

/// How much of the machine is used, and what is told meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Pace {
    /// Simulated trials at the same time [default: one per core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u16>(1, 1024))]
    pub(crate) jobs: Option<u16>,
    /// No progress, only results and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// How the result is shown.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// Print summary.json instead of the table
    #[arg(long)]
    pub(crate) json: bool,
    /// Open the report when it is there
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineArg {
    /// Processes and sockets, wall clock
    Live,
    /// Virtual time, the same seed giving the same bytes
    Sim,
    /// First live, then in virtual time, and a comparison of the two
    Both,
}

impl EngineArg {
    /// As it is written.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sim => "sim",
            Self::Both => "both",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    lab sweep scenarios/strategies.toml --engine sim --rounds 20 --shard 0/3 --out part-0\n  \
    lab sweep scenarios/strategies.toml --engine sim --rounds 20 --shards 3   (in a task of an array)\n  \
    lab sweep scenarios/strategies.toml --engine sim --rounds 20 --shards 3 --engine-script slurm > sweep.sh\n\n\
    Without --shard the index comes from the first of these that is set: SLURM_ARRAY_TASK_ID,\n\
    JOB_COMPLETION_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, PBS_ARRAY_INDEX, LSB_JOBINDEX, SGE_TASK_ID,\n\
    BATCH_TASK_INDEX, CLOUD_RUN_TASK_INDEX, HQ_TASK_ID, NOMAD_ALLOC_INDEX, PARALLEL_SEQ; the number\n\
    of shards from --shards, or from where the array tells it.")]
pub(crate) struct SweepArgs {
    /// A scenario file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which trials: those whose number leaves I when divided by N; I begins at 0
    #[arg(long, value_name = "I/N", conflicts_with = "shards", allow_hyphen_values = true)]
    pub(crate) shard: Option<String>,
    /// How many shards there are; the index comes from the environment
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) shards: Option<String>,
    /// Play nothing: write the job files that play all shards and merge them
    #[arg(
        long,
        value_enum,
        value_name = "SCHEDULER",
        conflicts_with = "shard",
        requires = "shards"
    )]
    pub(crate) engine_script: Option<ScriptArg>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Simulate with what `lab calibrate` has measured, from this file, wherever the shards are played;
    /// it must be the same for all of them
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// The part, a file [default: part-I; of job files: stdout]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScriptArg {
    /// A shell script: an array of tasks, and the merge behind it
    Slurm,
    /// A list of objects for `kubectl apply -f`: an Indexed Job, and the merge
    Kubernetes,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lab merge part-0 part-1 part-2 --out reports/merged")]
pub(crate) struct MergeArgs {
    /// All parts of a sweep, in any order
    #[arg(required = true, value_name = "PART")]
    pub(crate) parts: Vec<PathBuf>,
    /// The run folder, exactly [default: reports/NAME/TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Requests of each round: ten times as many, a third of the error; with less than 20000 the rounds
    /// are too short for the tails of full queues
    #[arg(long, value_name = "N", default_value_t = 100_000, allow_negative_numbers = true,
          value_parser = whole::<u32>(1_000, 100_000_000))]
    pub(crate) requests: u32,
    /// Rounds at the same time [default: one per core]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u16>(1, 1024))]
    pub(crate) jobs: Option<u16>,
    /// Where table and chart go [default: reports/verify/TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// No progress, only results and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    lab calibrate\n  \
    lab run scenarios/failover.toml --engine both --rounds 3\n  \
    lab run scenarios/failover.toml --engine sim --calibration ~/.local/share/lab/calibration.json\n\n\
    Requests of a constant service time go to fake backends: directly, through the proxy, and through\n\
    the proxy over connections that it must open first. What they take beyond the service time is kept\n\
    as tables of quantiles. A simulation draws from them for each request, attempt and connection, and its\n\
    manifest holds them;\n\
    without --engine both or --calibration no simulation adds anything. A file of another machine,\n\
    kernel or build of lab is refused: measure again.")]
pub(crate) struct CalibrateArgs {
    /// The file [default: $XDG_DATA_HOME/lab/calibration.json, or below ~/.local/share]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many valid rounds of each way are wanted, in turns; some 10 s each. Invalid ones are left out
    /// and others played, three times as many at most; half of what is wanted will do then
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true,
          value_parser = whole::<u32>(1, 100))]
    pub(crate) rounds: u32,
    /// No progress, only results and errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// How long a way is measured each time, for tests
    #[arg(long, hide = true, value_name = "S", default_value_t = 2.0, allow_negative_numbers = true,
          value_parser = some_seconds)]
    pub(crate) seconds: f64,
}

/// A whole number of a range. Whoever writes another one, or a word, is told of the range: clap's own
/// errors say what is wrong with the digits, and of a negative number that it may be an option.
fn whole<T: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("write a whole number from {least} to {most}"))
    }
}

/// As long as a backend for each request can be had.
fn some_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=10.0).contains(seconds));
    seconds.ok_or_else(|| "write a number from 0.1 to 10".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A run folder
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Open the report when it is there
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) what: ImportWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportWhat {
    /// Results of Artillery 2: what `artillery run --output FILE` wrote
    Artillery(ArtilleryArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    lab import artillery out.json\n  \
    lab import artillery before.json after.json --name change --open\n\n\
    The run is suspect at best: the lab has seen neither the generator nor its machine. What a result\n\
    does not hold (histograms, backends, seconds within its periods of ten) stays empty.")]
pub(crate) struct ArtilleryArgs {
    /// Results; several become variants of one run
    #[arg(required = true, value_name = "OUT.json")]
    pub(crate) results: Vec<PathBuf>,
    /// The run folder, exactly [default: reports/NAME/TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// What the run is called [default: as the first file]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// What to list
    #[arg(value_enum)]
    pub(crate) what: ListWhat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListWhat {
    /// The scenario files below scenarios/
    Scenarios,
    /// The strategies with their parameters
    Strategies,
    /// The faults that a scenario can play
    Faults,
    /// The run folders below reports/
    Runs,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// proxy.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Check the file and stop
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) child: ChildArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BackendsArgs {
    /// backends.toml
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) child: ChildArgs,
}

/// What a conductor tells its children; nobody else needs it.
#[derive(Debug, Args)]
pub(crate) struct ChildArgs {
    /// Time zero of the run, in nanoseconds of CLOCK_MONOTONIC
    #[arg(long, hide = true, value_name = "NS")]
    pub(crate) epoch: Option<u64>,
    /// A pipe whose end means that the parent is gone
    #[arg(long, hide = true, value_name = "FD")]
    pub(crate) lifeline: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct BenchLoadArgs {
    /// http://127.0.0.1:PORT/PATH
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Connections
    #[arg(long, default_value_t = 50)]
    pub(crate) connections: u32,
    /// Seconds
    #[arg(long, default_value_t = 4.0)]
    pub(crate) duration: f64,
    /// Requests a second, open loop; without it closed loop
    #[arg(long)]
    pub(crate) rate: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// A pipe whose end means that the parent is gone
    #[arg(long, value_name = "FD")]
    pub(crate) lifeline: i32,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
