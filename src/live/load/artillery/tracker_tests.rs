//! The tracker, from notes to the record.

use std::time::Duration;

use record::{Plan, Recorder, TrialRecord};

use super::*;

const ZERO_NS: u64 = 7_000_000_000_000;
const TIMEOUT: Duration = Duration::from_secs(1);

fn planned() -> Planned {
    Planned { workers: 1, warmup: 1, measured: 3, first: 2, last: 3, empty: Vec::new() }
}

/// Plays notes, one a line, whose times are milliseconds from the beginning of the warm-up of 2 s;
/// two phases of 1 s follow.
fn play(plan: &Planned, notes: &str, cut_short: bool) -> (LoadReport, TrialRecord) {
    let span =
        |from, to| record::Span { from: Duration::from_secs(from), to: Duration::from_secs(to) };
    let phase = |name: &str, span| record::PhaseSpan { name: name.into(), span, rate: (2.0, 2.0) };
    let warmup = Duration::from_secs(2);
    let mut recorder = Recorder::new(Plan {
        variant: "default".into(),
        parameters: Vec::new(),
        subject: "lab".into(),
        generator: Some("artillery".into()),
        round: 1,
        warmup,
        phases: vec![phase("a", span(0, 1)), phase("b", span(1, 2))],
        window: Duration::from_secs(1),
        backends: vec!["a-1".into(), "a-2".into()],
        spans: Vec::new(),
        keep_requests: true,
    });
    let backends = ["a-1".to_owned(), "a-2".to_owned()];
    let expected = Expected {
        plan,
        zero_ns: ZERO_NS,
        warmup,
        length: Duration::from_secs(4),
        timeout: TIMEOUT,
        backends: &backends,
    };
    let mut tracker = Tracker::new(expected, &mut recorder);
    for line in notes.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // Times are the words that end in "ms".
        let words = line.split(' ').map(|word| match word.strip_suffix("ms") {
            Some(ms) => (ZERO_NS + ms.parse::<u64>().expect("a time") * 1_000_000).to_string(),
            None => word.to_owned(),
        });
        let line = words.collect::<Vec<_>>().join(" ");
        tracker.handle(Note::parse(&line).unwrap_or_else(|| panic!("{line}")));
    }
    let (report, _) = tracker.finish(Time::from_nanos(5_000_000_000), cut_short);
    (report, recorder.finish())
}

const WHOLE: &str = "
    hello 1 20.0.0 2.0.34
    phase 0 0ms
    phase 1 1ms
    b 0 1000ms
    e 0 1001ms 1020ms 200 a-1 -
    over 1 2002ms
    phase 2 2003ms
    l 2500ms 0.25 3000000
    b 1 2500ms
    e 1 2502ms 2530ms 200 a-2 -
    phase 3 3004ms
    b 2 3504ms
    e 2 3505ms 3514ms 503 a-1 -
    l 3500ms 0.75 25000000
    b 3 4003ms
    e 3 4003ms 4023ms - - ECONNRESET
    over 3 4005ms
    total vusers.created 4
    total vusers.completed 3
    total vusers.failed 1
    total errors.ECONNRESET 1
    total http.codes.200 2
    total http.codes.503 1
    session 20.5 30
    bye";

#[test]
fn requests_are_recorded_and_what_is_known_of_artillery_with_them() {
    let (report, record) = play(&planned(), WHOLE, false);
    let counts = record.counts();
    assert_eq!((counts.intended, counts.ok, counts.rejected, counts.failed), (3, 1, 1, 1));
    let requests = record.requests();
    let ms = |time: Time| time.as_nanos() as f64 / 1e6;
    let first = requests[0];
    assert_eq!((ms(first.intended), ms(first.ended)), (2500.0, 2530.0));
    assert_eq!((first.sent.map(ms), first.backend), (Some(2502.0), Some(1)));
    // Made 3 ms after the planned end, by drift: it counts as of the end, and took its 20 ms.
    let last = requests[2];
    assert!(ms(last.intended) < 4000.0 && ms(last.intended) > 3999.9, "{last:?}");
    assert_eq!(last.ended.since(last.intended), Duration::from_millis(20));
    assert_eq!(last.outcome, Outcome::Failed(FailureKind::Reset));

    assert_eq!(report.cpu, Duration::from_secs(1), "half of the two seconds");
    assert_eq!(report.max_stall, Duration::from_millis(25));
    let foreign = report.foreign.expect("it is not ours");
    assert_eq!((foreign.planned, foreign.made), (4, 4));
    assert_eq!(foreign.planned_length, Duration::from_secs(2));
    assert_eq!(foreign.length, Duration::from_millis(2002));
    assert_eq!(foreign.disagreements, Vec::<String>::new());
}

