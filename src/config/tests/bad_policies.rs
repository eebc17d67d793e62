//! What bad policy tables get: the exact messages. The lines are those of a scenario's `[proxy]`
//! too, which is read by the same keys.

use std::collections::BTreeMap;
use std::time::Duration;

use config::ProxyConfig;
use policy::settings::{
    AdaptiveSettings, EjectionSettings, HealthSettings, HedgingSettings, KeySource, LimitSettings,
    PanicSettings, ParameterValue, QueueSettings, RetrySettings, Settings, SlowStartSettings,
};
use policy::strategy::{Entry, Parameter};
use policy::{Registry, Strategy};

/// The cases of bad_policies.txt.
const COUNT: usize = 66;

/// A strategy with a parameter of each kind that is written as a text.
static KEYED: Entry = Entry {
    name: "keyed",
    summary: "",
    parameters: &[
        Parameter {
            name: "key",
            default: ParameterValue::Key(KeySource::Address),
            min: 0.0,
            max: 0.0,
            summary: "",
        },
        Parameter {
            name: "cookie",
            default: ParameterValue::Text(std::borrow::Cow::Borrowed("lab")),
            min: 0.0,
            max: 0.0,
            summary: "",
        },
        Parameter {
            name: "decay",
            default: ParameterValue::Duration(Duration::from_secs(10)),
            min: 0.001,
            max: 60.0,
            summary: "",
        },
    ],
    build: never,
};

fn never(_: &BTreeMap<String, ParameterValue>) -> Box<dyn Strategy> {
    unreachable!("no balancer is made here")
}

/// Reads a proxy.toml of this strategy, in line 3, and these tables, from line 4 on.
fn read(strategy: &str, tables: &str) -> Result<Settings, String> {
    let text = format!(
        "listen = \"127.0.0.1:8080\"\nadmin = \"127.0.0.1:9900\"\nstrategy = {strategy}\n{tables}\n"
    );
    let read = ProxyConfig::parse("p", &text, &Registry::standard().with(&KEYED));
    read.map(|config| config.settings)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// The cases of a text: each begins with a line of dashes, "==>" stands before the messages.
#[test]
fn each_wrong_value_gets_its_message() {
    let mut complaints = String::new();
    let cases = include_str!("bad_policies.txt").split("--------\n").skip(1);
    let mut count = 0;
    for case in cases {
        let (tables, expected) = case.split_once("==>\n").expect("every case has messages");
        let found = read("\"random\"", tables.trim_end()).err().unwrap_or_default();
        if found != expected.trim_end() {
            complaints.push_str(&format!("\n{tables} gave\n{found}\n not\n{expected}"));
        }
        count += 1;
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert_eq!(count, COUNT, "cases were lost, or added");
}

#[test]
fn an_empty_table_takes_the_defaults_and_an_absent_one_is_off() {
    let off = read("\"random\"", "").expect("valid");
    assert!(off.health.is_none() && off.ejection.is_none() && off.slow_start.is_none());
    assert!(off.panic.is_none() && off.retry.is_none() && off.hedging.is_none());
    assert!(off.limits.is_none() && off.queue.is_none());
    let tables = "[health]\n[ejection]\n[slow_start]\n[panic]\n[retry]\n[hedging]\n[limits]\n\
                  [limits.adaptive]\n[queue]\n[timeout]";
    let on = read("\"random\"", tables).expect("valid");
    assert_eq!(on.health, Some(HealthSettings::default()));
    assert_eq!(on.ejection, Some(EjectionSettings::default()));
    assert_eq!(on.slow_start, Some(SlowStartSettings::default()));
    assert_eq!(on.panic, Some(PanicSettings::default()));
    assert_eq!(on.retry, Some(RetrySettings::default()));
    assert_eq!(on.hedging, Some(HedgingSettings::default()));
    let adaptive = Some(AdaptiveSettings::default());
    assert_eq!(on.limits, Some(LimitSettings { adaptive, ..LimitSettings::default() }));
    assert_eq!(on.queue, Some(QueueSettings::default()));
    assert_eq!(on.timeout, off.timeout);
}

#[test]
fn a_burst_that_is_not_written_is_a_second_of_the_rate() {
    for (rate, burst) in [("0.5", 1), ("1", 1), ("1.5", 2), ("100", 100), ("1e8", 100_000_000)] {
        let limits = format!("[limits]\nrate = {rate}\nkey = \"path\"\nkey_rate = {rate}");
        let limits = read("\"random\"", &limits).expect("valid").limits.expect("it is there");
        assert_eq!(limits.rate.global.expect("written").burst, burst, "{rate}");
        assert_eq!(limits.rate.keyed.expect("written").each.burst, burst, "{rate}");
    }
}

#[test]
fn a_parameter_is_what_its_strategy_wants() {
    let wanted = "\"address\", \"path\", \"header:NAME\" or \"cookie:NAME\"";
    let long = format!("{{ name = \"keyed\", cookie = \"{}\" }}", "x".repeat(5_000));
    for (strategy, expected) in [
        (
            "{ name = \"keyed\", key = \"query\" }",
            format!("p:3:36: keyed: key must be {wanted}, not query"),
        ),
        ("{ name = \"keyed\", key = 5 }", format!("p:3:36: keyed: key must be {wanted}, not 5")),
        (
            "{ name = \"keyed\", key = \"10s\" }",
            format!("p:3:36: keyed: key must be {wanted}, not 10s"),
        ),
        (
            "{ name = \"keyed\", cookie = \"a\\nb\" }",
            "p:3:39: keyed: cookie must be 1 to 256 visible ASCII characters without spaces, not \
             a\\nb"
                .into(),
        ),
        (
            "{ name = \"keyed\", decay = \"ten\" }",
            "p:3:38: keyed: decay must be a duration like \"250ms\", not ten".into(),
        ),
        (
            "{ name = \"keyed\", cookie = [\"a\"], decay = \"61s\" }",
            "p:3:39: \"cookie\" must be a number, true, false, a duration or a text, not a list\n\
             p:3:54: keyed: decay must be from 0.001s to 60s, not 61s"
                .into(),
        ),
    ] {
        assert_eq!(read(strategy, "").expect_err(strategy), expected);
    }
    assert!(read(&long, "").expect_err("too long").len() < 500, "a message stays short");
    // What looks like a duration is the name of a cookie where one is wanted.
    let choice = read("{ name = \"keyed\", cookie = \"10s\", decay = \"20s\" }", "");
    let choice = choice.expect("valid").strategy;
    assert_eq!(choice.cookie(), Some("10s"));
    assert_eq!(choice.parameters()["decay"], ParameterValue::Duration(Duration::from_secs(20)));
}
