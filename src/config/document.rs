//! A TOML text as a tree that remembers where everything stands. It must not know any key.
//!
//! Overrides are written into the same tree, so that whoever reads it needs no second way in; each
//! node's [`Origin`] says whether to blame a line of the file or an option of the command line.

use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::lines::Lines;
use crate::path::Path;
use crate::problem::{Place, Problem, sorted};
use crate::value::{quote, shown};

/// The largest text that is read, bytes: a backends.toml of 100,000 backends has some 20 MB.
pub const TEXT_BYTES: usize = 64 << 20;

/// How deep tables and arrays may nest; no configuration of the lab goes deeper than six.
const DEPTH: usize = 16;

/// Where a node comes from: what a message about it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A place in the file: line and column from 1, in characters.
    File {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// No file: an option of the command line, as given ("--set proxy.strategy=p2"), or the path
    /// of a value in a request's JSON ("retry.attempts").
    Option(Arc<str>),
}

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it comes from.
    pub origin: Origin,
    /// What it is.
    pub value: Value,
}

/// A value of TOML. Numbers keep their spelling, for messages and for the names of variants.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number; TOML's own range is that of `i64`, seeds need `u64`.
    Whole(i128, String),
    /// Any other number, which may be infinite or not a number.
    Number(f64, String),
    /// `true` or `false`.
    Flag(bool),
    /// A date or a time, which nothing here wants.
    Date(String),
    /// A list.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

/// A table: its entries in the order of the text.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// In the order of the text; keys are unique.
    pub entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub origin: Origin,
    /// Its value.
    pub node: Node,
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }
}

impl Node {
    /// A value given on the command line: TOML if it parses as such, else a string.
    pub fn from_option(written: &str, origin: &Origin) -> Self {
        let value = match DeValue::parse(written) {
            // A date is never wanted; `2026-01-01` is more likely meant as a name.
            Ok(value) if !matches!(value.get_ref(), DeValue::Datetime(_)) => {
                convert(value.get_ref(), value.span(), &Source::Option(written, origin), DEPTH)
            }
            _ => None,
        };
        let text = || Self { origin: origin.clone(), value: Value::Text(written.into()) };
        value.unwrap_or_else(text)
    }

    /// The table, if it is one.
    pub const fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as it would be written on one line, strings without their quotes: the name of a
    /// varied value.
    pub fn to_name(&self) -> String {
        self.as_text().map_or_else(|| self.to_toml(), str::to_string)
    }

    /// The value as TOML on one line.
    pub fn to_toml(&self) -> String {
        match &self.value {
            Value::Text(text) => quote(text),
            Value::Whole(_, written) | Value::Number(_, written) | Value::Date(written) => {
                written.clone()
            }
            Value::Flag(flag) => flag.to_string(),
            Value::Array(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(Self::to_toml).collect();
                format!("[{}]", nodes.join(", "))
            }
            Value::Table(table) => {
                let entry = |e: &Entry| format!("{} = {}", key_as_toml(&e.key), e.node.to_toml());
                let entries: Vec<String> = table.entries.iter().map(entry).collect();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }

    /// What stands there, for a message: the value when it is short, else what kind of thing it is.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Text(text) => shown(text),
            Value::Whole(_, written) | Value::Number(_, written) => {
                shown(written).trim_matches('"').to_string()
            }
            Value::Flag(flag) => flag.to_string(),
            Value::Date(_) => "a date".into(),
            Value::Array(_) => "a list".into(),
            Value::Table(_) => "a table".into(),
        }
    }
}

fn key_as_toml(key: &str) -> String {
    if crate::value::is_name(key) { key.to_string() } else { quote(key) }
}

/// A TOML text as a tree.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file as given.
    pub file: String,
    /// Its root table.
    pub root: Table,
}

impl Document {
    /// Reads a text; all errors of syntax at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let problem = |line, column, message| Problem {
            file: file.to_string(),
            place: Some((line, column)),
            message,
        };
        if text.len() > TEXT_BYTES {
            return Err(vec![problem(1, 1, format!("longer than {TEXT_BYTES} bytes"))]);
        }
        let lines = Lines::new(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let problems = errors.iter().map(|error| {
                let at = error.span().map_or(text.len(), |span| span.start);
                let (line, column) = lines.place(at);
                problem(line, column, syntax_message(error.message()))
            });
            return Err(sorted(problems.collect()));
        }
        let root = convert_table(table.get_ref(), &Source::File(text, &lines), DEPTH);
        let too_deep = || vec![problem(1, 1, format!("tables nest deeper than {DEPTH} levels"))];
        Ok(Self { file: file.to_string(), root: root.ok_or_else(too_deep)? })
    }

    /// Writes a value to a path of keys joined by dots; elements of a list are found by their
    /// `name` or their index. What is missing on the way is made, except elements of a list.
    pub fn set(&mut self, path: &str, node: Node, blame: &Origin) -> Result<(), Problem> {
        Path::parse(path)
            .and_then(|path| path.write(&mut self.root, node, blame))
            .map_err(|message| self.problem(blame, message))
    }

    /// A problem with something that comes from there.
    pub fn problem(&self, origin: &Origin, message: String) -> Problem {
        problem_at(&self.file, origin, message)
    }
}

/// A problem with something of this file that comes from there.
pub fn problem_at(file: &str, origin: &Origin, message: String) -> Problem {
    let (file, place): (&str, Option<Place>) = match origin {
        Origin::File { line, column } => (file, Some((*line, *column))),
        Origin::Option(option) => (option, None),
    };
    Problem { file: file.to_string(), place, message }
}

/// Where values come from while a parsed text is converted.
enum Source<'a> {
    File(&'a str, &'a Lines<'a>),
    Option(&'a str, &'a Origin),
}

