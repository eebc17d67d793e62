//! Progress on stderr: phase, rate and errors so far. It must not change what is measured: it only
//! reads counters, ten times a second.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::say::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use record::Progress;
use scenario::{Scenario, Trial};

const REFRESH: Duration = Duration::from_millis(100);

/// What is being played, drawn by a thread of its own.
pub(crate) struct Display {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
    total: usize,
    plain: bool,
}

#[derive(Default)]
struct Shared {
    trials: Mutex<Trials>,
    over: AtomicBool,
}

#[derive(Default)]
struct Trials {
    playing: BTreeMap<usize, Playing>,
    ended: usize,
    /// The lengths of the trials that have ended, milliseconds.
    ended_ms: u64,
}

struct Playing {
    name: String,
    length: Duration,
    /// The end of each phase from the beginning of the warm-up, with its name.
    phases: Vec<(Duration, String)>,
    progress: Arc<Progress>,
    seen: (Instant, u64),
    rate: f64,
}

impl Display {
    /// Bars on a terminal, a line a trial elsewhere, nothing when quiet.
    pub(crate) fn start(scenario: &Scenario, trials: &[(usize, Trial)], quiet: bool) -> Self {
        let lengths = trials.iter().map(|(_, trial)| trial.variant.load.shape.length());
        let length: Duration = lengths.sum();
        let shared = Arc::new(Shared::default());
        let bars = !quiet && std::io::stderr().is_terminal();
        let painter = bars.then(|| {
            let (shared, name, total) = (Arc::clone(&shared), scenario.name.clone(), trials.len());
            thread::spawn(move || paint(&shared, &name, total, length))
        });
        let total = scenario.variants.len() * scenario.rounds as usize;
        Self { shared, painter, total, plain: !quiet && !bars }
    }

    /// A trial begins.
    pub(crate) fn begin(&self, number: usize, trial: &Trial, progress: Arc<Progress>) {
        let shape = &trial.variant.load.shape;
        if self.plain {
            tell!(
                "trial {} of {}: {}, round {} ({:.0} s)",
                number + 1,
                self.total,
                trial.variant.name,
                trial.round,
                shape.length().as_secs_f64()
            );
        }
        let mut end = shape.warmup;
        let mut phases = vec![(end, "warm-up".to_owned())];
        for phase in &shape.phases {
            end += phase.duration;
            phases.push((end, phase.name.clone()));
        }
        let playing = Playing {
            name: trial.variant.name.clone(),
            length: shape.length(),
            phases,
            progress,
            seen: (Instant::now(), 0),
            rate: 0.0,
        };
        self.shared.lock().playing.insert(number, playing);
    }

    /// A trial has ended.
    pub(crate) fn end(&self, number: usize) {
        let mut trials = self.shared.lock();
        if let Some(playing) = trials.playing.remove(&number) {
            trials.ended += 1;
            trials.ended_ms += millis(playing.length);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(painter) = self.painter.take() {
            // A painter that panicked has drawn its last bar; the run is not concerned.
            let _ = painter.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Trials> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn paint(shared: &Shared, name: &str, total: usize, length: Duration) {
    let bar = ProgressBar::with_draw_target(Some(millis(length)), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3} %  {msg}");
    bar.set_style(style.expect("the template is a constant"));
    bar.set_prefix(name.to_owned());
    while !shared.over.load(Ordering::Relaxed) {
        let (position, message) = state(&mut shared.lock(), total);
        bar.set_position(position);
        bar.set_message(message);
        thread::sleep(REFRESH);
    }
    bar.finish_and_clear();
}

/// Where the run is, in milliseconds of load, and in words.
fn state(trials: &mut Trials, total: usize) -> (u64, String) {
    let mut position = trials.ended_ms;
    let mut message = format!("trial {} of {total}", (trials.ended + 1).min(total));
    for playing in trials.playing.values_mut() {
        let now = Duration::from_nanos(playing.progress.now_ns.load(Ordering::Relaxed));
        position += millis(now.min(playing.length));
        message = format!("{message} · {}", playing.describe(now));
    }
    (position, message)
}

impl Playing {
    fn describe(&mut self, now: Duration) -> String {
        let ok = self.progress.ok.load(Ordering::Relaxed);
        let not_ok = self.progress.not_ok.load(Ordering::Relaxed);
        let elapsed = self.seen.0.elapsed();
        if elapsed >= Duration::from_millis(500) {
            self.rate = (ok + not_ok).saturating_sub(self.seen.1) as f64 / elapsed.as_secs_f64();
            self.seen = (Instant::now(), ok + not_ok);
        }
        let phase = self.phases.iter().find(|(end, _)| now < *end);
        let phase = phase.map_or("waiting for the last answers", |(_, name)| name);
        format!("{}: {phase}, {:.0}/s, {not_ok} not ok", self.name, self.rate)
    }
}
