//! The strategies that can be named, with their parameters checked.
//! It must not know the text that the names came from.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Strategy, join_idle_queue, least_request, least_work_left, maglev, p2c, peak_ewma, prequal,
    random, rendezvous, ring_hash, round_robin, sticky,
};
use crate::settings::{Choice, KeySource, ParameterValue};

/// One parameter of a strategy.
#[derive(Debug)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// Its value when it is not given; also fixes its type.
    pub default: ParameterValue,
    /// The smallest allowed number (durations: seconds; flags: ignored). A default below it is
    /// allowed too: it stands for "off".
    pub min: f64,
    /// The largest allowed number.
    pub max: f64,
    /// One line on what it does.
    pub summary: &'static str,
}

/// A strategy that can be chosen by name.
#[derive(Debug)]
pub struct Entry {
    /// What stands in a scenario.
    pub name: &'static str,
    /// One line: what it does and when to use it.
    pub summary: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Makes one; gets every parameter, checked.
    pub build: fn(&BTreeMap<String, ParameterValue>) -> Box<dyn Strategy>,
}

/// Why a strategy could not be chosen; the message names the value and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceError {
    /// The parameter at fault, or `None` when the name is.
    pub parameter: Option<String>,
    /// "unknown strategy \"p2\"; one of least_request, p2c, …"
    pub message: String,
}

impl Parameter {
    /// The given value in this parameter's type, or what is wrong with it.
    fn check(&self, given: ParameterValue) -> Result<ParameterValue, String> {
        use ParameterValue::{Duration, Flag, Integer, Key, Number, Text};
        let size = match (&self.default, &given) {
            (Integer(_), &Integer(n)) => n as f64,
            (Number(_), &Number(x)) => x,
            // "1" is a number where "1.0" is one.
            (Number(_), &Integer(n)) => n as f64,
            (Duration(_), Duration(d)) => d.as_secs_f64(),
            (Flag(_), Flag(_)) | (Key(_), Key(_)) => return Ok(given),
            (Key(_), Text(text)) => {
                let wrong = |wanted| format!("must be {wanted}, not {given}");
                return KeySource::parse(text).map(Key).map_err(wrong);
            }
            (Text(_), Text(text)) if is_word(text) => return Ok(given),
            (wanted, _) => return Err(format!("must be {}, not {given}", kind(wanted))),
        };
        let off = self.off();
        // Written so that a number which is none (NaN) is outside too.
        if (size >= self.min && size <= self.max) || off == Some(size) {
            return Ok(match (&self.default, given) {
                (Number(_), Integer(n)) => Number(n as f64),
                (_, given) => given,
            });
        }
        let unit = if matches!(given, Duration(_)) { "s" } else { "" };
        let or_off = off.map_or(String::new(), |off| format!(", or {off}{unit}"));
        let (min, max) = (self.min, self.max);
        Err(format!("must be from {min}{unit} to {max}{unit}{or_off}, not {given}"))
    }

    /// The default, where it lies below the range.
    fn off(&self) -> Option<f64> {
        let default = match self.default {
            ParameterValue::Integer(n) => n as f64,
            ParameterValue::Number(x) => x,
            ParameterValue::Duration(d) => d.as_secs_f64(),
            _ => return None,
        };
        (default < self.min).then_some(default)
    }
}

/// The type of a value in words.
const fn kind(value: &ParameterValue) -> &'static str {
    match value {
        ParameterValue::Integer(_) => "a whole number",
        ParameterValue::Number(_) => "a number",
        ParameterValue::Flag(_) => "true or false",
        ParameterValue::Duration(_) => "a duration like \"250ms\"",
        ParameterValue::Key(_) => "\"address\", \"path\", \"header:NAME\" or \"cookie:NAME\"",
        ParameterValue::Text(_) => "1 to 256 visible ASCII characters without spaces",
    }
}

/// Whether a text may be a parameter.
fn is_word(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Entry {
    /// This strategy with these parameters, defaults for the rest; all errors at once.
    pub fn choose(
        &'static self,
        given: &BTreeMap<String, ParameterValue>,
    ) -> Result<Choice, Vec<ChoiceError>> {
        let mut chosen = BTreeMap::new();
        let mut errors = Vec::new();
        let error = |name: &str, message| ChoiceError { parameter: Some(name.into()), message };
        for parameter in self.parameters {
            let name = parameter.name;
            let value = match given.get(name) {
                None => Ok(parameter.default.clone()),
                Some(value) => parameter.check(value.clone()),
            };
            match value {
                Ok(value) => drop(chosen.insert(name.to_owned(), value)),
                Err(wrong) => errors.push(error(name, format!("{}: {name} {wrong}", self.name))),
            }
        }
        for name in given.keys().filter(|name| self.parameters.iter().all(|p| p.name != **name)) {
            let known: Vec<&str> = self.parameters.iter().map(|p| p.name).collect();
            let remedy = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("one of {}", known.join(", "))
            };
            let message = format!("{} has no parameter {name:?}; {remedy}", self.name);
            errors.push(error(name, message));
        }
        if errors.is_empty() { Ok(Choice::new(self, chosen)) } else { Err(errors) }
    }
}

