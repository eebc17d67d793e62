//! proxy.toml, and the `[proxy]` table of a scenario: the same keys. It must not know scenarios.

use std::net::SocketAddr;
use std::time::Duration;

use policy::{Registry, Settings};

use crate::problem::Problem;

/// proxy.toml.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Where requests come in; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where the admin API listens; `None` is nowhere.
    pub admin: Option<SocketAddr>,
    /// Worker threads, each with a runtime and a pool of upstream connections of its own.
    pub workers: u32,
    /// How it decides.
    pub settings: Settings,
    /// SIGTERM: how long requests in flight may take to end.
    pub drain_timeout: Duration,
    /// At start.
    pub backends: Vec<ProxyBackend>,
    /// The seed of its random choices; `None` is drawn by the system (the lab gives the trial's).
    pub seed: Option<u64>,
}

/// A backend of proxy.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyBackend {
    /// Where.
    pub address: SocketAddr,
    /// 1 to 65 536.
    pub weight: u32,
    /// Its name in the admin API, URL-safe; `None` is given one.
    pub id: Option<String>,
}

impl ProxyConfig {
    /// Reads proxy.toml.
    pub fn parse(file: &str, text: &str, registry: &Registry) -> Result<Self, Vec<Problem>> {
        let _ = (file, text, registry);
        todo!()
    }

    /// The text that [`ProxyConfig::parse`] reads back as the same configuration.
    pub fn to_toml(&self) -> String {
        todo!()
    }
}
