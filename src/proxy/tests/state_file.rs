//! What operators change by the admin API and what is there of it after a restart; and what becomes
//! of a file that cannot be used.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use base::Clock;
use config::ProxyConfig;
use policy::Registry;
use proxy::{Running, StartError, StateError};
use serde_json::{Value, json};
use support::{Backend, exchange};
use tempfile::TempDir;

/// A folder with a state file that may be there, and the configuration that names it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("kept/state.json")
    }

    fn config(&self, tail: &str) -> ProxyConfig {
        let head =
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstrategy = \"round_robin\"\n";
        let text = format!("{head}state_file = \"{}\"\n{tail}", self.state().display());
        ProxyConfig::parse("proxy.toml", &text, &Registry::standard())
            .unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn try_start(&self, tail: &str) -> Result<Running, StartError> {
        let folder = self.state();
        fs::create_dir_all(folder.parent().expect("a folder")).expect("it can be made");
        proxy::start(self.config(tail), Clock::start())
    }

    fn start(&self, tail: &str) -> Running {
        self.try_start(tail).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Why a proxy does not start here.
    fn refusal(&self, tail: &str) -> StateError {
        match self.try_start(tail) {
            Ok(_) => panic!("it has started"),
            Err(StartError::State(error)) => error,
            Err(other) => panic!("{other}"),
        }
    }
}

fn end(running: Running) {
    running.stop();
    running.wait();
}

fn listed(backends: &[&Backend]) -> String {
    let one = |backend: &&Backend| format!("[[backends]]\naddress = \"{}\"\n", backend.address);
    backends.iter().map(one).collect()
}

fn call(running: &Running, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let admin = running.ready().admin.expect("asked for");
    let body = body.to_string();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}");
    let answer = exchange(admin, &format!("{head}\r\n\r\n{body}"));
    (answer.status(), serde_json::from_str(&answer.text()).unwrap_or(Value::Null))
}

fn good(running: &Running, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = call(running, method, path, body);
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

/// Id, address, weight of each backend, and whether it drains.
fn pool(running: &Running) -> Vec<Value> {
    let all = good(running, "GET", "/v1/backends", &Value::Null);
    let one = |b: &Value| json!([b["id"], b["address"], b["weight"], b["state"] == "draining"]);
    let mut all: Vec<Value> = all.as_array().expect("a list").iter().map(one).collect();
    all.sort_by_key(|backend| backend[0].as_str().map(str::to_owned));
    all
}

fn kept(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("it is there")).expect("JSON")
}

#[test]
fn what_operators_changed_is_there_after_a_restart() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(Backend::named);
    let desk = Desk::new();
    let tail = format!("[retry]\nattempts = 2\n[queue]\n{}", listed(&[&a, &b]));
    let running = desk.start(&tail);
    assert!(!desk.state().exists(), "nothing has been changed yet");
    good(&running, "POST", "/v1/backends", &json!({ "address": c.address, "weight": 5 }));
    good(&running, "POST", "/v1/backends", &json!({ "address": d.address }));
    good(&running, "DELETE", "/v1/backends/b4", &Value::Null);
    good(&running, "DELETE", "/v1/backends/b2", &Value::Null);
    good(&running, "PATCH", "/v1/backends/b1", &json!({ "weight": 7 }));
    good(&running, "PATCH", "/v1/backends/b3", &json!({ "state": "drain" }));
    let patch = json!({ "strategy": "p2c", "retry": { "attempts": 4 }, "queue": null });
    good(&running, "PATCH", "/v1/config", &patch);
    let wanted = (pool(&running), good(&running, "GET", "/v1/config", &Value::Null));
    assert_eq!(wanted.0, [json!(["b1", a.address, 7, false]), json!(["b3", c.address, 5, true])]);
    let written = kept(&desk.state());
    assert_eq!(written["what"], "changes by the admin API of lab proxy");
    assert_eq!(written["version"], 1);
    end(running);

    let running = desk.start(&tail);
    let mut settings = good(&running, "GET", "/v1/config", &Value::Null);
    for key in ["listen", "admin"] {
        settings[key] = wanted.1[key].clone();
    }
    assert_eq!((pool(&running), settings), wanted);
    assert_eq!(kept(&desk.state()), written, "a start writes nothing");
    // No id is given twice, and what was withdrawn comes back when it is asked for.
    let back = good(&running, "POST", "/v1/backends", &json!({ "address": b.address }));
    assert_eq!(back["id"], "b5");
    good(&running, "PATCH", "/v1/backends/b3", &json!({ "state": "ready" }));
    end(running);

    // The file has been edited meanwhile: b is gone with the words on it, d is new.
    let tail = format!("[queue]\n{}", listed(&[&d, &a]));
    let running = desk.start(&tail);
    assert_eq!(
        pool(&running),
        [
            json!(["b1", a.address, 7, false]),
            json!(["b3", c.address, 5, false]),
            json!(["b6", d.address, 1, false]),
        ]
    );
    assert_eq!(good(&running, "GET", "/v1/config", &Value::Null)["queue"], Value::Null);
    end(running);
}

