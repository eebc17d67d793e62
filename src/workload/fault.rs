//! What goes wrong, and when. It must not know how a fault looks on a wire, nor what it does to a
//! backend (that is [`crate::condition`]).

use std::time::Duration;

use base::{Time, time};

/// A way to fail.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// All connections are reset, the listener is closed.
    Crash,
    /// The listener is closed; open connections are served on.
    Refuse,
    /// Accepts, answers nothing; requests in service stand still and go on afterwards.
    Hang,
    /// A connection is reset when a request has been read from it.
    Reset,
    /// Requests that start from now on take `factor` times as long.
    Slow {
        /// Above 0.
        factor: f64,
        /// The health answer is slow too (by `factor − 1` mean service times).
        health: bool,
    },
    /// A share of the requests is answered with an error.
    Errors {
        /// The status, 400 to 599.
        status: u16,
        /// The share, 0 to 1.
        ratio: f64,
        /// How long the error takes, in place of a service time and past the queue.
        after: Duration,
        /// The health answer fails too.
        health: bool,
    },
    /// Crashes at the start of every `period`, for `duty` of it.
    Flap {
        /// From one crash to the next.
        period: Duration,
        /// The share of it that is down, between 0 and 1.
        duty: f64,
    },
}

/// A fault of a scenario, its backends resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When, from the end of the warm-up.
    pub at: Duration,
    /// For how long; `None` is to the end.
    pub length: Option<Duration>,
    /// Indices of the backends concerned, in the trial's order.
    pub backends: Vec<usize>,
    /// What.
    pub kind: FaultKind,
}

/// A fault that begins or ends at one backend (flaps are crashes here).
#[derive(Clone, Debug, PartialEq)]
pub struct FaultChange {
    /// When, from the beginning of the warm-up.
    pub at: Time,
    /// Which backend.
    pub backend: usize,
    /// Names the fault, so that its end is matched to its beginning when faults overlap.
    pub fault: u32,
    /// What; never [`FaultKind::Flap`].
    pub kind: FaultKind,
    /// It begins, or it ends.
    pub begins: bool,
}

/// All changes of a trial in order of time; ties in the order of the scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// In order of time.
    pub changes: Vec<FaultChange>,
}

/// The most changes that a plan holds: a flap of tiny period must not eat the memory. It is far more
/// than a run can show; whoever reads scenarios refuses above it, by [`FaultPlan::size`].
pub const MAX_CHANGES: usize = 100_000;

impl FaultPlan {
    /// Resolves faults into changes; `fault` is the index in `faults`. `warmup` shifts them to the
    /// beginning of the warm-up; a flap starts no crash at or after `length` (warm-up and phases
    /// together), nor after its own end. Of a plan above [`MAX_CHANGES`] the later crashes of its
    /// flaps are missing.
    pub fn new(faults: &[Fault], warmup: Duration, length: Duration) -> Self {
        let mut changes = Vec::new();
        for (number, fault) in (0_u32..).zip(faults) {
            for (begin, end, kind) in fault.spells(warmup, length) {
                for &backend in &fault.backends {
                    let change = |at, begins| FaultChange {
                        at,
                        backend,
                        fault: number,
                        kind: kind.clone(),
                        begins,
                    };
                    changes.push(change(begin, true));
                    changes.extend(end.map(|end| change(end, false)));
                }
                if changes.len() >= MAX_CHANGES {
                    break;
                }
            }
        }
        // Stable: ties stay in the order of the scenario, and an end behind its beginning.
        changes.sort_by_key(|change| change.at);
        Self { changes }
    }

    /// How many changes these faults resolve into, by arithmetic alone; at most [`MAX_CHANGES`]
    /// are allowed.
    pub fn size(faults: &[Fault], warmup: Duration, length: Duration) -> u64 {
        let of = |fault: &Fault| {
            let crashes = match fault.kind {
                FaultKind::Flap { period, .. } => {
                    let begin = time::nanos(fault.at.saturating_add(warmup));
                    let end = time::nanos(fault.flap_end(warmup, length));
                    end.saturating_sub(begin).div_ceil(time::nanos(period).max(1))
                }
                _ => 1,
            };
            crashes.saturating_mul(2 * fault.backends.len() as u64)
        };
        faults.iter().map(of).fold(0, u64::saturating_add)
    }
}

impl Fault {
    /// When a flap starts no further crash.
    fn flap_end(&self, warmup: Duration, length: Duration) -> Duration {
        let own = self.length.map(|l| self.at.saturating_add(warmup).saturating_add(l));
        own.map_or(length, |own| own.min(length))
    }

    /// From when to when something is wrong, in order of time: once, or once a period of a flap.
    fn spells(
        &self,
        warmup: Duration,
        length: Duration,
    ) -> impl Iterator<Item = (Time, Option<Time>, FaultKind)> {
        let first = Time::ZERO + self.at.saturating_add(warmup);
        let own_end = self.length.map(|l| first + l);
        let (last, period, down, kind) = match self.kind {
            FaultKind::Flap { period, duty } => {
                let down = Duration::from_nanos((time::nanos(period) as f64 * duty).round() as u64);
                let last = Time::ZERO + self.flap_end(warmup, length);
                // A period of zero would never end.
                (last, period.max(Duration::from_nanos(1)), Some(down), FaultKind::Crash)
            }
            // One spell: the second would begin at the end of time.
            ref kind => (Time::MAX, Duration::MAX, None, kind.clone()),
        };
        std::iter::successors(Some(first), move |&at| Some(at + period))
            .take_while(move |&at| at < last)
            .map(move |at| match down {
                None => (at, own_end, kind.clone()),
                Some(down) => {
                    (at, Some((at + down).min(own_end.unwrap_or(Time::MAX))), kind.clone())
                }
            })
    }
}

impl FaultChange {
    /// Kind and detail of its line in events.csv: "slow", "3 times slower"; "slow_end", "".
    pub fn words(&self) -> (String, String) {
        let word = self.kind.word();
        if !self.begins {
            return (format!("{word}_end"), String::new());
        }
        let detail = match &self.kind {
            FaultKind::Slow { factor, .. } => format!("{factor} times slower"),
            FaultKind::Errors { status, ratio, .. } => {
                format!("status {status} for {} % of the requests", ratio * 100.0)
            }
            _ => String::new(),
        };
        (word.into(), detail)
    }
}

impl FaultKind {
    /// The word that stands in scenarios and events.csv.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::Reset => "reset",
            Self::Slow { .. } => "slow",
            Self::Errors { .. } => "errors",
            Self::Flap { .. } => "flap",
        }
    }
}
