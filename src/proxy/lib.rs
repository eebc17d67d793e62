//! The real balancer: sockets, pools and an admin API round [`policy::Balancer`].
//!
//! It must not know scenarios, and contains no decision: where a request goes, whether it goes
//! again, whom to probe and whom to remove is the balancer's to say. `lab proxy` is a load balancer
//! that can be used without the lab.
//!
//! A request's way: `server` reads it through the framing check, `forward` asks the balancer,
//! `upstream` sends it, `answer` relays what comes back.

mod admin;
mod answer;
mod client;
mod events;
mod forward;
pub mod framing;
mod headers;
pub mod http1;
mod inspected;
mod log;
mod metrics;
mod names;
mod operator;
mod prober;
mod running;
mod server;
mod shared;
mod timer;
mod upload;
mod upstream;
mod worker;

pub use running::{Ready, Running, StartError, start, start_with};
