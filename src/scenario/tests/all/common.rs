//! What the tests of scenarios share. It must not test anything itself.

use config::Problem;
use policy::Registry;
use scenario::{Override, Overrides, Scenario};

/// The example of the format's documentation, every table in it.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// The shortest scenario.
pub(crate) const SHORT: &str = r#"name = "x"
question = "?"
[proxy]
strategy = "random"
[[backends]]
name = "a"
service = { distribution = "constant", value = "20ms" }
[load]
[[load.phases]]
duration = "10s"
rate = 100
"#;

/// Reads a scenario; the files it may name are two.
pub(crate) fn parse_with(text: &str, overrides: &Overrides) -> Result<Scenario, Vec<Problem>> {
    let read_file = |path: &str| match path {
        "measured.csv" => Ok("t,ms\n1,20\n2,30.5\n3, 40\n".to_string()),
        "broken.csv" => Ok("t,ms\n1,20\n2,fast\n".to_string()),
        _ => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")),
    };
    scenario::parse("x.toml", text, overrides, &Registry::standard(), &read_file)
}

/// Reads a scenario without overrides.
pub(crate) fn parse(text: &str) -> Result<Scenario, Vec<Problem>> {
    parse_with(text, &Overrides::default())
}

/// The messages as they are printed, but for the list of all strategies, which grows: `{strategies}`
/// stands where it does.
pub(crate) fn messages(result: Result<Scenario, Vec<Problem>>) -> Vec<String> {
    let mut strategies: Vec<_> = Registry::standard().entries().iter().map(|e| e.name).collect();
    strategies.sort_unstable();
    let strategies = strategies.join(", ");
    let problems = result.err().unwrap_or_default();
    problems.iter().map(|p| p.to_string().replace(&strategies, "{strategies}")).collect()
}

/// `--set path=value` for each.
pub(crate) fn set(pairs: &[(&str, &str)]) -> Overrides {
    let set = pairs
        .iter()
        .map(|(path, value)| Override { path: (*path).into(), value: (*value).into() })
        .collect();
    Overrides { set, ..Overrides::default() }
}

/// `--vary path=values` for each.
pub(crate) fn vary(pairs: &[(&str, &[&str])]) -> Overrides {
    let vary = pairs
        .iter()
        .map(|(path, values)| {
            ((*path).to_string(), values.iter().map(|value| (*value).to_string()).collect())
        })
        .collect();
    Overrides { vary, ..Overrides::default() }
}
