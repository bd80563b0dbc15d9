//! What operators see of the database's resources on this node: those that it does not serve, and why.

use keyward_web::node::LeftOut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many of what is left out are named where all of it would be too much to read.
const NAMED_MAX: usize = 10;

/// What is not served as the database has it.
#[derive(Debug, Default)]
pub(crate) struct DatabaseStatus {
    left_out: Mutex<Vec<LeftOut>>,
    /// Whether what others have changed can't be taken in just now.
    pub(super) behind: AtomicBool,
}

impl DatabaseStatus {
    /// Leaves these out from now on. What is new among them is told, and what is served again.
    pub(super) fn leave_out(&self, mut now: Vec<LeftOut>) {
        now.sort();
        let mut known = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        for one in now.iter().filter(|one| !known.contains(one)) {
            tracing::error!(
                "configuration: {} is left out on this node, and all else is served: {}",
                one.resource,
                one.why
            );
        }
        let called = |all: &[LeftOut], name: &str| all.iter().any(|one| one.resource == name);
        for one in known.iter().filter(|one| !called(&now, &one.resource)) {
            tracing::info!("configuration: {} is left out no more", one.resource);
        }
        *known = now;
    }

    /// How many resources of the database are not served here.
    pub(crate) fn left_out(&self) -> usize {
        let known = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        known.len()
    }

    /// Whether what others have changed can't be taken in just now.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// A line for each thing that is not as the database has it; empty when all is.
    pub(crate) fn told(&self) -> String {
        let known = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = String::new();
        for one in known.iter().take(NAMED_MAX) {
            lines.push_str(&format!("left out: {}: {}\n", one.resource, one.why));
        }
        if let Some(more) = known.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            lines.push_str(&format!("left out: {more} more\n"));
        }
        if self.is_behind() {
            lines.push_str("behind: what others changed can't be taken in\n");
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told_with_its_reason_and_a_bound() {
        let status = DatabaseStatus::default();
        assert_eq!(status.told(), "");
        let one = |number: usize| LeftOut {
            resource: format!("api `a{number:02}`"),
            why: "its path is taken".to_owned(),
        };
        status.leave_out((0..12).map(one).collect());
        let told = status.told();
        assert!(
            told.starts_with("left out: api `a00`: its path is taken\n"),
            "{told}"
        );
        assert!(told.ends_with("left out: 2 more\n"), "{told}");
        assert_eq!(status.left_out(), 12);
        status.leave_out(Vec::new());
        assert_eq!((status.told().as_str(), status.left_out()), ("", 0));
    }
}
