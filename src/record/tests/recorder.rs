//! What must hold for any stream of requests, whatever their order. Each property is shown to
//! fail for a wrong recording that stands beside it.

use std::time::Duration;

use base::{FailureKind, Outcome, Time};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};
use record::summary::Counts;
use record::{
    BackendSample, Exchange, PhaseSpan, Plan, Recorder, Sample, Span, Tally, TrialRecord,
    WindowRecord,
};

const WARMUP: u64 = 1_000_000_000;
const WINDOW: u64 = 250_000_000;
/// Not a multiple of the window: the last one is short.
const DURATION: u64 = 2_100_000_000;

fn span(from: u64, to: u64) -> Span {
    Span { from: Duration::from_nanos(from), to: Duration::from_nanos(to) }
}

fn plan() -> Plan {
    let whole = span(0, DURATION);
    Plan {
        variant: "default".to_owned(),
        parameters: Vec::new(),
        subject: "lab".to_owned(),
        generator: None,
        round: 1,
        warmup: Duration::from_nanos(WARMUP),
        phases: vec![PhaseSpan { name: "steady".to_owned(), span: whole, rate: (100.0, 100.0) }],
        window: Duration::from_nanos(WINDOW),
        backends: vec!["a-1".to_owned()],
        // One of them cuts through windows, and one is the whole, which needs no second tally.
        spans: vec![span(300_000_000, 1_000_000_000), span(1_000_000_000, DURATION), whole],
        keep_requests: false,
    }
}

/// A request as a test knows it.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    exchange: Exchange,
    /// Whether the engine tells its end at all.
    ends: bool,
    /// How much later than it began its end is told, when the order is shuffled.
    told_after: u64,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let outcome = prop_oneof![
        6 => Just(Outcome::Ok),
        1 => Just(Outcome::Rejected),
        1 => Just(Outcome::Failed(FailureKind::Timeout)),
        1 => Just(Outcome::Failed(FailureKind::Connect)),
        1 => Just(Outcome::Dropped),
        1 => Just(Outcome::Unfinished),
    ];
    let request = (
        0..WARMUP + DURATION,
        prop_oneof![Just(0), 0..50_000_000u64],
        prop_oneof![0..100_000_000u64, 0..2_000_000_000u64],
        outcome,
        prop::bool::weighted(0.95),
        prop::bool::weighted(0.95),
        0..3_000_000_000u64,
    );
    let request =
        request.prop_map(|(intended, wait, lasts, outcome, is_sent, ends, told_after)| {
            let is_sent = is_sent && outcome != Outcome::Dropped;
            let exchange = Exchange {
                request: 0,
                intended: Time::from_nanos(intended),
                sent: is_sent.then(|| Time::from_nanos(intended + wait)),
                ended: Time::from_nanos(intended + wait + lasts),
                outcome,
                status: None,
                backend: Some(0),
            };
            Request { exchange, ends, told_after }
        });
    prop::collection::vec(request, 0..300)
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// Ends are told when they happen.
    Time,
    /// Ends are told at any time after the beginning.
    Shuffled,
}

/// Feeds a recorder. Beginnings come in order of time, as engines have them.
fn feed(recorder: &mut Recorder, requests: &[Request], order: Order) {
    let mut steps: Vec<(u64, bool, &Request)> = Vec::new();
    for request in requests {
        let intended = request.exchange.intended.as_nanos();
        steps.push((intended, false, request));
        if request.ends {
            let told = match order {
                Order::Time => request.exchange.ended.as_nanos(),
                Order::Shuffled => intended + request.told_after,
            };
            steps.push((told, true, request));
        }
    }
    steps.sort_by_key(|(at, is_end, _)| (*at, *is_end));
    for (_, is_end, request) in steps {
        match is_end {
            false => recorder.begin(request.exchange.intended),
            true => recorder.end(&request.exchange),
        }
    }
}

fn recorded(requests: &[Request]) -> TrialRecord {
    let mut recorder = Recorder::new(plan());
    feed(&mut recorder, requests, Order::Time);
    recorder.finish()
}

