//! `lab list`: what there is to use, and what has been run. It must not load more than it shows.

use std::fs;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use config::schema::Presence;
use policy::{ParameterValue, Registry};
use scenario::Overrides;

use crate::cli::{ListArgs, ListWhat};
use crate::commands::load;
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};

/// Prints one list.
pub(crate) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    match args.what {
        ListWhat::Scenarios => scenarios(),
        ListWhat::Strategies => {
            strategies();
            Ok(())
        }
        ListWhat::Faults => {
            faults();
            Ok(())
        }
        ListWhat::Runs => runs(),
    }?;
    Ok(Exit::Good)
}

fn print(rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_rows(rows);
    for line in table.to_string().lines() {
        say!("{}", line.trim_end());
    }
}

fn scenarios() -> Result<(), Failure> {
    let folder = Path::new("scenarios");
    let mut rows = Vec::new();
    for path in entries(folder)? {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let question = match load::scenarios(&[&path], &Overrides::default()) {
            Ok(scenarios) => scenarios[0].question.clone(),
            Err(_) => format!("invalid: see lab validate {}", path.display()),
        };
        rows.push(vec![path.display().to_string(), question]);
    }
    print(rows);
    Ok(())
}

fn strategies() {
    let mut rows = Vec::new();
    for entry in Registry::standard().with_ideals().entries() {
        rows.push(vec![entry.name.to_owned(), entry.summary.to_owned()]);
        for parameter in entry.parameters {
            let default = match &parameter.default {
                ParameterValue::Duration(value) => format!("{value:?}"),
                other => other.to_string(),
            };
            rows.push(vec![
                format!("  {} = {default}", parameter.name),
                parameter.summary.to_owned(),
            ]);
        }
    }
    print(rows);
}

fn faults() {
    let mut rows = Vec::new();
    for (word, summary, keys) in scenario::fault_kinds() {
        rows.push(vec![word.to_owned(), summary.to_owned()]);
        for key in keys {
            let value = match key.presence {
                Presence::Default(value) => format!(" = {value}"),
                _ => String::new(),
            };
            rows.push(vec![format!("  {}{value}", key.name), key.summary.to_owned()]);
        }
    }
    print(rows);
}

fn runs() -> Result<(), Failure> {
    let folder = Path::new("reports");
    let mut rows = Vec::new();
    if !folder.exists() {
        tell!(
            "there are no runs yet: `lab run` writes them to reports/, in the folder it is started in"
        );
        return Ok(());
    }
    for scenario in entries(folder)? {
        for run in entries(&scenario).unwrap_or_default() {
            let Ok(text) = fs::read_to_string(run.join("summary.json")) else { continue };
            let Ok(summary) = serde_json::from_str::<record::Summary>(&text) else {
                rows.push(vec![run.display().to_string(), "summary.json is broken".into()]);
                continue;
            };
            let passed = summary.expectations.iter().filter(|e| e.passed).count();
            rows.push(vec![
                run.display().to_string(),
                summary.engine,
                summary.verdict,
                format!("{passed} of {} expectations hold", summary.expectations.len()),
            ]);
        }
    }
    print(rows);
    Ok(())
}

/// What lies in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::invalid(format!(
            "{}: {error}; start lab in the folder that holds scenarios/ and reports/",
            folder.display()
        ))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}
