//! What one pick costs, its attempt's head and end included, and the load probes that go with it:
//! every strategy over 10, 100 and 1,000 backends, with as many requests in flight as backends;
//! then how much more that is than with the plainest strategy, which is the pick's own part.
//! It must not judge: the figures belong in reports/benchmarks.md, with the machine's description.
//!
//! `play STRATEGY BACKENDS REQUESTS plain|everything` plays so many requests and says nothing: for
//! callgrind, which counts the same instructions every time. "everything" is each policy switched on,
//! as `make bench` has them, but probes, which are no part of a request.

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::time::Duration;

use base::{AttemptId, Clock, RequestId, RequestMeta, Rng, Time};
use policy::{
    AdaptiveSettings, Balancer, Command, EjectionSettings, End, Head, HedgingSettings, KeySource,
    KeyedRate, LimitSettings, Load, Next, Output, PanicSettings, ProbeResult, QueueSettings, Rate,
    RateSettings, Registry, RetrySettings, Settings, SlowStartSettings, TimeoutSettings, Verdict,
};

const ROUNDS: usize = 5;
/// Requests of a round.
const REQUESTS: u64 = 200_000;

/// A balancer in the middle of its work.
struct Bench {
    balancer: Balancer,
    in_flight: VecDeque<AttemptId>,
    requests: u64,
    /// Requests have the key of a client.
    limited: bool,
}

impl Bench {
    fn new(settings: Settings, backends: usize) -> Self {
        let limited = settings.limits.is_some();
        let mut balancer = Balancer::new(settings, &Rng::from_seed(1));
        for i in 0..backends {
            let command = Command::Add { name: format!("b-{i}"), weight: 1 };
            balancer.handle_command(Time::ZERO, command).expect("name and weight are good");
        }
        let mut bench = Self { balancer, in_flight: VecDeque::new(), requests: 0, limited };
        for _ in 0..backends {
            bench.begin();
        }
        bench
    }

    /// A request every 10 µs, each with a key of its own.
    fn begin(&mut self) {
        let id = self.requests;
        self.requests += 1;
        let key = Some(base::rng::mix(id, 1));
        let limit_key = self.limited.then_some(7);
        let plain = RequestMeta::new(RequestId(id), true);
        let request = RequestMeta { key, limit_key, replayable: true, ..plain };
        match self.balancer.handle_request(Time::from_nanos(id * 10_000), request) {
            Verdict::Send(attempt) => self.in_flight.push_back(attempt.id),
            other => unreachable!("every backend is ready: {other:?}"),
        }
        self.drain();
    }

    fn end(&mut self) {
        let now = Time::from_nanos(self.requests * 10_000);
        let attempt = self.in_flight.pop_front().expect("as many as backends");
        let head = Head::Status { status: 200, replayable: true, retry_after: None };
        assert_eq!(self.balancer.handle_head(now, attempt, head), Next::Deliver);
        self.balancer.handle_end(now, attempt, End::Complete);
    }

    /// Probes are answered at once.
    fn drain(&mut self) {
        let now = Time::from_nanos(self.requests * 10_000);
        while let Some(output) = self.balancer.poll_output() {
            match output {
                Output::Probe(probe) => {
                    let load = Load { in_flight: 1, latency: std::time::Duration::from_millis(1) };
                    let after = std::time::Duration::from_micros(200);
                    let answer = ProbeResult::Status { status: 200, after, load: Some(load) };
                    self.balancer.handle_probe(now, probe.id, answer);
                }
                Output::Build(work) => self.balancer.handle_built(now, work.run()),
                _ => {}
            }
        }
    }
}

/// Backends of the columns.
const SIZES: [usize; 3] = [10, 100, 1_000];

/// A strategy whose pick is one draw: what is beyond its figure is the pick of the others.
const PLAIN: &str = "random";

