//! The gateway as a process of its own.

use crate::client::{Answer, RawClient};
use crate::port::free_addresses;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long the process may take to be ready, on a machine that does other things too.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to end when asked to: its own bound on running calls, and some more.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// A running `keyward serve` with a data folder of its own and ports of its own. Killed when dropped.
#[derive(Debug)]
pub struct KeywardProcess {
    child: Child,
    launch: Launch,
    folder: TempDir,
    gateway: SocketAddr,
    site: SocketAddr,
    operations: SocketAddr,
}

impl KeywardProcess {
    /// Starts `binary` (in an integration test `env!("CARGO_BIN_EXE_keyward")`) and waits until it is
    /// ready.
    ///
    /// `settings` are lines for the top of the configuration (`workers: 2`), `resources` is the list of
    /// resources in YAML, each beginning with `- kind:`. Listeners and `data_dir` are added. Relative
    /// paths are those of [`folder`](Self::folder), where `files` (name, contents) are written before.
    ///
    /// # Panics
    /// When the process does not get ready: the message has its log.
    pub async fn start(
        binary: impl AsRef<Path>,
        settings: &str,
        resources: &str,
        files: &[(&str, &str)],
    ) -> Self {
        Self::start_in(binary, &[], settings, resources, files).await
    }

    /// As [`start`](Self::start), with variables of the environment (name, value).
    ///
    /// # Panics
    /// When the process does not get ready: the message has its log.
    pub async fn start_in(
        binary: impl AsRef<Path>,
        environment: &[(&str, &str)],
        settings: &str,
        resources: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let (addresses, configuration) = configured(settings, resources);
        let launch = Launch::new(binary.as_ref(), &[], environment);
        Self::launch(launch, addresses, &configuration, files).await
    }

    /// Starts `binary` with a whole configuration, and waits until it is ready.
    ///
    /// It is one that is written for the usual ports: `127.0.0.1:8080` (gateway), `127.0.0.1:8090` (site)
    /// and `127.0.0.1:9090` (operations, which it must have) become addresses that are free. `environment`
    /// are variables (name, value), `files` as with [`start`](Self::start).
    ///
    /// # Panics
    /// When the process does not get ready: the message has its log.
    pub async fn start_configured(
        binary: impl AsRef<Path>,
        configuration: &str,
        environment: &[(&str, &str)],
        files: &[(&str, &str)],
    ) -> Self {
        let launch = Launch::new(binary.as_ref(), &[], environment);
        Self::start_at_free_addresses(launch, configuration, files).await
    }

    /// As [`start`](Self::start), on a machine whose names are those of the file `hosts` in its folder, in the
    /// form of `/etc/hosts`: the process has mounts of its own. Write to the file to change what a name
    /// stands for; another file in its place is not seen. Linux, with `unshare`.
    ///
    /// # Panics
    /// When the process does not get ready: the message has its log.
    pub async fn start_with_hosts(
        binary: impl AsRef<Path>,
        settings: &str,
        resources: &str,
        hosts: &str,
    ) -> Self {
        let mut launch = Launch::new(binary.as_ref(), &[], &[]);
        launch.arguments_before = [
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            "mount --bind hosts /etc/hosts && exec \"$@\"",
            "sh",
        ]
        .map(str::to_owned)
        .to_vec();
        launch
            .arguments_before
            .push(launch.binary.display().to_string());
        launch.binary = "unshare".into();
        let (addresses, configuration) = configured(settings, resources);
        Self::launch(launch, addresses, &configuration, &[("hosts", hosts)]).await
    }

    /// Starts `binary` with `--demo` and nothing configured but addresses that are free.
    ///
    /// # Panics
    /// When the process does not get ready: the message has its log.
    pub async fn start_demo(binary: impl AsRef<Path>) -> Self {
        let launch = Launch::new(binary.as_ref(), &["--demo"], &[]);
        let configuration = "format: 1\nlisteners: [ { address: \"127.0.0.1:8080\", serves: gateway }, { address: \"127.0.0.1:9090\", serves: operations } ]\n";
        Self::start_at_free_addresses(launch, configuration, &[]).await
    }

    async fn start_at_free_addresses(
        launch: Launch,
        configuration: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let addresses = free_addresses();
        let usual = ["127.0.0.1:8080", "127.0.0.1:8090", "127.0.0.1:9090"];
        let configuration = usual
            .iter()
            .zip(addresses)
            .fold(configuration.to_owned(), |text, (usual, address)| {
                text.replace(usual, &address.to_string())
            });
        Self::launch(launch, addresses, &configuration, files).await
    }

    async fn launch(
        launch: Launch,
        [gateway, site, operations]: [SocketAddr; 3],
        configuration: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("the folder for temporary files can be written");
        for (name, contents) in files {
            std::fs::write(folder.path().join(name), contents).expect("a new folder is writable");
        }
        std::fs::write(folder.path().join("keyward.yaml"), configuration)
            .expect("a new folder is writable");
        let mut process = Self {
            child: launch.spawn(folder.path()),
            launch,
            folder,
            gateway,
            site,
            operations,
        };
        process.get_ready().await;
        process
    }

