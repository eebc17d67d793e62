//! The answers to probes that may be used, and which of them is best. It must not know who is
//! asked, or when.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

use base::{BackendId, Time};

use super::super::Candidates;

/// In flight per weight, in whole parts of 2⁻¹⁶.
pub(super) const fn stand_of(in_flight: u32, weight: u32) -> u64 {
    let parts = (in_flight as u64) << 16;
    // A pick asks this of every answer that is kept, and a division is half of what that costs.
    if weight == 1 { parts } else { parts / weight as u64 }
}

/// The answer to a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) backend: BackendId,
    /// When it came.
    pub(super) at: Time,
    /// As told, and one more for each use since.
    pub(super) in_flight: u32,
    /// The backend told it. What it did not tell the balancer counts itself, and always anew.
    pub(super) told: bool,
    pub(super) latency: Duration,
    /// How often it may still be used.
    pub(super) uses: usize,
}

/// How a backend stands against others, the lesser the better: cold before hot, the cold ones by
/// latency, the hot ones by what they have in flight (the paper's HCL rule).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    hot: bool,
    load: u64,
    latency: Duration,
}

impl Standing {
    fn key(&self) -> (bool, u64, u64) {
        let latency = base::time::nanos(self.latency);
        if self.hot { (true, self.load, latency) } else { (false, latency, self.load) }
    }

    pub(super) fn score(&self) -> f64 {
        if self.hot {
            1e6 + self.load as f64 / f64::from(1 << 16)
        } else {
            self.latency.as_secs_f64()
        }
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Standing {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Answer {
    /// How its backend, the candidate at `index`, stands when whoever has more than `theta` is hot.
    pub(super) fn standing(
        &self,
        candidates: &Candidates<'_>,
        index: usize,
        theta: u64,
    ) -> Standing {
        let in_flight = if self.told { self.in_flight } else { candidates.in_flight(index) };
        let load = stand_of(in_flight, candidates.weight(index));
        Standing { hot: load > theta, load, latency: self.latency }
    }
}

/// The answers, one a backend, the oldest first.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) answers: Vec<Answer>,
    pub(super) limit: usize,
    /// Whose turn it is to be removed.
    worst_next: bool,
}

impl Entries {
    pub(super) const fn new() -> Self {
        Self { answers: Vec::new(), limit: 0, worst_next: false }
    }

    pub(super) const fn len(&self) -> usize {
        self.answers.len()
    }

    /// Keeps so many from now on.
    pub(super) fn limit(&mut self, limit: usize) {
        self.limit = limit;
        self.answers.drain(..self.answers.len().saturating_sub(limit));
    }

    /// A new answer takes the place of the backend's former, or else of the oldest.
    pub(super) fn put(&mut self, answer: Answer) {
        self.forget(answer.backend);
        if self.answers.len() >= self.limit && !self.answers.is_empty() {
            self.answers.remove(0);
        }
        self.answers.push(answer);
    }

    pub(super) fn forget(&mut self, backend: BackendId) {
        if let Some(place) = self.answers.iter().position(|answer| answer.backend == backend) {
            self.answers.remove(place);
        }
    }

    /// Drops those that are older than `max_age`.
    pub(super) fn expire(&mut self, now: Time, max_age: Duration) {
        let fresh = self.answers.iter().position(|answer| now.since(answer.at) <= max_age);
        self.answers.drain(..fresh.unwrap_or(self.answers.len()));
    }

    /// The place of the best answer whose backend is a candidate, and where that stands among them;
    /// `None` with fewer than `least` such answers.
    pub(super) fn best(
        &self,
        candidates: &Candidates<'_>,
        theta: u64,
        least: usize,
    ) -> Option<(usize, usize)> {
        let mut usable = 0;
        let mut best: Option<(Standing, usize, usize)> = None;
        for (place, answer) in self.answers.iter().enumerate() {
            let Some(index) = candidates.find(answer.backend) else { continue };
            usable += 1;
            let standing = answer.standing(candidates, index, theta);
            if best.is_none_or(|(other, ..)| standing < other) {
                best = Some((standing, place, index));
            }
        }
        let (_, place, index) = best.filter(|_| usable >= least)?;
        Some((place, index))
    }

    /// The answer at this place was used: one more is in flight there than it says.
    pub(super) fn use_up(&mut self, place: usize) {
        let answer = &mut self.answers[place];
        answer.in_flight = answer.in_flight.saturating_add(1);
        answer.uses -= 1;
        if answer.uses == 0 {
            self.answers.remove(place);
        }
    }

    /// Removes the oldest and the worst by turns: one keeps the answers fresh, the other the good
    /// ones from being used up while the bad ones stay.
    pub(super) fn remove_one(&mut self, candidates: &Candidates<'_>, theta: u64) {
        let place = if self.worst_next { self.worst(candidates, theta) } else { 0 };
        self.worst_next = !self.worst_next;
        self.answers.remove(place);
    }

    /// The place of the worst; one whose backend is no candidate is worse than all.
    fn worst(&self, candidates: &Candidates<'_>, theta: u64) -> usize {
        let standing = |answer: &Answer| {
            let index = candidates.find(answer.backend)?;
            Some(std::cmp::Reverse(answer.standing(candidates, index, theta)))
        };
        let worst = self.answers.iter().enumerate().min_by_key(|(_, answer)| standing(answer));
        worst.map_or(0, |(place, _)| place)
    }

    /// This backend's answer, if it is not too old.
    pub(super) fn of(&self, id: BackendId, now: Time, max_age: Duration) -> Option<&Answer> {
        self.answers.iter().find(|a| a.backend == id && now.since(a.at) <= max_age)
    }
}

/// Above which load a backend is hot: a quantile of the loads in the latest answers.
#[derive(Debug)]
pub(super) struct Threshold {
    quantile: f64,
    latest: VecDeque<u64>,
    sorted: Vec<u64>,
}

impl Threshold {
    /// How many answers it is taken from: enough for the quantiles in use, and with three probes a
    /// request no more than 43 requests old.
    const WINDOW: usize = 128;

    pub(super) const fn new(quantile: f64) -> Self {
        Self { quantile, latest: VecDeque::new(), sorted: Vec::new() }
    }

    pub(super) fn count(&mut self, load: u64) {
        if self.latest.len() == Self::WINDOW {
            let oldest = self.latest.pop_front().expect("the window is full");
            let place = self.sorted.binary_search(&oldest).expect("it holds the same loads");
            self.sorted.remove(place);
        }
        self.latest.push_back(load);
        let place = self.sorted.partition_point(|&other| other < load);
        self.sorted.insert(place, load);
    }

    /// With 0 the least load, so that the in-flight count decides; with 1 the greatest.
    pub(super) fn value(&self) -> u64 {
        let last = self.sorted.len().saturating_sub(1);
        let place = (self.quantile * last as f64) as usize;
        self.sorted.get(place).copied().unwrap_or(0)
    }
}
