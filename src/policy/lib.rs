//! What to do with a request: which backend, whether to retry, whom to probe, whom to remove.
//!
//! It must not know HTTP, sockets, clocks or scenarios: time and randomness are arguments, and
//! [`Balancer`] is the one entry for the proxy and the simulator alike.

mod adaptive;
mod alarms;
pub mod balancer;
mod chain;
mod counts;
pub mod event;
mod health;
mod hedge;
mod index;
mod latencies;
pub mod message;
mod outlier;
pub mod pool;
mod probe;
mod queue;
mod rate;
mod retry;
pub mod settings;
mod slow_start;
pub mod strategy;
mod timers;
mod work;

pub use balancer::{Balancer, Excluded, Explained, Explanation, MAX_EXPLAINED};
pub use counts::Counts;
pub use event::{Event, EventKind};
pub use message::{
    Attempt, Command, CommandError, End, Head, Load, Next, Output, Probe, ProbeKind, ProbeResult,
    Quota, Reject, Verdict,
};
pub use outlier::Failure;
pub use pool::{BackendStatus, Pool, Sight, State};
pub use settings::{
    AdaptiveSettings, CheckKind, Choice, EjectionSettings, HealthSettings, HedgingSettings,
    KeySource, KeyedRate, LimitSettings, PanicSettings, ParameterValue, QueueSettings, Rate,
    RateSettings, RetrySettings, Settings, SlowStartSettings, TimeoutSettings, hash_key, pin_of,
};
pub use strategy::{Candidates, ChoiceError, Entry, Parameter, Registry, Strategy};
pub use work::{Built, Work};
