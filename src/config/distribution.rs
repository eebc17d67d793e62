//! Service-time distributions: from TOML and back. It must not know whose times they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use base::Distribution;

use crate::document::Value;
use crate::reader::{Reader, number_of};
use crate::schema::{Key, Kind, Presence, Schema, Tagged};
use crate::value::{format_seconds, quote, shown};

/// How many values an empirical distribution may have.
pub const EMPIRICAL_VALUES: usize = 1_000_000;

/// The units of a column of measured times, and how many of each make a second.
const COLUMN_UNITS: [(&str, f64); 4] = [("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)];

const fn time(name: &'static str, summary: &'static str) -> Key {
    let kind = Kind::Duration { zero: true };
    Key { name, kind, presence: Presence::Required("\"20ms\""), summary }
}

const fn number(name: &'static str, min: f64, max: f64, summary: &'static str) -> Key {
    let kind = Kind::Number { min, above: false, max };
    Key { name, kind, presence: Presence::Required("2"), summary }
}

const fn case(
    title: &'static str,
    summary: &'static str,
    groups: &'static [&'static [Key]],
) -> Schema {
    Schema { title, summary, groups }
}

/// All distributions.
pub static DISTRIBUTIONS: Tagged = Tagged {
    title: "a distribution",
    summary: "How long one request takes when it is served alone.",
    tag: "distribution",
    example: "{ distribution = \"lognormal\", median = \"20ms\", p99 = \"80ms\" }",
    cases: &[
        ("constant", case("a constant distribution", "Always the same.", &[CONSTANT])),
        ("uniform", case("a uniform distribution", "Anything between two bounds.", &[UNIFORM])),
        ("exponential", case("an exponential distribution", "Memoryless; scv 1.", &[EXPONENTIAL])),
        (
            "erlang",
            case("an erlang distribution", "The sum of k exponentials; scv 1/k.", &[ERLANG]),
        ),
        (
            "hyperexponential",
            case(
                "a hyperexponential distribution",
                "Two exponentials with balanced means: mostly short, sometimes long.",
                &[HYPEREXPONENTIAL],
            ),
        ),
        ("normal", case("a normal distribution", "Normal, cut at 0.", &[NORMAL])),
        (
            "lognormal",
            case("a lognormal distribution", "What most services look like.", &[LOGNORMAL]),
        ),
        ("pareto", case("a pareto distribution", "A power-law tail.", &[PARETO])),
        (
            "weibull",
            case("a weibull distribution", "Below shape 1 heavier than exponential.", &[WEIBULL]),
        ),
        ("bimodal", case("a bimodal distribution", "One of two values.", &[BIMODAL])),
        (
            "empirical",
            case(
                "an empirical distribution",
                "Measured values, each equally likely: a column of a CSV file, or written out.",
                &[EMPIRICAL],
            ),
        ),
    ],
};

const CONSTANT: &[Key] = &[time("value", "The time.")];
const UNIFORM: &[Key] = &[time("min", "The shortest."), time("max", "The longest.")];
const EXPONENTIAL: &[Key] = &[time("mean", "The mean, above zero.")];
const ERLANG: &[Key] = &[
    time("mean", "The mean of the sum, above zero."),
    Key {
        name: "k",
        // Each draw takes k numbers, so k is also a cost.
        kind: Kind::Whole { min: 1, max: 1_000 },
        presence: Presence::Required("4"),
        summary: "How many exponentials are summed.",
    },
];
const HYPEREXPONENTIAL: &[Key] = &[
    time("mean", "The mean, above zero."),
    number("scv", 1.0, 1e6, "The squared coefficient of variation; 1 is exponential."),
];
const NORMAL: &[Key] = &[
    time("mean", "The mean before the cut."),
    time("sd", "The standard deviation before the cut."),
];
const LOGNORMAL: &[Key] = &[
    time("median", "The median, above zero."),
    time("p99", "The 99th percentile, at least the median."),
];
const PARETO: &[Key] = &[
    time("min", "The shortest, above zero."),
    number("shape", 0.1, 1e3, "The tail index; the mean exists above 1, the variance above 2."),
];
const WEIBULL: &[Key] = &[
    time("scale", "The scale, above zero."),
    number("shape", 0.1, 1e3, "The shape; 1 is exponential."),
];
const BIMODAL: &[Key] = &[
    time("a", "The one value."),
    time("b", "The other."),
    number("share_b", 0.0, 1.0, "How likely the other is."),
];
const EMPIRICAL: &[Key] = &[
    Key {
        name: "file",
        kind: Kind::Text(1024),
        presence: Presence::Absent("`values` are given"),
        summary: "A CSV file with a header; relative to the folder of this file.",
    },
    Key {
        name: "column",
        kind: Kind::Text(256),
        presence: Presence::Absent("`values` are given"),
        summary: "The name of its column.",
    },
    Key {
        name: "unit",
        kind: Kind::Word(&["s", "ms", "us", "ns"]),
        presence: Presence::Absent("`values` are given"),
        summary: "The unit of the column.",
    },
    Key {
        name: "values",
        kind: Kind::Seconds,
        presence: Presence::Absent("a `file` is given"),
        summary: "The values themselves, in seconds.",
    },
];

/// A column of a file: the file, the column, the unit.
type ColumnName = (String, String, String);

/// Its values in seconds, or what is wrong with it.
type Column = Result<Arc<[f64]>, String>;

/// Reads the files that distributions name, each column once.
pub struct Files<'a> {
    read: &'a dyn Fn(&str) -> std::io::Result<String>,
    columns: RefCell<BTreeMap<ColumnName, Column>>,
}

