//! Who arrives, and when: every intended time is known before the run, so the load is open by type.
//! It must not know whether anyone could keep up.

use std::time::Duration;

use base::{Rng, Time};

/// How arrivals are spaced within a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exponential gaps: independent users.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// A stretch of the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// For expectations, progress and charts.
    pub name: String,
    /// How long.
    pub duration: Duration,
    /// Requests a second at its start.
    pub rate: f64,
    /// Requests a second at its end, when it ramps (linearly).
    pub to: Option<f64>,
}

/// The whole load of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadShape {
    /// Before the phases, at the first phase's starting rate; left out of every figure.
    pub warmup: Duration,
    /// In order.
    pub phases: Vec<Phase>,
    /// Spacing.
    pub pattern: Pattern,
}

/// One request to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its intended time, from the beginning of the warm-up.
    pub at: Time,
    /// Its number in the schedule, from 0.
    pub request: u64,
    /// hash(seed, request): seeds the service time and error draws of whichever backend gets it.
    pub luck: u64,
}

/// The schedule, in order of time. Memory does not grow with its length.
#[derive(Clone, Debug)]
pub struct Arrivals {
    _private: (),
}

impl LoadShape {
    /// Warm-up and phases together.
    pub fn length(&self) -> Duration {
        self.warmup + self.phases.iter().map(|p| p.duration).sum::<Duration>()
    }

    /// The schedule of this load under this seed (the trial's stream "arrivals" and the lucks).
    pub fn arrivals(&self, rng: &Rng) -> Arrivals {
        let _ = rng;
        todo!()
    }

    /// How many requests the phases are expected to hold (the integral of the rate).
    pub fn expected(&self) -> f64 {
        todo!()
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;
    fn next(&mut self) -> Option<Arrival> {
        todo!()
    }
}
