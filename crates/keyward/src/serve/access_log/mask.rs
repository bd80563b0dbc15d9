//! Fields that are made unrecognizable: a name becomes a keyed hash, the same for the same name, so that
//! lines can be counted and joined and nobody is named; an address loses its host.

use crate::configuration::access_log::{FieldSet, LogField};
use aws_lc_rs::{hmac, rand};
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The key's name in the data directory.
const KEY_FILE: &str = "access-log.key";
/// As long as the hash: a longer one would add nothing.
const KEY_BYTES: usize = 32;
/// How much of a hash is written: with 64 bits, a hundred million names share none by accident.
const HASH_BYTES: usize = 8;
/// What an address keeps: the network that a provider gives to one customer, or several of them.
const V4_PREFIX: u32 = 24;
const V6_PREFIX: u32 = 48;

/// What is masked, and how.
pub(super) struct Mask {
    fields: FieldSet,
    /// There when a field is hashed.
    key: Option<hmac::Key>,
}

impl Mask {
    /// Masks these fields. Hashes are keyed by a file in `data_dir`, which is made when there is none, so
    /// that they are the same after a restart; who takes it away makes all names new.
    pub(super) fn new(fields: FieldSet, data_dir: &Path) -> io::Result<Self> {
        let hashed = [LogField::Subject, LogField::Client, LogField::Path];
        let key = if hashed.into_iter().any(|field| fields.has(field)) {
            let bytes = read_or_make(&data_dir.join(KEY_FILE))?;
            Some(hmac::Key::new(hmac::HMAC_SHA256, &*bytes))
        } else {
            None
        };
        Ok(Self { fields, key })
    }

    /// Masks nothing.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            fields: FieldSet::NONE,
            key: None,
        }
    }

    /// What is written in the place of `value`; `None` when that itself is.
    pub(super) fn of_text(&self, field: LogField, value: &str) -> Option<String> {
        if !self.fields.has(field) {
            return None;
        }
        let key = self.key.as_ref()?;
        // The field goes in, so that equal values of two fields are not seen to be equal.
        let mut hash = hmac::Context::with_key(key);
        hash.update(&[field as u8]);
        hash.update(value.as_bytes());
        let hash = hash.sign();
        let mut text = "hash:".to_owned();
        for byte in hash.as_ref().iter().take(HASH_BYTES) {
            let _ = write!(text, "{byte:02x}");
        }
        Some(text)
    }

    /// The address as it is written.
    pub(super) fn of_address(&self, address: IpAddr) -> IpAddr {
        if !self.fields.has(LogField::Address) {
            return address;
        }
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let network = u32::MAX << (u32::BITS - V4_PREFIX);
                Ipv4Addr::from_bits(address.to_bits() & network).into()
            }
            IpAddr::V6(address) => {
                let network = u128::MAX << (u128::BITS - V6_PREFIX);
                Ipv6Addr::from_bits(address.to_bits() & network).into()
            }
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask")
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

fn read_or_make(path: &Path) -> io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(named),
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(&mut *key).map_err(|_| io::Error::other("the random generator failed"))?;
    match write(path, &key) {
        Ok(()) => Ok(key),
        // Another process was faster: its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path).map_err(named),
        Err(error) => Err(named(error)),
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let mut file = File::open(path)?;
    file.read_exact(&mut *key).map_err(|error| {
        io::Error::new(
            error.kind(),
            "it is too short for a key: take it away, and a new one is made (hashes change with it)",
        )
    })?;
    Ok(key)
}

/// Whole or not at all, and never over one that is there.
fn write(path: &Path, key: &[u8; KEY_BYTES]) -> io::Result<()> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(io::Error::other)?;
    let beside = path.with_extension(format!("{:016x}.new", u64::from_be_bytes(random)));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let written = file
        .write_all(key)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&beside, path));
    let removed = std::fs::remove_file(&beside);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> FieldSet {
        FieldSet::ALL
    }

    #[test]
    fn a_name_has_one_hash_for_each_field_and_keeps_it_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mask = Mask::new(all(), folder.path()).unwrap();
        let subject = mask.of_text(LogField::Subject, "alice").unwrap();
        assert!(!subject.contains("alice") && subject.len() == "hash:".len() + 16);
        let again = Mask::new(all(), folder.path()).unwrap();
        assert_eq!(again.of_text(LogField::Subject, "alice").unwrap(), subject);
        assert_ne!(again.of_text(LogField::Client, "alice").unwrap(), subject);
        assert_ne!(again.of_text(LogField::Subject, "bob").unwrap(), subject);
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Mask::new(all(), elsewhere.path()).unwrap();
        assert_ne!(other.of_text(LogField::Subject, "alice").unwrap(), subject);
    }

    #[test]
    fn the_key_is_the_owners_alone_and_made_only_where_it_is_needed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEY_FILE);
        let address = FieldSet::NONE.with(LogField::Address);
        Mask::new(address, folder.path()).unwrap();
        assert!(!path.exists());
        Mask::new(all(), folder.path()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "short").unwrap();
        let refused = Mask::new(all(), folder.path()).unwrap_err().to_string();
        assert!(refused.contains("too short for a key"), "{refused}");
    }

    #[test]
    fn an_address_keeps_its_network() {
        let folder = tempfile::tempdir().unwrap();
        let mask = Mask::new(all(), folder.path()).unwrap();
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3::7", "2001:db8:1::"),
        ] {
            let masked = mask.of_address(address.parse().unwrap());
            assert_eq!(masked, network.parse::<IpAddr>().unwrap(), "{address}");
            let kept = Mask::none().of_address(address.parse().unwrap());
            assert_eq!(kept, address.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn what_is_not_masked_stays() {
        assert_eq!(Mask::none().of_text(LogField::Subject, "alice"), None);
    }
}
