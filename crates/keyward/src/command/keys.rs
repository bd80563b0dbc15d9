//! `keyward keys`: the key above all others.

use super::node_configuration::node_configuration;
use super::node_store::to_its_end;
use super::{Failure, terminal};
use crate::configuration::pkcs11::is_label;
use crate::environment;
use crate::own_keys::data_dir;
use crate::own_keys::master_key::{self, FromEnvironment, KeyPlace, Rotated};
use clap::{Args, Subcommand};
use keyward_model::{Clock as _, Secret, SystemClock};
use std::path::PathBuf;

/// The key above all others
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    RotateMaster(RotateMaster),
    MakeMaster(MakeMaster),
}

impl Keys {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::RotateMaster(command) => command.run(),
            Self::MakeMaster(command) => command.run(),
        }
    }
}

/// Put another master key in the place of the one there is
///
/// The keys that secrets are sealed under are wrapped anew; no secret is touched, no API key breaks, and what the node
/// signs stays good. Where the master key is a file in the data directory, a new one is made there, and the old one
/// stays beside it under another name: backups from before need it. Where KEYWARD_MASTER_KEY gives it, the new one is
/// read from KEYWARD_NEW_MASTER_KEY. With `--to` the new one is somewhere else than the old one; `master_key` in the
/// configuration of each node then says so, and is changed by you.
///
/// Nodes that run go on. Start each anew with the new key when it suits: until then it can't make further keys of the
/// hierarchy.
#[derive(Args, Debug)]
pub(super) struct RotateMaster {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// Where the new one is: `file`, `environment`, or `pkcs11:LABEL` for one that a PKCS#11 token derives from its key
    /// of that label. Without this option it is where the old one is
    #[arg(long, value_name = "PLACE", value_parser = key_place)]
    to: Option<KeyPlace>,
}

/// Make a key in the PKCS#11 token that a master key can be derived from
///
/// The token keeps it: it is made not to be read out or taken elsewhere. It is used by nobody before `master_key` in the
/// configuration names it, at the first start or after `rotate-master --to pkcs11:LABEL`.
#[derive(Args, Debug)]
pub(super) struct MakeMaster {
    /// The node's configuration. Without this option KEYWARD_CONFIG names it; without that it is keyward.yaml
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    /// What the key is called. Without this option it is what `master_key` in the configuration says
    #[arg(long)]
    label: Option<String>,
}

impl MakeMaster {
    fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let place = configuration.data_place();
        let named = self
            .label
            .or_else(|| place.master_key.as_deref().map(str::to_owned));
        let label = named.ok_or_else(|| {
            Failure::new(
                "master key",
                "say what the key is to be called: `--label LABEL`",
                "label_missing",
            )
        })?;
        let label = checked(&label)
            .map_err(|why| Failure::new("--label", why, "bad_value"))?
            .to_owned();
        let token = data_dir::token(&place)?;
        to_its_end(async {
            let made = token.make_master_key(&label).await;
            made.map_err(|error| Failure::new("master key", error.to_string(), error.code()))
        })?;
        terminal::write_line(&format!(
            "done: the PKCS#11 token `{}` has a secret key `{label}`. A new deployment uses it with `master_key: {{ pkcs11: {{ label: '{label}' }} }}`; one that has a master key goes over to it with `keyward keys rotate-master --to 'pkcs11:{label}'`. Without this key nothing that is encrypted under it can be read again: have the token's own backup made",
            token.label()
        ))
    }
}

fn key_place(text: &str) -> Result<KeyPlace, String> {
    match text {
        "file" => Ok(KeyPlace::File),
        "environment" => Ok(KeyPlace::Environment),
        other => match other.strip_prefix("pkcs11:") {
            Some(label) => checked(label).map(|label| KeyPlace::Token(label.into())),
            None => Err("write `file`, `environment` or `pkcs11:LABEL`".to_owned()),
        },
    }
}

fn checked(label: &str) -> Result<&str, String> {
    if is_label(label) {
        return Ok(label);
    }
    Err("a label has 1 to 32 bytes, no control characters, and no space at its ends".to_owned())
}

impl RotateMaster {
    fn run(self) -> Result<(), Failure> {
        let configuration = node_configuration(self.config.as_ref())?;
        let variable = |name| environment::variable(name).map(Secret::new);
        let rotated = to_its_end(master_key::rotate(
            &configuration.data_place(),
            self.to,
            FromEnvironment {
                current: variable(environment::MASTER_KEY),
                new: variable(environment::NEW_MASTER_KEY),
            },
            SystemClock::new().now(),
        ))?;
        terminal::write_line(&told(&rotated))
    }
}

/// What was done, and what is left to do.
fn told(rotated: &Rotated) -> String {
    let Rotated {
        from,
        to,
        new_file,
        old_file,
        left_undone,
    } = rotated;
    let shown = |path: &Option<PathBuf>| {
        path.as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let old = match (from, old_file) {
        (_, Some(_)) => format!(
            "the old one is in {}, for the backups from before: keep it in another place",
            shown(old_file)
        ),
        (KeyPlace::Token(label), None) => format!(
            "backups from before need the old one: leave the key `{label}` in the token as long as you keep them"
        ),
        (KeyPlace::Environment | KeyPlace::File, None) => {
            "keep the old one for the backups from before".to_owned()
        }
    };
    let (new, next) = match to {
        KeyPlace::Environment => (
            "the database is under the new master key".to_owned(),
            format!("give it in {} and start the nodes anew", environment::MASTER_KEY),
        ),
        KeyPlace::File => (
            format!("the new master key is in {}", shown(new_file)),
            match from {
                KeyPlace::File => {
                    "keep a copy of it in another place, too, and start the nodes anew when it suits"
                        .to_owned()
                }
                KeyPlace::Environment => format!(
                    "keep a copy of it in another place, too; take {} away and start the nodes anew",
                    environment::MASTER_KEY
                ),
                KeyPlace::Token(_) => "keep a copy of it in another place, too; take `master_key` out of each node's configuration and start the nodes anew".to_owned(),
            },
        ),
        KeyPlace::Token(label) => (
            format!("the master key is derived from the key `{label}` of the PKCS#11 token"),
            format!(
                "write `master_key: {{ pkcs11: {{ label: '{label}' }} }}` into each node's configuration{} and start the nodes anew",
                match from {
                    KeyPlace::Environment => format!(", take {} away", environment::MASTER_KEY),
                    KeyPlace::File | KeyPlace::Token(_) => String::new(),
                }
            ),
        ),
    };
    let undone = left_undone.as_ref();
    let undone = undone.map(|why| format!("; left undone: {why}"));
    format!("done: {new}; {old}; {next}{}", undone.unwrap_or_default())
}
