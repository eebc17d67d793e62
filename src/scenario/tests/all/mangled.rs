//! Whatever stands in a scenario, reading it ends, without a panic, and with places in the text.

use crate::common::{EXAMPLE, parse_with, set};
use proptest::prelude::*;
use scenario::Overrides;

/// Fragments that lead deeper than random bytes do.
const FRAGMENTS: [&str; 22] = [
    "[[",
    "]]",
    "{",
    "}",
    "=",
    "\"",
    "'''",
    "\n",
    ".",
    ",",
    "[vary]\n",
    "[[faults]]\n",
    "inf",
    "nan",
    "-1",
    "0",
    "1e400",
    "\"0s\"",
    "\"9999999999h\"",
    "[]",
    "99999999999999999999999999999999999999999",
    "\u{feff}ü",
];

fn check(text: &str, overrides: &Overrides) -> Result<(), TestCaseError> {
    match parse_with(text, overrides) {
        Ok(scenario) => {
            let trials = scenario.trials();
            prop_assert_eq!(trials.len(), scenario.variants.len() * scenario.rounds as usize);
        }
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            let lines = text.split('\n').count();
            for problem in problems {
                prop_assert!(!problem.message.is_empty() && !problem.message.contains('\n'));
                prop_assert!(problem.message.len() < 600, "{}", problem);
                if let Some((line, column)) = problem.place {
                    prop_assert!((1..=lines).contains(&line) && column >= 1, "{}", problem);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes_are_exchanged(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        check(&String::from_utf8_lossy(&bytes), &Overrides::default())?;
    }

    #[test]
    fn fragments_are_put_in_and_lines_taken_out(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..FRAGMENTS.len(), any::<bool>()), 1..8),
    ) {
        let mut text = EXAMPLE.to_string();
        for (index, fragment, cut) in edits {
            let at = text.floor_char_boundary(index.index(text.len().max(1)));
            let rest = text.split_off(at);
            text.push_str(FRAGMENTS[fragment]);
            let from = if cut { rest.find('\n').unwrap_or(0) } else { 0 };
            text.push_str(&rest[from..]);
        }
        check(&text, &Overrides::default())?;
    }

    #[test]
    fn values_are_set_to_anything(
        path in prop::sample::select(vec![
            "name", "seed", "rounds", "window", "proxy", "proxy.strategy", "proxy.health", "proxy.health.fall",
            "backends", "backends.a", "backends.a.service", "backends.a.service.median", "load.phases",
            "load.phases.steady.rate", "load.phases.0", "faults.0", "faults.0.at", "expect.0.below", "vary", "record",
        ]),
        value in prop_oneof![
            prop::sample::select(FRAGMENTS.to_vec()).prop_map(str::to_string),
            "[-0-9a-z\"{}=\\[\\], .]{0,24}",
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_map(|n| format!("{n:?}")),
        ],
    ) {
        check(EXAMPLE, &set(&[(path, &value)]))?;
    }
}
