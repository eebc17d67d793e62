//! What figures mean, in words: the lab's own, or those of whoever measured the run. It must not know
//! who that can be.

use std::borrow::Cow;

use record::Run;

/// Whose latency it is, from when to when.
pub(crate) fn latency(run: &Run) -> Cow<'_, str> {
    run.summary.terms.as_ref().map_or_else(
        || "good requests, intended start to last byte, all rounds merged".into(),
        |terms| terms.latency.as_str().into(),
    )
}

/// The same where it is given by window.
pub(crate) fn latency_by_window(run: &Run) -> Cow<'_, str> {
    run.summary.terms.as_ref().map_or_else(
        || "good requests by intended start".into(),
        |terms| format!("{}, {}", terms.latency, terms.counted).into(),
    )
}

/// Which window an event belongs to.
pub(crate) fn counted(run: &Run) -> &str {
    run.summary.terms.as_ref().map_or("by intended start", |terms| &terms.counted)
}

/// Where time begins.
pub(crate) fn zero(run: &Run) -> &str {
    run.summary.terms.as_ref().map_or("the end of the warm-up", |terms| &terms.zero)
}

/// Who stands behind the load that was offered.
pub(crate) fn offered(run: &Run) -> String {
    run.summary.terms.as_ref().map_or_else(
        || "offered by the schedule".to_owned(),
        |terms| format!("offered by {}", terms.measured_by),
    )
}
