//! What happened: engines write here, reports read here, and neither knows the other.
//!
//! [`Recorder`] turns the events of one trial into a [`TrialRecord`]; [`folder`] writes the records
//! of a run as the files of DESIGN.md §7, and [`run`] loads them again. It must not know engines,
//! scenarios' text or charts.

pub mod event;
pub mod expect;
pub mod folder;
pub mod gauge;
pub mod recorder;
pub mod rows;
pub mod run;
pub mod summary;
pub mod verdict;

pub use event::EventRow;
pub use expect::{Expectation, Limit, Metric, Span};
pub use folder::{About, RunWriter};
pub use gauge::{BackendSample, ProcessTotals, ResourceSample, Sample};
pub use recorder::{Exchange, PhaseSpan, Plan, Progress, Recorder, TrialRecord};
pub use run::{LoadError, Run};
pub use summary::Summary;
pub use verdict::{Harness, Verdict};
