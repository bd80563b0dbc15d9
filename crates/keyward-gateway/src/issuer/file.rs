//! Keys in a file.

use super::error::IssuerError;
use super::key_set::{FOREVER, State};
use super::source::{Digest, digest_of, read_keys};
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often the file is read. Its contents are compared rather than its times: an orchestrator swaps a
/// link to a folder (Kubernetes), others write twice within one tick of the file system's clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The largest file: as large as the largest key set that is parsed.
const FILE_MAX: u64 = 1024 * 1024;

/// A file that is looked at again and again.
pub(super) struct WatchedFile {
    state: Arc<State>,
    path: PathBuf,
    /// What was found last, so that each thing is told of once.
    last: Option<Found>,
}

#[derive(PartialEq)]
enum Found {
    Contents(Digest),
    Unreadable(String),
}

impl WatchedFile {
    pub(super) fn new(state: Arc<State>, path: PathBuf) -> Self {
        Self {
            state,
            path,
            last: None,
        }
    }

    /// Looks at the file forever.
    pub(super) async fn watch(self) {
        let mut watched = self;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looking = tokio::task::spawn_blocking(move || {
                watched.look();
                watched
            });
            match looking.await {
                Ok(back) => watched = back,
                // The runtime is going down.
                Err(_) => return,
            }
        }
    }

    /// Reads the file, and publishes its keys when they are others. What is wrong is reported once, and the
    /// keys before stay.
    pub(super) fn look(&mut self) {
        let contents = self.read();
        let found = match &contents {
            Ok(contents) => Found::Contents(digest_of(contents)),
            Err(why) => Found::Unreadable(why.clone()),
        };
        if self.last.as_ref() == Some(&found) {
            return;
        }
        match contents {
            Ok(contents) => {
                let source = digest_of(&contents);
                let published = read_keys(&contents)
                    .and_then(|keys| self.state.publish(&keys, source, FOREVER));
                if let Err(error) = published {
                    self.state.counters.refused.add_one();
                    self.report(error.to_string());
                }
            }
            Err(why) => {
                self.state.counters.failed.add_one();
                self.report(why);
            }
        }
        self.last = Some(found);
    }

    fn report(&self, why: String) {
        self.state.report(IssuerError::File {
            path: self.path.display().to_string(),
            why,
        });
    }

    fn read(&self) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
        // It may be a private key's: what is read is wiped.
        let mut contents = zeroize::Zeroizing::new(Vec::new());
        File::open(&self.path)
            .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut contents))
            .map_err(|error| error.to_string())?;
        if u64::try_from(contents.len()).unwrap_or(u64::MAX) > FILE_MAX {
            return Err("it is larger than 1 MiB".to_owned());
        }
        Ok(contents)
    }
}
