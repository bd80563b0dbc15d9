//! What the tests need beside Rust: found where it is there, installed where it is not.
//!
//! Nothing is put outside the repository but Debian packages, and those only where this user may.

use crate::command::{run, succeeds};
use std::path::Path;

/// A need that Debian packages meet, and how to see whether it is met.
struct Need {
    packages: &'static [&'static str],
    program: &'static str,
    arguments: &'static [&'static str],
}

const NEEDS: &[Need] = &[
    Need {
        packages: &["git"],
        program: "git",
        arguments: &["--version"],
    },
    // aws-lc is C; its Rust crate needs a compiler and neither cmake nor Go.
    Need {
        packages: &["gcc", "libc6-dev"],
        program: "cc",
        arguments: &["--version"],
    },
    // josekit, one of the libraries our JOSE is compared with, stands on OpenSSL.
    Need {
        packages: &["pkg-config", "libssl-dev"],
        program: "pkg-config",
        arguments: &["--exists", "openssl"],
    },
    // The calls that the demo prints are run as printed.
    Need {
        packages: &["curl"],
        program: "curl",
        arguments: &["--version"],
    },
    // What TLS and the PROXY protocol are tested against.
    Need {
        packages: &["openssl"],
        program: "openssl",
        arguments: &["version"],
    },
    Need {
        packages: &["haproxy"],
        program: "haproxy",
        arguments: &["-v"],
    },
    // What several nodes share; only its program: the tests start it themselves.
    Need {
        packages: &["redis-server"],
        program: "redis-server",
        arguments: &["--version"],
    },
    // What several nodes share for good; the tests start servers of their own.
    Need {
        packages: &["postgresql"],
        program: "sh",
        arguments: &[
            "-c",
            "ls /usr/lib/postgresql/*/bin/initdb || command -v initdb",
        ],
    },
    // A token of PKCS#11 without a device, and what looks into it and writes down what is asked of it.
    Need {
        packages: &["softhsm2"],
        program: "softhsm2-util",
        arguments: &["--version"],
    },
    Need {
        packages: &["opensc", "opensc-pkcs11"],
        program: "sh",
        arguments: &[
            "-c",
            "command -v pkcs11-tool && ls /usr/lib/*/pkcs11-spy.so",
        ],
    },
    // A client of HTTP/2 that opens many streams at once.
    Need {
        packages: &["nghttp2-client"],
        program: "h2load",
        arguments: &["--version"],
    },
    // The certificate authority that certificates are obtained from, and its name server.
    Need {
        packages: &["pebble"],
        program: "pebble-challtestsrv",
        arguments: &["-help"],
    },
    // A certified client of OAuth is written in JavaScript.
    Need {
        packages: &["nodejs", "npm"],
        program: "npm",
        arguments: &["--version"],
    },
    Need {
        packages: &["python3", "python3-venv"],
        program: "python3",
        arguments: &["-c", "import venv, ensurepip"],
    },
];

/// The Python libraries that sign what we verify and verify what we sign.
const PYTHON_PEERS: &[&str] = &["joserfc==1.8.0", "PyJWT[crypto]==2.15.1"];

/// The Python libraries that read the metrics and traces that we write.
const PYTHON_OBSERVERS: &[&str] = &["opentelemetry-proto==1.45.2", "prometheus-client==0.26.0"];
/// A collector of OpenTelemetry: a program in a wheel.
const PYTHON_COLLECTOR: &[&str] = &["rotel==0.0.1a15"];
/// gRPC's own library, at both ends of what passes through us.
const PYTHON_GRPC: &[&str] = &["grpcio==1.85.3"];
/// A client and a server of WebSocket that others wrote.
const PYTHON_WEBSOCKETS: &[&str] = &["websockets==17.4"];
/// A client of HTTP/3 that others wrote, and that sends what it is told.
const PYTHON_HTTP3: &[&str] = &["aioquic==1.7.2"];
/// What calls the management API as its OpenAPI document says, and as it doesn't.
const PYTHON_OPENAPI: &[&str] = &["schemathesis==4.32.5"];