/// What it does at rates that it cannot hold: the phases end on time, and users come seconds later.
#[test]
fn requests_that_were_made_late_are_neither_hidden_nor_believed() {
    let late = WHOLE
        .replace("b 3 4003ms", "b 3 4803ms")
        .replace("e 3 4003ms 4023ms - - ECONNRESET", "e 3 4804ms 4823ms - - ECONNRESET");
    let (report, record) = play(&planned(), &late, false);
    let last = record.requests()[2];
    assert!(last.ended.since(last.intended) >= Duration::from_millis(823), "{last:?}");
    let foreign = report.foreign.expect("it is not ours");
    assert_eq!((foreign.made, foreign.late), (4, 1));
    assert_eq!(foreign.length, Duration::from_millis(2800), "to the last one made");
}

#[test]
fn the_warm_up_is_told_by_the_order_and_not_by_the_clock() {
    // The last request of the warm-up is made behind its planned end.
    let notes = "b 0 2001ms\ne 0 2001ms 2010ms 200 a-1 -\nb 1 2002ms\ne 1 2002ms 2011ms 200 a-1 -";
    let (_, record) = play(&planned(), notes, true);
    assert_eq!(record.counts().intended, 1);
    // And with no warm-up the first one is measured.
    let (_, record) = play(&Planned { warmup: 0, ..planned() }, notes, true);
    assert_eq!(record.counts().intended, 2);
}

#[test]
fn where_artillery_counted_otherwise_is_named() {
    for (from, to, named) in [
        ("total vusers.created 4", "total vusers.created 5", "vusers.created is 5"),
        ("total vusers.completed 3", "total vusers.completed 2", "vusers.completed is 2"),
        ("total vusers.failed 1", "total vusers.failed 0", "vusers.failed is 0"),
        ("total errors.ECONNRESET 1", "total errors.ECONNRESET 2", "the sum of errors is 2"),
        ("total http.codes.200 2", "total http.codes.200 1", "the sum of http.codes is 2"),
        ("e 1 2502ms 2530ms 200 a-2 -", "", "have no end in the record"),
        // The head of an answer whose body failed.
        ("total http.codes.200 2", "total http.codes.200 3", ""),
    ] {
        assert!(WHOLE.contains(from));
        let (report, record) = play(&planned(), &WHOLE.replace(from, to), false);
        let found = report.foreign.expect("it is not ours").disagreements;
        assert_eq!(found.is_empty(), named.is_empty(), "{from}: {found:?}");
        assert!(found.iter().any(|words| words.contains(named)) || named.is_empty(), "{found:?}");
        let counts = record.counts();
        let ends = counts.ok + counts.failed + counts.rejected + counts.unfinished;
        assert_eq!(counts.intended, ends, "whatever is missing");
    }
}

#[test]
fn what_is_open_when_the_load_is_cut_short_is_unfinished() {
    let (report, record) = play(&planned(), "b 0 500ms\nb 1 2500ms\nb 2 2600ms", true);
    assert_eq!((record.counts().intended, record.counts().unfinished), (2, 2));
    assert_eq!(report.foreign.expect("known").disagreements, Vec::<String>::new());
    assert_eq!(record.verdict().0, record::Verdict::Interrupted);
}

#[test]
fn an_answer_after_the_timeout_is_none() {
    let notes = "b 0 0ms\ne 0 1ms 2ms 200 a-1 -\nb 1 2500ms\ne 1 2501ms 3501ms 200 a-1 -";
    let (_, record) = play(&planned(), notes, true);
    assert_eq!(record.requests()[0].outcome, Outcome::Failed(FailureKind::Timeout));
}

#[test]
fn artillerys_words_for_failures_are_ours() {
    for (error, kind) in [
        ("ECONNREFUSED", FailureKind::Connect),
        ("ECONNRESET", FailureKind::Reset),
        ("EPIPE", FailureKind::Reset),
        ("ETIMEDOUT:response", FailureKind::Timeout),
        ("ETIMEDOUT:connect", FailureKind::ConnectTimeout),
        ("ERR_SOCKET_TIMEOUT", FailureKind::Timeout),
        ("HPE_INVALID_CONSTANT", FailureKind::Protocol),
        ("", FailureKind::Protocol),
    ] {
        assert_eq!(failure(error), kind, "{error}");
    }
}

#[test]
fn what_ran_out_is_said_with_a_remedy() {
    let notes = "b 0 0ms\ne 0 - 2ms - - EMFILE\nb 1 2500ms\ne 1 - 2501ms - - EADDRNOTAVAIL:connect";
    let (report, _) = play(&planned(), notes, true);
    assert!(report.shortages[0].contains("file descriptors ran out 1 times"));
    assert!(report.shortages[1].contains("ip_local_port_range"));
}
