//! What made the run, from the manifest, as far as it is the same for everybody who repeats it:
//! a simulated run's page tells no host, path or time, or two equal runs would differ in bytes.

use maud::{Markup, html};
use record::{Run, calibration};
use serde_json::Value;

/// A scenario longer than this is a file to open, not to read here.
const MAX_SCENARIO_CHARS: usize = 40_000;

pub(super) fn provenance(run: &Run) -> Markup {
    let manifest = &run.manifest;
    let live = run.summary.engine != "sim";
    let mut facts: Vec<(&str, String)> = Vec::new();
    let mut add = |name, text: String| {
        if !text.is_empty() {
            facts.push((name, text));
        }
    };
    if run.summary.terms.is_none() {
        add("seed", run.summary.seed.to_string());
    }
    add("versions", pairs(&manifest["versions"]));
    add("added", calibration::added(manifest).unwrap_or_default());
    if live {
        add("source revision", plain(&manifest["git_revision"]));
        add("host", pairs(&manifest["host"]));
        add("began", plain(&manifest["started"]));
    }
    let scenario_text = plain(&manifest["scenario_text"]);
    let shown: String = scenario_text.chars().take(MAX_SCENARIO_CHARS).collect();
    html! {
        section {
            h2 { "Where this comes from" }
            dl {
                @for (name, text) in &facts { dt { (name) } dd { (text) } }
                dt { "again" }
                dd { code { (again(run)) } }
            }
            @if !shown.is_empty() {
                details {
                    summary { "The scenario" }
                    pre { code { (shown) @if shown.len() < scenario_text.len() { "…" } } }
                }
            }
            p.note {
                "All figures are in the run folder: " code { "summary.json" } ", " code { "timeline.csv" } ", "
                code { "backends.csv" } ", " code { "events.csv" } ", " code { "spectrum.csv" } "."
            }
        }
    }
}

/// The command that plays the run again. A simulated one names no path and no folder.
fn again(run: &Run) -> String {
    let summary = &run.summary;
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(plain).collect()
    };
    let given = words(&run.manifest["command_line"]);
    let command = if summary.engine == "sim" || given.is_empty() {
        let mut command: Vec<String> = ["lab", "run"].map(str::to_owned).to_vec();
        command.push(format!("{}.toml", summary.scenario));
        command.extend(["--engine".to_owned(), summary.engine.clone()]);
        command.extend(["--seed".to_owned(), summary.seed.to_string()]);
        command.extend(words(&run.manifest["overrides"]));
        if calibration::added(&run.manifest).is_some() {
            command.extend(["--calibration", "calibration.json"].map(str::to_owned));
        }
        command
    } else {
        given
    };
    command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// As a shell would need it.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// An object, or a list of pairs, on one line.
fn pairs(value: &Value) -> String {
    let parts: Vec<String> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| format!("{k} {}", plain(v))).collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => vec![plain(other)],
    };
    parts.join(", ")
}
