//! Whether an API whose callers prove themselves by a certificate can have any.

use super::NodeConfiguration;
use super::listener::ListenerRole;
use keyward_gateway::tls::check_roots;
use keyward_model::resource::raw::{Declared, Problems};
use keyward_model::resource::{Authentication, Spec};

/// Tells what is wrong with the roots of the API's own, and that no listener asks for a certificate. Without
/// a node's configuration nothing is known of listeners.
pub(super) fn check(
    declared: &Declared,
    configuration: Option<&NodeConfiguration>,
    problems: &mut Problems,
) {
    let Spec::Api(api) = &declared.resource.spec else {
        return;
    };
    let Authentication::MutualTls(clients) = &api.authentication else {
        return;
    };
    if let Some(roots) = &clients.roots
        && let Err(error) = check_roots(roots)
    {
        problems.error(
            declared
                .node
                .place_of(&["authentication", "mutual_tls", "roots"]),
            error.code(),
            format!("`roots`: {error}"),
        );
    }
    let Some(configuration) = configuration else {
        return;
    };
    let mut gateways = configuration
        .listeners
        .iter()
        .filter(|listener| listener.serves == ListenerRole::Gateway);
    let asks = gateways.any(|listener| {
        let tls = listener.tls.as_ref();
        tls.is_some_and(|tls| tls.settings.client_certificates.is_some())
    });
    if !asks {
        problems.error(
            declared.node.place_of(&["authentication", "mutual_tls"]),
            "contradiction",
            "`mutual_tls`: no listener of the gateway asks clients for a certificate, so that nobody could call: give one `tls: { client_certificates: { roots: … } }`",
        );
    }
}
