//! The file that `artillery run --output FILE` writes (2.x), checked. It must not know what is made
//! of its figures.
//!
//! `aggregate` is the whole run, `intermediate` its periods of ten seconds by the wall clock. What is
//! not used is not looked at: `rates` are means of rounded values, `histograms` are the summaries once
//! more, and a test may count anything under names of its own.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::timing::Timing;
use crate::problem::{Place, Problem};

/// More than any run counts, and little enough that no sum of a file's counters overflows.
const MAX_COUNT: f64 = 1e12;
/// The longest time that a run folder shows, in milliseconds: a million seconds.
const MAX_MS: f64 = 1e9;
/// The year 9999, in milliseconds of the wall clock.
const MAX_CLOCK_MS: f64 = 253_402_300_800_000.0;
/// A run of a day has 8,640 periods.
const MAX_PERIODS: usize = 100_000;
/// Which counters are used.
const USED: [&str; 4] = ["http.requests", "http.codes.", "errors.", "vusers."];
const REMEDY: &str = "copy the file again, or repeat the run";

/// A result, checked.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file, as it was given.
    pub(super) file: String,
    pub(super) whole: Period,
    /// In order of time.
    pub(super) periods: Vec<Period>,
}

/// The whole run, or ten seconds of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Period {
    /// When it begins, in milliseconds of the wall clock; zero for the whole.
    pub(super) start_ms: u64,
    pub(super) counters: BTreeMap<String, u64>,
    pub(super) timings: BTreeMap<Timing, Quantiles>,
    /// The first and the last thing that was counted or timed in it.
    pub(super) first_ms: Option<u64>,
    pub(super) last_ms: Option<u64>,
}

/// What a summary says, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Quantiles {
    pub(super) count: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) mean: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p75: Option<f64>,
    pub(super) p90: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) p999: Option<f64>,
}

impl Quantiles {
    /// The first two figures that contradict each other, in words: a later percentile below an earlier
    /// one, or one outside of minimum and maximum.
    pub(super) fn contradiction(&self) -> Option<String> {
        // Percentiles are of a sketch with an error of 1 %, minimum and maximum are not.
        const SKETCH: f64 = 0.01;
        const ROUNDING_MS: f64 = 0.1;
        let all = self.all();
        let known = |range: std::ops::Range<usize>| {
            all[range].iter().filter_map(|(name, value)| Some((*name, (*value)?)))
        };
        let percentiles: Vec<(&str, f64)> = known(3..9).collect();
        let ends = |value: f64| value.abs() * SKETCH + ROUNDING_MS;
        let pairs = percentiles.windows(2).map(|pair| (pair[0], pair[1], 0.0));
        let mut pairs: Vec<_> = pairs.collect();
        for figure in known(2..9) {
            pairs.extend(known(0..1).map(|min| (min, figure, ends(min.1))));
            pairs.extend(known(1..2).map(|max| (figure, max, ends(max.1))));
        }
        pairs.extend(known(0..1).zip(known(1..2)).map(|(min, max)| (min, max, 0.0)));
        let wrong = pairs.into_iter().find(|((_, low), (_, high), slack)| *low > high + slack);
        wrong.map(|((low_name, low), (high_name, high), _)| {
            format!("{low_name} is {low} ms and {high_name} {high} ms")
        })
    }

    /// Each figure by its key.
    fn all(&self) -> [(&'static str, Option<f64>); 9] {
        [
            ("min", self.min),
            ("max", self.max),
            ("mean", self.mean),
            ("p50", self.p50),
            ("p75", self.p75),
            ("p90", self.p90),
            ("p95", self.p95),
            ("p99", self.p99),
            ("p999", self.p999),
        ]
    }
}

impl Period {
    /// A counter that never moved is not in the file.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// The counters below a prefix, without it.
    pub(super) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
        let all = self.counters.iter();
        all.filter_map(move |(name, count)| Some((name.strip_prefix(prefix)?, *count)))
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct FileShape {
    aggregate: Option<PeriodShape>,
    intermediate: Option<Vec<PeriodShape>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
struct PeriodShape {
    /// A string in `intermediate`, a number in `aggregate`.
    period: Option<serde_json::Value>,
    counters: Option<BTreeMap<String, Option<f64>>>,
    summaries: Option<BTreeMap<String, Quantiles>>,
    first_metric_at: Option<f64>,
    last_metric_at: Option<f64>,
    first_counter_at: Option<f64>,
    last_counter_at: Option<f64>,
    /// Of Artillery 1.
    scenarios_created: Option<IgnoredAny>,
}

impl Written {
    /// When the first thing was counted, in seconds since 1970, by the wall clock of whoever measured.
    pub fn began_s(&self) -> Option<u64> {
        let first = self.periods.first().map(|period| period.start_ms);
        self.whole.first_ms.or(first).map(|ms| ms / 1000)
    }

    /// Reads a result. `file` is its name in messages.
    ///
    /// # Errors
    /// The place, the value and the remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let reader = Reader { file };
        // Editors on Windows put a mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim().is_empty() {
            return Err(reader.foreign("the file is empty"));
        }
        let shape: FileShape =
            serde_json::from_str(text).map_err(|error| reader.broken(text, &error))?;
        let Some(aggregate) = shape.aggregate else {
            return Err(reader.foreign("it has no \"aggregate\""));
        };
        if aggregate.scenarios_created.is_some() {
            return Err(reader.foreign("it is of Artillery 1, whose figures are others"));
        }
        let Some(intermediate) = shape.intermediate else {
            return Err(reader.foreign("it has no \"intermediate\""));
        };
        if intermediate.len() > MAX_PERIODS {
            let message = format!("{} periods; at most {MAX_PERIODS}", intermediate.len());
            return Err(reader.wrong("intermediate", message));
        }
        let whole = reader.period("aggregate", aggregate, false)?;
        if whole.count("http.requests") == 0 && whole.below("http.codes.").next().is_none() {
            let message =
                "there is no \"http.requests\": only runs of Artillery's HTTP engine can \
                           be imported, and of those a request must have begun"
                    .to_owned();
            return Err(reader.wrong("aggregate.counters", message));
        }
        let mut periods = Vec::new();
        for (index, shape) in intermediate.into_iter().enumerate() {
            periods.push(reader.period(&format!("intermediate[{index}]"), shape, true)?);
        }
        periods.sort_by_key(|period| period.start_ms);
        Ok(Self { file: file.to_owned(), whole, periods })
    }
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn problem(&self, place: Place, message: String) -> Problem {
        Problem { file: self.file.to_owned(), place, message }
    }

