//! Collects one trial. It must not read a clock or write a file.
//!
//! All times are from the beginning of the warm-up. A request belongs to the window of its
//! *intended* time, in every counter and histogram; requests of the warm-up are left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Outcome, Time};
use serde::{Deserialize, Serialize};

use crate::event::EventRow;
use crate::expect::Span;
use crate::gauge::{ProcessTotals, ResourceSample, Sample};
use crate::grid::{Grid, Nearby};
use crate::prompt::Prompt;
use crate::sampled::Sampled;
use crate::tally::{Ending, SpanMeter, Tally};
use crate::trial::TrialRecord;
use crate::verdict::Harness;
use crate::window::Windows;
use crate::wire;

/// The most requests that get a row each: beyond it the rest is left out, with an event that says
/// so. Ten million rows are 600 MB of memory and a file that no spreadsheet opens.
pub const MAX_KEPT_REQUESTS: usize = 10_000_000;

/// A phase's place in the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseSpan {
    /// Its name.
    pub name: String,
    /// From the end of the warm-up.
    pub span: Span,
    /// Its rate at the start and at the end, requests a second.
    pub rate: (f64, f64),
}

/// What a recorder must know beforehand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The variant's name and varied values (key, value as written).
    pub variant: String,
    /// See `variant`.
    pub parameters: Vec<(String, String)>,
    /// "lab", "direct", "nginx" …
    pub subject: String,
    /// Who sends the requests, "builtin" or "artillery"; `None` where nobody does, as in virtual
    /// time. Never in the parts of a sweep.
    #[serde(skip)]
    pub generator: Option<String>,
    /// From 1.
    pub round: u32,
    /// The length of the warm-up: where measured time begins.
    pub warmup: Duration,
    /// The phases, which end with the measured time.
    pub phases: Vec<PhaseSpan>,
    /// The length of a window.
    pub window: Duration,
    /// The backends' names.
    pub backends: Vec<String>,
    /// The distinct spans that expectations name: each gets counters and histograms of its own.
    pub spans: Vec<Span>,
    /// Whether to keep a row for each request.
    pub keep_requests: bool,
}

impl Plan {
    /// The length of the measured time.
    pub fn duration(&self) -> Duration {
        self.phases.last().map_or(Duration::ZERO, |phase| phase.span.to)
    }

    /// The whole of the measured time.
    pub fn whole(&self) -> Span {
        Span { from: Duration::ZERO, to: self.duration() }
    }
}

/// One request, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Its number in the schedule.
    pub request: u64,
    /// When it should have started.
    #[serde(with = "wire::time")]
    pub intended: Time,
    /// When its first byte was written, if ever.
    #[serde(with = "wire::maybe_time")]
    pub sent: Option<Time>,
    /// When it ended: last byte, failure, timeout.
    #[serde(with = "wire::time")]
    pub ended: Time,
    /// How.
    #[serde(with = "wire::OutcomeShape")]
    pub outcome: Outcome,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// The backend that answered (index into the plan), where it is known.
    pub backend: Option<u32>,
}

/// Counters to watch a trial by, shared with whoever draws the progress bar.
#[derive(Debug, Default)]
pub struct Progress {
    /// The latest time seen, ns from the beginning of the warm-up.
    pub now_ns: AtomicU64,
    /// Intended so far, warm-up included (likewise below).
    pub intended: AtomicU64,
    /// Ended well.
    pub ok: AtomicU64,
    /// Ended in any other way.
    pub not_ok: AtomicU64,
}

/// Collects one trial.
///
/// Recording a request costs neither an allocation nor a system call once the histograms of the
/// first windows exist.
pub struct Recorder {
    plan: Plan,
    grid: Grid,
    /// Where the latest times lie.
    near: Nearby,
    progress: Arc<Progress>,
    /// What `progress` was told last: one writer needs no read-modify-write.
    told: Told,
    /// What its window has not been told of yet.
    prompt: Prompt,
    windows: Windows,
    /// The whole, then the plan's spans.
    spans: Vec<SpanMeter>,
    samples: Vec<Sample>,
    events: Vec<EventRow>,
    resources: Vec<ResourceSample>,
    processes: Vec<ProcessTotals>,
    harness: Option<Harness>,
    interrupted: Option<Time>,
    requests: Vec<Exchange>,
    requests_left_out: u64,
}

