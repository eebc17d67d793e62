//! The admin API of a proxy, as far as a run reads it. It must not know when it is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::error::Error;
use crate::http::{Answer, CallError, call, open};

/// The state of a backend that serves.
const READY: &str = "ready";
/// What we call a backend that the proxy does not list any more.
const REMOVED: &str = "removed";

/// Where a proxy is administrated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin(pub(crate) SocketAddr);

/// A backend in the proxy's eyes.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Backend {
    id: String,
    state: String,
    reason: Option<String>,
}

/// What the proxy thinks of each backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct States(BTreeMap<String, (String, String)>);

impl States {
    /// The word for a backend.
    pub(crate) fn of(&self, name: &str) -> &str {
        self.0.get(name).map_or(REMOVED, |(state, _)| state)
    }

    /// Those that are not ready, each with state and reason, for people.
    pub(crate) fn waiting<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let waiting = names.filter(|name| self.of(name) != READY);
        waiting
            .map(|name| match self.0.get(name) {
                Some((state, reason)) if !reason.is_empty() => format!("{name} {state} ({reason})"),
                _ => format!("{name} {}", self.of(name)),
            })
            .collect()
    }
}

impl Admin {
    /// What the proxy thinks of each backend.
    pub(crate) async fn states(&self, within: Duration) -> Result<States, CallError> {
        let body = call(self.0, "GET", "/v1/backends", None, within).await?;
        let backends: Vec<Backend> = serde_json::from_slice(&body).map_err(|e| {
            CallError::Answer { call: "GET /v1/backends".into(), problem: e.to_string() }
        })?;
        let entry = |b: Backend| (b.id, (b.state, b.reason.unwrap_or_default()));
        Ok(States(backends.into_iter().map(entry).collect()))
    }

    /// Attempts beyond the first of each request since the proxy started: retries, and hedges where
    /// it has any.
    pub(crate) async fn retries(&self, within: Duration) -> Result<u64, CallError> {
        let body = call(self.0, "GET", "/metrics", None, within).await?;
        let text = String::from_utf8_lossy(&body);
        let retries = counter(&text, "lab_retries_total").ok_or_else(|| CallError::Answer {
            call: "GET /metrics".into(),
            problem: "no lab_retries_total".into(),
        })?;
        Ok(retries + counter(&text, "lab_hedges_total").unwrap_or(0))
    }

    /// The proxy's events, from the earliest that it still has.
    pub(crate) async fn events(&self, within: Duration) -> Result<Answer, CallError> {
        open(self.0, "/v1/events", within).await
    }

    /// A failed call as an error of the run.
    pub(crate) const fn error(&self, source: CallError) -> Error {
        Error::Call { name: "the proxy's admin API", address: self.0, source }
    }
}

/// The sum of a counter's series in Prometheus' text format; `None` when there is none.
fn counter(text: &str, name: &str) -> Option<u64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let value = match rest.as_bytes().first() {
            Some(b' ') => rest,
            Some(b'{') => rest.rsplit_once('}').map_or("", |(_, value)| value),
            _ => continue,
        };
        let value: f64 = value.split_ascii_whitespace().next()?.parse().ok()?;
        // `as` saturates; counts stay exact up to 2⁵³.
        sum = Some(sum.unwrap_or(0) + value as u64);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_their_series() {
        for (text, value) in [
            ("lab_retries_total 7\n", Some(7)),
            ("# HELP lab_retries_total Retries.\nlab_retries_total 0\n", Some(0)),
            (
                "lab_retries_total{worker=\"0\"} 3\nlab_retries_total{worker=\"}\"} 4 1700\n",
                Some(7),
            ),
            ("lab_retries_total_created 9\n", None),
            ("lab_requests_total 9\n", None),
            ("lab_retries_total what\n", None),
            ("", None),
        ] {
            assert_eq!(counter(text, "lab_retries_total"), value, "{text}");
        }
    }

    #[test]
    fn those_that_wait_are_named_with_their_reasons() {
        let state = |state: &str, reason: &str| (state.to_owned(), reason.to_owned());
        let states = States(BTreeMap::from([
            ("a-1".to_owned(), state("ready", "")),
            ("a-2".to_owned(), state("down", "connect failed")),
            ("a-3".to_owned(), state("checking", "")),
        ]));
        let names = ["a-1", "a-2", "a-3", "a-4"];
        assert_eq!(
            states.waiting(names.into_iter()),
            ["a-2 down (connect failed)", "a-3 checking", "a-4 removed"]
        );
        assert_eq!(states.of("a-2"), "down");
    }
}
