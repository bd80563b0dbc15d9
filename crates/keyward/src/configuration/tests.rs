use super::*;
use std::fmt::Write as _;

/// The contract's example.
const EXAMPLE: &str = r#"format: 1
listeners:
  - { address: 127.0.0.1:8080, serves: gateway }
  - { address: 127.0.0.1:8090, serves: site }
  - { address: 127.0.0.1:9090, serves: operations }
gateway_url: http://localhost:8080
site_url: http://localhost:8090
data_dir: ./keyward-data
database: sqlite
shared_state: memory
workers: 2
resources:
  - kind: issuer
    name: bench
    issuer: https://issuer.bench
    jwks: { url: "https://issuer.bench/jwks.json" }
    algorithms: [RS256, ES256, EdDSA]
  - kind: upstream
    name: echo
    targets: [ { url: "http://127.0.0.1:9000" } ]
  - kind: api
    team: default
    name: echo
    version: v1
    state: published
    base_path: /echo
    upstream: echo
    authentication: { issuers: [bench], audience: bench-api }
    authorization: { scopes: [read] }
    rate_limits: [ { by: subject, requests: 1000000, per: 1s } ]
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
        "SHORT" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn load_text(text: &str) -> (tempfile::TempDir, Loaded) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyward.yaml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(
        directory.path().join("secret.txt"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .unwrap();
    std::fs::write(directory.path().join("harm.txt"), "198.51.100.0/24\n").unwrap();
    let loaded = load(Some(&path), &[], &environment);
    (directory, loaded)
}

/// The problems of a text as `line: message [code]`.
fn problems(text: &str) -> Vec<String> {
    let (_directory, loaded) = load_text(text);
    let problems = loaded.report.problems().iter();
    problems
        .map(|problem| {
            format!(
                "{}: {} [{}]",
                problem.place.line, problem.message, problem.code
            )
        })
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = problems(text);
    for expected in expected {
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{expected:?} is not among {found:#?} of\n{text}"
        );
    }
    assert!(
        !found.iter().any(|problem| problem.contains("hunter2")),
        "{found:?}"
    );
}

#[test]
fn the_contracts_example_runs() {
    let (_directory, loaded) = load_text(EXAMPLE);
    assert_eq!(problems(EXAMPLE), Vec::<String>::new());
    let configuration = loaded.configuration.unwrap();
    assert_eq!(configuration.resources.len(), 3);
    assert_eq!(configuration.workers, Some(2));
    assert_eq!(configuration.listeners.len(), 3);
}

#[test]
fn changes_that_break_the_example_are_told_with_line_and_advice() {
    for (from, to, expected) in [
        (
            "audience: bench-api",
            "audiance: bench-api",
            &[
                "28: unknown key `audiance`: did you mean `audience`?",
                "28: `audience` is missing",
            ][..],
        ),
        (
            "format: 1",
            "format: 2",
            &["1: `format`: `2` is a format that this version does not know"],
        ),
        (
            "format: 1\n",
            "",
            &["1: `format` is missing: write `format: 1` at the top [missing_key]"],
        ),
        (
            "format: 1",
            "formt: 1",
            &["1: unknown key `formt`: did you mean `format`?"],
        ),
        (
            "workers: 2",
            "workers: 0",
            &["11: `workers` is a whole number from 1 to 1024, not `0`"],
        ),
        ("workers: 2", "workers: 2\nworkers: 3", &["12:", "[yaml]"]),
        ("workers: 2", "workers: [2", &["[yaml]"]),
        ("workers: 2", "workers: *none", &["[yaml]"]),
        ("workers: 2", "workers: !!python/object 2", &["[yaml]"]),
        ("workers: 2", "? [a, b]\n: 2", &["[yaml]"]),
        (
            "database: sqlite",
            "database: mysql://u:hunter2@h/db",
            &[
                "9: `database`: it is no address of PostgreSQL: write `sqlite`, or `postgres://user@host/database`",
            ],
        ),
        (
            "database: sqlite",
            "database: \"postgres://u:hunter2@h/db?sslmode=prefer\"",
            &["9: `database`: it has an `sslmode` that is none of `verify-full`"],
        ),
        (
            "database: sqlite",
            "database: \"postgres://u:hunter2@h/db?sslrootcert=nowhere.pem\"",
            &["9: `database`: there is no file"],
        ),
        (
            "database: sqlite",
            "database: { url: x }",
            &["9: `database`"],
        ),
        (
            "shared_state: memory",
            "shared_state: memcached://h",
            &[
                "10: `shared_state`: it is none that is known: write `memory`, `redis://host:6379`, or `rediss://host:6379` for TLS",
            ],
        ),
        (
            "shared_state: memory",
            "shared_state: redis://:hunter2@:6379",
            &["10: `shared_state`: it names no host"],
        ),
        (
            "shared_state: memory",
            "shared_state: redis://127.0.0.1/orders",
            &[
                "10: `shared_state`: it has something behind the host that is no number of a database",
            ],
        ),
        (
            "shared_state: memory",
            "shared_state: { url: \"redis://127.0.0.1\", timeout: 10s }",
            &["10: `timeout`: `10s` is longer than 5s"],
        ),
        (
            "shared_state: memory",
            "shared_state: { url: \"redis://127.0.0.1\", ca: nowhere.pem }",
            &["10: `ca`: there is no file"],
        ),
        (
            "shared_state: memory",
            "shared_state: { url: \"rediss://127.0.0.1\", ca: keyward.yaml }",
            &["10: `ca`: the certificate authorities of the shared state are no PEM certificates"],
        ),
        (
            "shared_state: memory",
            "shared_state: \"rediss://127.0.0.1#insecure\"",
            &[
                "10: `shared_state`: it has something behind the host that is no number of a database",
            ],
        ),
        (
            "shared_state: memory",
            "shared_state: \"redis://127.0.0.1?protocol=resp3\"",
            &[
                "10: `shared_state`: it has something behind the host that is no number of a database",
            ],
        ),
        (
            "shared_state: memory",
            "shared_state: { urls: x }",
            &["10: unknown key `urls`: did you mean `url`?"],
        ),
        (
            "127.0.0.1:9090",
            "127.0.0.1:8080",
            &["5: `listeners`: two of them share 127.0.0.1:8080"],
        ),
        (
            "127.0.0.1:9090",
            "localhost:9090",
            &["5: `address`: `localhost:9090` is no address"],
        ),
        (
            "serves: operations",
            "serves: operation",
            &["did you mean `operations`?"],
        ),
        (
            "serves: gateway",
            "serves: site",
            &["none serves the gateway"],
        ),
        (
            "site_url: http://localhost:8090",
            "site_url: http://localhost:8090/",
            &["7: `site_url`", "without a slash at the end"],
        ),
        (
            "issuer: https://issuer.bench\n",
            "issuer: http://localhost:8090\n",
            &["15: `issuer`: `http://localhost:8090` is this node itself"],
        ),
        (
            "issuers: [bench]",
            "issuers: [bensh]",
            &["28: `issuers`: there is no issuer `bensh`: did you mean `bench`?"],
        ),
        (
            "upstream: echo\n",
            "upstream: eco\n",
            &["27: `upstream`: there is no upstream `eco`: did you mean `echo`?"],
        ),
        (
            "[RS256, ES256, EdDSA]",
            "[RS256, HS256]",
            &["17: `algorithms`: `HS256` is HMAC, which needs a shared `secret`"],
        ),
        (
            "[RS256, ES256, EdDSA]",
            "[rs256]",
            &["17: `algorithms`: `rs256` is no signature algorithm: did you mean `RS256`?"],
        ),
        (
            "[RS256, ES256, EdDSA]",
            "[none]",
            &["17: `algorithms`: `none` is no signature algorithm"],
        ),
        (
            "[RS256, ES256, EdDSA]",
            "[]",
            &["17: `algorithms` is empty"],
        ),
        (
            "https://issuer.bench/jwks.json",
            "http://issuer.example/jwks.json",
            &["16: `url`: keys from issuer.example come over plain HTTP"],
        ),
        (
            "https://issuer.bench/jwks.json",
            "http://127.0.0.1:9000/jwks.json",
            &["16: `url`: 127.0.0.1 is not public, so the keys will not be fetched"],
        ),
        (
            "jwks: { url: \"https://issuer.bench/jwks.json\" }",
            "secret: ${ENV:SECRET}",
            &["17: `algorithms`: `RS256` is no HMAC algorithm"],
        ),
        (
            "jwks: { url: \"https://issuer.bench/jwks.json\" }",
            "secret: ${ENV:SHORT}",
            &["16: `secret` has 7 bytes", "openssl rand -hex 32"],
        ),
        (
            "jwks: { url: \"https://issuer.bench/jwks.json\" }",
            "secret: ${ENV:MISSING}",
            &["16: `${ENV:MISSING}`: the environment variable `MISSING` is not set [substitution]"],
        ),
        (
            "jwks: { url: \"https://issuer.bench/jwks.json\" }",
            "secret: ${ENV:EMPTY}",
            &["the environment variable `EMPTY` is empty"],
        ),
        (
            "jwks: { url: \"https://issuer.bench/jwks.json\" }",
            "secret: ${FILE:absent.txt}",
            &["there is no file", "absent.txt"],
        ),
        (
            "jwks: { url: \"https://issuer.bench/jwks.json\" }",
            "secret: ${SECRET}",
            &["write `${ENV:NAME}` or `${FILE:path}`"],
        ),
        (
            "base_path: /echo",
            "base_path: ${ENV:SHORT}",
            &["26: `base_path`: the value of `${ENV:SHORT}` is no base path"],
        ),
        (
            "base_path: /echo",
            "base_path: /.well-known/jwks.json",
            &["26: `base_path`: `/.well-known/jwks.json` is hidden"],
        ),
        (
            "    authentication: { issuers: [bench], audience: bench-api }\n",
            "",
            &["21: `authentication` is missing: say who may call"],
        ),
        (
            "version: v1",
            "version: 1.0",
            &["24: `version` is a text (put it in quotes)"],
        ),
        (
            "workers: 2",
            "workers: 2\ntrusted_proxies: [10.0.0.1/8]",
            &["12: `trusted_proxies`: `10.0.0.1/8` is no range of addresses"],
        ),
        (
            "workers: 2",
            "workers: 2\negress: { allow: [localhost] }",
            &["12: `allow`: `localhost` is no range of addresses"],
        ),
        (
            "workers: 2",
            "workers: 2\naccess_log: { format: xml }",
            &["`format`: `xml` is none of `json`, `human`"],
        ),
        (
            "workers: 2",
            "workers: 2\naccess_log: { destination: nowhere }",
            &["is none of `stdout`, `stderr`, `off`"],
        ),
        (
            "workers: 2",
            "workers: 2\naccess_log: { sample: 10 }",
            &["`sample`: `10` is no share: write a number from 0"],
        ),
        (
            "workers: 2",
            "workers: 2\naccess_log: { format: json, fields: [status, pahth] }",
            &["did you mean `path`?"],
        ),
        (
            "workers: 2",
            "workers: 2\naccess_log: { format: json, fields: [status], omit: [path] }",
            &["`fields` and `omit` don't go together"],
        ),
        (
            "workers: 2",
            "workers: 2\naccess_log: { omit: [path] }",
            &["`omit` chooses among the fields of `format: json`"],
        ),
        (
            "workers: 2",
            "workers: 2\naccess_log: { mask: [status] }",
            &["`mask`: `status` is none of `address`, `subject`, `client`, `path`"],
        ),
        (
            "workers: 2",
            "workers: 2\nlimits: { head_bytes: 1GB }",
            &["is not between 8KiB and 1MiB"],
        ),
        (
            "workers: 2",
            "workers: 2\nlimits: { counted_subjects: 100 }",
            &["`counted_subjects` is a whole number from 1024 to 100000000, not `100`"],
        ),
        (
            "serves: gateway }",
            "serves: gateway, protocols: [] }",
            &["3: `protocols` is empty"],
        ),
        (
            "serves: gateway }",
            "serves: gateway, protocols: [http1, htpp2] }",
            &["3: `protocols`: `htpp2` is none of `http1`, `http2`: did you mean `http2`?"],
        ),
        (
            "serves: operations }",
            "serves: operations, protocols: [http2] }",
            &[
                "5: `protocols`: ",
                "is for listeners that serve the gateway alone",
            ],
        ),
        (
            "workers: 2",
            "workers: 2\nlimits: { http2: { streams: 0 } }",
            &["12: `streams` is a whole number from 1 to 10000, not `0`"],
        ),
        (
            "workers: 2",
            "workers: 2\nlimits: { http2: { stream_window: 1KiB } }",
            &["12: `stream_window`: `1KiB` is not between 64KiB and 1GiB"],
        ),
        (
            "workers: 2",
            "workers: 2\nlimits: { http3: { streams: 0 } }",
            &["12: `streams` is a whole number from 1 to 10000, not `0`"],
        ),
        (
            "serves: gateway }",
            "serves: gateway, http3: true }",
            &[
                "3: `http3`",
                "needs `tls`: HTTP/3 is spoken inside TLS alone",
            ],
        ),
        (
            "serves: gateway }",
            "serves: gateway, http3: { port: 443 } }",
            &["3: ", "`port`", "`advertised_port`"],
        ),
        (
            "serves: operations }",
            "serves: operations, http3: true }",
            &[
                "5: `http3`",
                "is for listeners that serve the gateway alone",
            ],
        ),
        (
            "workers: 2",
            "workers: 2\nlimits: { conections: 1 }",
            &["did you mean `connections`?"],
        ),
        (
            "workers: 2",
            "workers: 2\nsite: { calls: { requests: 0 }, failed_attempts: { attempts: 5, per: 2h } }",
            &["`requests`", "is more than 1h"],
        ),
        (
            "workers: 2",
            "workers: 2\nsite: { call: 1 }",
            &["did you mean `calls`?"],
        ),
        (
            "127.0.0.1:8090",
            "0.0.0.0:8090",
            &["the site at 0.0.0.0:8090 is reached from other machines in clear"],
        ),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        check(&EXAMPLE.replacen(from, to, 1), expected);
    }
}

#[test]
fn mistakes_of_tracing_are_told_without_its_secrets() {
    for (tracing, expected) in [
        ("{ sample: 0.5 }", "`endpoint`"),
        (
            "{ endpoint: collector }",
            "`endpoint`: `collector` is no collector's address",
        ),
        (
            "{ endpoint: \"https://a.example/?key=1\" }",
            "without a query",
        ),
        (
            "{ endpoint: \"http://127.0.0.1:4318\" }",
            "127.0.0.1 is not public, or would be sent to without TLS",
        ),
        (
            "{ endpoint: \"http://a.example\" }",
            "a.example is not public, or would be sent to without TLS",
        ),
        (
            "{ endpoint: \"https://a.example\", sample: 2 }",
            "from 0 (no call that nobody else asks for) to 1",
        ),
        (
            "{ endpoint: \"https://a.example\", believe: all }",
            "`believe`",
        ),
        (
            "{ endpoint: \"https://a.example\", headers: { host: b } }",
            "`host`: the export sets this header itself",
        ),
        (
            "{ endpoint: \"https://a.example\", headers: { \"a b\": hunter2 } }",
            "no header's name",
        ),
        (
            "{ endpoint: \"https://a.example\", headers: { key: \"hunter2\\n\" } }",
            "`key`: what it holds can't be sent",
        ),
    ] {
        let text = EXAMPLE.replacen("workers: 2", &format!("workers: 2\ntracing: {tracing}"), 1);
        check(&text, &[expected]);
    }
}

#[test]
fn a_secret_of_digits_that_lacks_its_quotes_is_not_repeated() {
    let pkcs11 = "pkcs11: { module: m.so, token: t, pin: 719342 }";
    let tracing = "tracing: { endpoint: \"https://a.example\", headers: { x-api-key: 719342, host: 719342 } }";
    let resources = [
        "{ kind: credential, name: one, api_key: 719342 }",
        "{ kind: credential, name: two, password: 719342 }",
        "{ kind: issuer, name: three, issuer: \"https://three.example\", secret: 719342 }",
    ];
    let mut text = EXAMPLE.replacen("workers: 2", &format!("workers: 2\n{pkcs11}\n{tracing}"), 1);
    for resource in resources {
        writeln!(text, "  - {resource}").unwrap();
    }
    let expected = ["pin", "x-api-key", "host", "api_key", "password", "secret"];
    let expected = expected.map(|key| format!("`{key}` is a text that isn't empty (in quotes"));
    check(&text, &expected.each_ref().map(|line| &**line));
    let found = problems(&text);
    assert!(
        !found.iter().any(|line| line.contains("719342")),
        "{found:?}"
    );
}

#[test]
fn one_run_tells_of_all_mistakes() {
    let text = EXAMPLE
        .replace("workers: 2", "workers: none")
        .replace("version: v1", "version: V1")
        .replace("requests: 1000000", "requests: many");
    let found = problems(&text);
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn references_to_the_environment_and_to_files_are_put_in() {
    for reference in ["${ENV:SECRET}", "${FILE:secret.txt}"] {
        let text = EXAMPLE
            .replace(
                "jwks: { url: \"https://issuer.bench/jwks.json\" }",
                &format!("secret: \"{reference}\""),
            )
            .replace("[RS256, ES256, EdDSA]", "[HS256]");
        let (_directory, loaded) = load_text(&text);
        assert!(
            !loaded.report.has_errors(),
            "{:?}",
            loaded.report.problems()
        );
        let Spec::Issuer(issuer) = &loaded.configuration.as_ref().unwrap().resources[0]
            .resource
            .spec
        else {
            panic!("no issuer")
        };
        let IssuerKeys::Secret(secret) = &issuer.keys else {
            panic!("no secret")
        };
        assert_eq!(
            secret.reveal().as_slice(),
            b"0123456789abcdef0123456789abcdef"
        );
        assert!(!format!("{loaded:?}").contains("0123456789abcdef"));
    }
    let text = EXAMPLE.replace("scopes: [read]", "scopes: [\"$${read}\"]");
    assert_eq!(problems(&text), Vec::<String>::new());
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "format: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        writeln!(text, "a{level}: &a{level} [{}]", vec![below; 10].join(", ")).unwrap();
    }
    check(&text, &["[yaml]"]);
}

#[test]
fn ten_thousand_apis_are_read_and_checked() {
    let mut text = EXAMPLE.to_owned();
    for number in 0..10_000 {
        writeln!(
            text,
            "  - {{ kind: api, name: api-{number}, version: v1, state: published, base_path: /a/{number}, upstream: echo, authentication: {{ issuers: [bench], audience: x }} }}"
        )
        .unwrap();
    }
    let (_directory, loaded) = load_text(&text);
    assert_eq!(loaded.configuration.unwrap().resources.len(), 10_003);
}

#[test]
fn resource_files_are_checked_together_with_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keyward.yaml");
    let more = directory.path().join("more.yaml");
    std::fs::write(&path, EXAMPLE).unwrap();
    let api = "kind: api\nname: second\nversion: v1\nstate: published\nbase_path: /second\nupstream: echo\nauthentication: none\n";
    std::fs::write(&more, format!("{api}---\n{api}")).unwrap();
    let loaded = load(Some(&path), std::slice::from_ref(&more), &environment);
    let lines: Vec<_> = loaded
        .report
        .problems()
        .iter()
        .map(|problem| loaded.report.line(problem))
        .collect();
    assert!(
        lines.iter().any(|line| line.contains("more.yaml:10:7: there are two resources of kind `api` with the name `second` version `v1` (the other is at line 1)")),
        "{lines:#?}"
    );

    std::fs::write(&more, api).unwrap();
    let loaded = load(Some(&path), std::slice::from_ref(&more), &environment);
    assert!(!loaded.report.has_errors());
    assert_eq!(loaded.further.len(), 1);

    let loaded = load(None, &[path], &environment);
    assert!(loaded.configuration.is_some());
}

