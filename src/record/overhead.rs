//! What requests pay on each leg of their way, told from the ways that a calibration has measured. It
//! must not measure, nor know who draws from it.
//!
//! Ways are measured from end to end, by the generator's clock, so most legs are differences:
//!
//! - **backend**: somebody with an open connection asks a fake backend and waits for the answer.
//!   Measured as it is, *direct* and from the request's first byte on. The generator is that somebody
//!   there, and the proxy at each attempt. The timer that ends a service too late is part of it.
//! - **client**: what goes *through the proxy*, less that. It is the generator's own lateness, the second
//!   pair of sockets, waking up the proxy, and its work. A request pays it once, however often it is
//!   tried. The proxy's work for a second try is so paid too seldom; how much that is was not measured.
//! - **generator**: what goes *direct*, less the backend's leg: that lateness alone, which is all that
//!   there is on this side where there is no proxy.
//! - **connection**: what goes *over a new connection*, less what goes through the proxy over one that was
//!   open. Once for each connection.
//!
//! Differences are those of the quantile functions ([`Quantiles::minus`]). A request that is tried once
//! draws all of its legs at the same share, so that they add up to the very table that was measured,
//! however it is split. The split shows where legs are paid apart: by retries, hedges and probes, and
//! in what a balancer counts as in flight.

use base::Quantiles;

/// The legs, as the simulator draws from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overhead {
    /// Between client and proxy, there and back: once a request.
    pub client: Quantiles,
    /// Where there is no proxy, what the client's side takes: once a request.
    pub generator: Quantiles,
    /// To a backend over an open connection and back: once an attempt, and a probe that asks.
    pub backend: Quantiles,
    /// To open a connection to a backend: once a connection.
    pub connection: Quantiles,
}

impl Overhead {
    /// Of ways from end to end, and of the backend's leg.
    pub fn of_ways(
        direct: &Quantiles,
        backend: Quantiles,
        kept: &Quantiles,
        fresh: &Quantiles,
    ) -> Self {
        Self {
            client: kept.minus(&backend),
            generator: direct.minus(&backend),
            connection: fresh.minus(kept),
            backend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_add_up_to_the_ways() {
        let table = |ns: &[u64]| Quantiles::new(ns.to_vec()).expect("in order");
        let (direct, backend) = (table(&[100, 150, 200]), table(&[70, 90, 130]));
        let (kept, fresh) = (table(&[300, 400, 700]), table(&[900, 1_000, 2_000]));
        let legs = Overhead::of_ways(&direct, backend.clone(), &kept, &fresh);
        assert_eq!(legs.backend, backend);
        let Overhead { client, generator, backend, connection } = &legs;
        for share in 0..3 {
            let sum = |legs: &[&Quantiles]| legs.iter().map(|leg| leg.ns()[share]).sum::<u64>();
            assert_eq!(sum(&[generator, backend]), direct.ns()[share]);
            assert_eq!(sum(&[client, backend]), kept.ns()[share]);
            assert_eq!(sum(&[client, backend, connection]), fresh.ns()[share]);
        }
    }
}
