//! Reading `kind: management_role`.

use super::field::Fields;
use super::problem::Problems;
use crate::name::Name;
use crate::resource::management_role::CustomRole;

/// The keys beside those of every resource.
pub(super) const KEYS: &[&str] = &["cedar"];

pub(super) fn read(
    fields: &Fields<'_>,
    name: Option<&Name>,
    problems: &mut Problems,
) -> Option<CustomRole> {
    if let Some(name) = name.filter(|name| CustomRole::BUILT_IN.contains(&name.as_str()))
        && let Some(field) = fields.optional("name")
    {
        problems.error(
            field.place(),
            "reserved_name",
            format!("`name`: `{name}` is a built-in role: call yours otherwise"),
        );
        return None;
    }
    let field = fields.required(
        "cedar",
        "write the role's policies under `cedar: |`",
        problems,
    )?;
    let text = field.text(problems)?;
    if text.len() > CustomRole::TEXT_MAX_BYTES {
        problems.error(
            field.place(),
            "too_many",
            "`cedar` is longer than 16KiB: split it into several roles",
        );
        return None;
    }
    Some(CustomRole { cedar: text.into() })
}
