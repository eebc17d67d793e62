//! How requests ended, from Artillery's counters. It must not know timings.
//!
//! Artillery counts a request when it begins, an answer when its head has come, and an error when a
//! virtual user gives up. So a request that was never answered is one that has no status; and where
//! there are more errors of connections than such requests, as many answers broke off behind their
//! heads (a status and an error each).

use std::collections::BTreeMap;

use record::summary::Counts;

use super::written::Period;
use crate::problem::{Place, Problem, cut};

/// How the requests of a run, or of a period, ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ends {
    pub(super) counts: Counts,
    /// By Artillery's word for the error, or by the status.
    pub(super) failures: BTreeMap<String, u64>,
    /// Answers that broke off.
    pub(super) broken: u64,
    /// Errors that are none of a request's: captures, checks, functions.
    pub(super) others: BTreeMap<String, u64>,
    /// Answers of status 429 and of 500 or more, which timings do not keep apart.
    pub(super) answered_badly: u64,
    /// Answers without a request: the counters contradict each other.
    pub(super) unasked: u64,
}

/// What was counted while it happened: of a period, what began and what ended in it are not the same
/// requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Flow {
    pub(super) begun: u64,
    /// Virtual users that were not let in.
    pub(super) skipped: u64,
    /// Answers below 500 other than 429.
    pub(super) good: u64,
    /// 429 and 503.
    pub(super) rejected: u64,
    /// The other answers.
    pub(super) bad: u64,
    /// Connections that ended instead of an answer, or in one.
    pub(super) cut: u64,
    /// Virtual users that began, less those that ended.
    pub(super) users: i64,
}

impl Flow {
    /// `file` is for messages.
    pub(super) fn of(file: &str, period: &Period) -> Result<Self, Problem> {
        let count = |name| period.count(name);
        let ended = count("vusers.completed") + count("vusers.failed");
        let mut flow = Self {
            begun: count("http.requests"),
            skipped: count("vusers.skipped"),
            users: count("vusers.created") as i64 - ended as i64,
            ..Self::default()
        };
        for (code, count) in period.below("http.codes.") {
            let status: u16 = code.parse().map_err(|_| Problem {
                file: file.to_owned(),
                place: Place::Value(format!("http.codes.{code}")),
                message: "this is no status of HTTP: copy the file again, or repeat the run".into(),
            })?;
            match status {
                429 | 503 => flow.rejected += count,
                500.. => flow.bad += count,
                _ => flow.good += count,
            }
        }
        let cut = period.below("errors.").filter(|(error, _)| is_code(error));
        flow.cut = cut.map(|(_, count)| count).sum();
        Ok(flow)
    }
}

impl Ends {
    /// `file` is for messages.
    pub(super) fn of(file: &str, whole: &Period) -> Result<Self, Problem> {
        let flow = Flow::of(file, whole)?;
        let words = |is_code_wanted: bool| {
            let all = whole.below("errors.").filter(|(_, count)| *count > 0);
            let mut words = BTreeMap::new();
            for (error, count) in all.filter(|(error, _)| is_code(error) == is_code_wanted) {
                // Long ones may begin alike.
                *words.entry(cut(error)).or_insert(0) += count;
            }
            words
        };
        let others = words(false);
        let bad_statuses = whole.below("http.codes.").filter_map(|(code, count)| {
            let is_bad = code != "503" && code.parse().is_ok_and(|status: u16| status >= 500);
            is_bad.then(|| (format!("status {code}"), count))
        });
        let answered_badly = flow.bad + flow.rejected;
        let answered = flow.good + answered_badly;
        let sent = flow.begun.max(answered);
        let unanswered = sent - answered;
        let broken = flow.cut.saturating_sub(unanswered).min(flow.good);
        let ended_unanswered = unanswered.min(flow.cut + others.values().sum::<u64>());
        Ok(Self {
            counts: Counts {
                intended: sent + flow.skipped,
                sent,
                ok: flow.good - broken,
                failed: flow.bad + ended_unanswered + broken,
                rejected: flow.rejected,
                dropped: flow.skipped,
                unfinished: unanswered - ended_unanswered,
                attempts: None,
                retries: None,
            },
            failures: words(true).into_iter().chain(bad_statuses).collect(),
            broken,
            others,
            answered_badly,
            unasked: answered.saturating_sub(flow.begun),
        })
    }
}

