//! The command line.

mod access;
mod admin;
mod algorithm;
mod audit;
mod backup;
mod check;
mod completions;
mod credential;
mod declarative;
mod failure;
mod input;
mod jwe;
mod jwk;
mod jws;
mod jwt;
mod key_arguments;
mod keys;
mod man;
mod models;
mod node_configuration;
mod node_store;
mod revoke;
mod serve;
pub(crate) mod terminal;
mod time;
mod top;

pub(crate) use failure::Failure;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Keyward: a key-first gateway for APIs and AI models
///
/// Commands read standard input and write standard output unless a file is named; `-` names them. Exit
/// status: 0 when it is done, 1 when it was refused or failed (standard error says
/// `keyward: WHAT: WHY [CODE]`), 2 for wrong usage.
#[derive(Debug, Parser)]
#[command(
    name = "keyward",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Top(top::Top),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Apply(declarative::Apply),
    Diff(declarative::Diff),
    Export(declarative::Export),
    #[command(subcommand)]
    Admin(admin::Admin),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Models(models::Models),
    #[command(subcommand)]
    Access(access::Access),
    #[command(subcommand)]
    Prompts(declarative::Prompts),
    Revoke(revoke::Revoke),
    #[command(subcommand)]
    Revocation(revoke::Revocations),
    #[command(subcommand)]
    Jwk(jwk::Jwk),
    #[command(subcommand)]
    Jws(jws::Jws),
    #[command(subcommand)]
    Jwe(jwe::Jwe),
    #[command(subcommand)]
    Jwt(jwt::Jwt),
    #[command(subcommand)]
    Credential(credential::Credential),
    Completions(completions::Completions),
    Man(man::Manual),
}

/// Runs what the arguments say.
pub(crate) fn run() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let outcome = match CommandLine::parse().command {
        Command::Serve(command) => command.run().map(done),
        Command::Check(command) => command.run(),
        Command::Top(command) => command.run().map(done),
        Command::Backup(command) => command.run().map(done),
        Command::Restore(command) => command.run().map(done),
        Command::Apply(command) => command.run().map(done),
        Command::Diff(command) => command.run().map(done),
        Command::Export(command) => command.run().map(done),
        Command::Admin(command) => command.run().map(done),
        Command::Keys(command) => command.run().map(done),
        Command::Audit(command) => command.run().map(done),
        Command::Models(command) => command.run().map(done),
        Command::Access(command) => command.run(),
        Command::Prompts(command) => command.run().map(done),
        Command::Revoke(command) => command.run().map(done),
        Command::Revocation(command) => command.run().map(done),
        Command::Jwk(command) => command.run().map(done),
        Command::Jws(command) => command.run().map(done),
        Command::Jwe(command) => command.run().map(done),
        Command::Jwt(command) => command.run().map(done),
        Command::Credential(command) => command.run().map(done),
        Command::Completions(command) => command.run().map(done),
        Command::Man(command) => command.run().map(done),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            terminal::complain(&failure.to_string());
            failure.status()
        }
    }
}
