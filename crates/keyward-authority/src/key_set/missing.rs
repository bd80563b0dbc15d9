//! Keys of which the database says that a module has them, and which it has not: the database came from a backup that is
//! older than their end, or the module was set back.

use super::KeySets;
use super::module::KeyModule;
use crate::Error;
use arc_swap::ArcSwap;
use keyward_model::Timestamp;
use keyward_store::StoredKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Each key is looked for as often: keys go missing with a restore, after which nodes start anew, and by hand.
const EVERY: Duration = Duration::from_secs(3600);

/// The references of keys that are missing.
#[derive(Default)]
pub(super) struct Missing(ArcSwap<BTreeSet<String>>);

/// When each key was last looked for.
#[derive(Default)]
pub(super) struct LookedFor(BTreeMap<String, Timestamp>);

impl Missing {
    pub(super) fn is_among(&self, key: &StoredKey) -> bool {
        let missing = self.0.load();
        key.module_key
            .as_ref()
            .is_some_and(|reference| missing.contains(reference))
    }

    /// Looks for the keys of all sets of which that is due, and tells of those that are newly missing.
    pub(super) async fn look(
        &self,
        last: &mut LookedFor,
        sets: &KeySets,
        module: &Arc<dyn KeyModule>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let before = self.0.load_full();
        let (mut missing, mut looked_for) = (BTreeSet::new(), BTreeMap::new());
        for set in sets.iter() {
            for row in &set.rows {
                let Some(reference) = &row.module_key else {
                    continue;
                };
                if !row.state.keeps_private_part() || !module.holds(reference) {
                    continue;
                }
                let was_missing = before.contains(reference);
                let recent = last.0.get(reference).copied();
                let (at, is_missing) = match recent.filter(|at| now.since(*at) < EVERY) {
                    Some(at) => (at, was_missing),
                    None => (now, !module.has(reference).await?),
                };
                looked_for.insert(reference.clone(), at);
                if !is_missing {
                    continue;
                }
                if !was_missing {
                    tracing::error!(
                        kid = %row.kid,
                        set = %set.plan.name,
                        team = %set.plan.team_name,
                        "keys: the PKCS#11 token has no key `{reference}`: nothing can be signed with it. Bring the token's backup back, or withdraw the key"
                    );
                }
                missing.insert(reference.clone());
            }
        }
        self.0.store(Arc::new(missing));
        last.0 = looked_for;
        Ok(())
    }
}
