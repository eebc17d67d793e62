//! The metrics page, read by a strict reader of the format and held against requests of which it is
//! known what must come of them.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;

use support::{Backend, Lab, Message, eventually, exchange, nobody, ok, write};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

type Labels = BTreeMap<String, String>;

/// A metric family as the page tells it.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    /// Name and labels of each sample, and its value.
    samples: Vec<(String, Labels, f64)>,
}

/// A page that is right: everything that the format demands has been checked.
struct Page(BTreeMap<String, Family>);

fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The labels that begin `text` behind their brace, and what follows the other brace.
fn labels(mut text: &str) -> (Labels, &str) {
    let mut found = Labels::new();
    loop {
        let (name, rest) = text.split_once("=\"").expect("a name and a quote");
        assert!(is_name(name), "a label's name: {name:?}");
        let (mut value, mut chars) = (String::new(), rest.char_indices());
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    char @ ('\\' | '"') => value.push(char),
                    char => panic!("no escape: \\{char}"),
                },
                (_, char) => value.push(char),
            }
        };
        assert!(found.insert(name.into(), value).is_none(), "{name} twice");
        match rest[end + 1..].split_at(1) {
            (",", rest) => text = rest,
            ("}", rest) => return (found, rest),
            (other, _) => panic!("{other:?} behind a label"),
        }
    }
}

impl Page {
    fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has its end");
        let (mut families, mut present) = (BTreeMap::<String, Family>::new(), String::new());
        let mut seen = BTreeSet::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a name and a text");
                assert!(is_name(name) && !help.is_empty(), "{line}");
                let kind = lines.next().and_then(|l| l.strip_prefix("# TYPE ")?.strip_prefix(name));
                let kind = kind.expect("the type of the same family follows").trim_start().into();
                let family = Family { kind, samples: vec![] };
                assert!(families.insert(name.into(), family).is_none(), "{name} twice");
                present = name.into();
                continue;
            }
            let end = line.find(['{', ' ']).expect("a value");
            let (name, rest) = line.split_at(end);
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => labels(rest),
                None => (Labels::new(), rest),
            };
            let value = value.strip_prefix(' ').and_then(|value| value.parse().ok());
            let value: f64 = value.unwrap_or_else(|| panic!("no value: {line}"));
            assert!(seen.insert((name.to_owned(), labels.clone())), "twice: {line}");
            let family = families.get_mut(&present).expect("a family before its samples");
            let suffix = name.strip_prefix(&*present).unwrap_or_else(|| panic!("{line}"));
            match &*family.kind {
                "counter" | "gauge" => assert_eq!(suffix, "", "{line}"),
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                kind => panic!("{kind}"),
            }
            family.samples.push((name.into(), labels, value));
        }
        let page = Self(families);
        page.check();
        page
    }

    /// Names, and what belongs together.
    fn check(&self) {
        for (name, family) in &self.0 {
            let is_total = name.ends_with("_total");
            assert_eq!(is_total, family.kind == "counter", "{name} is a {}", family.kind);
            for word in ["_ms", "_milliseconds", "_kb", "_percent", "_us"] {
                assert!(!name.contains(word), "{name}: base units");
            }
            for (sample, labels, value) in &family.samples {
                assert!(value.is_finite() && *value >= 0.0, "{sample} {labels:?} {value}");
            }
            if family.kind == "histogram" {
                check_histogram(name, family);
            }
        }
    }

    /// The sum over all samples of this name with these labels.
    fn sum(&self, name: &str, with: &[(&str, &str)]) -> f64 {
        let fits =
            |labels: &Labels| with.iter().all(|&(k, v)| labels.get(k).is_some_and(|l| l == v));
        let samples = self.0.values().flat_map(|family| &family.samples);
        let mut found = samples.filter(|(n, labels, _)| n == name && fits(labels)).peekable();
        assert!(found.peek().is_some(), "no {name} with {with:?}");
        found.map(|(_, _, value)| value).sum()
    }
}

/// The bounds and counts of a histogram's buckets, its sum and its count.
type Histogram = (Vec<(f64, f64)>, Option<f64>, Option<f64>);

/// Each histogram's buckets grow to infinity, where they are its count.
fn check_histogram(name: &str, family: &Family) {
    let mut all = BTreeMap::<Labels, Histogram>::new();
    for (sample, labels, value) in &family.samples {
        let mut labels = labels.clone();
        let bound = labels.remove("le");
        let one = all.entry(labels).or_default();
        match (sample.strip_prefix(name), bound) {
            (Some("_bucket"), Some(bound)) => {
                let bound =
                    if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("le") };
                one.0.push((bound, *value));
            }
            (Some("_sum"), None) => one.1 = Some(*value),
            (Some("_count"), None) => one.2 = Some(*value),
            other => panic!("{name}: {other:?}"),
        }
    }
    for (labels, (buckets, sum, count)) in all {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}");
        let &(last, all) = buckets.last().expect("a bucket");
        assert_eq!((last, Some(all)), (f64::INFINITY, count), "{name} {labels:?}");
        let sum = sum.expect("a sum");
        // What lies in the buckets cannot be less than their lower bounds.
        let lower: f64 = buckets.windows(2).map(|w| w[0].0 * (w[1].1 - w[0].1)).sum();
        assert!(sum >= lower && (all > 0.0 || sum == 0.0), "{name} {labels:?}: {sum}");
    }
}

