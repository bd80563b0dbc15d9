//! Whether callers of an API can prove themselves as it says.

use super::NodeConfiguration;
use super::listener::ListenerRole;
use keyward_gateway::tls::check_roots;
use keyward_jose::SignatureAlgorithm;
use keyward_model::resource::raw::{Declared, Node, Place, Problems, closest};
use keyward_model::resource::{MutualTls, Spec, TokenMethod};

/// Tells what is wrong with the roots of the API's own and with algorithms of proofs, and that no listener asks for
/// a certificate. Without a node's configuration nothing is known of listeners.
pub(super) fn check(
    declared: &Declared,
    configuration: Option<&NodeConfiguration>,
    problems: &mut Problems,
) {
    let Spec::Api(api) = &declared.resource.spec else {
        return;
    };
    if let Some(clients) = api.authentication.mutual_tls() {
        certificates(declared, clients, configuration, problems);
    }
    if let Some(tokens) = api.authentication.token() {
        proofs(declared, tokens, problems);
    }
    if api.authentication.takes_proxied_certificates()
        && configuration.is_some_and(|configuration| configuration.trusted_proxies.is_empty())
    {
        let key = match api.authentication.mutual_tls() {
            Some(clients) if clients.proxied => &["mutual_tls", "proxied"][..],
            Some(_) | None => &["proxied_certificate"],
        };
        problems.error(
            place_of(&declared.node, key),
            "contradiction",
            "certificates from proxies are believed from trusted ones alone, and there is none: name them in `trusted_proxies`, and have them take `Client-Cert` out of what clients send",
        );
    }
}

/// Where a key of the API's methods stands, whether it has one or a list of them.
fn place_of(node: &Node, path: &[&str]) -> Place {
    let methods = node.get("authentication");
    let listed = methods.map_or(&[][..], Node::members).iter();
    let first = path.first().copied().unwrap_or_default();
    match listed.clone().find(|method| method.get(first).is_some()) {
        Some(method) => method.place_of(path),
        None => methods.map_or(node.place, |method| method.place_of(path)),
    }
}

/// Algorithms of proofs are those of public keys (RFC 9449, section 4.2).
fn proofs(declared: &Declared, tokens: &TokenMethod, problems: &mut Problems) {
    for name in &tokens.dpop.algorithms {
        if name.parse::<SignatureAlgorithm>().is_ok() {
            continue;
        }
        let known = SignatureAlgorithm::ALL.iter().map(|known| known.as_str());
        let hint = match closest(&name.to_ascii_uppercase(), known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "leave `algorithms` out for those that are usual".to_owned(),
        };
        problems.error(
            place_of(&declared.node, &["dpop", "algorithms"]),
            "algorithm_not_allowed",
            format!("`algorithms`: `{name}` is no signature algorithm: {hint}"),
        );
    }
}

fn certificates(
    declared: &Declared,
    clients: &MutualTls,
    configuration: Option<&NodeConfiguration>,
    problems: &mut Problems,
) {
    if let Some(roots) = &clients.roots
        && let Err(error) = check_roots(roots)
    {
        problems.error(
            place_of(&declared.node, &["mutual_tls", "roots"]),
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
    if !asks && !clients.proxied {
        problems.error(
            place_of(&declared.node, &["mutual_tls"]),
            "contradiction",
            "`mutual_tls`: no listener of the gateway asks clients for a certificate, so that nobody could call: give one `tls: { client_certificates: { roots: … } }`",
        );
    }
}