    fn wrong(&self, keys: &str, message: String) -> Problem {
        self.problem(Place::Value(keys.to_owned()), message)
    }

    fn foreign(&self, why: &str) -> Problem {
        let message = format!(
            "{why}, so this is no result of Artillery 2; give the file that `artillery run --output \
             FILE` wrote"
        );
        self.problem(Place::Whole, message)
    }

    fn broken(&self, text: &str, error: &serde_json::Error) -> Problem {
        let told = error.to_string();
        let what = told.split(" at line ").next().unwrap_or_default();
        // Behind "12." the end is a number that is none.
        let last = text.lines().next_back().unwrap_or_default();
        let at_end = error.line() == text.lines().count() && error.column() >= last.len();
        let message = match error.classify() {
            Category::Eof => cut_off(),
            Category::Syntax if at_end && text.starts_with('{') => cut_off(),
            Category::Syntax | Category::Io => format!(
                "this is no JSON ({what}); give the file that `artillery run --output FILE` wrote"
            ),
            Category::Data => {
                format!("{what}, where a result of Artillery 2 has another; {REMEDY}")
            }
        };
        self.problem(Place::Text(error.line(), error.column()), message)
    }

    fn period(&self, keys: &str, shape: PeriodShape, starts: bool) -> Result<Period, Problem> {
        let start_ms = match starts {
            true => self.start(&format!("{keys}.period"), shape.period.as_ref())?,
            false => 0,
        };
        let mut counters = BTreeMap::new();
        for (name, value) in shape.counters.unwrap_or_default() {
            if USED.iter().any(|used| name.starts_with(used)) {
                let count = self.count(&format!("{keys}.counters[\"{name}\"]"), value)?;
                counters.insert(name, count);
            }
        }
        let mut timings = BTreeMap::new();
        for (name, quantiles) in shape.summaries.unwrap_or_default() {
            let Some(timing) = Timing::of(&name) else { continue };
            for (key, value) in quantiles.all() {
                self.time(&format!("{keys}.summaries[\"{name}\"].{key}"), value)?;
            }
            self.count(&format!("{keys}.summaries[\"{name}\"].count"), quantiles.count)?;
            timings.insert(timing, quantiles);
        }
        let clock = |name: &str, a: Option<f64>, b: Option<f64>| -> Result<[Option<u64>; 2], _> {
            let keys = format!("{keys}.{name}");
            Ok::<_, Problem>([self.clock(&keys, a)?, self.clock(&keys, b)?])
        };
        let first = clock("first…At", shape.first_metric_at, shape.first_counter_at)?;
        let last = clock("last…At", shape.last_metric_at, shape.last_counter_at)?;
        Ok(Period {
            start_ms,
            counters,
            timings,
            first_ms: first.into_iter().flatten().min(),
            last_ms: last.into_iter().flatten().max(),
        })
    }

    fn start(&self, keys: &str, value: Option<&serde_json::Value>) -> Result<u64, Problem> {
        let number = match value {
            Some(serde_json::Value::Number(number)) => number.as_f64(),
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let start = self.clock(keys, number)?;
        start.ok_or_else(|| {
            let shown = value.map_or_else(|| "missing".to_owned(), ToString::to_string);
            let message =
                format!("{shown} will not do: a period begins at a time, in ms; {REMEDY}");
            self.wrong(keys, message)
        })
    }

    fn count(&self, keys: &str, value: Option<f64>) -> Result<u64, Problem> {
        // What JavaScript has no number for is written as null.
        let value = value.unwrap_or(0.0);
        if !(0.0..=MAX_COUNT).contains(&value) || value.fract() != 0.0 {
            let message = format!("{value} will not do: a whole number from 0 to 10^12; {REMEDY}");
            return Err(self.wrong(keys, message));
        }
        Ok(value as u64)
    }

    fn time(&self, keys: &str, value: Option<f64>) -> Result<(), Problem> {
        match value {
            Some(value) if !(0.0..=MAX_MS).contains(&value) => {
                let message = format!(
                    "{value} will not do: a time from 0 to 10^9 ms (Artillery's clock may have been \
                     set during the run); {REMEDY}"
                );
                Err(self.wrong(keys, message))
            }
            _ => Ok(()),
        }
    }

    /// Zero is Artillery's word for never.
    fn clock(&self, keys: &str, value: Option<f64>) -> Result<Option<u64>, Problem> {
        match value {
            None | Some(0.0) => Ok(None),
            Some(value) if (0.0..MAX_CLOCK_MS).contains(&value) => Ok(Some(value as u64)),
            Some(value) => {
                let message = format!("{value} will not do: a time in ms since 1970; {REMEDY}");
                Err(self.wrong(keys, message))
            }
        }
    }
}

fn cut_off() -> String {
    format!(
        "the file ends here, in the middle: it was cut off, or Artillery was stopped while it wrote; \
         {REMEDY}"
    )
}
