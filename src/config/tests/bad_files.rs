//! What bad proxy.toml and backends.toml get: the exact messages.

use config::{BackendsConfig, Problem, ProxyConfig};
use policy::Registry;

const PROXY: &str = "listen = \"127.0.0.1:8080\"
strategy = \"p2c\"
[[backends]]
address = \"127.0.0.1:9101\"
";

const BACKENDS: &str = "[[backends]]
name = \"a\"
service = { distribution = \"constant\", value = \"20ms\" }
";

fn messages<T>(result: Result<T, Vec<Problem>>) -> String {
    let problems = result.err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")
}

#[test]
fn of_proxy_toml() {
    for (from, to, expected) in [
        (
            "listen = \"127.0.0.1:8080\"\n",
            "",
            "p.toml:1:1: proxy.toml needs listen: write listen = \"127.0.0.1:8080\"",
        ),
        (
            "127.0.0.1:8080",
            "localhost:8080",
            "p.toml:1:10: listen must be an address and a port such as \"127.0.0.1:8080\", not \"localhost:8080\"",
        ),
        (
            "strategy =",
            "admin = \"127.0.0.1:8080\"\nstrategy =",
            "p.toml:2:9: admin = \"127.0.0.1:8080\" is also listen: use another port",
        ),
        (
            "p2c",
            "p2",
            "p.toml:2:12: unknown strategy \"p2\"; one of least_request, p2c, random, round_robin",
        ),
        (
            "strategy =",
            "worker = 2\nstrategy =",
            "p.toml:2:1: unknown key \"worker\" in proxy.toml; did you mean workers?",
        ),
        (
            "strategy =",
            "drain_timeout = 5\nstrategy =",
            "p.toml:2:17: drain_timeout must be a duration such as \"500ms\", not 5: write the unit",
        ),
        (
            "[[backends]]\naddress = \"127.0.0.1:9101\"\n",
            "",
            "p.toml:1:1: no backends: write at least one [[backends]], or admin = \"127.0.0.1:9900\" to add some later",
        ),
        ("9101\"", "0\"", "p.toml:4:11: address = \"127.0.0.1:0\" has no port to connect to"),
        (
            "9101\"",
            "9101\"\nweight = 65537",
            "p.toml:5:10: weight must be a whole number from 1 to 65536, not 65537",
        ),
        (
            "9101\"",
            "9101\"\n[[backends]]\naddress = \"127.0.0.1:9101\"",
            "p.toml:6:11: there is a backend at 127.0.0.1:9101 already: keep one of the two",
        ),
        (
            "9101\"",
            "9101\"\nid = \"x\"\n[[backends]]\naddress = \"127.0.0.1:9102\"\nid = \"x\"",
            "p.toml:8:6: there is a backend of id \"x\" already: rename one",
        ),
        (
            "9101\"",
            "9101\"\nid = \"a/b\"",
            "p.toml:5:6: id must be a name of 1 to 64 letters, digits, \"-\" and \"_\", not \"a/b\"",
        ),
        (
            "strategy =",
            "kind = \"lab\"\nstrategy =",
            "p.toml:2:1: unknown key \"kind\" in proxy.toml; there is listen, admin, workers, strategy, health, retry, timeout, drain_timeout, seed, backends",
        ),
    ] {
        let text = PROXY.replacen(from, to, 1);
        assert_ne!(text, PROXY, "{from}");
        assert_eq!(messages(ProxyConfig::parse("p.toml", &text, &Registry::standard())), expected);
    }
    let text =
        PROXY.replace("[[backends]]\naddress = \"127.0.0.1:9101\"", "admin = \"127.0.0.1:0\"");
    assert_eq!(messages(ProxyConfig::parse("p.toml", &text, &Registry::standard())), "");
}

#[test]
fn proxy_toml_has_timeouts_of_its_own() {
    let read = |text: &str| {
        ProxyConfig::parse("p.toml", text, &Registry::standard()).expect("valid").settings.timeout
    };
    let seconds = std::time::Duration::from_secs;
    let timeout = read(PROXY);
    assert_eq!(
        (timeout.connect, timeout.attempt, timeout.total),
        (seconds(1), Some(seconds(10)), Some(seconds(30)))
    );
    let timeout = read(&format!("timeout = {{ attempt = \"off\", total = \"2s\" }}\n{PROXY}"));
    assert_eq!(
        (timeout.connect, timeout.attempt, timeout.total),
        (seconds(1), None, Some(seconds(2)))
    );
}

#[test]
fn of_backends_toml() {
    let read = |path: &str| Ok(format!("ms\n{}\n", path.len()));
    let parse = |text: &str| BackendsConfig::parse("b.toml", text, &read);
    for (from, to, expected) in [
        (BACKENDS, "", "b.toml:1:1: backends.toml needs [[backends]]: write at least one"),
        (BACKENDS, "backends = []", "b.toml:1:12: no backends: write at least one [[backends]]"),
        (
            BACKENDS,
            "backends = [1]",
            "b.toml:1:12: backends must be a list of tables: write [[backends]], not a list",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\nweight = 2",
            "b.toml:3:1: unknown key \"weight\" in [[backends]]; there is name, count, listen, service, concurrency, queue, discipline, abandoned, response",
        ),
        (
            "name = \"a\"",
            "name = \"a\"\ncount = 2\nlisten = \"127.0.0.1:9101\"",
            "b.toml:4:10: 2 backends cannot share port 9101: write port 0",
        ),
        (
            BACKENDS,
            &format!("{BACKENDS}{BACKENDS}"),
            "b.toml:5:8: there is a backend \"a\" already: rename one",
        ),
        (
            BACKENDS,
            &format!("{BACKENDS}{BACKENDS}")
                .replace("name", "listen = \"127.0.0.1:9101\"\nname")
                .replacen("\"a\"", "\"b\"", 1),
            "b.toml:6:10: 127.0.0.1:9101 is taken by a backend above: use another port, or 0",
        ),
    ] {
        let text = BACKENDS.replacen(from, to, 1);
        assert_ne!(text, BACKENDS, "{from}");
        assert_eq!(messages(parse(&text)), expected, "{text}");
    }
}

#[test]
fn backends_are_numbered_only_when_counted() {
    let read = |_: &str| Ok(String::new());
    let names = |text: &str| -> Vec<String> {
        let config = BackendsConfig::parse("b.toml", text, &read).expect("valid");
        config.backends.into_iter().map(|backend| backend.name).collect()
    };
    assert_eq!(names(BACKENDS), ["a"]);
    assert_eq!(names(&BACKENDS.replace("\"a\"", "\"a\"\ncount = 1")), ["a-1"]);
    assert_eq!(names(&BACKENDS.replace("\"a\"", "\"a\"\ncount = 3")), ["a-1", "a-2", "a-3"]);
}
