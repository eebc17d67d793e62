//! What Artillery can play of a load: its pacer knows whole requests and whole seconds, and a core
//! of it sends a thousand requests a second. It must not know how its script is written.

use std::time::Duration;

use config::reader::Reader;
use config::value::format_duration;

use crate::model::LoadSpec;

/// The highest rate that is played, requests/s: ten times what a core of Artillery can hold, and
/// what comes of it is marked invalid long before.
pub const HIGHEST_RATE: f64 = 10_000.0;

/// The most requests of one load: their lucks and keys, which Artillery is handed, take 60 MB.
pub const MOST_REQUESTS: f64 = 5e6;

/// The shortest ramp: Artillery fires the whole of a ramp of one second at once.
pub const SHORTEST_RAMP: Duration = Duration::from_secs(2);

/// What it cannot play, with what to write instead; `r` reads `[load]`.
pub(crate) fn check(r: &Reader<'_>, load: &LoadSpec) {
    // The problems of phases stand where their values do.
    let phases = r.tables("phases").unwrap_or_default();
    for (phase, r) in load.shape.phases.iter().zip(&phases) {
        for (key, rate) in [("rate", Some(phase.rate)), ("to", phase.to)] {
            if rate.is_some_and(|rate| rate > HIGHEST_RATE) {
                let remedy = format!("write at most {HIGHEST_RATE}, or generator = \"builtin\"");
                let rate = rate.unwrap_or_default();
                r.problem(key, format!("{key} = {rate} is far beyond Artillery: {remedy}"));
            }
        }
        let ramps = phase.to.is_some_and(|to| to != phase.rate);
        let whole = phase.duration.subsec_nanos() == 0 && phase.duration >= SHORTEST_RAMP;
        if ramps && !whole {
            r.problem(
                "duration",
                format!(
                    "duration = \"{}\" is no length of a ramp for Artillery, which climbs second \
                     by second: write whole seconds, at least \"{}\", or generator = \"builtin\"",
                    format_duration(phase.duration),
                    format_duration(SHORTEST_RAMP)
                ),
            );
        }
    }
    if load.path.contains("{{") {
        let message = format!(
            "path = {:?} holds \"{{{{\", which begins a template in Artillery: write another path, \
             or generator = \"builtin\"",
            load.path
        );
        r.problem("path", message);
    }
    let warmup = load.shape.phases.first().map_or(0.0, |first| first.rate);
    let requests = load.shape.expected() + warmup * load.shape.warmup.as_secs_f64();
    if requests > MOST_REQUESTS {
        let remedy = "lower the rate, shorten the phases, or write generator = \"builtin\"";
        let message =
            format!("{requests:.0} requests are more than {MOST_REQUESTS} for Artillery: {remedy}");
        r.problem("phases", message);
    }
}
