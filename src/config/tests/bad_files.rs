//! What bad proxy.toml and backends.toml get: the exact messages.

use config::edge::{AccessLog, AdminToken, Secret};
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

/// The messages as they are printed, but for the list of all strategies, which grows.
fn messages<T>(result: Result<T, Vec<Problem>>) -> String {
    let mut strategies: Vec<_> = Registry::standard().entries().iter().map(|e| e.name).collect();
    strategies.sort_unstable();
    let problems = result.err().unwrap_or_default();
    let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("|");
    problems.replace(&strategies.join(", "), "{strategies}")
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
        ("p2c", "p2", "p.toml:2:12: unknown strategy \"p2\"; one of {strategies}"),
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
            "p.toml:2:1: unknown key \"kind\" in proxy.toml; there is listen, admin, workers, h2, tls, max_connections, trusted_hops, forwarded, request_id, explain, access_log, admin_token, admin_token_file, admin_origins, state_file, strategy, health, ejection, slow_start, panic, retry, hedging, limits, queue, timeout, drain_timeout, seed, backends",
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

/// Problems with what stands in front of `[[backends]]`, whose line is 3 unless said otherwise.
#[test]
fn of_the_keys_that_meet_clients_and_operators() {
    for (given, expected) in [
        ("h2 = \"yes\"", "p.toml:3:6: h2 must be true or false, not \"yes\""),
        ("[tls]\ncert = \"c.pem\"", "p.toml:3:1: [tls] needs key: write key = \"key.pem\""),
        ("tls = true", "p.toml:3:7: tls must be a table: write [tls], not true"),
        (
            "[tls]\ncert = \"\"\nkey = 5",
            "p.toml:4:8: cert must be the path of a file, not \"\"|p.toml:5:7: key must be the path of a file, not 5",
        ),
        (
            "max_connections = 0",
            "p.toml:3:19: max_connections must be a whole number from 1 to 1000000, not 0",
        ),
        (
            "trusted_hops = 17",
            "p.toml:3:16: trusted_hops must be a whole number from 0 to 16, not 17",
        ),
        (
            "forwarded = \"x-forward\"",
            "p.toml:3:13: unknown forwarded \"x-forward\"; one of x-forwarded, forwarded, both, off",
        ),
        ("request_id = 1", "p.toml:3:14: request_id must be true or false, not 1"),
        (
            "explain = \"true\"",
            "p.toml:3:11: explain must be true or false, not \"true\": write it without quotes",
        ),
        (
            "access_log = \"stdout\"",
            "p.toml:3:14: access_log must be a table: write [access_log], not \"stdout\"",
        ),
        ("[access_log]\npath = true", "p.toml:4:8: path must be the path of a file, not true"),
        (
            "admin = \"127.0.0.1:9900\"\nadmin_token = \"hunter2\"",
            "p.toml:4:15: admin_token must be 16 to 256 visible ASCII characters without spaces, not 7 characters",
        ),
        (
            "admin = \"127.0.0.1:9900\"\nadmin_token = 12345678901234567",
            "p.toml:4:15: admin_token must be 16 to 256 visible ASCII characters without spaces, not a value that is no text",
        ),
        (
            "admin = \"127.0.0.1:9900\"\nadmin_token = \"correct horse battery staple\"",
            "p.toml:4:15: admin_token must be 16 to 256 visible ASCII characters without spaces, not 28 characters",
        ),
        (
            "admin = \"127.0.0.1:9900\"\nadmin_token = \"0123456789abcdef\"\nadmin_token_file = \"t\"",
            "p.toml:5:20: admin_token and admin_token_file are both there: keep one of the two",
        ),
        (
            "admin_token_file = \"t\"",
            "p.toml:3:20: admin_token_file guards nothing: write admin = \"127.0.0.1:9900\" as well",
        ),
        (
            "admin = \"127.0.0.1:9900\"\nadmin_origins = [\"http://localhost:5173\", \"localhost\"]",
            "p.toml:4:17: admin_origins must be a list of at most 64 origins such as [\"http://localhost:5173\"], not \"localhost\"",
        ),
        (
            "admin = \"127.0.0.1:9900\"\nadmin_origins = \"http://localhost:5173\"",
            "p.toml:4:17: admin_origins must be a list of at most 64 origins such as [\"http://localhost:5173\"], not \"http://localhost:5173\"",
        ),
        ("state_file = false", "p.toml:3:14: state_file must be the path of a file, not false"),
    ] {
        let text = PROXY.replacen("[[backends]]", &format!("{given}\n[[backends]]"), 1);
        let found = messages(ProxyConfig::parse("p.toml", &text, &Registry::standard()));
        assert_eq!(found, expected, "{given}");
    }
}

#[test]
fn paths_start_in_the_folder_of_the_file() {
    let text = format!(
        "admin = \"127.0.0.1:9900\"\nadmin_token_file = \"token\"\nstate_file = \"/var/state\"\n\
         tls = {{ cert = \"tls/c.pem\", key = \"../k.pem\" }}\naccess_log = {{ path = \"a.log\" }}\n{PROXY}"
    );
    let read = |file: &str, text: &str| {
        ProxyConfig::parse(file, text, &Registry::standard()).expect("valid")
    };
    let config = read("/etc/lab/p.toml", &text);
    let tls = config.tls.expect("there is a table");
    assert_eq!(tls.cert, std::path::Path::new("/etc/lab/tls/c.pem"));
    assert_eq!(tls.key, std::path::Path::new("/etc/lab/../k.pem"));
    assert_eq!(config.admin_token, Some(AdminToken::File("/etc/lab/token".into())));
    assert_eq!(config.access_log, Some(AccessLog::File("/etc/lab/a.log".into())));
    assert_eq!(config.state_file, Some("/var/state".into()));
    let here = read("p.toml", &text);
    assert_eq!(here.access_log, Some(AccessLog::File("a.log".into())));
    let stdout = read("/etc/lab/p.toml", &format!("access_log = {{}}\n{PROXY}"));
    assert_eq!(stdout.access_log, Some(AccessLog::Stdout));
}

#[test]
fn what_is_not_said_is_what_a_new_proxy_has() {
    let read = ProxyConfig::parse("p.toml", PROXY, &Registry::standard()).expect("valid");
    let mut made = ProxyConfig::new(read.listen, read.settings.clone());
    made.backends.clone_from(&read.backends);
    assert_eq!(format!("{read:?}"), format!("{made:?}"));
}

#[test]
fn a_token_is_never_shown() {
    let token = Secret::parse("0123456789abcdef\n").expect("a line break is an editor's");
    assert_eq!(token.expose(), "0123456789abcdef");
    assert_eq!(format!("{token:?}"), "Secret(…)");
    for wrong in ["", "short", "0123456789abcde ", "0123456789 abcdef", "0123456789abcdeé"] {
        let message = Secret::parse(wrong).expect_err(wrong);
        assert_eq!(message, "16 to 256 visible ASCII characters without spaces");
    }
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
