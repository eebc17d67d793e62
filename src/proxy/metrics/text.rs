//! The metrics as a page: which families there are and where their numbers come from. It must not
//! count anything.

use policy::State;

use super::Counters;
use super::histogram::{Histogram, Total};
use super::ledger::{FAILURES, Sums};
use super::page::Page;
use super::{CLASSES, Counter, process};
use crate::operator::{BackendView, Tally};
use crate::shared::Shared;

/// Labels for the classes of status.
const CLASS: [&str; CLASSES] = ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics in Prometheus' text format 0.0.4.
pub(crate) fn text(shared: &Shared) -> String {
    let mut page = Page::new();
    put_requests(&mut page, shared);
    put_balancer(&mut page, &shared.tally());
    put_waits(&mut page, shared);
    put_connections(&mut page, shared);
    put_backends(&mut page, shared);
    page.family("lab_build_info", "gauge", "Always 1; the version is a label");
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    process::put(&mut page);
    page.into_text()
}

/// What all workers counted together.
fn sum(shared: &Shared, read: impl Fn(&Counters) -> &Counter) -> u64 {
    shared.counters.iter().map(|counters| read(counters).read()).sum()
}

fn total(shared: &Shared, read: impl Fn(&Counters) -> &Histogram) -> Total {
    let mut total = Total::default();
    shared.counters.iter().for_each(|counters| total.add(read(counters)));
    total
}

fn put_requests(page: &mut Page, shared: &Shared) {
    let count = |read: fn(&Counters) -> &Counter| sum(shared, read);
    page.counter("lab_requests_total", "Requests read from clients", count(|c| &c.requests));
    page.counter("lab_attempts_total", "Requests sent to backends", count(|c| &c.attempts));
    page.counter("lab_refused_total", "Requests refused for framing", count(|c| &c.refused));
    page.counter(
        "lab_shortages_total",
        "Attempts given up because the proxy lacked descriptors, ports or memory",
        count(|c| &c.shortages),
    );
    page.family("lab_answers_total", "counter", "Answers by class of status");
    for (class, label) in CLASS.iter().enumerate().skip(1) {
        page.sample(&[("class", label)], sum(shared, |c| &c.answers[class]));
    }
    if let Some(log) = &shared.access_log {
        let help = "Lines that the access log had no room for";
        page.counter("lab_access_log_lost_total", help, log.lost());
    }
}

fn put_balancer(page: &mut Page, tally: &Tally) {
    page.counter("lab_retries_total", "Retries granted by the balancer", tally.counts.retries);
    page.counter("lab_hedges_total", "Second attempts beside a slow one", tally.counts.hedges);
    page.family("lab_rejected_total", "counter", "Requests that got no backend, by the reason");
    for (reason, count) in tally.counts.rejected() {
        page.sample(&[("reason", reason)], count);
    }
    page.gauge("lab_queue_length", "Requests that wait in the queue", tally.queued);
    if let Some(limit) = tally.in_flight_limit {
        page.gauge("lab_in_flight_limit", "The adaptive limit on requests in flight", limit);
    }
    let panics = u64::from(tally.is_panicking);
    page.gauge("lab_panic", "1 while backends that are out are used", panics);
}

fn put_waits(page: &mut Page, shared: &Shared) {
    page.family(
        "lab_request_duration_seconds",
        "histogram",
        "From asking the balancer to the backend's last byte, of requests answered whole",
    );
    for (class, label) in CLASS.iter().enumerate().skip(1) {
        page.histogram(&[("class", label)], &total(shared, |c| &c.durations[class]));
    }
    let help = "Time in the queue of requests that waited there";
    page.family("lab_queue_wait_seconds", "histogram", help);
    page.histogram(&[], &total(shared, |c| &c.queue_waits));
}

fn put_connections(page: &mut Page, shared: &Shared) {
    let accepted = sum(shared, |c| &c.clients_accepted);
    let open = accepted.saturating_sub(sum(shared, |c| &c.clients_closed));
    page.counter("lab_client_connections_total", "Client connections accepted", accepted);
    page.gauge("lab_client_connections", "Client connections open", open);
    let opened = sum(shared, |c| &c.upstream_opened);
    page.counter("lab_upstream_connections_total", "Connections to backends opened", opened);
    page.counter(
        "lab_upstream_reuses_total",
        "Attempts sent on a connection that was open",
        sum(shared, |c| &c.upstream_reused),
    );
}

