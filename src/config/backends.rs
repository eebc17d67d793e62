//! backends.toml, and the `[[backends]]` tables of a scenario: the same keys. It must not know scenarios.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use workload::{Abandoned, BackendModel, Discipline};

use crate::distribution::{self, DISTRIBUTIONS, Files};
use crate::document::Document;
use crate::problem::Problem;
use crate::reader::{Context, ROOT, Reader};
use crate::schema::{Key, Kind, Presence, Schema};
use crate::value::{is_name, quote, shown};

/// How many backends there may be in one text, counted out.
pub const BACKENDS: usize = 100_000;

/// How many worker threads a process may have.
pub const WORKERS: u64 = 256;

/// The largest body of an answer, bytes.
const RESPONSE_BYTES: u64 = 16 << 20;

/// The weights of backends.
pub const WEIGHT: Kind = Kind::Whole { min: 1, max: 65_536 };

/// The keys that make the model of a backend; see [`read_model`].
pub const MODEL_KEYS: &[Key] = &[
    Key {
        name: "service",
        kind: Kind::Tagged(&DISTRIBUTIONS),
        presence: Presence::Required(DISTRIBUTIONS.example),
        summary: "How long one request takes when it is served alone.",
    },
    Key {
        name: "concurrency",
        kind: Kind::Whole { min: 1, max: 1_000_000 },
        presence: Presence::Default("32"),
        summary: "How many requests are served at once; the rest wait.",
    },
    Key {
        name: "queue",
        kind: Kind::WholeOr { min: 0, max: 10_000_000, word: "unlimited" },
        presence: Presence::Default("1024"),
        summary: "How many requests may wait; one more is answered with 503.",
    },
    Key {
        name: "discipline",
        kind: Kind::Word(&["fifo", "ps"]),
        presence: Presence::Default("fifo"),
        summary: "Who is served: the oldest, or all of them sharing the speed (processor sharing).",
    },
    Key {
        name: "abandoned",
        kind: Kind::Word(&["finish", "drop"]),
        presence: Presence::Default("finish"),
        summary: "What happens to work whose client left: done for nobody, as by most servers, or dropped.",
    },
    Key {
        name: "response",
        kind: Kind::Size(RESPONSE_BYTES),
        presence: Presence::Default("128"),
        summary: "The size of an answer's body.",
    },
];

const NAME: Key = Key {
    name: "name",
    kind: Kind::Name,
    presence: Presence::Required("\"a\""),
    summary: "Its name.",
};

/// `[[backends]]` of backends.toml.
static BACKEND: Schema = Schema {
    title: "[[backends]]",
    summary: "A fake backend.",
    groups: &[
        &[
            NAME,
            Key {
                name: "count",
                kind: Kind::Whole { min: 1, max: BACKENDS as u64 },
                presence: Presence::Absent("one backend of exactly this name"),
                summary: "So many backends, called <name>-1, <name>-2, …; `listen` then needs port 0.",
            },
            Key {
                name: "listen",
                kind: Kind::Address,
                presence: Presence::Default("127.0.0.1:0"),
                summary: "Where it listens; port 0 is any free one below the ephemeral range.",
            },
        ],
        MODEL_KEYS,
    ],
};

/// backends.toml.
pub static BACKENDS_TOML: Schema = Schema {
    title: "backends.toml",
    summary: "The fake backends of `lab backends --config backends.toml`.",
    groups: &[&[
        Key {
            name: "control",
            kind: Kind::Address,
            presence: Presence::Absent("no control API"),
            summary: "Where the control API listens; port 0 is any free one.",
        },
        Key {
            name: "workers",
            kind: Kind::Whole { min: 1, max: WORKERS },
            presence: Presence::Default("1"),
            summary: "Worker threads; the backends are spread over them.",
        },
        Key {
            name: "seed",
            kind: Kind::Whole { min: 0, max: u64::MAX },
            presence: Presence::Default("1"),
            summary: "Requests that bring no luck of their own draw their service times from it.",
        },
        Key {
            name: "backends",
            kind: Kind::Tables(&BACKEND),
            presence: Presence::Required("[[backends]]"),
            summary: "The backends.",
        },
    ]],
};

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

