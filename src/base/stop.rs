//! A request to stop a run early. It must not know signals: the binary translates them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// A flag that one thread raises and engines look at between steps. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicI32>);

impl Stop {
    /// Asks the run to end; `reason` is the signal's number, above zero. The first reason stays.
    pub fn raise(&self, reason: i32) {
        let _ = self.0.compare_exchange(0, reason, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether the run shall end.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Why, when it shall.
    pub fn reason(&self) -> Option<i32> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            reason => Some(reason),
        }
    }
}
