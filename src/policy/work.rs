//! Work that takes too long for the balancer's lock: the making of a strategy's tables.
//! It must not know what the tables are for.

use std::any::Any;
use std::fmt;

/// What a strategy wants made.
pub type Job = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// A job to be done outside of the balancer; a simulator does it at once.
pub struct Work {
    /// Jobs are numbered; a result that is not of the latest one is thrown away.
    number: u64,
    job: Job,
}

/// What came of it.
pub struct Built {
    pub(crate) number: u64,
    pub(crate) result: Box<dyn Any + Send>,
}

impl Work {
    pub(crate) fn new(number: u64, job: Job) -> Self {
        Self { number, job }
    }

    /// Does it, which may take some milliseconds.
    pub fn run(self) -> Built {
        Built { number: self.number, result: (self.job)() }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({})", self.number)
    }
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Built({})", self.number)
    }
}
