//! From the notes of Artillery's requests to the record, and what they say of Artillery itself. It
//! must not know processes or pipes.
//!
//! Artillery does not tell when a request should have gone, only when it made its virtual user: that
//! is taken for the intended time, and what Artillery was late with is known of the whole alone
//! ([`record::Foreign`]). Its phases drift by a millisecond or two a second. A request belongs to the
//! warm-up or to the phases by its place in the order and not by the clock, so that no count depends
//! on the drift. One that was made after the planned end counts as of that end: within the drift with
//! its own durations, later with all that it was late.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base::{FailureKind, Outcome, Time};
use record::{Exchange, Foreign, Recorder};

use super::notes::{End, Note};
use super::script::Planned;
use crate::load::LoadReport;

/// Artillery's own timers and timestamps are whole milliseconds.
const CLOCK: Duration = Duration::from_millis(1);

/// What the notes are held against.
#[derive(Clone, Debug)]
pub(super) struct Expected<'a> {
    pub(super) plan: &'a Planned,
    /// The beginning of the warm-up, ns of CLOCK_MONOTONIC; all times count from there.
    pub(super) zero_ns: u64,
    pub(super) warmup: Duration,
    /// The end of the phases.
    pub(super) length: Duration,
    pub(super) timeout: Duration,
    /// The backends' names in the plan's order.
    pub(super) backends: &'a [String],
}

/// Tells the recorder what the notes say.
pub(super) struct Tracker<'a> {
    expected: Expected<'a>,
    recorder: &'a mut Recorder,
    open: HashMap<u64, Open>,
    made: u64,
    /// Whole answers by status, and failures by Artillery's word for them.
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    /// Artillery's own counters.
    totals: BTreeMap<String, u64>,
    /// Its own p50 and p99 of a virtual user, ms.
    session: Option<(f64, f64)>,
    /// The measured part: when its first phase began, and when its last one ended or its last
    /// request was made, whichever is later: Artillery ends a phase on time and makes late what it
    /// had no time for.
    measured: (Option<u64>, Option<u64>),
    /// Measured requests that were made after the planned end, by more than the drift.
    late: u64,
    /// Of the measured part: the sum of busy shares, how many, and the longest an event loop was late.
    busy: (f64, u32),
    max_late: (Duration, Option<Time>),
    has_ended: bool,
}

/// A request that has begun.
#[derive(Clone, Copy, Debug)]
struct Open {
    intended: Time,
    /// How much later it really was due: the drift of Artillery's phases.
    drift: Duration,
}

impl<'a> Tracker<'a> {
    pub(super) fn new(expected: Expected<'a>, recorder: &'a mut Recorder) -> Self {
        Self {
            expected,
            recorder,
            open: HashMap::new(),
            made: 0,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            totals: BTreeMap::new(),
            session: None,
            measured: (None, None),
            late: 0,
            busy: (0.0, 0),
            max_late: (Duration::ZERO, None),
            has_ended: false,
        }
    }

    /// Whether Artillery has told all.
    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn handle(&mut self, note: Note) {
        match note {
            Note::Begin { number, at_ns } => self.begin(number, at_ns),
            Note::End(end) => self.end(end),
            Note::Phase { index, at_ns } if index == self.expected.plan.first => {
                self.measured.0 = Some(at_ns);
            }
            Note::Over { index, at_ns } if index == self.expected.plan.last => {
                self.measured.1 = self.measured.1.max(Some(at_ns));
            }
            Note::Loop { at_ns, busy, late_ns } => self.note_loop(at_ns, busy, late_ns),
            Note::Total { name, value } => *self.totals.entry(name).or_default() += value,
            Note::Session { p50_ms, p99_ms } => self.session = Some((p50_ms, p99_ms)),
            Note::Bye => self.has_ended = true,
            Note::Hello { .. } | Note::Phase { .. } | Note::Over { .. } => {}
        }
    }

    /// The time since the beginning of the warm-up.
    fn time(&self, at_ns: u64) -> Time {
        Time::from_nanos(at_ns.saturating_sub(self.expected.zero_ns))
    }

