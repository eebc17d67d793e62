//! Where an override writes: TOML keys joined by dots, elements of a list by name or by index.
//! It must not know which keys exist.

use crate::document::{Entry, Node, Origin, Table, Value};
use crate::value::shown;

/// How many keys a path may have.
const KEYS: usize = 8;

/// How many names of elements a message lists.
const LISTED: usize = 8;

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    keys: Vec<String>,
}

impl Path {
    /// Takes a path apart; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let keys: Vec<String> = text.split('.').map(|key| key.trim().to_string()).collect();
        let wrong = keys.len() > KEYS || keys.iter().any(String::is_empty);
        if wrong {
            let shown = shown(text);
            return Err(format!(
                "{shown} is not a path: write keys joined by dots, such as proxy.strategy or \
                 backends.a.count"
            ));
        }
        Ok(Self { keys })
    }

    /// The first key: the table of the file that it leads into.
    pub fn first(&self) -> &str {
        &self.keys[0]
    }

    /// Writes `node` there. `blame` is the origin of tables that are made on the way.
    pub fn write(&self, root: &mut Table, node: Node, blame: &Origin) -> Result<(), String> {
        write(root, &self.keys, 0, node, blame)
    }
}

/// Goes down from a table along `keys[depth..]`.
fn write(
    table: &mut Table,
    keys: &[String],
    depth: usize,
    node: Node,
    blame: &Origin,
) -> Result<(), String> {
    let key = &keys[depth];
    if depth + 1 == keys.len() {
        match table.get_mut(key) {
            Some(there) => *there = node,
            None => {
                table.entries.push(Entry { key: key.clone(), origin: blame.clone(), node });
            }
        }
        return Ok(());
    }
    if table.get(key).is_none() {
        let value = Value::Table(Table::default());
        let made = Node { origin: blame.clone(), value };
        table.entries.push(Entry { key: key.clone(), origin: blame.clone(), node: made });
    }
    let there = table.get_mut(key).expect("it was made if it was missing");
    descend(there, keys, depth, node, blame)
}

/// Goes down from the value of `keys[depth]` along the keys behind it.
fn descend(
    there: &mut Node,
    keys: &[String],
    depth: usize,
    node: Node,
    blame: &Origin,
) -> Result<(), String> {
    let path = || keys[..=depth].join(".");
    let found = there.shown();
    match &mut there.value {
        Value::Table(table) => write(table, keys, depth + 1, node, blame),
        Value::Array(elements) => {
            let key = &keys[depth + 1];
            let Some(index) = find(elements, key) else {
                return Err(format!("{} has no {}; {}", path(), shown(key), listed(elements)));
            };
            if depth + 2 == keys.len() {
                elements[index] = node;
                return Ok(());
            }
            descend(&mut elements[index], keys, depth + 1, node, blame)
        }
        _ => Err(format!(
            "{} is {found}, which has no key {}: give the whole value of {}",
            path(),
            shown(&keys[depth + 1]),
            path(),
        )),
    }
}

fn name_of(node: &Node) -> Option<&str> {
    node.as_table()?.get("name")?.as_text()
}

/// A name wins over an index, so that a backend may be called "1".
fn find(elements: &[Node], key: &str) -> Option<usize> {
    elements
        .iter()
        .position(|element| name_of(element) == Some(key))
        .or_else(|| key.parse().ok().filter(|&index: &usize| index < elements.len()))
}

fn listed(elements: &[Node]) -> String {
    let mut names: Vec<&str> = elements.iter().filter_map(name_of).take(LISTED + 1).collect();
    if names.is_empty() {
        return match elements.len() {
            0 => "it is empty".into(),
            1 => "its one element is 0".into(),
            n => format!("its elements are 0 to {}", n - 1),
        };
    }
    if names.len() > LISTED {
        names[LISTED] = "…";
    }
    format!("there is {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    const TEXT: &str = "name = 'x'\n[proxy]\nstrategy = 'p2c'\n[load]\n\
         [[load.phases]]\nname = 'steady'\n[[load.phases]]\nname = '0'\n[[faults]]\nat = '1s'\n";

    fn set(path: &str, value: &str) -> Result<String, String> {
        let mut document = Document::parse("x.toml", TEXT).expect("valid TOML");
        let origin = Origin::Option("--set".into());
        document
            .set(path, Node::from_option(value, &origin), &origin)
            .map(|()| Node { origin, value: Value::Table(document.root) }.to_toml())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn values_are_replaced_and_inserted_where_the_path_leads() {
        for (path, expected) in [
            ("name", "{ name = 9, proxy"),
            ("proxy.strategy", "proxy = { strategy = 9 }"),
            ("proxy.retry.attempts", "proxy = { strategy = \"p2c\", retry = { attempts = 9 } }"),
            ("load.phases.steady.rate", "{ name = \"steady\", rate = 9 }, { name = \"0\" }"),
            ("load.phases.0.rate", "{ name = \"steady\" }, { name = \"0\", rate = 9 }"),
            ("load.phases.1.rate", "{ name = \"steady\" }, { name = \"0\", rate = 9 }"),
            ("faults.0.at", "faults = [{ at = 9 }]"),
            ("faults.0", "faults = [9]"),
            ("record.requests", "record = { requests = 9 }"),
        ] {
            let text = set(path, "9").expect(path);
            assert!(text.contains(expected), "{path}: {text}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_says_what_is_there() {
        for (path, message) in [
            ("load.phases.burst.rate", "load.phases has no \"burst\"; there is steady, 0"),
            ("faults.1.at", "faults has no \"1\"; its one element is 0"),
            (
                "proxy.strategy.choices",
                "proxy.strategy is \"p2c\", which has no key \"choices\": give the whole value of \
                 proxy.strategy",
            ),
            (
                "proxy..x",
                "\"proxy..x\" is not a path: write keys joined by dots, such as proxy.strategy or \
                 backends.a.count",
            ),
        ] {
            assert_eq!(set(path, "9"), Err(format!("--set: {message}")), "{path}");
        }
        assert!(set("", "9").is_err() && set("a.b.c.d.e.f.g.h.i", "9").is_err());
    }
}