/// Strategies that know what no balancer can: yardsticks, for the simulator alone.
static IDEALS: [&Entry; 1] = [&least_work_left::ENTRY];

/// The strategies that can be named.
#[derive(Clone, Debug)]
pub struct Registry(Vec<&'static Entry>);

impl Registry {
    /// All strategies of the lab that a balancer can follow.
    pub fn standard() -> Self {
        Self(vec![
            &round_robin::ENTRY,
            &random::ENTRY,
            &least_request::ENTRY,
            &p2c::ENTRY,
            &peak_ewma::ENTRY,
            &join_idle_queue::ENTRY,
            &prequal::ENTRY,
            &sticky::ENTRY,
            &ring_hash::ENTRY,
            &maglev::ENTRY,
            &rendezvous::ENTRY,
        ])
    }

    /// The ideals alone: strategies that know what no balancer can.
    pub fn ideals() -> Self {
        Self(IDEALS.to_vec())
    }

    /// The ideals too, for the simulator.
    #[must_use]
    pub fn with_ideals(self) -> Self {
        IDEALS.into_iter().fold(self, Self::with)
    }

    /// One more, for tests and for programs that bring their own; it takes the place of one with
    /// the same name.
    #[must_use]
    pub fn with(mut self, entry: &'static Entry) -> Self {
        self.0.retain(|other| other.name != entry.name);
        self.0.push(entry);
        self
    }

    /// All of them, in the order in which `lab list strategies` shows them.
    pub fn entries(&self) -> &[&'static Entry] {
        &self.0
    }

    /// The strategy of this name with these parameters.
    pub fn choose(
        &self,
        name: &str,
        given: &BTreeMap<String, ParameterValue>,
    ) -> Result<Choice, Vec<ChoiceError>> {
        let Some(entry) = self.0.iter().find(|entry| entry.name == name) else {
            let mut known: Vec<&str> = self.0.iter().map(|entry| entry.name).collect();
            known.sort_unstable();
            let known = known.join(", ");
            let message = if IDEALS.iter().any(|ideal| ideal.name == name) {
                format!(
                    "{name} knows what no balancer can, so it works in the simulator only \
                     (engine = \"sim\"); here one of {known}"
                )
            } else {
                format!("unknown strategy {name:?}; one of {known}")
            };
            return Err(vec![ChoiceError { parameter: None, message }]);
        };
        entry.choose(given)
    }
}

/// The value of a parameter that [`Entry::choose`] has checked, for the strategies' builders.
pub(super) fn integer(parameters: &BTreeMap<String, ParameterValue>, name: &str) -> usize {
    match parameters.get(name) {
        Some(&ParameterValue::Integer(n)) => usize::try_from(n).unwrap_or(0),
        other => unreachable!("{name} is a checked whole number, not {other:?}"),
    }
}

/// See [`integer`].
pub(super) fn number(parameters: &BTreeMap<String, ParameterValue>, name: &str) -> f64 {
    match parameters.get(name) {
        Some(&ParameterValue::Number(x)) => x,
        other => unreachable!("{name} is a checked number, not {other:?}"),
    }
}

/// See [`integer`].
pub(super) fn duration(parameters: &BTreeMap<String, ParameterValue>, name: &str) -> Duration {
    match parameters.get(name) {
        Some(&ParameterValue::Duration(d)) => d,
        other => unreachable!("{name} is a checked duration, not {other:?}"),
    }
}

/// See [`integer`].
pub(super) fn text(parameters: &BTreeMap<String, ParameterValue>, name: &str) -> String {
    match parameters.get(name) {
        Some(ParameterValue::Text(text)) => text.clone().into_owned(),
        other => unreachable!("{name} is a checked text, not {other:?}"),
    }
}

/// See [`integer`].
pub(super) fn flag(parameters: &BTreeMap<String, ParameterValue>, name: &str) -> bool {
    match parameters.get(name) {
        Some(&ParameterValue::Flag(on)) => on,
        other => unreachable!("{name} is a checked flag, not {other:?}"),
    }
}

impl std::fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => n.fmt(f),
            Self::Number(x) => x.fmt(f),
            Self::Flag(on) => on.fmt(f),
            Self::Duration(d) => write!(f, "{}s", Duration::as_secs_f64(d)),
            Self::Key(source) => source.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ParameterValue::{Flag, Integer, Number};

    fn parameters(given: &[(&str, ParameterValue)]) -> BTreeMap<String, ParameterValue> {
        given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn what_is_not_given_is_the_default() {
        let choice = Registry::standard()
            .choose("p2c", &parameters(&[("choices", Integer(3))]))
            .expect("it is valid");
        assert_eq!(choice.name(), "p2c");
        let expected =
            [("choices", Integer(3)), ("replacement", Flag(false)), ("scan_below", Integer(0))];
        assert_eq!(*choice.parameters(), parameters(&expected));
    }

    #[test]
    fn errors_name_the_value_and_the_remedy() {
        static TIMED: Entry = Entry {
            name: "timed",
            summary: "",
            parameters: &[
                Parameter {
                    name: "decay",
                    default: ParameterValue::Duration(Duration::from_secs(10)),
                    min: 0.001,
                    max: 60.0,
                    summary: "",
                },
                Parameter { name: "bias", default: Number(1.0), min: 0.0, max: 8.0, summary: "" },
            ],
            build: |_| unreachable!("never built"),
        };
        let registry = Registry(vec![&random::ENTRY, &p2c::ENTRY, &maglev::ENTRY]).with(&TIMED);
        let hour = ParameterValue::Duration(Duration::from_secs(3600));
        for (name, given, expected) in [
            ("p2", &[][..], &["unknown strategy \"p2\"; one of maglev, p2c, random, timed"][..]),
            ("p2c", &[("choices", Integer(0))], &["p2c: choices must be from 1 to 16, not 0"]),
            ("p2c", &[("choices", Flag(true))], &["p2c: choices must be a whole number, not true"]),
            ("p2c", &[("choices", Number(2.0))], &["p2c: choices must be a whole number, not 2"]),
            (
                "p2c",
                &[("choice", Integer(2))],
                &["p2c has no parameter \"choice\"; one of choices, replacement, scan_below"],
            ),
            (
                "least_work_left",
                &[],
                &["least_work_left knows what no balancer can, so it works in the simulator only \
                   (engine = \"sim\"); here one of maglev, p2c, random, timed"],
            ),
            ("random", &[("seed", Integer(2))], &["random has no parameter \"seed\"; it has none"]),
            ("timed", &[("decay", hour)], &["timed: decay must be from 0.001s to 60s, not 3600s"]),
            (
                "timed",
                &[("decay", Integer(5))],
                &["timed: decay must be a duration like \"250ms\", not 5"],
            ),
            (
                "maglev",
                &[("bound", Number(0.5))],
                &["maglev: bound must be from 1 to 1000, or 0, not 0.5"],
            ),
            ("timed", &[("bias", Number(f64::NAN))], &["timed: bias must be from 0 to 8, not NaN"]),
            (
                "p2c",
                &[("choices", Integer(99)), ("replacement", Integer(1)), ("x", Integer(1))],
                &[
                    "p2c: choices must be from 1 to 16, not 99",
                    "p2c: replacement must be true or false, not 1",
                    "p2c has no parameter \"x\"; one of choices, replacement, scan_below",
                ],
            ),
        ] {
            let errors = registry.choose(name, &parameters(given)).expect_err(name);
            let messages: Vec<&str> = errors.iter().map(|e| e.message.as_str()).collect();
            assert_eq!(messages, expected);
            let places = errors.iter().filter(|e| e.parameter.is_some()).count();
            assert_eq!(places, given.len(), "one error each, naming its parameter");
        }
        let whole = registry.choose("timed", &parameters(&[("bias", Integer(2))])).expect("valid");
        assert_eq!(whole.parameters()["bias"], Number(2.0), "a whole number is a number");
    }

    #[test]
    fn a_later_entry_of_the_same_name_wins() {
        static OWN: Entry =
            Entry { name: "p2c", summary: "own", parameters: &[], build: random::ENTRY.build };
        let registry = Registry::standard().with(&OWN);
        assert_eq!(registry.entries().len(), Registry::standard().entries().len());
        assert!(registry.entries().iter().any(|entry| entry.summary == "own"));
    }

    #[test]
    fn every_default_is_valid() {
        for entry in Registry::standard().with_ideals().entries() {
            let given =
                entry.parameters.iter().map(|p| (p.name.to_owned(), p.default.clone())).collect();
            assert!(entry.choose(&given).is_ok(), "{}", entry.name);
        }
    }
}
