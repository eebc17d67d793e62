//! The OpenAPI document: what the handlers tell of themselves, and what is true of them all, as who
//! is let in and how large a request may be. It must not know a route.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::{Components, Info, OpenApi, OpenApiBuilder};
use utoipa::{PartialSchema, ToSchema};

use super::gate::OPEN;
use super::problem::Problem;
use super::view;

const DESCRIPTION: &str = "\
Backends, configuration, events and metrics of a running `lab proxy`. Where the proxy has an \
`admin_token`, every path but /health asks for `Authorization: Bearer TOKEN`. Requests must name the \
host by an IP address, as localhost or by a host of `admin_origins`; changes from web pages must \
come from the API's own origin or one of `admin_origins`; others get 403. A path that is not here \
gets 404, a method that is not here 405, with those there are in `Allow`; HEAD goes where GET does. \
Errors are Problems.";

/// What an answer of each status means, whichever the route: to all requests, to those without a
/// token, and to those with a body.
const TO_ALL: &[(&str, &str)] = &[("403", "The Host or the Origin is not one that is let in.")];
const WITHOUT_TOKEN: &[(&str, &str)] = &[("401", "The token is missing or wrong.")];
const WITH_BODY: &[(&str, &str)] = &[
    ("400", "The body is not what is wanted here."),
    ("408", "The body did not come in time."),
    ("413", "The body is too large."),
];

/// The document without a route.
pub(super) fn empty() -> OpenApi {
    let mut info = Info::new("lab proxy: admin API", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.into());
    let mut components = Components::new();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// The document as it is served.
pub(super) fn written(described: &OpenApi) -> Bytes {
    let mut document = serde_json::to_value(described).expect("it is made of texts and numbers");
    for (path, methods) in entries(&mut document["paths"]) {
        for operation in methods.as_object_mut().into_iter().flat_map(Map::values_mut) {
            complete(path, operation);
        }
    }
    for (name, schema) in view::config_schemas() {
        document["components"]["schemas"][name] = schema;
    }
    document["components"]["securitySchemes"] = json!({ "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "The proxy's `admin_token`, where it has one.",
    }});
    document["security"] = json!([{}, { "token": [] }]);
    document.to_string().into()
}

/// Adds the answers that a route does not give itself.
fn complete(path: &str, operation: &mut Value) {
    let mut more = TO_ALL.to_vec();
    if path == OPEN {
        operation["security"] = json!([]);
    } else {
        more.extend(WITHOUT_TOKEN);
    }
    if operation.get("requestBody").is_some() {
        more.extend(WITH_BODY);
    }
    let schema = json!({ "$ref": format!("#/components/schemas/{}", Problem::name()) });
    let Some(answers) = operation["responses"].as_object_mut() else { return };
    for (status, description) in more {
        answers.entry(status).or_insert_with(|| {
            let content = json!({ "application/json": { "schema": schema } });
            json!({ "description": description, "content": content })
        });
    }
    // Such a request is not read to its end, nor told of as JSON.
    answers.insert("431".into(), json!({ "description": "The head is too large." }));
}

fn entries(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}
