//! The one place where the environment is read.

/// Names the configuration file when `--config` doesn't.
pub(crate) const CONFIG: &str = "KEYWARD_CONFIG";

/// Gives the master key instead of the file in the data directory.
pub(crate) const MASTER_KEY: &str = "KEYWARD_MASTER_KEY";

/// Gives the master key that is to come in its place.
pub(crate) const NEW_MASTER_KEY: &str = "KEYWARD_NEW_MASTER_KEY";

/// The address of the management API when `--server` doesn't say it.
pub(crate) const SERVER: &str = "KEYWARD_SERVER";

/// Holds the token for the management API when `--token` names no file.
pub(crate) const TOKEN: &str = "KEYWARD_TOKEN";

/// How much is told on standard error.
pub(crate) const LOG: &str = "KEYWARD_LOG";

/// Where the service manager is told how the process is.
pub(crate) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// What this machine's environment says of its own credentials for clouds.
pub(crate) fn machine() -> keyward_gateway::MachineEnvironment {
    keyward_gateway::MachineEnvironment::read(variable)
}

/// The listening sockets that the service manager passed to this process (`LISTEN_FDS`), which are its own
/// from then on: no process that it starts has them. To be called once, before there are threads.
pub(crate) fn passed_sockets() -> std::io::Result<Vec<std::net::TcpListener>> {
    let mut passed = listenfd::ListenFd::from_env();
    (0..passed.len())
        .filter_map(|index| passed.take_tcp_listener(index).transpose())
        .collect()
}

/// The variable `name`, if it is set. Bytes that are no text are replaced, so that whoever reads the value
/// refuses it: a master key that can't be read must not count as none.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
