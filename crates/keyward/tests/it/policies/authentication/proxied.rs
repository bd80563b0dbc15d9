//! Certificates that a proxy tells of, which has ended TLS (RFC 9440), and tokens that are bound to them (RFC 8705).

use super::super::{Call, Table};
use super::page_table;
use crate::node::Plan;
use crate::token::Issuer;
use crate::transport::{Authority, HOUR};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use keyward_jose::SignatureAlgorithm as A;
use serde_json::json;

const BILLING: &str = "spiffe://acme.example/billing";

/// The DER of a PEM certificate.
fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    STANDARD.decode(text).unwrap()
}

fn field(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

#[tokio::test]
async fn certificates_of_trusted_proxies_alone() {
    let (ours, others) = (Authority::new(), Authority::new());
    let own = der(&ours.issue_client(BILLING, 7, HOUR).certificate);
    let another = der(&ours.issue_client(BILLING, 8, HOUR).certificate);
    let foreign = der(&others.issue_client(BILLING, 7, HOUR).certificate);
    let issuer = Issuer::new("main", A::Es256);
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &own));
    let bound = issuer.token_with("cnf", Some(json!({ "x5t#S256": thumbprint })));
    let apis = |plan: Plan| {
        plan.file("clients.pem", ours.root.clone())
            .resource(issuer.resource(""))
            .api("ledger", "authentication: { mutual_tls: { subject: san_uri, roots: clients.pem, proxied: true } }")
            .api("orders", &issuer.authentication("proxied_certificate: true"))
    };
    let behind = apis(Plan::default().settings("workers: 1\ntrusted_proxies: [ 127.0.0.1 ]"))
        .start()
        .await;
    // Here the caller is nobody's proxy.
    let before = apis(Plan::default().settings("workers: 1\ntrusted_proxies: [ 192.0.2.1 ]"))
        .start()
        .await;
    let mut table = page_table(Table::new("authentication", "proxied-certificates"))
        .upstream_headers(&["client-cert", "x-keyward-subject"])
        .naming(&field(&own), ":CERTIFICATE:")
        .naming(&field(&another), ":ANOTHER:")
        .naming(&field(&foreign), ":OF-ANOTHER-AUTHORITY:");
    let ledger = || Call::get("/ledger/7");
    let orders = || Call::get("/orders/7");
    let good = field(&own);
    for (case, call) in [
        (
            "a certificate by a trusted proxy",
            ledger().header("Client-Cert", &good),
        ),
        (
            "of another authority than the API's",
            ledger().header("Client-Cert", &field(&foreign)),
        ),
        ("none", ledger()),
        (
            "that can't be read",
            ledger().header("Client-Cert", ":AAAA:"),
        ),
        (
            "that is no byte sequence",
            ledger().header("Client-Cert", "abc"),
        ),
        (
            "twice",
            ledger()
                .header("Client-Cert", &good)
                .header("Client-Cert", &good),
        ),
        ("in an odd spelling", ledger().header("Client_Cert", &good)),
        (
            "a token that is bound to it",
            orders().bearer(&bound).header("Client-Cert", &good),
        ),
        (
            "with another certificate",
            orders()
                .bearer(&bound)
                .header("Client-Cert", &field(&another)),
        ),
        ("without any", orders().bearer(&bound)),
        (
            "a token that is bound to none",
            orders().bearer(&issuer.token()),
        ),
    ] {
        table.drive(&behind, case, call).await;
    }
    for (case, call) in [
        ("by a stranger", ledger().header("Client-Cert", &good)),
        (
            "the bound token, by a stranger",
            orders().bearer(&bound).header("Client-Cert", &good),
        ),
    ] {
        table.drive(&before, case, call).await;
    }
    table.finish();
}
