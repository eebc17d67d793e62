//! What figures mean, in words: the lab's own, or those of whoever measured the run. It must not know
//! who that can be.

use std::borrow::Cow;

use record::Run;

/// Whose latency it is, from when to when.
pub(crate) fn latency(run: &Run) -> Cow<'_, str> {
    run.summary.terms.as_ref().map_or_else(
        || {
            let words = "good requests, intended start to last byte, all rounds merged";
            format!("{words}{}", clock(run)).into()
        },
        |terms| terms.latency.as_str().into(),
    )
}

/// The same where it is given by window.
pub(crate) fn latency_by_window(run: &Run) -> Cow<'_, str> {
    run.summary.terms.as_ref().map_or_else(
        || format!("good requests by intended start{}", clock(run)).into(),
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

/// Behind the words for what is drawn; empty where the built-in generator sent everything.
pub(crate) fn clock(run: &Run) -> &'static str {
    let by = |word: &str| {
        let named = |of: &Option<String>| of.as_deref() == Some(word);
        run.summary.variants.iter().any(|variant| named(&variant.generator))
    };
    match (by("artillery"), by("builtin")) {
        (true, false) => "; Artillery, 1 ms clock",
        (true, true) => "; some variants by Artillery, 1 ms clock",
        (false, _) => "",
    }
}

/// A sentence for the page; `None` where the built-in generator sent everything, or the lab nothing.
pub(crate) fn sentence(run: &Run) -> Option<&'static str> {
    let sentence = "Artillery sent the requests: at even gaps, by a clock of 1 ms; what it takes to \
                    prepare a request, some milliseconds on a slow core, is part of its latency.";
    (run.summary.terms.is_none() && !clock(run).is_empty()).then_some(sentence)
}
