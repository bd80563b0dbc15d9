//! What of a provider's error is for callers, and what for the operator's log alone: providers name the account that
//! called, by its ids, its keys and its addresses.

use super::failure::{Failure, FailureKind};

/// What stands in place of what is not for callers.
const MASK: &str = "[…]";

/// How ids of accounts and keys begin, and the addresses of what belongs to one.
const NAMES_BEGIN: &[&str] = &[
    "org-",
    "org_",
    "proj-",
    "proj_",
    "acct-",
    "acct_",
    "user-",
    "user_",
    "workspace-",
    "wrkspc_",
    "sk-",
    "sk_",
    "gsk_",
    "xai-",
    "AIza",
    "arn:",
    "projects/",
];

/// What follows the beginning of an id has at least so many letters: a word that only begins alike has fewer.
const LEAST_ID: usize = 6;

/// The longest code of a provider that is told on.
const MOST_CODE: usize = 64;

impl Failure {
    /// A provider's failure as callers are told of it: in words of ours, with the provider's code, unless the request is
    /// at fault and its caller has to know why. The provider's own words are for the log alone.
    #[must_use]
    pub(crate) fn veiled(self) -> Self {
        if self.because.is_some() {
            return self;
        }
        let (message, code) = match self.kind {
            // Even which way a key is refused is nothing for callers.
            FailureKind::Authentication => (
                "The provider did not accept this gateway's credentials: tell its operator",
                None,
            ),
            FailureKind::Permission => (
                "The provider does not let this gateway make this call: tell its operator",
                None,
            ),
            FailureKind::InvalidRequest
            | FailureKind::ContextLength
            | FailureKind::Filtered
            | FailureKind::TooLarge => return self.scrubbed(),
            // Our own words: the provider said nothing any more.
            FailureKind::Cut => return self,
            FailureKind::NotFound => (
                "The provider has no such model or address: tell this gateway's operator",
                self.code,
            ),
            FailureKind::RateLimited => (
                "The provider takes no more calls just now: try again later",
                self.code,
            ),
            FailureKind::QuotaExhausted => (
                "The provider takes no more calls of this gateway: tell its operator",
                self.code,
            ),
            FailureKind::Unpaid => (
                "The provider is not paid enough to make this call: ask for fewer tokens, or tell this gateway's operator",
                self.code,
            ),
            FailureKind::OverLimit => (
                "The request alone is over what the provider takes at once from this gateway: make it shorter, or ask for fewer tokens",
                self.code,
            ),
            FailureKind::Overloaded => (
                "The provider has too much to do just now: try again later",
                self.code,
            ),
            FailureKind::Timeout => ("The provider took too long: try again later", self.code),
            FailureKind::Server => ("The provider failed: try again later", self.code),
        };
        Self {
            kind: self.kind,
            status: self.status,
            message: message.to_owned(),
            code: code.filter(|code| is_stable(code)),
            field: None,
            because: Some(self.message),
        }
    }

    /// The provider's words without what names an account, a key or an address.
    fn scrubbed(self) -> Self {
        let message = scrub(&self.message);
        let because = (message != self.message).then_some(self.message);
        Self {
            code: self.code.filter(|code| is_stable(code)),
            field: self.field.map(|field| scrub(&field)),
            message,
            because,
            ..self
        }
    }
}

/// Whether a code is a word that programs compare, and no text that tells more.
fn is_stable(code: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !code.is_empty() && code.len() <= MOST_CODE && code.bytes().all(letter) && !names_someone(code)
}

fn scrub(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| !in_word(letter)).unwrap_or(rest.len());
        let (word, behind) = if end == 0 {
            rest.split_at(first.len_utf8())
        } else {
            rest.split_at(end)
        };
        // A sentence's end is none of a word's.
        let bare = word.trim_end_matches(['.', ':', '/', '?']);
        if names_someone(bare) {
            out.push_str(MASK);
            out.push_str(word.get(bare.len()..).unwrap_or_default());
        } else {
            out.push_str(word);
        }
        rest = behind;
    }
    out
}

fn in_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.:/@?&=%+#~*".contains(letter)
}

fn names_someone(word: &str) -> bool {
    if word.contains("://") || word.contains("projects/") {
        return true;
    }
    NAMES_BEGIN.iter().any(|begin| {
        word.strip_prefix(begin)
            .is_some_and(|rest| rest.len() >= LEAST_ID)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_accounts_keys_and_addresses_are_taken_out_of_a_text() {
        for (text, expected) in [
            (
                "Request too large in organization org-AbCdEf123 on tokens.",
                "Request too large in organization […] on tokens.",
            ),
            ("See https://platform.example/account?org=acme.", "See […]."),
            (
                "key 'sk-proj-1234567' of `proj_9876543`",
                "key '[…]' of `[…]`",
            ),
            (
                "Resource projects/1234/locations/x: not allowed",
                "Resource […]: not allowed",
            ),
            (
                "An org-chart of user-made ask-me: `messages.2.content` is 3/4 é",
                "An org-chart of user-made ask-me: `messages.2.content` is 3/4 é",
            ),
            ("", ""),
        ] {
            assert_eq!(scrub(text), expected);
        }
    }

    #[test]
    fn who_is_not_at_fault_is_told_in_words_of_ours_with_the_code() {
        for kind in FailureKind::ALL {
            let told = Failure::new(*kind, "Account acme, key sk-1234567")
                .with_code("a_code")
                .veiled();
            if *kind == FailureKind::Cut {
                // Nobody but this gateway says so.
                continue;
            }
            assert!(!told.message.contains("sk-1234567"), "{told:?}");
            let ours = !told.message.contains("acme");
            match kind {
                FailureKind::InvalidRequest
                | FailureKind::ContextLength
                | FailureKind::Filtered
                | FailureKind::TooLarge => assert!(!ours, "{told:?}"),
                FailureKind::Authentication | FailureKind::Permission => {
                    assert!(ours && told.code.is_none(), "{told:?}");
                }
                FailureKind::NotFound
                | FailureKind::RateLimited
                | FailureKind::QuotaExhausted
                | FailureKind::Unpaid
                | FailureKind::OverLimit
                | FailureKind::Overloaded
                | FailureKind::Timeout
                | FailureKind::Cut
                | FailureKind::Server => {
                    assert!(ours, "{told:?}");
                    assert_eq!(told.code.as_deref(), Some("a_code"));
                }
            }
            assert!(told.because.unwrap().contains("sk-1234567"));
        }
        let odd = Failure::new(FailureKind::Server, "x").with_code("it was acme's fault");
        assert_eq!(odd.veiled().code, None);
    }
}
