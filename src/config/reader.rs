//! Reads a table by its [`Schema`] and collects everything that is wrong with it.
//! It must not know what the values are for.
//!
//! Every getter answers `None` after it has written down a problem; a decoder first reads all its
//! keys and then takes them apart, so that one wrong value hides no other.

mod lists;
mod scalars;
mod tables;

use std::cell::RefCell;

use crate::document::{Node, Origin, Table, Value, problem_at};
use crate::problem::{Problem, sorted};
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value;

/// What all readers of a text share.
pub struct Context<'a> {
    file: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Context<'a> {
    /// For the text of this file.
    pub const fn new(file: &'a str) -> Self {
        Self { file, problems: RefCell::new(Vec::new()) }
    }

    /// Writes down a problem with something that comes from there.
    pub fn problem(&self, origin: &Origin, message: impl Into<String>) {
        self.problems.borrow_mut().push(problem_at(self.file, origin, message.into()));
    }

    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// The problems as they were found.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// `made` if nothing was wrong, else all that was.
    pub fn finish<T>(self, made: Option<T>) -> Result<T, Vec<Problem>> {
        match (made, self.is_clean()) {
            (Some(made), true) => Ok(made),
            _ => Err(sorted(self.into_problems())),
        }
    }
}

/// Where the root table of a text stands.
pub const ROOT: Origin = Origin::File { line: 1, column: 1 };

/// A table that is being read.
pub struct Reader<'a> {
    context: &'a Context<'a>,
    table: &'a Table,
    /// Whom to blame for what is missing.
    origin: Origin,
    schema: &'static Schema,
    /// The key that chose the schema, in a tagged table.
    tag: Option<&'static str>,
}

impl<'a> Reader<'a> {
    /// Reads a table; unknown keys are written down at once.
    pub fn new(
        context: &'a Context<'a>,
        table: &'a Table,
        origin: Origin,
        schema: &'static Schema,
    ) -> Self {
        Self::with_tag(context, table, origin, schema, None)
    }

    fn with_tag(
        context: &'a Context<'a>,
        table: &'a Table,
        origin: Origin,
        schema: &'static Schema,
        tag: Option<&'static str>,
    ) -> Self {
        let reader = Self { context, table, origin, schema, tag };
        for entry in &table.entries {
            if !reader.names().any(|name| name == entry.key) {
                context.problem(&entry.origin, reader.unknown_key(&entry.key));
            }
        }
        reader
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.tag.into_iter().chain(self.schema.keys().map(|key| key.name))
    }

    fn unknown_key(&self, key: &str) -> String {
        let help = match value::nearest(key, self.names()) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("there is {}", list(self.names())),
        };
        format!("unknown key {} in {}; {help}", value::shown(key), self.schema.title)
    }

    /// What all readers of this text share.
    pub const fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// Where the table stands.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Writes down a problem with the value of a key (with the table when the key is not there).
    pub fn problem(&self, name: &str, message: impl Into<String>) {
        let origin = self.table.get(name).map_or(&self.origin, |node| &node.origin);
        self.context.problem(origin, message);
    }

    /// Whether the key is written there.
    pub fn has(&self, name: &str) -> bool {
        self.table.get(name).is_some()
    }

    /// The value of a key as it stands there.
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.table.get(name)
    }

    fn key(&self, name: &str) -> &'static Key {
        let found = self.schema.keys().find(|key| key.name == name);
        found.unwrap_or_else(|| panic!("{} declares no key {name}", self.schema.title))
    }

    /// Reads a key by `f`, which answers with a value or with the end of "`key` …".
    fn read<T>(
        &self,
        name: &str,
        f: impl FnOnce(&Node, &'static Kind) -> Result<T, String>,
    ) -> Option<T> {
        let key = self.key(name);
        let default;
        let node = match (self.table.get(name), &key.presence) {
            (Some(node), _) => node,
            (None, Presence::Default(text)) => {
                default = Node::from_option(text, &self.origin);
                &default
            }
            (None, Presence::Required(example)) => {
                let title = self.schema.title;
                let message = match &key.kind {
                    Kind::Table(schema) => format!("{title} needs {}", schema.title),
                    Kind::Tables(schema) => {
                        format!("{title} needs {}: write at least one", schema.title)
                    }
                    _ => format!("{title} needs {name}: write {name} = {example}"),
                };
                self.context.problem(&self.origin, message);
                return None;
            }
            (None, Presence::Absent(_)) => return None,
        };
        match f(node, &key.kind) {
            Ok(value) => Some(value),
            Err(message) => {
                self.context.problem(&node.origin, message);
                None
            }
        }
    }
}

fn list<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// `unknown kind "crsh"; one of crash, hang`.
fn unknown<'w>(name: &str, word: &str, words: impl Iterator<Item = &'w str>) -> String {
    format!("unknown {name} {}; one of {}", value::shown(word), list(words))
}

fn must_be(name: &str, kind: &Kind, node: &Node) -> String {
    let hint = match (kind, &node.value) {
        (Kind::Duration { .. } | Kind::DurationOrOff, Value::Whole(..) | Value::Number(..)) => {
            ": write the unit"
        }
        (
            Kind::Whole { .. }
            | Kind::WholeOr { .. }
            | Kind::Number { .. }
            | Kind::NumberOrOff { .. }
            | Kind::Flag,
            Value::Text(text),
        ) if text.parse::<f64>().is_ok() || text == "true" || text == "false" => {
            ": write it without quotes"
        }
        _ => "",
    };
    let found = match (kind, node.as_text()) {
        // Messages end up in logs and tickets, where no secret belongs, not even a wrong one.
        (Kind::Secret { .. }, Some(text)) => format!("{} characters", text.chars().count()),
        (Kind::Secret { .. }, None) => "a value that is no text".into(),
        _ => node.shown(),
    };
    format!("{name} must be {}, not {found}{hint}", kind.wanted())
}

fn whole_in(node: &Node, min: u64, max: u64) -> Option<u64> {
    match node.value {
        Value::Whole(whole, _) => u64::try_from(whole).ok().filter(|n| (min..=max).contains(n)),
        _ => None,
    }
}

/// A finite number, whole or not.
pub fn number_of(node: &Node) -> Option<f64> {
    match node.value {
        Value::Whole(whole, _) => Some(whole as f64),
        Value::Number(number, _) => Some(number).filter(|n| n.is_finite()),
        _ => None,
    }
}