    fn begin(&mut self, number: u64, at_ns: u64) {
        const TICK: Duration = Duration::from_nanos(1);
        let Expected { plan, warmup, length, .. } = self.expected;
        let at = self.time(at_ns);
        let of_warmup = self.made < plan.warmup;
        let (first, end) = if of_warmup { (Duration::ZERO, warmup) } else { (warmup, length) };
        let last = Time::ZERO + end.saturating_sub(TICK);
        let intended = at.clamp(Time::ZERO + first, last.max(Time::ZERO + first));
        self.made += 1;
        if !of_warmup {
            self.measured.1 = self.measured.1.max(Some(at_ns));
        }
        let mut drift = at.since(intended);
        if drift > Foreign::drift(end - first) {
            drift = Duration::ZERO;
            self.late += u64::from(!of_warmup);
        }
        self.recorder.begin(intended);
        self.open.insert(number, Open { intended, drift });
    }

    fn end(&mut self, end: End) {
        // One that never began, or ended before: Artillery's counters will differ from ours.
        let Some(Open { intended, drift }) = self.open.remove(&end.number) else { return };
        let back = |at_ns: u64| {
            let at = self.time(at_ns).as_nanos().saturating_sub(base::time::nanos(drift));
            Time::from_nanos(at).max(intended)
        };
        let ended = back(end.ended_ns);
        let sent = end.sent_ns.map(|sent_ns| back(sent_ns).min(ended));
        let outcome = match (end.status, end.error.as_deref()) {
            _ if ended.since(intended) > self.expected.timeout => {
                Outcome::Failed(FailureKind::Timeout)
            }
            (Some(status), _) => Outcome::of_status(status),
            (None, error) => Outcome::Failed(failure(error.unwrap_or_default())),
        };
        match (end.status, end.error) {
            (Some(status), _) => *self.statuses.entry(status).or_default() += 1,
            (None, error) => *self.errors.entry(error.unwrap_or_default()).or_default() += 1,
        }
        let named = |name: &String| self.expected.backends.iter().position(|known| known == name);
        let backend = end.backend.as_ref().and_then(named);
        self.recorder.end(&Exchange {
            request: end.number,
            intended,
            sent,
            ended,
            outcome,
            status: end.status,
            backend: backend.and_then(|index| u32::try_from(index).ok()),
        });
    }

    fn note_loop(&mut self, at_ns: u64, busy: f64, late_ns: u64) {
        let at = self.time(at_ns);
        let Expected { warmup, length, .. } = self.expected;
        if at < Time::ZERO + warmup || at > Time::ZERO + length {
            return;
        }
        self.busy = (self.busy.0 + busy, self.busy.1 + 1);
        let late = Duration::from_nanos(late_ns);
        if late > self.max_late.0 {
            self.max_late = (late, Some(at));
        }
    }

    /// Nothing more will come. What is open ends as unfinished; when the load was cut short, the
    /// recorder learns it.
    pub(super) fn finish(mut self, now: Time, cut_short: bool) -> (LoadReport, Vec<String>) {
        let disagreements = if cut_short { Vec::new() } else { self.disagreements() };
        for (number, Open { intended, .. }) in std::mem::take(&mut self.open) {
            self.recorder.end(&Exchange {
                request: number,
                intended,
                sent: None,
                ended: now.max(intended),
                outcome: Outcome::Unfinished,
                status: None,
                backend: None,
            });
        }
        if cut_short {
            self.recorder.interrupted(now);
        }
        let Expected { plan, warmup, length, .. } = self.expected;
        let planned_length = length - warmup;
        let (began, ended) = self.measured;
        let took = began.zip(ended).map(|(began, ended)| ended.saturating_sub(began));
        let report = LoadReport {
            max_stall: self.max_late.0,
            max_stall_at: self.max_late.1,
            cpu: planned_length.mul_f64(self.busy.0 / f64::from(self.busy.1.max(1))),
            shortages: self.shortages(),
            foreign: Some(Foreign {
                name: "Artillery".into(),
                clock: CLOCK,
                threads: plan.workers,
                empty: plan.empty.clone(),
                planned: plan.requests(),
                made: self.made,
                planned_length,
                late: self.late,
                length: took.map_or(planned_length, Duration::from_nanos),
                disagreements,
            }),
            ..LoadReport::default()
        };
        let own = self.session.map(|(p50, p99)| {
            format!(
                "by its own sketch, of 1 % and with the warm-up, a virtual user took {p50} ms at \
                 p50 and {p99} ms at p99"
            )
        });
        (report, own.into_iter().collect())
    }

