//! What a token may be used for.

use super::text::{Place, TextBuilder};
use super::{ClaimsTooLong, TokenScopes};
use std::fmt;
use std::sync::Arc;

/// The scopes of a caller: parts of its token's text.
///
/// ```
/// use keyward_model::caller::{Caller, TokenFacts, TokenScopes};
/// let caller = Caller::of_token(&TokenFacts {
///     scopes: TokenScopes::Spaced("write read"),
///     ..TokenFacts::default()
/// })?;
/// assert!(caller.scopes.contains("read"));
/// assert!(!caller.scopes.contains("rea"));
/// assert_eq!(caller.scopes.iter().collect::<Vec<_>>(), ["write", "read"]);
/// # Ok::<(), keyward_model::caller::ClaimsTooLong>(())
/// ```
#[derive(Clone, Default)]
pub struct Scopes {
    text: Arc<str>,
    places: Places,
}

/// Where the scopes stand.
#[derive(Clone, Default)]
pub(super) enum Places {
    #[default]
    Nowhere,
    /// All in one text, divided by spaces.
    Spaced(Place),
    /// Each for itself.
    Listed(Box<[Place]>),
}

impl Places {
    pub(super) fn new(
        scopes: TokenScopes<'_>,
        text: &mut TextBuilder<'_>,
    ) -> Result<Self, ClaimsTooLong> {
        match scopes {
            TokenScopes::None => Ok(Self::Nowhere),
            TokenScopes::Spaced(list) => text.place(list).map(Self::Spaced),
            TokenScopes::Listed(list) => list
                .iter()
                .map(|scope| text.place(scope))
                .collect::<Result<_, _>>()
                .map(Self::Listed),
        }
    }

    pub(super) fn of(self, text: &Arc<str>) -> Scopes {
        Scopes {
            text: Arc::clone(text),
            places: self,
        }
    }
}

impl Scopes {
    /// One after the other, as the token has them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (spaced, listed): (&str, &[Place]) = match &self.places {
            Places::Nowhere => ("", &[]),
            Places::Spaced(place) => (place.of(&self.text), &[]),
            Places::Listed(places) => ("", places),
        };
        spaced
            .split(' ')
            .filter(|scope| !scope.is_empty())
            .chain(listed.iter().map(|place| place.of(&self.text)))
    }

    /// Whether this one is among them, compared exactly.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|held| held == scope)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// The same scopes in the same order.
impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Scopes {}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
