//! The explorer of the management API: a page that reads the OpenAPI document and makes calls. It is Swagger UI, whose
//! files are in the binary; nothing is fetched from elsewhere.

use crate::answer::Answer;
use crate::management::endpoint::BASE;
use crate::problem::{Problem, ProblemKind};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, Method};
use std::sync::Arc;
use utoipa_swagger_ui::Config;

/// Where it is, below the API.
const PLACE: &str = "/explorer/";

/// Its scripts and styles are its own, and it calls nobody but this site. It draws with styles of elements, and with
/// pictures that stand in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For as long as a look at it takes: another version has other files.
const KEPT: &str = "max-age=600";

/// The answer, where the path is the explorer's.
pub(crate) fn answer(method: &Method, path: &str) -> Option<Result<Answer, Problem>> {
    let below = path.strip_prefix(BASE)?;
    if below == PLACE.trim_end_matches('/') {
        return Some(Ok(Answer::moved(format!("{BASE}{PLACE}"))));
    }
    let file = below.strip_prefix(PLACE)?;
    if !matches!(*method, Method::GET | Method::HEAD) {
        let refused = Problem::new(
            ProblemKind::MethodNotAllowed,
            "The explorer is looked at with GET",
        );
        return Some(Err(
            refused.header(ALLOW, HeaderValue::from_static("GET, HEAD"))
        ));
    }
    Some(found(file))
}

fn found(file: &str) -> Result<Answer, Problem> {
    let config = Config::from(format!("{BASE}/openapi.json"))
        .try_it_out_enabled(true)
        .persist_authorization(false);
    let found = utoipa_swagger_ui::serve(file, Arc::new(config)).map_err(|error| {
        Problem::new(ProblemKind::Internal, "Something went wrong here").because(error)
    })?;
    let found = found.ok_or_else(Problem::not_found)?;
    Ok(
        Answer::file(found.bytes.into_owned().into(), found.content_type)
            .header(CONTENT_SECURITY_POLICY, POLICY)
            .header(CACHE_CONTROL, KEPT),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_files_are_its_own_and_nothing_else_is_there() {
        for (path, there) in [
            ("/api/v1/explorer", true),
            ("/api/v1/explorer/", true),
            ("/api/v1/explorer/index.html", true),
            ("/api/v1/explorer/swagger-ui-bundle.js", true),
            ("/api/v1/explorer/swagger-initializer.js", true),
            ("/api/v1/explorer/none", false),
            ("/api/v1/explorer/../../etc/passwd", false),
        ] {
            let answer = answer(&Method::GET, path).unwrap();
            assert_eq!(answer.is_ok(), there, "{path}");
        }
        assert!(answer(&Method::GET, "/api/v1/explorers").is_none());
        assert!(answer(&Method::POST, "/api/v1/explorer/").unwrap().is_err());
    }
}
