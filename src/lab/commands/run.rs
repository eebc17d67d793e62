//! `lab run`: plays scenarios, keeps what happened, judges and draws it. The loop over trials
//! stands here, once. It must not know how an engine plays.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base::Stop;
use record::{About, Run, RunWriter, Summary};
use scenario::{Engine, Override, Overrides, Scenario};

use crate::cli::{EngineArg, RunArgs};
use crate::commands::{load, play};
use crate::exit::{Exit, Failure};
use crate::progress::Display;
use crate::say::{say, tell};
use crate::stamp::Stamp;
use crate::{host, signals, table};

/// Plays every file of `args`; the worst end wins.
pub(crate) fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let overrides = overrides(args)?;
    let scenarios = load::scenarios(&args.files, &overrides)?;
    for scenario in &scenarios {
        for note in &scenario.notes {
            tell!("{note}");
        }
    }
    let folders = folders(args, &scenarios)?;
    let stop = signals::install()?;
    let mut worst = Exit::Good;
    for (scenario, folder) in scenarios.iter().zip(folders) {
        let exit = run_one(args, scenario, &folder, &stop).unwrap_or_else(Failure::report);
        worst = worst.worst(exit);
        if stop.is_raised() {
            break;
        }
    }
    Ok(worst)
}

/// What the command line changes, in the words of `scenario`.
fn overrides(args: &RunArgs) -> Result<Overrides, Failure> {
    let split = |option: &str, text: &str| match text.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() => {
            Ok((path.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Failure::invalid(format!(
            "{option} {text}: write a key, `=` and a value, for example proxy.strategy=p2c"
        ))),
    };
    let mut overrides = Overrides {
        engine: args.engine.map(|engine| match engine {
            EngineArg::Live => "live".to_owned(),
            EngineArg::Sim => "sim".to_owned(),
        }),
        proxy: args.proxy.clone(),
        load: args.load.clone(),
        seed: args.seed,
        rounds: args.rounds,
        ..Overrides::default()
    };
    for text in &args.set {
        let (path, value) = split("--set", text)?;
        overrides.set.push(Override { path, value });
    }
    for text in &args.vary {
        let (path, values) = split("--vary", text)?;
        overrides.vary.push((path, scenario::split_values(&values)));
    }
    Ok(overrides)
}

/// One run folder per scenario.
fn folders(args: &RunArgs, scenarios: &[Scenario]) -> Result<Vec<PathBuf>, Failure> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for scenario in scenarios {
        let folder = match &args.out {
            Some(out) if scenarios.len() == 1 => out.clone(),
            Some(out) => out.join(&scenario.name),
            None => fresh(&Path::new("reports").join(&scenario.name)),
        };
        if folders.contains(&folder) {
            return Err(Failure::invalid(format!(
                "{}: two of the scenarios are named \"{}\" and would share this folder; rename one",
                folder.display(),
                scenario.name
            )));
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// A folder named after this second that does not exist yet.
pub(crate) fn fresh(parent: &Path) -> PathBuf {
    let stamp = Stamp::now().folder();
    let names = (1_u32..).map(|n| if n == 1 { stamp.clone() } else { format!("{stamp}-{n}") });
    names
        .map(|name| parent.join(name))
        .find(|folder| !folder.exists())
        .expect("there are more numbers than folders")
}

fn run_one(
    args: &RunArgs,
    scenario: &Scenario,
    folder: &Path,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let about = about(args, scenario);
    let writing = |error: std::io::Error| Failure::environment(error.to_string());
    let mut writer = RunWriter::create(folder).map_err(writing)?;
    let display = Display::start(scenario, args.quiet);
    let played = match scenario.engine {
        Engine::Live => play::live(scenario, &mut writer, &display, stop),
        Engine::Sim => play::simulated(scenario, args.jobs, &mut writer, &display, stop),
    };
    display.finish();
    // What was measured before a failure is kept, judged and drawn like any other run; why it
    // failed is told before anything else can fail.
    let cut_short = why(played.as_ref().err(), stop);
    let failed = played.err().map(Failure::report);
    let summary =
        writer.finish(&about, &scenario.expectations, cut_short.as_deref()).map_err(writing)?;
    show(args, &summary)?;
    let page = draw(folder).map_err(|mut failure| {
        let again =
            format!("The figures are kept; draw them with: lab report {}", folder.display());
        failure.lines.push(again);
        failure
    })?;
    writer.seal(&about).map_err(writing)?;
    if !args.json {
        say!("Report: {}", page.display());
    }
    if args.open {
        open_in_browser(&page);
    }
    Ok(failed.unwrap_or(Exit::Good).worst(judge(&summary, stop)))
}

/// Why a run is not whole, in words for its summary.
fn why(failed: Option<&Failure>, stop: &Stop) -> Option<String> {
    let signal = stop.reason().map(|number| match number {
        1 => "stopped by SIGHUP".to_owned(),
        2 => "stopped by SIGINT".to_owned(),
        15 => "stopped by SIGTERM".to_owned(),
        number => format!("stopped by signal {number}"),
    });
    signal.or_else(|| failed.and_then(|failure| failure.lines.first().cloned()))
}

/// Draws the folder from its files alone, as `lab report` does.
fn draw(folder: &Path) -> Result<PathBuf, Failure> {
    let run = Run::load(folder).map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    report::write(&run, folder).map_err(|error| Failure::environment(error.to_string()))?;
    Ok(folder.join("report.html"))
}

fn show(args: &RunArgs, summary: &Summary) -> Result<(), Failure> {
    if args.json {
        let text = serde_json::to_string_pretty(summary)
            .map_err(|error| Failure::new(Exit::Internal, format!("summary.json: {error}")))?;
        say!("{text}");
    } else {
        say!("{}", table::render(summary).trim_end());
    }
    Ok(())
}

/// The exit code that a summary deserves.
fn judge(summary: &Summary, stop: &Stop) -> Exit {
    if let Some(signal) = stop.reason() {
        return Exit::Interrupted(signal);
    }
    let measured = if summary.verdict == "invalid" { Exit::MeasurementInvalid } else { Exit::Good };
    let held = summary.expectations.iter().all(|expectation| expectation.passed);
    measured.worst(if held { Exit::Good } else { Exit::ExpectationFailed })
}

fn about(args: &RunArgs, scenario: &Scenario) -> About {
    let mut overrides: Vec<String> = Vec::new();
    overrides.extend(args.set.iter().map(|text| format!("--set {text}")));
    overrides.extend(args.vary.iter().map(|text| format!("--vary {text}")));
    let engine = match scenario.engine {
        Engine::Live => "live",
        Engine::Sim => "sim",
    };
    About {
        scenario: scenario.name.clone(),
        question: scenario.question.clone(),
        scenario_text: scenario.text.clone(),
        engine: engine.to_owned(),
        seed: scenario.seed,
        overrides,
        command_line: std::env::args().collect(),
        versions: vec![("lab".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
        host: host::describe(),
        git_revision: option_env!("LAB_REVISION").map(str::to_owned),
        started: Stamp::now().rfc3339(),
    }
}

/// Asks the desktop to show a page. That there is none is no error: the path was printed.
pub(crate) fn open_in_browser(page: &Path) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let asked = Command::new(program)
        .arg(page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = asked {
        tell!("--open: {program} cannot be started: {error}");
    }
}
