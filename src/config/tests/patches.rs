//! Settings as JSON, and what a change to them does: the admin API's GET and PATCH of the
//! configuration.

mod generated;

use config::policy_keys::{patch, settings_to_json};
use policy::{Registry, Settings};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::generated::settings;

/// Of a strategy with parameters, some tables and limits, all read from JSON.
fn some() -> Settings {
    let choice = Registry::standard().choose("random", &std::collections::BTreeMap::new());
    let plain = Settings::plain(choice.expect("it needs no parameters"));
    let given = json!({
        "strategy": { "name": "p2c", "choices": 3 },
        "health": { "interval": "500ms", "timeout": "200ms" },
        "retry": { "attempts": 4, "backoff": "10ms" },
        "limits": { "rate": 100, "adaptive": { "min": 5 } },
        "timeout": { "attempt": "2s" },
    });
    patch(&plain, &given, &Registry::standard()).expect("valid")
}

fn patched(given: &Value) -> Result<Value, Vec<String>> {
    patch(&some(), given, &Registry::standard()).map(|settings| settings_to_json(&settings))
}

#[test]
fn a_change_is_merged_over_what_there_is() {
    let before = settings_to_json(&some());
    for (given, path, expected) in [
        (json!({}), "/retry/attempts", json!(4)),
        (json!({ "retry": { "attempts": 3 } }), "/retry/attempts", json!(3)),
        (json!({ "retry": { "attempts": 3 } }), "/retry/backoff", json!("10ms")),
        (json!({ "retry": {} }), "/retry/attempts", json!(4)),
        (json!({ "retry": { "attempts": null } }), "/retry/attempts", json!(2)),
        (json!({ "retry": null }), "/retry", json!(null)),
        (json!({ "ejection": {} }), "/ejection/consecutive", json!(5)),
        (json!({ "ejection": { "ratio": "off" } }), "/ejection/ratio", json!("off")),
        (json!({ "ejection": { "ratio": "off" } }), "/ejection/base", json!("5s")),
        (json!({ "queue": null }), "/queue", json!(null)),
        (json!({ "limits": { "rate": null, "burst": null } }), "/limits/rate", json!(null)),
        (json!({ "limits": { "adaptive": { "max": 50 } } }), "/limits/adaptive/min", json!(5)),
        (json!({ "limits": { "adaptive": null } }), "/limits/adaptive", json!(null)),
        (json!({ "limits": { "adaptive": null } }), "/limits/rate", json!(100.0)),
        (
            json!({ "health": { "statuses": [204, "300-399"] } }),
            "/health/statuses/1",
            json!("300-399"),
        ),
        (json!({ "timeout": { "attempt": "off" } }), "/timeout/attempt", json!("off")),
        (json!({ "timeout": { "attempt": null } }), "/timeout/attempt", json!("10s")),
        (json!({ "timeout": null }), "/timeout/attempt", json!("10s")),
        (json!({ "strategy": "p2c" }), "/strategy/choices", json!(2)),
        (json!({ "strategy": { "name": "p2c" } }), "/strategy/choices", json!(2)),
        (json!({ "strategy": { "scan_below": 7 } }), "/strategy/choices", json!(3)),
        (json!({ "strategy": { "scan_below": 7 } }), "/strategy/scan_below", json!(7)),
        (json!({ "strategy": { "choices": null } }), "/strategy/choices", json!(2)),
        (json!({ "strategy": { "name": "random" } }), "/strategy", json!({ "name": "random" })),
    ] {
        let after = patched(&given).unwrap_or_else(|problems| panic!("{given}: {problems:?}"));
        assert_eq!(after.pointer(path), Some(&expected), "{given}");
        let first = path.split('/').nth(1).expect("a path has a first key");
        for (key, value) in after.as_object().expect("an object") {
            assert!(key == first || before[key] == *value, "{given} also changed {key}");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_its_path_and_all_of_it() {
    for (given, expected) in [
        (
            json!(7),
            &["a change must be an object such as {\"retry\": {\"attempts\": 3}}, not 7"][..],
        ),
        (
            json!(null),
            &["a change must be an object such as {\"retry\": {\"attempts\": 3}}, not null"],
        ),
        (
            json!({ "retry": { "attempts": 0 }, "ejection": { "base": 5 }, "panic": true }),
            &[
                "ejection.base: base must be a duration above zero such as \"500ms\", not 5: write the unit",
                "panic: panic must be a table: write [panic], not true",
                "retry.attempts: attempts must be a whole number from 1 to 100, not 0",
            ],
        ),
        (
            json!({ "retyr": {} }),
            &["retyr: unknown key \"retyr\" in the settings; did you mean retry?"],
        ),
        (
            json!({ "limits": { "adaptive": { "maximum": 1 } } }),
            &[
                "limits.adaptive.maximum: unknown key \"maximum\" in [limits.adaptive]; there is min, max, update, interval, requests, buffer",
            ],
        ),
        (
            json!({ "limits": { "adaptive": { "max": 4 } } }),
            &["limits.adaptive.max: max = 4 is less than min = 5: write max = 5 or more"],
        ),
        (
            json!({ "limits": { "key": "address" } }),
            &["limits.key: key does nothing without key_rate: write key_rate = 10"],
        ),
        (
            json!({ "health": { "remove_after": "600ms" } }),
            &[
                "health.remove_after: remove_after = 600ms would remove a backend between two probes: one may start 550ms after the last and take 200ms; write more than \"750ms\", or \"off\"",
            ],
        ),
        (
            json!({ "retry": { "statuses": [503, null] } }),
            &[
                "retry.statuses: statuses must be a list of at most 64 whole numbers from 400 to 599, not null",
            ],
        ),
        (
            json!({ "strategy": null }),
            &[
                "strategy: strategy cannot be off: write the name of a strategy, or a table such as { name = \"p2c\", choices = 2 }",
            ],
        ),
        (
            json!({ "strategy": { "name": "p2c", "choices": 99 } }),
            &["strategy.choices: p2c: choices must be from 1 to 16, not 99"],
        ),
        (
            json!({ "strategy": { "decay": "1s" } }),
            &[
                "strategy.decay: p2c has no parameter \"decay\"; one of choices, replacement, scan_below",
            ],
        ),
    ] {
        let found = patched(&given).err().unwrap_or_default();
        assert_eq!(found, expected, "{given}");
    }
    let long = Value::Object([("x".repeat(10_000), json!(1))].into_iter().collect());
    let problems = patched(&long).expect_err("unknown");
    assert!(problems.len() == 1 && problems[0].len() < 500, "a message stays short");
}

/// WRONG on purpose: what is off in the one stays on in the other.
fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key, without_nulls(value))).collect()
        }
        other => other,
    }
}

