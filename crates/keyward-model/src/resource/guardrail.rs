//! Guardrails: what is looked for in the texts of AI calls, and what follows.

use crate::name::Name;
use std::sync::Arc;
use std::time::Duration;

/// Something that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardrail {
    /// What it is called where it is told that it fired.
    pub name: Name,
    /// Where it looks.
    pub on: GuardedSide,
    /// What follows when it fires.
    pub action: GuardAction,
    /// What it looks for.
    pub check: GuardCheck,
}

/// Where a guardrail looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuardedSide {
    /// At what is asked.
    Request,
    /// At what is answered.
    Answer,
    /// At both.
    Both,
}

impl GuardedSide {
    /// Whether it looks at requests.
    #[must_use]
    pub const fn of_requests(self) -> bool {
        matches!(self, Self::Request | Self::Both)
    }

    /// Whether it looks at answers.
    #[must_use]
    pub const fn of_answers(self) -> bool {
        matches!(self, Self::Answer | Self::Both)
    }
}

/// What follows when a guardrail fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuardAction {
    /// The call goes no further.
    Block,
    /// What was found is replaced.
    Mask,
    /// It is told, and nothing else.
    Flag,
}

/// What a guardrail looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardCheck {
    /// Regular expressions.
    Regex(RegexCheck),
    /// Words.
    Keywords(KeywordsCheck),
    /// What tells of a person.
    Pii(PiiCheck),
    /// What tries to be taken for instructions.
    PromptInjection(InjectionCheck),
    /// Answers that do not follow a JSON schema.
    AnswerSchema(Arc<serde_json::Value>),
    /// What another service finds.
    Webhook(WebhookCheck),
    /// What a moderation model finds.
    Moderation(ModerationCheck),
}

/// Regular expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexCheck {
    /// At least one.
    pub patterns: Vec<Box<str>>,
    /// Whether `a` is `A`.
    pub ignore_case: bool,
    /// Whether look-alike characters are taken for what they look like.
    pub normalise: bool,
}

/// Words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeywordsCheck {
    /// At least one.
    pub words: Vec<Box<str>>,
    /// Whether `a` is `A`.
    pub ignore_case: bool,
    /// Whether letters may stand around them.
    pub whole_words: bool,
    /// Whether look-alike characters are taken for what they look like.
    pub normalise: bool,
}

/// What tells of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PiiCheck {
    /// Of which kinds, each once.
    pub kinds: Vec<PiiKind>,
    /// Whether the caller gets back what was masked in the request where the answer repeats its mark.
    pub reversible: bool,
    /// Whether look-alike characters are taken for what they look like.
    pub normalise: bool,
}

/// A kind of what tells of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PiiKind {
    /// An address of electronic mail.
    Email,
    /// A telephone number.
    Phone,
    /// The number of a payment card (Luhn).
    Card,
    /// An international bank account number (mod 97).
    Iban,
    /// A social security number of the United States.
    UsSsn,
    /// A resident identity number of China (ISO 7064, mod 11-2).
    CnId,
    /// A citizen service number of the Netherlands (eleven test).
    NlBsn,
    /// A PESEL of Poland.
    PlPesel,
    /// A national register number of Belgium.
    BeNrn,
    /// A fiscal code of Italy.
    ItCf,
    /// A DNI or NIE of Spain.
    EsDni,
    /// A NIR of France.
    FrNir,
    /// A tax identification number of Germany.
    DeTin,
    /// An NHS number of the United Kingdom.
    UkNhs,
}