/// ECONNRESET, ETIMEDOUT, ERR_SOCKET_TIMEOUT, HPE_INVALID_CONSTANT: a connection's end, and no
/// sentence.
fn is_code(error: &str) -> bool {
    let in_code = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !error.is_empty() && error.chars().all(in_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(counters: &[(&str, u64)]) -> Period {
        let counters = counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Period { counters, ..Period::default() }
    }

    #[test]
    fn every_request_ends_in_one_way() {
        // Counters; ok, failed, rejected, dropped, unfinished.
        for (name, counters, expected) in [
            ("all well", &[("http.requests", 5), ("http.codes.200", 5)][..], [5, 0, 0, 0, 0]),
            (
                "by status",
                &[
                    ("http.requests", 7),
                    ("http.codes.302", 1),
                    ("http.codes.404", 1),
                    ("http.codes.429", 1),
                    ("http.codes.500", 1),
                    ("http.codes.503", 2),
                    ("http.codes.504", 1),
                ],
                [2, 2, 3, 0, 0],
            ),
            (
                "no answer",
                &[("http.requests", 5), ("http.codes.200", 2), ("errors.ETIMEDOUT", 3)],
                [2, 3, 0, 0, 0],
            ),
            (
                "an answer broke off",
                &[("http.requests", 5), ("http.codes.200", 4), ("errors.ECONNRESET", 3)],
                [2, 3, 0, 0, 0],
            ),
            (
                "a capture failed, the request did not",
                &[
                    ("http.requests", 5),
                    ("http.codes.200", 5),
                    ("errors.Failed capture or match", 2),
                ],
                [5, 0, 0, 0, 0],
            ),
            (
                "an error in words, and no answer",
                &[("http.requests", 5), ("http.codes.200", 4), ("errors.socket hang up", 1)],
                [4, 1, 0, 0, 0],
            ),
            ("nobody knows", &[("http.requests", 5), ("http.codes.200", 4)], [4, 0, 0, 0, 1]),
            (
                "never begun",
                &[("http.requests", 1), ("http.codes.200", 1), ("vusers.skipped", 3)],
                [1, 0, 0, 3, 0],
            ),
            (
                "more answers than requests",
                &[("http.requests", 1), ("http.codes.200", 2)],
                [2, 0, 0, 0, 0],
            ),
            (
                "more errors than anything",
                &[("http.requests", 1), ("errors.EPIPE", 9)],
                [0, 1, 0, 0, 0],
            ),
        ] {
            let counts = Ends::of("x.json", &period(counters)).expect(name).counts;
            let found =
                [counts.ok, counts.failed, counts.rejected, counts.dropped, counts.unfinished];
            assert_eq!(found, expected, "{name}");
            assert!(counts.add_up(), "{name}");
        }
    }

    #[test]
    fn long_errors_are_cut_and_those_that_begin_alike_are_added() {
        let long = |end| format!("errors.{}{end}", "X".repeat(200));
        let (one, two) = (long("1"), long("2"));
        let counters = [("http.requests", 5), (one.as_str(), 2), (two.as_str(), 3)];
        let failures = Ends::of("x.json", &period(&counters)).expect("fine").failures;
        assert_eq!(failures, BTreeMap::from([("X".repeat(99) + "…", 5)]));
    }

    #[test]
    fn a_status_is_a_number() {
        let problem = Ends::of("x.json", &period(&[("http.codes.two", 1)])).expect_err("no status");
        assert!(problem.to_string().starts_with("x.json: http.codes.two: "), "{problem}");
    }
}
