//! Fake servers: HTTP/1.1 round [`workload::Behaviour`], with faults that a client really sees.
//!
//! The crate carries messages between sockets and `Behaviour`, which decides everything: who is
//! served, for how long, with which status. It must not know scenarios, balancers or loads.
//!
//! One thread per worker, each with a runtime of its own on which its backends live; one more for
//! the control API. Linux only: service times are kept by a timerfd ([`timer`] is the seam).

mod backend;
pub mod control;
mod counters;
mod health;
mod load;
mod ports;
mod running;
mod serve;
mod timer;
mod worker;

pub use running::{Ready, ReadyBackend, Running, StartError, start};
