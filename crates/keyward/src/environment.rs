//! The one place where the environment is read.

/// Names the configuration file when `--config` doesn't.
pub(crate) const CONFIG: &str = "KEYWARD_CONFIG";

/// Gives the master key instead of the file in the data directory.
pub(crate) const MASTER_KEY: &str = "KEYWARD_MASTER_KEY";

/// The variable `name`, if it is set and is text.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