#[derive(Default)]
struct Told {
    now: Time,
    intended: u64,
    ok: u64,
    not_ok: u64,
}

impl Recorder {
    /// An empty record of this plan.
    ///
    /// # Panics
    /// When the plan has no phases that last, a window of no length, or more than
    /// [`MAX_WINDOWS`](crate::MAX_WINDOWS) windows.
    pub fn new(plan: Plan) -> Self {
        let grid = Grid::new(plan.warmup, plan.window, plan.duration());
        let mut spans = vec![plan.whole()];
        for span in &plan.spans {
            if !spans.contains(span) {
                spans.push(*span);
            }
        }
        Self {
            grid,
            near: Nearby::default(),
            progress: Arc::default(),
            told: Told::default(),
            prompt: Prompt::new(),
            windows: Windows::new(grid.count()),
            spans: spans.into_iter().map(|span| SpanMeter::new(span, &grid)).collect(),
            samples: Vec::new(),
            events: Vec::new(),
            resources: Vec::new(),
            processes: Vec::new(),
            harness: None,
            interrupted: None,
            requests: Vec::new(),
            requests_left_out: 0,
            plan,
        }
    }

    /// The plan it was made for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Counters that follow this recorder.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// A request's intended time has come; exactly one [`Recorder::end`] follows.
    #[inline]
    pub fn begin(&mut self, intended: Time) {
        self.told.intended += 1;
        self.progress.intended.store(self.told.intended, Ordering::Relaxed);
        self.tell_time(intended);
        if !self.prompt.begin(intended) {
            self.begin_elsewhere(intended);
        }
    }

    /// A request begins that is the first of its window, or one of no usual window.
    #[cold]
    fn begin_elsewhere(&mut self, intended: Time) {
        let Some(window) = self.near.window_of(&self.grid, intended) else { return };
        self.tell_window();
        self.windows.begin(window);
        for span in &mut self.spans {
            span.begin(&self.grid, window, intended);
        }
        let is_cut = self.spans.iter().any(|span| span.cuts_window(&self.grid, window));
        if !is_cut && !self.plan.keep_requests {
            self.prompt.turn_to(window, self.near.ends());
        }
    }

    /// A request has ended.
    ///
    /// # Panics
    /// When more requests end in a window than began in it: at the latest when it is finished.
    #[inline(always)] // most of it is known to a caller whose requests are sent in time
    pub fn end(&mut self, exchange: &Exchange) {
        if exchange.outcome == Outcome::Ok {
            self.told.ok += 1;
            self.progress.ok.store(self.told.ok, Ordering::Relaxed);
        } else {
            self.told.not_ok += 1;
            self.progress.not_ok.store(self.told.not_ok, Ordering::Relaxed);
        }
        self.tell_time(exchange.ended);
        if !self.prompt.end(exchange) {
            self.end_elsewhere(*exchange);
        } else if self.prompt.is_full() {
            self.tell_window();
        }
    }

    /// A request has ended that is not like the most.
    #[inline(never)] // nobody should have to make a whole of it for nothing
    fn end_elsewhere(&mut self, exchange: Exchange) {
        let Some(window) = self.near.window_of(&self.grid, exchange.intended) else { return };
        if window == self.prompt.window {
            self.tell_window();
        }
        let since_intended =
            |time: Time| time.as_nanos().saturating_sub(exchange.intended.as_nanos());
        let ending = Ending {
            outcome: exchange.outcome,
            latency_ns: since_intended(exchange.ended),
            sent_ns: exchange.sent.map(|sent| self.grid.offset(sent)),
            dispatch_ns: exchange.sent.map_or(0, since_intended),
        };
        self.windows.end(window, &ending);
        if let Some(sent) = exchange.sent
            && !self.near.holds(sent, exchange.ended)
        {
            let sent = self.near.first_end_from(&self.grid, sent);
            self.windows.flow(sent, self.near.first_end_from(&self.grid, exchange.ended));
        }
        for span in &mut self.spans {
            span.end(&self.grid, &ending, window, exchange.intended);
        }
        if self.plan.keep_requests {
            self.keep(exchange);
        }
    }

