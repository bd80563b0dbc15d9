//! Whether the server forgets what it likes when its memory is full.

use redis::aio::MultiplexedConnection;

/// By which policy it does, if it does. A server that does not tell, since this user may not ask, is taken at its word:
/// it does not, unless that was changed.
pub(super) async fn policy(connection: &mut MultiplexedConnection) -> Option<String> {
    let mut info = redis::cmd("INFO");
    let told: String = info.arg("memory").query_async(connection).await.ok()?;
    let value = |name: &str| {
        let mut lines = told.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let policy = value("maxmemory_policy")?;
    let bounded = value("maxmemory").is_some_and(|bound| bound != "0");
    (bounded && policy != "noeviction").then(|| policy.to_owned())
}