/// Runs a property over random streams.
fn check(property: impl Fn(&[Request]) -> bool) -> Result<(), TestError<Vec<Request>>> {
    run(property, Config { cases: 64, ..Config::default() })
}

/// Whether some stream shows the property not to hold (no need for the smallest one).
fn is_refuted(property: impl Fn(&[Request]) -> bool) -> bool {
    run(property, Config { cases: 64, max_shrink_iters: 0, ..Config::default() }).is_err()
}

fn run(
    property: impl Fn(&[Request]) -> bool,
    config: Config,
) -> Result<(), TestError<Vec<Request>>> {
    // The same streams every time; files of failures would be written into the source.
    let config = Config { failure_persistence: None, ..config };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng).run(&requests(), |requests| {
        prop_assert!(property(&requests));
        Ok(())
    })
}

fn is_measured(request: &&Request) -> bool {
    request.exchange.intended.as_nanos() >= WARMUP
}

fn adds_up(counts: &Counts) -> bool {
    counts.intended
        == counts.ok + counts.failed + counts.rejected + counts.dropped + counts.unfinished
}

#[test]
fn every_intended_request_has_one_outcome() {
    let counters = |record: &TrialRecord| -> Vec<Counts> {
        let spans = record.tallies().iter().map(|tally| tally.counts);
        spans.chain(record.windows().iter().map(|window| window.counts)).collect()
    };
    let holds = check(|requests| {
        let record = recorded(requests);
        let intended = requests.iter().filter(is_measured).count() as u64;
        record.counts().intended == intended && counters(&record).iter().all(adds_up)
    });
    assert_eq!(holds, Ok(()));

    /// Believes that what an engine did not end did not happen.
    fn forgets_what_did_not_end(requests: &[Request]) -> Counts {
        let ended: Vec<Request> = requests.iter().filter(|r| r.ends).cloned().collect();
        let intended = requests.iter().filter(is_measured).count() as u64;
        Counts { intended, ..recorded(&ended).counts() }
    }
    assert!(is_refuted(|requests| adds_up(&forgets_what_did_not_end(requests))));
}

#[test]
fn windows_sum_to_the_whole_and_spans_to_their_part() {
    let sums = |record: &TrialRecord| {
        let mut sum = Counts { attempts: None, retries: None, ..Counts::default() };
        let mut latency = record::Distribution::default();
        let mut dispatch = record::Distribution::default();
        for window in record.windows() {
            sum.merge(&window.counts);
            latency.merge(&window.latency);
            dispatch.merge(&window.dispatch);
        }
        let whole = &record.tallies()[0];
        sum == whole.counts && latency == whole.latency && dispatch == whole.dispatch
    };
    assert_eq!(check(|requests| sums(&recorded(requests))), Ok(()));

    let belongs = |requests: &[Request], record: &TrialRecord| {
        record.tallies().iter().all(|tally| {
            let (from, to) = (tally.span.from.as_nanos() as u64, tally.span.to.as_nanos() as u64);
            let inside = requests.iter().filter(|request| {
                let at = request.exchange.intended.as_nanos();
                (WARMUP + from..WARMUP + to).contains(&at)
            });
            tally.counts.intended == inside.count() as u64
        })
    };
    assert_eq!(check(|requests| belongs(requests, &recorded(requests))), Ok(()));

    /// Books a request when it ends, as a generator without a schedule would.
    fn by_the_time_it_ended(requests: &[Request]) -> TrialRecord {
        let moved: Vec<Request> = requests
            .iter()
            .cloned()
            .map(|mut request| {
                request.exchange.intended = request.exchange.ended;
                request
            })
            .collect();
        recorded(&moved)
    }
    assert!(is_refuted(|requests| belongs(requests, &by_the_time_it_ended(requests))));
}

/// Counted request by request, at every window's end.
fn in_flight_counted(requests: &[Request]) -> Vec<u64> {
    let windows = DURATION.div_ceil(WINDOW);
    (1..=windows)
        .map(|window| {
            let end = Time::from_nanos(WARMUP + (window * WINDOW).min(DURATION));
            let is_open = |request: &&Request| {
                request.ends
                    && request.exchange.sent.is_some_and(|sent| sent <= end)
                    && end < request.exchange.ended
            };
            requests.iter().filter(is_measured).filter(is_open).count() as u64
        })
        .collect()
}

