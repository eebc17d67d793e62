//! The control API: what it counts, and what it says to bad input. And what requests bring along.

mod common;

use std::io::Write;
use std::time::Duration;

use common::{model, start};
use fakebackends::control::TimedSample;

#[test]
fn bad_input_gets_400_with_the_place_and_the_remedy_and_changes_nothing() {
    let lab = start(vec![model(Duration::ZERO)]);
    for (changes, part) in [
        ("nonsense", "expected"),
        (r#"{"changes":[],"chnages":[]}"#, "chnages"),
        (r#"{"changes":[{"kind":"crash"}]}"#, "backend"),
        (
            r#"{"changes":[{"backend":"b-1","kind":"crash"}]}"#,
            "unknown backend \\\"b-1\\\"; one of a-1",
        ),
        (
            r#"{"changes":[{"backend":"a-1","kind":"flap"}]}"#,
            "unknown kind \\\"flap\\\"; one of crash",
        ),
        (r#"{"changes":[{"backend":"a-1","kind":"slow"}]}"#, "slow needs `factor`"),
        (r#"{"changes":[{"backend":"a-1","kind":"slow","factor":0}]}"#, "factor 0"),
        (r#"{"changes":[{"backend":"a-1","kind":"slow","factor":-1}]}"#, "above 0"),
        (r#"{"changes":[{"backend":"a-1","kind":"errors","status":200}]}"#, "400 to 599"),
        (r#"{"changes":[{"backend":"a-1","kind":"errors","ratio":1.5}]}"#, "0 to 1"),
        (
            r#"{"changes":[{"backend":"a-1","kind":"crash","factor":2}]}"#,
            "does not belong to crash",
        ),
        (r#"{"changes":[{"backend":"a-1","kind":"crash","at_ns":-5}]}"#, "-5"),
        (r#"{"changes":[{"backend":"a-1","kind":"crash","at_ns":5,"in_ns":5}]}"#, "leave one out"),
        // The first is good: all or nothing.
        (
            r#"{"changes":[{"backend":"a-1","kind":"crash"},{"backend":"a-1","kind":"x"}]}"#,
            "changes[1]",
        ),
    ] {
        let reply = lab.control("POST", "/v1/faults", changes);
        assert_eq!(reply.status, 400, "{changes}");
        assert!(reply.body.contains(part), "{changes} got {}", reply.body);
    }
    let mut raw = lab.open(0);
    raw.get("/");
    assert_eq!(raw.read().status, 200);
}

#[test]
fn a_plan_has_a_limit() {
    let lab = start(vec![model(Duration::ZERO)]);
    let hour = 3_600_000_000_000_u64;
    let change = format!(r#"{{"at_ns":{hour},"backend":"a-1","kind":"crash"}}"#);
    let plan = |changes: usize| {
        let changes = vec![change.as_str(); changes].join(",");
        lab.control("POST", "/v1/faults", &format!(r#"{{"changes":[{changes}]}}"#)).status
    };
    assert_eq!(plan(workload::MAX_CHANGES + 1), 409);
    assert_eq!(plan(workload::MAX_CHANGES), 204);
    assert_eq!(plan(1), 409);
    assert_eq!(lab.control("DELETE", "/v1/faults", "").status, 204);
    assert_eq!(plan(1), 204);
}

#[test]
fn the_readmes_example_is_a_configuration() {
    let readme = include_str!("../README.md");
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let no_files = |name: &str| Err(std::io::Error::other(name.to_owned()));
    let config = config::BackendsConfig::parse("README.md", example.expect("one"), &no_files)
        .expect("what the README shows works");
    let names: Vec<&str> = config.backends.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, ["a-1", "a-2", "a-3"]);
}

#[test]
fn other_paths_and_methods_are_refused() {
    let lab = start(vec![model(Duration::ZERO)]);
    for (method, path, status) in
        [("GET", "/", 404), ("GET", "/v1/faults", 405), ("POST", "/v1/backends", 405)]
    {
        assert_eq!(lab.control(method, path, "").status, status, "{method} {path}");
    }
}

#[test]
fn samples_count_requests_and_restart_the_peak() {
    let lab = start(vec![model(Duration::from_secs(3600)), model(Duration::ZERO)]);
    let mut inside = [lab.open(0), lab.open(0)];
    inside.iter_mut().for_each(|raw| raw.get("/"));
    lab.await_sample(0, |sample| sample.in_flight == 2);
    let mut refused = lab.open(0);
    refused.get("/");
    assert_eq!(refused.read().status, 503);
    drop(inside);
    lab.await_sample(0, |sample| sample.in_flight == 0);
    for (method, path, peak) in [
        ("GET", "/v1/backends", 2),
        ("POST", "/v1/sample", 2),
        ("GET", "/v1/backends", 0),
        ("POST", "/v1/sample", 0),
    ] {
        let samples = lab.samples(method, path);
        let sample = &samples[0];
        assert_eq!(sample.max_in_flight, peak, "{method} {path}");
        assert_eq!((sample.requests, sample.failed), (3, 1));
        assert_eq!((sample.name.as_str(), sample.address), ("a-1", lab.address(0)));
        assert_eq!((samples[1].name.as_str(), samples[1].requests), ("a-2", 0));
    }
}

#[test]
fn counters_are_noted_at_planned_times_and_told_afterwards() {
    let lab = start(vec![model(Duration::ZERO), model(Duration::ZERO)]);
    let noted = |query: &str| -> Vec<TimedSample> {
        let reply = lab.control("GET", &format!("/v1/samples{query}"), "");
        assert_eq!(reply.status, 200, "{}", reply.body);
        serde_json::from_str(&reply.body).expect("samples")
    };
    let mut raw = lab.open(0);
    let mut get = || {
        raw.get("/");
        assert_eq!(raw.read().status, 200);
    };
    get();
    let soon = lab.clock.now().as_nanos() + 300_000_000;
    let hour = soon + 3_600_000_000_000;
    let plan = format!(r#"{{"at_ns":[1,{soon},{hour}]}}"#);
    assert_eq!(lab.control("POST", "/v1/samples", &plan).status, 204);
    while lab.clock.now().as_nanos() < soon {
        std::thread::yield_now();
    }
    // However late it is asked for, this one is not in it.
    get();
    let samples = noted("");
    assert_eq!(samples.iter().map(|sample| sample.at_ns).collect::<Vec<_>>(), [1, soon]);
    for sample in &samples {
        let counted: Vec<_> =
            sample.backends.iter().map(|b| (b.name.as_str(), b.requests)).collect();
        assert_eq!(counted, [("a-1", 1), ("a-2", 0)]);
    }
    assert_eq!(noted("?after_ns=1"), samples[1..], "nothing is lost by asking again");
    assert_eq!(noted(&format!("?after_ns={soon}")), []);
    for (body, part) in [
        ("[]", "give {"),
        (r#"{"at_ns":[5,5]}"#, "at_ns[1]: 5 is not after"),
        (r#"{"at_ns":[-1]}"#, "-1"),
    ] {
        let reply = lab.control("POST", "/v1/samples", body);
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.body.contains(part), "{}", reply.body);
    }
    assert_eq!(noted("").len(), 2, "a bad plan changes nothing");
}

/// A request is long or short by its luck, whichever backend gets it.
#[test]
fn luck_and_attempt_decide_the_draw_and_the_backend_does_not() {
    let lab = start(vec![model(Duration::ZERO), model(Duration::ZERO)]);
    lab.fault(
        r#"{"backend":"a-1","kind":"errors","ratio":0.5,"after_ns":0},
           {"backend":"a-2","kind":"errors","ratio":0.5,"after_ns":0}"#,
    );
    let ask = |backend: usize, luck: u64, attempt: u32| {
        let mut raw = lab.open(backend);
        let header =
            if attempt > 1 { format!("x-attempt-count: {attempt}\r\n") } else { String::new() };
        raw.send(&format!("GET / HTTP/1.1\r\nhost: a\r\nx-lab-luck: {luck}\r\n{header}\r\n"));
        raw.read().status
    };
    let lucks = 0..24;
    let first: Vec<u16> = lucks.clone().map(|luck| ask(0, luck, 1)).collect();
    let elsewhere: Vec<u16> = lucks.clone().map(|luck| ask(1, luck, 1)).collect();
    let second: Vec<u16> = lucks.map(|luck| ask(1, luck, 2)).collect();
    assert_eq!(first, elsewhere);
    assert_ne!(first, second, "another attempt, another draw");
    assert!(first.contains(&200) && first.contains(&500), "{first:?}");
}

#[test]
fn a_request_body_is_read_whole_before_the_answer() {
    let lab = start(vec![model(Duration::ZERO)]);
    let mut raw = lab.open(0);
    for (head, body) in [
        ("content-length: 100000", "x".repeat(100_000)),
        (
            "transfer-encoding: chunked",
            format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "y".repeat(70_000)),
        ),
    ] {
        raw.send(&format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n"));
        raw.0.write_all(&body.as_bytes()[..10]).expect("it reads");
        raw.assert_silent();
        raw.0.write_all(&body.as_bytes()[10..]).expect("it reads");
        assert_eq!(raw.read().status, 200, "{head}");
    }
}

#[test]
fn what_cannot_be_bound_is_an_error_that_names_it() {
    let lab = start(vec![model(Duration::ZERO)]);
    let taken = lab.address(0);
    let config = config::BackendsConfig {
        control: None,
        workers: 1,
        seed: 1,
        backends: vec![config::backends::BackendConfig {
            name: "b-1".to_owned(),
            listen: taken,
            model: model(Duration::ZERO),
        }],
    };
    let error = fakebackends::start(config, lab.clock).expect_err("the port is taken").to_string();
    for part in ["b-1", &taken.to_string(), "choose another port"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_ready_line_is_the_one_agreed_upon() {
    let lab = start(vec![model(Duration::ZERO)]);
    let ready = lab.running.ready();
    let control = ready.control.expect("it is configured");
    assert_eq!(
        serde_json::to_string(&ready).expect("plain data"),
        format!(
            r#"{{"ready":"backends","control":"{control}","backends":[{{"name":"a-1","address":"{}"}}]}}"#,
            lab.address(0)
        )
    );
}

#[test]
fn a_stopped_lab_serves_nobody() {
    let lab = start(vec![model(Duration::ZERO)]);
    let (address, control) = (lab.address(0), lab.running.ready().control.expect("configured"));
    lab.running.stop();
    lab.running.wait();
    common::assert_refused(address);
    common::assert_refused(control);
}

#[test]
fn answers_and_health_checks_tell_the_load() {
    let mut slow = model(Duration::from_millis(20));
    slow.queue = None;
    let lab = start(vec![slow]);
    let told = |reply: &common::Reply| {
        let of = |name| reply.header(name).expect("every answer has it").to_owned();
        (of("x-in-flight"), of("x-estimated-latency").parse::<f64>().expect("a number"))
    };
    let mut asker = lab.open(0);
    let mut ask = || {
        asker.get("/health");
        told(&asker.read())
    };
    assert_eq!(ask(), ("0".into(), 0.0), "nothing is known yet");
    // Two at once: the first finds nobody and leaves the second behind.
    let mut raws = [lab.open(0), lab.open(0)];
    raws[0].get("/");
    lab.await_sample(0, |sample| sample.in_flight == 1);
    raws[1].get("/");
    lab.await_sample(0, |sample| sample.requests == 2);
    let first = told(&raws[0].read());
    let second = told(&raws[1].read());
    assert_eq!(second.0, "0", "the last one leaves nobody");
    // At least the service time, and no more than the service of both.
    assert!((0.02..=0.04).contains(&second.1), "{}", second.1);
    // A health check tells the same, if it is not a second late; so ask until it does.
    let start = lab.clock.now();
    loop {
        raws[0].get("/");
        raws[0].read();
        let (in_flight, latency) = ask();
        assert_eq!(in_flight, "0");
        if latency > 0.0 {
            assert!((0.02..=0.04).contains(&latency), "{latency}");
            break;
        }
        assert!(lab.clock.now().since(start) < common::PATIENCE, "it never tells");
    }
    // On a machine so busy that the second came after the first had ended, there is none.
    assert!(first.0 == "1" || first.0 == "0", "{}", first.0);
}
