//! What `[vary]` and `--vary` change, and the combinations that come of it.
//! It must not know what the values mean.

use std::collections::BTreeSet;

use config::Problem;
use config::document::{Document, Node, Origin, Table, Value};
use config::path::Path;
use config::reader::Context;
use config::value::shown;

use crate::keys::{TRIALS, VARIABLE};
use crate::parse::Overrides;

/// The most characters of a value in a variant's name.
const VALUE_CHARACTERS: usize = 200;

/// One path and the values that it takes in turn.
struct Axis {
    path: String,
    origin: Origin,
    values: Vec<Choice>,
}

impl Axis {
    /// What is wrong with it, if anything is; `twice` when there is another of its path.
    fn wrong(&self, twice: bool) -> Option<String> {
        let path = &self.path;
        match Path::parse(path) {
            Err(message) => Some(message),
            Ok(parsed) if !VARIABLE.contains(&parsed.first()) => {
                Some(format!("{path} cannot vary, only what is in {} can", VARIABLE.join(", ")))
            }
            Ok(_) if twice => Some(format!("{path} is varied already: keep one of the two")),
            Ok(_) if self.values.is_empty() => {
                Some(format!("{path} has no values: write at least one"))
            }
            Ok(_) => None,
        }
    }
}

/// One of the values.
struct Choice {
    node: Node,
    name: String,
    /// Whom to blame for what it does not find.
    blame: Origin,
}

/// The axes of a scenario, in the order in which they are written.
pub(crate) struct Vary {
    axes: Vec<Axis>,
    /// Whether the command line took an axis away or put another in its place.
    pub(crate) overridden: bool,
}

/// One combination; the empty one changes nothing.
#[derive(Default)]
pub(crate) struct Combination<'a> {
    choices: Vec<(&'a Axis, &'a Choice)>,
}

impl Vary {
    /// Takes `[vary]` out of the document and adds the command line's.
    pub(crate) fn take(
        document: &mut Document,
        overrides: &Overrides,
        context: &Context<'_>,
    ) -> Self {
        let mut vary = Self { axes: Vec::new(), overridden: false };
        if let Some(entry) = document.root.remove("vary") {
            match &entry.node.value {
                Value::Table(table) => vary.add_table(table, "", context),
                _ => context.problem(
                    &entry.node.origin,
                    format!(
                        "vary must be a table of lists, not {}: write [vary] and below it \
                         \"proxy.strategy\" = [\"p2c\", \"random\"]",
                        entry.node.shown()
                    ),
                ),
            }
        }
        vary.pin(overrides);
        for (path, values) in &overrides.vary {
            vary.add_option(path, values);
        }
        vary.check_paths(context);
        vary
    }

    /// `"proxy.strategy" = […]`, and also `proxy.strategy = […]`, which TOML reads as tables.
    fn add_table(&mut self, table: &Table, prefix: &str, context: &Context<'_>) {
        for entry in &table.entries {
            let path = format!("{prefix}{}", entry.key);
            match &entry.node.value {
                Value::Table(table) => self.add_table(table, &format!("{path}."), context),
                Value::Array(nodes) => {
                    let values = nodes
                        .iter()
                        .map(|node| Choice {
                            node: node.clone(),
                            name: node.to_name(),
                            blame: entry.origin.clone(),
                        })
                        .collect();
                    self.axes.push(Axis { path, origin: entry.origin.clone(), values });
                }
                _ => context.problem(
                    &entry.node.origin,
                    format!("{path} must be a list of values, not {}", entry.node.shown()),
                ),
            }
        }
    }

    /// `--set` of a path that the file varies keeps it where it was set.
    fn pin(&mut self, overrides: &Overrides) {
        let before = self.axes.len();
        let set = overrides.set.iter().map(|set| set.path.as_str());
        let pinned: BTreeSet<&str> = set
            .chain(overrides.proxy.is_some().then_some("proxy.kind"))
            .chain(overrides.load.is_some().then_some("load.generator"))
            .collect();
        self.axes.retain(|axis| !pinned.contains(axis.path.as_str()));
        self.overridden |= self.axes.len() < before;
    }