fn page(lab: &Lab) -> Page {
    Page::parse(lab.call("GET", "/metrics", "").1.as_str().expect("a text"))
}

fn by_path(request: &Message, stream: &mut TcpStream) -> bool {
    match request.first_line.split(' ').nth(1).unwrap_or_default() {
        "/404" => write(stream, "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"),
        "/500" => write(stream, "HTTP/1.1 500 Bad\r\ncontent-length: 0\r\n\r\n"),
        "/half" => {
            write(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
            false
        }
        _ => ok(stream, "served"),
    }
}

#[test]
fn every_request_and_attempt_is_counted_where_it_belongs() {
    for workers in [1, 2] {
        let (a, b) = (Backend::start(by_path), Backend::start(by_path));
        let tables = format!("workers = {workers}\n[retry]\nattempts = 2\nstatuses = [500]\n");
        let lab = Lab::start(&tables, &[a.address, b.address]);
        for path in ["/", "/", "/", "/404", "/404", "/500"] {
            lab.get(path);
        }
        let mut client = lab.connect();
        write(&mut client.stream, "GET /half HTTP/1.1\r\nhost: h\r\n\r\n");
        assert!(client.answer("GET").is_none(), "it is never whole");
        let twice = "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(lab.ask(twice).status(), 400);
        // A client may have its answer before the request is counted.
        eventually("all are over", || {
            let page = page(&lab);
            page.sum("lab_answers_total", &[]) == 8.0
                && page.sum("lab_backend_in_flight", &[]) == 0.0
        });
        let page = page(&lab);
        let duration = "lab_request_duration_seconds_count";
        for (name, labels, expected) in [
            ("lab_requests_total", &[][..], 8.0),
            ("lab_refused_total", &[], 1.0),
            ("lab_retries_total", &[], 1.0),
            ("lab_attempts_total", &[], 8.0),
            ("lab_answers_total", &[("class", "2xx")], 4.0),
            ("lab_answers_total", &[("class", "4xx")], 3.0),
            ("lab_answers_total", &[("class", "5xx")], 1.0),
            // Whole answers of requests that the balancer saw.
            (duration, &[("class", "2xx")], 3.0),
            (duration, &[("class", "4xx")], 2.0),
            (duration, &[("class", "5xx")], 1.0),
            ("lab_backend_attempts_total", &[], 8.0),
            ("lab_backend_answers_total", &[("class", "2xx")], 4.0),
            ("lab_backend_answers_total", &[("class", "4xx")], 2.0),
            ("lab_backend_answers_total", &[("class", "5xx")], 2.0),
            ("lab_backend_head_seconds_count", &[], 8.0),
            ("lab_backend_retries_total", &[], 1.0),
            ("lab_backend_attempts_failed_total", &[], 1.0),
            ("lab_backend_attempts_failed_total", &[("kind", "body")], 1.0),
            ("lab_backend_given_up_total", &[], 0.0),
            ("lab_backend_state", &[], 2.0),
            ("lab_backend_state", &[("state", "ready")], 2.0),
            ("lab_backend_info", &[("backend", "b1")], 1.0),
            ("lab_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        ] {
            assert_eq!(page.sum(name, labels), expected, "{name} {labels:?}, {workers} workers");
        }
        let opened = page.sum("lab_backend_connections_opened_total", &[]);
        let reused = page.sum("lab_backend_connections_reused_total", &[]);
        assert_eq!(opened + reused, 8.0);
        assert_eq!(opened, (a.connections() + b.connections()) as f64);
        // All but the one that broke.
        assert_eq!(page.sum("lab_backend_connections_open", &[]), opened - 1.0);
        assert_eq!(page.sum("lab_backend_connections_idle", &[]), opened - 1.0);
    }
}

#[test]
fn attempts_without_a_head_are_counted_by_what_became_of_them() {
    let closes = Backend::start(|_, _| false);
    let hangs = Backend::start(|_, _| true);
    let lies = Backend::start(|_, stream| write(stream, "SMTP\r\n\r\n"));
    let short = "[timeout]\nattempt = \"50ms\"\n";
    for (address, kind, status) in [
        (nobody(), "connect", 502),
        (closes.address, "reset", 502),
        (hangs.address, "timeout", 504),
        (lies.address, "protocol", 502),
    ] {
        let lab = Lab::start(if kind == "timeout" { short } else { "" }, &[address]);
        assert_eq!(lab.ask(GET).status(), status, "{kind}");
        eventually("it is over", || lab.metric("lab_answers_total{class=\"5xx\"}") == 1.0);
        let page = page(&lab);
        let failed = "lab_backend_attempts_failed_total";
        assert_eq!((page.sum(failed, &[]), page.sum(failed, &[("kind", kind)])), (1.0, 1.0));
        assert_eq!(page.sum("lab_backend_head_seconds_count", &[]), 0.0, "{kind}");
        let durations = page.sum("lab_request_duration_seconds_count", &[("class", "5xx")]);
        assert_eq!(durations, 1.0, "{kind}");
        if kind == "timeout" {
            assert!(page.sum("lab_request_duration_seconds_sum", &[]) >= 0.05, "it was waited for");
        }
    }
    let lab = Lab::start("", &[hangs.address]);
    let mut client = lab.connect();
    write(&mut client.stream, GET);
    eventually("it is in flight", || lab.in_flight() == 1);
    drop(client);
    eventually("it is given up", || page(&lab).sum("lab_backend_given_up_total", &[]) == 1.0);
}

#[test]
fn a_backend_that_left_has_no_series_and_its_slot_begins_at_zero() {
    let (first, next) = (Backend::named("first"), Backend::named("next"));
    let lab = Lab::start("[health]\ninterval = \"20ms\"\nrise = 1\n", &[first.address]);
    eventually("in service", || lab.metric("lab_backend_ready{backend=\"b1\"}") == 1.0);
    for _ in 0..5 {
        assert_eq!(lab.ask(GET).text(), "first");
    }
    let answers = |page: &Page, name| page.sum("lab_backend_answers_total", &[("backend", name)]);
    eventually("all are counted", || answers(&page(&lab), "b1") == 5.0);
    assert_eq!(lab.metric("lab_backend_last_check_passed{backend=\"b1\"}"), 1.0);
    assert!(lab.metric("lab_backend_last_check_duration_seconds{backend=\"b1\"}") > 0.0);
    let body = format!("{{\"address\": \"{}\"}}", next.address);
    assert_eq!(lab.call("DELETE", "/v1/backends/b1", "").0, 204);
    assert_eq!(lab.call("POST", "/v1/backends", &body).0, 201);
    let after = page(&lab);
    let samples = after.0.values().flat_map(|family| &family.samples);
    let names: BTreeSet<_> = samples.filter_map(|(_, labels, _)| labels.get("backend")).collect();
    assert_eq!(names, [&"b2".to_owned()].into(), "of whoever left there is nothing");
    assert_eq!(answers(&after, "b2"), 0.0);
    eventually("in service", || lab.metric("lab_backend_ready{backend=\"b2\"}") == 1.0);
    assert_eq!(exchange(lab.listen, GET).text(), "next");
    eventually("it is counted", || answers(&page(&lab), "b2") == 1.0);
    assert_eq!(page(&lab).sum("lab_backend_head_seconds_count", &[("backend", "b2")]), 1.0);
}

#[test]
fn who_waits_in_the_queue_is_timed() {
    let hangs = Backend::start(|_, _| true);
    let tables = "[limits]\nmax_in_flight = 1\n[queue]\nsize = 2\nwait = \"50ms\"\n";
    let lab = Lab::start(tables, &[hangs.address]);
    let mut first = lab.connect();
    write(&mut first.stream, GET);
    eventually("it is in flight", || lab.in_flight() == 1);
    assert_eq!(lab.ask(GET).status(), 503);
    eventually("it is over", || lab.metric("lab_answers_total{class=\"5xx\"}") == 1.0);
    let page = page(&lab);
    assert_eq!(page.sum("lab_queue_wait_seconds_count", &[]), 1.0);
    assert!(page.sum("lab_queue_wait_seconds_sum", &[]) >= 0.05, "so long it may wait");
    assert_eq!(page.sum("lab_rejected_total", &[("reason", "queue_timeout")]), 1.0);
    assert_eq!(page.sum("lab_request_duration_seconds_count", &[("class", "5xx")]), 1.0);
}

#[test]
fn the_process_tells_of_itself() {
    let backend = Backend::named("served");
    let lab = Lab::start("", &[backend.address]);
    lab.get("/");
    let page = page(&lab);
    for name in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_threads",
        "process_start_time_seconds",
    ] {
        assert!(page.sum(name, &[]) > 0.0, "{name}");
    }
    assert!(page.sum("process_cpu_seconds_total", &[]) >= 0.0);
    // After 2020 and not in the future.
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs_f64();
    let start = page.sum("process_start_time_seconds", &[]);
    assert!((1_577_836_800.0..=now + 1.0).contains(&start), "{start}");
}
