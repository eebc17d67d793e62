//! What happened: engines write here, reports read here, and neither knows the other.
//!
//! [`Recorder`] turns the events of one trial into a [`TrialRecord`]; [`folder`] writes the records
//! of a run as the files of DESIGN.md §7, and [`run`] loads them again. [`part`] keeps records as
//! they are, for a run whose trials are played on several machines. It must not know engines,
//! scenarios' text or charts.

pub mod agreement;
pub mod calibration;
mod distribution;
pub mod event;
pub mod expect;
pub mod faults;
pub mod fidelity;
pub mod figures;
pub mod folder;
pub mod foreign;
pub mod gauge;
mod grid;
pub mod histograms;
mod hlog;
pub mod manifest;
mod meter;
mod overhead;
pub mod pair;
pub mod part;
pub mod parts;
mod prompt;
pub mod recorder;
pub mod rows;
pub mod run;
mod same;
mod sampled;
mod spectrum;
pub mod summary;
mod summary_table;
mod table;
mod tally;
mod trial;
mod units;
mod variant;
pub mod verdict;
mod window;
mod wire;

pub use agreement::Agreement;
pub use calibration::Calibration;
pub use distribution::Distribution;
pub use event::EventRow;
pub use expect::{Expectation, Limit, Metric, Span};
pub use fidelity::Comparison;
pub use figures::Figures;
pub use folder::{About, RunWriter};
pub use foreign::Foreign;
pub use gauge::{BackendSample, ProcessTotals, ResourceSample, Sample};
pub use grid::MAX_WINDOWS;
pub use overhead::Overhead;
pub use pair::{PairFolder, Pairing};
pub use part::{Part, PartHead, PartWriter, Shard, Sweep};
pub use parts::{PartEntry, Parts};
pub use recorder::{Exchange, PhaseSpan, Plan, Progress, Recorder};
pub use run::{LoadError, Run};
pub use sampled::BackendTotal;
pub use summary::Summary;
pub use tally::Tally;
pub use trial::TrialRecord;
pub use verdict::{Harness, Verdict};
pub use window::WindowRecord;
