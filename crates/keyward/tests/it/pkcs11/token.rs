//! A token of SoftHSM's.

use crate::node::Plan;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Debian's package `softhsm2`.
pub(super) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Writes down each call of another module: OpenSC's, of Debian's package `opensc-pkcs11`.
const SPY: &str = "pkcs11-spy.so";

pub(super) const PIN: &str = "pin-719342";
pub(super) const WRONG_PIN: &str = "pin-000000";

/// A token `keyward` in a folder of its own, which is known to those processes alone that have its environment.
pub(super) struct SoftToken {
    folder: TempDir,
}

/// A private key in a token, as OpenSC's program lists it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) label: String,
    pub(super) access: String,
}

impl SoftToken {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tokens")).unwrap();
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            folder.path().join("tokens").display()
        );
        std::fs::write(folder.path().join("softhsm2.conf"), settings).unwrap();
        std::fs::write(folder.path().join("pin"), format!("{PIN}\n")).unwrap();
        let token = Self { folder };
        token.done(Command::new("softhsm2-util").args([
            "--init-token",
            "--free",
            "--label",
            "keyward",
            "--pin",
            PIN,
            "--so-pin",
            "so-561203",
        ]));
        token
    }

    /// What lets a process find the token, and write down what it asks of it.
    pub(super) fn environment(&self) -> [(&'static str, String); 3] {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        [
            ("SOFTHSM2_CONF", path("softhsm2.conf")),
            ("PKCS11SPY", MODULE.to_owned()),
            ("PKCS11SPY_OUTPUT", path("calls")),
        ]
    }

    /// The lines of a configuration that name it.
    pub(super) fn settings(&self) -> String {
        self.settings_of(Path::new(MODULE), "pin", "")
    }

    fn settings_of(&self, module: &Path, pin: &str, rest: &str) -> String {
        format!(
            "pkcs11: {{ module: {}, token: keyward, pin: \"${{FILE:{}}}\"{rest} }}",
            module.display(),
            self.folder.path().join(pin).display()
        )
    }

    /// A node that has it.
    pub(super) fn plan(&self) -> Plan {
        self.plan_with(&self.settings())
    }

    /// A node that has it, by these lines.
    pub(super) fn plan_with(&self, settings: &str) -> Plan {
        let plan = Plan::default().settings(settings);
        let environment = self.environment();
        environment
            .into_iter()
            .fold(plan, |plan, (name, value)| plan.environment(name, value))
    }

    /// As [`settings`](Self::settings), with keys of the issuer `self` in it.
    pub(super) fn settings_with_own_keys(&self) -> String {
        self.settings_of(Path::new(MODULE), "pin", ", own_keys: true")
    }

    /// As [`settings`](Self::settings), with a PIN that is none, and each call written down.
    pub(super) fn settings_with_a_wrong_pin(&self) -> String {
        std::fs::write(self.folder.path().join("wrong"), WRONG_PIN).unwrap();
        self.settings_of(&spy(), "wrong", "")
    }

    /// How often somebody has tried to sign in through what writes calls down.
    pub(super) fn logins(&self) -> usize {
        let calls = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls
            .lines()
            .filter(|line| line.contains("C_Login"))
            .count()
    }

    /// Takes it away from all processes.
    pub(super) fn take_away(&self) {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::rename(at("tokens"), at("elsewhere")).unwrap();
    }

    pub(super) fn put_back(&self) {
        let at = |name: &str| self.folder.path().join(name);
        std::fs::rename(at("elsewhere"), at("tokens")).unwrap();
    }

    /// From now on no process that loads the module gets an answer: it waits for settings that nobody writes.
    pub(super) fn hang(&self) {
        let settings = self.folder.path().join("softhsm2.conf");
        std::fs::remove_file(&settings).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&settings)
                .status()
                .unwrap()
                .success()
        );
    }

    /// What OpenSC's program says when it is asked so.
    pub(super) fn tool(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("pkcs11-tool");
        command.args([
            "--module",
            MODULE,
            "--token-label",
            "keyward",
            "--login",
            "--pin",
            PIN,
        ]);
        self.done(command.args(arguments))
    }

    /// The private keys in it, as somebody sees them who knows the PIN.
    pub(super) fn private_keys(&self) -> Vec<Listed> {
        let listed = self.tool(&["--list-objects", "--type", "privkey"]);
        let mut keys: Vec<Listed> = Vec::new();
        for line in listed.lines() {
            let line = line.trim();
            if line.starts_with("Private Key Object") {
                keys.push(Listed {
                    label: String::new(),
                    access: String::new(),
                });
            } else if let Some(key) = keys.last_mut() {
                if let Some(label) = line.strip_prefix("label:") {
                    key.label = label.trim().to_owned();
                } else if let Some(access) = line.strip_prefix("Access:") {
                    key.access = access.trim().to_owned();
                }
            }
        }
        keys
    }

    fn done(&self, command: &mut Command) -> String {
        let output = command.envs(self.environment()).output();
        let output =
            output.expect("softhsm2 and opensc are needed: `cargo xtask test` installs them");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// It lies in a folder that is named after the machine.
fn spy() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let mut found = folders.map(|entry| entry.unwrap().path().join(SPY));
    found
        .find(|path| path.is_file())
        .expect("opensc-pkcs11 is needed: `cargo xtask test` installs it")
}
