//! The open loop against small servers on real sockets: every request is accounted for, once, as
//! its client saw it end. No test says how fast anything is: delays have lower bounds only.

mod entries;
mod outcomes;
mod schedule;
mod server;

use std::time::Duration;

use base::{Clock, Rng, Stop, Time};
use record::Exchange;
use scenario::{Generator, LoadSpec};
use workload::{LoadShape, Pattern, Phase};

use super::{LoadReport, Sink, Target, open_loop};

const SEED: u64 = 7;

/// `requests` at equal gaps of `gap_ms`, without a warm-up.
fn load(requests: u32, gap_ms: u64, timeout_ms: u64, connections: u32, most: u32) -> LoadSpec {
    let gap = Duration::from_millis(gap_ms);
    let phase = Phase {
        name: "only".into(),
        duration: gap * requests,
        rate: 1.0 / gap.as_secs_f64(),
        to: None,
    };
    LoadSpec {
        generator: Generator::Builtin,
        shape: LoadShape {
            warmup: Duration::ZERO,
            phases: vec![phase],
            pattern: Pattern::Constant,
        },
        connections,
        max_connections: most,
        timeout: Duration::from_millis(timeout_ms),
        method: "GET".into(),
        path: "/".into(),
        keys: None,
    }
}

/// Keeps everything, and does something when a request begins or ends.
struct Kept<F> {
    begun: Vec<Time>,
    ended: Vec<Exchange>,
    interrupted: Option<Time>,
    on_event: F,
}

impl<F: FnMut(&str, usize)> Sink for Kept<F> {
    fn begin(&mut self, intended: Time) {
        self.begun.push(intended);
        (self.on_event)("begin", self.begun.len());
    }

    fn end(&mut self, exchange: &Exchange) {
        self.ended.push(*exchange);
        (self.on_event)("end", self.ended.len());
    }

    fn interrupted(&mut self, at: Time) {
        assert_eq!(self.interrupted.replace(at), None, "interrupted twice");
    }
}

/// Plays a load and checks what holds for all of them: each request of the schedule begins in order,
/// ends once, and its times are in order.
fn play_with<F: FnMut(&str, usize)>(
    load: &LoadSpec,
    target: &Target,
    stop: &Stop,
    on_event: F,
) -> (Kept<F>, LoadReport) {
    let mut kept = Kept { begun: Vec::new(), ended: Vec::new(), interrupted: None, on_event };
    let clock = Clock::start();
    let arrivals = load.shape.arrivals(&Rng::from_seed(SEED));
    let start = clock.now() + Duration::from_millis(5);
    let report = open_loop::play(load, arrivals.clone(), target, &clock, start, &mut kept, stop)
        .expect("a load that can be sent");
    let planned: Vec<(u64, Time)> = arrivals
        .filter(|arrival| kept.interrupted.is_none_or(|at| arrival.at <= at))
        .map(|arrival| (arrival.request, arrival.at))
        .collect();
    assert_eq!(kept.begun, planned.iter().map(|&(_, at)| at).collect::<Vec<_>>());
    let mut ended: Vec<(u64, Time)> =
        kept.ended.iter().map(|exchange| (exchange.request, exchange.intended)).collect();
    ended.sort_unstable();
    assert_eq!(ended, planned, "every request ends exactly once");
    for exchange in &kept.ended {
        let sent = exchange.sent.unwrap_or(exchange.intended);
        assert!(exchange.intended <= sent && sent <= exchange.ended, "{exchange:?}");
    }
    (kept, report)
}

fn play(load: &LoadSpec, target: &Target) -> (Vec<Exchange>, LoadReport) {
    let (kept, report) = play_with(load, target, &Stop::default(), |_, _| {});
    assert_eq!(kept.interrupted, None);
    (kept.ended, report)
}
