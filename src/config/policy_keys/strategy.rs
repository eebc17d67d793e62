//! The key `strategy`: a name, or a table of its name and parameters. Which there are, and what
//! their values may be, only the registry knows.

use std::collections::BTreeMap;

use policy::settings::{Choice, ParameterValue};
use policy::{ChoiceError, Registry};

use super::written;
use crate::document::{Entry, Node, Table, Value};
use crate::reader::{ROOT, Reader, number_of};
use crate::schema::Kind;
use crate::value::{parse_duration, shown};

/// The most characters of a strategy's name that are looked at.
const NAME_CHARACTERS: usize = 64;

/// The most characters of a parameter that are looked at: more than any may have.
const PARAMETER_CHARACTERS: usize = 300;

pub(super) fn read(r: &Reader<'_>, registry: &Registry) -> Option<Choice> {
    let Some(node) = r.node("strategy") else {
        // The getter for texts says what is missing; it never sees a value here.
        return r.text("strategy").and(None);
    };
    match &node.value {
        Value::Text(name) => choose(r, node, name, &Table::default(), registry),
        Value::Table(table) => {
            let name = table.get("name").unwrap_or(node);
            let Some(text) = name.as_text() else {
                let wanted = Kind::Strategy.wanted();
                r.context().problem(
                    &name.origin,
                    format!("the name of a strategy is missing: write {wanted}"),
                );
                return None;
            };
            choose(r, name, text, table, registry)
        }
        _ => {
            let wanted = Kind::Strategy.wanted();
            r.problem("strategy", format!("strategy must be {wanted}, not {}", node.shown()));
            None
        }
    }
}

fn choose(
    r: &Reader<'_>,
    at: &Node,
    name: &str,
    table: &Table,
    registry: &Registry,
) -> Option<Choice> {
    let entry = registry.entries().iter().find(|entry| entry.name == name);
    let mut given = BTreeMap::new();
    let mut complete = true;
    for Entry { key, node, .. } in table.entries.iter().filter(|entry| entry.key != "name") {
        let declared = entry.and_then(|entry| entry.parameters.iter().find(|p| p.name == key));
        if let Some(value) = parameter(node, declared.map(|parameter| &parameter.default)) {
            given.insert(key.clone(), value);
        } else {
            complete = false;
            let message = format!(
                "{} must be a number, true, false, a duration or a text, not {}",
                shown(key),
                node.shown()
            );
            r.context().problem(&node.origin, message);
        }
    }
    let name: String = name.chars().take(NAME_CHARACTERS).collect();
    match registry.choose(&name, &given) {
        Ok(choice) => Some(choice).filter(|_| complete),
        Err(errors) => {
            for ChoiceError { parameter, message } in errors {
                let place = parameter.and_then(|name| table.get(&name)).unwrap_or(at);
                r.context().problem(&place.origin, one_line(&message));
            }
            None
        }
    }
}

/// The value of a strategy's parameter by its type in TOML and by that of its default, where it is
/// known: "1s" may be a duration or the name of a cookie. [`Registry::choose`] checks the rest.
fn parameter(node: &Node, default: Option<&ParameterValue>) -> Option<ParameterValue> {
    let is_text = matches!(default, Some(ParameterValue::Text(_) | ParameterValue::Key(_)));
    match &node.value {
        Value::Whole(whole, _) => i64::try_from(*whole).ok().map(ParameterValue::Integer),
        Value::Number(..) => number_of(node).map(ParameterValue::Number),
        Value::Flag(flag) => Some(ParameterValue::Flag(*flag)),
        Value::Text(text) => Some(match parse_duration(text) {
            Ok(duration) if !is_text => ParameterValue::Duration(duration),
            _ => {
                let text: String = text.chars().take(PARAMETER_CHARACTERS).collect();
                ParameterValue::Text(text.into())
            }
        }),
        _ => None,
    }
}

/// A message that quotes what was given, its line breaks and the like escaped.
fn one_line(message: &str) -> String {
    let mut line = String::new();
    for c in message.chars() {
        match c.is_control() {
            true => line.extend(c.escape_debug()),
            false => line.push(c),
        }
    }
    line
}

/// A table of the name and every parameter.
pub(super) fn write(choice: &Choice) -> Value {
    let value = |value: &ParameterValue| match value {
        ParameterValue::Integer(integer) => written::whole(*integer),
        ParameterValue::Number(number) => written::number(*number),
        ParameterValue::Flag(flag) => Value::Flag(*flag),
        ParameterValue::Duration(duration) => written::duration(*duration),
        ParameterValue::Key(_) | ParameterValue::Text(_) => written::text(value.to_string()),
    };
    let parameters = choice.parameters().iter();
    let parameters = parameters.map(|(name, given)| (name.as_str(), value(given)));
    written::table([("name", written::text(choice.name()))].into_iter().chain(parameters))
}

/// A strategy as the value of `strategy`: its name alone where there is nothing else to say.
pub fn strategy_to_toml(choice: &Choice) -> String {
    let value = match choice.parameters().is_empty() {
        true => written::text(choice.name()),
        false => write(choice),
    };
    Node { origin: ROOT, value }.to_toml()
}
