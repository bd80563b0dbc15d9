//! A picture of what goes on, in lines of text.

use super::rates::{Rates, Row};
use crate::command::terminal::visible;
use std::fmt::Write as _;

/// How large a picture may be, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) lines: usize,
}

/// What is not a terminal takes all rows, as wide as most terminals are.
const PLAIN_COLUMNS: usize = 100;
/// Callers that are shown where there is room.
const CALLERS: usize = 10;
/// Lines that are neither rows nor callers: two of the head, an empty one and a title for each table, and one
/// for a problem.
const OTHER_LINES: usize = 7;
/// The columns with numbers, in characters.
const NUMBERS: usize = 9;
/// Names are cut to no less than this.
const NAME_MIN: usize = 12;

/// Draws it. With a size, no line and no picture is longer than that.
pub(super) fn picture(rates: &Rates, size: Option<Size>) -> String {
    let columns = size.map_or(PLAIN_COLUMNS, |size| size.columns);
    let callers = rates.callers.len().min(CALLERS);
    let (rows, callers) = match size {
        None => (rates.rows.len(), callers),
        Some(size) => {
            let room = size.lines.saturating_sub(OTHER_LINES);
            // Half of the room is for callers, and what either does not need is the other's.
            let callers = callers.min((room / 2).max(room.saturating_sub(rates.rows.len())));
            (rates.rows.len().min(room - callers), callers)
        }
    };
    let mut picture = Picture {
        text: String::new(),
        columns,
    };
    picture.line(&format!(
        "keyward {}  revision {}  up {}  load {}  delay {}  {} in flight  {} connections",
        rates.version,
        rates.revision,
        duration(rates.up_s),
        percent(rates.load),
        millis(Some(rates.delay_ms)),
        rates.in_flight,
        rates.connections,
    ));
    let mut head = format!(
        "{} calls/s  {} failed  {} refused  p50 {}  p99 {}  in {}/s  out {}/s",
        count(rates.all.calls),
        percent(rates.all.failed),
        percent(rates.all.refused),
        millis(rates.all.p50_ms),
        millis(rates.all.p99_ms),
        bytes(rates.all.bytes_in),
        bytes(rates.all.bytes_out),
    );
    for (name, rate) in [("unrouted", rates.unrouted), ("shed", rates.shed)] {
        if rate > 0.0 {
            let _infallible = write!(head, "  {} {name}/s", count(rate));
        }
    }
    picture.line(&head);
    picture.line("");
    let titles = ["CALLS/S", "5XX", "4XX", "P50", "P99", "IN/S", "OUT/S"];
    picture.row("CALLED", titles.map(str::to_owned));
    for row in rates.rows.iter().take(rows) {
        picture.row(&row.name, numbers(row));
    }
    if rates.rows.is_empty() {
        picture.line("no calls");
    }
    picture.line("");
    picture.row("CALLER", ["CALLS/S", "FAILED"].map(str::to_owned));
    for caller in rates.callers.iter().take(callers) {
        let name = match &caller.issuer {
            Some(issuer) => format!("{} ({issuer})", caller.name),
            None => caller.name.clone(),
        };
        picture.row(&name, [count(caller.calls), percent(caller.failed)]);
    }
    picture.text
}

fn numbers(row: &Row) -> [String; 7] {
    [
        count(row.calls),
        percent(row.failed),
        percent(row.refused),
        millis(row.p50_ms),
        millis(row.p99_ms),
        bytes(row.bytes_in),
        bytes(row.bytes_out),
    ]
}

struct Picture {
    text: String,
    columns: usize,
}

impl Picture {
    fn line(&mut self, line: &str) {
        self.text.extend(line.chars().take(self.columns));
        self.text.push('\n');
    }

    /// A name, and numbers to its right, as many as there is room for.
    fn row<const N: usize>(&mut self, name: &str, numbers: [String; N]) {
        let room = self.columns.saturating_sub(NAME_MIN) / NUMBERS;
        let shown = room.min(N);
        // Names stand below each other in both tables.
        let most = self
            .columns
            .saturating_sub(NUMBERS * room.min(7))
            .max(NAME_MIN);
        // Subjects are what strangers have in their tokens.
        let name = visible(name);
        let mut line: String = if name.chars().count() > most {
            let cut = name.chars().take(most - 1);
            cut.chain(['…']).collect()
        } else {
            name
        };
        let pad = most.saturating_sub(line.chars().count());
        line.extend(std::iter::repeat_n(' ', pad));
        for number in numbers.iter().take(shown) {
            let _infallible = write!(line, "{number:>NUMBERS$}");
        }
        self.line(&line);
    }
}

fn count(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.1}M", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.1}k", rate / 1e3),
        rate if rate >= 100.0 => format!("{rate:.0}"),
        rate => format!("{rate:.1}"),
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0%".to_owned(),
        percent if percent < 0.1 => "<0.1%".to_owned(),
        percent if percent < 10.0 => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

fn millis(duration: Option<f64>) -> String {
    match duration {
        None => "-".to_owned(),
        Some(millis) if millis >= 10_000.0 => format!("{:.0}s", millis / 1e3),
        Some(millis) if millis >= 1_000.0 => format!("{:.1}s", millis / 1e3),
        Some(millis) if millis >= 10.0 => format!("{millis:.0}ms"),
        Some(millis) => format!("{millis:.1}ms"),
    }
}

fn bytes(rate: f64) -> String {
    match rate {
        rate if rate >= 1e9 => format!("{:.1}GB", rate / 1e9),
        rate if rate >= 1e6 => format!("{:.1}MB", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1}kB", rate / 1e3),
        rate => format!("{rate:.0}B"),
    }
}

fn duration(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{seconds}s"),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (rate, text) in [
            (0.0, "0.0"),
            (99.94, "99.9"),
            (123.4, "123"),
            (12_345.0, "12.3k"),
            (2.5e6, "2.5M"),
        ] {
            assert_eq!(count(rate), text);
        }
        for (share, text) in [
            (0.0, "0%"),
            (0.0001, "<0.1%"),
            (0.015, "1.5%"),
            (1.0, "100%"),
        ] {
            assert_eq!(percent(share), text);
        }
        for (time, text) in [
            (None, "-"),
            (Some(0.25), "0.2ms"),
            (Some(12.3), "12ms"),
            (Some(1_500.0), "1.5s"),
            (Some(30_000.0), "30s"),
        ] {
            assert_eq!(millis(time), text);
        }
        for (rate, text) in [(7.0, "7B"), (1_500.0, "1.5kB"), (2e9, "2.0GB")] {
            assert_eq!(bytes(rate), text);
        }
        for (time, text) in [(59, "59s"), (61, "1m1s"), (3_700, "1h1m"), (90_000, "1d1h")] {
            assert_eq!(duration(time), text);
        }
    }
}
