//! What is wrong with a result: where, what stands there, and the remedy. It must not print it.

use std::fmt;

/// Why a result cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{place}: {message}")]
pub struct Problem {
    /// The file, as it was given.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// What is wrong there, and what to do.
    pub message: String,
}

/// A place in a JSON file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    Whole,
    /// Line and column, from 1.
    Text(usize, usize),
    /// A value, by its keys.
    Value(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Text(line, column) => write!(f, ":{line}:{column}"),
            Self::Value(keys) => write!(f, ": {}", cut(keys)),
        }
    }
}

/// What a test calls its errors and scenarios can have any length; so much of it says which one it is.
const LONGEST_SHOWN: usize = 100;

/// A name, cut with an ellipsis where it is too long to be shown.
pub(crate) fn cut(name: &str) -> String {
    let mut chars = name.chars();
    let mut shown: String = chars.by_ref().take(LONGEST_SHOWN).collect();
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_by_their_characters() {
        for (name, expected) in [
            ("ECONNRESET".to_owned(), "ECONNRESET".to_owned()),
            ("ä".repeat(100), "ä".repeat(100)),
            ("ä".repeat(101), "ä".repeat(99) + "…"),
        ] {
            assert_eq!(cut(&name), expected);
        }
    }
}
