//! The lab's own proxy: `lab proxy` with the scenario's settings. It must not know how it decides.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use config::ProxyConfig;
use config::proxy::ProxyBackend;
use scenario::Trial;

use super::{Launch, Program, Subject, Topology, Unsupported};

/// Any free port of the loopback interface.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// When the proxy is asked to end, every request has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// The lab's own proxy.
#[derive(Clone, Copy, Debug)]
pub struct Lab;

impl Subject for Lab {
    fn name(&self) -> &'static str {
        "lab"
    }

    /// Everything: the scenario's `[proxy]` is its language.
    fn check(&self, _: &Trial) -> Vec<Unsupported> {
        Vec::new()
    }

    fn plan(&self, topology: &Topology<'_>) -> Launch {
        let config = topology.folder.join("proxy.toml");
        Launch::Program(Program {
            path: topology.exe.to_owned(),
            arguments: vec![
                "proxy".into(),
                "--config".into(),
                config.clone().into(),
                "--epoch".into(),
                topology.epoch_ns.to_string().into(),
            ],
            files: vec![(config, proxy_config(topology).to_toml())],
        })
    }
}

fn proxy_config(topology: &Topology<'_>) -> ProxyConfig {
    let variant = &topology.trial.variant;
    let backends = variant.backends.iter().zip(topology.backends);
    ProxyConfig {
        admin: Some(ANY),
        workers: variant.proxy.workers,
        drain_timeout: DRAIN,
        backends: backends
            .map(|(spec, address)| ProxyBackend {
                address: *address,
                weight: spec.weight,
                id: Some(spec.name.clone()),
            })
            .collect(),
        seed: Some(topology.trial.seed),
        ..ProxyConfig::new(ANY, variant.proxy.settings.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use policy::Registry;

    use super::*;
    use crate::subject::{of, tests::trial};

    #[test]
    fn the_proxy_is_told_all_that_the_scenario_says() {
        let trial = trial("lab");
        let backends = ["127.0.0.1:9001", "127.0.0.1:9002"].map(|a| a.parse().expect("valid"));
        let subject = of(trial.variant.proxy.kind);
        let launch = subject.plan(&Topology {
            trial: &trial,
            backends: &backends,
            exe: Path::new("/bin/lab"),
            folder: Path::new("/logs"),
            epoch_ns: 42,
        });
        let Launch::Program(program) = launch else { panic!("{launch:?}") };
        assert_eq!(program.path, Path::new("/bin/lab"));
        assert_eq!(program.arguments, ["proxy", "--config", "/logs/proxy.toml", "--epoch", "42"]);
        let [(path, text)] = &program.files[..] else { panic!("{:?}", program.files) };
        assert_eq!(path, Path::new("/logs/proxy.toml"));

        let read = ProxyConfig::parse("proxy.toml", text, &Registry::standard())
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        let settings = &trial.variant.proxy.settings;
        assert_eq!((read.listen, read.admin), (ANY, Some(ANY)));
        assert_eq!((read.workers, read.seed), (2, Some(trial.seed)));
        assert_eq!(read.drain_timeout, DRAIN);
        assert_eq!(read.settings.strategy.name(), settings.strategy.name());
        assert_eq!(read.settings.strategy.parameters(), settings.strategy.parameters());
        assert_eq!(read.settings.health, settings.health);
        assert_eq!(read.settings.retry, settings.retry);
        // The total timeout is off in a scenario and 30 s in a proxy.toml that says nothing.
        assert_eq!(read.settings.timeout, settings.timeout);
        assert_eq!(read.settings.timeout.total, None);
        let ids: Vec<_> = read.backends.iter().map(|b| b.id.as_deref()).collect();
        assert_eq!(ids, [Some("a-1"), Some("a-2")]);
        let addresses: Vec<_> = read.backends.iter().map(|b| b.address).collect();
        assert_eq!(addresses, backends);
        assert!(read.backends.iter().all(|b| b.weight == 3));
    }
}
