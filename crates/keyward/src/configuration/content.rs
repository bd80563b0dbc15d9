//! Whether what policies that read content are made from can be used: descriptions, templates; and whether
//! providers of AI models are known.

use keyward_gateway::{check_description, check_guardrails, check_provider, check_templates};
use keyward_model::resource::content::{Description, Transformation, Validation};
use keyward_model::resource::raw::{Declared, Node, Place, Problems};
use keyward_model::resource::{Api, Guarded, Spec};
use std::sync::Arc;

/// Compiles each once, and tells what is wrong with it.
pub(super) fn check(declared: &Declared, problems: &mut Problems) {
    let api = match &declared.resource.spec {
        Spec::Api(api) => api,
        Spec::Provider(provider) => {
            if let Err(why) = check_provider(provider) {
                let keys = ["dialect", "catalogue"];
                let written = keys
                    .into_iter()
                    .find(|key| declared.node.get(key).is_some());
                let place = declared.node.place_of(&[written.unwrap_or("name")]);
                problems.error(place, "bad_provider", why);
            }
            return;
        }
        Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_) => return,
        Spec::Model(model) => {
            guardrails(&declared.node, &model.guarded, problems);
            return;
        }
    };
    if let (Some(ai), Some(node)) = (&api.ai, declared.node.get("ai")) {
        guardrails(node, &ai.guarded, problems);
    }
    for (index, validation) in validations(api) {
        if let Err(why) = check_description(validation) {
            let key = match validation.description {
                Description::OpenApi(_) => "openapi",
                Description::JsonSchema(_) => "schema",
            };
            let place = place(declared, index, "validation", key);
            problems.error(place, "bad_document", format!("`{key}`: {why}"));
        }
    }
    for (index, transformation) in transformations(api) {
        if let Err(why) = check_templates(transformation) {
            let part = if why.starts_with("request") {
                "request"
            } else {
                "response"
            };
            let place = place(declared, index, "transformation", part);
            problems.error(place, "bad_template", format!("`transformation`: {why}"));
        }
    }
}

/// Compiles each guardrail, and tells which can't be used.
fn guardrails(node: &Node, guarded: &Guarded, problems: &mut Problems) {
    let Err(wrong) = check_guardrails(guarded) else {
        return;
    };
    for (place, why) in wrong {
        problems.error(
            node.place_of_member(&["guardrails"], place),
            "bad_guardrail",
            format!("`guardrails`: {why}"),
        );
    }
}

fn validations(api: &Api) -> Vec<(usize, &Arc<Validation>)> {
    let mut found: Vec<(usize, &Arc<Validation>)> = Vec::new();
    for (index, route) in api.routes.iter().enumerate() {
        let content = route.content.as_deref();
        if let Some(own) = content.and_then(|content| content.validation.as_ref())
            && !found.iter().any(|(_, known)| Arc::ptr_eq(known, own))
        {
            found.push((index, own));
        }
    }
    found
}

fn transformations(api: &Api) -> Vec<(usize, &Arc<Transformation>)> {
    let mut found: Vec<(usize, &Arc<Transformation>)> = Vec::new();
    for (index, route) in api.routes.iter().enumerate() {
        let content = route.content.as_deref();
        if let Some(own) = content.and_then(|content| content.transformation.as_ref())
            && !found.iter().any(|(_, known)| Arc::ptr_eq(known, own))
        {
            found.push((index, own));
        }
    }
    found
}

/// Where it was said: at the route, or at its API where the route says nothing of it.
fn place(declared: &Declared, index: usize, policy: &str, key: &str) -> Place {
    let own = declared
        .node
        .get("routes")
        .and_then(|routes| routes.member(index))
        .filter(|route| route.get(policy).is_some());
    let of: &Node = own.unwrap_or(&declared.node);
    of.place_of(&[policy, key])
}
