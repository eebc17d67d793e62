//! What to do with a request: which backend, whether to retry, whom to probe, whom to remove.
//!
//! It must not know HTTP, sockets, clocks or scenarios: time and randomness are arguments, and
//! [`Balancer`] is the one entry for the proxy and the simulator alike.

pub mod balancer;
pub mod event;
mod health;
pub mod message;
pub mod pool;
mod probe;
mod retry;
pub mod settings;
pub mod strategy;

pub use balancer::Balancer;
pub use event::{Event, EventKind};
pub use message::{
    Attempt, Command, CommandError, End, Head, Next, Output, Probe, ProbeResult, Reject, Verdict,
};
pub use pool::{BackendStatus, Pool, State};
pub use settings::{
    Choice, HealthSettings, ParameterValue, RetrySettings, Settings, TimeoutSettings,
};
pub use strategy::{Candidates, ChoiceError, Entry, Parameter, Registry, Strategy};
