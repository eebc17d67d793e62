//! What the balancer meets: requests that arrive, backends that answer, faults that happen.
//!
//! It must not know balancers, sockets or clocks: time and chance are arguments, so the simulator
//! and the fake backends play the very same load and the very same servers.

pub mod arrivals;
pub mod behaviour;
mod bypass;
mod condition;
pub mod fault;
mod job;
pub mod keys;
mod lane;
pub mod load;
pub mod network;
mod queue;
pub mod service;
mod station;

pub use arrivals::{Arrival, Arrivals, LoadShape, Pattern, Phase};
pub use behaviour::{Admission, Answer, Behaviour, Gate, HealthAnswer, WorkId};
pub use fault::{Fault, FaultChange, FaultKind, FaultPlan, MAX_CHANGES};
pub use keys::{KeyShape, Keys, MAX_KEYS, RequestKey};
pub use load::Load;
pub use network::Network;
pub use service::{Abandoned, BackendModel, Discipline};
