//! Which strategy, with which parameters. It must not know what they do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use super::KeySource;
use crate::strategy::{Entry, Strategy, random, round_robin};

/// The value of a strategy's parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// A whole number.
    Integer(i64),
    /// Any number.
    Number(f64),
    /// A switch.
    Flag(bool),
    /// A length of time.
    Duration(Duration),
    /// What a request is hashed by.
    Key(KeySource),
    /// Visible ASCII without spaces: a path, or the name of a cookie.
    Text(Cow<'static, str>),
}

/// A strategy and its parameters, checked by [`Entry::choose`].
#[derive(Clone, Debug)]
pub struct Choice {
    entry: &'static Entry,
    parameters: BTreeMap<String, ParameterValue>,
}

/// The same strategy with the same parameters.
impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.entry, other.entry) && self.parameters == other.parameters
    }
}

impl Choice {
    /// For [`Entry::choose`] alone: `parameters` hold every parameter of the entry, valid.
    pub(crate) const fn new(
        entry: &'static Entry,
        parameters: BTreeMap<String, ParameterValue>,
    ) -> Self {
        Self { entry, parameters }
    }

    /// Whether each backend's part of the requests is its part of the weight, whatever its load.
    pub fn shares_by_weight(&self) -> bool {
        [round_robin::ENTRY.name, random::ENTRY.name].contains(&self.entry.name)
    }

    /// The strategy's name.
    pub const fn name(&self) -> &'static str {
        self.entry.name
    }

    /// Every parameter with its value, defaults included.
    pub const fn parameters(&self) -> &BTreeMap<String, ParameterValue> {
        &self.parameters
    }

    /// What the shell hashes into [`base::RequestMeta::key`]: the parameter of kind key, if any.
    pub fn key(&self) -> Option<&KeySource> {
        self.parameters.values().find_map(|value| match value {
            ParameterValue::Key(source) => Some(source),
            _ => None,
        })
    }

    /// The cookie whose value is a [`crate::pin_of`] and comes as [`base::RequestMeta::pin`]: the
    /// parameter `cookie`, if there is one. The shell sets it on an answer whose backend's pin is
    /// another.
    pub fn cookie(&self) -> Option<&str> {
        match self.parameters.get("cookie") {
            Some(ParameterValue::Text(name)) => Some(name),
            _ => None,
        }
    }

    /// A fresh strategy of this choice.
    pub fn build(&self) -> Box<dyn Strategy> {
        (self.entry.build)(&self.parameters)
    }
}
