//! Settings as JSON, and changes to them as the admin API gets them: a JSON Merge Patch (RFC 7396)
//! of that JSON. It must not know the keys: what comes out of a merge is read like a file.

use std::sync::Arc;

use policy::{Registry, Settings};
use serde_json::{Map, Value as Json};

use super::timeout::TIMEOUT_ALONE;
use super::{POLICY_KEYS, read, write, written};
use crate::document::{Entry, Node, Origin, Table, Value};
use crate::reader::{Context, ROOT, Reader};
use crate::reference;
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::{is_name, shown};

/// The tree that a patch changes.
static SETTINGS: Schema = Schema {
    title: "the settings",
    summary: "How a balancer decides.",
    groups: &[POLICY_KEYS, &[TIMEOUT_ALONE]],
};

/// The JSON Schema of what [`settings_to_json`] gives.
pub fn settings_schema() -> Json {
    reference::shown_schema(&SETTINGS)
}

/// The JSON Schema of what [`patch`] takes.
pub fn patch_schema() -> Json {
    reference::patch_schema(&SETTINGS)
}

/// These settings in the keys of proxy.toml, every value written out; what is off is null. The
/// strategy is always a table. As a [`patch`] it makes any settings these.
pub fn settings_to_json(settings: &Settings) -> Json {
    complete(&SETTINGS, &write(settings))
}

/// A table with every key that its schema has: null stands for those that are not written.
fn complete(schema: &'static Schema, table: &Table) -> Json {
    let value = |key: &'static Key| match (table.get(key.name).map(|n| &n.value), &key.kind) {
        (Some(Value::Table(inner)), Kind::Table(schema)) => complete(schema, inner),
        (Some(value), _) => to_json(value),
        (None, _) => Json::Null,
    };
    schema.keys().map(|key| (key.name.to_string(), value(key))).collect()
}

/// A value as JSON.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Text(text) | Value::Date(text) => text.clone().into(),
        Value::Whole(whole, _) => i64::try_from(*whole)
            .map(Json::from)
            .or_else(|_| u64::try_from(*whole).map(Json::from))
            .unwrap_or(Json::Null),
        Value::Number(number, _) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
        Value::Array(nodes) => nodes.iter().map(|node| to_json(&node.value)).collect(),
        Value::Table(table) => {
            let entries = table.entries.iter();
            entries.map(|entry| (entry.key.clone(), to_json(&entry.node.value))).collect()
        }
    }
}

/// `current`, changed by a JSON object in the shape of proxy.toml's tables:
/// `{"retry": {"attempts": 3}, "ejection": {}, "queue": null}`.
///
/// A table is merged over its current values, or over the defaults when it was off, so that `{}`
/// turns it on; null turns it off, and gives a single key its default back. A strategy with its
/// name stands for itself, a table of parameters without one changes those of the current strategy.
///
/// # Errors
/// All problems, each with the path of its value: "retry.attempts: attempts must be …".
pub fn patch(
    current: &Settings,
    patch: &Json,
    registry: &Registry,
) -> Result<Settings, Vec<String>> {
    let Json::Object(patch) = patch else {
        let shown = convert(patch, "").shown();
        let example = r#"{"retry": {"attempts": 3}}"#;
        return Err(vec![format!("a change must be an object such as {example}, not {shown}")]);
    };
    let mut table = write(current);
    merge(&mut table, patch, "");
    // A merge leaves out what is null; a misspelt key must not pass for one that is off.
    for (key, _) in patch.iter().filter(|(_, value)| value.is_null()) {
        if SETTINGS.keys().all(|known| known.name != key) {
            let node = convert(&Json::Null, "");
            table.entries.push(Entry { key: key.clone(), origin: ROOT, node });
        }
    }
    for entry in &mut table.entries {
        let path = below("", &entry.key);
        name_places(&mut entry.node, &path);
        entry.origin = place(&path);
    }
    let context = Context::new("");
    for key in SETTINGS.keys().filter(|key| matches!(key.presence, Presence::Required(_))) {
        if patch.get(key.name).is_some_and(Json::is_null) {
            let wanted = key.kind.wanted();
            context
                .problem(&place(key.name), format!("{} cannot be off: write {wanted}", key.name));
        }
    }
    if !context.is_clean() {
        return Err(context.into_problems().iter().map(ToString::to_string).collect());
    }
    let made = read(&Reader::new(&context, &table, ROOT, &SETTINGS), registry);
    context.finish(made).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Merges `patch` over a table that stands at `path`.
fn merge(table: &mut Table, patch: &Map<String, Json>, path: &str) {
    for (key, given) in patch {
        let path = below(path, key);
        let there = table.get_mut(key);
        match (given, there.map(|node| &mut node.value)) {
            (Json::Null, _) => drop(table.remove(key)),
            (Json::Object(inner), Some(Value::Table(table)))
                // Another strategy's parameters are none of this one's.
                if path != "strategy" || !inner.contains_key("name") =>
            {
                merge(table, inner, &path);
            }
            (given, Some(value)) => *value = convert(given, &path).value,
            (given, None) => {
                let node = convert(given, &path);
                table.entries.push(Entry { key: key.clone(), origin: ROOT, node });
            }
        }
    }
}

/// A value that stands at `path`; a null within takes its key away, as it does in a merge.
fn convert(json: &Json, path: &str) -> Node {
    let value = match json {
        // Only in a list or as the whole patch. TOML has no null; a number that is none is
        // wanted nowhere either, and messages show how it was written.
        Json::Null => Value::Number(f64::NAN, "null".into()),
        Json::Bool(flag) => Value::Flag(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => written::whole(whole),
            (None, Some(whole)) => written::whole(whole),
            (None, None) => written::number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => written::text(text),
        Json::Array(values) => {
            Value::Array(values.iter().map(|value| convert(value, path)).collect())
        }
        Json::Object(map) => {
            let mut table = Table::default();
            merge(&mut table, map, path);
            Value::Table(table)
        }
    };
    Node { origin: ROOT, value }
}

/// Gives every node its path as its place; elements of a list have that of the list.
fn name_places(node: &mut Node, path: &str) {
    node.origin = place(path);
    match &mut node.value {
        Value::Table(table) => {
            for entry in &mut table.entries {
                let path = below(path, &entry.key);
                entry.origin = place(&path);
                name_places(&mut entry.node, &path);
            }
        }
        Value::Array(nodes) => nodes.iter_mut().for_each(|node| node.origin = place(path)),
        _ => {}
    }
}

fn below(path: &str, key: &str) -> String {
    // A key that cannot be a known one may be anything, and of any length.
    let key = if is_name(key) { key.to_string() } else { shown(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

fn place(path: &str) -> Origin {
    Origin::Option(Arc::from(path))
}
