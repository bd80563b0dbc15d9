//! The schema of an API's routes.

use super::authentication::{authentication, authorization};
use super::schema::{about, filled, name, put};
use super::traffic;
use serde_json::{Map, Value, json};

/// Routes: what of a call they match, where it goes, and what they say else, as their API does.
pub(super) fn routes() -> Value {
    let mut members = Map::from_iter([
        ("name".to_owned(), name()),
        (
            "match".to_owned(),
            about(
                json!({ "type": "object" }),
                "Path, methods, headers, query: see the guide `docs/guides/routing.md`",
            ),
        ),
        ("upstream".to_owned(), name()),
        ("authentication".to_owned(), authentication()),
        ("authorization".to_owned(), authorization()),
    ]);
    members.extend(traffic::members());
    let route = json!({ "type": "object", "properties": members });
    let mut routes = filled(route);
    put(&mut routes, "maxItems", json!(1000));
    about(
        routes,
        "Without them, everything below `base_path` goes to `upstream`",
    )
}
