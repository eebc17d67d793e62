//! One thing that is wrong with a text: where, what, and what to write instead.
//! It must not know what the text was for.

use std::fmt;

/// A line and a column of a text, from 1.
pub type Place = (usize, usize);

/// How many problems of a text are reported; nobody mends more at once.
pub const PROBLEMS: usize = 100;

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as given, or the option ("--set proxy.strategy=p2").
    pub file: String,
    /// Line and column from 1, where there is a file.
    pub place: Option<Place>,
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

/// In the order of the text (options of the command line last), each once, at most [`PROBLEMS`].
pub fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| {
        let key = |p: &Problem| (p.place.is_none(), p.place);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.file.cmp(&b.file))
            .then_with(|| a.message.cmp(&b.message))
    });
    problems.dedup();
    if problems.len() > PROBLEMS {
        let more = problems.len() - PROBLEMS;
        let file = problems[0].file.clone();
        problems.truncate(PROBLEMS);
        problems.push(Problem { file, place: None, message: format!("and {more} more problems") });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: Option<Place>, message: &str) -> Problem {
        Problem { file: "x.toml".into(), place, message: message.into() }
    }

    #[test]
    fn problems_come_in_the_order_of_the_text_and_once() {
        let given = vec![
            at(None, "option"),
            at(Some((10, 1)), "c"),
            at(Some((2, 7)), "b"),
            at(Some((2, 1)), "a"),
            at(Some((2, 7)), "b"),
        ];
        let texts: Vec<String> = sorted(given).iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["x.toml:2:1: a", "x.toml:2:7: b", "x.toml:10:1: c", "x.toml: option"]);
    }

    #[test]
    fn a_flood_is_cut() {
        let flood = (1..=250).map(|line| at(Some((line, 1)), "x")).collect();
        let kept = sorted(flood);
        assert_eq!(kept.len(), PROBLEMS + 1);
        assert_eq!(kept[PROBLEMS].to_string(), "x.toml: and 150 more problems");
    }
}