/// The AI vendors' own libraries, as applications use them.
const PYTHON_AI: &[&str] = &["anthropic==2.14.0", "google-genai==3.6.1", "openai==3.57.0"];

/// Clients in JavaScript that others wrote, all of them: what is not listed is taken away. A certified client of OAuth
/// proves what it holds (DPoP, certificate-bound tokens); the AI vendors' own libraries (OpenAI's from version 7 on wants
/// a newer Node than Debian has), with what describes types to their helpers.
const NPM_PACKAGES: &[&str] = &[
    "oauth4webapi@3.8.8",
    "@anthropic-ai/sdk@1.14.0",
    "openai@6.49.0",
    "zod@4.6.7",
];

/// The tests look for their JavaScript here.
const NPM_FOLDER: &str = "node_modules";

/// The tests look for their Python here.
const PYTHON_FOLDER: &str = ".venv";

/// Where tools written in Rust go.
const TOOLS: &str = "target/tools";

const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const CARGO_FUZZ: (&str, &str) = ("cargo-fuzz", "0.13.2");

/// All that `cargo xtask test` needs.
pub(crate) fn everything(root: &Path) -> Result<(), String> {
    debian_needs(root)?;
    python_peers(root)?;
    npm_packages(root)?;
    cargo_tool(root, "deny", CARGO_DENY)
}

/// What the fuzzer needs.
pub(crate) fn fuzzer(root: &Path) -> Result<(), String> {
    if !succeeds(root, "rustup", &["run", "nightly", "rustc", "--version"]) {
        run(
            root,
            "rustup",
            &["toolchain", "install", "nightly", "--profile", "minimal"],
        )?;
    }
    cargo_tool(root, "fuzz", CARGO_FUZZ)
}

/// A server of models that nobody here wrote, and what makes a model for it: C++ that is built here, which takes minutes.
const LLAMA: &[&str] = &["gguf==0.19.0", "llama-cpp-python[server]==0.3.36"];
/// The long tests look for it here.
const LLAMA_FOLDER: &str = "target/llama";

/// What the long tests need beside what all need.
pub(crate) fn for_long_tests(root: &Path) -> Result<(), String> {
    if !succeeds(root, "c++", &["--version"]) {
        debian_packages(root, &["g++"])?;
    }
    python_folder(root, LLAMA_FOLDER, "llama", LLAMA)
}

/// `PATH` with our own tools first.
pub(crate) fn path_with_tools(root: &Path) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a task hands its own search path on to tools"
    )]
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", root.join(TOOLS).join("bin").display())
}

fn debian_needs(root: &Path) -> Result<(), String> {
    let missing: Vec<&str> = NEEDS
        .iter()
        .filter(|need| !succeeds(root, need.program, need.arguments))
        .flat_map(|need| need.packages.iter().copied())
        .collect();
    debian_packages(root, &missing)
}

/// Installs Debian packages where this user may; else names the line to run.
pub(crate) fn debian_packages(root: &Path, packages: &[&str]) -> Result<(), String> {
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!(
        "sudo apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    if !succeeds(root, "apt-get", &["--version"]) {
        return Err(format!(
            "missing: {}. Install these (Debian's names) with this system's package manager",
            packages.join(", ")
        ));
    }
    let root_user = succeeds(root, "sh", &["-c", "test \"$(id -u)\" = 0"]);
    let mut install = vec!["apt-get", "install", "-y", "--no-install-recommends"];
    let mut update = vec!["apt-get", "update"];
    if !root_user {
        if !succeeds(root, "sudo", &["-n", "true"]) {
            return Err(format!(
                "missing packages, and no right to install them. Run once: {line}"
            ));
        }
        install.splice(0..0, ["sudo", "-n"]);
        update.splice(0..0, ["sudo", "-n"]);
    }
    install.extend(packages);
    let call = |line: &[&str]| match line.split_first() {
        Some((program, arguments)) => run(root, program, arguments),
        None => Ok(()),
    };
    // The lists of a fresh machine are empty or old: fetched when the first try finds nothing.
    call(&install)
        .or_else(|_| call(&update).and_then(|()| call(&install)))
        .map_err(|why| format!("{why}. Run once: {line}"))
}

