//! Every key of a scenario: type, range, default, one line. It must not know how they are read.

use config::backends::{BACKENDS, MODEL_KEYS, WEIGHT};
use config::policy_keys::{POLICY_KEYS, TIMEOUT_IN_SCENARIO};
use config::proxy::WORKERS_KEY;
use config::schema::{Key, Kind, Presence, Schema, Tagged};
use config::value::HIGHEST_RATE;

/// How many rounds of how many variants there may be in all.
pub const TRIALS: usize = 10_000;

/// How many phases a load may have.
pub const PHASES: usize = 10_000;

/// How many faults a scenario may have.
pub const FAULTS: usize = 10_000;

/// How many expectations a scenario may have.
pub const EXPECTATIONS: usize = 1_000;

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
                kind: Kind::Whole { min: 1, max: 1 },
                presence: Presence::Default("1"),
                summary: "Balancers side by side; this version plays one.",
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
            kind: Kind::Word(&["builtin"]),
            presence: Presence::Default("builtin"),
            summary: "Who sends the requests.",
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
            name: "phases",
            kind: Kind::Tables(&PHASE),
            presence: Presence::Required("[[load.phases]]"),
            summary: "Stretches of load, one after the other.",
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

/// Every fault has these.
const FAULT_KEYS: &[Key] = &[
    Key {
        name: "at",
        kind: Kind::Duration { zero: true },
        presence: Presence::Required("\"10s\""),
        summary: "When, from the end of the warm-up.",
    },
    Key {
        name: "backend",
        kind: Kind::Text(80),
        presence: Presence::Required("\"a-2\""),
        summary: "Which backend: \"a-2\", all of a: \"a-*\", all: \"*\".",
    },
    Key {
        name: "for",
        kind: Kind::Duration { zero: false },
        presence: Presence::Absent("to the end"),
        summary: "For how long.",
    },
];

const HEALTH_TOO: Key = Key {
    name: "health",
    kind: Kind::Flag,
    presence: Presence::Default("false"),
    summary: "Whether the answer to a health check suffers too.",
};

const fn fault(
    title: &'static str,
    summary: &'static str,
    groups: &'static [&'static [Key]],
) -> Schema {
    Schema { title, summary, groups }
}

static FAULT: Tagged = Tagged {
    title: "[[faults]]",
    summary: "Something that goes wrong.",
    tag: "kind",
    example: "{ at = \"10s\", backend = \"a-2\", kind = \"crash\", for = \"10s\" }",
    cases: &[
        (
            "crash",
            fault(
                "a fault of kind crash",
                "All connections are reset, the listener is closed.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "refuse",
            fault(
                "a fault of kind refuse",
                "The listener is closed; open connections are served on.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "hang",
            fault(
                "a fault of kind hang",
                "Accepts, answers nothing; requests in service stand still and go on afterwards.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "reset",
            fault(
                "a fault of kind reset",
                "A connection is reset when a request has been read from it.",
                &[FAULT_KEYS],
            ),
        ),
        (
            "slow",
            fault(
                "a fault of kind slow",
                "Requests that start from then on take longer.",
                &[FAULT_KEYS, SLOW_KEYS],
            ),
        ),
        (
            "errors",
            fault(
                "a fault of kind errors",
                "A share of the requests is answered with an error.",
                &[FAULT_KEYS, ERRORS_KEYS],
            ),
        ),
        (
            "flap",
            fault(
                "a fault of kind flap",
                "Crashes at the start of every period, for a part of it.",
                &[FAULT_KEYS, FLAP_KEYS],
            ),
        ),
    ],
};

const SLOW_KEYS: &[Key] = &[
    Key {
        name: "factor",
        kind: Kind::Number { min: 0.0, above: true, max: 1e6 },
        presence: Presence::Default("3"),
        summary: "How many times as long.",
    },
    HEALTH_TOO,
];

const ERRORS_KEYS: &[Key] = &[
    Key {
        name: "status",
        kind: Kind::Whole { min: 400, max: 599 },
        presence: Presence::Default("500"),
        summary: "The status.",
    },
    Key {
        name: "ratio",
        kind: Kind::Number { min: 0.0, above: true, max: 1.0 },
        presence: Presence::Default("1"),
        summary: "The share of the requests.",
    },
    Key {
        name: "after",
        kind: Kind::Duration { zero: true },
        presence: Presence::Default("1ms"),
        summary: "How long the error takes, in place of a service time and past the queue.",
    },
    HEALTH_TOO,
];

const FLAP_KEYS: &[Key] = &[
    Key {
        name: "period",
        kind: Kind::Duration { zero: false },
        presence: Presence::Required("\"2s\""),
        summary: "From one crash to the next.",
    },
    Key {
        name: "duty",
        kind: Kind::Number { min: 0.0, above: true, max: 1.0 },
        presence: Presence::Required("0.5"),
        summary: "The share of the period that is down, below 1.",
    },
];

static EXPECT: Schema = Schema {
    title: "[[expect]]",
    summary: "A limit that a metric must keep.",
    groups: &[&[
        Key {
            name: "metric",
            kind: Kind::Text(64),
            presence: Presence::Required("\"latency.p99\""),
            summary: "latency, service or dispatch with .mean, .p50, .p75, .p90, .p95, .p99, \
                      .p999, .p9999 or .max; failed_ratio (1 − ok/intended), rejected_ratio, \
                      retry_ratio, achieved_ratio; intended, sent, ok, failed, rejected, dropped, \
                      unfinished, attempts, retries.",
        },
        Key {
            name: "below",
            kind: Kind::Limit,
            presence: Presence::Absent("`above` is given"),
            summary: "It must be smaller: \"250ms\" for times, a number otherwise.",
        },
        Key {
            name: "above",
            kind: Kind::Limit,
            presence: Presence::Absent("`below` is given"),
            summary: "It must be larger.",
        },
        Key {
            name: "from",
            kind: Kind::Duration { zero: true },
            presence: Presence::Absent("the end of the warm-up"),
            summary: "Where the part that counts begins, from the end of the warm-up.",
        },
        Key {
            name: "to",
            kind: Kind::Duration { zero: false },
            presence: Presence::Absent("the end of the last phase"),
            summary: "Where it ends.",
        },
        Key {
            name: "phase",
            kind: Kind::Name,
            presence: Presence::Absent("`from` and `to` count"),
            summary: "The part is this phase.",
        },
        Key {
            name: "variant",
            kind: Kind::Text(500),
            presence: Presence::Absent("every variant"),
            summary: "Only this variant.",
        },
    ]],
};
