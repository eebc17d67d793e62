//! The keys of a scenario: type, range, default, one line; those of faults and expectations stand
//! with what reads them. It must not know how they are read.

use config::backends::{BACKENDS, MODEL_KEYS, WEIGHT};
use config::policy_keys::{POLICY_KEYS, TIMEOUT_IN_SCENARIO};
use config::proxy::WORKERS_KEY;
use config::schema::{Key, Kind, Presence, Schema};
use config::value::HIGHEST_RATE;

use workload::MAX_KEYS;

use crate::expectations::EXPECT;
use crate::faults::FAULT;

/// How many rounds of how many variants there may be in all.
pub const TRIALS: usize = 10_000;

/// How many phases a load may have.
pub const PHASES: usize = 10_000;

/// How many faults a scenario may have.
pub const FAULTS: usize = 10_000;

/// How many expectations a scenario may have.
pub const EXPECTATIONS: usize = 1_000;

/// How many balancers there may be side by side.
pub const BALANCERS: usize = 10_000;

/// How many backends all balancers of a variant may look after together: each keeps some hundred
/// bytes of each.
pub const BACKENDS_OF_BALANCERS: usize = 1_000_000;

/// The tables that `[vary]` may change; the other keys belong to the whole scenario.
pub const VARIABLE: [&str; 6] = ["proxy", "backends", "network", "load", "faults", "expect"];

/// A scenario file.
pub static SCENARIO: Schema = Schema {
    title: "the scenario",
    summary: "The question, and how it is played.",
    groups: &[&[
        Key {
            name: "name",
            kind: Kind::Name,
            presence: Presence::Required("\"failover\""),
            summary: "Its name, which also names the folder of its reports.",
        },
        Key {
            name: "question",
            kind: Kind::Text(500),
            presence: Presence::Required("\"How many requests fail when a backend crashes?\""),
            summary: "What it asks.",
        },
        Key {
            name: "seed",
            kind: Kind::Whole { min: 0, max: u64::MAX },
            presence: Presence::Default("1"),
            summary: "Arrivals, service times and random choices follow from it.",
        },
        Key {
            name: "engine",
            kind: Kind::Word(&["live", "sim"]),
            presence: Presence::Default("live"),
            summary: "Processes and sockets, or virtual time; `--engine` wins.",
        },
        Key {
            name: "rounds",
            kind: Kind::Whole { min: 1, max: TRIALS as u64 },
            presence: Presence::Default("1"),
            summary: "How often each variant is played, each round with other arrivals.",
        },
        Key {
            name: "window",
            kind: Kind::Duration { zero: false },
            presence: Presence::Absent(
                "the smallest of 1, 2, 5, 10, 30, 60, 300 … s that gives at most 600 windows",
            ),
            summary: "The length of a window of the timeline.",
        },
        Key {
            name: "record",
            kind: Kind::Table(&RECORD),
            presence: Presence::Absent("the defaults of its keys"),
            summary: "What is kept besides the usual.",
        },
        Key {
            name: "proxy",
            kind: Kind::Table(&PROXY),
            presence: Presence::Required("[proxy]"),
            summary: "What stands between load and backends.",
        },
        Key {
            name: "backends",
            kind: Kind::Tables(&BACKEND),
            presence: Presence::Required("[[backends]]"),
            summary: "Who answers.",
        },
        Key {
            name: "network",
            kind: Kind::Table(&NETWORK),
            presence: Presence::Absent("the defaults of its keys"),
            summary: "The network between balancer and backends.",
        },
        Key {
            name: "load",
            kind: Kind::Table(&LOAD),
            presence: Presence::Required("[load]"),
            summary: "Who arrives.",
        },
        Key {
            name: "faults",
            kind: Kind::TaggedList(&FAULT),
            presence: Presence::Absent("nothing goes wrong"),
            summary: "What goes wrong, and when.",
        },
        Key {
            name: "expect",
            kind: Kind::Tables(&EXPECT),
            presence: Presence::Absent("nothing is expected"),
            summary: "What must hold; a run in which it does not exits with 10.",
        },
        Key {
            name: "vary",
            kind: Kind::Vary,
            presence: Presence::Absent("one variant, called \"default\""),
            summary: "Paths of keys and the values they take in turn; every combination is a \
                      variant. Elements of lists are found by name or index: \
                      \"load.phases.steady.rate\".",
        },
    ]],
};

