//! backends.toml, and the `[[backends]]` tables of a scenario: the same keys. It must not know scenarios.

use std::net::SocketAddr;

use workload::BackendModel;

use crate::problem::Problem;

/// backends.toml.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendsConfig {
    /// Where the control API listens (port 0: any free one); `None` is nowhere.
    pub control: Option<SocketAddr>,
    /// Worker threads (1 unless set): backends are spread over them.
    pub workers: u32,
    /// Mixed with each request's own luck when it brings none; requests without luck draw from it.
    pub seed: u64,
    /// The backends, counted out.
    pub backends: Vec<BackendConfig>,
}

/// One fake backend.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendConfig {
    /// Its name, unique, sent back in the `x-lab-backend` header.
    pub name: String,
    /// Where it listens; port 0 is any free one below the ephemeral range.
    pub listen: SocketAddr,
    /// Its model.
    pub model: BackendModel,
}

impl BackendsConfig {
    /// Reads backends.toml.
    pub fn parse(
        file: &str,
        text: &str,
        read_file: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, Vec<Problem>> {
        let _ = (file, text, read_file);
        todo!()
    }

    /// The text that [`BackendsConfig::parse`] reads back as the same configuration (an empirical
    /// distribution is written with its `values` in seconds).
    pub fn to_toml(&self) -> String {
        todo!()
    }
}
