//! Why a request goes where it goes: the backends as the strategy sees them now. It must not
//! change what it explains.

use base::{BackendId, RequestMeta, Time};

use super::Balancer;
use crate::pool::State;

/// The most backends that an explanation shows: it has to fit a header field and a person's eye.
pub const MAX_EXPLAINED: usize = 64;

/// What a request would be picked from.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The strategy's name.
    pub strategy: &'static str,
    /// The backends in the order in which they were added, at most [`MAX_EXPLAINED`].
    pub backends: Vec<Explained>,
    /// How many there are, shown or not.
    pub of: usize,
    /// Requests that wait in the queue.
    pub queued: usize,
}

/// One of the backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Its id.
    pub id: BackendId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Its weight.
    pub weight: u32,
    /// What it counts of it now.
    pub effective_weight: f64,
    /// Attempts that it has in flight.
    pub in_flight: u32,
    /// What the strategy compares, where it compares numbers: the lower, the likelier its pick.
    pub score: Option<f64>,
    /// Why it cannot be picked, if it cannot.
    pub excluded: Option<Excluded>,
}

/// Why a backend cannot be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// Its state.
    State,
    /// It has as many attempts in flight as it may.
    Full,
}

impl Excluded {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Full => "full",
        }
    }
}

impl Balancer {
    /// What this request would be picked from if it came now. Nothing is picked and nothing counted;
    /// it costs a scan of the backends, so it is for people who ask.
    pub fn explain(&mut self, now: Time, request: &RequestMeta) -> Explanation {
        self.refresh();
        let pool = &self.pool;
        let score = |id| {
            let place = pool.place_of(id)?;
            self.strategy.score(now, request, &pool.candidates()?, place)
        };
        let backends = pool.statuses().take(MAX_EXPLAINED).map(|status| Explained {
            id: status.id,
            name: status.name.to_owned(),
            state: status.state,
            weight: status.weight,
            effective_weight: status.effective_weight,
            in_flight: status.in_flight,
            score: score(status.id),
            excluded: if !pool.is_candidate(status.id) {
                Some(Excluded::State)
            } else if pool.is_full(status.id) {
                Some(Excluded::Full)
            } else {
                None
            },
        });
        Explanation {
            strategy: self.settings.strategy.name(),
            backends: backends.collect(),
            of: pool.len(),
            queued: self.queue.len(),
        }
    }
}
