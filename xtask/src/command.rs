//! Running other programs, with their output on ours and nothing on their input.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs to the end in `folder`; an error names the command as it can be typed.
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    run_with(folder, program, arguments, &[])
}

/// As [`run`], with variables set in the program's environment.
pub(crate) fn run_with(
    folder: &Path,
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<(), String> {
    let typed = format!("{program} {}", arguments.join(" "));
    println!("$ {typed}");
    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("`{typed}` could not start: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{typed}` failed ({status})"))
    }
}

/// Whether the command runs and succeeds; its output is dropped.
pub(crate) fn succeeds(folder: &Path, program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
