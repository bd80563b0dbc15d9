//! How long a reload takes with many APIs: from when it begins to when calls are answered by the new configuration.

use crate::peer::free_address;
use crate::process::{Place, Process};
use clap::Args;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Reloads of each kind, of which the median counts.
const ROUNDS: usize = 21;
/// How long a start or a reload may take before something is wrong.
const PATIENCE_LOOKS: usize = 3_000;
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// The binary
    #[arg(long)]
    keyward: PathBuf,
    /// How many APIs there are
    #[arg(long, default_value_t = 10_000)]
    apis: usize,
}

/// How APIs are spread over hosts.
#[derive(Clone, Copy)]
enum Layout {
    OneHost,
    TenToAHost,
}

/// What changes from one reload to the next.
#[derive(Clone, Copy)]
enum Change {
    OneApi,
    /// A key beside the list of resources, so that all of the text is read.
    Whole,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    println!("| APIs | what changes | resources read | median | slowest | of {ROUNDS} |");
    println!("|---|---|---:|---:|---:|---|");
    for (name, layout) in [
        ("on one host", Layout::OneHost),
        ("ten to a host", Layout::TenToAHost),
    ] {
        let node = Node::start(options, layout)?;
        for (what, change) in [
            ("one API", Change::OneApi),
            ("all of the text", Change::Whole),
        ] {
            let mut took = Vec::new();
            for _ in 0..ROUNDS {
                took.push(node.reload(change)?);
            }
            took.sort_by(f64::total_cmp);
            let at = |place: usize| took.get(place).copied().unwrap_or_default() * 1e3;
            let read = node.last_read()?;
            println!(
                "| {} {name} | {what} | {read} | {:.1} ms | {:.1} ms | |",
                options.apis,
                at(ROUNDS / 2),
                at(ROUNDS - 1)
            );
        }
    }
    Ok(())
}

/// A node with many APIs, in a folder of its own.
struct Node {
    process: Process,
    folder: PathBuf,
    operations: SocketAddr,
}

impl Node {
    fn start(options: &Options, layout: Layout) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("keyward-reload-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let (gateway, operations) = (free_address()?, free_address()?);
        let path = folder.join("keyward.yaml");
        write(
            &path,
            &configuration(options.apis, layout, gateway, operations, &folder),
        )?;
        let arguments = ["serve", "--config", &path.display().to_string()].map(str::to_owned);
        let log = folder.join("log");
        let process = Process::start("keyward", Place::Proxy, &options.keyward, &arguments, &log)?;
        let node = Self {
            process,
            folder,
            operations,
        };
        node.until("it is ready", || {
            node.get("/readyz").is_ok_and(|page| page.contains(" 200 "))
        })?;
        Ok(node)
    }

    /// Changes the text, asks for a reload, and reads how long the node says it took, in seconds.
    fn reload(&self, change: Change) -> Result<f64, String> {
        let path = self.folder.join("keyward.yaml");
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let revision = self.metric("keyward_revision")?;
        let text = text.replace(
            &format!("path: /changing/{revision}\n"),
            &format!("path: /changing/{}\n", revision + 1.0),
        );
        let text = match change {
            Change::OneApi => text,
            Change::Whole => {
                let (before, after) = text
                    .split_once("sample: 0.")
                    .ok_or("the configuration has no sample")?;
                let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
                format!("{before}sample: 0.{revision}{rest}")
            }
        };
        let beside = self.folder.join("new");
        write(&beside, &text)?;
        std::fs::rename(&beside, &path).map_err(|error| error.to_string())?;
        let hangup = format!("kill -HUP {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &hangup]).status();
        if !sent.is_ok_and(|status| status.success()) {
            return Err("the node could not be signalled".to_owned());
        }
        // Nothing is asked meanwhile: a page of metrics of 10,000 APIs takes as long as a reload, on the same processor.
        std::thread::sleep(match change {
            Change::OneApi => Duration::from_millis(400),
            Change::Whole => Duration::from_secs(2),
        });
        self.until("the reload is served", || {
            self.metric("keyward_revision")
                .is_ok_and(|now| now > revision)
        })?;
        self.metric("keyward_configuration_last_reload_duration_seconds")
    }

    /// How many resources the last reload has read, as the log tells.
    fn last_read(&self) -> Result<String, String> {
        let log =
            std::fs::read_to_string(self.folder.join("log")).map_err(|error| error.to_string())?;
        let last = log
            .lines()
            .rev()
            .find(|line| line.contains("configuration: reloaded"));
        let read = last.and_then(|line| line.split(" read=").nth(1)?.split(' ').next());
        read.map(str::to_owned)
            .ok_or_else(|| format!("no reload in\n{log}"))
    }

    fn metric(&self, name: &str) -> Result<f64, String> {
        let page = self.get("/metrics")?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .and_then(|value| value.trim().parse().ok())
            .ok_or_else(|| format!("there is no {name}"))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmark is a client, not the gateway"
    )]
    fn get(&self, path: &str) -> Result<String, String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(self.operations).map_err(failed)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        Ok(answer)
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
        for _ in 0..PATIENCE_LOOKS {
            if holds() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(format!("{what}: not in time\n{log}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It is in the folder for temporary files: what is left there is in nobody's way.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn configuration(
    apis: usize,
    layout: Layout,
    gateway: SocketAddr,
    operations: SocketAddr,
    folder: &Path,
) -> String {
    let mut text = format!(
        "format: 1\nlisteners:\n  - {{ address: {gateway}, serves: gateway }}\n  - {{ address: {operations}, serves: operations }}\ndata_dir: {}\nworkers: 1\naccess_log: {{ destination: off, sample: 0.1 }}\nresources:\n  - kind: upstream\n    name: echo\n    targets:\n      - {{ url: \"http://127.0.0.1:9\" }}\n",
        folder.join("data").display()
    );
    for number in 0..apis {
        let hosts = match layout {
            Layout::OneHost => String::new(),
            Layout::TenToAHost => format!("    hosts: [ host-{}.example.com ]\n", number / 10),
        };
        let path = if number == apis / 2 {
            "/changing/1".to_owned()
        } else {
            format!("/team-{}/api-{number}", number % 97)
        };
        // Writing to memory does not fail.
        let _infallible = write!(
            text,
            "  - kind: api\n    name: api-{number}\n    version: v1\n    state: published\n    base_path: {path}\n{hosts}    upstream: echo\n    authentication: none\n    rate_limits:\n      - {{ by: address, requests: 100, per: 1s }}\n    routes:\n      - {{ match: {{ prefix: \"/orders/{{id}}\" }} }}\n"
        );
    }
    text
}
