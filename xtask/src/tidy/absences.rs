//! The invariants that are absences: what must not be in a crate, since readers can't see what is not
//! there. Each is a row with its reason.

use super::Finding;
use super::package::{Kind, Package};
use super::source::{Source, Tree};

/// Dependencies that only some crates may have.
struct DependencyBan {
    /// The crates named here.
    dependencies: &'static [&'static str],
    /// Who is meant.
    scope: Scope,
    /// What to do instead.
    reason: &'static str,
}

/// Words that only some rooms may hold in code that ships.
struct WordBan {
    words: &'static [&'static str],
    scope: Scope,
    reason: &'static str,
}

enum Scope {
    /// These crates may not.
    In(&'static [&'static str]),
    /// Nobody but files below these paths may.
    OutsideOf(&'static [&'static str]),
}

const DEPENDENCY_BANS: &[DependencyBan] = &[
    DependencyBan {
        dependencies: &[
            "sqlx",
            "sqlx-core",
            "sqlx-postgres",
            "sqlx-sqlite",
            "rusqlite",
            "libsqlite3-sys",
            "tokio-postgres",
            "diesel",
            "redb",
        ],
        scope: Scope::OutsideOf(&["crates/keyward-store"]),
        reason: "no crate but the store names a database: ask keyward-store through a seam",
    },
    DependencyBan {
        dependencies: &["askama", "maud", "tera", "handlebars"],
        scope: Scope::OutsideOf(&["crates/keyward-web"]),
        reason: "only keyward-web renders HTML: return an outcome and let it draw the page",
    },
    DependencyBan {
        // Decision 0016: operators' templates of JSON are filled where calls pass.
        dependencies: &["minijinja"],
        scope: Scope::OutsideOf(&["crates/keyward-web", "crates/keyward-gateway"]),
        reason: "templates make pages in keyward-web and messages in the gateway's transformation",
    },
    DependencyBan {
        dependencies: &[
            "tokio",
            "hyper",
            "hyper-util",
            "axum",
            "reqwest",
            "ureq",
            "mio",
            "socket2",
            "rustls",
            "tokio-rustls",
        ],
        scope: Scope::In(&[
            "keyward-model",
            "keyward-jose",
            "keyward-llm",
            "keyward-access",
        ]),
        reason: "this crate opens no socket: take bytes and give bytes",
    },
    DependencyBan {
        dependencies: &["redis", "fred", "rustis", "deadpool-redis"],
        scope: Scope::OutsideOf(&["crates/keyward-state"]),
        reason: "no crate but keyward-state speaks to what nodes share: ask it",
    },
    DependencyBan {
        dependencies: &["cryptoki", "cryptoki-sys", "pkcs11", "libloading"],
        scope: Scope::OutsideOf(&["crates/keyward-pkcs11"]),
        reason: "no crate but keyward-pkcs11 loads a module: ask its token",
    },
    DependencyBan {
        dependencies: &["reqwest", "ureq", "isahc", "curl", "surf"],
        scope: Scope::OutsideOf(&["crates/keyward-egress"]),
        reason: "outgoing calls go through keyward-egress, which guards against request forgery",
    },
];

