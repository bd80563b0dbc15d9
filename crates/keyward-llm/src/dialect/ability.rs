//! What each dialect can say, as a table: a request is held against it before it is written.

use super::Dialect;
use crate::error::Error;
use crate::form::{Feature, Message, Output, Part, Request, Role, Source, ToolChoice};
use crate::json::{Json, Number};

/// What a dialect can say. What is `false` is refused when it is asked for.
#[derive(Debug)]
pub(super) struct Ability {
    pub(super) dialect: Dialect,
    pub(super) images: bool,
    pub(super) image_address: bool,
    pub(super) documents: bool,
    pub(super) document_address: bool,
    pub(super) audio: bool,
    pub(super) rich_tool_results: bool,
    pub(super) required_tool: bool,
    pub(super) named_tool: bool,
    pub(super) one_tool_at_once: bool,
    pub(super) json_output: bool,
    pub(super) schema_output: bool,
    pub(super) reasoning: bool,
    pub(super) log_probabilities: bool,
    pub(super) seed: bool,
    pub(super) several_answers: bool,
    /// How many stop sequences it takes.
    pub(super) stop_sequences: usize,
    pub(super) top_k: bool,
    pub(super) penalties: bool,
    pub(super) logit_bias: bool,
    /// Instructions may stand amid the conversation.
    pub(super) late_instructions: bool,
}

/// What to do about most refusals.
const INSTEAD: &str = "leave it out, or ask a model that can";

impl Ability {
    pub(super) const fn lack(&self, feature: Feature) -> Error {
        self.lack_because(feature, INSTEAD)
    }

    pub(super) const fn lack_because(&self, feature: Feature, why: &'static str) -> Error {
        Error::Unsupported {
            feature,
            dialect: self.dialect,
            why,
        }
    }

    fn need(&self, able: bool, asked: bool, feature: Feature) -> Result<(), Error> {
        if asked && !able {
            return Err(self.lack(feature));
        }
        Ok(())
    }

    /// Whether all that is asked can be said.
    pub(super) fn check(&self, request: &Request) -> Result<(), Error> {
        self.check_messages(&request.messages)?;
        let choice = request.tool_choice.as_ref();
        let required = matches!(choice, Some(ToolChoice::Required));
        self.need(self.required_tool, required, Feature::ForcedTool)?;
        let named = matches!(choice, Some(ToolChoice::Tool(_)));
        self.need(self.named_tool, named, Feature::NamedTool)?;
        let alone = request.parallel_tools == Some(false) && !request.tools.is_empty();
        self.need(self.one_tool_at_once, alone, Feature::ParallelTools)?;
        match &request.output {
            Output::Text => {}
            Output::Json => self.need(self.json_output, true, Feature::JsonOutput)?,
            Output::Schema(_) => self.need(self.schema_output, true, Feature::SchemaOutput)?,
        }
        let reasons = request
            .reasoning
            .as_ref()
            .is_some_and(|reasoning| reasoning.effort.is_some() || reasoning.budget.is_some());
        self.need(self.reasoning, reasons, Feature::Reasoning)?;
        let probabilities = request.log_probabilities.is_some();
        self.need(
            self.log_probabilities,
            probabilities,
            Feature::LogProbabilities,
        )?;
        self.need(self.seed, request.seed.is_some(), Feature::Seed)?;
        let several = request.answers.is_some_and(|answers| answers != 1);
        self.need(self.several_answers, several, Feature::SeveralAnswers)?;
        self.need(
            self.stop_sequences > 0,
            !request.stop.is_empty(),
            Feature::StopSequences,
        )?;
        let many = request.stop.len() > self.stop_sequences;
        self.need(!many, many, Feature::ManyStopSequences)?;
        let sampling = &request.sampling;
        self.need(self.top_k, sampling.top_k.is_some(), Feature::TopK)?;
        let penalties = [&sampling.frequency_penalty, &sampling.presence_penalty];
        let penalties = penalties
            .into_iter()
            .flatten()
            .any(|penalty| !is_zero(penalty));
        self.need(self.penalties, penalties, Feature::Penalties)?;
        let bias = sampling.logit_bias.as_ref().and_then(Json::as_object);
        let bias = bias.is_some_and(|bias| !bias.is_empty());
        self.need(self.logit_bias, bias, Feature::LogitBias)
    }

    fn check_messages(&self, messages: &[Message]) -> Result<(), Error> {
        if messages
            .last()
            .is_some_and(|last| last.role == Role::Assistant)
        {
            return Err(self.lack_because(
                Feature::Prefill,
                "dialects differ in whether a last message of the assistant is gone on with: end with one of the user",
            ));
        }
        let talk = messages
            .iter()
            .skip_while(|message| message.role.instructs());
        let late = talk.into_iter().any(|message| message.role.instructs());
        self.need(self.late_instructions, late, Feature::LateInstructions)?;
        for message in messages {
            for part in &message.parts {
                self.check_part(part)?;
                if let Part::ToolResult(result) = part {
                    let plain = |part: &Part| matches!(part, Part::Text(_) | Part::CachePoint(_));
                    let rich = !result.content.iter().all(plain);
                    self.need(self.rich_tool_results, rich, Feature::RichToolResult)?;
                    for part in &result.content {
                        self.check_part(part)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_part(&self, part: &Part) -> Result<(), Error> {
        match part {
            Part::Image(image) => {
                self.need(self.images, true, Feature::Images)?;
                self.check_source(&image.source, self.image_address, Feature::ImageAddress)
            }
            Part::Document(document) => {
                self.need(self.documents, true, Feature::Documents)?;
                let address = Feature::DocumentAddress;
                self.check_source(&document.source, self.document_address, address)
            }
            Part::Audio(_) => self.need(self.audio, true, Feature::AudioInput),
            Part::Text(_)
            | Part::Thought(_)
            | Part::ToolCall(_)
            | Part::ToolResult(_)
            | Part::Refusal(_)
            | Part::CachePoint(_) => Ok(()),
        }
    }

    fn check_source(
        &self,
        source: &Source,
        addresses: bool,
        feature: Feature,
    ) -> Result<(), Error> {
        match source {
            Source::Inline { .. } | Source::Text(_) => Ok(()),
            Source::Address(url) => {
                self.need(addresses, true, feature)?;
                // The provider would fetch it: nothing that others can read or change on its way, no file of its own.
                let scheme = url.split_once("://").map(|(scheme, _)| scheme);
                if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
                    Ok(())
                } else {
                    Err(self.lack_because(
                        feature,
                        "addresses begin with `https://`: give such a one, or the content itself",
                    ))
                }
            }
            Source::File(_) => Err(self.lack_because(
                Feature::Files,
                "a file is known to the provider that got it alone: send its content",
            )),
        }
    }
}

/// Whether a number is nothing but a default.
pub(super) fn is_zero(number: &Number) -> bool {
    number.as_f64() == Some(0.0)
}

#[cfg(test)]
mod tests {
    use super::is_zero;
    use crate::json::Json;

    #[test]
    fn zero_is_zero_however_it_is_written() {
        for (text, zero) in [("0", true), ("-0.0", true), ("0e5", true), ("0.1", false)] {
            let Json::Number(number) = Json::parse(text.as_bytes()).unwrap() else {
                panic!("{text} is a number");
            };
            assert_eq!(is_zero(&number), zero, "{text}");
        }
    }
}
