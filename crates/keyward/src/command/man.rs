//! `keyward man`.

use super::{CommandLine, Failure, terminal};
use clap::{Args, Command, CommandFactory as _, ValueHint};
use clap_mangen::Man;
use std::io;
use std::path::{Path, PathBuf};

const WHAT: &str = "man";

/// Write manual pages
///
/// Without --out, the page of one command goes to standard output: keyward man jwk generate | man -l -
#[derive(Args, Debug)]
pub(super) struct Manual {
    /// Write the pages of all commands into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "command")]
    out: Option<PathBuf>,

    /// The command whose page is written
    command: Vec<String>,
}

impl Manual {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut root = CommandLine::command();
        root.build();
        if let Some(directory) = self.out {
            let failed = |error: io::Error| {
                Failure::new(WHAT, format!("{}: {error}", directory.display()), "output")
            };
            std::fs::create_dir_all(&directory).map_err(failed)?;
            return write_all(&root, &directory).map_err(failed);
        }
        let page = page(find(root, &self.command)?)
            .map_err(|error| Failure::new(WHAT, error.to_string(), "output"))?;
        terminal::write(&page)
    }
}

/// The pages of a command and all below it, each in a file of its own.
fn write_all(command: &Command, directory: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let file = directory.join(format!("{name}.1"));
    std::fs::write(file, page(command.clone())?)?;
    for below in command.get_subcommands() {
        write_all(below, directory)?;
    }
    Ok(())
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command)
        .source(concat!("Keyward ", env!("CARGO_PKG_VERSION")))
        .manual("Keyward")
        .render(&mut page)?;
    Ok(page)
}

fn find(root: Command, names: &[String]) -> Result<Command, Failure> {
    let mut command = root;
    for name in names {
        command = command.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::usage(WHAT, format!("there is no command `{}`", names.join(" ")))
        })?;
    }
    Ok(command)
}
