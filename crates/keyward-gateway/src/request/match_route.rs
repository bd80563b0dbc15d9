//! Which API a call is for.

use super::path::RequestPath;
use crate::snapshot::{LocalSnapshot, RouteRef};
use keyward_model::{Code, Fault};

/// A call's route, and what of its path goes on to the upstream.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) route: RouteRef,
    /// Path and query for the upstream, without the target's own prefix.
    pub(crate) path: Box<str>,
}

/// Finds the route whose base path is the longest that the path begins with.
pub(crate) fn match_route(
    snapshot: &LocalSnapshot,
    path: &RequestPath<'_>,
) -> Result<Matched, Fault> {
    let found = snapshot.shared.table.find(path.for_matching());
    let matched = found.and_then(|found| {
        let route = snapshot.route(found.route)?;
        let taken_off = if route.route.keep_base_path {
            0
        } else {
            found.segments
        };
        Some(Matched {
            route,
            path: path.after(taken_off),
        })
    });
    matched.ok_or_else(|| {
        Fault::new(
            Code::NotFound,
            "No API is published under this path; check the address",
        )
    })
}
