//! The real balancer: sockets, pools and an admin API round [`policy::Balancer`].
//!
//! It must not know scenarios, and contains no decision: where a request goes, whether it goes
//! again, whom to probe and whom to remove is the balancer's to say. `lab proxy` is a load balancer
//! that can be used without the lab.
//!
//! A request's way: `session` reads it from its client, `forward` asks the balancer, `exchange` sends
//! it on a connection of `upstream`, `relay` carries the answer back.

mod access_log;
mod admin;
mod answer;
mod buffers;
mod client;
mod date;
mod decision;
mod descriptors;
mod directory;
mod events;
mod exchange;
mod explain;
mod forward;
mod forwarded;
mod guard;
mod h2;
mod headers;
pub mod http1;
mod incoming;
mod journal;
mod lane;
mod log;
mod metrics;
mod names;
mod operator;
mod overlay;
mod parcel;
mod prober;
mod relay;
mod reload;
mod request;
mod rules;
mod running;
mod server;
mod session;
mod shared;
mod state_file;
mod timer;
mod tls;
mod tunnel;
mod turn;
mod upload;
mod upstream;
mod waiting;
mod worker;

pub use admin::TokenError;
pub use reload::ReloadError;
pub use running::{Ready, Running, StartError, check, start, start_with};
pub use state_file::StateError;
pub use tls::TlsError;
