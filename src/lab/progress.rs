//! Progress on stderr: phase, rate and errors so far, how far it is and how long it will take. It
//! must not change what is measured: it only reads counters, ten times a second.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::say::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use record::Progress;
use scenario::{Engine, Scenario, Trial};

const REFRESH: Duration = Duration::from_millis(100);
/// Where there is no terminal, a simulated run says where it is this often and no more: logs of
/// thousands of short trials would be nothing else.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Before so long nothing is known of a run's speed.
const LEAST_ELAPSED: Duration = Duration::from_secs(1);

/// What is being played, drawn by a thread of its own.
pub(crate) struct Display {
    shared: Arc<Shared>,
    painter: Option<JoinHandle<()>>,
    total: usize,
    simulated: bool,
    plain: bool,
}

/// What is drawn of a run.
struct Run {
    name: String,
    trials: usize,
    /// The work of all of it.
    whole: f64,
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
    /// The work of the trials that have ended.
    done: f64,
}

struct Playing {
    name: String,
    length: Duration,
    /// What it weighs in the whole run: see [`work`].
    work: f64,
    /// The end of each phase from the beginning of the warm-up, with its name.
    phases: Vec<(Duration, String)>,
    progress: Arc<Progress>,
    seen: (Instant, u64),
    /// Requests/s of late; `None` until there was time to tell.
    rate: Option<f64>,
}