    fn add_option(&mut self, path: &str, values: &[String]) {
        self.overridden = true;
        let values: Vec<Choice> = values
            .iter()
            .map(|value| {
                let origin = Origin::Option(format!("--vary {path}={value}").into());
                let node = Node::from_option(value, &origin);
                Choice { name: node.to_name(), node, blame: origin }
            })
            .collect();
        let origin = Origin::Option(format!("--vary {path}").into());
        let axis = Axis { path: path.to_string(), origin, values };
        match self.axes.iter_mut().find(|there| there.path == path) {
            Some(there) => *there = axis,
            None => self.axes.push(axis),
        }
    }

    /// Drops the axes that lead nowhere, so that the rest of the scenario is checked with the
    /// others.
    fn check_paths(&mut self, context: &Context<'_>) {
        let mut paths = BTreeSet::new();
        self.axes.retain(|axis| {
            let wrong = axis.wrong(!paths.insert(axis.path.clone()));
            if let Some(message) = &wrong {
                context.problem(&axis.origin, message.as_str());
            }
            wrong.is_none()
        });
        for Choice { node, name, .. } in self.axes.iter().flat_map(|axis| &axis.values) {
            let fits = (1..=VALUE_CHARACTERS).contains(&name.chars().count());
            if !fits || name.chars().any(char::is_control) {
                let name = shown(name);
                context.problem(
                    &node.origin,
                    format!(
                        "{name} cannot name a variant: use 1 to {VALUE_CHARACTERS} characters on \
                         one line"
                    ),
                );
            }
        }
    }

    /// Every combination; the last axis turns fastest.
    ///
    /// # Errors
    /// When there are too many, with the number as far as it is known.
    pub(crate) fn combinations(&self) -> Result<Vec<Combination<'_>>, String> {
        let count = self.axes.iter().try_fold(1_usize, |n, axis| n.checked_mul(axis.values.len()));
        let count = count.filter(|&count| count <= TRIALS).ok_or_else(|| {
            let sizes: Vec<String> = self.axes.iter().map(|a| a.values.len().to_string()).collect();
            format!("{} variants are too many: at most {TRIALS}", sizes.join(" × "))
        })?;
        let combination = |mut number: usize| {
            let mut choices: Vec<_> = self
                .axes
                .iter()
                .rev()
                .map(|axis| {
                    let choice = &axis.values[number % axis.values.len()];
                    number /= axis.values.len();
                    (axis, choice)
                })
                .collect();
            choices.reverse();
            Combination { choices }
        };
        Ok((0..count).map(combination).collect())
    }

    /// Whom to blame for something wrong with the variants as such.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.axes.first().map(|axis| &axis.origin)
    }
}

impl Combination<'_> {
    /// The varied values joined by ", ", or "default".
    pub(crate) fn name(&self) -> String {
        if self.choices.is_empty() {
            return "default".into();
        }
        self.choices.iter().map(|(_, choice)| choice.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Paths and values.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        self.choices.iter().map(|(axis, c)| (axis.path.clone(), c.name.clone())).collect()
    }

    /// Writes the values into a document.
    pub(crate) fn apply(&self, document: &mut Document, context: &Context<'_>) {
        for (axis, choice) in &self.choices {
            if let Err(problem) = document.set(&axis.path, choice.node.clone(), &choice.blame) {
                context.problem(&choice.blame, problem.message);
            }
        }
    }

    /// Whether a problem is one of a varied value, so that the variant need not be named.
    pub(crate) fn explains(&self, problem: &Problem) -> bool {
        self.choices.iter().any(|(_, choice)| match &choice.node.origin {
            Origin::File { line, column } => problem.place == Some((*line, *column)),
            Origin::Option(option) => problem.file == **option,
        })
    }
}