    /// Asks it to end, waits until it has, and starts it again in the same folder, at the same addresses.
    ///
    /// # Panics
    /// When it does not end, or does not get ready again.
    pub async fn restart(&mut self) {
        self.end().await;
        self.child = self.launch.spawn(self.folder.path());
        self.get_ready().await;
    }

    /// Starts it once more in the same folder, to take over from the one that runs, and waits until that
    /// has ended: whether it did well.
    ///
    /// # Panics
    /// When the one that runs does not end: the message has the log.
    pub async fn take_over(&mut self) -> ExitStatus {
        let mut launch = self.launch.clone();
        launch.arguments.push("--take-over".to_owned());
        let mut successor = launch.spawn(self.folder.path());
        let ended = tokio::time::timeout(STOPPED_WITHIN, async {
            while !self.has_ended() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        let ended = ended.await.is_ok();
        if !ended {
            // Nobody else would end it.
            let _killed = successor.kill();
            let _status = successor.wait();
        }
        assert!(ended, "keyward was not taken over from:\n{}", self.log());
        let status = self.child.wait().expect("it has ended");
        self.child = successor;
        self.get_ready().await;
        status
    }

    async fn get_ready(&mut self) {
        let ready = tokio::time::timeout(READY_WITHIN, self.until_ready()).await;
        assert!(
            matches!(ready, Ok(true)),
            "keyward did not get ready:\n{}",
            self.log()
        );
    }

    /// Waits until it is ready; `false` when it has ended instead.
    async fn until_ready(&mut self) -> bool {
        loop {
            if self.has_ended() {
                return false;
            }
            if let Ok(answer) = get(self.operations, "/readyz").await
                && answer.status == 200
            {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait();
        status.expect("a child can be waited for").is_some()
    }

    /// Where published APIs are.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Where the site is.
    #[must_use]
    pub fn site(&self) -> SocketAddr {
        self.site
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its working folder, with `keyward.yaml` and `data`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What it has written to standard output and standard error.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name: &str| {
            // Not there yet is as good as empty.
            let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        format!("{}{}", read("stdout.log"), read("stderr.log"))
    }

    /// GETs a path of the operations listener: `/metrics`, `/healthz`.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn operations_get(&self, path: &str) -> std::io::Result<Answer> {
        get(self.operations, path).await
    }

    /// The most memory that was resident at one time, in bytes, as the system counts it. Linux.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// The memory that is resident now, in bytes, as the system counts it. Linux.
    ///
    /// # Panics
    /// When the process is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the process is running");
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .and_then(|number| number.trim().parse::<u64>().ok());
        kibibytes.expect("the system tells the size") * 1024
    }

    /// Sends a signal by its name: `TERM`, `HUP`, `STOP`, `CONT`, `KILL`.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: there is no signal in the standard library.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .expect("there is a shell");
        assert!(sent.success(), "no process {} to signal", self.pid());
    }

    /// Lets all its threads run on one processor alone, counted from 0. Linux, with `taskset`.
    ///
    /// # Panics
    /// When there is no such processor.
    pub fn pin(&self, processor: u32) {
        let output = Command::new("taskset")
            .args(["--all-tasks", "--cpu-list", "--pid", &processor.to_string()])
            .arg(self.pid().to_string())
            .output()
            .expect("taskset is a part of util-linux");
        assert!(output.status.success(), "{output:?}");
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(mut self) -> (ExitStatus, String) {
        let status = self.end().await;
        (status, self.log())
    }

    async fn end(&mut self) -> ExitStatus {
        self.signal("TERM");
        let ended = tokio::time::timeout(STOPPED_WITHIN, async {
            while !self.has_ended() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        assert!(
            ended.await.is_ok(),
            "keyward did not end when asked to:\n{}",
            self.log()
        );
        self.child.wait().expect("it has ended")
    }
}

impl Drop for KeywardProcess {
    fn drop(&mut self) {
        // It may have ended before.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A configuration with listeners at addresses that are free.
fn configured(settings: &str, resources: &str) -> ([SocketAddr; 3], String) {
    let addresses @ [gateway, site, operations] = free_addresses();
    let configuration = format!(
        "format: 1\nlisteners:\n  - {{ address: \"{gateway}\", serves: gateway }}\n  - {{ address: \"{site}\", serves: site }}\n  - {{ address: \"{operations}\", serves: operations }}\ngateway_url: http://{gateway}\nsite_url: http://{site}\ndata_dir: ./data\n{settings}\nresources:\n{resources}\n"
    );
    (addresses, configuration)
}

/// How the process is started.
#[derive(Clone, Debug)]
struct Launch {
    binary: PathBuf,
    /// Where another program starts it.
    arguments_before: Vec<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    fn new(binary: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self {
            binary: binary.to_owned(),
            arguments_before: Vec::new(),
            arguments: arguments.iter().copied().map(str::to_owned).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn spawn(&self, folder: &Path) -> Child {
        // Added to, so that what was said before a restart stays.
        let output = |name: &str| {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(name))
                .expect("its own folder is writable");
            Stdio::from(file)
        };
        Command::new(&self.binary)
            .args(&self.arguments_before)
            .args(["serve", "--config", "keyward.yaml"])
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output("stdout.log"))
            .stderr(output("stderr.log"))
            .spawn()
            .expect("the binary was built")
    }
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    let mut client = RawClient::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    client.send(request).await?;
    client.answer().await
}
