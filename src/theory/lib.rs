//! What queues are known to do, and whether the simulator does it: closed forms, small systems
//! solved exactly, published figures, and the comparison that `lab verify` prints.
//!
//! It must not look inside the simulator: every point is the text of a scenario, read by
//! `scenario::parse` and played by `sim::play` as any other.

pub mod chain;
pub mod formula;
mod measure;
pub mod points;

pub use measure::{BOUND, Error, Row, Tally, verify};
pub use points::{Known, Metric, Point, points};
