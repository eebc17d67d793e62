//! How a backend is picked: the trait, the registry, and one file for each strategy.
//! It must not know health or retries: it sees only candidates that may be picked.

use std::collections::BTreeMap;

use base::{BackendId, RequestMeta, Rng};

use crate::pool::Pool;
use crate::settings::{Choice, ParameterValue};

/// The backends that may be picked, never empty: a dense list that the pool keeps on change.
/// Load is read only through it.
pub struct Candidates<'a> {
    _private: std::marker::PhantomData<&'a ()>,
}

impl Candidates<'_> {
    /// How many there are, at least 1.
    #[allow(clippy::len_without_is_empty)] // never empty: the balancer rejects before it asks
    pub fn len(&self) -> usize {
        todo!()
    }
    /// The id at `index`.
    pub fn id(&self, index: usize) -> BackendId {
        let _ = index;
        todo!()
    }
    /// The weight at `index`, at least 1.
    pub fn weight(&self, index: usize) -> u32 {
        let _ = index;
        todo!()
    }
    /// The attempts in flight at `index`, connecting ones included.
    pub fn in_flight(&self, index: usize) -> u32 {
        let _ = index;
        todo!()
    }
    /// Whether this backend is among them.
    pub fn contains(&self, id: BackendId) -> bool {
        let _ = id;
        todo!()
    }
}

/// A rule that picks one of the candidates.
pub trait Strategy: Send {
    /// Picks one of `candidates`.
    fn pick(
        &mut self,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        rng: &mut Rng,
    ) -> BackendId;

    /// The candidates or their weights changed: rebuild tables here, off the hot path.
    fn pool_changed(&mut self, pool: &Pool, rng: &mut Rng) {
        let _ = (pool, rng);
    }
}

/// One parameter of a strategy.
#[derive(Debug)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// Its value when it is not given; also fixes its type.
    pub default: ParameterValue,
    /// The smallest allowed number (durations: seconds; flags: ignored).
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

impl Entry {
    /// This strategy with these parameters, defaults for the rest; all errors at once.
    pub fn choose(
        &'static self,
        given: &BTreeMap<String, ParameterValue>,
    ) -> Result<Choice, Vec<ChoiceError>> {
        let _ = given;
        let _ = Choice::new;
        todo!()
    }
}

/// The strategies that can be named.
#[derive(Clone, Debug)]
pub struct Registry(Vec<&'static Entry>);

impl Registry {
    /// All strategies of the lab.
    pub fn standard() -> Self {
        Self(vec![])
    }

    /// One more, for tests and for programs that bring their own.
    #[must_use]
    pub fn with(mut self, entry: &'static Entry) -> Self {
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
        let _ = (name, given);
        todo!()
    }
}
