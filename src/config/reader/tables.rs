//! Reads tables within tables: their keys are declared by a schema of their own.
//! It must not know what they are for.

use super::{Reader, list, must_be, unknown};
use crate::document::{Node, Origin, Table, Value};
use crate::schema::{Kind, Tagged};

impl<'a> Reader<'a> {
    /// A table of its own; `None` when it is absent or no table.
    pub fn table(&self, name: &str) -> Option<Self> {
        self.read(name, |node, kind| {
            let Kind::Table(schema) = kind else { unreachable!("{name} is not declared a table") };
            let table = self.table.get(name).and_then(Node::as_table);
            let table = table.ok_or_else(|| must_be(name, kind, node))?;
            Ok(Self::new(self.context, table, node.origin.clone(), schema))
        })
    }

    /// A table that is read as if it were there and empty when it is not.
    pub fn table_or_empty(&self, name: &str) -> Option<Self> {
        const EMPTY: &Table = &Table { entries: Vec::new() };
        if self.has(name) {
            return self.table(name);
        }
        let Kind::Table(schema) = self.key(name).kind else {
            unreachable!("{name} is not declared as a table")
        };
        Some(Self::new(self.context, EMPTY, self.origin.clone(), schema))
    }

    /// A list of tables; `None` when it is no such list, empty when it is absent.
    pub fn tables(&self, name: &str) -> Option<Vec<Self>> {
        let Kind::Tables(schema) = self.key(name).kind else {
            unreachable!("{name} is not declared as a list of tables")
        };
        let tables = self.list(name)?.into_iter();
        let read = |(table, origin)| Self::new(self.context, table, origin, schema);
        Some(tables.map(read).collect())
    }

    /// A table whose keys depend on a word of it; `None` when the word is not known.
    pub fn tagged(&self, name: &str) -> Option<(&'static str, Self)> {
        self.read(name, |node, kind| {
            let Kind::Tagged(tagged) = kind else { unreachable!("{name} is not declared tagged") };
            let table = self.table.get(name).and_then(Node::as_table);
            let table = table.ok_or_else(|| must_be(name, kind, node))?;
            Ok(self.case(tagged, table, &node.origin))
        })
        .flatten()
    }

    /// A list of such tables, those of a known word.
    pub fn tagged_list(&self, name: &str) -> Option<Vec<(&'static str, Self)>> {
        let Kind::TaggedList(tagged) = self.key(name).kind else {
            unreachable!("{name} is not declared as a list of tagged tables")
        };
        let tables = self.list(name)?.into_iter();
        Some(tables.filter_map(|(table, origin)| self.case(tagged, table, &origin)).collect())
    }

    /// The tables of a list, each with its origin.
    fn list(&self, name: &str) -> Option<Vec<(&'a Table, Origin)>> {
        let found = self.read(name, |node, kind| {
            let wrong = || must_be(name, kind, node);
            // The node is the table's own, or its default, which no list of tables has.
            let node = self.table.get(name).ok_or_else(wrong)?;
            let Value::Array(nodes) = &node.value else { return Err(wrong()) };
            nodes
                .iter()
                .map(|node| Some((node.as_table()?, node.origin.clone())))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(wrong)
        });
        found.or_else(|| (!self.has(name)).then(Vec::new))
    }

    fn case(
        &self,
        tagged: &'static Tagged,
        table: &'a Table,
        origin: &Origin,
    ) -> Option<(&'static str, Self)> {
        let (tag, title) = (tagged.tag, tagged.title);
        let Some(node) = table.get(tag) else {
            let words = list(tagged.words());
            self.context.problem(origin, format!("{title} needs {tag}; one of {words}"));
            return None;
        };
        let text = node.as_text().unwrap_or_default();
        let Some((word, schema)) = tagged.cases.iter().find(|(word, _)| *word == text) else {
            let message = match node.as_text() {
                Some(text) => unknown(tag, text, tagged.words()),
                None => {
                    format!("{tag} must be one of {}, not {}", list(tagged.words()), node.shown())
                }
            };
            self.context.problem(&node.origin, message);
            return None;
        };
        Some((word, Self::with_tag(self.context, table, origin.clone(), schema, Some(tag))))
    }
}
