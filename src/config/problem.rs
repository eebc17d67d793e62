//! One thing that is wrong with a text: where, what, and what to write instead.
//! It must not know what the text was for.

use std::fmt;

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as given, or the option ("--set proxy.strategy=p2").
    pub file: String,
    /// Line and column from 1, where there is a file.
    pub place: Option<(usize, usize)>,
    /// What is wrong, with the value, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}
