//! TOML to a scenario, or to all of its errors with their places. It must not open files.
//!
//! The options of the command line are written into the document, then `[vary]` is taken out of it
//! and each combination of its values written into a copy, which is decoded as a whole: no reader
//! needs to know what varies.

use std::collections::BTreeSet;
use std::time::Duration;

use config::Problem;
use config::distribution::Files;
use config::document::{Document, Node, Origin, Value};
use config::problem::sorted;
use config::reader::{Context, ROOT};
use config::value::{format_duration, shown};
use policy::Registry;
use record::expect::Expectation;

use crate::decode::{Decoded, Expected, decode};
use crate::expectations::check_window;
use crate::keys::TRIALS;
use crate::merge::{Found, expectations};
use crate::model::{Scenario, Variant};
use crate::vary::{Combination, Vary};

/// The largest scenario, bytes; the examples have 2,000.
pub const TEXT_BYTES: usize = 1 << 20;

/// How many bytes all variants of a scenario may come to: each is read as a whole.
pub const TEXT_BYTES_IN_ALL: usize = 256 << 20;

/// How many backends all variants may have together: each is kept in memory.
pub const BACKENDS_IN_ALL: usize = 1_000_000;

/// The shortest window that can be asked for.
const SHORTEST_WINDOW: Duration = Duration::from_millis(10);

/// How many windows may be asked for.
const WINDOWS: u128 = 10_000;

/// How many windows the usual length gives at most (DESIGN.md §7).
const USUAL_WINDOWS: u128 = 600;

/// `--set path=value`, or one value of `--vary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// TOML keys joined by dots; array elements by name or index.
    pub path: String,
    /// The value as written; TOML if it parses as such, else a string.
    pub value: String,
}

