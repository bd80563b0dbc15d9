//! A shell: a directory with files, and the binary to run in it.

use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory with files, and the binary to run in it.
pub(crate) struct Shell {
    pub(crate) directory: tempfile::TempDir,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("KEYWARD_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses its arguments does not read: a broken pipe is none of our business.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that has to work.
    #[track_caller]
    pub(crate) fn pipe(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let output = self.run(arguments, input);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// The error line of a command that has to be refused, and that nothing went out.
    #[track_caller]
    pub(crate) fn refusal(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run(arguments, input);
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {line}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert!(line.starts_with("keyward: "), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    }

    pub(crate) fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// A key for `alg` in a file, and its public part (or itself, when symmetric) in another.
    pub(crate) fn key(&self, alg: &str) -> (String, String) {
        let private = self.pipe(&["jwk", "generate", "--alg", alg], b"");
        let kty = serde_json::from_slice::<Value>(&private).unwrap()["kty"].clone();
        let public = if kty == "oct" {
            private.clone()
        } else {
            self.pipe(&["jwk", "public"], &private)
        };
        let name = |part: &str| format!("{}.{part}", alg.replace('+', "_"));
        self.file(&name("private"), &private);
        self.file(&name("public"), &public);
        (name("private"), name("public"))
    }
}

/// What was written as JSON.
pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}
