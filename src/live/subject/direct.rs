//! Nothing between the load and the backends: the generator takes them in turn. It shows what a
//! balancer costs, and what it is good for. It must not know any balancer.

use scenario::Trial;

use super::{Launch, Subject, Topology, Unsupported};

/// Round robin in the generator: no health checks, no retries.
#[derive(Clone, Copy, Debug)]
pub struct Direct;

impl Subject for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    /// Settings of a balancer are not refused, so that one file serves `--proxy lab` and
    /// `--proxy direct`; nobody is there to follow them.
    fn check(&self, _: &Trial) -> Vec<Unsupported> {
        Vec::new()
    }

    fn plan(&self, topology: &Topology<'_>) -> Launch {
        Launch::Nothing { addresses: topology.backends.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::subject::{of, tests::trial};

    #[test]
    fn the_load_goes_to_every_backend() {
        let trial = trial("direct");
        let backends = ["127.0.0.1:9001", "127.0.0.1:9002"].map(|a| a.parse().expect("valid"));
        let subject = of(trial.variant.proxy.kind);
        assert_eq!(subject.name(), "direct");
        assert!(subject.check(&trial).is_empty());
        let launch = subject.plan(&Topology {
            trial: &trial,
            backends: &backends,
            exe: Path::new("/bin/lab"),
            folder: Path::new("/logs"),
            epoch_ns: 42,
        });
        assert_eq!(launch, Launch::Nothing { addresses: backends.to_vec() });
    }
}
