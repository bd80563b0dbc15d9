//! A node that runs on while its configuration or its binary changes.

mod access_log;
pub(crate) mod load;
mod overload;
mod reload;
mod supervisor;
mod upgrade;

use keyward_testkit::KeywardProcess;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The value of a metric without labels.
pub(crate) async fn metric(process: &KeywardProcess, name: &str) -> u64 {
    let page = process.operations_get("/metrics").await.unwrap().text();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {name} in\n{page}"));
    line.parse().unwrap()
}

/// Waits until the metric has the value.
pub(crate) async fn until_metric(process: &KeywardProcess, name: &str, value: u64) {
    let mut waited = Duration::ZERO;
    while metric(process, name).await != value {
        assert!(
            waited < PATIENCE,
            "{name} did not become {value}:\n{}",
            process.log()
        );
        tokio::time::sleep(LOOK_EVERY).await;
        waited += LOOK_EVERY;
    }
}

/// Changes the node's configuration in place, as `sed -i` would: a new file takes the name.
pub(crate) fn edit(process: &KeywardProcess, change: impl FnOnce(String) -> String) {
    let path = process.folder().join("keyward.yaml");
    let beside = process.folder().join("keyward.yaml.new");
    std::fs::write(&beside, change(std::fs::read_to_string(&path).unwrap())).unwrap();
    std::fs::rename(&beside, &path).unwrap();
}