#[test]
fn a_reload_and_a_restart_after_it_agree() {
    let [a, b, c] = ["a", "b", "c"].map(Backend::named);
    let desk = Desk::new();
    let running = desk.start(&listed(&[&a, &b]));
    good(&running, "PATCH", "/v1/backends/b1", &json!({ "weight": 7 }));
    good(&running, "PATCH", "/v1/backends/b2", &json!({ "weight": 8 }));
    good(&running, "POST", "/v1/backends", &json!({ "address": c.address, "weight": 9 }));
    // The file says something new about b, and c is its own now.
    let tail =
        format!("{}[[backends]]\naddress = \"{}\"\nweight = 3\n", listed(&[&a, &c]), b.address);
    let what = running.reload(desk.config(&tail)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(what, "2 weighed");
    let wanted = pool(&running);
    assert_eq!(
        wanted,
        [
            json!(["b1", a.address, 7, false]),
            json!(["b2", b.address, 3, false]),
            json!(["b3", c.address, 1, false]),
        ]
    );
    end(running);
    let running = desk.start(&tail);
    assert_eq!(pool(&running), wanted);
    assert_eq!(running.reload(desk.config(&tail)).expect("it fits"), "nothing changed");
    end(running);
}

#[test]
fn two_proxies_never_share_a_file() {
    let a = Backend::named("a");
    let desk = Desk::new();
    let tail = listed(&[&a]);
    let running = desk.start(&tail);
    let refused = desk.refusal(&tail);
    assert!(matches!(refused, StateError::Taken(_)), "{refused}");
    assert!(refused.to_string().contains(&desk.state().display().to_string()), "{refused}");
    end(running);
    end(desk.start(&tail));
}

#[test]
fn a_file_that_is_none_refuses_the_start_and_is_left_alone() {
    let a = Backend::named("a");
    let head = r#"{"what": "changes by the admin API of lab proxy", "version": "#;
    let sound = r#"1, "changes": {"named": 1, "settings": {}, "backends": {}}}"#;
    for (text, wanted) in [
        (String::new(), "state.json:1:0: not a state file of lab proxy: EOF"),
        ("my letter\n".into(), "state.json:1:1: not a state file of lab proxy"),
        (
            "{\"recipe\": 1}".into(),
            "state.json:1:1: not a state file of lab proxy: \"what\" is not",
        ),
        (format!("{head}{}", &sound[..30]), "state.json:1:"),
        (format!("{head}2, \"all\": []}}"), "of version 2, and this proxy knows version 1"),
        (format!("{head}{}", sound.replace("\"named\": 1", "\"named\": -1")), "state.json:1:"),
        (format!("{head}{}", sound.replace("settings", "settinks")), "settinks"),
    ] {
        let desk = Desk::new();
        fs::create_dir(desk.state().parent().expect("a folder")).expect("it can be made");
        fs::write(desk.state(), &text).expect("written");
        let refused = desk.refusal(&listed(&[&a])).to_string();
        assert!(refused.contains(wanted), "{text}: {refused}");
        let checked = proxy::check(&desk.config("")).expect_err("as at the start").to_string();
        assert_eq!(checked, refused);
        assert_eq!(fs::read_to_string(desk.state()).expect("still there"), text);
    }
}

#[test]
fn words_that_do_not_fit_any_more_are_dropped() {
    let a = Backend::named("a");
    let desk = Desk::new();
    fs::create_dir(desk.state().parent().expect("a folder")).expect("it can be made");
    let text = json!({
        "what": "changes by the admin API of lab proxy",
        "version": 1,
        "changes": {
            "named": 9,
            "settings": { "retry": { "attempts": 3 }, "strategy": { "name": "astrology" } },
            "backends": {
                "127.0.0.1:1": { "id": "b2", "weight": 3 },
                "127.0.0.1:2": { "id": "b/3", "added": true },
                "127.0.0.1:3": { "id": "b4", "added": true, "weight": 0 },
                "127.0.0.1:4": { "id": "b5", "added": true, "weight": 2 },
            },
        },
    });
    fs::write(desk.state(), text.to_string()).expect("written");
    let running = desk.start(&listed(&[&a]));
    assert_eq!(
        pool(&running),
        [json!(["b10", a.address, 1, false]), json!(["b5", "127.0.0.1:4", 2, false])]
    );
    let settings = good(&running, "GET", "/v1/config", &Value::Null);
    assert_eq!(settings["retry"]["attempts"], 3);
    assert_eq!(settings["strategy"]["name"], "round_robin");
    end(running);
}

#[test]
fn a_change_that_cannot_be_kept_is_in_force_and_says_so() {
    let [a, b] = ["a", "b"].map(Backend::named);
    let desk = Desk::new();
    let tail = listed(&[&a]);
    let running = desk.start(&tail);
    let folder = desk.state().parent().expect("a folder").to_owned();
    let aside = desk.folder.path().join("aside");
    fs::rename(&folder, &aside).expect("moved away");
    let (status, answer) = call(&running, "POST", "/v1/backends", &json!({ "address": b.address }));
    assert_eq!(status, 500, "{answer}");
    let error = answer["error"].as_str().expect("a reason");
    assert!(error.starts_with("the change is in force, but not kept over a restart:"), "{error}");
    assert!(error.contains("state.json"), "{error}");
    assert_eq!(pool(&running).len(), 2);
    // A change that is refused writes nothing and says what it always says.
    assert_eq!(call(&running, "DELETE", "/v1/backends/b9", &Value::Null).0, 404);

    fs::rename(&aside, &folder).expect("moved back");
    good(&running, "PATCH", "/v1/backends/b1", &json!({ "weight": 2 }));
    let wanted = pool(&running);
    end(running);
    let running = desk.start(&tail);
    assert_eq!(pool(&running), wanted, "the one that failed is kept with the next");
    end(running);
}
