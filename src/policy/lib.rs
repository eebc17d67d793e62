//! What to do with a request: which backend, whether to retry, whom to probe, whom to remove.
//!
//! It must not know HTTP, sockets, clocks or scenarios: time and randomness are arguments, and
//! [`Balancer`] is the one entry for the proxy and the simulator alike.

pub mod balancer;
pub mod event;
pub mod health;
pub mod pool;
pub mod retry;
pub mod settings;
pub mod strategy;

pub use balancer::{
    Attempt, Balancer, Command, CommandError, End, Head, Next, Output, Probe, ProbeResult, Reject,
    Verdict,
};
pub use event::{Event, EventKind};
pub use pool::{BackendStatus, Pool, State};
pub use settings::{
    Choice, HealthSettings, ParameterValue, RetrySettings, Settings, TimeoutSettings,
};
pub use strategy::{Candidates, Entry, Registry, Strategy};
