//! What policies have decided.

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $policy:literal, $decision:literal;)+) => {
        /// A decision of a policy, to be counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PolicyEvent {
            $($(#[$doc])* $variant,)+
        }

        impl PolicyEvent {
            /// All of them, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Which policy decided.
            #[must_use]
            pub const fn policy(self) -> &'static str {
                match self { $(Self::$variant => $policy,)+ }
            }

            /// What.
            #[must_use]
            pub const fn decision(self) -> &'static str {
                match self { $(Self::$variant => $decision,)+ }
            }
        }
    };
}

events! {
    /// A call was larger than its route takes.
    SizeRefused = "size_limits", "refused";
    /// A call came from an address that may not call.
    AddressRefused = "ip_filter", "refused";
    /// A page was told that it may call.
    PreflightAnswered = "cors", "preflight_answered";
    /// A page was told that it may not.
    PreflightRefused = "cors", "preflight_refused";
    /// A call of a page was refused for its origin.
    OriginRefused = "cors", "refused";
    /// A service that was asked let a call pass.
    DecisionPassed = "external_decision", "passed";
    /// A call passed by what was decided before.
    DecisionRemembered = "external_decision", "remembered";
    /// The service refused a call.
    DecisionRefused = "external_decision", "refused";
    /// It gave no answer, and the call was refused.
    DecisionFailed = "external_decision", "failed";
    /// It gave no answer, and the call passed.
    DecisionFailedOpen = "external_decision", "failed_open";
    /// An answer did not fit its description.
    AnswerMisfits = "validation", "answer_misfits";
    /// An answer went on without its body's having been looked at: it was too large, coded, or there was no memory.
    AnswerUnread = "validation", "answer_unread";
    /// A guardrail did not let a call, or its answer, pass.
    GuardrailBlocked = "guardrails", "blocked";
    /// Something in a call was masked.
    GuardrailMasked = "guardrails", "masked";
    /// A call passed, and was told to have something in it.
    GuardrailFlagged = "guardrails", "flagged";
    /// What a guardrail asks gave no answer, and the call was refused.
    GuardrailFailed = "guardrails", "failed";
    /// What a guardrail asks gave no answer, and the call passed.
    GuardrailFailedOpen = "guardrails", "failed_open";
    /// A call was the first with its idempotency key, and went on.
    KeyFirst = "idempotency", "first";
    /// A call got the answer that is kept for its key.
    KeyReplayed = "idempotency", "replayed";
    /// A call came while the first with its key was under way.
    KeyUnderWay = "idempotency", "under_way";
    /// A call had the key of another request.
    KeyReused = "idempotency", "reused";
    /// A call had the key of one whose answer is not kept.
    KeyAnswerLost = "idempotency", "answer_lost";
    /// A key is free again, since its call was not done.
    KeyReleased = "idempotency", "released";
    /// A call had no key though it has to, or one that can't be used.
    KeyRefused = "idempotency", "refused";
    /// There was no memory for a key.
    KeyMemoryFull = "idempotency", "full";
    /// Nodes could not ask each other whether it was done.
    KeyUnavailable = "idempotency", "unavailable";
}
