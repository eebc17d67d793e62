//! What the command line changes in a scenario, in the words of `scenario`. It must not know what
//! the values mean.

use scenario::{Override, Overrides};

use crate::cli::Changes;
use crate::exit::Failure;

/// The options as `scenario` takes them.
pub(crate) fn overrides(changes: &Changes) -> Result<Overrides, Failure> {
    let split = |option: &str, text: &str| match text.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() => {
            Ok((path.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Failure::usage(format!(
            "{option} {text}: write a key, `=` and a value, for example proxy.strategy=p2c"
        ))),
    };
    let mut overrides = Overrides {
        // Of both, `run` says which for each; others are told that there is no such engine.
        engine: changes.engine.map(|engine| engine.word().to_owned()),
        proxy: changes.proxy.clone(),
        load: changes.load.clone(),
        seed: changes.seed,
        rounds: changes.rounds,
        ..Overrides::default()
    };
    for text in &changes.set {
        let (path, value) = split("--set", text)?;
        overrides.set.push(Override { path, value });
    }
    for text in &changes.vary {
        let (path, values) = split("--vary", text)?;
        overrides.vary.push((path, scenario::split_values(&values)));
    }
    Ok(overrides)
}

/// Two generators play the same load only at even gaps: the random ones of Artillery are its own.
const EVEN_GAPS: (&str, &str) = ("load.arrivals", "constant");

/// What `--load both` sets beside what is given.
pub(crate) fn even_gaps() -> Override {
    let (path, value) = EVEN_GAPS;
    Override { path: path.to_owned(), value: value.to_owned() }
}

/// `--set` and `--vary` as given, for the record, and what `--load both` sets.
pub(crate) fn as_given(changes: &Changes) -> Vec<String> {
    let set = changes.set.iter().map(|text| format!("--set {text}"));
    let both = changes.load.as_deref() == Some("both");
    let (path, value) = EVEN_GAPS;
    let even = both.then(|| format!("--set {path}={value}"));
    set.chain(changes.vary.iter().map(|text| format!("--vary {text}"))).chain(even).collect()
}

/// The options again, as words of a command line.
pub(crate) fn arguments(changes: &Changes) -> Vec<String> {
    let Changes { engine, proxy, load, set, vary, seed, rounds } = changes;
    let one = |option: &'static str, value: Option<String>| value.map(|value| (option, value));
    let single = [
        one("--engine", engine.map(|engine| engine.word().to_owned())),
        one("--proxy", proxy.clone()),
        one("--load", load.clone()),
        one("--seed", seed.map(|seed| seed.to_string())),
        one("--rounds", rounds.map(|rounds| rounds.to_string())),
    ];
    let set = set.iter().map(|text| ("--set", text.clone()));
    let vary = vary.iter().map(|text| ("--vary", text.clone()));
    let all = single.into_iter().flatten().chain(set).chain(vary);
    all.flat_map(|(option, value)| [option.to_owned(), value]).collect()
}

/// What else changes what is played, as given, without what has a place of its own in a record
/// (seed, engine, number of trials).
pub(crate) fn others(changes: &Changes) -> Vec<String> {
    let proxy = changes.proxy.iter().map(|kind| format!("--proxy {kind}"));
    proxy.chain(changes.load.iter().map(|kind| format!("--load {kind}"))).collect()
}
