//! What a call may ask for, that not every dialect has: each has a name and a code of its refusal.

use std::fmt;

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident = $refusal:literal, $name:literal;)+) => {
        /// Something that a dialect may lack. The refusal names it; it is never left out in silence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Feature {
            $($(#[$doc])* $variant,)+
        }

        impl Feature {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable code of the refusal.
            #[must_use]
            pub const fn refusal(self) -> &'static str {
                match self { $(Self::$variant => $refusal,)+ }
            }

            const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

features! {
    /// Images in what the model reads.
    Images = "unsupported_image", "an image";
    /// Images by their address, which the provider would fetch.
    ImageAddress = "unsupported_image_url", "an image by its address";
    /// Documents, such as PDF, in what the model reads.
    Documents = "unsupported_document", "a document";
    /// Documents by their address.
    DocumentAddress = "unsupported_document_url", "a document by its address";
    /// Files that were given to a provider before, by their id.
    Files = "unsupported_file_id", "a file by its id";
    /// Sound in what the model reads.
    AudioInput = "unsupported_audio", "sound";
    /// A tool that must be called.
    ForcedTool = "unsupported_tool_choice", "a tool that must be called";
    /// Tools that are told of and not to be called.
    NoTool = "unsupported_tool_choice_none", "tools that are not to be called";
    /// One named tool that must be called.
    NamedTool = "unsupported_named_tool", "a named tool that must be called";
    /// A say in whether tools are called at once.
    ParallelTools = "unsupported_parallel_tools", "a say in whether tools are called at once";
    /// Tool results that are more than text.
    RichToolResult = "unsupported_tool_result", "a tool's result that is more than text";
    /// A tool's result that is told to be an error.
    ToolError = "unsupported_tool_error", "a tool's result that is told to be an error";
    /// Names and arguments that the schema holds the model to.
    StrictTools = "unsupported_strict_tool", "a tool with `strict`";
    /// Answers of any JSON.
    JsonOutput = "unsupported_json_output", "an answer that is any JSON";
    /// Answers that follow a schema.
    SchemaOutput = "unsupported_json_schema", "an answer that follows a JSON schema";
    /// A keyword of JSON Schema.
    SchemaKeyword = "unsupported_schema_keyword", "a keyword of the schema";
    /// A say in how much the model reasons.
    Reasoning = "unsupported_reasoning", "a say in how much it reasons";
    /// Log probabilities.
    LogProbabilities = "unsupported_log_probabilities", "log probabilities";
    /// So many of the likeliest tokens for each.
    TopLogProbabilities = "unsupported_top_log_probabilities", "log probabilities of other tokens";
    /// A seed.
    Seed = "unsupported_seed", "a seed";
    /// Several answers to one call.
    SeveralAnswers = "unsupported_several_answers", "several answers at once";
    /// Sequences that stop the answer.
    StopSequences = "unsupported_stop_sequences", "stop sequences";
    /// More of those than the dialect allows.
    ManyStopSequences = "too_many_stop_sequences", "so many stop sequences";
    /// The bound of likeliest tokens.
    TopK = "unsupported_top_k", "`top_k`";
    /// Penalties on frequency and presence.
    Penalties = "unsupported_penalties", "penalties on frequency or presence";
    /// A bias of single tokens.
    LogitBias = "unsupported_logit_bias", "`logit_bias`";
    /// Instructions that come after the conversation has begun.
    LateInstructions = "unsupported_late_instructions", "system instructions amid the conversation";
    /// Instructions that are more than text.
    RichInstructions = "unsupported_rich_instructions", "system instructions that are more than text";
    /// What the assistant is told to have begun.
    Prefill = "unsupported_prefill", "the beginning of its own answer";
    /// Tools that the provider itself runs.
    HostedTools = "unsupported_hosted_tool", "a tool that the provider runs itself";
    /// Answers that go on from one that the provider keeps.
    KeptConversation = "unsupported_kept_conversation", "a conversation that the provider keeps";
    /// Answers that are made later.
    Background = "unsupported_background", "an answer that is made in the background";
    /// Sound or images as answers.
    OtherOutput = "unsupported_output", "an answer that is more than text";
    /// Reasoning that was signed by another maker's model.
    ForeignReasoning = "unsupported_foreign_reasoning", "reasoning of another maker's model";
    /// What the answer has and the caller's dialect can't say.
    AnswerPart = "unsupported_answer_part", "a part of the answer";
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
