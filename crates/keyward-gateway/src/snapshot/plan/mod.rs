//! What a route does with a call, prepared when the configuration is compiled.

mod answer;
mod header_edits;
mod mirror;
mod query_edits;
mod rewrite;
mod split;
mod websocket;

pub(crate) use answer::{FixedAnswer, RedirectPlan};
pub(crate) use header_edits::HeaderEditsPlan;
pub(crate) use mirror::MirrorPlan;
pub(crate) use query_edits::QueryEditsPlan;
pub(crate) use rewrite::{MatchedPath, RewritePlan};
pub(crate) use split::SplitPlan;
pub(crate) use websocket::WebSocketPlan;

use crate::message::Fields;
use keyward_model::resource::route::{Action, Mirror};
use keyward_model::resource::{Api, route};
use std::borrow::Cow;

/// The way of a route's calls.
#[derive(Debug)]
pub(crate) struct RoutePlan {
    /// How many segments its path has, the base path's included.
    segments: usize,
    /// Of these, how many the upstream does not see.
    taken_off: usize,
    rewrite: Option<RewritePlan>,
    query: QueryEditsPlan,
    request_headers: HeaderEditsPlan,
    /// Further changes, where the plan is that of copies.
    copy_headers: Box<[HeaderEditsPlan]>,
    pub(crate) response_headers: HeaderEditsPlan,
    /// What answers in an upstream's place.
    pub(crate) answer: Option<AnswerPlan>,
    /// Whether calls may become tunnels.
    pub(crate) websocket: Option<WebSocketPlan>,
}

/// An answer without an upstream.
#[derive(Debug)]
pub(crate) enum AnswerPlan {
    Redirect(RedirectPlan),
    Fixed(FixedAnswer),
}

impl RoutePlan {
    /// The plan of a route; the error says what can't be prepared.
    pub(super) fn new(api: &Api, route: &route::Route) -> Result<Self, String> {
        let base = api.base_path.segments().count();
        let (rewrite, answer) = match &route.action {
            Action::Forward(forward) => (forward.rewrite.as_ref().map(RewritePlan::new), None),
            Action::Infer(_) => (None, None),
            Action::Redirect(redirect) => {
                let redirect = RedirectPlan::new(redirect)?;
                (None, Some(AnswerPlan::Redirect(redirect)))
            }
            Action::Respond(fixed) => (None, Some(AnswerPlan::Fixed(FixedAnswer::new(fixed)?))),
        };
        Ok(Self {
            segments: base + route.matching.path.segments().len(),
            taken_off: if api.keep_base_path { 0 } else { base },
            rewrite,
            query: QueryEditsPlan::new(&route.query),
            request_headers: HeaderEditsPlan::new(&route.request_headers)?,
            copy_headers: Box::default(),
            response_headers: HeaderEditsPlan::new(&route.response_headers)?,
            websocket: route
                .websocket
                .as_ref()
                .map(|declared| WebSocketPlan::new(api, declared)),
            answer,
        })
    }

    /// The plan of the copies that a mirror gets of the route's calls.
    pub(super) fn of_copies(
        api: &Api,
        route: &route::Route,
        mirror: &Mirror,
    ) -> Result<Self, String> {
        Ok(Self {
            copy_headers: mirror::edits_of_copy(mirror)?,
            ..Self::new(api, route)?
        })
    }

    /// Changes the request's headers.
    pub(crate) fn edit_request(&self, fields: &mut Fields) {
        self.request_headers.apply(fields);
        for edits in &self.copy_headers {
            edits.apply(fields);
        }
    }

    /// Path and query for the upstream, without the target's own prefix: empty, or beginning with `/` or
    /// `?`. Borrowed where nothing changes.
    pub(crate) fn target<'p>(&self, path: &MatchedPath<'p>) -> Cow<'p, str> {
        if self.rewrite.is_none() && self.query.is_empty() {
            return Cow::Borrowed(path.path.after(self.taken_off));
        }
        let mut target = String::with_capacity(path.path.whole().len() + 32);
        match &self.rewrite {
            Some(rewrite) => rewrite.apply(path, self.segments, &mut target),
            None => target.push_str(path.path.path_after(self.taken_off)),
        }
        self.push_query(path, &mut target);
        Cow::Owned(target)
    }

    /// `Location` of a redirect. `None` where the request names no host that it could be made with.
    pub(crate) fn location(
        &self,
        redirect: &RedirectPlan,
        path: &MatchedPath<'_>,
        host: Option<&str>,
    ) -> Option<String> {
        let mut location = String::with_capacity(path.path.whole().len() + 64);
        redirect.apply(path, self.segments, host, &mut location)?;
        self.push_query(path, &mut location);
        Some(location)
    }

    fn push_query(&self, path: &MatchedPath<'_>, out: &mut String) {
        let query = self.query.apply(path.path.query().unwrap_or_default());
        // `/a?` stays what it was: some servers tell it from `/a`.
        if !query.is_empty() || (self.query.is_empty() && path.path.query().is_some()) {
            out.push('?');
            out.push_str(&query);
        }
    }
}

#[cfg(test)]
mod tests;
