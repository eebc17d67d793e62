//! Settings as the tree that is read, and that tree as TOML: one writer for proxy.toml and the admin
//! API. It must not know any key.

use std::time::Duration;

use crate::backends::push;
use crate::document::{Entry, Node, Table, Value};
use crate::reader::ROOT;
use crate::value::format_duration;

pub(super) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

pub(super) fn whole(whole: impl Into<i128>) -> Value {
    let whole = whole.into();
    Value::Whole(whole, whole.to_string())
}

/// With as many digits as it takes to read the same number back.
pub(super) fn number(number: f64) -> Value {
    Value::Number(number, format!("{number:?}"))
}

pub(super) fn duration(duration: Duration) -> Value {
    text(format_duration(duration))
}

/// "off" when there is none.
pub(super) fn or_off<T>(value: Option<T>, write: impl Fn(T) -> Value) -> Value {
    value.map_or_else(|| text("off"), write)
}

pub(super) fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().map(node).collect())
}

pub(super) fn table<'k>(given: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    Value::Table(entries(given))
}

pub(super) fn entries<'k>(given: impl IntoIterator<Item = (&'k str, Value)>) -> Table {
    let entry =
        |(key, value): (&str, _)| Entry { key: key.to_string(), origin: ROOT, node: node(value) };
    Table { entries: given.into_iter().map(entry).collect() }
}

const fn node(value: Value) -> Node {
    Node { origin: ROOT, value }
}

/// A table under its header, those within it behind it under their own.
pub(super) fn push_table(text: &mut String, title: &str, table: &Table) {
    text.push_str(&format!("\n[{title}]\n"));
    for entry in &table.entries {
        if entry.node.as_table().is_none() {
            push(text, &entry.key, &entry.node.to_toml());
        }
    }
    for entry in &table.entries {
        if let Value::Table(inner) = &entry.node.value {
            push_table(text, &format!("{title}.{}", entry.key), inner);
        }
    }
}