#[test]
fn keys_are_read_and_held_against_the_algorithms() {
    use keyward_jose::key::Part;
    use keyward_jose::{Algorithm, Key, SignatureAlgorithm};
    let key = |algorithm| Key::generate(Algorithm::Signature(algorithm), None).unwrap();
    let es256 = key(SignatureAlgorithm::Es256);
    let public = es256.to_jwk(Part::Public).unwrap();
    let private = es256.to_jwk(Part::Private).unwrap();
    let p384 = key(SignatureAlgorithm::Es384).to_jwk(Part::Public).unwrap();
    let oct = key(SignatureAlgorithm::Hs256)
        .to_jwk(Part::Private)
        .unwrap();
    for (keys, expected) in [
        (vec![public.as_str()], None),
        (vec![private.as_str()], Some("holds private keys")),
        (vec![public.as_str(), "{}"], Some("key 2 is left out")),
        (
            vec!["{}"],
            Some("none of its 0 keys verifies a token of this issuer"),
        ),
        (
            vec![p384.as_str()],
            Some("none of its 1 keys verifies a token of this issuer"),
        ),
        (
            vec![oct.as_str()],
            Some("none of its 1 keys verifies a token of this issuer"),
        ),
    ] {
        let text = EXAMPLE.replace(
            "{ url: \"https://issuer.bench/jwks.json\" }",
            &format!("{{ keys: [{}] }}", keys.join(",")),
        );
        let found = problems(&text);
        match expected {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(expected) => {
                assert!(
                    found.iter().any(|line| line.contains(expected)),
                    "{expected:?}: {found:?}"
                );
            }
        }
    }
    let text = EXAMPLE.replace(
        "url: \"https://issuer.bench/jwks.json\"",
        "file: secret.txt",
    );
    check(&text, &["16: `file`: no keys can be read from it"]);
    let text = EXAMPLE.replace(
        "url: \"https://issuer.bench/jwks.json\"",
        "file: absent.json",
    );
    check(&text, &["16: `file`: there is no file"]);
}

#[test]
fn the_file_of_the_guide_is_taken() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/configuration.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let text = guide.split("```yaml\n").nth(1).unwrap();
    let text = text.split("```").next().unwrap();
    let named = "JOBS_SECRET COLLECTOR_KEY ASK_SECRET PARTNER_KEY TOKEN_PIN OPENAI_API_KEY";
    let put_in = |text: String, name| text.replace(name, "SECRET");
    let text = named.split(' ').fold(text.to_owned(), put_in);
    let found = problems(&text);
    assert_eq!(found.len(), 0, "{found:#?}");
}
