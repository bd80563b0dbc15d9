//! Whether the files that an upstream's TLS needs can be used.

use keyward_gateway::tls::check_upstream;
use keyward_model::SystemClock;
use keyward_model::resource::Spec;
use keyward_model::resource::raw::{Declared, Problems};
use std::sync::Arc;

/// Tells what is wrong with the files.
pub(super) fn check(declared: &Declared, problems: &mut Problems) {
    let Spec::Upstream(upstream) = &declared.resource.spec else {
        return;
    };
    let Some(tls) = &upstream.tls else {
        return;
    };
    if let Err(error) = check_upstream(tls, Arc::new(SystemClock::new())) {
        problems.error(
            declared.node.place_of(&["tls"]),
            error.code(),
            format!("`tls`: {error}"),
        );
    }
}
