//! What the variants of a scenario have in common: one problem, one expectation for all of them.
//! It must not know TOML.

use std::collections::BTreeMap;

use config::Problem;
use config::problem::Place;
use config::reader::Context;
use config::value::shown;
use record::expect::Expectation;

use crate::decode::{Decoded, Expected};
use crate::vary::Combination;

/// How many variants a message lists.
const LISTED: usize = 8;

/// The problems of all variants, each once.
pub(crate) struct Found {
    common: Vec<Problem>,
    /// A problem, the first variant that has it, and how many have it.
    of_variants: BTreeMap<(String, Option<Place>, String), (usize, usize)>,
    /// How many variants were looked at.
    variants: usize,
}

impl Found {
    /// `common` are those of the scenario as such.
    pub(crate) const fn new(common: Vec<Problem>) -> Self {
        Self { common, of_variants: BTreeMap::new(), variants: 0 }
    }

    /// The problems of a variant.
    pub(crate) fn add(&mut self, variant: usize, problems: Vec<Problem>) {
        self.variants += 1;
        let mut problems = config::problem::sorted(problems);
        problems.dedup();
        for Problem { file, place, message } in problems {
            self.of_variants.entry((file, place, message)).or_insert((variant, 0)).1 += 1;
        }
    }

    /// Whether there are more than anyone will be shown.
    pub(crate) fn is_flooded(&self) -> bool {
        self.of_variants.len() >= config::problem::PROBLEMS
    }

    /// All of them; one that only some variants have names the first of those, unless it is a
    /// varied value that is wrong, which says as much.
    pub(crate) fn into_problems(self, combinations: &[Combination<'_>]) -> Vec<Problem> {
        let named = |((file, place, message), (first, count)): ((_, _, String), (usize, usize))| {
            let mut problem = Problem { file, place, message };
            if let Some(combination) = combinations.get(first)
                && count < self.variants
                && !combination.explains(&problem)
            {
                let name = shown(&combination.name());
                let more = match count - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                problem.message.push_str(&format!(" (in variant {name}{more})"));
            }
            problem
        };
        self.common.into_iter().chain(self.of_variants.into_iter().map(named)).collect()
    }
}

/// The expectations of all variants: one for all of them where it is the same for all, else one for
/// each. Behind them, notes on those that the command line left without a variant.
pub(crate) fn expectations(
    file: &str,
    names: &[String],
    decoded: &[Decoded],
    overridden: bool,
    context: &Context<'_>,
) -> (Vec<Expectation>, Vec<String>) {
    let mut merged = Vec::new();
    let mut notes = Vec::new();
    let most = decoded.iter().map(|decoded| decoded.expectations.len()).max().unwrap_or(0);
    for index in 0..most {
        let mut concerned: Vec<(&String, &Expected)> = Vec::new();
        for (name, decoded) in names.iter().zip(decoded) {
            let Some(expected) = decoded.expectations.get(index) else { continue };
            match &expected.variant {
                Some((wanted, origin)) if !names.contains(wanted) => {
                    let place = place(file, expected);
                    if overridden {
                        let wanted = shown(wanted);
                        notes.push(format!("{place}: left out, there is no variant {wanted} now"));
                    } else {
                        context.problem(origin, no_variant(wanted, names));
                    }
                }
                Some((wanted, _)) if wanted != name => {}
                _ => concerned.push((name, expected)),
            }
        }
        merged.extend(merge(file, &concerned, decoded.len()));
    }
    notes.dedup();
    (merged, notes)
}

/// One expectation for all variants when they agree, else one for each.
fn merge(file: &str, concerned: &[(&String, &Expected)], variants: usize) -> Vec<Expectation> {
    let same = |a: &Expected, b: &Expected| {
        (&a.metric, a.span, a.limit, &a.variant) == (&b.metric, b.span, b.limit, &b.variant)
    };
    let shared = concerned.len() == variants && concerned.windows(2).all(|w| same(w[0].1, w[1].1));
    let made = |expected: &Expected, variant: Option<String>| Expectation {
        metric: expected.metric.clone(),
        span: expected.span,
        variant,
        limit: expected.limit,
        // The name alone: what a run writes must not depend on where it was started.
        place: place(file.rsplit('/').next().unwrap_or(file), expected),
    };
    match concerned {
        [(_, first), ..] if shared && first.variant.is_none() => vec![made(first, None)],
        _ => concerned.iter().map(|(name, e)| made(e, Some((*name).clone()))).collect(),
    }
}

fn place(file: &str, expected: &Expected) -> String {
    match expected.line {
        Some(line) => format!("{file}:{line}"),
        None => file.to_string(),
    }
}

fn no_variant(wanted: &str, names: &[String]) -> String {
    let mut listed: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
    if names.len() > LISTED {
        listed.push("…");
    }
    format!("no variant {}; there is {}", shown(wanted), listed.join("; "))
}
