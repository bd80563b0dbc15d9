//! What a prompt becomes with some variables, for whoever writes it: of a draft too.

use super::asked::written;
use super::check::check_prompt;
use super::compiled::CompiledPrompt;
use super::rendering;
use super::template::Unrendered;
use super::variables;
use keyward_model::resource::{Resource, Spec};
use serde_json::Value;
use std::sync::Arc;

/// What its model would be asked for a call with this body: a request of OpenAI's chat completions, which models that this
/// gateway serves take as it is.
///
/// # Errors
/// Why the prompt can't be called, or not with this body, in words.
pub fn preview_prompt(resource: &Arc<Resource>, body: &[u8]) -> Result<Value, String> {
    let prompt = match &resource.spec {
        Spec::Prompt(prompt) => prompt,
        Spec::Issuer(_)
        | Spec::Upstream(_)
        | Spec::Api(_)
        | Spec::Credential(_)
        | Spec::Role(_)
        | Spec::AccessPolicy(_)
        | Spec::KeySet(_)
        | Spec::Webhook(_)
        | Spec::ManagementRole(_)
        | Spec::Provider(_)
        | Spec::Model(_) => return Err("it is no prompt".to_owned()),
    };
    if let Some(flaw) = check_prompt(prompt).into_iter().find(|flaw| flaw.fatal) {
        return Err(format!("`{}`: {}", flaw.path.join("."), flaw.detail));
    }
    let compiled = CompiledPrompt::of(resource, prompt, None)?;
    let sent = variables::read(&compiled, body);
    let sent = sent.map_err(|refusal| refusal.fault().detail().to_owned())?;
    let request = rendering::request(&compiled, &sent, false).map_err(|error| match error {
        Unrendered::TooMuch => "the templates make more text than may be, or take too long".into(),
        Unrendered::Empty => "the last message comes out empty: nothing is asked".into(),
        Unrendered::Failed(why) => why,
    })?;
    let written = written(&request).map_err(|fault| match fault.reason() {
        Some(reason) => reason.to_owned(),
        None => fault.detail().to_owned(),
    })?;
    serde_json::from_slice(&written).map_err(|error| error.to_string())
}
