//! Scenarios as a caller sees them: text in, trials or messages out.

mod artillery;
mod bad_files;
mod common;
mod example;
mod mangled;
mod overloads;
mod overrides;
mod reference;
mod shipped;
