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
            Self::Value(keys) => write!(f, ": {keys}"),
        }
    }
}
