//! The generator against a server of any kind, for `make bench`: how fast it is closed loop, and how
//! punctual open loop. It must not know scenarios' files or run folders.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use base::time::nanos;
use base::{Clock, Outcome, Rng, Stop, Time};
use hdrhistogram::Histogram;
use record::Exchange;
use scenario::{Generator, LoadSpec};
use serde::Serialize;
use workload::{LoadShape, Pattern, Phase};

use super::{LoadError, Sink, Target, closed_loop, open_loop};

/// Before the figures count: connections are opened, caches warm.
const WARM_UP: Duration = Duration::from_millis(500);

/// As a scenario's default.
const MAX_CONNECTIONS: u32 = 4096;

/// As a scenario's default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest benchmark.
const LONGEST: Duration = Duration::from_secs(3600);

/// The same gaps each time.
const SEED: u64 = 1;

/// A distribution in four figures, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchReport {
    /// "closed" or "open".
    pub mode: &'static str,
    /// As asked for.
    pub url: String,
    /// As asked for.
    pub connections: u32,
    /// As asked for, requests a second; null closed loop.
    pub rate: Option<f64>,
    /// How long figures were taken.
    pub seconds: f64,
    /// Good answers.
    pub ok: u64,
    /// Every other end.
    pub failed: u64,
    /// Good answers a second.
    pub rps: f64,
    /// CPU time of the generator's thread.
    pub cpu_seconds: f64,
    /// The same for each request.
    pub cpu_us_per_request: f64,
    /// Of good answers, from the first byte written to the last byte read.
    pub service_ms: Quantiles,
    /// Of good answers, from the intended time to the last byte read; null closed loop.
    pub latency_ms: Option<Quantiles>,
    /// From the intended time to the first byte written; null closed loop.
    pub dispatch_ms: Option<Quantiles>,
    /// The 99th percentile of the delay that was the generator's own doing; null closed loop.
    pub own_dispatch_p99_ms: Option<f64>,
    /// See [`LoadReport::late_by_generator`](super::LoadReport::late_by_generator).
    pub late_by_generator: u64,
    /// See [`LoadReport::waited_for_connection`](super::LoadReport::waited_for_connection).
    pub waited_for_connection: u64,
    /// See [`LoadReport::max_stall`](super::LoadReport::max_stall).
    pub max_stall_ms: f64,
}

/// Loads a server for some seconds and reports. With a `rate`, requests a second, the loop is open
/// and the gaps are exponential; without, it is closed. `connections` are all that there are closed
/// loop, and those opened beforehand open loop. Blocks for the duration and a little more.
///
/// # Errors
/// When the parameters make no sense, nothing answers, or the system refuses what a loop needs.
pub fn bench(
    url: &str,
    connections: u32,
    seconds: f64,
    rate: Option<f64>,
) -> Result<BenchReport, LoadError> {
    let (address, path) = parse_url(url)?;
    if connections == 0 {
        return Err(parameter("connections", 0, "a number above 0"));
    }
    let duration = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        .ok_or_else(|| parameter("duration", seconds, "seconds, above 0 and at most 3600"))?;
    let mut report = match rate {
        None => closed(address, &path, connections, duration)?,
        Some(rate) if rate.is_finite() && rate > 0.0 && rate <= 1e8 => {
            open(address, path, connections, duration, rate)?
        }
        Some(rate) => {
            return Err(parameter("rate", rate, "requests a second, above 0 and at most 1e8"));
        }
    };
    report.url = url.to_owned();
    report.connections = connections;
    Ok(report)
}

fn parameter(name: &'static str, value: impl ToString, expected: &'static str) -> LoadError {
    LoadError::Parameter { name, value: value.to_string(), expected }
}

fn closed(
    address: SocketAddr,
    path: &str,
    connections: u32,
    duration: Duration,
) -> Result<BenchReport, LoadError> {
    let never = Stop::default();
    closed_loop::run(address, path, connections, WARM_UP, &never)?;
    let tally = closed_loop::run(address, path, connections, duration, &never)?;
    Ok(BenchReport {
        mode: "closed",
        url: String::new(),
        connections,
        rate: None,
        seconds: tally.elapsed.as_secs_f64(),
        ok: tally.ok,
        failed: tally.failed,
        rps: tally.ok as f64 / tally.elapsed.as_secs_f64(),
        cpu_seconds: tally.cpu.as_secs_f64(),
        cpu_us_per_request: per_request(tally.cpu, tally.ok + tally.failed),
        service_ms: quantiles(&tally.latency),
        latency_ms: None,
        dispatch_ms: None,
        own_dispatch_p99_ms: None,
        late_by_generator: 0,
        waited_for_connection: 0,
        max_stall_ms: 0.0,
    })
}

