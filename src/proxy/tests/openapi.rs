//! The OpenAPI document: it lists what answers and nothing else, and answers are what it says.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Backend, Lab, Reader, exchange, write};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document(lab: &Lab) -> Value {
    let (status, document) = lab.call("GET", "/openapi.json", "");
    assert_eq!(status, 200);
    document
}

/// All paths and methods that the document lists.
fn listed(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").keys();
        methods.map(move |method| (path.clone(), method.clone()))
    });
    methods.collect()
}

/// The status of a call, whose answer may have no end.
fn status(lab: &Lab, method: &str, path: &str) -> u16 {
    let mut reader = Reader::new(std::net::TcpStream::connect(lab.admin).expect("it listens"));
    let method = method.to_uppercase();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: [::1]\r\ncontent-length: 0\r\n\r\n");
    write(&mut reader.stream, &head);
    reader.head().expect("a head").status()
}

/// Where a value is not what a schema says, as far as types, keys, items and words go.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(path) = schema["$ref"].as_str() {
        let target = path.strip_prefix('#').and_then(|path| document.pointer(path));
        let Some(target) = target else { return vec![format!("{at}: {path} leads nowhere")] };
        return check(document, target, value, at);
    }
    let mut wrong = vec![];
    for word in ["anyOf", "oneOf"] {
        let Some(cases) = schema[word].as_array() else { continue };
        let each = cases.iter().map(|case| check(document, case, value, at));
        let each: Vec<_> = each.collect();
        if !each.iter().any(Vec::is_empty) {
            wrong.extend(each.into_iter().flatten());
        }
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    if !types.is_empty() && !types.iter().any(|kind| is_a(kind, value)) {
        wrong.push(format!("{at}: {value} is none of {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        wrong.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if let Value::Object(fields) = value {
        for key in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(key.as_str().expect("a name")) {
                wrong.push(format!("{at}: no {key}"));
            }
        }
        for (key, value) in fields {
            match schema["properties"].get(key) {
                Some(schema) => {
                    wrong.extend(check(document, schema, value, &format!("{at}.{key}")));
                }
                // No key is untold, but a strategy's parameters, which are its own.
                None if schema["properties"].is_object() && !at.ends_with(".strategy") => {
                    wrong.push(format!("{at}: {key} is not documented"));
                }
                None => {}
            }
        }
    }
    if let (Value::Array(values), Some(items)) = (value, schema.get("items")) {
        for (i, value) in values.iter().enumerate() {
            wrong.extend(check(document, items, value, &format!("{at}[{i}]")));
        }
    }
    wrong
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn what_is_listed_answers_and_nothing_else() {
    let backend = Backend::named("a");
    let lab = Lab::start("", &[backend.address]);
    let document = document(&lab);
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let listed = listed(&document);
    let paths: BTreeSet<_> = listed.iter().map(|(path, _)| path.as_str()).collect();
    let known = ["/health", "/metrics", "/openapi.json"];
    let versioned = ["/v1/backends", "/v1/backends/{id}", "/v1/config", "/v1/events"];
    assert_eq!(paths, known.into_iter().chain(versioned).collect());
    for path in paths {
        // Last of all DELETE takes the backend away.
        for method in METHODS {
            let status = status(&lab, method, &path.replace("{id}", "b1"));
            let is_listed = listed.contains(&(path.into(), method.into()));
            assert_eq!(status != 404 && status != 405, is_listed, "{method} {path}: {status}");
            assert!(is_listed || status == 405, "{method} {path}: {status}");
            let answers = &document["paths"][path][method]["responses"];
            assert!(!is_listed || answers.get(status.to_string()).is_some(), "{method} {path}");
        }
    }
}

#[test]
fn every_answer_is_what_the_document_says() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let tables = "[health]\n[ejection]\n[limits]\nrate = 1000\n[timeout]\nattempt = \"3s\"";
    let lab = Lab::start(tables, &[a.address]);
    let document = document(&lab);
    let new = format!("{{\"address\":\"{}\"}}", b.address);
    let large = format!("{{\"address\":\"{}\"}}", "x".repeat(70_000));
    let one = "/v1/backends/{id}";
    let shown = lab.call("GET", "/v1/config", "").1.to_string();
    for (method, template, path, body, status) in [
        ("get", "/v1/backends", "/v1/backends", "", 200),
        ("post", "/v1/backends", "/v1/backends", &*new, 201),
        ("post", "/v1/backends", "/v1/backends", &*new, 409),
        ("post", "/v1/backends", "/v1/backends", "{}", 400),
        ("post", "/v1/backends", "/v1/backends", &*large, 413),
        ("get", one, "/v1/backends/b1", "", 200),
        ("get", one, "/v1/backends/b9", "", 404),
        ("get", one, "/v1/backends/%ff", "", 404),
        ("patch", one, "/v1/backends/b1", r#"{"weight":2,"state":"drain"}"#, 200),
        ("patch", one, "/v1/backends/b1", r#"{"weight":0}"#, 400),
        ("patch", one, "/v1/backends/b9", r#"{"weight":1}"#, 404),
        ("delete", one, "/v1/backends/b2", "", 204),
        ("delete", one, "/v1/backends/b2", "", 404),
        ("get", "/v1/config", "/v1/config", "", 200),
        ("patch", "/v1/config", "/v1/config", &*shown, 200),
        ("patch", "/v1/config", "/v1/config", r#"{"retry":{},"queue":null}"#, 200),
        ("patch", "/v1/config", "/v1/config", r#"{"retry":{"attempts":0},"x":1}"#, 400),
        ("get", "/metrics", "/metrics", "", 200),
        ("get", "/openapi.json", "/openapi.json", "", 200),
        ("get", "/health", "/health", "", 200),
    ] {
        let operation = &document["paths"][template][method];
        let (given, answer) = lab.call(&method.to_uppercase(), path, body);
        assert_eq!(given, status, "{method} {path}: {answer}");
        let response = operation["responses"].get(status.to_string());
        let response = response.unwrap_or_else(|| panic!("{method} {path}: {status} is not told"));
        let content = response["content"].as_object().into_iter().flatten().next();
        assert_eq!(content.is_none(), status == 204, "{method} {path}: {response}");
        let Some((_, content)) = content else { continue };
        let wrong = check(&document, &content["schema"], &answer, "");
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:#?}");
        if status == 200 && !body.is_empty() {
            let wanted = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = serde_json::from_str(body).expect("JSON");
            let wrong = check(&document, wanted, &body, "");
            assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}");
        }
    }
}

#[test]
fn refusals_of_the_gate_are_told_of() {
    let lab = Lab::start("admin_token = \"0123456789abcdef\"", &[]);
    let ask = |path: &str, fields: &str| {
        exchange(lab.admin, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"))
    };
    let document = ask("/openapi.json", "authorization: Bearer 0123456789abcdef\r\n");
    let document: Value = serde_json::from_slice(&document.body).expect("JSON");
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    for (path, method) in listed(&document) {
        let operation = &document["paths"][&path][&method];
        let is_open = operation["security"] == serde_json::json!([]);
        let answers = &operation["responses"];
        assert_eq!(answers.get("401").is_none(), is_open, "{path}");
        assert!(answers.get("403").is_some() && answers.get("431").is_some(), "{path}");
        if method == "get" {
            let status = ask(&path, "").status();
            assert_eq!(status == 401, !is_open, "{path}: {status}");
        }
    }
    let refused = ask("/metrics", "");
    let refused: Value = serde_json::from_slice(&refused.body).expect("JSON");
    let schema = &document["components"]["schemas"]["Problem"];
    assert_eq!(check(&document, schema, &refused, ""), Vec::<String>::new());
}