/// Every policy switched on.
fn everything(plain: Settings) -> Settings {
    let rate = Rate { rate: 1e7, burst: 10_000_000 };
    let keyed = KeyedRate { key: KeySource::Address, each: rate, keys: 10_000 };
    let adaptive = AdaptiveSettings { min: 10_000, max: 10_000, ..AdaptiveSettings::default() };
    let min_delay = Duration::from_millis(500);
    Settings {
        ejection: Some(EjectionSettings::default()),
        slow_start: Some(SlowStartSettings::default()),
        panic: Some(PanicSettings::default()),
        retry: Some(RetrySettings::default()),
        hedging: Some(HedgingSettings { min_delay, ..HedgingSettings::default() }),
        limits: Some(LimitSettings {
            rate: RateSettings { global: Some(rate), keyed: Some(keyed) },
            adaptive: Some(adaptive),
            ..LimitSettings::default()
        }),
        queue: Some(QueueSettings::default()),
        timeout: TimeoutSettings {
            attempt: Some(Duration::from_secs(30)),
            total: Some(Duration::from_secs(60)),
            ..TimeoutSettings::default()
        },
        ..plain
    }
}

/// One strategy, without a word.
fn play(name: &str, backends: &str, requests: &str, settings: &str) {
    let registry = Registry::standard();
    let entry = registry.entries().iter().find(|entry| entry.name == name);
    let entry = entry.expect("STRATEGY is known");
    let plain = Settings::plain(entry.choose(&BTreeMap::new()).expect("defaults are valid"));
    let settings = match settings {
        "plain" => plain,
        "everything" => everything(plain),
        _ => panic!("give `plain` or `everything`, not {settings:?}"),
    };
    let number = |text: &str| text.parse::<usize>().expect("BACKENDS and REQUESTS are numbers");
    let mut bench = Bench::new(settings, number(backends));
    for _ in 0..number(requests) {
        bench.end();
        bench.drain();
        black_box(bench.balancer.poll_timeout());
        bench.begin();
        black_box(bench.balancer.poll_timeout());
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let registry = Registry::standard();
    // Rounds in turns: what disturbs the machine for a while disturbs all alike.
    let mut figures: BTreeMap<(&str, usize), Vec<f64>> = BTreeMap::new();
    let mut benches: Vec<(&str, usize, Bench)> = Vec::new();
    // `cargo bench -p policy -- p2c prequal`: these alone, beside the plain one.
    let named: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if let [what, name, backends, requests, settings] = &named[..]
        && what == "play"
    {
        return play(name, backends, requests, settings);
    }
    let wanted =
        |name: &str| named.is_empty() || name == PLAIN || named.iter().any(|other| other == name);
    for entry in registry.entries().iter().filter(|entry| wanted(entry.name)) {
        for backends in SIZES {
            let choice = entry.choose(&BTreeMap::new()).expect("defaults are valid");
            benches.push((entry.name, backends, Bench::new(Settings::plain(choice), backends)));
        }
    }
    let clock = Clock::start();
    for _ in 0..ROUNDS {
        for (name, backends, bench) in &mut benches {
            let began = clock.now();
            for _ in 0..REQUESTS {
                bench.end();
                bench.begin();
            }
            let took = clock.now().since(began).as_nanos() as f64 / REQUESTS as f64;
            figures.entry((*name, *backends)).or_default().push(took);
        }
    }
    println!("| strategy | 10 backends | 100 | 1,000 | the pick alone: 10 | 100 | 1,000 |");
    println!("|---|---|---|---|---|---|---|");
    for entry in registry.entries().iter().filter(|entry| wanted(entry.name)) {
        let whole = SIZES.map(|size| median(figures[&(entry.name, size)].clone()));
        let alone = SIZES.map(|size| {
            let pairs = figures[&(entry.name, size)].iter().zip(&figures[&(PLAIN, size)]);
            median(pairs.map(|(one, plain)| one - plain).collect())
        });
        let cells: Vec<String> =
            whole.iter().chain(&alone).map(|figure| format!("{figure:.0}")).collect();
        println!("| {} | {} |", entry.name, cells.join(" | "));
    }
}
