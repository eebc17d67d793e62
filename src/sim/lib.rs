//! Engine 1: a trial in virtual time. The same balancer and the same backends as live, but an
//! agenda of events in place of sockets and clocks: the same seed gives the same bytes.
//!
//! It must not decide anything and must not know a strategy's name. What it adds to policy and
//! workload is what a network would do: connections that are kept and reused, a delay each way.
//!
//! What it leaves out: the client's leg has no delay and no limit on connections, a body takes no
//! time on the wire, a probe meets the health of the moment in which it is read, and the first
//! probes are answered at time 0, before the first request: a balancer that has no time before
//! time 0 would else reject what arrives first.
//!
//! Proxy, sockets and timers take no time, unless somebody says what they take on a machine
//! ([`Options::overhead`]): then each request, attempt, connection and probe takes its part.

mod agenda;
mod balancers;
mod board;
mod client;
mod connections;
mod engine;
mod idle;
mod overhead;
mod patience;
mod server;
mod subject;
mod under_way;
mod views;
mod wakes;

pub use engine::{Error, MAX_PENDING, Options, PENDING_BYTES, play, play_with};
