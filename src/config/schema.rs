//! What a table's keys are: declared once, read by the decoder, the reference page and the JSON
//! Schema. It must not know what the values are for.

use policy::settings::KeySource;

/// The keys of a table.
#[derive(Debug)]
pub struct Schema {
    /// As messages and the reference call it: "[proxy.health]".
    pub title: &'static str,
    /// One line on what the table is for.
    pub summary: &'static str,
    /// Its keys in groups, which tables can share, in the order of the reference.
    pub groups: &'static [&'static [Key]],
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// Whether it must be there, and what it is if not.
    pub presence: Presence,
    /// One line on what it does.
    pub summary: &'static str,
}

/// Whether a key must be there.
#[derive(Debug)]
pub enum Presence {
    /// It must; with an example of a value, as TOML.
    Required(&'static str),
    /// The value that it has otherwise, written like a value on the command line.
    Default(&'static str),
    /// What its absence means, in words.
    Absent(&'static str),
}

/// What a value may be.
#[derive(Debug)]
pub enum Kind {
    /// Text that is not empty and not longer than so many characters.
    Text(usize),
    /// Letters, digits, `-` and `_`.
    Name,
    /// The path of a request.
    Target,
    /// The path of a file.
    File,
    /// Visible ASCII without spaces, which no message shows.
    Secret {
        /// The fewest characters.
        min: usize,
        /// The most.
        max: usize,
    },
    /// What a request is recognised by: "address", "path", "header:NAME", "cookie:NAME".
    KeySource,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Any number.
    Number {
        /// The smallest …
        min: f64,
        /// … which itself may be excluded.
        above: bool,
        /// The largest.
        max: f64,
    },
    /// Any number, or "off".
    NumberOrOff {
        /// The smallest …
        min: f64,
        /// … which itself may be excluded.
        above: bool,
        /// The largest.
        max: f64,
    },
    /// A duration; zero only where it says so.
    Duration {
        /// Whether it may be zero.
        zero: bool,
    },
    /// A duration above zero, or "off".
    DurationOrOff,
    /// A whole number, or one word.
    WholeOr {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
        /// The word.
        word: &'static str,
    },
    /// Bytes: a whole number, or text such as "64KiB"; at most so many.
    Size(u64),
    /// Address and port, "127.0.0.1:8080".
    Address,
    /// A list of whole numbers.
    Wholes {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
        /// How many there may be.
        count: usize,
    },
    /// A list of statuses of HTTP and of ranges of them such as "200-299"; one to so many.
    Statuses(usize),
    /// A list of web origins such as "http://localhost:5173", at most so many.
    Origins(usize),
    /// A list of seconds.
    Seconds,
    /// A table of its own.
    Table(&'static Schema),
    /// A list of tables.
    Tables(&'static Schema),
    /// A table whose other keys depend on the word of one of its keys.
    Tagged(&'static Tagged),
    /// A list of such tables.
    TaggedList(&'static Tagged),
    /// A strategy: its name, or a table of its name and parameters.
    Strategy,
    /// A duration or a number, depending on another key.
    Limit,
    /// A table of lists: paths of keys, and the values that they take in turn.
    Vary,
}

/// A table whose keys depend on the word of one of them.
#[derive(Debug)]
pub struct Tagged {
    /// As messages and the reference call it.
    pub title: &'static str,
    /// One line on what the table is for.
    pub summary: &'static str,
    /// The key that holds the word.
    pub tag: &'static str,
    /// An example of the whole value, as TOML.
    pub example: &'static str,
    /// The words and the keys that stand there with each, the tag itself left out.
    pub cases: &'static [(&'static str, Schema)],
}

impl Schema {
    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.groups.iter().copied().flatten()
    }
}

impl Tagged {
    /// The words.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.cases.iter().map(|(word, _)| *word)
    }
}

impl Kind {
    /// The end of "must be …": what to write.
    pub fn wanted(&self) -> String {
        let whole = |min: u64, max: u64| match (min, max) {
            (min, max) if min == max => format!("{min}"),
            (min, u64::MAX) => format!("a whole number of at least {min}"),
            (min, max) => format!("a whole number from {min} to {max}"),
        };
        let number = |min: f64, above: bool, max: f64| match above {
            true => format!("a number above {min}, at most {max}"),
            false => format!("a number from {min} to {max}"),
        };
        match self {
            Self::Text(max) => format!("text of 1 to {max} characters"),
            Self::Name => "a name of 1 to 64 letters, digits, \"-\" and \"_\"".into(),
            Self::Target => "a path such as \"/\" or \"/search?q=1\", without spaces".into(),
            Self::File => "the path of a file".into(),
            Self::Secret { min, max } => {
                format!("{min} to {max} visible ASCII characters without spaces")
            }
            Self::KeySource => KeySource::parse("").expect_err("an empty text is no source").into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Flag => "true or false".into(),
            Self::Whole { min, max } => whole(*min, *max),
            Self::Number { min, above, max } => number(*min, *above, *max),
            Self::NumberOrOff { min, above, max } => {
                format!("{}, or \"off\"", number(*min, *above, *max))
            }
            Self::Duration { zero: true } => "a duration such as \"500ms\"".into(),
            Self::Duration { zero: false } => "a duration above zero such as \"500ms\"".into(),
            Self::DurationOrOff => "a duration above zero such as \"2s\", or \"off\"".into(),
            Self::WholeOr { min, max, word } => format!("{}, or {word:?}", whole(*min, *max)),
            Self::Size(max) => format!("bytes such as 128 or \"64KiB\", at most {max}"),
            Self::Address => "an address and a port such as \"127.0.0.1:8080\"".into(),
            Self::Wholes { min, max, count } => {
                format!("a list of at most {count} whole numbers from {min} to {max}")
            }
            Self::Statuses(count) => {
                format!("a list of 1 to {count} statuses and ranges such as [200, \"300-399\"]")
            }
            Self::Origins(count) => {
                format!("a list of at most {count} origins such as [\"http://localhost:5173\"]")
            }
            Self::Seconds => "a list of seconds such as [0.02, 0.03]".into(),
            Self::Table(schema) => format!("a table: write {}", schema.title),
            Self::Tables(schema) => format!("a list of tables: write {}", schema.title),
            Self::Tagged(tagged) => format!("a table such as {}", tagged.example),
            Self::TaggedList(tagged) => format!("a list of tables: write {}", tagged.title),
            Self::Strategy => {
                "the name of a strategy, or a table such as { name = \"p2c\", choices = 2 }".into()
            }
            Self::Limit => "a duration or a number".into(),
            Self::Vary => {
                "a table of lists, such as \"proxy.strategy\" = [\"p2c\", \"random\"]".into()
            }
        }
    }
}
