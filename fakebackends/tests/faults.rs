//! Every fault as a client sees it on a raw socket: RST, ECONNREFUSED, silence, late, wrong.

mod common;

use std::time::Duration;

use common::{Lab, Raw, assert_refused, model, start};

const QUICK: Duration = Duration::ZERO;
/// Longer than any test: a request of this length is in service for as long as we look.
const ENDLESS: Duration = Duration::from_secs(3600);

fn one(service: Duration) -> Lab {
    start(vec![model(service)])
}

fn answered(raw: &mut Raw) -> u16 {
    raw.get("/");
    raw.read().status
}

#[test]
fn a_healthy_backend_answers_and_names_itself() {
    let lab = start(vec![model(QUICK), model(QUICK)]);
    for (backend, name) in [(0, "a-1"), (1, "a-2")] {
        let mut raw = lab.open(backend);
        for _ in 0..2 {
            raw.get("/some/path?q=1");
            let reply = raw.read();
            assert_eq!((reply.status, reply.body.as_str()), (200, "xxxxx"));
            assert_eq!(reply.header("x-lab-backend"), Some(name));
        }
    }
}

#[test]
fn a_crash_resets_every_connection_and_refuses_new_ones_until_it_ends() {
    let lab = one(ENDLESS);
    let mut idle = lab.open(0);
    idle.get("/health");
    assert_eq!(idle.read().status, 200);
    let (mut served, mut half_sent) = (lab.open(0), lab.open(0));
    served.get("/");
    half_sent.send("GET / HTTP/1.1\r\nhost: a\r\n");
    lab.await_sample(0, |sample| sample.in_flight == 1);
    lab.fault(r#"{"backend":"a-1","kind":"crash","fault":1}"#);
    for raw in [&mut idle, &mut served, &mut half_sent] {
        raw.assert_reset();
    }
    assert_refused(lab.address(0));
    lab.fault(r#"{"backend":"a-1","kind":"crash","fault":1,"begins":false}"#);
    // The same port, and nothing of what was inside.
    let mut again = lab.open(0);
    again.get("/health");
    assert_eq!(again.read().status, 200);
    let sample = &lab.samples("GET", "/v1/backends")[0];
    assert_eq!((sample.requests, sample.failed, sample.in_flight), (1, 1, 0));
}

#[test]
fn a_refusing_backend_serves_the_connections_it_has() {
    let lab = one(QUICK);
    let mut open = lab.open(0);
    assert_eq!(answered(&mut open), 200);
    lab.fault(r#"{"backend":"a-1","kind":"refuse"}"#);
    assert_refused(lab.address(0));
    assert_eq!(answered(&mut open), 200);
    open.get("/health");
    assert_eq!(open.read().status, 200);
    lab.fault(r#"{"backend":"a-1","kind":"refuse","begins":false}"#);
    assert_eq!(answered(&mut lab.open(0)), 200);
}

#[test]
fn a_hanging_backend_accepts_and_is_silent_then_answers() {
    let lab = one(QUICK);
    let mut before = lab.open(0);
    assert_eq!(answered(&mut before), 200);
    lab.fault(r#"{"backend":"a-1","kind":"hang"}"#);
    let (mut after, mut check) = (lab.open(0), lab.open(0));
    before.get("/");
    after.get("/");
    check.get("/health");
    for raw in [&mut before, &mut after, &mut check] {
        raw.assert_silent();
    }
    lab.fault(r#"{"backend":"a-1","kind":"hang","begins":false}"#);
    for raw in [&mut before, &mut after, &mut check] {
        assert_eq!(raw.read().status, 200);
    }
}

#[test]
fn a_hang_stops_the_work_that_is_under_way() {
    let lab = one(Duration::from_millis(600));
    let mut raw = lab.open(0);
    raw.get("/");
    lab.await_sample(0, |sample| sample.in_flight == 1);
    lab.fault(r#"{"backend":"a-1","kind":"hang"}"#);
    let hung = lab.clock.now();
    // Five silences outlast the service time: it has not gone on meanwhile.
    (0..5).for_each(|_| raw.assert_silent());
    let length = lab.clock.now().since(hung);
    lab.fault(r#"{"backend":"a-1","kind":"hang","begins":false}"#);
    assert_eq!(raw.read().status, 200);
    assert!(length > Duration::from_millis(600), "the test itself was too quick: {length:?}");
}

#[test]
fn a_fault_that_was_to_come_earlier_comes_after_what_has_happened() {
    let lab = one(QUICK);
    let mut raw = lab.open(0);
    assert_eq!(answered(&mut raw), 200);
    lab.fault(r#"{"at_ns":1,"backend":"a-1","kind":"hang","fault":1}"#);
    raw.get("/");
    raw.assert_silent();
    lab.fault(r#"{"at_ns":9,"backend":"a-1","kind":"hang","fault":1,"begins":false}"#);
    assert_eq!(raw.read().status, 200);
}

#[test]
fn a_reset_comes_when_a_request_has_been_read() {
    let lab = one(QUICK);
    lab.fault(r#"{"backend":"a-1","kind":"reset"}"#);
    for path in ["/", "/health"] {
        let mut raw = lab.open(0);
        raw.assert_silent();
        raw.get(path);
        raw.assert_reset();
    }
    lab.control("DELETE", "/v1/faults", "");
    assert_eq!(answered(&mut lab.open(0)), 200);
    let sample = &lab.samples("GET", "/v1/backends")[0];
    assert_eq!((sample.requests, sample.failed), (2, 1), "/health is not counted");
}

#[test]
fn errors_pass_the_queue_and_spare_the_health_check_unless_told() {
    let lab = one(ENDLESS);
    let (mut served, mut waiting) = (lab.open(0), lab.open(0));
    served.get("/");
    waiting.get("/");
    lab.await_sample(0, |sample| sample.in_flight == 2);
    lab.fault(r#"{"backend":"a-1","kind":"errors","status":502,"after_ns":0}"#);
    let mut raw = lab.open(0);
    raw.get("/");
    let reply = raw.read();
    assert_eq!((reply.status, reply.header("x-lab-backend")), (502, Some("a-1")));
    raw.get("/health");
    assert_eq!(raw.read().status, 200);
    lab.fault(r#"{"backend":"a-1","kind":"errors","status":500,"after_ns":0,"health":true}"#);
    raw.get("/health");
    assert_eq!(raw.read().status, 500);
    served.assert_silent();
}

#[test]
fn a_full_queue_answers_503_at_once() {
    let lab = one(ENDLESS);
    let mut inside = [lab.open(0), lab.open(0)];
    inside.iter_mut().for_each(|raw| raw.get("/"));
    lab.await_sample(0, |sample| sample.in_flight == 2);
    let mut third = lab.open(0);
    assert_eq!(answered(&mut third), 503);
    third.get("/health");
    assert_eq!(third.read().status, 200, "/health passes the queue by");
}

#[test]
fn a_slow_backend_takes_longer_and_its_health_check_too_when_told() {
    let service = Duration::from_millis(40);
    let lab = one(service);
    let mut raw = lab.open(0);
    let mut timed = |path| {
        let sent = lab.clock.now();
        raw.get(path);
        assert_eq!(raw.read().status, 200);
        lab.clock.now().since(sent)
    };
    assert!(timed("/") >= service);
    lab.fault(r#"{"backend":"a-1","kind":"slow","factor":3.0}"#);
    assert!(timed("/") >= service * 3);
    lab.fault(r#"{"backend":"a-1","kind":"slow","factor":5.0,"health":true}"#);
    // By factor − 1 mean service times.
    assert!(timed("/health") >= service * 4);
}

#[test]
fn planned_faults_come_on_time_and_cleared_ones_never() {
    let lab = start(vec![model(QUICK), model(QUICK)]);
    let at = lab.clock.now() + Duration::from_millis(500);
    let never = lab.clock.now() + Duration::from_secs(3600);
    lab.fault(&format!(
        r#"{{"at_ns":{},"backend":"a-1","kind":"crash","fault":1}},
           {{"at_ns":{},"backend":"a-2","kind":"crash","fault":2}}"#,
        at.as_nanos(),
        never.as_nanos()
    ));
    let mut raw = lab.open(0);
    assert_eq!(answered(&mut raw), 200);
    raw.assert_reset();
    assert!(lab.clock.now() >= at, "the crash came before its time");
    assert_refused(lab.address(0));
    assert_eq!(lab.control("DELETE", "/v1/faults", "").status, 204);
    assert_eq!(answered(&mut lab.open(0)), 200);
    // The same, by somebody who does not know the clock.
    let asked = lab.clock.now();
    lab.fault(r#"{"in_ns":500000000,"backend":"a-1","kind":"crash"}"#);
    let mut raw = lab.open(0);
    assert_eq!(answered(&mut raw), 200);
    raw.assert_reset();
    assert!(lab.clock.now() >= asked + Duration::from_millis(500));
}

#[test]
fn a_client_that_leaves_frees_its_place() {
    let lab = one(ENDLESS);
    let mut raw = lab.open(0);
    raw.get("/");
    lab.await_sample(0, |sample| sample.in_flight == 1);
    drop(raw);
    lab.await_sample(0, |sample| sample.in_flight == 0 && sample.failed == 0);
}
