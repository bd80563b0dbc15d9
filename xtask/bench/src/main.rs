//! What `cargo xtask bench` runs, built with optimization: see `docs/performance.md`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task speaks to the terminal it runs in"
)]

mod ai;
mod certificate;
mod gateway;
mod jose;
mod load;
mod management;
mod peer;
mod policies;
mod process;
mod reload;
mod report;
mod token;
mod upstream;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures Keyward beside its peers.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Bench {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// The gateway beside HAProxy, nginx and Envoy
    Gateway(gateway::Options),
    /// What each policy costs over a guarded call
    Policies(gateway::Options),
    /// Calls of AI models beside LiteLLM and Portkey
    Ai(ai::Options),
    /// The table of the JOSE benchmarks that criterion measured before
    Jose(jose::Options),
    /// Reloads of a node with 10,000 APIs
    Reload(reload::Options),
    /// The management API of a node with 10,000 APIs and 100,000 keys
    Management(management::Options),
    /// The 1 kB upstream that the proxies forward to
    Upstream(upstream::Options),
    /// The instant provider of AI models
    Provider(ai::mock::Options),
}

fn main() -> ExitCode {
    let result = match Bench::parse().subject {
        Subject::Gateway(options) => gateway::run(&options),
        Subject::Policies(options) => policies::run(&options),
        Subject::Ai(options) => ai::run(&options),
        Subject::Jose(options) => jose::run(&options),
        Subject::Reload(options) => reload::run(&options),
        Subject::Management(options) => management::run(&options),
        Subject::Upstream(options) => upstream::run(&options),
        Subject::Provider(options) => ai::mock::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}