    /// Where Artillery's counters are not those of the notes.
    fn disagreements(&self) -> Vec<String> {
        let total = |name: &str| self.totals.get(name).copied().unwrap_or(0);
        let all = |prefix: &str| {
            let named = self.totals.iter().filter(|(name, _)| name.starts_with(prefix));
            named.map(|(_, value)| value).sum::<u64>()
        };
        let (answered, failed) =
            (self.statuses.values().sum::<u64>(), self.errors.values().sum::<u64>());
        // A status is counted by the answer's head, and the body may fail behind it.
        let mut bounds = vec![
            ("vusers.created".to_owned(), total("vusers.created"), self.made, 0),
            ("vusers.completed".to_owned(), total("vusers.completed"), answered, 0),
            ("vusers.failed".to_owned(), total("vusers.failed"), failed, 0),
            ("the sum of errors".to_owned(), all("errors."), failed, 0),
            ("the sum of http.codes".to_owned(), all("http.codes."), answered, failed),
        ];
        for (status, count) in &self.statuses {
            let name = format!("http.codes.{status}");
            bounds.push((name.clone(), total(&name), *count, failed));
        }
        let differ = bounds
            .into_iter()
            .filter(|(_, theirs, least, more)| !(*least..=least + more).contains(theirs));
        let mut words: Vec<String> = differ
            .map(|(name, theirs, ours, _)| {
                format!(
                    "Artillery and the record disagree: {name} is {theirs}, and the record has \
                     {ours}; please report this"
                )
            })
            .collect();
        if !self.open.is_empty() {
            let open = self.open.len();
            words.push(format!("Artillery ended, and {open} requests have no end in the record"));
        }
        words
    }

    fn shortages(&self) -> Vec<String> {
        let of = |code: &str| {
            let errors = self.errors.iter().filter(|(error, _)| error.starts_with(code));
            errors.map(|(_, count)| count).sum::<u64>()
        };
        let remedies = [
            ("EMFILE", "file descriptors", "raise `ulimit -Hn`, or lower load.max_connections"),
            ("EADDRNOTAVAIL", "ports", "widen net.ipv4.ip_local_port_range"),
        ];
        let short = remedies.iter().filter(|(code, _, _)| of(code) > 0);
        short
            .map(|(code, what, remedy)| {
                format!("Artillery: {what} ran out {} times ({code}); {remedy}", of(code))
            })
            .collect()
    }
}

/// What the built-in generator would call a failure that Artillery calls so: Node's or got's code,
/// and, of a timeout, what was waited for.
fn failure(error: &str) -> FailureKind {
    let (code, during) = error.split_once(':').unwrap_or((error, ""));
    match (code, during) {
        ("ETIMEDOUT", "connect" | "socket" | "lookup") => FailureKind::ConnectTimeout,
        ("ETIMEDOUT" | "ERR_SOCKET_TIMEOUT" | "ESOCKETTIMEDOUT", _) => FailureKind::Timeout,
        ("ECONNREFUSED" | "EHOSTUNREACH" | "ENETUNREACH" | "EADDRNOTAVAIL" | "EMFILE", _) => {
            FailureKind::Connect
        }
        ("ECONNRESET" | "EPIPE" | "ERR_STREAM_PREMATURE_CLOSE" | "ECONNABORTED", _) => {
            FailureKind::Reset
        }
        _ => FailureKind::Protocol,
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
