//! What this machine allows: file descriptors and ephemeral ports, and whether a load needs more.
//! It must not open a socket.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a process needs beside its connections: logs, pipes, timers, listeners, the
/// report's files.
const SPARE_DESCRIPTORS: u64 = 64;

/// How long Linux keeps the port of a closed connection (TCP_TIMEWAIT_LEN), seconds.
const TIME_WAIT_S: f64 = 60.0;

/// What the machine allows to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors that the process may still open.
    pub descriptors: u64,
    /// The highest limit on descriptors that it may give itself.
    pub descriptors_hard: u64,
    /// Ports for outgoing connections to one address and port.
    pub ports: u64,
}

/// The connections from one process to some addresses, as they are foreseen.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// For the message: "generator to proxy".
    pub name: String,
    /// Connections that are open at once.
    pub connections: u64,
    /// Connections that are opened a second, once those are open.
    pub opened_per_second: f64,
    /// Addresses that they go to, evenly.
    pub addresses: u64,
}

impl Limits {
    /// Raises this process's limit on descriptors as far as it may, and reads what is allowed.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn raise_and_read() -> io::Result<Self> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            // A system that refuses leaves the lower limit, which is read below.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let open = fs::read_dir("/proc/self/fd")?.count() as u64;
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
        Ok(Self {
            descriptors: allowed.saturating_sub(open),
            descriptors_hard: maximum.unwrap_or(u64::MAX),
            ports: parse_range(&range).ok_or(io::ErrorKind::InvalidData)?,
        })
    }

    /// How many connections may be open at once, of `wanted`.
    pub fn connections(&self, wanted: u32) -> u32 {
        let allowed = self.descriptors.saturating_sub(SPARE_DESCRIPTORS).max(1);
        wanted.min(u32::try_from(allowed).unwrap_or(u32::MAX))
    }

    /// What will not do, in words with a remedy; empty when all is well. A live run with a shortage
    /// is invalid: it would measure the limit.
    pub fn shortages(&self, legs: &[Leg]) -> Vec<String> {
        legs.iter().flat_map(|leg| self.shortages_of(leg)).collect()
    }

    fn shortages_of(&self, leg: &Leg) -> Vec<String> {
        let mut found = Vec::new();
        let Leg { name, connections, opened_per_second, addresses } = leg;
        let needed = connections.saturating_add(SPARE_DESCRIPTORS);
        if needed > self.descriptors {
            found.push(format!(
                "{name}: {connections} connections need {needed} file descriptors, and {} are left \
                 under a hard limit of {}; raise it with `ulimit -Hn`, or lower load.connections",
                self.descriptors, self.descriptors_hard
            ));
        }
        let addresses = (*addresses).max(1);
        // A closed connection keeps its port for TIME_WAIT; `as` saturates.
        let waiting = (opened_per_second * TIME_WAIT_S / addresses as f64) as u64;
        let held = connections.div_ceil(addresses).saturating_add(waiting);
        if held > self.ports {
            found.push(format!(
                "{name}: {connections} connections and {opened_per_second} new ones a second hold \
                 {held} ports to one address, and the system has {}; widen \
                 net.ipv4.ip_local_port_range, or let connections be reused",
                self.ports
            ));
        }
        found
    }
}

/// How many ports "low high" holds.
fn parse_range(text: &str) -> Option<u64> {
    let mut bounds = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    (high + 1).checked_sub(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_foreseen() {
        let limits = Limits { descriptors: 1024, descriptors_hard: 2048, ports: 28_232 };
        // (connections, new a second, addresses → what is short)
        for (connections, opened_per_second, addresses, short) in [
            (256, 0.0, 1, &[][..]),
            (960, 0.0, 1, &[]),
            (961, 0.0, 1, &["1025 file descriptors"]),
            (100, 468.0, 1, &[]),
            (100, 470.0, 1, &["28300 ports"]),
            (100, 470.0, 4, &[]),
            (50_000, 0.0, 1, &["file descriptors", "50000 ports"]),
            (1, f64::INFINITY, 0, &["ports"]),
        ] {
            let leg = Leg { name: "a leg".into(), connections, opened_per_second, addresses };
            let found = limits.shortages(&[leg]);
            assert_eq!(found.len(), short.len(), "{connections}: {found:?}");
            for (message, part) in found.iter().zip(short) {
                assert!(message.contains(part) && message.contains("a leg"), "{message}");
            }
        }
    }

    #[test]
    fn connections_are_capped_by_descriptors() {
        for (descriptors, wanted, allowed) in [(1024, 4096, 960), (1024, 10, 10), (3, 10, 1)] {
            let limits = Limits { descriptors, descriptors_hard: 0, ports: 0 };
            assert_eq!(limits.connections(wanted), allowed);
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        let limits = Limits::raise_and_read().expect("/proc");
        assert!(limits.descriptors > 0 && limits.ports > 0, "{limits:?}");
        assert_eq!(getrlimit(Resource::Nofile).current, getrlimit(Resource::Nofile).maximum);
        assert_eq!(parse_range("32768\t60999\n"), Some(28_232));
        assert_eq!(parse_range("nonsense"), None);
    }
}