#[test]
fn in_flight_is_what_was_sent_and_had_not_ended() {
    let exact = |requests: &[Request], in_flight: fn(&[WindowRecord]) -> Vec<u64>| {
        in_flight(recorded(requests).windows()) == in_flight_counted(requests)
    };
    let told = |windows: &[WindowRecord]| windows.iter().map(|window| window.in_flight).collect();
    assert_eq!(check(|requests| exact(requests, told)), Ok(()));

    /// Takes those for in flight that have begun in the window without a good end.
    fn begun_without_an_answer(windows: &[WindowRecord]) -> Vec<u64> {
        windows.iter().map(|w| w.counts.sent.saturating_sub(w.counts.ok)).collect()
    }
    assert!(is_refuted(|requests| exact(requests, begun_without_an_answer)));
}

#[test]
fn the_order_in_which_ends_are_told_changes_nothing() {
    type Recording = fn(&[Request], Order) -> TrialRecord;
    fn by_intended_time(requests: &[Request], order: Order) -> TrialRecord {
        let mut recorder = Recorder::new(plan());
        feed(&mut recorder, requests, order);
        recorder.finish()
    }
    let is_the_same = |requests: &[Request], recording: Recording| {
        let (shuffled, in_time) =
            (recording(requests, Order::Shuffled), recording(requests, Order::Time));
        shuffled.tallies() == in_time.tallies() && shuffled.windows() == in_time.windows()
    };
    assert_eq!(check(|requests| is_the_same(requests, by_intended_time)), Ok(()));

    /// Books a request in the window that is open when its end is told.
    fn by_the_window_then_open(requests: &[Request], order: Order) -> TrialRecord {
        let moved: Vec<Request> = requests
            .iter()
            .cloned()
            .map(|mut request| {
                let intended = request.exchange.intended;
                request.exchange.intended = match order {
                    Order::Time => request.exchange.ended,
                    Order::Shuffled => intended + Duration::from_nanos(request.told_after),
                };
                request
            })
            .collect();
        recorded(&moved)
    }
    assert!(is_refuted(|requests| is_the_same(requests, by_the_window_then_open)));
}

fn p99_ms(tally: &Tally) -> Option<f64> {
    record::summary::Percentiles::of(&tally.latency).p99
}

#[test]
fn merged_rounds_are_one_recorder_fed_with_both() {
    let halves = |requests: &[Request]| {
        let (a, b) = requests.split_at(requests.len() / 3);
        let mut both = Recorder::new(plan());
        feed(&mut both, a, Order::Time);
        // The second round begins at zero again: closed windows are taken up.
        feed(&mut both, b, Order::Time);
        (recorded(a), recorded(b), both.finish())
    };
    let holds = check(|requests| {
        let (a, b, both) = halves(requests);
        let merged = a.tallies().iter().zip(b.tallies()).map(|(a, b)| {
            let mut merged = a.clone();
            merged.merge(b);
            merged
        });
        merged.eq(both.tallies().iter().cloned())
            && a.windows().iter().zip(b.windows()).zip(both.windows()).all(|((a, b), both)| {
                let mut latency = a.latency.clone();
                latency.merge(&b.latency);
                latency == both.latency && a.counts.ok + b.counts.ok == both.counts.ok
            })
    });
    assert_eq!(holds, Ok(()));

    /// The mean of the rounds' percentiles, which is a percentile of nothing.
    fn averaged(a: &Tally, b: &Tally) -> Option<f64> {
        Some((p99_ms(a)? + p99_ms(b)?) / 2.0)
    }
    let is_wrong = is_refuted(|requests| {
        let (a, b, both) = halves(requests);
        averaged(&a.tallies()[0], &b.tallies()[0]) == p99_ms(&both.tallies()[0])
    });
    assert!(is_wrong);
}