impl Source<'_> {
    fn origin(&self, offset: usize) -> Origin {
        match self {
            Self::File(_, lines) => {
                let (line, column) = lines.place(offset);
                Origin::File { line, column }
            }
            Self::Option(_, origin) => (*origin).clone(),
        }
    }

    fn slice(&self, span: std::ops::Range<usize>) -> String {
        let (Self::File(text, _) | Self::Option(text, _)) = self;
        text.get(span).unwrap_or_default().to_string()
    }
}

/// `None` when it nests deeper than `depth`.
fn convert(
    value: &DeValue<'_>,
    span: std::ops::Range<usize>,
    source: &Source<'_>,
    depth: usize,
) -> Option<Node> {
    let depth = depth.checked_sub(1)?;
    let origin = source.origin(span.start);
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let written = source.slice(span);
            match i128::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(whole) => Value::Whole(whole, written),
                // Beyond 38 digits only "too large" is left to say about it.
                Err(_) => Value::Number(f64::INFINITY, written),
            }
        }
        DeValue::Float(float) => {
            // TOML's spellings are Rust's, but for the underscores that the parser took out.
            Value::Number(float.as_str().parse().unwrap_or(f64::NAN), source.slice(span))
        }
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(array) => Value::Array(
            array
                .iter()
                .map(|element| convert(element.get_ref(), element.span(), source, depth))
                .collect::<Option<_>>()?,
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, source, depth)?),
    };
    Some(Node { origin, value })
}

fn convert_table(table: &DeTable<'_>, source: &Source<'_>, depth: usize) -> Option<Table> {
    let mut entries: Vec<_> = table.iter().collect();
    // The parser sorts by key; the order of the text is the order of variants and of messages.
    entries.sort_by_key(|(key, _)| key.span().start);
    let entries = entries.into_iter().map(|(key, value)| {
        Some(Entry {
            key: key.get_ref().to_string(),
            origin: source.origin(key.span().start),
            node: convert(value.get_ref(), value.span(), source, depth)?,
        })
    });
    Some(Table { entries: entries.collect::<Option<_>>()? })
}

/// The parser's sentence with what helps most often.
fn syntax_message(message: &str) -> String {
    match message {
        "duplicate key" => "this key is already there: keep one of the two".into(),
        other => format!("not TOML: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        Document::parse("x.toml", text).expect("valid TOML")
    }

    #[test]
    fn every_node_knows_its_place() {
        let document = read("a = 1\n[t]\n  'ü' = [\"x\", 2.5]\n[[list]]\nk = true\n");
        let at = |line, column| Origin::File { line, column };
        let table = &document.root.entries[1];
        assert_eq!((table.key.as_str(), &table.origin), ("t", &at(2, 2)));
        let entry = &table.node.as_table().unwrap().entries[0];
        assert_eq!((entry.key.as_str(), &entry.origin), ("ü", &at(3, 3)));
        let Value::Array(nodes) = &entry.node.value else { panic!("a list") };
        assert_eq!(nodes[0].origin, at(3, 10));
        assert_eq!(nodes[1].origin, at(3, 15));
        let Value::Array(list) = &document.root.get("list").unwrap().value else {
            panic!("a list")
        };
        assert_eq!(list[0].origin, at(4, 1));
    }

    #[test]
    fn several_errors_of_syntax_are_found_at_once() {
        let problems = Document::parse("x.toml", "a = \nb = 1\nb = 2\nc = [1,\n").unwrap_err();
        let places: Vec<_> = problems.iter().filter_map(|p| p.place).map(|p| p.0).collect();
        assert!(places.contains(&1) && places.contains(&3), "{problems:?}");
        assert!(problems.len() >= 3, "{problems:?}");
    }

    #[test]
    fn values_of_options_are_toml_or_text() {
        let origin = Origin::Option("--set".into());
        for (written, shown) in [
            ("500ms", "\"500ms\""),
            ("5", "5"),
            ("0x1f", "0x1f"),
            ("2.5", "2.5"),
            ("true", "true"),
            ("p2c", "\"p2c\""),
            ("\"5\"", "\"5\""),
            ("2026-01-01", "\"2026-01-01\""),
            ("[1, 2]", "a list"),
            ("{ name = \"p2c\" }", "a table"),
            ("{ name = ", "\"{ name = \""),
            ("", "\"\""),
        ] {
            assert_eq!(Node::from_option(written, &origin).shown(), shown, "{written}");
        }
    }

    #[test]
    fn a_value_is_written_on_one_line() {
        let document = read("v = {b = 'x\"y', a = [1, 0x2],\n 'c.d' = 1_000.5 }");
        let value = document.root.get("v").unwrap();
        assert_eq!(value.to_toml(), "{ b = 'x\"y', a = [1, 0x2], \"c.d\" = 1_000.5 }");
        assert_eq!(read("v = 'p2c'").root.get("v").unwrap().to_name(), "p2c");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = format!("a = {}1{}", "[".repeat(60), "]".repeat(60));
        let message = &Document::parse("x.toml", &deep).unwrap_err()[0].message;
        assert_eq!(message, "tables nest deeper than 16 levels");
        // The worst that the parser's own two limits of 80 let through, on a test's small stack.
        let key = vec!["a"; 79].join(".");
        let worst = format!("{}1{}", format!("{{{key} = ").repeat(79), "}".repeat(79));
        assert!(Document::parse("x.toml", &format!("{key} = {worst}")).is_err());
        let beyond = format!("a = {}", "[".repeat(100_000));
        assert!(Document::parse("x.toml", &beyond).is_err());
        let dots = format!("{} = 1", vec!["a"; 100_000].join("."));
        assert!(Document::parse("x.toml", &dots).is_err());
    }
}