impl<'a> Files<'a> {
    /// `read` gets the path as it is written.
    pub const fn new(read: &'a dyn Fn(&str) -> std::io::Result<String>) -> Self {
        Self { read, columns: RefCell::new(BTreeMap::new()) }
    }

    /// A column in seconds, or what is wrong with it.
    fn column(&self, file: &str, column: &str, unit: &str) -> Column {
        let name = (file.to_string(), column.to_string(), unit.to_string());
        let read = || match (self.read)(file) {
            Ok(text) => column_of(&text, column, unit),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        self.columns.borrow_mut().entry(name).or_insert_with(read).clone()
    }
}

fn column_of(text: &str, column: &str, unit: &str) -> Column {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| format!("is not CSV: {error}"))?;
    let Some(index) = header.iter().position(|name| name.trim() == column) else {
        let names: Vec<&str> = header.iter().take(20).collect();
        return Err(format!("has no column {}; there is {}", shown(column), names.join(", ")));
    };
    let per_second = COLUMN_UNITS.iter().find(|(name, _)| *name == unit).map_or(1.0, |u| u.1);
    let mut values = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| format!("is not CSV: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = record.get(index).unwrap_or_default().trim();
        let seconds = cell.parse::<f64>().map_or(f64::NAN, |number| number / per_second);
        if !is_time(seconds) {
            return Err(format!(
                "holds {} in line {line}, which is no time in {unit}",
                shown(cell)
            ));
        }
        values.push(seconds);
        if values.len() > EMPIRICAL_VALUES {
            return Err(format!("has more than {EMPIRICAL_VALUES} values"));
        }
    }
    if values.is_empty() { Err("has no values".into()) } else { Ok(values.into()) }
}

fn is_time(seconds: f64) -> bool {
    (0.0..=crate::value::LONGEST.as_secs_f64()).contains(&seconds)
}

/// Reads the distribution that stands at `name`.
pub fn read(reader: &Reader<'_>, name: &str, files: &Files<'_>) -> Option<Distribution> {
    let (word, r) = reader.tagged(name)?;
    Some(match word {
        "constant" => Distribution::Constant { value: r.seconds("value")? },
        "uniform" => {
            let (min, max) = (r.seconds("min"), r.seconds("max"));
            let (min, max) = (min?, max?);
            ordered(&r, ("min", min), ("max", max))?;
            Distribution::Uniform { min, max }
        }
        "exponential" => Distribution::Exponential { mean: above_zero(&r, "mean")? },
        "erlang" => {
            let (mean, k) = (above_zero(&r, "mean"), r.whole_u32("k"));
            Distribution::Erlang { mean: mean?, k: k? }
        }
        "hyperexponential" => {
            let (mean, scv) = (above_zero(&r, "mean"), r.number("scv"));
            Distribution::Hyperexponential { mean: mean?, scv: scv? }
        }
        "normal" => {
            let (mean, sd) = (r.seconds("mean"), r.seconds("sd"));
            Distribution::Normal { mean: mean?, sd: sd? }
        }
        "lognormal" => {
            let (median, p99) = (above_zero(&r, "median"), r.seconds("p99"));
            let (median, p99) = (median?, p99?);
            ordered(&r, ("median", median), ("p99", p99))?;
            Distribution::Lognormal { median, p99 }
        }
        "pareto" => {
            let (min, shape) = (above_zero(&r, "min"), r.number("shape"));
            Distribution::Pareto { min: min?, shape: shape? }
        }
        "weibull" => {
            let (scale, shape) = (above_zero(&r, "scale"), r.number("shape"));
            Distribution::Weibull { scale: scale?, shape: shape? }
        }
        "bimodal" => {
            let (a, b, share_b) = (r.seconds("a"), r.seconds("b"), r.number("share_b"));
            Distribution::Bimodal { a: a?, b: b?, share_b: share_b? }
        }
        "empirical" => Distribution::Empirical { values: measured(&r, files)? },
        other => unreachable!("{other} is declared, so it is read"),
    })
}

