//! `keyward completions`.

use super::{CommandLine, Failure, terminal};
use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

/// Write a shell's completions to standard output
///
/// For bash: keyward completions bash > ~/.local/share/bash-completion/completions/keyward
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(
            self.shell,
            &mut CommandLine::command(),
            "keyward",
            &mut script,
        );
        terminal::write(&script)
    }
}