/// Reads [`MODEL_KEYS`].
pub fn read_model(r: &Reader<'_>, files: &Files<'_>) -> Option<BackendModel> {
    let service = distribution::read(r, "service", files);
    let concurrency = r.whole_u32("concurrency");
    let queue = r.whole_or_word("queue");
    let discipline = r.text("discipline");
    let abandoned = r.text("abandoned");
    let response_bytes = r.size("response");
    Some(BackendModel {
        concurrency: concurrency?,
        queue: queue?.map(|n| u32::try_from(n).expect("the key's declared limit fits 32 bits")),
        discipline: if discipline? == "ps" { Discipline::Ps } else { Discipline::Fifo },
        abandoned: if abandoned? == "drop" { Abandoned::Drop } else { Abandoned::Finish },
        service: service?,
        response_bytes: response_bytes?,
    })
}

impl BackendsConfig {
    /// Reads backends.toml. `read_file` reads a file named by an empirical distribution, by its
    /// path as written there.
    pub fn parse(
        file: &str,
        text: &str,
        read_file: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, Vec<Problem>> {
        let document = Document::parse(file, text)?;
        let context = Context::new(file);
        let made = Self::read(&context, &document, &Files::new(read_file));
        context.finish(made)
    }

    fn read(context: &Context<'_>, document: &Document, files: &Files<'_>) -> Option<Self> {
        let root = Reader::new(context, &document.root, ROOT, &BACKENDS_TOML);
        let control = root.address("control");
        let workers = root.whole_u32("workers");
        let seed = root.whole("seed");
        let tables = root.tables("backends")?;
        let mut backends = Vec::new();
        let mut names = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for table in &tables {
            let Some(read) = read_backend(table, files) else { continue };
            for backend in read {
                if !names.insert(backend.name.clone()) {
                    let name = shown(&backend.name);
                    table.problem("name", format!("there is a backend {name} already: rename one"));
                    break;
                }
                if backend.listen.port() != 0 && !addresses.insert(backend.listen) {
                    let message = format!("{} is taken by a backend above", backend.listen);
                    table.problem("listen", format!("{message}: use another port, or 0"));
                }
                backends.push(backend);
            }
            if backends.len() > BACKENDS {
                table.problem("count", format!("more than {BACKENDS} backends in all"));
                return None;
            }
        }
        if tables.is_empty() && context.is_clean() {
            root.problem("backends", "no backends: write at least one [[backends]]");
        }
        Some(Self { control, workers: workers?, seed: seed?, backends })
    }

    /// The text that [`BackendsConfig::parse`] reads back as the same configuration (an empirical
    /// distribution is written with its `values` in seconds).
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        if let Some(control) = self.control {
            push(&mut text, "control", &quote(&control.to_string()));
        }
        push(&mut text, "workers", &self.workers.to_string());
        push(&mut text, "seed", &self.seed.to_string());
        for backend in &self.backends {
            text.push_str("\n[[backends]]\n");
            push(&mut text, "name", &quote(&backend.name));
            push(&mut text, "listen", &quote(&backend.listen.to_string()));
            push_model(&mut text, &backend.model);
        }
        text
    }
}

/// The backends of one table, counted out.
fn read_backend(r: &Reader<'_>, files: &Files<'_>) -> Option<Vec<BackendConfig>> {
    let name = r.text("name");
    let count = r.whole("count");
    let listen = r.address("listen");
    let model = read_model(r, files);
    let (name, listen, model) = (name?, listen?, model?);
    let Some(count) = count else {
        return Some(vec![BackendConfig { name, listen, model }]);
    };
    if count > 1 && listen.port() != 0 {
        r.problem(
            "listen",
            format!("{count} backends cannot share port {}: write port 0", listen.port()),
        );
        return None;
    }
    let numbered = |i| BackendConfig { name: format!("{name}-{i}"), listen, model: model.clone() };
    if !is_name(&format!("{name}-{count}")) {
        r.problem("name", "name is too long for its numbered backends: at most 57 characters");
        return None;
    }
    Some((1..=count).map(numbered).collect())
}

/// `key = value` on a line.
pub(crate) fn push(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key} = {value}").expect("writing to a string cannot fail");
}

fn push_model(text: &mut String, model: &BackendModel) {
    push(text, "service", &distribution::to_toml(&model.service));
    push(text, "concurrency", &model.concurrency.to_string());
    let queue = model.queue.map_or_else(|| quote("unlimited"), |queue| queue.to_string());
    push(text, "queue", &queue);
    let discipline = match model.discipline {
        Discipline::Fifo => "fifo",
        Discipline::Ps => "ps",
    };
    push(text, "discipline", &quote(discipline));
    let abandoned = match model.abandoned {
        Abandoned::Finish => "finish",
        Abandoned::Drop => "drop",
    };
    push(text, "abandoned", &quote(abandoned));
    push(text, "response", &model.response_bytes.to_string());
}