fn python_peers(root: &Path) -> Result<(), String> {
    python_packages(root, "peers", PYTHON_PEERS)?;
    python_packages(root, "observers", PYTHON_OBSERVERS)?;
    python_packages(root, "collector", PYTHON_COLLECTOR)?;
    python_packages(root, "grpc", PYTHON_GRPC)?;
    python_packages(root, "websockets", PYTHON_WEBSOCKETS)?;
    python_packages(root, "http3", PYTHON_HTTP3)?;
    python_packages(root, "openapi", PYTHON_OPENAPI)?;
    python_packages(root, "ai", PYTHON_AI)
}

/// Puts packages into the repository's own Python; `stamp` remembers that they are there.
pub(crate) fn python_packages(root: &Path, stamp: &str, packages: &[&str]) -> Result<(), String> {
    python_folder(root, PYTHON_FOLDER, stamp, packages)
}

/// Puts packages into a Python of their own in this folder, where they would not get on with the others.
pub(crate) fn python_folder(
    root: &Path,
    name: &str,
    stamp: &str,
    packages: &[&str],
) -> Result<(), String> {
    let folder = root.join(name);
    let stamp = folder.join(format!("installed-{stamp}"));
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if !folder.join("bin/python").exists() {
        run(root, "python3", &["-m", "venv", name])?;
    }
    let python = folder.join("bin/python");
    let python = python
        .to_str()
        .ok_or("the repository's path is not UTF-8: move it")?;
    let mut arguments = vec![
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    arguments.extend(packages);
    run(root, python, &arguments)?;
    std::fs::write(&stamp, wanted)
        .map_err(|error| format!("{} could not be written: {error}", stamp.display()))
}

fn npm_packages(root: &Path) -> Result<(), String> {
    npm_folder(root, ".", NPM_PACKAGES)
}

/// Puts packages of npm into `node_modules` of this folder, without running anything of theirs; a stamp remembers that
/// they are there.
pub(crate) fn npm_folder(root: &Path, name: &str, packages: &[&str]) -> Result<(), String> {
    let folder = root.join(name);
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("{} could not be made: {error}", folder.display()))?;
    let stamp = folder.join(NPM_FOLDER).join(".installed");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let mut arguments = vec![
        "install",
        // Else it would look for the next folder above that has packages.
        "--prefix",
        ".",
        "--no-save",
        "--no-package-lock",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ];
    arguments.extend(packages);
    run(&folder, "npm", &arguments)?;
    std::fs::write(&stamp, wanted)
        .map_err(|error| format!("{} could not be written: {error}", stamp.display()))
}

/// A cargo subcommand: this machine's own, or one built into `target/tools`.
fn cargo_tool(root: &Path, name: &str, (package, version): (&str, &str)) -> Result<(), String> {
    let ours = root.join(TOOLS).join("bin").join(package);
    if ours.exists() || succeeds(root, "cargo", &[name, "--version"]) {
        return Ok(());
    }
    // Unoptimized: it runs for two seconds, and the whole suite has 25 minutes on two cores.
    let mut arguments = vec![
        "install",
        package,
        "--version",
        version,
        "--locked",
        "--profile",
        "dev",
    ];
    arguments.extend([
        "--no-default-features",
        "--root",
        TOOLS,
        "--target-dir",
        "target/tools/build",
    ]);
    run(root, "cargo", &arguments)
}
