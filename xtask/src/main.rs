//! Keyward's own tasks: `cargo xtask tidy | install | test | bench | image`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task speaks to the terminal it runs in"
)]

mod bench;
mod command;
mod image;
mod install;
mod suite;
mod tidy;

use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Keyward's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Tasks {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks layers, absences, rooms and documents
    Tidy,
    /// Installs what the tests need: Debian packages, cargo-deny, Python libraries in .venv
    Install,
    /// Everything that CI checks
    Test(TestOptions),
    /// Makes a static binary and an image from scratch around it
    Image(image::Options),
    /// Compares with peers, side by side on this machine
    Bench(bench::Options),
}

/// How far `test` goes.
#[derive(Args)]
pub(crate) struct TestOptions {
    /// Fuzz targets, soak and kill tests too: hours, and a nightly toolchain for the fuzzer
    #[arg(long)]
    long: bool,
    /// How long each fuzz target runs
    #[arg(long, value_name = "MINUTES", default_value_t = 15, requires = "long")]
    fuzz_minutes: u64,
}

fn main() -> ExitCode {
    let tasks = Tasks::parse();
    let root = root();
    let result = match tasks.task {
        Task::Tidy => tidy::run(&root),
        Task::Install => install::everything(&root),
        Task::Image(options) => image::make(&root, &options),
        Task::Bench(options) => bench::run_bench(&root, &options),
        Task::Test(options) => suite::run_suite(&root, &options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The repository: the folder above this package's.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}
