//! Collects one trial. It must not read a clock or write a file.
//!
//! All times are from the beginning of the warm-up. A request belongs to the window of its
//! *intended* time, in every counter and histogram; requests of the warm-up are left out.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use base::{Outcome, Time};

use crate::event::EventRow;
use crate::expect::Span;
use crate::gauge::{ProcessTotals, ResourceSample, Sample};
use crate::verdict::Harness;

/// A phase's place in the measured time.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseSpan {
    /// Its name.
    pub name: String,
    /// From the end of the warm-up.
    pub span: Span,
    /// Its rate at the start and at the end, requests a second.
    pub rate: (f64, f64),
}

/// What a recorder must know beforehand.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The variant's name and varied values (key, value as written).
    pub variant: String,
    /// See `variant`.
    pub parameters: Vec<(String, String)>,
    /// "lab", "direct", "nginx" …
    pub subject: String,
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

/// One request, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its number in the schedule.
    pub request: u64,
    /// When it should have started.
    pub intended: Time,
    /// When its first byte was written, if ever.
    pub sent: Option<Time>,
    /// When it ended: last byte, failure, timeout.
    pub ended: Time,
    /// How.
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
pub struct Recorder {
    progress: Arc<Progress>,
}

/// One trial, collected.
pub struct TrialRecord {
    _private: (),
}

impl Recorder {
    /// An empty record of this plan.
    pub fn new(plan: Plan) -> Self {
        let _ = plan;
        todo!()
    }

    /// Counters that follow this recorder.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// A request's intended time has come; exactly one [`Recorder::end`] follows.
    pub fn begin(&mut self, intended: Time) {
        let _ = intended;
        todo!()
    }

    /// A request has ended.
    pub fn end(&mut self, exchange: &Exchange) {
        let _ = exchange;
        todo!()
    }

    /// The backends' counters: at the end of the warm-up and of every window, in order of time.
    pub fn sample(&mut self, sample: Sample) {
        let _ = sample;
        todo!()
    }

    /// An event, in any order.
    pub fn event(&mut self, event: EventRow) {
        let _ = event;
        todo!()
    }

    /// Resources of a window, in any order.
    pub fn resources(&mut self, sample: ResourceSample) {
        let _ = sample;
        todo!()
    }

    /// Totals of a process.
    pub fn process_totals(&mut self, totals: ProcessTotals) {
        let _ = totals;
        todo!()
    }

    /// How the harness behaved (live only; without it the trial is valid).
    pub fn harness(&mut self, harness: Harness) {
        let _ = harness;
        todo!()
    }

    /// The trial was stopped at this time: what lies behind it was never intended.
    pub fn interrupted(&mut self, at: Time) {
        let _ = at;
        todo!()
    }

    /// Nothing more will come.
    pub fn finish(self) -> TrialRecord {
        todo!()
    }
}