/// A family of one sample a backend: name, kind, help, and where the number is.
type Column<T> = (&'static str, &'static str, &'static str, fn(&BackendView, &Sums) -> T);

const WHOLE: &[Column<u64>] = &[
    ("lab_backend_in_flight", "gauge", "Attempts in flight", |b, _| u64::from(b.in_flight)),
    ("lab_backend_attempts_total", "counter", "Attempts", |b, _| b.attempts),
    (
        "lab_backend_failures_total",
        "counter",
        "Attempts without a whole answer, or with a status of 500 or above",
        |b, _| b.failures,
    ),
    ("lab_backend_ready", "gauge", "1 while in service", |b, _| u64::from(b.state == "ready")),
    ("lab_backend_weight", "gauge", "Weight", |b, _| u64::from(b.weight)),
    ("lab_backend_retries_total", "counter", "Retries sent to it", |_, s| s.retries),
    ("lab_backend_hedges_total", "counter", "Hedges sent to it", |_, s| s.hedges),
    (
        "lab_backend_given_up_total",
        "counter",
        "Attempts given up before a head: another was faster, or the client left",
        |_, s| s.given_up,
    ),
    ("lab_backend_connections_open", "gauge", "Connections open", |b, _| b.connections.open),
    ("lab_backend_connections_idle", "gauge", "Connections kept idle", |b, _| b.connections.idle),
    (
        "lab_backend_connections_opened_total",
        "counter",
        "Attempts that opened a connection, or tried to",
        |_, s| s.opened,
    ),
    (
        "lab_backend_connections_reused_total",
        "counter",
        "Attempts sent on a connection that was open",
        |_, s| s.reused,
    ),
    ("lab_backend_ejections_total", "counter", "Ejections", |b, _| b.ejections),
];

const FRACTIONAL: &[Column<Option<f64>>] = &[
    (
        "lab_backend_effective_weight",
        "gauge",
        "What its weight counts now: less while it warms up",
        |b, _| Some(b.effective_weight),
    ),
    (
        "lab_backend_last_check_passed",
        "gauge",
        "1 if its last health check passed, 0 if it failed",
        |b, _| b.last_check_passed.map(|passed| if passed { 1.0 } else { 0.0 }),
    ),
    (
        "lab_backend_last_check_duration_seconds",
        "gauge",
        "How long its last health check took",
        |b, _| b.last_check_took.map(|took| took.as_secs_f64()),
    ),
];

fn put_backends(page: &mut Page, shared: &Shared) {
    let backends: Vec<(BackendView, Sums)> = shared
        .backends()
        .into_iter()
        .map(|view| {
            let mut sums = Sums::default();
            for counters in &shared.counters {
                counters.backends.add_to(&mut sums, view.id);
            }
            (view, sums)
        })
        .collect();
    page.family("lab_backend_info", "gauge", "Always 1; what is known of a backend is in labels");
    for (view, _) in &backends {
        let address = view.address.to_string();
        page.sample(&[("backend", &view.name), ("address", &address)], 1);
    }
    for (name, kind, help, read) in WHOLE {
        page.family(name, kind, help);
        for (view, sums) in &backends {
            page.sample(&[("backend", &view.name)], read(view, sums));
        }
    }
    for (name, kind, help, read) in FRACTIONAL {
        page.family(name, kind, help);
        for (view, sums) in &backends {
            if let Some(value) = read(view, sums) {
                page.sample(&[("backend", &view.name)], value);
            }
        }
    }
    page.family("lab_backend_state", "gauge", "1 for the state that it is in, 0 for the others");
    for (view, _) in &backends {
        for state in State::ALL.map(State::word) {
            let labels = [("backend", &*view.name), ("state", state)];
            page.sample(&labels, u64::from(state == view.state));
        }
    }
    put_attempts(page, &backends);
}

fn put_attempts(page: &mut Page, backends: &[(BackendView, Sums)]) {
    page.family("lab_backend_answers_total", "counter", "Heads of answers by class of status");
    for (view, sums) in backends {
        for (class, label) in CLASS.iter().enumerate().skip(1) {
            page.sample(&[("backend", &view.name), ("class", label)], sums.answers[class]);
        }
    }
    page.family(
        "lab_backend_attempts_failed_total",
        "counter",
        "Attempts that failed, by the kind; body: broken off behind the head of the answer",
    );
    for (view, sums) in backends {
        let kinds = FAILURES.iter().zip(sums.failures).map(|(kind, count)| (kind.word(), count));
        // A bad status is an answer.
        let kinds = kinds.filter(|&(kind, _)| kind != "status").chain([("body", sums.broken)]);
        for (kind, count) in kinds {
            page.sample(&[("backend", &view.name), ("kind", kind)], count);
        }
    }
    page.family(
        "lab_backend_head_seconds",
        "histogram",
        "From the balancer's decision to the head of the answer, connecting included",
    );
    for (view, sums) in backends {
        page.histogram(&[("backend", &view.name)], &sums.heads);
    }
}