impl PiiKind {
    /// All of them, as they are written.
    pub const ALL: &[(&'static str, Self)] = &[
        ("email", Self::Email),
        ("phone", Self::Phone),
        ("card", Self::Card),
        ("iban", Self::Iban),
        ("us_ssn", Self::UsSsn),
        ("cn_id", Self::CnId),
        ("nl_bsn", Self::NlBsn),
        ("pl_pesel", Self::PlPesel),
        ("be_nrn", Self::BeNrn),
        ("it_cf", Self::ItCf),
        ("es_dni", Self::EsDni),
        ("fr_nir", Self::FrNir),
        ("de_tin", Self::DeTin),
        ("uk_nhs", Self::UkNhs),
    ];

    /// What its marks begin with.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Card => "CARD",
            Self::Iban => "IBAN",
            Self::UsSsn => "US_SSN",
            Self::CnId => "CN_ID",
            Self::NlBsn => "NL_BSN",
            Self::PlPesel => "PL_PESEL",
            Self::BeNrn => "BE_NRN",
            Self::ItCf => "IT_CF",
            Self::EsDni => "ES_DNI",
            Self::FrNir => "FR_NIR",
            Self::DeTin => "DE_TIN",
            Self::UkNhs => "UK_NHS",
        }
    }
}

/// What tries to be taken for instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectionCheck {
    /// From how many points on a text counts as one that does.
    pub threshold: u32,
}

impl InjectionCheck {
    /// Two signs, or one strong one.
    pub const THRESHOLD: u32 = 50;
}

/// A service that looks at texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookCheck {
    /// The upstream that is asked.
    pub upstream: Name,
    /// The path that is posted to.
    pub path: Box<str>,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Whether a call passes when there is no answer.
    pub allow_on_failure: bool,
}

/// A model that looks at texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModerationCheck {
    /// The model, of the same team, whose provider has OpenAI's address of moderations.
    pub model: Name,
    /// From which score on, in thousandths, a category counts. Where there are none, what the model flags counts.
    pub thresholds: Vec<(Box<str>, u16)>,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Whether a call passes when there is no answer.
    pub allow_on_failure: bool,
}

/// Which guardrails hold, and which answers are kept: what an API with `ai` and a model both may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// In their order.
    pub guardrails: Vec<Guardrail>,
    /// How answers are kept for other calls, where it is said; the inner `None`: not at all.
    pub cache: Option<Option<AnswerCache>>,
}

impl Guarded {
    /// The upstreams that are asked.
    pub fn upstreams(&self) -> impl Iterator<Item = &Name> {
        self.guardrails.iter().filter_map(|guardrail| {
            if let GuardCheck::Webhook(webhook) = &guardrail.check {
                Some(&webhook.upstream)
            } else {
                None
            }
        })
    }

    /// The models that are asked beside the call's own.
    pub fn models(&self) -> impl Iterator<Item = &Name> {
        let moderating = self.guardrails.iter().filter_map(|guardrail| {
            if let GuardCheck::Moderation(moderation) = &guardrail.check {
                Some(&moderation.model)
            } else {
                None
            }
        });
        let semantic = self
            .cache
            .iter()
            .flatten()
            .filter_map(|cache| cache.semantic.as_ref());
        moderating.chain(semantic.map(|semantic| &semantic.model))
    }
}

/// How answers are kept for equal calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerCache {
    /// How long.
    pub ttl: Duration,
    /// Whether other callers may have them too.
    pub across_callers: bool,
    /// Whether only answers of calls that leave nothing to chance are kept (`temperature: 0`).
    pub only_deterministic: bool,
    /// How many bytes one model's answers may take.
    pub max_bytes: usize,
    /// Whether answers of calls that mean the same count too.
    pub semantic: Option<SemanticCache>,
}

impl AnswerCache {
    /// How long answers are kept, unless said otherwise.
    pub const TTL: Duration = Duration::from_secs(600);
    /// How many bytes they may take, unless said otherwise: some ten thousand answers.
    pub const MAX_BYTES: usize = 16 << 20;
}

/// How calls are found that mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SemanticCache {
    /// The model, of the same team, that makes numbers of texts.
    pub model: Name,
    /// How near two texts must be: the cosine, in thousandths.
    pub threshold: u16,
    /// How many texts are held against a new one.
    pub entries: usize,
}

impl SemanticCache {
    /// How near, unless said otherwise: paraphrases, and little else.
    pub const THRESHOLD: u16 = 950;
    /// How many, unless said otherwise.
    pub const ENTRIES: usize = 1_000;
}
