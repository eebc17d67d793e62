//! Counters of the traffic, and the Prometheus text that shows them. It must not know a request.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::operator::BackendView;
use crate::shared::Shared;

/// What one worker counts. Only that worker writes, so no cache line travels between cores.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) requests: Counter,
    pub(crate) attempts: Counter,
    /// Answers by the first digit of their status, the proxy's own included; 0 is unused.
    pub(crate) answers: [Counter; 6],
    /// Requests whose framing was refused.
    pub(crate) refused: Counter,
    /// Attempts for which the proxy itself could not open a connection.
    pub(crate) shortages: Counter,
    pub(crate) clients_accepted: Counter,
    pub(crate) clients_closed: Counter,
    pub(crate) upstream_opened: Counter,
    pub(crate) upstream_reused: Counter,
}

impl Counters {
    /// An answer with this status was given.
    pub(crate) fn answered(&self, status: u16) {
        if let Some(counter) = self.answers.get(usize::from(status / 100)) {
            counter.increment();
        }
    }
}

/// A number that grows, written by one thread.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        // One writer: a plain add, without the price of an atomic one.
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

type Read = fn(&BackendView) -> u64;

/// The metrics in Prometheus' text format 0.0.4.
pub(crate) fn text(shared: &Shared) -> String {
    let sum = |read: fn(&Counters) -> &Counter| -> u64 {
        shared.counters.iter().map(|counters| read(counters).read()).sum()
    };
    let accepted = sum(|c| &c.clients_accepted);
    let open = accepted.saturating_sub(sum(|c| &c.clients_closed));
    let tally = shared.tally();
    let mut page = Page(String::with_capacity(4096));
    page.counter("lab_requests_total", "Requests read from clients", sum(|c| &c.requests));
    page.counter("lab_attempts_total", "Requests sent to backends", sum(|c| &c.attempts));
    page.counter("lab_retries_total", "Retries granted by the balancer", tally.counts.retries);
    page.counter("lab_hedges_total", "Second attempts beside a slow one", tally.counts.hedges);
    page.head("lab_rejected_total", "counter", "Requests that got no backend, by the reason");
    for (reason, count) in tally.counts.rejected() {
        page.line("lab_rejected_total", "reason", reason, count);
    }
    page.value("lab_queue_length", "gauge", "Requests that wait in the queue", tally.queued as u64);
    if let Some(limit) = tally.in_flight_limit {
        let help = "The adaptive limit on requests in flight";
        page.value("lab_in_flight_limit", "gauge", help, u64::from(limit));
    }
    let panics = u64::from(tally.is_panicking);
    page.value("lab_panic", "gauge", "1 while backends that are out are used", panics);
    page.counter("lab_refused_total", "Requests refused for framing", sum(|c| &c.refused));
    page.counter(
        "lab_shortages_total",
        "Attempts given up because the proxy lacked descriptors, ports or memory",
        sum(|c| &c.shortages),
    );
    if let Some(log) = &shared.access_log {
        let help = "Lines that the access log had no room for";
        page.counter("lab_access_log_lost_total", help, log.lost());
    }
    page.counter("lab_client_connections_total", "Client connections accepted", accepted);
    page.value("lab_client_connections", "gauge", "Client connections open", open);
    page.counter(
        "lab_upstream_connections_total",
        "Connections to backends opened",
        sum(|c| &c.upstream_opened),
    );
    page.counter(
        "lab_upstream_reuses_total",
        "Attempts sent on a connection that was open",
        sum(|c| &c.upstream_reused),
    );
    page.head("lab_answers_total", "counter", "Answers by class of status");
    for class in 1..6 {
        let count: u64 = shared.counters.iter().map(|c| c.answers[class].read()).sum();
        page.line("lab_answers_total", "class", &format!("{class}xx"), count);
    }
    let backends = shared.backends();
    let columns: [(&str, &str, &str, Read); 6] = [
        ("lab_backend_in_flight", "gauge", "Attempts in flight", |b| u64::from(b.in_flight)),
        ("lab_backend_connections", "gauge", "Connections open", |b| b.open_connections),
        ("lab_backend_attempts_total", "counter", "Attempts", |b| b.attempts),
        ("lab_backend_failures_total", "counter", "Failed attempts", |b| b.failures),
        ("lab_backend_ready", "gauge", "1 while in service", |b| u64::from(b.state == "ready")),
        ("lab_backend_weight", "gauge", "Weight", |b| u64::from(b.weight)),
    ];
    for (name, kind, help, read) in columns {
        page.head(name, kind, help);
        for backend in &backends {
            page.line(name, "backend", &backend.name, read(backend));
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}.\n# TYPE {name} {kind}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.value(name, "counter", help, value);
    }

    fn value(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn line(&mut self, name: &str, label: &str, of: &str, value: u64) {
        let of = of.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
    }
}