fn makes_any_settings_these(change: fn(Value) -> Value) -> Result<(), String> {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&(settings(), settings()), |(old, new)| {
        let change = change(settings_to_json(&new));
        let read = patch(&old, &change, &Registry::standard());
        let read = read.map_err(|problems| TestCaseError::fail(problems.join("; ")))?;
        prop_assert_eq!(format!("{read:?}"), format!("{new:?}"), "{}", change);
        Ok(())
    });
    result.map_err(|error| error.to_string())
}

#[test]
fn what_get_shows_is_a_patch_that_makes_any_settings_the_same() {
    assert!(makes_any_settings_these(without_nulls).is_err(), "the test sees nothing");
    assert_eq!(makes_any_settings_these(|json| json), Ok(()));
}

/// JSON with words that mean something here, in places where they mean nothing.
fn any_json() -> impl Strategy<Value = Value> {
    let words =
        ["off", "500ms", "p2c", "random", "address", "header:", "http", "200-299", "\u{0}é"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    let keys = [
        "strategy",
        "name",
        "choices",
        "health",
        "ejection",
        "retry",
        "limits",
        "adaptive",
        "queue",
        "timeout",
        "statuses",
        "ratio",
        "rate",
        "burst",
        "key",
        "key_rate",
        "keys",
        "base",
        "max",
        "min",
        "interval",
        "remove_after",
        "backoff",
        "",
        "a.b",
        "a\nb",
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(keys.to_vec()), inner, 0..6)
                .prop_map(|map| map.into_iter().map(|(key, v)| (key.to_string(), v)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_change_panics_and_what_is_taken_can_be_taken_again(given in any_json()) {
        match patch(&some(), &given, &Registry::standard()) {
            Ok(settings) => {
                let json = settings_to_json(&settings);
                let again = patch(&settings, &json, &Registry::standard());
                prop_assert_eq!(again.map(|s| settings_to_json(&s)), Ok(json));
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                let one_line = |text: &String| !text.contains(char::is_control);
                prop_assert!(problems.iter().all(one_line), "{:?}", problems);
            }
        }
    }
}
