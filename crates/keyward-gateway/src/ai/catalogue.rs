//! The catalogue of providers, models and prices.

use keyward_llm::catalogue::Catalogue;
use std::sync::LazyLock;

static BUILT_IN: LazyLock<Option<Catalogue>> = LazyLock::new(|| Catalogue::built_in().ok());

/// The one that goes with this version. That it can be read, its own tests show.
pub(super) fn catalogue() -> Option<&'static Catalogue> {
    BUILT_IN.as_ref()
}
