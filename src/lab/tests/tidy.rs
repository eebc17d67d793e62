//! What a machine can check of the tree's shape: floors, opening lines, lengths, left-overs, names
//! in the wrong room. Each check is a function of text, tested on a bad sample first.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up (ARCHITECTURE.md): a crate may use those on lower floors only.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["policy", "workload"],
    &["record", "config"],
    &["scenario", "report", "import"],
    &["sim", "proxy", "fakebackends"],
    &["live", "theory"],
    &["lab"],
];

/// Crates whose imports are narrower than their floor: the manifest is the proof.
const EXACT: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("policy", &["base"]),
    ("workload", &["base"]),
    ("record", &["base"]),
    ("report", &["base", "record"]),
    ("import", &["record"]),
    ("proxy", &["base", "policy", "config"]),
    ("fakebackends", &["base", "workload", "config"]),
    ("sim", &["base", "policy", "workload", "record", "scenario"]),
];

/// "Near or below 400": beyond this a file holds two nouns.
const MAX_FILE_LINES: usize = 450;
/// "Near or below 70": beyond this a function does two things.
const MAX_FUNCTION_LINES: usize = 80;
/// Crates that must name no strategy: they call whichever the settings hold.
const STRATEGY_BLIND: &[&str] = &["src/proxy", "src/sim", "src/live"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root exists")
}

fn folder_of(name: &str) -> PathBuf {
    let top = root();
    if name == "fakebackends" { top.join(name) } else { top.join("src").join(name) }
}

/// Every Rust file of the tree, with its path from the root.
fn rust_files() -> Vec<(String, String)> {
    let top = root();
    let mut found = Vec::new();
    let mut open = vec![top.join("src"), top.join("fakebackends")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the tree") {
            let path = entry.expect("an entry of the tree").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&top).expect("below the root");
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((name.display().to_string(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 30, "the tree was not found");
    found
}

fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn over_all_files(check: impl Fn(&str, &str) -> Vec<String>) {
    none(rust_files().iter().flat_map(|(name, text)| check(name, text)).collect());
}

// --- floors ---------------------------------------------------------------------------------

fn imports(manifest: &str) -> Vec<String> {
    let table: toml::Table = manifest.parse().expect("a manifest");
    let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
    let ours = FLOORS.concat();
    dependencies
        .map(|table| table.keys().filter(|key| ours.contains(&key.as_str())).cloned().collect())
        .unwrap_or_default()
}

fn floor(name: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&name)).expect("a crate of the list")
}

fn floor_complaints(name: &str, manifest: &str) -> Vec<String> {
    let imports = imports(manifest);
    let mut complaints = Vec::new();
    for import in &imports {
        if floor(import) >= floor(name) {
            complaints.push(format!("{name} imports {import}, which is not on a lower floor"));
        }
    }
    if let Some((_, allowed)) = EXACT.iter().find(|(exact, _)| *exact == name) {
        for import in imports.iter().filter(|import| !allowed.contains(&import.as_str())) {
            complaints.push(format!("{name} must not know {import} (invariants)"));
        }
    }
    complaints
}

#[test]
fn imports_point_strictly_downward() {
    let bad = "[dependencies]\nlive.workspace = true\n";
    assert_eq!(floor_complaints("policy", bad).len(), 2);
    let complaints = FLOORS.concat().into_iter().flat_map(|name| {
        let manifest = fs::read_to_string(folder_of(name).join("Cargo.toml")).expect("a manifest");
        floor_complaints(name, &manifest)
    });
    none(complaints.collect());
}

#[test]
fn the_workspace_lists_exactly_the_crates_of_the_floors() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let table: toml::Table = manifest.parse().expect("a manifest");
    let mut members: Vec<&str> = table["workspace"]["members"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|member| member.as_str()?.rsplit('/').next())
        .collect();
    let mut floors = FLOORS.concat();
    members.sort_unstable();
    floors.sort_unstable();
    assert_eq!(members, floors);
}

// --- files ----------------------------------------------------------------------------------

fn opening(name: &str, text: &str) -> Vec<String> {
    if text.starts_with("//! ") {
        return vec![];
    }
    vec![format!("{name}:1: open with `//!`: what the file is, and what it must not know")]
}

#[test]
fn every_file_says_what_it_is() {
    assert_eq!(opening("x.rs", "use std::fs;\n").len(), 1);
    over_all_files(opening);
}

fn length(name: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if lines <= MAX_FILE_LINES {
        return vec![];
    }
    vec![format!("{name}: {lines} lines, more than {MAX_FILE_LINES}: it holds two nouns, split it")]
}

#[test]
fn no_file_is_long() {
    assert_eq!(length("x.rs", &"\n".repeat(MAX_FILE_LINES + 1)).len(), 1);
    over_all_files(length);
}

/// The functions of a formatted file: name, first line, number of lines. rustfmt puts the closing
/// brace on a line of its own at the indentation of `fn`.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let Some(at) = line.find("fn ") else { continue };
        let before = line[..at].trim();
        let words =
            ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""];
        if !before.split_whitespace().all(|word| words.contains(&word)) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        // A declaration without a body ends before any brace opens.
        let signature = lines[first..].iter().find(|line| line.contains(['{', ';']));
        if signature.is_none_or(|line| line.trim_end().ends_with(';')) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let body = lines[first..].iter().position(|line| *line == close);
        let name = line[at + 3..].split(['(', '<']).next().unwrap_or_default();
        if let Some(body) = body {
            found.push((name.to_owned(), first + 1, body + 1));
        }
    }
    found
}

