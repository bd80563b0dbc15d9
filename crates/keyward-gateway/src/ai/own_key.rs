//! A key of the caller's own for a provider: it goes to that one alone, is mixed with no key of the operator's, and is
//! neither kept nor told anywhere.

use super::plan::{AiPlan, ModelPlan};
use super::provider::ProviderPlan;
use crate::message::RequestHead;
use keyward_model::resource::provider::OwnKey;
use keyward_model::{Code, Fault, Secret};

/// Where callers have it: the key, or the provider's name, a space and the key.
pub(super) const HEADER: &str = "keyward-provider-key";
/// As long as keys of the operator's may be.
const KEY_MAX_BYTES: usize = 4096;

/// The key that a call brings, with the place of the provider that it is for.
///
/// # Errors
/// Where it is not clear for which provider it is, or none of the model's takes any. The key is not repeated.
pub(super) fn read(
    head: &RequestHead,
    model: &ModelPlan,
    plan: &AiPlan,
) -> Result<Option<(usize, Secret<String>)>, Fault> {
    let wrong = |why: &str| Fault::new(Code::BadRequest, format!("`{HEADER}` {why}"));
    let mut values = head.fields.all_named(HEADER);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("comes twice"));
    }
    let text = std::str::from_utf8(value).unwrap_or_default().trim();
    let (named, key) = match text.split_once(' ') {
        Some((named, key)) => (Some(named), key.trim_start()),
        None => (None, text),
    };
    if key.is_empty()
        || key.len() > KEY_MAX_BYTES
        || !key.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(wrong("is no key, nor a provider's name and a key"));
    }
    let mut taking: Vec<usize> = Vec::new();
    for target in &model.targets {
        let provider = plan
            .providers
            .get(target.provider)
            .map(|route| &*route.plan);
        let takes = provider.is_some_and(|provider| {
            takes_own(provider) && named.is_none_or(|named| provider.name.as_str() == named)
        });
        if takes && !taking.contains(&target.provider) {
            taking.push(target.provider);
        }
    }
    match taking.as_slice() {
        [one] => Ok(Some((*one, Secret::new(key.to_owned())))),
        [] if named.is_some() => Err(wrong(
            "names no provider of the model that takes keys of callers",
        )),
        [] => Err(wrong(
            "can't be used: no provider of the model takes keys of callers",
        )),
        [_, _, ..] => Err(wrong(
            "could be for several providers of the model; say for which one, as in `PROVIDER KEY`",
        )),
    }
}

pub(super) const fn takes_own(provider: &ProviderPlan) -> bool {
    match provider.declared.own_key {
        OwnKey::Refuse => false,
        OwnKey::Allow | OwnKey::Require => true,
    }
}
