//! Who arrives, and when: every intended time is known before the run, so the load is open by type.
//! It must not know whether anyone could keep up.
//!
//! Arrivals are the points of a process of rate 1 (exponential or unit steps), carried over to time
//! by inverting the cumulative intensity Λ(t) = ∫λ. A time is rounded once, when it is given out;
//! the sum that leads to it is never rounded, because gaps cut to nanoseconds would raise the load
//! (by 20 % of the mean wait at 9·10⁷ a second).

use std::collections::VecDeque;
use std::time::Duration;

use base::{Rng, Time, dist, rng, time};

/// How arrivals are spaced within a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exponential gaps: independent users.
    Poisson,
    /// Equal gaps; the first arrival comes after half of one.
    Constant,
}

/// A stretch of the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// For expectations, progress and charts.
    pub name: String,
    /// How long.
    pub duration: Duration,
    /// Requests a second at its start; finite, at least 0.
    pub rate: f64,
    /// Requests a second at its end, when it ramps (linearly); finite, at least 0.
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
    pattern: Pattern,
    gaps: Rng,
    segment: Segment,
    /// What is left after this one.
    rest: VecDeque<Segment>,
    /// Λ of the next arrival, counted from the start of the present segment.
    target: f64,
    request: u64,
    seed: u64,
}

/// A stretch of linear rate, placed in time.
#[derive(Clone, Copy, Debug)]
struct Segment {
    begin_ns: u64,
    end_ns: u64,
    rate: f64,
    /// Change of the rate, requests a second each second.
    slope: f64,
    /// Λ of the whole segment: the requests it is expected to hold.
    area: f64,
}

impl Phase {
    /// The requests it is expected to hold: the integral of its rate.
    pub fn expected(&self) -> f64 {
        (self.rate + self.to.unwrap_or(self.rate)) / 2.0 * self.duration.as_secs_f64()
    }
}

impl LoadShape {
    /// Warm-up and phases together.
    pub fn length(&self) -> Duration {
        self.warmup + self.phases.iter().map(|p| p.duration).sum::<Duration>()
    }

    /// The schedule of this load under the trial's seed. `rng` is the trial's root stream
    /// (`Rng::from_seed(trial.seed)`): the gaps come from its fork "arrivals", the luck of a
    /// request is `mix(rng.seed(), request)`. Every time lies in `[0, length)`.
    pub fn arrivals(&self, rng: &Rng) -> Arrivals {
        let warmup = self.phases.first().map(|first| (self.warmup, first.rate, first.rate));
        let phases = self.phases.iter().map(|p| (p.duration, p.rate, p.to.unwrap_or(p.rate)));
        let mut begin_ns = 0;
        let mut segments: VecDeque<Segment> = warmup
            .into_iter()
            .chain(phases)
            .map(|(duration, rate, to)| {
                let segment = Segment::new(begin_ns, duration, rate, to);
                begin_ns = segment.end_ns;
                segment
            })
            .collect();
        let mut arrivals = Arrivals {
            pattern: self.pattern,
            gaps: rng.fork("arrivals"),
            segment: segments.pop_front().unwrap_or(Segment::NONE),
            rest: segments,
            target: 0.0,
            request: 0,
            seed: rng.seed(),
        };
        arrivals.target = match self.pattern {
            Pattern::Poisson => arrivals.gap(),
            Pattern::Constant => 0.5,
        };
        arrivals
    }

    /// How many requests the phases are expected to hold (the integral of the rate), the warm-up
    /// left out.
    pub fn expected(&self) -> f64 {
        self.phases.iter().map(Phase::expected).sum()
    }
}

impl Segment {
    const NONE: Self = Self { begin_ns: 0, end_ns: 0, rate: 0.0, slope: 0.0, area: 0.0 };

    fn new(begin_ns: u64, duration: Duration, rate: f64, to: f64) -> Self {
        let end_ns = begin_ns.saturating_add(time::nanos(duration));
        let seconds = duration.as_secs_f64();
        let slope = if seconds > 0.0 { (to - rate) / seconds } else { 0.0 };
        Self { begin_ns, end_ns, rate, slope, area: (rate + to) / 2.0 * seconds }
    }

    /// When Λ reaches `target`, which lies in `[0, area)`: the root of slope/2·t² + rate·t = target
    /// in the form that loses no digits to cancellation when the slope is small.
    fn at(&self, target: f64) -> Time {
        let seconds = if self.slope == 0.0 {
            // What the root would come to, to the last bit: the root of a square is exact.
            target / self.rate
        } else if target > 0.0 {
            // On a ramp down to 0 rounding may push the discriminant just below zero.
            let root = (self.rate * self.rate + 2.0 * self.slope * target).max(0.0).sqrt();
            2.0 * target / (self.rate + root)
        } else {
            0.0
        };
        let at_ns = self.begin_ns.saturating_add(time::whole(seconds * 1e9));
        // `area > target` only for segments that last, so `end_ns` is above `begin_ns`.
        Time::from_nanos(at_ns.min(self.end_ns - 1))
    }
}

impl Arrivals {
    fn gap(&mut self) -> f64 {
        match self.pattern {
            Pattern::Poisson => dist::exp1(&mut self.gaps),
            Pattern::Constant => 1.0,
        }
    }

    /// Goes on to the next segment.
    #[cold]
    fn turn(&mut self) -> Option<()> {
        let next = self.rest.pop_front()?;
        self.target -= std::mem::replace(&mut self.segment, next).area;
        Some(())
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    #[inline]
    fn next(&mut self) -> Option<Arrival> {
        while self.target >= self.segment.area {
            self.turn()?;
        }
        let at = self.segment.at(self.target);
        let request = self.request;
        let luck = rng::mix(self.seed, request);
        let arrival = Arrival { at, request, luck };
        self.target += self.gap();
        self.request += 1;
        Some(arrival)
    }
}
