//! The reference page and the JSON Schema are those of the keys as they are declared. Written anew
//! by `UPDATE_GOLDEN=1 cargo test -p scenario`.

use std::path::PathBuf;

use config::backends::BACKENDS_TOML;
use config::proxy::PROXY_TOML;
use config::reference::{json_schema, markdown};
use scenario::keys::SCENARIO;

const HEAD: &str = "\
# Every key

Generated from the keys as they are declared in the code; a test keeps it current. An unknown key
is an error. Durations are a decimal number and one of `ns`, `us`, `ms`, `s`, `m`, `h`, at most
10000000 s. Values of `--set path=value` and `--vary path=a,b,c` are TOML, or text where they are
none. Strategies and their parameters: `lab list strategies`. Editors read the same as here from
`scenario.schema.json`.

- [A scenario](#a-scenario): what `lab run` plays
- [proxy.toml](#proxytoml): what `lab proxy --config` serves by
- [backends.toml](#backendstoml): what `lab backends --config` plays

# A scenario

";

fn page() -> String {
    let section = |title: &str, text: &str| format!("# {title}\n\n{text}");
    format!(
        "{HEAD}{}{}{}",
        markdown(&SCENARIO),
        section("proxy.toml", &markdown(&PROXY_TOML)),
        section("backends.toml", &markdown(&BACKENDS_TOML)).trim_end(),
    ) + "\n"
}

fn check(name: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, expected).expect("scenarios/ can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    // Not assert_eq!: nobody reads two pages of 300 lines in a terminal.
    let line = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "scenarios/{name} is out of date from line {line:?} (0 is the first): write it anew by \
         UPDATE_GOLDEN=1 cargo test -p scenario, and read the difference"
    );
}

#[test]
fn the_reference_page_is_current() {
    check("REFERENCE.md", &page());
}

#[test]
fn the_json_schema_is_current() {
    let schema = serde_json::to_string_pretty(&json_schema(&SCENARIO)).expect("JSON is text");
    check("scenario.schema.json", &(schema + "\n"));
}
