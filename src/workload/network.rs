//! The network between balancer and backends, in the simulator only. It must not lose anything.

use std::time::Duration;

/// A network that delays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// One way.
    pub delay: Duration,
}
