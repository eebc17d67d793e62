//! What bad input gets: the exact messages, with place, value and remedy.

use crate::common::{EXAMPLE, SHORT, messages, parse, parse_with, set, vary};

/// The cases of a text: each begins with a line of dashes and has parts.
fn cases(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let cases = text.split("--------\n").skip(1);
    cases.map(|case| {
        // A heading belongs to the cases behind it.
        let case = case.split("\n########").next().unwrap_or(case);
        let (wrong, messages) = case.split_once("==>\n").expect("every case has messages");
        (wrong.trim_end_matches('\n'), messages.trim_end())
    })
}

fn complain(complaints: &mut String, wrong: &str, found: &str, expected: &str) {
    if found != expected {
        complaints.push_str(&format!("\n{wrong}\n gave\n{found}\n not\n{expected}\n"));
    }
}

#[test]
fn one_wrong_value_gets_one_message() {
    let mut complaints = String::new();
    let mut count = 0;
    for (case, expected) in cases(include_str!("bad_values.txt")) {
        let (from, to) = case.split_once("\n-->").expect("a part and what is written instead");
        let text = SHORT.replacen(from, to.trim_start(), 1);
        assert_ne!(text, SHORT, "{from:?} is not in the scenario");
        complain(&mut complaints, case, &messages(parse(&text)).join("\n"), expected);
        count += 1;
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert_eq!(count, 88, "cases were lost, or added");
}

#[test]
fn one_wrong_table_gets_one_message() {
    let mut complaints = String::new();
    let mut count = 0;
    for (tables, expected) in cases(include_str!("bad_tables.txt")) {
        let text = format!("{SHORT}{tables}\n");
        complain(&mut complaints, tables, &messages(parse(&text)).join("\n"), expected);
        count += 1;
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert_eq!(count, 38, "cases were lost, or added");
    let metric = format!("{SHORT}[[expect]]\nmetric = 'latency.p95th'\nbelow = 1\n");
    let found = messages(parse(&metric));
    assert!(
        found[0].starts_with(
            "x.toml:13:10: unknown metric \"latency.p95th\"; did you mean \"latency.p95\"?"
        ),
        "{found:?}"
    );
}

#[test]
fn all_errors_of_a_file_come_at_once_in_the_order_of_the_text() {
    let text = EXAMPLE
        .replace("strategy = \"least_request\"", "strategy = \"p2\"")
        .replace("interval = \"500ms\"", "intervall = \"500ms\"")
        .replace("count = 4", "count = \"four\"")
        .replace("rate = 120", "rate = 0 #")
        .replace("below = 0.01", "below = \"1s\"")
        .replace("[vary]", "[varied]");
    let found = messages(parse(&text));
    let lines: Vec<usize> =
        found.iter().map(|m| m.split(':').nth(1).unwrap().parse().unwrap()).collect();
    assert!(lines.is_sorted(), "{found:#?}");
    for part in [
        "unknown strategy \"p2\"",
        "unknown key \"intervall\" in [health]; did you mean interval?",
        "count must be a whole number from 1 to 100000, not \"four\"",
        "rate must not be 0",
        "below of failed_ratio must be a number",
        "unknown key \"varied\" in the scenario",
    ] {
        assert!(found.iter().any(|m| m.contains(part)), "{part}: {found:#?}");
    }
    // The number of backends is unknown, so nothing is said of the faults on them.
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn errors_of_syntax_come_alone_but_all_of_them() {
    let found = messages(parse("name = \nquestion = 'x\n[proxy\n"));
    assert_eq!(found.len(), 3, "{found:#?}");
    for (line, message) in (1..).zip(&found) {
        assert!(message.starts_with(&format!("x.toml:{line}:")), "{found:#?}");
    }
}

#[test]
fn errors_of_options_name_the_option() {
    for (overrides, expected) in [
        (
            set(&[("proxy.strategy", "p2")]),
            "--set proxy.strategy=p2: unknown strategy \"p2\"; one of {strategies}",
        ),
        (
            set(&[("proxy.helth.fall", "2")]),
            "--set proxy.helth.fall=2: unknown key \"helth\" in [proxy]; did you mean health?",
        ),
        (
            set(&[("backends.b.count", "2")]),
            "--set backends.b.count=2: backends has no \"b\"; there is a",
        ),
        (
            set(&[("name.x", "2")]),
            "--set name.x=2: name is \"x\", which has no key \"x\": give the whole value of name",
        ),
        (
            vary(&[("proxy.strategy", &["p2c", "p2"])]),
            "--vary proxy.strategy=p2: unknown strategy \"p2\"; one of {strategies}",
        ),
        (
            vary(&[("proxy.strategy", &[])]),
            "--vary proxy.strategy: proxy.strategy has no values: write at least one",
        ),
        (
            vary(&[("rounds", &["1", "2"])]),
            "--vary rounds: rounds cannot vary, only what is in proxy, backends, network, load, faults, expect can",
        ),
    ] {
        assert_eq!(messages(parse_with(SHORT, &overrides)), [expected]);
    }
    let mut overrides = set(&[]);
    overrides.engine = Some("dead".into());
    overrides.proxy = Some("envoy".into());
    overrides.load = Some("wrk".into());
    overrides.rounds = Some(0);
    assert_eq!(
        messages(parse_with(SHORT, &overrides)),
        [
            "--engine dead: unknown engine \"dead\"; one of live, sim",
            "--load wrk: unknown generator \"wrk\"; one of builtin, artillery",
            "--proxy envoy: kind \"envoy\" is not available yet; this version knows lab and direct",
            "--rounds 0: rounds must be a whole number from 1 to 10000, not 0",
        ]
    );
}

#[test]
fn what_is_too_much_is_refused_at_once() {
    let many: Vec<String> = (0..101).map(|i| format!("'{i}ms'")).collect();
    let many = many.join(", ");
    let text = format!("{SHORT}[vary]\n'load.timeout' = [{many}]\n'load.warmup' = [{many}]\n");
    let found = messages(parse(&text));
    assert!(
        found.contains(&"x.toml:13:1: 101 × 101 variants are too many: at most 10000".to_string()),
        "{found:#?}"
    );
    let text = format!("{SHORT}[vary]\n'load.timeout' = ['1s', '2s']\n");
    let found = messages(parse_with(&text, &set(&[("rounds", "5001")])));
    assert_eq!(
        found,
        ["--set rounds=5001: 2 variants × 5001 rounds are too many: at most 10000 in all"]
    );
    let text = SHORT.replace("name = \"a\"", "name = \"a\"\ncount = 100000");
    let found = messages(parse(&format!(
        "{text}[[backends]]\nname = 'b'\nservice = {{ distribution = 'constant', value = '1s' }}\n"
    )));
    assert_eq!(found, ["x.toml:13:1: more than 100000 backends in all"]);
    let many = set(&[("engine", "sim"), ("backends.a.count", "1001"), ("proxy.balancers", "1000")]);
    let found = messages(parse_with(SHORT, &many));
    assert_eq!(
        found,
        ["--set proxy.balancers=1000: 1000 balancers of 1001 backends each are too many to keep: \
          write at most 999"]
    );
    let found = messages(parse(&" ".repeat((1 << 20) + 1)));
    assert_eq!(found, ["x.toml: 1048577 bytes are too many: at most 1048576"]);
}