static RECORD: Schema = Schema {
    title: "[record]",
    summary: "What is kept besides the usual.",
    groups: &[&[Key {
        name: "requests",
        kind: Kind::Flag,
        presence: Presence::Default("false"),
        summary: "One row for each request, in requests.csv.",
    }]],
};

static PROXY: Schema = Schema {
    title: "[proxy]",
    summary: "What stands between load and backends, and how it decides.",
    groups: &[
        &[
            Key {
                name: "kind",
                kind: Kind::Word(&["lab", "direct"]),
                presence: Presence::Default("lab"),
                summary: "The lab's own proxy, or nothing: the load then goes round robin over \
                          the backends.",
            },
            WORKERS_KEY,
            Key {
                name: "balancers",
                kind: Kind::Whole { min: 1, max: BALANCERS as u64 },
                presence: Presence::Default("1"),
                summary: "Balancers side by side, in the simulator only: each with its own view, \
                          probes and connections; a request comes to any of them.",
            },
            Key {
                name: "view",
                kind: Kind::Word(&["own", "shared"]),
                presence: Presence::Default("own"),
                summary: "Which requests in flight a strategy sees: those that its balancer has \
                          sent, or, in the simulator only, those of all balancers. Limits go by \
                          the balancer's own.",
            },
            Key {
                name: "view_delay",
                kind: Kind::Duration { zero: true },
                presence: Presence::Default("0s"),
                summary: "How old that view always is, own requests included; in the simulator \
                          only.",
            },
            Key {
                name: "view_refresh",
                kind: Kind::Duration { zero: true },
                presence: Presence::Default("0s"),
                summary: "How often it is brought up to date, in the simulator only: in between, \
                          every pick goes by the same numbers, own requests left out; 0s: all the \
                          time.",
            },
            Key {
                name: "idle_reports",
                kind: Kind::Flag,
                presence: Presence::Default("false"),
                summary: "A backend that becomes idle tells one balancer, any of them, as \
                          join-idle-queue was published; in the simulator only. Else a balancer \
                          takes one for idle whose requests of its own have ended.",
            },
        ],
        POLICY_KEYS,
        &[TIMEOUT_IN_SCENARIO],
    ],
};

static BACKEND: Schema = Schema {
    title: "[[backends]]",
    summary: "Backends of one kind, called <name>-1, <name>-2, …, also when there is only one.",
    groups: &[
        &[
            Key {
                name: "name",
                kind: Kind::Name,
                presence: Presence::Required("\"a\""),
                summary: "Their name without the number.",
            },
            Key {
                name: "count",
                kind: Kind::Whole { min: 1, max: BACKENDS as u64 },
                presence: Presence::Default("1"),
                summary: "How many.",
            },
            Key {
                name: "weight",
                kind: WEIGHT,
                presence: Presence::Default("1"),
                summary: "Each one's share of the requests, relative to the others'.",
            },
        ],
        MODEL_KEYS,
    ],
};

static NETWORK: Schema = Schema {
    title: "[network]",
    summary: "The network between balancer and backends, in the simulator only.",
    groups: &[&[Key {
        name: "delay",
        kind: Kind::Duration { zero: true },
        presence: Presence::Default("0s"),
        summary: "How long everything takes one way.",
    }]],
};

