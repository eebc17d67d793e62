//! proxy.toml: what `lab proxy` is told. It must not know scenarios.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use policy::{Registry, Settings};

use crate::backends::{BACKENDS, WEIGHT, WORKERS, push};
use crate::document::Document;
use crate::edge::{
    AccessLog, AdminToken, CLIENT_KEYS, Forwarded, OPERATOR_KEYS, TlsFiles, folder_of, path_to_toml,
};
use crate::policy_keys::{self, POLICY_KEYS, TIMEOUT_ALONE};
use crate::problem::Problem;
use crate::reader::{Context, ROOT, Reader};
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::{format_duration, quote, shown};

/// `workers`, as in a scenario.
pub const WORKERS_KEY: Key = Key {
    name: "workers",
    kind: Kind::Whole { min: 1, max: WORKERS },
    presence: Presence::Default("1"),
    summary: "Worker threads.",
};

/// proxy.toml.
pub static PROXY_TOML: Schema = Schema {
    title: "proxy.toml",
    summary: "The load balancer of `lab proxy --config proxy.toml`: the keys and tables of a \
              scenario's [proxy], without the prefix, and where it listens.",
    groups: &[
        &[
            Key {
                name: "listen",
                kind: Kind::Address,
                presence: Presence::Required("\"127.0.0.1:8080\""),
                summary: "Where requests come in; port 0 is any free one.",
            },
            Key {
                name: "admin",
                kind: Kind::Address,
                presence: Presence::Absent("no admin API"),
                summary: "Where the admin API listens; port 0 is any free one.",
            },
            WORKERS_KEY,
        ],
        CLIENT_KEYS,
        OPERATOR_KEYS,
        POLICY_KEYS,
        &[
            TIMEOUT_ALONE,
            Key {
                name: "drain_timeout",
                kind: Kind::Duration { zero: true },
                presence: Presence::Default("5s"),
                summary: "After SIGTERM: how long requests in flight may take to end.",
            },
            Key {
                name: "seed",
                kind: Kind::Whole { min: 0, max: u64::MAX },
                presence: Presence::Absent("drawn by the system"),
                summary: "The seed of its random choices.",
            },
            Key {
                name: "backends",
                kind: Kind::Tables(&BACKEND),
                presence: Presence::Absent("none at the start; needs `admin`"),
                summary: "The backends at the start.",
            },
        ],
    ],
};

static BACKEND: Schema = Schema {
    title: "[[backends]]",
    summary: "A backend at the start.",
    groups: &[&[
        Key {
            name: "address",
            kind: Kind::Address,
            presence: Presence::Required("\"127.0.0.1:9101\""),
            summary: "Where it is.",
        },
        Key {
            name: "weight",
            kind: WEIGHT,
            presence: Presence::Default("1"),
            summary: "Its share of the requests, relative to the others'.",
        },
        Key {
            name: "id",
            kind: Kind::Name,
            presence: Presence::Absent("b1, b2, …"),
            summary: "Its name in the admin API.",
        },
    ]],
};

