//! The catalogue of providers, models and prices.

use arc_swap::ArcSwap;
use keyward_llm::catalogue::Catalogue;
use std::sync::{Arc, LazyLock};

static BUILT_IN: LazyLock<Option<Arc<Catalogue>>> =
    LazyLock::new(|| Catalogue::built_in().ok().map(Arc::new));

/// What counts in this process. There is one for a node, as there is one that goes with its version: what checks a
/// configuration and what compiles it have to see the same.
static CURRENT: LazyLock<ArcSwap<Option<Arc<Catalogue>>>> =
    LazyLock::new(|| ArcSwap::from_pointee(BUILT_IN.clone()));

/// The one that counts. That the built-in can be read, its own tests show.
#[must_use]
pub fn catalogue() -> Option<Arc<Catalogue>> {
    Option::clone(&CURRENT.load())
}

/// Has another one count, from the next configuration on that is compiled; `None`: the one that goes with this version.
pub fn use_catalogue(catalogue: Option<Arc<Catalogue>>) {
    let next = catalogue.or_else(|| BUILT_IN.clone());
    CURRENT.store(Arc::new(next));
}