static LOAD: Schema = Schema {
    title: "[load]",
    summary: "Who arrives. The load is open: a slow answer delays no arrival.",
    groups: &[&[
        Key {
            name: "generator",
            kind: Kind::Word(&["builtin", "artillery"]),
            presence: Presence::Default("builtin"),
            summary: "Who sends the requests, live: the lab's own generator, or Artillery, which \
                      plays even gaps whatever `arrivals` says, whole requests, at most some \
                      hundred a second and core; `--load` wins.",
        },
        Key {
            name: "arrivals",
            kind: Kind::Word(&["poisson", "constant"]),
            presence: Presence::Default("poisson"),
            summary: "Exponential gaps, as of independent users, or equal ones.",
        },
        Key {
            name: "connections",
            kind: Kind::Whole { min: 1, max: 1_000_000 },
            presence: Presence::Default("256"),
            summary: "Connections opened in the warm-up; when all are busy more are opened.",
        },
        Key {
            name: "max_connections",
            kind: Kind::Whole { min: 1, max: 1_000_000 },
            presence: Presence::Absent("4096, or `connections` when that is more"),
            summary: "Never more connections than these; beyond, requests wait.",
        },
        Key {
            name: "timeout",
            kind: Kind::Duration { zero: false },
            presence: Presence::Default("10s"),
            summary: "From a request's intended start to its last byte; then it has failed.",
        },
        Key {
            name: "warmup",
            kind: Kind::Duration { zero: true },
            presence: Presence::Default("2s"),
            summary: "Before the phases, at the first one's starting rate; left out of every figure.",
        },
        Key {
            name: "method",
            kind: Kind::Word(&["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]),
            presence: Presence::Default("GET"),
            summary: "The requests' method.",
        },
        Key {
            name: "path",
            kind: Kind::Target,
            presence: Presence::Default("/"),
            summary: "The requests' path.",
        },
        Key {
            name: "keys",
            kind: Kind::Table(&KEYS),
            presence: Presence::Absent("requests carry no key"),
            summary: "What requests are about, for strategies and limits by key.",
        },
        Key {
            name: "phases",
            kind: Kind::Tables(&PHASE),
            presence: Presence::Required("[[load.phases]]"),
            summary: "Stretches of load, one after the other.",
        },
    ]],
};

static KEYS: Schema = Schema {
    title: "[load.keys]",
    summary: "Each request carries a key in the header field x-lab-key: key-1, the most popular, \
              key-2, … Choose it with `key = \"header:x-lab-key\"`.",
    groups: &[&[
        Key {
            name: "count",
            kind: Kind::Whole { min: 1, max: MAX_KEYS as u64 },
            presence: Presence::Default("1000"),
            summary: "How many keys there are.",
        },
        Key {
            name: "zipf",
            kind: Kind::Number { min: 0.0, above: false, max: 10.0 },
            presence: Presence::Default("1"),
            summary: "How unequal they are: the k-th is wanted in proportion to 1/k to this power \
                      (Zipf's law); 0: all alike.",
        },
    ]],
};

static PHASE: Schema = Schema {
    title: "[[load.phases]]",
    summary: "A stretch of load.",
    groups: &[&[
        Key {
            name: "name",
            kind: Kind::Name,
            presence: Presence::Absent("phase-1, phase-2, …"),
            summary: "Its name, for expectations and charts.",
        },
        Key {
            name: "duration",
            kind: Kind::Duration { zero: false },
            presence: Presence::Required("\"30s\""),
            summary: "How long.",
        },
        Key {
            name: "rate",
            kind: Kind::Number { min: 0.0, above: false, max: HIGHEST_RATE },
            presence: Presence::Required("120"),
            summary: "Requests a second; 0 only at one end of a ramp.",
        },
        Key {
            name: "to",
            kind: Kind::Number { min: 0.0, above: false, max: HIGHEST_RATE },
            presence: Presence::Absent("the same rate throughout"),
            summary: "The rate at its end: it ramps from `rate` to this.",
        },
    ]],
};