    /// Tells the present window what was gathered for it.
    #[inline(never)]
    fn tell_window(&mut self) {
        if !self.prompt.is_empty() {
            let window = self.prompt.window;
            let (begun, latencies_ns) = self.prompt.take();
            self.windows.prompt(window, begun, latencies_ns);
        }
    }

    fn keep(&mut self, exchange: Exchange) {
        if self.requests.len() < MAX_KEPT_REQUESTS {
            self.requests.push(exchange);
        } else {
            self.requests_left_out += 1;
        }
    }

    #[inline]
    fn tell_time(&mut self, now: Time) {
        if now > self.told.now {
            self.told.now = now;
            self.progress.now_ns.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// The backends' counters: at the end of the warm-up and of every window, in order of time,
    /// and once more when the last request has ended, so that the totals have what came after the
    /// last window. A sample that could not be taken may be left out: its window has no rows then.
    pub fn sample(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// An event, in any order.
    pub fn event(&mut self, event: EventRow) {
        self.events.push(event);
    }

    /// Resources of a window, in any order.
    pub fn resources(&mut self, sample: ResourceSample) {
        self.resources.push(sample);
    }

    /// Totals of a process.
    pub fn process_totals(&mut self, totals: ProcessTotals) {
        self.processes.push(totals);
    }

    /// How the harness behaved (live only; without it the trial is valid).
    pub fn harness(&mut self, harness: Harness) {
        self.harness = Some(harness);
    }

    /// The trial was stopped at this time: what lies behind it was never intended.
    pub fn interrupted(&mut self, at: Time) {
        self.interrupted = Some(at);
    }

    /// Nothing more will come. A request that began and did not end is unfinished.
    pub fn finish(mut self) -> TrialRecord {
        self.tell_window();
        let duration_ns = self.interrupted.map_or(self.grid.duration_ns(), |at| {
            u64::try_from(self.grid.offset(at)).unwrap_or(0).min(self.grid.duration_ns())
        });
        let least = match duration_ns {
            0 => 0,
            lasted => self.grid.window_of(lasted - 1) + 1,
        };
        let windows = self.windows.finish(least);
        self.samples.sort_by_key(|sample| sample.at);
        let sampled = Sampled::new(self.samples, &self.grid, self.plan.backends.len());
        let tallies = (self.spans.into_iter().enumerate())
            .map(|(index, span)| {
                let retries = match index {
                    0 => sampled.retries_in_all(),
                    // No figure is better than that of another span.
                    _ => (self.grid.span_boundaries(span.span()))
                        .and_then(|ends| sampled.retries_between(ends)),
                };
                span.finish(&windows, retries)
            })
            .collect::<Vec<Tally>>();
        let end = self.grid.origin() + Duration::from_nanos(duration_ns);
        self.events.extend(notes(&tallies[0], self.requests_left_out, end));
        self.events.sort_by_key(|event| event.at);
        self.requests.sort_by_key(|exchange| exchange.request);
        TrialRecord {
            windows,
            plan: self.plan,
            grid: self.grid,
            duration_ns,
            is_interrupted: self.interrupted.is_some(),
            tallies,
            sampled,
            events: self.events,
            resources: self.resources,
            processes: self.processes,
            harness: self.harness,
            requests: self.requests,
        }
    }
}

/// What the record itself had to leave out, said where events are read.
fn notes(whole: &Tally, requests_left_out: u64, at: Time) -> impl Iterator<Item = EventRow> {
    let clipped = whole.latency.clipped() + whole.dispatch.clipped() + whole.failed.clipped();
    let clipped = (clipped > 0).then(|| {
        let detail = "durations above 1000000 s: percentiles show the limit, mean and maximum \
                      the truth";
        ("clipped", format!("{clipped} {detail}"))
    });
    let left_out = (requests_left_out > 0).then(|| {
        let detail = "more requests are counted everywhere but in requests.csv, which ends after";
        ("requests_left_out", format!("{requests_left_out} {detail} {MAX_KEPT_REQUESTS} rows"))
    });
    clipped.into_iter().chain(left_out).map(move |(kind, detail)| EventRow {
        at,
        source: "lab".to_owned(),
        subject: String::new(),
        kind: kind.to_owned(),
        detail,
    })
}
