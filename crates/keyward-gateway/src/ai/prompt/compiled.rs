//! A prompt's version as it is called: compiled when it is configured, once for all APIs that serve it.

use super::counts::{PromptCounts, PromptMetrics, PromptUse};
use super::rendering;
use super::template::{Templates, Unrendered};
use super::variables::{fill, inputs_schema};
use crate::policy::validation::{Schema, schema_alone};
use keyward_llm::form::{Message, Role};
use keyward_model::id::TeamId;
use keyward_model::name::Name;
use keyward_model::resource::prompt::Output;
use keyward_model::resource::{Prompt, Resource, Spec};
use std::sync::Arc;

/// A version of a prompt.
#[derive(Debug)]
pub(crate) struct CompiledPrompt {
    resource: Arc<Resource>,
    prompt: Box<Prompt>,
    pub(super) inputs: Schema,
    pub(super) output: Option<Schema>,
    pub(super) templates: Templates,
    /// The examples, as they were said.
    pub(super) examples: Vec<Message>,
    pub(crate) metrics: Arc<PromptMetrics>,
}

/// Whether a resource is a prompt that can be called.
pub(crate) fn served(resource: &Resource) -> Option<&Prompt> {
    match &resource.spec {
        Spec::Prompt(prompt) => prompt.state.serves().then_some(prompt),
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
        | Spec::Model(_) => None,
    }
}

impl CompiledPrompt {
    /// Compiles a prompt. What it was compiled to `before` is taken over, where it is the same; what was counted of it
    /// stays in any case.
    pub(crate) fn of(
        resource: &Arc<Resource>,
        prompt: &Prompt,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, String> {
        if let Some(before) = before
            && (Arc::ptr_eq(&before.resource, resource) || *before.prompt == *prompt)
        {
            return Ok(Arc::clone(before));
        }
        let metrics = before.map(|before| Arc::clone(&before.metrics));
        let metrics = metrics.unwrap_or_default();
        Self::new(resource, prompt, metrics).map(Arc::new)
    }

    fn new(
        resource: &Arc<Resource>,
        prompt: &Prompt,
        metrics: Arc<PromptMetrics>,
    ) -> Result<Self, String> {
        let mut flaws = Vec::new();
        let (templates, _) = Templates::compile(prompt, &mut flaws);
        if let Some(flaw) = flaws.first() {
            return Err(format!("`{}`: {}", flaw.path.join("."), flaw.detail));
        }
        let output = match &prompt.output {
            Output::Text => None,
            Output::Schema(output) => Some(schema_alone(&output.schema)?),
        };
        let examples = examples(prompt, &templates).map_err(|error| match error {
            Unrendered::TooMuch => "the examples make more text than may be".to_owned(),
            Unrendered::Empty => "the last message of an example comes out empty".to_owned(),
            Unrendered::Failed(why) => why,
        })?;
        Ok(Self {
            resource: Arc::clone(resource),
            prompt: Box::new(prompt.clone()),
            inputs: schema_alone(&inputs_schema(prompt))?,
            output,
            templates,
            examples,
            metrics,
        })
    }

    pub(super) fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// What a call's record has of it.
    pub(super) fn used(&self) -> PromptUse {
        PromptUse {
            prompt: self.name().clone(),
            version: self.version().clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// What was counted of it.
    pub(crate) fn read_metrics(&self) -> PromptCounts {
        let labels = (self.team_name(), self.name(), self.version());
        self.metrics.read(labels, self.prompt.trial)
    }

    pub(crate) fn name(&self) -> &Name {
        &self.resource.name
    }

    pub(crate) fn version(&self) -> &Name {
        &self.prompt.version
    }

    pub(crate) fn team(&self) -> TeamId {
        self.resource.team
    }

    pub(crate) fn team_name(&self) -> &Name {
        &self.resource.team_name
    }

    /// What it is asked of.
    pub(crate) fn model(&self) -> &Name {
        &self.prompt.model
    }

    /// What it asks of callers.
    pub(crate) fn authorization(&self) -> &keyward_model::resource::Authorization {
        &self.prompt.authorization
    }
}

/// Each example as what is said but instructions, and what is answered.
fn examples(prompt: &Prompt, templates: &Templates) -> Result<Vec<Message>, Unrendered> {
    let mut all = Vec::new();
    for example in &prompt.examples {
        let mut values = example.variables.clone();
        fill(prompt, &mut values);
        let context = templates.context(&values)?;
        let said = rendering::messages(prompt, templates, &context, &values)?;
        all.extend(said.into_iter().filter(|message| !message.role.instructs()));
        let answer = match example.answer.as_str() {
            Some(text) => text.to_owned(),
            None => example.answer.to_string(),
        };
        all.push(Message::text(Role::Assistant, answer));
    }
    Ok(all)
}
