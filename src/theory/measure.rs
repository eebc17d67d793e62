//! Plays the points and compares. It must not know what is compared.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use base::Stop;
use policy::Registry;
use record::{Recorder, TrialRecord};
use scenario::{Overrides, Trial};

use crate::points::{Known, Metric, Point};

/// A deviation of this many standard errors is a bug: by chance it comes once in 150,000 times.
pub const BOUND: f64 = 4.5;

/// Percentiles are read from buckets of three significant digits.
const RESOLUTION: f64 = 0.001;

/// Why the points could not be played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A point is no scenario: a mistake of this program.
    #[error("{point}: {problem}")]
    Point {
        /// Its name.
        point: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The simulator gave up.
    #[error("{point}: {source}")]
    Play {
        /// The point's name.
        point: String,
        /// Why.
        source: sim::Error,
    },
    /// `stop` was raised.
    #[error("interrupted")]
    Interrupted,
}

/// Mean and standard error over rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tally {
    /// The mean of the rounds.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
}

impl Tally {
    /// Of one value a round; at least two.
    pub fn of(rounds: &[f64]) -> Self {
        let n = rounds.len() as f64;
        let mean = rounds.iter().sum::<f64>() / n;
        let variance = rounds.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, error: (variance / n).sqrt() }
    }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The point's name.
    pub point: String,
    /// What is known.
    pub known: Known,
    /// What was measured.
    pub measured: Tally,
}

impl Row {
    /// How far off, in standard errors of both sides. What the resolution of the histograms can
    /// do to a percentile is left out.
    pub fn z(&self) -> f64 {
        let off = self.measured.mean - self.known.value;
        let blur = match self.known.metric {
            Metric::P99 => RESOLUTION * self.known.value,
            Metric::Mean | Metric::Rejected => 0.0,
        };
        let off = off.signum() * (off.abs() - blur).max(0.0);
        off / self.measured.error.hypot(self.known.error).max(f64::MIN_POSITIVE)
    }

    /// How far off, relatively.
    pub fn relative(&self) -> f64 {
        self.measured.mean / self.known.value - 1.0
    }

    /// Whether chance alone explains it.
    pub fn holds(&self) -> bool {
        self.z().abs() <= BOUND
    }
}

/// A round's values, one for each that is known.
type Played = Result<Vec<f64>, Error>;

/// Plays `points` on `jobs` threads; `played` hears of each round with how many there are in all.
/// The rows do not depend on the number of threads.
///
/// # Errors
/// When a point cannot be read or played, or `stop` was raised.
pub fn verify(
    points: &[Point],
    jobs: usize,
    stop: &Stop,
    played: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Row>, Error> {
    let trials: Vec<(usize, Trial)> = points
        .iter()
        .enumerate()
        .map(|(index, point)| Ok(trials_of(point)?.into_iter().map(move |trial| (index, trial))))
        .collect::<Result<Vec<_>, Error>>()?
        .into_iter()
        .flatten()
        .collect();
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Played>>> = Mutex::new(trials.iter().map(|_| None).collect());
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, trials.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some((index, trial)) = trials.get(at) else { break };
                    let result = play(&points[*index], trial, stop);
                    let failed = result.is_err();
                    let number = done.fetch_add(1, Ordering::Relaxed) + 1;
                    results.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(result);
                    played(number, trials.len());
                    if failed {
                        // The others see the end of the list.
                        next.store(trials.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    compare(points, &trials, results)
}

fn compare(
    points: &[Point],
    trials: &[(usize, Trial)],
    results: Vec<Option<Played>>,
) -> Result<Vec<Row>, Error> {
    let mut rounds: Vec<Vec<Vec<f64>>> =
        points.iter().map(|point| vec![vec![]; point.known.len()]).collect();
    let mut missing = false;
    for ((index, _), result) in trials.iter().zip(results) {
        match result {
            None => missing = true,
            Some(values) => {
                for (metric, value) in rounds[*index].iter_mut().zip(values?) {
                    metric.push(value);
                }
            }
        }
    }
    if missing {
        return Err(Error::Interrupted);
    }
    let rows = points.iter().zip(rounds).flat_map(|(point, metrics)| {
        point.known.iter().zip(metrics).map(|(known, rounds)| Row {
            point: point.name.clone(),
            known: *known,
            measured: Tally::of(&rounds),
        })
    });
    Ok(rows.collect())
}

fn trials_of(point: &Point) -> Result<Vec<Trial>, Error> {
    let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let (overrides, registry) = (Overrides::default(), Registry::standard());
    let scenario = scenario::parse("point.toml", &point.text, &overrides, &registry, &nothing)
        .map_err(|problems| Error::Point {
            point: point.name.clone(),
            problem: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })?;
    Ok(scenario.trials())
}

fn play(point: &Point, trial: &Trial, stop: &Stop) -> Result<Vec<f64>, Error> {
    let mut recorder = Recorder::new(trial.plan());
    sim::play(trial, &mut recorder, stop)
        .map_err(|source| Error::Play { point: point.name.clone(), source })?;
    if stop.is_raised() {
        return Err(Error::Interrupted);
    }
    let record = recorder.finish();
    Ok(point.known.iter().map(|known| value(&record, known.metric)).collect())
}

fn value(record: &TrialRecord, metric: Metric) -> f64 {
    let latency = &record.tallies()[0].latency;
    let counts = record.counts();
    match metric {
        Metric::Mean => latency.sum_ns() as f64 / latency.count().max(1) as f64 / 1e9,
        Metric::P99 => latency.at_quantile(9_900).unwrap_or(0) as f64 / 1e9,
        Metric::Rejected => counts.rejected as f64 / counts.intended.max(1) as f64,
    }
}
