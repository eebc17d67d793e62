//! The words every floor of the lab shares: time, chance, distributions, ids and outcomes.
//!
//! It must not know HTTP, files, sockets or any policy. Time and chance enter the lab only here:
//! [`clock::Clock`] is the one reader of the operating system's clock, and [`rng::Rng`] the one
//! source of random numbers, always seeded.

pub mod clock;
pub mod dist;
pub mod exchange;
pub mod math;
pub mod prefetch;
pub mod quantiles;
pub mod rng;
pub mod slab;
pub mod stop;
pub mod time;

pub use clock::Clock;
pub use dist::Distribution;
pub use exchange::{
    AttemptId, BackendId, FailureKind, Outcome, ProbeId, RequestId, RequestMeta, Sent,
};
pub use prefetch::prefetch;
pub use quantiles::Quantiles;
pub use rng::Rng;
pub use slab::{Key, Slab};
pub use stop::Stop;
pub use time::Time;
