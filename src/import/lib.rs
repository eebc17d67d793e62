//! Results of other programs as the figures of a run: text in, [`record::Figures`] out. It must not
//! know the command line, touch files, or draw.
//!
//! What a result does not hold stays absent; nothing is made up to fill a column.

pub mod artillery;
mod problem;

pub use problem::Problem;
