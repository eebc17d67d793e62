//! SIGHUP to `lab proxy` as a process of its own: the file as it is now is in force, or nothing has
//! changed and the reason is told. Traffic must not notice.

mod support;
#[path = "../../proxy/tests/support/wire.rs"]
mod wire;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use serde_json::Value;
use support::{Bench, signal};
use wire::{Backend, Bystander, exchange};

const HEAD: &str =
    "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nstrategy = \"round_robin\"\n";

/// `lab proxy` and what it tells.
struct Proxy {
    child: Child,
    ready: proxy::Ready,
    told: BufReader<ChildStderr>,
}

impl Proxy {
    fn start(bench: &Bench, text: &str) -> Self {
        let file = bench.file("proxy.toml", text);
        let mut command = bench.lab();
        command.args(["proxy", "--config"]).arg(file);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("lab starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("a ready line");
        let told = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, ready: serde_json::from_str(&line).expect("a ready line"), told }
    }

    fn hang_up(&self) {
        signal(i32::try_from(self.child.id()).expect("a process id"), "HUP");
    }

    /// The next line that holds `wanted`; lines about other things may come before it.
    fn told(&mut self, wanted: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let length = self.told.read_line(&mut line).expect("text");
            assert!(length > 0, "it ended before it told of {wanted:?}: {all}");
            if line.contains(wanted) {
                return line;
            }
            all += &line;
        }
    }

    fn get(&self, path: &str) -> Value {
        let admin = self.ready.admin.expect("asked for");
        let text =
            exchange(admin, &format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")).text();
        serde_json::from_str(&text).expect("JSON")
    }

    fn addresses(&self) -> Vec<String> {
        let list = self.get("/v1/backends");
        let list = list.as_array().expect("a list").iter();
        list.map(|backend| backend["address"].as_str().expect("a text").to_owned()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listed(backends: &[&Backend]) -> String {
    let one = |backend: &&Backend| format!("[[backends]]\naddress = \"{}\"\n", backend.address);
    backends.iter().map(one).collect()
}

#[test]
fn sighup_puts_the_changed_file_in_force_or_changes_nothing() {
    let [a, b] = ["a", "b"].map(Backend::named);
    let bench = Bench::new();
    let mut proxy = Proxy::start(&bench, &format!("{HEAD}{}", listed(&[&a])));
    let bystander = Bystander::start(proxy.ready.listen);

    bench.file("proxy.toml", &format!("{HEAD}[retry]\nattempts = 3\n{}", listed(&[&b])));
    proxy.hang_up();
    let line = proxy.told("reloaded");
    assert!(line.ends_with("- reloaded 1 added, 1 removed, retry\n"), "{line}");
    assert_eq!(proxy.addresses(), [b.address.to_string()]);
    let answer = exchange(proxy.ready.listen, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "b"));

    let before = (proxy.addresses(), proxy.get("/v1/config"));
    bench.file("proxy.toml", &format!("{HEAD}[retry]\nattempts = 0\n{}", listed(&[&a])));
    proxy.hang_up();
    let line = proxy.told("proxy.toml:5:12:");
    assert!(line.contains("attempts"), "{line}");
    proxy.told("not reloaded, nothing has changed");
    bench.file("proxy.toml", &format!("workers = 2\n{HEAD}{}", listed(&[&a])));
    proxy.hang_up();
    proxy.told("workers cannot be changed while it runs");
    proxy.told("not reloaded, nothing has changed");
    assert_eq!((proxy.addresses(), proxy.get("/v1/config")), before);
    bystander.end();
}
