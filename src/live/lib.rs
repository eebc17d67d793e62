//! Engine 2: the scenario on real processes and sockets.
//!
//! [`play`] starts the children of a trial, lets [`load`] load them, has the faults played, reads
//! everybody's gauges at the end of every window, and takes everything down again however it ends.
//! It must not decide anything about requests (that is `policy`) or about figures (`record`).

mod admin;
mod conductor;
mod control;
mod engine;
mod error;
mod events;
mod gauge;
mod generator;
mod http;
mod keeper;
mod launch;
pub mod lifeline;
pub mod load;
mod observer;
mod output;
mod process;
pub mod subject;

pub use engine::{Options, play};
pub use error::{Death, Error};
pub use http::CallError;
pub use keeper::keep;
