//! Another version of the configuration file while traffic flows: what stays, what changes, and that
//! an unfit one changes nothing.

mod support;

use base::Clock;
use config::ProxyConfig;
use policy::Registry;
use proxy::{ReloadError, Running};
use serde_json::{Value, json};
use support::{Backend, exchange};

fn config(tail: &str) -> ProxyConfig {
    let head = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstrategy = \"round_robin\"\n";
    ProxyConfig::parse("proxy.toml", &format!("{head}{tail}"), &Registry::standard())
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn listed(backends: &[&Backend]) -> String {
    let one = |backend: &&Backend| format!("[[backends]]\naddress = \"{}\"\n", backend.address);
    backends.iter().map(one).collect()
}

fn start(tail: &str) -> Running {
    proxy::start(config(tail), Clock::start()).expect("a free port and threads")
}

fn call(running: &Running, method: &str, path: &str, body: &str) -> Value {
    let admin = running.ready().admin.expect("asked for");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}");
    let answer = exchange(admin, &format!("{head}\r\n\r\n{body}"));
    assert!(answer.status() < 300, "{method} {path}: {}", answer.text());
    serde_json::from_str(&answer.text()).unwrap_or(Value::Null)
}

/// Id, weight, state and count of requests of each backend.
fn pool(running: &Running) -> Value {
    let all = call(running, "GET", "/v1/backends", "");
    let one = |b: &Value| json!([b["id"], b["weight"], b["state"], b["requests"]]);
    all.as_array().expect("a list").iter().map(one).collect()
}

fn ask(running: &Running) {
    let answer = exchange(running.ready().listen, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(answer.status(), 200);
}

#[test]
fn what_the_file_does_not_change_stays_as_it_was() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(Backend::named);
    let running = start(&listed(&[&a, &b]));
    ask(&running);
    ask(&running);
    call(&running, "PATCH", "/v1/backends/b1", r#"{"weight":7,"state":"drain"}"#);
    call(&running, "POST", "/v1/backends", &json!({ "address": d.address }).to_string());
    call(&running, "PATCH", "/v1/config", r#"{"retry":{"attempts":3}}"#);

    let tail = format!("{}[timeout]\nconnect = \"700ms\"\n", listed(&[&a, &c]));
    let what = running.reload(config(&tail)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(what, "1 added, 1 removed, timeout");
    assert_eq!(
        pool(&running),
        json!([["b1", 7, "draining", 1], ["b3", 1, "ready", 0], ["b4", 1, "ready", 0]])
    );
    let config_now = call(&running, "GET", "/v1/config", "");
    assert_eq!(config_now["retry"]["attempts"], 3);
    assert_eq!(config_now["timeout"]["connect"], "700ms");
    assert_eq!(running.reload(config(&tail)).expect("it fits"), "nothing changed");
    ask(&running);
}

#[test]
fn what_an_operator_removed_stays_out_until_it_is_added_again() {
    let [a, b] = ["a", "b"].map(Backend::named);
    let running = start(&listed(&[&a, &b]));
    call(&running, "DELETE", "/v1/backends/b2", "");
    running.reload(config(&listed(&[&a, &b]))).expect("it fits");
    assert_eq!(pool(&running), json!([["b1", 1, "ready", 0]]));
    call(&running, "POST", "/v1/backends", &json!({ "address": b.address }).to_string());
    running.reload(config(&listed(&[&a]))).expect("it fits");
    assert_eq!(pool(&running), json!([["b1", 1, "ready", 0]]), "it was the file's again");
}

#[test]
fn a_version_that_does_not_fit_changes_nothing() {
    let [a, b, c] = ["a", "b", "c"].map(Backend::named);
    let running = start(&listed(&[&a]));
    call(&running, "POST", "/v1/backends", &json!({ "address": b.address }).to_string());
    let before = (pool(&running), call(&running, "GET", "/v1/config", ""));
    let taken = format!("{}id = \"b2\"\n[retry]\nattempts = 3\n", listed(&[&a, &c]));
    let refused = running.reload(config(&taken)).expect_err("b2 is another one's");
    assert!(matches!(refused, ReloadError::Backends(_)), "{refused}");
    let refused = running.reload(config(&format!("workers = 9\n{}", listed(&[&a, &c]))));
    let message = refused.expect_err("threads stay").to_string();
    assert!(message.starts_with("workers cannot be changed while it runs"), "{message}");
    assert_eq!((pool(&running), call(&running, "GET", "/v1/config", "")), before);
    ask(&running);
}
