//! What this machine allows: file descriptors and ephemeral ports, and whether a load needs more.
//! It must not open a socket.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that a process needs beside its connections: logs, pipes, timers, listeners, the
/// report's files.
const SPARE_DESCRIPTORS: u64 = 64;

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
    /// Connections that may be opened when all of those are busy, those included.
    pub max_connections: u64,
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
        legs.iter().flat_map(|leg| self.short_of(leg, leg.connections)).collect()
    }

    /// What will not do should a load open all the connections that it may, where the usual ones
    /// fit. Whether it comes to that nobody knows beforehand, so it is no shortage yet.
    pub fn cautions(&self, legs: &[Leg]) -> Vec<String> {
        let usual_fit = |leg: &&Leg| self.short_of(leg, leg.connections).is_empty();
        let busy = legs.iter().filter(usual_fit);
        busy.flat_map(|leg| self.short_of(leg, leg.max_connections))
            .map(|short| format!("when all connections are busy: {short}"))
            .collect()
    }

    /// Where a process that opens so many descriptors for its work has too few: how many it needs, and
    /// what there is, in words.
    pub fn descriptors_short_of(&self, wanted: u64) -> Option<String> {
        let needed = wanted.saturating_add(SPARE_DESCRIPTORS);
        (needed > self.descriptors).then(|| {
            format!(
                "{needed} file descriptors, and {} are left under a hard limit of {}",
                self.descriptors, self.descriptors_hard
            )
        })
    }

    fn short_of(&self, leg: &Leg, connections: u64) -> Vec<String> {
        let mut found = Vec::new();
        let Leg { name, addresses, .. } = leg;
        let key = if connections == leg.connections { "connections" } else { "max_connections" };
        if let Some(short) = self.descriptors_short_of(connections) {
            found.push(format!(
                "{name}: {connections} connections need {short}; raise it with `ulimit -Hn`, or lower \
                 load.{key}",
            ));
        }
        let held = connections.div_ceil((*addresses).max(1));
        if held > self.ports {
            found.push(format!(
                "{name}: {connections} connections hold {held} ports to one address, and the \
                 system has {}; widen net.ipv4.ip_local_port_range, or lower load.{key}",
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
        let wide = Limits { descriptors: 1 << 20, ..limits };
        // (limits, connections, at most, addresses → what is short, what may become so)
        for (limits, connections, max_connections, addresses, short, may) in [
            (limits, 256, 256, 1, &[][..], &[][..]),
            (limits, 960, 960, 1, &[], &[]),
            (limits, 961, 961, 1, &["1025 file descriptors"], &[]),
            (limits, 256, 4096, 1, &[], &["4160 file descriptors"]),
            (limits, 961, 4096, 1, &["lower load.connections"], &[]),
            (limits, 50_000, 50_000, 1, &["file descriptors", "50000 ports"], &[]),
            (wide, 256, 28_233, 1, &[], &["28233 ports"]),
            (wide, 256, 28_233, 2, &[], &[]),
            (wide, 28_233, 28_233, 0, &["28233 ports"], &[]),
        ] {
            let legs = [Leg { name: "a leg".into(), connections, max_connections, addresses }];
            for (found, expected) in
                [(limits.shortages(&legs), short), (limits.cautions(&legs), may)]
            {
                assert_eq!(found.len(), expected.len(), "{connections}: {found:?}");
                for (message, part) in found.iter().zip(expected) {
                    assert!(message.contains(part) && message.contains("a leg"), "{message}");
                }
            }
        }
        let leg = Leg { name: "x".into(), connections: 1, max_connections: 4096, addresses: 1 };
        assert!(limits.cautions(&[leg])[0].contains("lower load.max_connections"));
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