const WORD_BANS: &[WordBan] = &[
    WordBan {
        // `std::net` has types without a socket behind them (`IpAddr`), which are fine.
        words: &[
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
            "ToSocketAddrs",
            "std::fs",
            "std::io::stdin",
            "std::process",
            "std::env",
        ],
        scope: Scope::In(&["keyward-jose", "keyward-llm"]),
        reason: "this crate does no input or output: take bytes and give bytes",
    },
    WordBan {
        words: &["TcpStream::connect", "TcpSocket", "hyper_util::client"],
        scope: Scope::OutsideOf(&[
            "crates/keyward-egress/",
            "crates/keyward-gateway/src/upstream",
        ]),
        reason: "only keyward-egress and the gateway's upstreams open outgoing connections: go through one",
    },
    WordBan {
        words: &["UdpSocket"],
        scope: Scope::OutsideOf(&[
            "crates/keyward-egress/",
            "crates/keyward-gateway/src/upstream",
            // HTTP/3 is listened for at one: it answers clients, and never begins anything.
            "crates/keyward-gateway/src/listener.rs",
            "crates/keyward-gateway/src/http3/socket.rs",
        ]),
        reason: "only keyward-egress and the gateway's upstreams open outgoing connections: go through one",
    },
    WordBan {
        words: &["Endpoint::client"],
        scope: Scope::OutsideOf(&[]),
        reason: "QUIC is spoken to clients alone: an outgoing connection of it would pass the upstreams' guard by",
    },
    WordBan {
        words: &["UnixStream::connect", "UnixDatagram"],
        scope: Scope::OutsideOf(&[
            "crates/keyward-egress/",
            "crates/keyward-gateway/src/upstream",
            // To the process before and to the service manager, on this machine alone.
            "crates/keyward/src/serve/handover/",
            "crates/keyward/src/serve/supervisor.rs",
        ]),
        reason: "only keyward-egress and the gateway's upstreams open outgoing connections: go through one",
    },
    WordBan {
        words: &[
            "env::var",
            "env::vars",
            "env::var_os",
            "env::vars_os",
            "env::set_var",
            "env::remove_var",
        ],
        scope: Scope::OutsideOf(&["crates/keyward/"]),
        reason: "only the binary reads the environment: take the value as an argument",
    },
    WordBan {
        words: &[
            "SystemTime::now",
            "Instant::now",
            "UNIX_EPOCH.elapsed",
            "Utc::now",
            "Local::now",
            "OffsetDateTime::now_utc",
        ],
        scope: Scope::OutsideOf(&["crates/keyward-model/src/clock.rs"]),
        reason: "time is an argument: take it from keyward_model::Clock",
    },
    WordBan {
        words: &[".reveal() ==", ".reveal() !="],
        scope: Scope::OutsideOf(&[]),
        reason: "bytes are compared until the first that differs: compare the secrets themselves, which takes the same time always",
    },
];

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        for ban in DEPENDENCY_BANS {
            for dependency in &package.dependencies {
                if dependency.kind != Kind::Dev
                    && package.folder.starts_with("crates/")
                    && package.name != "keyward-testkit"
                    && ban.dependencies.contains(&dependency.name.as_str())
                    && ban.scope.covers(&package.manifest())
                {
                    findings.push(Finding::at(
                        &package.manifest(),
                        0,
                        format!("depends on {}: {}", dependency.name, ban.reason),
                    ));
                }
            }
        }
    }
    for file in tree.rust().filter(|file| file.path.starts_with("crates/")) {
        for ban in WORD_BANS.iter().filter(|ban| ban.scope.covers(&file.path)) {
            for word in ban.words {
                for line in Source::lines_with(&file.shipped, word) {
                    findings.push(Finding::at(
                        &file.path,
                        line,
                        format!("`{word}`: {}", ban.reason),
                    ));
                }
            }
        }
    }
    findings
}

impl Scope {
    fn covers(&self, path: &str) -> bool {
        match self {
            Self::In(crates) => crates
                .iter()
                .any(|name| path.starts_with(&format!("crates/{name}/"))),
            Self::OutsideOf(rooms) => !rooms.iter().any(|room| path.starts_with(room)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::package::fixtures::package;
    use super::*;

    fn check_code(path: &str, code: &str, found: bool) {
        let tree = Tree {
            files: vec![Source::new(path, code)],
        };
        assert_eq!(!check(&tree, &[]).is_empty(), found, "{path}: {code}");
    }

    fn check_dependency(user: &str, used: &str, kind: Kind, found: bool) {
        let tree = Tree { files: Vec::new() };
        let findings = check(&tree, &[package(user, kind, &[used])]);
        assert_eq!(!findings.is_empty(), found, "{user} -> {used}");
    }

    #[test]
    fn only_the_store_names_a_database() {
        check_dependency("keyward-gateway", "sqlx", Kind::Normal, true);
        check_dependency("keyward-store", "sqlx", Kind::Normal, false);
    }

    #[test]
    fn jose_opens_no_socket() {
        check_dependency("keyward-jose", "tokio", Kind::Normal, true);
        check_dependency("keyward-jose", "tokio", Kind::Dev, false);
        let jose = "crates/keyward-jose/src/a.rs";
        check_code(jose, "use std::net::TcpListener;", true);
        check_code(jose, "use std::net::IpAddr;", false);
    }

    #[test]
    fn outgoing_connections_open_in_two_rooms_only() {
        let connect = "async fn f() { TcpStream::connect(address).await }";
        check_code("crates/keyward-gateway/src/route.rs", connect, true);
        check_code(
            "crates/keyward-gateway/src/upstream/pool.rs",
            connect,
            false,
        );
        check_code("crates/keyward-egress/src/connector.rs", connect, false);
        check_code("crates/keyward/tests/it/serve.rs", connect, false);
    }

    #[test]
    fn only_the_binary_reads_the_environment() {
        check_code(
            "crates/keyward-state/src/a.rs",
            "std::env::var(\"HOME\")",
            true,
        );
        check_code(
            "crates/keyward/src/environment.rs",
            "std::env::var(\"HOME\")",
            false,
        );
    }

    #[test]
    fn what_secrets_reveal_is_not_compared() {
        let path = "crates/keyward-gateway/src/a.rs";
        check_code(path, "if given.reveal() == known.reveal() {}", true);
        check_code(path, "if given.reveal() != known {}", true);
        check_code(path, "if given == known {}", false);
    }

    #[test]
    fn only_the_clock_reads_the_clock() {
        check_code(
            "crates/keyward-state/src/a.rs",
            "let now = Instant::now();",
            true,
        );
        check_code(
            "crates/keyward-state/src/a.rs",
            "// Instant::now() is banned",
            false,
        );
        check_code(
            "crates/keyward-state/src/a.rs",
            "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }",
            false,
        );
        check_code(
            "crates/keyward-model/src/clock.rs",
            "std::time::Instant::now()",
            false,
        );
    }
}
