//! The built-in load generator: one thread, one event loop, one absolute timer.
//!
//! The load is open: each request has an intended time that was fixed before the run, latency
//! counts from it, and a request that cannot be sent waits, in order, until its timeout. It must
//! not know what the subject is, which faults are played or how a run is judged.
//!
//! Top down: [`open_loop`] is the loop; under it stand `pacer` (the timer), `ledger` (the open
//! requests), `fleet` (all connections), `pool` (those to one target, and who waits for them),
//! `connection` (one socket), `request` and `response` (syntax), `account` and `stall` (what the
//! generator says of itself). [`closed_loop`] and [`mod@bench`] measure the generator itself.

mod account;
pub mod artillery;
pub mod bench;
mod chunked;
pub mod closed_loop;
mod connection;
mod fleet;
mod ledger;
pub mod limits;
pub mod open_loop;
mod pacer;
mod pool;
mod priority;
mod request;
mod response;
mod slab;
mod stall;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;

use base::Time;
use record::{Exchange, Recorder};

pub use account::LoadReport;
pub use bench::bench;

/// Where a load goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// One address, or several that are used in turn, request by request.
    pub addresses: Vec<SocketAddr>,
    /// The backends' names in the plan's order: what `x-lab-backend` may say.
    pub backends: Vec<String>,
}

/// Why a load could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is nowhere to send to.
    #[error("the load has no address to go to; give the subject at least one")]
    NoAddress,
    /// The method cannot stand in a request line.
    #[error("load.method = {method:?} is no HTTP method; write one such as \"GET\"")]
    Method {
        /// As given.
        method: String,
    },
    /// The path cannot stand in a request line.
    #[error(
        "load.path = {path:?} is no path; write one that begins with \"/\" and holds no blanks, \
         such as \"/index.html\""
    )]
    Path {
        /// As given.
        path: String,
    },
    /// A URL of a benchmark.
    #[error("{url:?} is no address to load: {reason}; write http://HOST:PORT/PATH")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter of a benchmark.
    #[error("{name} = {value} will not do; write {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// As given.
        value: String,
        /// What would.
        expected: &'static str,
    },
    /// A benchmark's subject does not answer at all.
    #[error("nothing answers at {address}: {source}; start the server first")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system refused a timer, an event queue or the like.
    #[error("the generator cannot {what}: {source}; check the limits on this process (ulimit -a)")]
    System {
        /// What it could not do.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl LoadError {
    /// For `map_err`.
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Who is told what becomes of the requests: a recorder, a benchmark, a test.
trait Sink {
    /// A request's intended time has come; exactly one `end` follows.
    fn begin(&mut self, intended: Time);
    /// A request has ended.
    fn end(&mut self, exchange: &Exchange);
    /// The run was stopped at this time.
    fn interrupted(&mut self, at: Time);
}

impl Sink for Recorder {
    fn begin(&mut self, intended: Time) {
        Recorder::begin(self, intended);
    }

    fn end(&mut self, exchange: &Exchange) {
        Recorder::end(self, exchange);
    }

    fn interrupted(&mut self, at: Time) {
        Recorder::interrupted(self, at);
    }
}