/// What the command line changes in a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overrides {
    /// `--set`, in order. A path that `[vary]` varies does so no more.
    pub set: Vec<Override>,
    /// `--vary path=a,b,c`, in order, added to the file's `[vary]` (the same path: replaces it).
    pub vary: Vec<(String, Vec<String>)>,
    /// `--engine`.
    pub engine: Option<String>,
    /// `--proxy`.
    pub proxy: Option<String>,
    /// `--load`.
    pub load: Option<String>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--rounds`.
    pub rounds: Option<u32>,
}

/// Reads a scenario. `read_file` reads a file named by an empirical distribution, by its path as
/// written there (the caller resolves it against the scenario's folder).
///
/// # Errors
/// All that is wrong with it, in the order of the text; errors of syntax alone when there are any.
pub fn parse(
    file: &str,
    text: &str,
    overrides: &Overrides,
    registry: &Registry,
    read_file: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<Scenario, Vec<Problem>> {
    if text.len() > TEXT_BYTES {
        let message = format!("{} bytes are too many: at most {TEXT_BYTES}", text.len());
        return Err(vec![Problem { file: file.into(), place: None, message }]);
    }
    let mut document = Document::parse(file, text)?;
    let context = Context::new(file);
    apply_options(&mut document, overrides, &context);
    let vary = Vary::take(&mut document, overrides, &context);
    let mut combinations = vary.combinations().unwrap_or_else(|message| {
        context.problem(vary.origin().unwrap_or(&ROOT), message);
        Vec::new()
    });
    if text.len().saturating_mul(combinations.len()) > TEXT_BYTES_IN_ALL {
        let (bytes, variants) = (text.len(), combinations.len());
        let message = format!("{variants} variants of {bytes} bytes are too many to read");
        context.problem(vary.origin().unwrap_or(&ROOT), message);
    }
    check_names(&combinations, &vary, &context);
    if !context.is_clean() {
        // The rest of the file is checked all the same, but with one variant.
        combinations.truncate(1);
    }
    let mut found = Found::new(context.into_problems());
    let files = Files::new(read_file);
    let decoded = decode_all(&document, &combinations, registry, &files, &mut found);
    let problems = found.into_problems(&combinations);
    if !problems.is_empty() {
        return Err(sorted(problems));
    }
    let names: Vec<String> = combinations.iter().map(Combination::name).collect();
    let parameters = combinations.iter().map(Combination::parameters).collect();
    let context = Context::new(file);
    let variants = Variants { names, parameters, decoded, overridden: vary.overridden };
    let made = assemble(&document, text, variants, &context);
    context.finish(made)
}

/// Writes `--set` and the options that stand for a key into the document.
fn apply_options(document: &mut Document, overrides: &Overrides, context: &Context<'_>) {
    let set = overrides.set.iter().map(|set| {
        let origin = Origin::Option(format!("--set {}={}", set.path, set.value).into());
        (set.path.as_str(), Node::from_option(&set.value, &origin), origin)
    });
    let text = |path, option, value: &Option<String>| {
        let value = value.clone()?;
        let origin = Origin::Option(format!("{option} {value}").into());
        Some((path, Node { origin: origin.clone(), value: Value::Text(value) }, origin))
    };
    let whole = |path, option, value: Option<u64>| {
        let value = value?;
        let origin = Origin::Option(format!("{option} {value}").into());
        let node = Value::Whole(i128::from(value), value.to_string());
        Some((path, Node { origin: origin.clone(), value: node }, origin))
    };
    let options = [
        text("engine", "--engine", &overrides.engine),
        text("proxy.kind", "--proxy", &overrides.proxy),
        text("load.generator", "--load", &overrides.load),
        whole("seed", "--seed", overrides.seed),
        whole("rounds", "--rounds", overrides.rounds.map(u64::from)),
    ];
    for (path, node, origin) in set.chain(options.into_iter().flatten()) {
        if let Err(problem) = document.set(path, node, &origin) {
            context.problem(&origin, problem.message);
        }
    }
}

/// Takes the values of `--vary path=a,b,c` apart: at commas outside of quotes and brackets, so that
/// a value may be a list or an inline table.
pub fn split_values(text: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut depth = 0_usize;
    let mut quote = None;
    for character in text.chars() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                values.push(String::new());
                continue;
            }
            _ => {}
        }
        values.last_mut().expect("there is always one").push(character);
    }
    values.into_iter().map(|value| value.trim().to_string()).collect()
}

fn check_names(combinations: &[Combination<'_>], vary: &Vary, context: &Context<'_>) {
    let mut names = BTreeSet::new();
    let twice = combinations.iter().map(Combination::name).find(|name| !names.insert(name.clone()));
    if let (Some(name), Some(origin)) = (twice, vary.origin()) {
        context.problem(
            origin,
            format!("two variants would be called {}: make the values differ", shown(&name)),
        );
    }
}

/// Decodes every variant; as long as nothing is wrong, all of them are kept.
fn decode_all(
    document: &Document,
    combinations: &[Combination<'_>],
    registry: &Registry,
    files: &Files<'_>,
    found: &mut Found,
) -> Vec<Decoded> {
    let mut all = Vec::new();
    let mut backends = 0;
    let plain = Combination::default();
    let combinations = if combinations.is_empty() { &[plain][..] } else { combinations };
    for (index, combination) in combinations.iter().enumerate() {
        let context = Context::new(&document.file);
        let mut document = document.clone();
        combination.apply(&mut document, &context);
        let decoded = decode(&document, &context, registry, files);
        if let Some(decoded) = decoded.filter(|_| context.is_clean()) {
            backends += decoded.backends.len();
            if backends > BACKENDS_IN_ALL {
                let message = format!("more than {BACKENDS_IN_ALL} backends in all variants");
                context.problem(&ROOT, message);
            }
            all.push(decoded);
        }
        found.add(index, context.into_problems());
        // A flood of problems is cut in any case, and too much stays too much.
        if backends > BACKENDS_IN_ALL || found.is_flooded() {
            break;
        }
    }
    all
}

/// All variants, decoded, in the order of their names.
struct Variants {
    names: Vec<String>,
    parameters: Vec<Vec<(String, String)>>,
    decoded: Vec<Decoded>,
    overridden: bool,
}

fn assemble(
    document: &Document,
    text: &str,
    variants: Variants,
    context: &Context<'_>,
) -> Option<Scenario> {
    let at = |key: &str| document.root.get(key).map_or(ROOT, |node| node.origin.clone());
    let Variants { names, parameters, decoded, overridden } = variants;
    let head = &decoded.first()?.head;
    if names.len().saturating_mul(head.rounds as usize) > TRIALS {
        let message = format!(
            "{} variants × {} rounds are too many: at most {TRIALS} in all",
            names.len(),
            head.rounds
        );
        context.problem(&at("rounds"), message);
    }
    let measured = decoded.iter().map(|d| d.load.shape.phases.iter().map(|p| p.duration).sum());
    let measured = measured.max().unwrap_or_default();
    let window = head.window.unwrap_or_else(|| usual_window(measured));
    if window < SHORTEST_WINDOW || measured.as_nanos() > window.as_nanos() * WINDOWS {
        let shortest = SHORTEST_WINDOW.max(measured / 10_000);
        let shortest = Duration::from_millis(shortest.as_millis() as u64 + 1);
        let message = format!(
            "window = \"{}\" is too short: write at least \"{}\"",
            format_duration(window),
            format_duration(shortest)
        );
        context.problem(&at("window"), message);
    }
    for (name, decoded) in names.iter().zip(&decoded) {
        let end = decoded.load.shape.phases.iter().map(|phase| phase.duration).sum();
        let concerns =
            |e: &&Expected| e.variant.as_ref().is_none_or(|(variant, _)| variant == name);
        let concerned = decoded.expectations.iter().filter(concerns);
        concerned.for_each(|expected| check_window(expected, window, end, context));
    }
    let (expectations, notes): (Vec<Expectation>, Vec<String>) =
        expectations(&document.file, &names, &decoded, overridden, context);
    let (name, question) = (head.name.clone(), head.question.clone());
    let (seed, engine, rounds) = (head.seed, head.engine, head.rounds);
    let keep_requests = head.keep_requests;
    let variants = names
        .into_iter()
        .zip(parameters)
        .zip(decoded)
        .map(|((name, parameters), decoded)| Variant {
            name,
            parameters,
            proxy: decoded.proxy,
            backends: decoded.backends,
            network: decoded.network,
            load: decoded.load,
            faults: decoded.faults,
        })
        .collect();
    Some(Scenario {
        name,
        question,
        seed,
        engine,
        rounds,
        window,
        keep_requests,
        variants,
        expectations,
        notes,
        text: text.to_string(),
        file: document.file.clone(),
    })
}

/// The smallest usual length that gives at most 600 windows.
fn usual_window(measured: Duration) -> Duration {
    const SECONDS: [u64; 12] = [1, 2, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600];
    SECONDS
        .into_iter()
        .map(Duration::from_secs)
        .find(|window| measured.as_nanos() <= window.as_nanos() * USUAL_WINDOWS)
        .expect("600 windows of 6 h are longer than the longest load")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_where_a_person_would() {
        for (text, values) in [
            ("a,b", vec!["a", "b"]),
            ("a", vec!["a"]),
            ("", vec![""]),
            ("a,,b ", vec!["a", "", "b"]),
            (
                "{ name = \"p2c\", choices = 3 },random",
                vec!["{ name = \"p2c\", choices = 3 }", "random"],
            ),
            ("[1, 2],[3]", vec!["[1, 2]", "[3]"]),
            ("\"a,b\",'c,\"'", vec!["\"a,b\"", "'c,\"'"]),
            ("}],a", vec!["}]", "a"]),
        ] {
            assert_eq!(split_values(text), values, "{text}");
        }
    }

    #[test]
    fn the_window_is_the_smallest_usual_one_of_at_most_600() {
        for (measured, window) in [
            (1, 1),
            (600, 1),
            (601, 2),
            (1_201, 5),
            (3_001, 10),
            (6_001, 30),
            (18_001, 60),
            (36_001, 300),
            (180_001, 600),
            (10_000_000, 21_600),
        ] {
            let usual = usual_window(Duration::from_secs(measured));
            assert_eq!(usual, Duration::from_secs(window), "{measured} s");
        }
        assert_eq!(usual_window(Duration::from_millis(600_001)), Duration::from_secs(2));
    }
}
