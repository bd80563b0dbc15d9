//! A child process: its life, its CPU time, its memory.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ticks of `/proc/<pid>/stat` in a second: Linux gives user space 100 on every platform it runs on here.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    /// In its own code and that of its libraries.
    pub(crate) user: Duration,
    /// In the kernel.
    pub(crate) system: Duration,
}

impl CpuTime {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }

    pub(crate) fn total(self) -> Duration {
        self.user + self.system
    }
}

/// Where processes run, on a machine that has two processors or more: the proxy alone on the first, load
/// and upstream on the second, so that neither is moved about in a window.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Proxy,
    Load,
}

impl Place {
    fn processor(self) -> &'static str {
        match self {
            Self::Proxy => "0",
            Self::Load => "1",
        }
    }
}

/// A running program; dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `program`, pinned, with its output in `log`.
    pub(crate) fn start(
        name: &str,
        place: Place,
        program: &Path,
        arguments: &[String],
        log: &Path,
    ) -> Result<Self, String> {
        let output = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let errors = output
            .try_clone()
            .map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = if can_pin() {
            let mut command = Command::new("taskset");
            command.args(["-c", place.processor()]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{name} ({}) did not start: {error}", program.display()))?;
        Ok(Self {
            child,
            name: name.to_owned(),
        })
    }

    /// Its process id. (`taskset` becomes the program that it starts.)
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error when it ended by itself.
    pub(crate) fn alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended ({status})", self.name)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }

    /// The time of all its threads so far (`proc(5)`, fields 14 and 15 of `stat`).
    pub(crate) fn cpu_time(&self) -> Result<CpuTime, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The second field is the name in parentheses and may hold anything, spaces too.
        let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut times = after_name.split_whitespace().skip(11).map(|field| {
            Some(Duration::from_secs_f64(
                field.parse::<f64>().ok()? / TICKS_PER_SECOND,
            ))
        });
        let mut next = || times.next().flatten();
        match (next(), next()) {
            (Some(user), Some(system)) => Ok(CpuTime { user, system }),
            _ => Err(format!("{path} has no CPU times")),
        }
    }

    /// The most memory it ever held, in kB (`VmHWM` of `status`).
    pub(crate) fn peak_kilobytes(&self) -> Result<u64, String> {
        self.kilobytes("VmHWM:")
    }

    /// The memory that it holds now, in kB (`VmRSS` of `status`).
    pub(crate) fn resident_kilobytes(&self) -> Result<u64, String> {
        self.kilobytes("VmRSS:")
    }

    fn kilobytes(&self, name: &str) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        text.lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .ok_or_else(|| format!("{path} has no {name}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Pins this process, and what it starts unpinned, to the load's processor.
pub(crate) fn pin_self() {
    if can_pin() {
        let pid = std::process::id().to_string();
        let pinned = Command::new("taskset")
            .args(["-c", "-p", Place::Load.processor(), &pid])
            .stdout(Stdio::null())
            .status();
        if !pinned.is_ok_and(|status| status.success()) {
            println!("taskset refused: the load generator is not pinned");
        }
    }
}

/// Whether there are two processors and the tool to choose.
pub(crate) fn can_pin() -> bool {
    std::thread::available_parallelism().is_ok_and(|count| count.get() >= 2)
        && Path::new("/usr/bin/taskset").exists()
}
