//! A scenario: the question, the subject, the backends, the load, the faults, the expectations.
//!
//! [`parse`] turns text (with overrides) into a [`Scenario`] or into all its errors; a scenario
//! resolves into [`Trial`]s, one per variant and round. It must not know engines.

pub mod model;
pub mod parse;

pub use model::{
    BackendSpec, Engine, Generator, LoadSpec, ProxySpec, Scenario, SubjectKind, Trial, Variant,
};
pub use parse::{Override, Overrides, parse};
