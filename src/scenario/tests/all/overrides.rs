//! What the command line changes: `--set`, `--vary` and the options that stand for a key.

use std::time::Duration;

use crate::common::{EXAMPLE, SHORT, messages, parse, parse_with, set, vary};
use scenario::{Engine, Overrides, SubjectKind};

#[test]
fn values_are_set_by_path() {
    let overrides = set(&[
        ("proxy.strategy", "{ name = \"p2c\", choices = 3 }"),
        ("proxy.retry.attempts", "3"),
        ("backends.a.count", "2"),
        ("load.phases.0.rate", "7.5"),
        ("load.timeout", "1.5s"),
        ("question", "why"),
        ("backends.a.count", "3"),
    ]);
    let scenario = parse_with(SHORT, &overrides).expect("valid");
    let variant = &scenario.variants[0];
    assert_eq!(variant.proxy.settings.strategy.name(), "p2c");
    assert_eq!(variant.proxy.settings.retry.as_ref().map(|retry| retry.attempts), Some(3));
    assert_eq!(variant.backends.len(), 3, "the last --set wins");
    assert_eq!(variant.load.shape.phases[0].rate, 7.5);
    assert_eq!(variant.load.timeout, Duration::from_millis(1_500));
    assert_eq!(scenario.question, "why");
    assert_eq!(scenario.text, SHORT);
}

#[test]
fn options_stand_for_keys_and_win() {
    let overrides = Overrides {
        engine: Some("sim".into()),
        proxy: Some("direct".into()),
        load: Some("builtin".into()),
        seed: Some(u64::MAX),
        rounds: Some(4),
        ..set(&[("seed", "3"), ("engine", "live"), ("network.delay", "1ms")])
    };
    let scenario = parse_with(SHORT, &overrides).expect("valid");
    assert_eq!((scenario.engine, scenario.seed, scenario.rounds), (Engine::Sim, u64::MAX, 4));
    assert_eq!(scenario.variants[0].proxy.kind, SubjectKind::Direct);
    assert_eq!(scenario.variants[0].network.delay, Duration::from_millis(1));
}

#[test]
fn every_combination_is_a_variant_and_the_last_axis_turns_fastest() {
    let overrides =
        vary(&[("proxy.strategy", &["random", "p2c"]), ("load.phases.0.rate", &["1", "2.5"])]);
    let scenario = parse_with(SHORT, &overrides).expect("valid");
    let names: Vec<&str> = scenario.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["random, 1", "random, 2.5", "p2c, 1", "p2c, 2.5"]);
    let rates: Vec<f64> = scenario.variants.iter().map(|v| v.load.shape.phases[0].rate).collect();
    assert_eq!(rates, [1.0, 2.5, 1.0, 2.5]);
    let parameters = &scenario.variants[1].parameters;
    assert_eq!(parameters[0], ("proxy.strategy".to_string(), "random".to_string()));
    assert_eq!(parameters[1], ("load.phases.0.rate".to_string(), "2.5".to_string()));
}

#[test]
fn vary_of_the_command_line_replaces_the_files_or_joins_it() {
    let replaced = parse_with(EXAMPLE, &vary(&[("proxy.strategy", &["p2c"])])).expect("valid");
    let names = |scenario: &scenario::Scenario| {
        scenario.variants.iter().map(|v| v.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&replaced), ["p2c"]);
    let joined = parse_with(EXAMPLE, &vary(&[("proxy.workers", &["1", "2"])])).expect("valid");
    let four = ["round_robin, 1", "round_robin, 2", "least_request, 1", "least_request, 2"];
    assert_eq!(names(&joined), four);
}

#[test]
fn what_is_set_varies_no_more() {
    let scenario = parse_with(EXAMPLE, &set(&[("proxy.strategy", "p2c")])).expect("valid");
    assert_eq!(scenario.variants.len(), 1);
    assert_eq!(scenario.variants[0].name, "default");
    assert_eq!(scenario.variants[0].proxy.settings.strategy.name(), "p2c");
}

#[test]
fn expectations_of_variants_that_the_command_line_took_away_are_noted() {
    let text = format!(
        "{SHORT}[[expect]]\nmetric = 'ok'\nabove = 1\nvariant = 'p2c'\n\
         [vary]\n'proxy.strategy' = ['random', 'p2c']\n"
    );
    assert_eq!(parse(&text).expect("valid").expectations.len(), 1);
    let scenario = parse_with(&text, &set(&[("proxy.strategy", "random")])).expect("valid");
    assert!(scenario.expectations.is_empty());
    assert_eq!(scenario.notes, ["x.toml:12: left out, there is no variant \"p2c\" now"]);
    // A name that was wrong from the beginning is an error of the file.
    let found = messages(parse(&text.replace("variant = 'p2c'", "variant = 'p2'")));
    assert_eq!(found, ["x.toml:15:11: no variant \"p2\"; there is random; p2c"]);
}

#[test]
fn varied_tables_are_named_as_written_on_one_line() {
    let text = format!(
        "{SHORT}[vary]\n'proxy.strategy' = [{{ name = 'p2c', choices = 3 }}, {{ name = \"p2c\" }}]\n"
    );
    let scenario = parse(&text).expect("valid");
    let names: Vec<&str> = scenario.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["{ name = \"p2c\", choices = 3 }", "{ name = \"p2c\" }"]);
}