impl Display {
    /// A bar on a terminal; elsewhere a line a trial when it is live, and one every ten seconds
    /// when it is simulated; nothing when quiet.
    pub(crate) fn start(scenario: &Scenario, trials: &[(usize, Trial)], quiet: bool) -> Self {
        let simulated = scenario.engine == Engine::Sim;
        let whole: f64 = trials.iter().map(|(_, trial)| work(trial, simulated)).sum();
        let run = Run { name: scenario.name.clone(), trials: trials.len(), whole };
        let shared = Arc::new(Shared::default());
        let bars = !quiet && std::io::stderr().is_terminal();
        let painter = (bars || (simulated && !quiet)).then(|| {
            let shared = Arc::clone(&shared);
            thread::spawn(
                move || if bars { paint(&shared, &run) } else { tell_lines(&shared, &run) },
            )
        });
        let total = scenario.variants.len() * scenario.rounds as usize;
        Self { shared, painter, total, simulated, plain: !quiet && !bars && !simulated }
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
            work: work(trial, self.simulated),
            phases,
            progress,
            seen: (Instant::now(), 0),
            rate: None,
        };
        self.shared.lock().playing.insert(number, playing);
    }

    /// A trial has ended.
    pub(crate) fn end(&self, number: usize) {
        let mut trials = self.shared.lock();
        if let Some(playing) = trials.playing.remove(&number) {
            trials.ended += 1;
            trials.done += playing.work;
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

/// What a trial takes of a run's time, in some unit: requests where virtual time costs nothing by
/// itself, else seconds.
fn work(trial: &Trial, simulated: bool) -> f64 {
    let shape = &trial.variant.load.shape;
    if !simulated {
        return shape.length().as_secs_f64();
    }
    let warmup = shape.phases.first().map_or(0.0, |first| first.rate * shape.warmup.as_secs_f64());
    // One for a trial without requests, which takes time too.
    1.0 + warmup + shape.phases.iter().map(|phase| phase.expected()).sum::<f64>()
}

/// Parts of the bar.
const STEPS: f64 = 10_000.0;

fn paint(shared: &Shared, run: &Run) {
    let began = Instant::now();
    let bar = ProgressBar::with_draw_target(Some(STEPS as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3} %  {wide_msg}");
    bar.set_style(style.expect("the template is a constant"));
    bar.set_prefix(run.name.clone());
    while !shared.over.load(Ordering::Relaxed) {
        let (part, message) = state(&mut shared.lock(), run);
        bar.set_position((part * STEPS) as u64);
        let left = left(began.elapsed(), part);
        bar.set_message(left.map_or(message.clone(), |left| format!("{left} left · {message}")));
        thread::sleep(REFRESH);
    }
    bar.finish_and_clear();
}

fn tell_lines(shared: &Shared, run: &Run) {
    let began = Instant::now();
    let mut told = began;
    while !shared.over.load(Ordering::Relaxed) {
        if told.elapsed() >= LINE_EVERY {
            told = Instant::now();
            tell!("{}", line(&mut shared.lock(), run, began.elapsed()));
        }
        thread::sleep(REFRESH);
    }
}

/// "strategies: 42 %, 3 of 12 trials played, about 2 min left".
fn line(trials: &mut Trials, run: &Run, elapsed: Duration) -> String {
    let (part, _) = state(trials, run);
    let left = left(elapsed, part).map_or(String::new(), |left| format!(", about {left} left"));
    let Run { name, trials: total, .. } = run;
    format!("{name}: {:.0} %, {} of {total} trials played{left}", part * 100.0, trials.ended)
}

/// How much of the run's work is done, 0 to 1, and what is being played, in words.
fn state(trials: &mut Trials, run: &Run) -> (f64, String) {
    let mut done = trials.done;
    let mut message = format!("trial {} of {}", (trials.ended + 1).min(run.trials), run.trials);
    for playing in trials.playing.values_mut() {
        let now = Duration::from_nanos(playing.progress.now_ns.load(Ordering::Relaxed));
        let length = playing.length.as_secs_f64().max(f64::MIN_POSITIVE);
        done += playing.work * (now.as_secs_f64() / length).min(1.0);
        message = format!("{message} · {}", playing.describe(now));
    }
    ((done / run.whole.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0), message)
}

/// The time left when `part` of the work took so long, for people; `None` when nobody can tell yet.
fn left(elapsed: Duration, part: f64) -> Option<String> {
    if elapsed < LEAST_ELAPSED || part < 0.001 {
        return None;
    }
    let seconds = (elapsed.as_secs_f64() * (1.0 - part) / part).ceil();
    Some(match seconds as u64 {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3_600 => format!("{} min", seconds.div_ceil(60)),
        seconds => {
            let minutes = seconds.div_ceil(60);
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        }
    })
}

impl Playing {
    fn describe(&mut self, now: Duration) -> String {
        let ok = self.progress.ok.load(Ordering::Relaxed);
        let not_ok = self.progress.not_ok.load(Ordering::Relaxed);
        let elapsed = self.seen.0.elapsed();
        if elapsed >= Duration::from_millis(500) {
            let ended = (ok + not_ok).saturating_sub(self.seen.1);
            self.rate = Some(ended as f64 / elapsed.as_secs_f64());
            self.seen = (Instant::now(), ok + not_ok);
        }
        let phase = self.phases.iter().find(|(end, _)| now < *end);
        let phase = phase.map_or("waiting for the last answers", |(_, name)| name);
        let rate = self.rate.map_or(String::new(), |rate| format!(", {rate:.0}/s"));
        format!("{}: {phase}{rate}, {not_ok} not ok", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_when_it_is_known() {
        let s = Duration::from_secs;
        for (elapsed, part, wanted) in [
            (Duration::from_millis(900), 0.5, None),
            (s(10), 0.0, None),
            (s(10), 0.5, Some("10 s")),
            (s(10), 1.0, Some("0 s")),
            (s(1), 0.017, Some("58 s")),
            (s(60), 0.4, Some("2 min")),
            (s(600), 0.1, Some("1 h 30 min")),
            (s(36_000), 0.001, Some("9990 h 00 min")),
        ] {
            assert_eq!(left(elapsed, part).as_deref(), wanted, "{elapsed:?} {part}");
        }
    }

    #[test]
    fn a_line_counts_what_was_played_and_what_is_playing() {
        let playing = |work, now_s: u64| Playing {
            name: "a".to_owned(),
            length: Duration::from_secs(100),
            work,
            phases: Vec::new(),
            progress: Arc::new(Progress {
                now_ns: (now_s * 1_000_000_000).into(),
                ..Progress::default()
            }),
            seen: (Instant::now(), 0),
            rate: None,
        };
        let run = Run { name: "split".to_owned(), trials: 4, whole: 1_000.0 };
        let mut trials = Trials { ended: 1, done: 100.0, ..Trials::default() };
        // Half of 200, and all of 200: its last answers take longer than its load.
        trials.playing.insert(1, playing(200.0, 50));
        trials.playing.insert(2, playing(200.0, 130));
        let line = line(&mut trials, &run, Duration::from_secs(60));
        assert_eq!(line, "split: 40 %, 1 of 4 trials played, about 2 min left");
    }
}