fn long_functions(name: &str, text: &str) -> Vec<String> {
    functions(text)
        .into_iter()
        .filter(|(_, _, lines)| *lines > MAX_FUNCTION_LINES)
        .map(|(function, line, lines)| {
            format!(
                "{name}:{line}: fn {function} has {lines} lines, more than {MAX_FUNCTION_LINES}"
            )
        })
        .collect()
}

#[test]
fn no_function_is_long() {
    let bad = format!("fn f() {{\n{}}}\n", "    x();\n".repeat(MAX_FUNCTION_LINES));
    assert_eq!(long_functions("x.rs", &bad).len(), 1);
    // A test's table may be as long as its cases.
    over_all_files(|name, text| {
        let test = name.contains("/tests/") || name.ends_with("/tests.rs");
        if test { vec![] } else { long_functions(name, without_tests(text)) }
    });
}

fn left_overs(name: &str, text: &str) -> Vec<String> {
    // Written in two halves, or this file would find itself.
    let banned = [
        (concat!("todo", "!("), "finish it"),
        (concat!("unimple", "mented!("), "finish it"),
        (concat!("dbg", "!("), "take it out"),
        (concat!("FIX", "ME"), "mend it, or write an issue"),
        (concat!("XX", "X"), "mend it, or write an issue"),
        (concat!("under ", "construction"), "build it"),
        (concat!("/wo", "rk/"), "no machine's path belongs in the tree"),
        (concat!("/ro", "ot/"), "no machine's path belongs in the tree"),
    ];
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, remedy) in banned {
            if line.contains(word) {
                complaints.push(format!("{name}:{}: {word} – {remedy}", number + 1));
            }
        }
    }
    complaints
}

#[test]
fn nothing_is_left_over() {
    assert_eq!(left_overs("x.rs", concat!("    todo", "!()\n")).len(), 1);
    over_all_files(left_overs);
}

// --- rooms ----------------------------------------------------------------------------------

/// The part of a file that is not a test module.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn strategies_named(name: &str, text: &str) -> Vec<String> {
    let registry = policy::Registry::standard().with_ideals();
    let mut complaints = Vec::new();
    for entry in registry.entries() {
        let words = [format!("\"{}\"", entry.name), format!("strategy::{}", entry.name)];
        if words.iter().any(|word| without_tests(text).contains(word.as_str())) {
            complaints.push(format!(
                "{name}: names the strategy {}; only policy may, everyone else gets a Choice",
                entry.name
            ));
        }
    }
    complaints
}

#[test]
fn no_strategy_is_named_outside_policy() {
    assert!(!strategies_named("x.rs", "if name == \"p2c\" {").is_empty());
    over_all_files(|name, text| {
        let blind = STRATEGY_BLIND.iter().any(|folder| name.starts_with(folder));
        if blind && !name.contains("/tests/") { strategies_named(name, text) } else { vec![] }
    });
}

#[test]
fn every_scenario_stands_in_the_list_of_scenarios() {
    let folder = root().join("scenarios");
    let list = fs::read_to_string(folder.join("README.md")).expect("scenarios/README.md");
    let mut missing = Vec::new();
    for entry in fs::read_dir(&folder).expect("scenarios/") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !list.contains(&name) {
            missing.push(format!("scenarios/README.md does not list {name}"));
        }
    }
    none(missing);
}

#[test]
fn every_strategy_stands_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let registry = policy::Registry::standard().with_ideals();
    let missing = registry.entries().iter().filter(|entry| !readme.contains(entry.name));
    none(missing.map(|entry| format!("README.md does not name {}", entry.name)).collect());
}

/// Dependencies from elsewhere that have no reason beside them.
fn unexplained(manifest: &str) -> Vec<String> {
    let own = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let own = own.split("\n[").next().unwrap_or_default();
    let lines = own.lines().filter(|line| line.contains(" = ") && !line.contains("path = "));
    let silent = lines.filter(|line| !line.contains(" # "));
    silent.map(|line| format!("Cargo.toml: {line}: say why, beside it")).collect()
}

#[test]
fn every_dependency_has_a_reason() {
    assert_eq!(unexplained("[workspace.dependencies]\nleft-pad = \"1\"\n").len(), 1);
    none(unexplained(&fs::read_to_string(root().join("Cargo.toml")).expect("the manifest")));
}

/// Dependencies of a crate that its source never names.
fn unused(name: &str, manifest: &str, source: &str) -> Vec<String> {
    let table: toml::Table = manifest.parse().expect("a manifest");
    let mut complaints = Vec::new();
    for kind in ["dependencies", "dev-dependencies"] {
        for dependency in table.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
            let word = dependency.0.replace('-', "_");
            if ![format!("{word}::"), format!("use {word}")].iter().any(|w| source.contains(w)) {
                complaints.push(format!("{name}/Cargo.toml: {word} is not used"));
            }
        }
    }
    complaints
}

#[test]
fn every_dependency_is_used() {
    assert_eq!(unused("x", "[dependencies]\nleft-pad = \"1\"\n", "use std::fs;").len(), 1);
    let files = rust_files();
    let complaints = FLOORS.concat().into_iter().flat_map(|name| {
        let folder = folder_of(name);
        let prefix = if name == "fakebackends" { "fakebackends/" } else { &format!("src/{name}/") };
        let mine = files.iter().filter(|(path, _)| path.starts_with(prefix));
        let source: String = mine.map(|(_, text)| text.as_str()).collect();
        unused(name, &fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest"), &source)
    });
    none(complaints.collect());
}

#[test]
fn the_lock_file_names_only_the_public_index() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let strange = lock.lines().filter(|line| line.starts_with("source = ") && *line != public);
    none(strange.map(|line| format!("Cargo.lock: {line}")).collect());
}