/// proxy.toml. Made by [`ProxyConfig::parse`], or by [`ProxyConfig::new`] and what differs from it.
/// The relative paths of a file start in its folder; here they have it in front of them.
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
    /// HTTP/2 too: by prior knowledge on a plain connection, by ALPN on TLS.
    pub h2: bool,
    /// TLS towards clients; `None`: plain connections.
    pub tls: Option<TlsFiles>,
    /// Connections of clients that a worker holds at once, 1 to 1 000 000.
    pub max_connections: u32,
    /// How many proxies in front are trusted, 0 to 16: so many entries of X-Forwarded-For or
    /// Forwarded, from the right, are believed.
    pub trusted_hops: u32,
    /// What backends are told of the client.
    pub forwarded: Forwarded,
    /// Whether every request upstream has an X-Request-Id: that of a trusted hop, else a new one.
    pub request_id: bool,
    /// Whether answers to requests with `X-Lab-Explain: 1` show the candidates.
    pub explain: bool,
    /// Where the access log goes; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// The bearer token that the admin API asks for; `None`: it asks for none.
    pub admin_token: Option<AdminToken>,
    /// Origins, besides the admin API's own, that may change things by it.
    pub admin_origins: Vec<String>,
    /// Where changes by the admin API are kept over a restart.
    pub state_file: Option<PathBuf>,
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
    /// A proxy that listens there and decides so, the rest as in a proxy.toml that does not say
    /// it; no admin API, no backends.
    pub fn new(listen: SocketAddr, settings: Settings) -> Self {
        Self {
            listen,
            admin: None,
            workers: 1,
            settings,
            drain_timeout: Duration::from_secs(5),
            backends: Vec::new(),
            seed: None,
            h2: true,
            tls: None,
            max_connections: 65_536,
            trusted_hops: 0,
            forwarded: Forwarded::default(),
            request_id: true,
            explain: false,
            access_log: None,
            admin_token: None,
            admin_origins: Vec::new(),
            state_file: None,
        }
    }

    /// Reads proxy.toml.
    pub fn parse(file: &str, text: &str, registry: &Registry) -> Result<Self, Vec<Problem>> {
        let document = Document::parse(file, text)?;
        let context = Context::new(file);
        let made = Self::read(&context, file, &document, registry);
        context.finish(made)
    }

    fn read(
        context: &Context<'_>,
        file: &str,
        document: &Document,
        registry: &Registry,
    ) -> Option<Self> {
        let folder = folder_of(file);
        let r = Reader::new(context, &document.root, ROOT, &PROXY_TOML);
        let listen = r.address("listen");
        let admin = r.address("admin");
        if let (Some(listen), Some(admin)) = (listen, admin)
            && listen == admin
            && listen.port() != 0
        {
            r.problem("admin", format!("admin = \"{admin}\" is also listen: use another port"));
        }
        let workers = r.whole_u32("workers");
        let settings = policy_keys::read(&r, registry);
        let drain_timeout = r.duration("drain_timeout");
        let seed = r.whole("seed");
        let backends = read_backends(&r);
        let (h2, tls) = (r.flag("h2"), TlsFiles::read(&r, folder));
        let max_connections = r.whole_u32("max_connections");
        let (trusted_hops, forwarded) = (r.whole_u32("trusted_hops"), Forwarded::read(&r));
        let (request_id, explain) = (r.flag("request_id"), r.flag("explain"));
        let access_log = AccessLog::read(&r, folder);
        let admin_token = AdminToken::read(&r, folder);
        let admin_origins = r.origins("admin_origins");
        let state_file = r.text("state_file").map(|file| folder.join(file));
        if !r.has("backends") && !r.has("admin") {
            let message = "no backends: write at least one [[backends]], or admin = \
                           \"127.0.0.1:9900\" to add some later";
            r.problem("backends", message);
        }
        Some(Self {
            listen: listen?,
            admin,
            workers: workers?,
            settings: settings?,
            drain_timeout: drain_timeout?,
            backends: backends?,
            seed,
            h2: h2?,
            tls: tls?,
            max_connections: max_connections?,
            trusted_hops: trusted_hops?,
            forwarded: forwarded?,
            request_id: request_id?,
            explain: explain?,
            access_log: access_log?,
            admin_token,
            admin_origins: admin_origins?,
            state_file,
        })
    }

    /// The text that [`ProxyConfig::parse`] reads back as the same configuration.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        push(&mut text, "listen", &quote(&self.listen.to_string()));
        if let Some(admin) = self.admin {
            push(&mut text, "admin", &quote(&admin.to_string()));
        }
        push(&mut text, "workers", &self.workers.to_string());
        push(&mut text, "strategy", &policy_keys::strategy_to_toml(&self.settings.strategy));
        push(&mut text, "drain_timeout", &quote(&format_duration(self.drain_timeout)));
        if let Some(seed) = self.seed {
            push(&mut text, "seed", &seed.to_string());
        }
        self.push_edge_words(&mut text);
        if let Some(tls) = &self.tls {
            tls.push(&mut text);
        }
        if let Some(log) = &self.access_log {
            log.push(&mut text);
        }
        policy_keys::tables_to_toml(&mut text, &self.settings);
        for backend in &self.backends {
            text.push_str("\n[[backends]]\n");
            push(&mut text, "address", &quote(&backend.address.to_string()));
            push(&mut text, "weight", &backend.weight.to_string());
            if let Some(id) = &backend.id {
                push(&mut text, "id", &quote(id));
            }
        }
        text
    }

    /// The keys of [`CLIENT_KEYS`] and [`OPERATOR_KEYS`] that are no tables.
    fn push_edge_words(&self, text: &mut String) {
        push(text, "h2", &self.h2.to_string());
        push(text, "max_connections", &self.max_connections.to_string());
        push(text, "trusted_hops", &self.trusted_hops.to_string());
        push(text, "forwarded", &quote(self.forwarded.word()));
        push(text, "request_id", &self.request_id.to_string());
        push(text, "explain", &self.explain.to_string());
        if let Some(token) = &self.admin_token {
            token.push(text);
        }
        if !self.admin_origins.is_empty() {
            let origins: Vec<String> = self.admin_origins.iter().map(|text| quote(text)).collect();
            push(text, "admin_origins", &format!("[{}]", origins.join(", ")));
        }
        if let Some(file) = &self.state_file {
            push(text, "state_file", &path_to_toml(file));
        }
    }
}

fn read_backends(r: &Reader<'_>) -> Option<Vec<ProxyBackend>> {
    let tables = r.tables("backends")?;
    if tables.len() > BACKENDS {
        r.problem("backends", format!("more than {BACKENDS} backends"));
        return None;
    }
    let mut addresses = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut backends = Vec::new();
    for table in &tables {
        let address = table.address("address");
        let weight = table.whole_u32("weight");
        let id = table.text("id");
        if let Some(address) = address {
            if address.port() == 0 {
                table.problem(
                    "address",
                    format!("address = \"{address}\" has no port to connect to"),
                );
            } else if !addresses.insert(address) {
                let message =
                    format!("there is a backend at {address} already: keep one of the two");
                table.problem("address", message);
            }
        }
        if let Some(id) = &id
            && !ids.insert(id.clone())
        {
            let message = format!("there is a backend of id {} already: rename one", shown(id));
            table.problem("id", message);
        }
        if let (Some(address), Some(weight)) = (address, weight) {
            backends.push(ProxyBackend { address, weight, id });
        }
    }
    Some(backends)
}
