//! The reference page of a format and its JSON Schema, made from its [`Schema`]s.
//! It must not know any key.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::schema::{Key, Kind, Presence, Schema, Tagged};

/// Durations, as the JSON Schema sees them.
const DURATION: &str = "^[0-9]{1,20}(\\.[0-9]+)?(ns|us|ms|s|m|h)$";

/// Names, as the JSON Schema sees them.
const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

/// Every table of a format as Markdown, one section each, starting at the second heading level.
/// A table that stands in several places is described once.
pub fn markdown(root: &'static Schema) -> String {
    let mut page = Page { text: String::new(), seen: Vec::new() };
    page.schema(root, root.title, root.summary, None);
    page.text
}

struct Page {
    text: String,
    seen: Vec<*const ()>,
}

impl Page {
    fn schema(
        &mut self,
        schema: &'static Schema,
        title: &str,
        summary: &str,
        tag: Option<(&str, &str)>,
    ) {
        let address: *const Schema = schema;
        if self.seen.contains(&address.cast()) {
            return;
        }
        self.seen.push(address.cast());
        let keys: Vec<&'static Key> = schema.keys().collect();
        let level = if tag.is_some() { "###" } else { "##" };
        self.line(&format!("{level} {title}\n\n{summary}\n"));
        self.line("| key | value | without it | what it does |\n|---|---|---|---|");
        if let Some((tag, word)) = tag {
            self.line(&format!("| `{tag}` | \"{word}\" | required | |"));
        }
        for key in &keys {
            let (name, wanted) = (key.name, cell(&key.kind.wanted()));
            let without = cell(&without(key));
            self.line(&format!("| `{name}` | {wanted} | {without} | {} |", cell(key.summary)));
        }
        self.line("");
        for key in keys {
            match &key.kind {
                Kind::Table(inner) | Kind::Tables(inner) => {
                    self.schema(inner, inner.title, inner.summary, None);
                }
                Kind::Tagged(tagged) | Kind::TaggedList(tagged) => self.tagged(tagged),
                _ => {}
            }
        }
    }

    fn tagged(&mut self, tagged: &'static Tagged) {
        let address: *const Tagged = tagged;
        if self.seen.contains(&address.cast()) {
            return;
        }
        self.seen.push(address.cast());
        let (title, summary, tag) = (tagged.title, tagged.summary, tagged.tag);
        let words: Vec<String> = tagged.words().map(|word| format!("\"{word}\"")).collect();
        self.line(&format!(
            "## {title}\n\n{summary} Its other keys depend on `{tag}`, one of {}. For example:\n\n\
             ```toml\n{}\n```\n",
            words.join(", "),
            tagged.example
        ));
        for (word, schema) in tagged.cases {
            self.schema(schema, word, schema.summary, Some((tag, word)));
        }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

/// A text inside a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn without(key: &Key) -> String {
    match key.presence {
        Presence::Required(_) => "required".into(),
        Presence::Default(text) => format!("`{text}`"),
        Presence::Absent(words) => words.into(),
    }
}

/// The JSON Schema (draft 2020-12) of a format.
pub fn json_schema(root: &'static Schema) -> Value {
    let mut schema = object(root, None, Form::File);
    let head = schema.as_object_mut().expect("an object's schema is an object");
    head.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    head.insert("title".into(), json!(root.title));
    schema
}

/// The JSON Schema of a table as it is shown with all its keys, null for those that are off.
pub fn shown_schema(root: &'static Schema) -> Value {
    object(root, None, Form::Shown)
}

/// The JSON Schema of a JSON Merge Patch (RFC 7396) of such a table: no key must be there, and null
/// takes one away.
pub fn patch_schema(root: &'static Schema) -> Value {
    object(root, None, Form::Patch)
}

/// What a schema is of: a file, all of its values, or a change to them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    File,
    Shown,
    Patch,
}

impl Form {
    fn must_have(self, key: &Key) -> bool {
        match self {
            Self::File => matches!(key.presence, Presence::Required(_)),
            Self::Shown => true,
            Self::Patch => false,
        }
    }