fn open(
    address: SocketAddr,
    path: String,
    connections: u32,
    duration: Duration,
    rate: f64,
) -> Result<BenchReport, LoadError> {
    let phase = Phase { name: "bench".into(), duration, rate, to: None };
    let load = LoadSpec {
        generator: Generator::Builtin,
        shape: LoadShape { warmup: WARM_UP, phases: vec![phase], pattern: Pattern::Poisson },
        connections,
        max_connections: MAX_CONNECTIONS.max(connections),
        timeout: TIMEOUT,
        method: "GET".into(),
        path,
        keys: None,
    };
    let arrivals = load.shape.arrivals(&Rng::from_seed(SEED));
    let target = Target { addresses: vec![address], backends: Vec::new() };
    let clock = Clock::start();
    let mut figures = Figures::new(Time::ZERO + WARM_UP);
    let (start, never) = (clock.now(), Stop::default());
    let load = open_loop::play(&load, arrivals, &target, &clock, start, &mut figures, &never)?;
    let seconds = duration.as_secs_f64();
    Ok(BenchReport {
        mode: "open",
        url: String::new(),
        connections,
        rate: Some(rate),
        seconds,
        ok: figures.ok,
        failed: figures.failed,
        rps: figures.ok as f64 / seconds,
        cpu_seconds: load.cpu.as_secs_f64(),
        cpu_us_per_request: per_request(load.cpu, figures.ok + figures.failed),
        service_ms: quantiles(&figures.service),
        latency_ms: Some(quantiles(&figures.latency)),
        dispatch_ms: Some(quantiles(&figures.dispatch)),
        own_dispatch_p99_ms: Some(load.own_dispatch_p99.as_secs_f64() * 1e3),
        late_by_generator: load.late_by_generator,
        waited_for_connection: load.waited_for_connection,
        max_stall_ms: load.max_stall.as_secs_f64() * 1e3,
    })
}

/// Takes the figures of an open loop.
struct Figures {
    from: Time,
    ok: u64,
    failed: u64,
    service: Histogram<u64>,
    latency: Histogram<u64>,
    dispatch: Histogram<u64>,
}

impl Figures {
    fn new(from: Time) -> Self {
        // 1 ns to a minute with three digits; more cannot be, for the timeout is shorter.
        let empty = || Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds");
        Self { from, ok: 0, failed: 0, service: empty(), latency: empty(), dispatch: empty() }
    }
}

impl Sink for Figures {
    fn begin(&mut self, _intended: Time) {}

    fn end(&mut self, exchange: &Exchange) {
        if exchange.intended < self.from {
            return;
        }
        if let Some(sent) = exchange.sent {
            self.dispatch.saturating_record(nanos(sent.since(exchange.intended)));
        }
        if exchange.outcome == Outcome::Ok {
            self.ok += 1;
            let sent = exchange.sent.unwrap_or(exchange.intended);
            self.service.saturating_record(nanos(exchange.ended.since(sent)));
            self.latency.saturating_record(nanos(exchange.ended.since(exchange.intended)));
        } else {
            self.failed += 1;
        }
    }

    fn interrupted(&mut self, _at: Time) {}
}

fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let ms = |value: u64| value as f64 / 1e6;
    let at = |quantile| ms(histogram.value_at_quantile(quantile));
    Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: ms(histogram.max()) }
}

fn per_request(cpu: Duration, requests: u64) -> f64 {
    if requests == 0 { 0.0 } else { cpu.as_secs_f64() * 1e6 / requests as f64 }
}

/// The address and the path of `http://HOST[:PORT][/PATH]`.
fn parse_url(url: &str) -> Result<(SocketAddr, String), LoadError> {
    let wrong = |reason: &str| LoadError::Url { url: url.to_owned(), reason: reason.to_owned() };
    let rest = url.strip_prefix("http://").ok_or_else(|| wrong("it is not http"))?;
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if !path.starts_with('/') || path.contains('#') {
        return Err(wrong("its path does not begin with \"/\", or holds a \"#\""));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
        !port.is_empty() && !port.ends_with(']') && (!host.contains(':') || host.ends_with(']'))
    });
    let full = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let mut addresses = full.to_socket_addrs().map_err(|error| wrong(&error.to_string()))?;
    let address = addresses.next().ok_or_else(|| wrong("its name has no address"))?;
    Ok((address, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused() {
        for (url, address, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/"),
            ("http://127.0.0.1/a/b?c=d", "127.0.0.1:80", "/a/b?c=d"),
            ("http://[::1]:81/", "[::1]:81", "/"),
            ("http://[::1]/x", "[::1]:80", "/x"),
        ] {
            let expected: SocketAddr = address.parse().expect("an address");
            assert_eq!(parse_url(url).expect(url), (expected, path.to_owned()));
        }
        for url in
            ["", "https://127.0.0.1/", "http://", "http://1.1.1.1:99999/", "http://127.0.0.1?x"]
        {
            let message = parse_url(url).expect_err(url).to_string();
            assert!(message.contains("write http://HOST:PORT/PATH"), "{message}");
        }
    }

    #[test]
    fn senseless_parameters_are_refused() {
        for (connections, seconds, rate) in [
            (0, 1.0, None),
            (1, 0.0, None),
            (1, f64::NAN, None),
            (1, 1e300, None),
            (1, 1.0, Some(0.0)),
            (1, 1.0, Some(f64::INFINITY)),
        ] {
            let error = bench("http://127.0.0.1:1/", connections, seconds, rate);
            let error = error.expect_err("refused");
            assert!(matches!(error, LoadError::Parameter { .. }), "{error}");
        }
    }
}
