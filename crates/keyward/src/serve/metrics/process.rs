//! What the kernel tells of the process, under the names that dashboards everywhere know.

use super::page::Page;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use std::fs;

/// Writes what can be read. Where there is no `/proc`, that is nothing.
pub(super) fn write(page: &mut Page) {
    if let Some(seconds) = cpu_seconds() {
        page.counter(
            "process_cpu_seconds_total",
            "Processor time, user and system.",
            seconds,
        );
    }
    if let Some(bytes) = resident_bytes() {
        page.gauge(
            "process_resident_memory_bytes",
            "Memory that is resident.",
            bytes,
        );
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.gauge(
            "process_open_fds",
            "Descriptors that are open.",
            open.count(),
        );
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        page.gauge("process_max_fds", "Descriptors that may be open.", most);
    }
}

fn cpu_seconds() -> Option<String> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    cpu_ticks(&stat).map(|ticks| {
        let per_second = clock_ticks_per_second().max(1);
        let hundredths = ticks.saturating_mul(100) / per_second;
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    })
}

/// The 14th and 15th fields of `stat`; the second is a name in parentheses, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 40 2 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }
}