fn above_zero(r: &Reader<'_>, name: &str) -> Option<f64> {
    let seconds = r.seconds(name)?;
    if seconds > 0.0 {
        return Some(seconds);
    }
    r.problem(name, format!("{name} must be above zero"));
    None
}

fn ordered(r: &Reader<'_>, low: (&str, f64), high: (&str, f64)) -> Option<()> {
    if low.1 <= high.1 {
        return Some(());
    }
    let (low_text, high_text) = (format_seconds(low.1), format_seconds(high.1));
    r.problem(
        high.0,
        format!("{} = {high_text} is below {} = {low_text}: exchange them", high.0, low.0),
    );
    None
}

fn measured(r: &Reader<'_>, files: &Files<'_>) -> Option<Arc<[f64]>> {
    let Some(values) = r.node("values") else {
        for name in ["file", "column", "unit"].into_iter().filter(|name| !r.has(name)) {
            r.problem(name, format!("an empirical distribution needs {name}, or values"));
        }
        let (file, column, unit) = (r.text("file"), r.text("column"), r.text("unit"));
        let (file, column, unit) = (file?, column?, unit?);
        return files
            .column(&file, &column, &unit)
            .map_err(|message| r.problem("file", format!("{} {message}", shown(&file))))
            .ok();
    };
    for name in ["file", "column", "unit"].into_iter().filter(|name| r.has(name)) {
        r.problem(name, format!("{name} and values exclude each other: keep one of them"));
    }
    let numbers: Option<Vec<f64>> = match &values.value {
        Value::Array(nodes) if (1..=EMPIRICAL_VALUES).contains(&nodes.len()) => {
            nodes.iter().map(|node| number_of(node).filter(|n| is_time(*n))).collect()
        }
        _ => None,
    };
    if numbers.is_none() {
        let most = EMPIRICAL_VALUES;
        r.problem("values", format!("values must be a list of 1 to {most} times in seconds"));
    }
    numbers.map(Into::into)
}

/// The inline table that [`read`] reads back as the same distribution.
pub fn to_toml(distribution: &Distribution) -> String {
    let t = |seconds: &f64| quote(&format_seconds(*seconds));
    let (word, parameters) = match distribution {
        Distribution::Constant { value } => ("constant", format!("value = {}", t(value))),
        Distribution::Uniform { min, max } => {
            ("uniform", format!("min = {}, max = {}", t(min), t(max)))
        }
        Distribution::Exponential { mean } => ("exponential", format!("mean = {}", t(mean))),
        Distribution::Erlang { mean, k } => ("erlang", format!("mean = {}, k = {k}", t(mean))),
        Distribution::Hyperexponential { mean, scv } => {
            ("hyperexponential", format!("mean = {}, scv = {scv:?}", t(mean)))
        }
        Distribution::Normal { mean, sd } => {
            ("normal", format!("mean = {}, sd = {}", t(mean), t(sd)))
        }
        Distribution::Lognormal { median, p99 } => {
            ("lognormal", format!("median = {}, p99 = {}", t(median), t(p99)))
        }
        Distribution::Pareto { min, shape } => {
            ("pareto", format!("min = {}, shape = {shape:?}", t(min)))
        }
        Distribution::Weibull { scale, shape } => {
            ("weibull", format!("scale = {}, shape = {shape:?}", t(scale)))
        }
        Distribution::Bimodal { a, b, share_b } => {
            ("bimodal", format!("a = {}, b = {}, share_b = {share_b:?}", t(a), t(b)))
        }
        Distribution::Empirical { values } => {
            // `{:?}` keeps the point or exponent that makes it a float of TOML.
            let values: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
            ("empirical", format!("values = [{}]", values.join(", ")))
        }
    };
    format!("{{ distribution = \"{word}\", {parameters} }}")
}
