//! A scenario: the question, the subject, the backends, the load, the faults, the expectations.
//!
//! [`parse`] turns text (with overrides) into a [`Scenario`] or into all its errors; a scenario
//! resolves into [`Trial`]s, one per variant and round. It must not know engines.

pub mod artillery;
mod decode;
mod expectations;
mod faults;
pub mod keys;
mod merge;
pub mod model;
mod overload;
pub mod parse;
mod vary;

pub use faults::fault_kinds;
pub use model::{
    BackendSpec, Engine, Generator, KEY_FIELD, LoadSpec, ProxySpec, Scenario, SubjectKind, Trial,
    Variant, ViewSpec,
};
pub use parse::{Override, Overrides, parse, split_values};