    fn may_be_null(self, key: &Key) -> bool {
        self != Self::File && !matches!(key.presence, Presence::Required(_))
    }
}

fn object(schema: &'static Schema, tag: Option<(&str, &str)>, form: Form) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some((tag, word)) = tag {
        properties.insert(tag.into(), json!({ "const": word }));
        required.push(tag);
    }
    for key in schema.keys() {
        let mut value = of_kind(&key.kind, form);
        if form.may_be_null(key) {
            value = json!({ "anyOf": [value, { "type": "null" }] });
        }
        if let Some(value) = value.as_object_mut() {
            let without = match key.presence {
                Presence::Required(_) => String::new(),
                Presence::Default(text) => format!(" Default: {text}."),
                Presence::Absent(words) => format!(" Without it: {words}."),
            };
            value.insert("description".into(), json!(format!("{}{without}", key.summary)));
        }
        properties.insert(key.name.into(), value);
        if form.must_have(key) {
            required.push(key.name);
        }
    }
    json!({
        "type": "object",
        "description": schema.summary,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn one_of(tagged: &'static Tagged, form: Form) -> Value {
    let cases = tagged.cases.iter();
    let cases: Vec<Value> =
        cases.map(|(word, schema)| object(schema, Some((tagged.tag, word)), form)).collect();
    json!({ "oneOf": cases })
}

fn of_kind(kind: &'static Kind, form: Form) -> Value {
    let whole = |min: u64, max: u64| json!({ "type": "integer", "minimum": min, "maximum": max });
    let number = |min: f64, above: bool, max: f64| {
        let least = if above { "exclusiveMinimum" } else { "minimum" };
        json!({ "type": "number", least: min, "maximum": max })
    };
    let duration = || json!({ "type": "string", "pattern": DURATION });
    match kind {
        Kind::Text(max) => json!({ "type": "string", "minLength": 1, "maxLength": max }),
        Kind::Name => json!({ "type": "string", "pattern": NAME }),
        Kind::Target => json!({ "type": "string", "pattern": "^/[!-\"$-~]*$" }),
        Kind::File => json!({ "type": "string", "minLength": 1 }),
        Kind::Secret { min, max } => {
            json!({ "type": "string", "pattern": format!("^[!-~]{{{min},{max}}}$") })
        }
        Kind::KeySource => {
            let pattern = "^(address|path|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64})$";
            json!({ "type": "string", "pattern": pattern })
        }
        Kind::Word(words) => json!({ "enum": words }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole { min, max } => whole(*min, *max),
        Kind::Number { min, above, max } => number(*min, *above, *max),
        Kind::NumberOrOff { min, above, max } => {
            json!({ "anyOf": [number(*min, *above, *max), { "const": "off" }] })
        }
        Kind::Duration { .. } => duration(),
        Kind::DurationOrOff => json!({ "anyOf": [duration(), { "const": "off" }] }),
        Kind::WholeOr { min, max, word } => {
            json!({ "anyOf": [whole(*min, *max), { "const": word }] })
        }
        Kind::Size(max) => {
            let text = json!({ "type": "string", "pattern": "^[0-9]+(B|kB|MB|KiB|MiB|GiB)$" });
            json!({ "anyOf": [whole(0, *max), text] })
        }
        Kind::Address => json!({ "type": "string" }),
        Kind::Wholes { min, max, count } => {
            json!({ "type": "array", "items": whole(*min, *max), "maxItems": count })
        }
        Kind::Statuses(count) => {
            let range = json!({ "type": "string", "pattern": "^[1-5][0-9]{2}-[1-5][0-9]{2}$" });
            let item = json!({ "anyOf": [whole(100, 599), range] });
            json!({ "type": "array", "items": item, "minItems": 1, "maxItems": count })
        }
        Kind::Origins(count) => {
            let item = json!({ "type": "string", "pattern": "^https?://[^/A-Z]+$" });
            json!({ "type": "array", "items": item, "maxItems": count })
        }
        Kind::Seconds => {
            json!({ "type": "array", "items": { "type": "number", "minimum": 0 }, "minItems": 1 })
        }
        Kind::Table(schema) => object(schema, None, form),
        Kind::Tables(schema) => json!({ "type": "array", "items": object(schema, None, form) }),
        Kind::Tagged(tagged) => one_of(tagged, form),
        Kind::TaggedList(tagged) => json!({ "type": "array", "items": one_of(tagged, form) }),
        Kind::Strategy => {
            let name = json!({ "type": "string" });
            let mut table = json!({ "type": "object", "properties": { "name": name } });
            // A change to the parameters alone needs no name.
            if form != Form::Patch {
                table["required"] = json!(["name"]);
            }
            match form {
                Form::Shown => table,
                Form::File | Form::Patch => json!({ "anyOf": [name, table] }),
            }
        }
        Kind::Limit => json!({ "anyOf": [duration(), { "type": "number", "minimum": 0 }] }),
        Kind::Vary => {
            json!({ "type": "object", "additionalProperties": { "type": ["array", "object"] } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backends::BACKENDS_TOML;
    use crate::document::Document;
    use crate::proxy::PROXY_TOML;
    use crate::reader::{Context, ROOT, Reader};

    /// Calls `f` with every schema below `schema`.
    fn each(schema: &'static Schema, f: &mut dyn FnMut(&'static Schema)) {
        f(schema);
        for key in schema.keys() {
            match &key.kind {
                Kind::Table(inner) | Kind::Tables(inner) => each(inner, f),
                Kind::Tagged(tagged) | Kind::TaggedList(tagged) => {
                    tagged.cases.iter().for_each(|(_, schema)| each(schema, f));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_page_has_every_key_and_no_table_twice() {
        for root in [&BACKENDS_TOML, &PROXY_TOML] {
            let page = markdown(root);
            each(root, &mut |schema| {
                for key in schema.keys() {
                    assert!(page.contains(&format!("| `{}` |", key.name)), "{}", key.name);
                }
            });
            assert_eq!(
                page.matches("### lognormal\n").count(),
                usize::from(page.contains("seed") && page.contains("concurrency"))
            );
        }
    }

    #[test]
    fn the_json_schema_requires_what_the_reader_requires() {
        let schema = json_schema(&PROXY_TOML);
        assert_eq!(schema["required"], json!(["listen", "strategy"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        let document = Document::parse("p.toml", "").expect("empty is TOML");
        let context = Context::new("p.toml");
        let reader = Reader::new(&context, &document.root, ROOT, &PROXY_TOML);
        let missing: Vec<_> = PROXY_TOML
            .keys()
            .filter(|key| matches!(key.presence, Presence::Required(_)))
            .map(|key| key.name)
            .collect();
        assert_eq!((reader.address("listen"), missing), (None, vec!["listen", "strategy"]));
        assert!(!context.is_clean());
    }

    #[test]
    fn what_is_shown_is_whole_and_a_patch_needs_nothing() {
        let (shown, patch) = (shown_schema(&PROXY_TOML), patch_schema(&PROXY_TOML));
        let all: Vec<_> = PROXY_TOML.keys().map(|key| key.name).collect();
        assert_eq!((&shown["required"], &patch["required"]), (&json!(all), &json!([])));
        let null = json!({ "type": "null" });
        for schema in [shown, patch] {
            let health = &schema["properties"]["health"]["anyOf"];
            assert_eq!(health[1], null);
            assert_eq!(health[0]["properties"]["interval"]["anyOf"][1], null);
            let strategy = schema["properties"]["strategy"].to_string();
            assert!(!strategy.contains("null"), "{strategy}");
        }
    }

    #[test]
    fn keys_are_declared_once_and_described() {
        for root in [&BACKENDS_TOML, &PROXY_TOML] {
            each(root, &mut |schema| {
                let mut names: Vec<_> = schema.keys().map(|key| key.name).collect();
                names.sort_unstable();
                assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}", schema.title);
                for key in schema.keys() {
                    assert!(
                        key.summary.ends_with('.') || key.summary.ends_with('…'),
                        "{}",
                        key.name
                    );
                }
            });
        }
    }
}
