//! Whether a file of the configuration has changed.

use super::event::Event;
use crate::configuration::file::SeenFile;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often is looked: a few calls of the system, which cost nothing even when there are many files. What
/// differs is read when two looks in a row found the same, so that no file is read while it is written.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The files that the configuration in force was read from. Shared by who looks and who reads them anew.
#[derive(Clone, Debug)]
pub(super) struct WatchedFiles(Arc<Mutex<Watched>>);

#[derive(Debug)]
struct Watched {
    /// As they were when they were read.
    read: Vec<SeenFile>,
    /// As the last look found them, when that differed.
    differing: Option<Vec<SeenFile>>,
}

impl WatchedFiles {
    pub(super) fn new(read: Vec<SeenFile>) -> Self {
        Self(Arc::new(Mutex::new(Watched {
            read,
            differing: None,
        })))
    }

    /// These were read now.
    pub(super) fn were_read(&self, read: Vec<SeenFile>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Watched {
            read,
            differing: None,
        };
    }

    /// Looks; true once when something has changed and stayed so since the last look.
    fn look(&self) -> bool {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now: Vec<SeenFile> = watched.read.iter().map(SeenFile::again).collect();
        if now == watched.read {
            watched.differing = None;
            return false;
        }
        if watched.differing.as_ref() == Some(&now) {
            watched.read = now;
            watched.differing = None;
            return true;
        }
        watched.differing = Some(now);
        false
    }
}

/// Looks forever, and tells of each change.
pub(super) async fn watch(files: WatchedFiles, events: mpsc::Sender<Event>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let looked = files.clone();
        // A file system over the network may take its time.
        let changed = tokio::task::spawn_blocking(move || looked.look()).await;
        match changed {
            Ok(true) => {
                if events
                    .send(Event::Reload("a file has changed"))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Ok(false) => {}
            // The runtime is going down.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn watched(path: &Path) -> WatchedFiles {
        WatchedFiles::new(vec![SeenFile::now(path)])
    }

    #[test]
    fn a_change_is_told_once_and_when_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyward.yaml");
        std::fs::write(&path, "one").unwrap();
        let files = watched(&path);
        assert!(!files.look());
        std::fs::write(&path, "one and").unwrap();
        assert!(!files.look(), "it may be half written");
        std::fs::write(&path, "one and two").unwrap();
        assert!(!files.look(), "it was half written");
        assert!(files.look());
        assert!(!files.look());
    }

    #[test]
    fn a_file_in_the_place_of_another_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyward.yaml");
        std::fs::write(&path, "one").unwrap();
        let files = watched(&path);
        let beside = folder.path().join("beside");
        std::fs::write(&beside, "two").unwrap();
        std::fs::rename(&beside, &path).unwrap();
        assert!(!files.look());
        assert!(files.look());
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new, link] = ["old", "new", "link"].map(|name| folder.path().join(name));
        for place in [&old, &new] {
            std::fs::create_dir(place).unwrap();
            std::fs::write(place.join("keyward.yaml"), "same").unwrap();
        }
        std::os::unix::fs::symlink(&old, &link).unwrap();
        let files = watched(&link.join("keyward.yaml"));
        assert!(!files.look());
        std::fs::remove_file(&link).unwrap();
        assert!(!files.look());
        std::os::unix::fs::symlink(&new, &link).unwrap();
        assert!(!files.look());
        assert!(files.look());
    }

    #[test]
    fn a_file_that_comes_back_as_it_was_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyward.yaml");
        let away = folder.path().join("away");
        std::fs::write(&path, "one").unwrap();
        std::fs::rename(&path, &away).unwrap();
        std::fs::rename(&away, &path).unwrap();
        let files = watched(&path);
        assert!(!files.look());
        assert!(!files.look());
    }
}
