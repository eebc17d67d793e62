//! Reads a table by its [`Schema`] and collects everything that is wrong with it.
//! It must not know what the values are for.
//!
//! Every getter answers `None` after it has written down a problem; a decoder first reads all its
//! keys and then takes them apart, so that one wrong value hides no other.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use crate::document::{Node, Origin, Table, Value, problem_at};
use crate::problem::{Problem, sorted};
use crate::schema::{Key, Kind, Presence, Schema, Tagged};
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

    /// A text, a name, a path of a request or one of the key's words.
    pub fn text(&self, name: &str) -> Option<String> {
        self.read(name, |node, kind| {
            let text = node.as_text().ok_or_else(|| must_be(name, kind, node))?;
            let fits = match kind {
                Kind::Text(max) => !text.trim().is_empty() && text.chars().count() <= *max,
                Kind::Name => value::is_name(text),
                Kind::Target => is_target(text),
                Kind::Word(words) if words.contains(&text) => true,
                Kind::Word(words) => return Err(unknown(name, text, words.iter().copied())),
                _ => unreachable!("{name} is not declared as a text"),
            };
            if fits { Ok(text.to_string()) } else { Err(must_be(name, kind, node)) }
        })
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.read(name, |node, kind| match node.value {
            Value::Flag(flag) => Ok(flag),
            _ => Err(must_be(name, kind, node)),
        })
    }

    /// A whole number; `None` within for the word of [`Kind::WholeOr`].
    pub fn whole_or_word(&self, name: &str) -> Option<Option<u64>> {
        self.read(name, |node, kind| {
            let (min, max) = match kind {
                Kind::Whole { min, max } => (*min, *max),
                Kind::WholeOr { word, .. } if node.as_text() == Some(word) => return Ok(None),
                Kind::WholeOr { min, max, .. } => (*min, *max),
                _ => unreachable!("{name} is not declared as a whole number"),
            };
            whole_in(node, min, max).map(Some).ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// A whole number.
    pub fn whole(&self, name: &str) -> Option<u64> {
        self.whole_or_word(name).flatten()
    }

    /// A whole number whose declared limit fits 32 bits.
    pub fn whole_u32(&self, name: &str) -> Option<u32> {
        self.whole(name).map(|n| u32::try_from(n).expect("the key's declared limit fits 32 bits"))
    }

    /// A list of whole numbers.
    pub fn wholes(&self, name: &str) -> Option<Vec<u64>> {
        self.read(name, |node, kind| {
            let Kind::Wholes { min, max, count } = kind else {
                unreachable!("{name} is not declared as a list of whole numbers")
            };
            match &node.value {
                Value::Array(nodes) if nodes.len() <= *count => nodes
                    .iter()
                    .map(|node| whole_in(node, *min, *max))
                    .collect::<Option<_>>()
                    .ok_or_else(|| format!("{name} must be {}", kind.wanted())),
                _ => Err(must_be(name, kind, node)),
            }
        })
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.read(name, |node, kind| {
            let Kind::Number { min, above, max } = kind else {
                unreachable!("{name} is not declared as a number")
            };
            let fits = |n: &f64| n <= max && if *above { n > min } else { n >= min };
            number_of(node).filter(fits).ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// A duration; `None` within for "off".
    pub fn duration_or_off(&self, name: &str) -> Option<Option<Duration>> {
        self.read(name, |node, kind| match (kind, node.as_text()) {
            (Kind::DurationOrOff, Some("off")) => Ok(None),
            (Kind::DurationOrOff | Kind::Duration { .. }, Some(text)) => {
                let duration = value::parse_duration(text)
                    .map_err(|message| format!("{name} = {} is {message}", value::shown(text)))?;
                let zero = matches!(kind, Kind::Duration { zero: true });
                if duration.is_zero() && !zero {
                    return Err(must_be(name, kind, node));
                }
                Ok(Some(duration))
            }
            _ => Err(must_be(name, kind, node)),
        })
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.duration_or_off(name).flatten()
    }

    /// A duration in seconds, not rounded to nanoseconds.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        // The getter for durations checks it and writes down what is wrong.
        self.duration(name)?;
        value::parse_seconds(self.table.get(name)?.as_text()?).ok()
    }

    /// A size in bytes.
    pub fn size(&self, name: &str) -> Option<u32> {
        self.read(name, |node, kind| {
            let Kind::Size(max) = kind else { unreachable!("{name} is not declared as a size") };
            let bytes =
                match node.as_text() {
                    Some(text) => Some(value::parse_size(text).map_err(|message| {
                        format!("{name} = {} is {message}", value::shown(text))
                    })?),
                    None => whole_in(node, 0, u64::MAX),
                };
            let fits = bytes.filter(|bytes| bytes <= max).and_then(|bytes| bytes.try_into().ok());
            fits.ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// An address and a port.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.read(name, |node, kind| {
            let address = node.as_text().and_then(|text| text.parse().ok());
            address.ok_or_else(|| must_be(name, kind, node))
        })
    }

    /// A table of its own; `None` when it is absent or no table.
    pub fn table(&self, name: &str) -> Option<Self> {
        self.read(name, |node, kind| {
            let Kind::Table(schema) = kind else { unreachable!("{name} is not declared a table") };
            let table = self.table.get(name).and_then(Node::as_table);
            let table = table.ok_or_else(|| must_be(name, kind, node))?;
            Ok(Self::new(self.context, table, node.origin.clone(), schema))
        })
    }

    /// A table that is read as if it were there and empty when it is not.
    pub fn table_or_empty(&self, name: &str) -> Option<Self> {
        const EMPTY: &Table = &Table { entries: Vec::new() };
        if self.has(name) {
            return self.table(name);
        }
        let Kind::Table(schema) = self.key(name).kind else {
            unreachable!("{name} is not declared as a table")
        };
        Some(Self::new(self.context, EMPTY, self.origin.clone(), schema))
    }

    /// A list of tables; `None` when it is no such list, empty when it is absent.
    pub fn tables(&self, name: &str) -> Option<Vec<Self>> {
        let Kind::Tables(schema) = self.key(name).kind else {
            unreachable!("{name} is not declared as a list of tables")
        };
        let tables = self.list(name)?.into_iter();
        let read = |(table, origin)| Self::new(self.context, table, origin, schema);
        Some(tables.map(read).collect())
    }

    /// A table whose keys depend on a word of it; `None` when the word is not known.
    pub fn tagged(&self, name: &str) -> Option<(&'static str, Self)> {
        self.read(name, |node, kind| {
            let Kind::Tagged(tagged) = kind else { unreachable!("{name} is not declared tagged") };
            let table = self.table.get(name).and_then(Node::as_table);
            let table = table.ok_or_else(|| must_be(name, kind, node))?;
            Ok(self.case(tagged, table, &node.origin))
        })
        .flatten()
    }

    /// A list of such tables, those of a known word.
    pub fn tagged_list(&self, name: &str) -> Option<Vec<(&'static str, Self)>> {
        let Kind::TaggedList(tagged) = self.key(name).kind else {
            unreachable!("{name} is not declared as a list of tagged tables")
        };
        let tables = self.list(name)?.into_iter();
        Some(tables.filter_map(|(table, origin)| self.case(tagged, table, &origin)).collect())
    }

    /// The tables of a list, each with its origin.
    fn list(&self, name: &str) -> Option<Vec<(&'a Table, Origin)>> {
        let found = self.read(name, |node, kind| {
            let wrong = || must_be(name, kind, node);
            // The node is the table's own, or its default, which no list of tables has.
            let node = self.table.get(name).ok_or_else(wrong)?;
            let Value::Array(nodes) = &node.value else { return Err(wrong()) };
            nodes
                .iter()
                .map(|node| Some((node.as_table()?, node.origin.clone())))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(wrong)
        });
        found.or_else(|| (!self.has(name)).then(Vec::new))
    }

    fn case(
        &self,
        tagged: &'static Tagged,
        table: &'a Table,
        origin: &Origin,
    ) -> Option<(&'static str, Self)> {
        let (tag, title) = (tagged.tag, tagged.title);
        let Some(node) = table.get(tag) else {
            let words = list(tagged.words());
            self.context.problem(origin, format!("{title} needs {tag}; one of {words}"));
            return None;
        };
        let text = node.as_text().unwrap_or_default();
        let Some((word, schema)) = tagged.cases.iter().find(|(word, _)| *word == text) else {
            let message = match node.as_text() {
                Some(text) => unknown(tag, text, tagged.words()),
                None => {
                    format!("{tag} must be one of {}, not {}", list(tagged.words()), node.shown())
                }
            };
            self.context.problem(&node.origin, message);
            return None;
        };
        Some((word, Self::with_tag(self.context, table, origin.clone(), schema, Some(tag))))
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
        (Kind::Whole { .. } | Kind::Number { .. } | Kind::Flag, Value::Text(text))
            if text.parse::<f64>().is_ok() || text == "true" || text == "false" =>
        {
            ": write it without quotes"
        }
        _ => "",
    };
    format!("{name} must be {}, not {}{hint}", kind.wanted(), node.shown())
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

/// The most characters of a request's path.
const TARGET_CHARACTERS: usize = 2048;

/// What may stand in a request line between its two spaces.
fn is_target(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= TARGET_CHARACTERS
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}
