//! The command line.

mod check;
mod failure;
mod terminal;

pub(crate) use failure::Failure;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Keyward: a key-first gateway for APIs and AI models
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
    Check(check::Check),
}

/// Runs what the arguments say.
pub(crate) fn run() -> ExitCode {
    let line = CommandLine::parse();
    let outcome = match line.command {
        Command::Check(command) => command.run(),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            terminal::complain(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}