#[test]
fn good_and_failed_requests_never_share_a_histogram() {
    let mut recorder = Recorder::new(plan());
    for (request, (outcome, lasts_ms)) in [
        (Outcome::Ok, 20),
        (Outcome::Failed(FailureKind::Timeout), 5_000),
        (Outcome::Rejected, 1),
        (Outcome::Dropped, 5_000),
        (Outcome::Unfinished, 700),
    ]
    .into_iter()
    .enumerate()
    {
        let intended = Time::from_nanos(WARMUP);
        recorder.begin(intended);
        recorder.end(&Exchange {
            request: request as u64,
            intended,
            sent: (outcome != Outcome::Dropped).then_some(intended + Duration::from_millis(1)),
            ended: intended + Duration::from_millis(lasts_ms),
            outcome,
            status: None,
            backend: None,
        });
    }
    let record = recorder.finish();
    let whole = &record.tallies()[0];
    assert_eq!((whole.latency.count(), whole.latency.max()), (1, Some(20_000_000)));
    assert_eq!((whole.service.count(), whole.service.max()), (1, Some(19_000_000)));
    assert_eq!((whole.failed.count(), whole.failed.max()), (1, Some(5_000_000_000)));
    assert_eq!((whole.dispatch.count(), whole.dispatch.max()), (4, Some(1_000_000)));
}

#[test]
fn the_warm_up_shows_in_the_progress_and_nowhere_else() {
    let mut recorder = Recorder::new(plan());
    let progress = recorder.progress();
    for intended in [0, WARMUP - 1, WARMUP] {
        let intended = Time::from_nanos(intended);
        recorder.begin(intended);
        recorder.end(&Exchange {
            request: 0,
            intended,
            sent: Some(intended),
            // The one of the warm-up ends in the measured time and still is none of it.
            ended: intended + Duration::from_secs(1),
            outcome: Outcome::Ok,
            status: Some(200),
            backend: None,
        });
    }
    let load =
        |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((load(&progress.intended), load(&progress.ok), load(&progress.not_ok)), (3, 3, 0));
    assert_eq!(load(&progress.now_ns), WARMUP + 1_000_000_000);
    let record = recorder.finish();
    assert_eq!(record.counts().intended, 1);
    let in_flight: Vec<u64> = record.windows().iter().map(|window| window.in_flight).collect();
    assert_eq!(in_flight, [1, 1, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn an_interrupted_trial_keeps_the_windows_it_played() {
    for (at_ms, windows) in [(1_600, 3), (1_500, 2), (1_000, 0), (400, 0), (9_000, 9)] {
        let mut recorder = Recorder::new(plan());
        let at = Time::from_nanos(at_ms * 1_000_000);
        let mut intended = Time::from_nanos(WARMUP);
        while intended < at && intended < Time::from_nanos(WARMUP + DURATION) {
            recorder.begin(intended);
            intended += Duration::from_millis(100);
        }
        recorder.interrupted(at);
        let record = recorder.finish();
        assert_eq!(record.windows().len(), windows, "{at_ms} ms");
        assert_eq!(record.counts().unfinished, record.counts().intended);
        assert_eq!(record.verdict().0, record::Verdict::Interrupted);
        let beyond = record.tallies()[2].counts.intended;
        assert_eq!(beyond > 0, at_ms > 2_000, "a span that was not reached holds nothing");
    }
}

/// Retries are known at the ends of windows: a span that cuts one has none, rather than its
/// neighbour's.
#[test]
fn a_span_that_cuts_a_window_tells_no_retries() {
    let mut recorder = Recorder::new(plan());
    for window in 0..=9 {
        let at = (window * WINDOW).min(DURATION);
        recorder.sample(Sample {
            at: Time::from_nanos(WARMUP + at),
            retries: Some(window * 10),
            backends: vec![BackendSample::default()],
        });
    }
    let record = recorder.finish();
    let retries = |from, to| {
        let tally = record.tallies().iter().find(|tally| tally.span == span(from, to));
        tally.expect("it was planned").counts.retries
    };
    assert_eq!(retries(0, DURATION), Some(90));
    assert_eq!(retries(1_000_000_000, DURATION), Some(50));
    assert_eq!(retries(300_000_000, 1_000_000_000), None);
}
