//! What is to be known of one result before its figures are believed, in sentences. It must not change
//! a figure.

use super::ends::Ends;
use super::line::Line;
use super::timing::Timing;
use super::written::{Period, Written};
use crate::problem::cut;

/// So many scenarios and errors are named; a test can have any number.
const MAX_NAMED: usize = 8;
/// A pause in a test may last; after so long without a request it is likelier that a time is wrong.
const LONG_GAP_S: f64 = 3600.0;

/// In the order of importance.
pub(super) fn of(
    written: &Written,
    ends: &Ends,
    line: &Line,
    timing: Option<Timing>,
) -> Vec<String> {
    let all = [
        contradictions(written, ends, timing),
        of_users(written, ends),
        of_answers(written, ends, timing),
        of_periods(written, line),
    ];
    all.into_iter().flatten().collect()
}

/// The sentences whose condition holds.
fn told<const N: usize>(sentences: [(bool, String); N]) -> Vec<String> {
    sentences.into_iter().filter_map(|(holds, sentence)| holds.then_some(sentence)).collect()
}

/// Figures of which at least one is wrong.
fn contradictions(written: &Written, ends: &Ends, timing: Option<Timing>) -> Vec<String> {
    let Some(timing) = timing else { return Vec::new() };
    let sent = ends.counts.sent;
    let most = match timing {
        Timing::Session => written.whole.count("vusers.created"),
        Timing::Total | Timing::FirstByte => sent,
    };
    let of = match timing {
        Timing::Session => "virtual users",
        Timing::Total | Timing::FirstByte => "requests",
    };
    let timed = timing.in_period(&written.whole).count.unwrap_or(0.0);
    let wrong = |period: &Period| timing.in_period(period).contradiction();
    let in_periods: Vec<String> = written.periods.iter().filter_map(wrong).collect();
    let name = timing.name();
    told([
        (
            timed > most as f64,
            format!("{name} has {timed} times of {most} {of}: these figures contradict each other"),
        ),
        (
            wrong(&written.whole).is_some(),
            format!(
                "{name} contradicts itself: {}; no percentile of it can be trusted",
                wrong(&written.whole).unwrap_or_default()
            ),
        ),
        (
            !in_periods.is_empty(),
            format!(
                "{name} contradicts itself in {} of {} periods, the first: {}",
                in_periods.len(),
                written.periods.len(),
                in_periods.first().map_or("", String::as_str)
            ),
        ),
    ])
}

fn of_users(written: &Written, ends: &Ends) -> Vec<String> {
    let count = |name: &str| written.whole.count(name);
    let (created, completed, failed) =
        (count("vusers.created"), count("vusers.completed"), count("vusers.failed"));
    let sent = ends.counts.sent;
    let each = sent as f64 / created.max(1) as f64;
    let scenarios: Vec<(&str, u64)> = written.whole.below("vusers.created_by_name.").collect();
    told([
        (
            created < completed + failed,
            format!(
                "{completed} virtual users completed and {failed} failed, more than the {created} that \
                 were created: these figures contradict each other"
            ),
        ),
        (
            created > completed + failed,
            format!(
                "{created} virtual users were created, but {completed} completed and {failed} failed: \
                 the rest was under way when the result was written, or got lost"
            ),
        ),
        (
            sent > created && created > 0,
            format!(
                "{sent} requests of {created} virtual users, {each:.1} each (redirects are requests): \
                 requests are counted here, and a failed one leaves those behind it unsent"
            ),
        ),
        (
            scenarios.len() > 1,
            format!(
                "{} scenarios are mixed in every figure: {}",
                scenarios.len(),
                named(&scenarios)
            ),
        ),
    ])
}

fn of_answers(written: &Written, ends: &Ends, timing: Option<Timing>) -> Vec<String> {
    let Ends { counts, answered_badly, broken, unasked, .. } = ends;
    let users = written.whole.count("vusers.completed").saturating_sub(counts.ok);
    let others: Vec<(&str, u64)> =
        ends.others.iter().map(|(error, count)| (error.as_str(), *count)).collect();
    let of_users = timing == Some(Timing::Session);
    told([
        (
            *answered_badly > 0 && timing.is_some() && !of_users,
            format!(
                "{answered_badly} answers with status 429 or of 500 and above are among the latencies"
            ),
        ),
        (
            users > 0 && of_users,
            format!(
                "{users} virtual users with a bad answer completed all the same: their time is in the \
                 latency"
            ),
        ),
        (
            *broken > 0,
            format!(
                "{broken} answers with a good status are counted as failed: there were so many more \
                 errors of connections than requests without an answer, so answers broke off (in the \
                 charts they are both)"
            ),
        ),
        (
            *unasked > 0,
            format!("{unasked} answers have no request: the counters contradict each other"),
        ),
        (
            counts.unfinished > 0,
            format!("of {} requests the result tells no end", counts.unfinished),
        ),
        (!others.is_empty(), format!("errors that are no request's: {}", named(&others))),
    ])
}

fn of_periods(written: &Written, line: &Line) -> Vec<String> {
    let in_whole = written.whole.count("http.requests");
    let in_periods: u64 = written.periods.iter().map(|period| period.count("http.requests")).sum();
    told([
        (
            written.periods.is_empty(),
            "there are no periods: nothing is known of the course of the run".to_owned(),
        ),
        (
            in_periods != in_whole && !written.periods.is_empty(),
            format!(
                "the periods have {in_periods} requests and the whole {in_whole}: Artillery loses track \
                 in ramps at times; the table has the whole, the charts the periods"
            ),
        ),
        (
            line.is_elsewhere,
            "the whole began or ended at a time that is not in its periods: the periods' times are \
             shown"
                .to_owned(),
        ),
        (
            line.longest_gap_s > LONG_GAP_S,
            format!(
                "{:.1} h lie between two periods without anything in between: the time of one of them \
                 may be wrong, and all rates with it",
                line.longest_gap_s / 3600.0
            ),
        ),
        (
            line.twice > 0,
            format!(
                "{} periods are there twice: their counters are added, their latencies left out",
                line.twice
            ),
        ),
    ])
}

/// "browse (70), look (36)".
fn named(all: &[(&str, u64)]) -> String {
    let shown: Vec<String> = all
        .iter()
        .take(MAX_NAMED)
        .map(|(name, count)| format!("{} ({count})", cut(name)))
        .collect();
    let more = match all.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.join(", ") + &more
}
