//! The table and the JSON of what was measured.

use crate::load::Window;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// What a run found.
pub(crate) struct Report {
    connections: usize,
    window: Duration,
    windows: usize,
    ceiling_per_second: f64,
    upstream_cpu_us: f64,
    pub(crate) rows: Vec<Row>,
}

/// A scenario's windows.
pub(crate) struct Row {
    name: &'static str,
    good: Vec<Window>,
    thrown_away: Vec<Window>,
    peak_kilobytes: u64,
}

/// What a figure is held to.
pub(crate) enum Bound {
    /// One scenario's CPU time a request, divided by another's.
    Ratio {
        of: &'static str,
        to: &'static str,
        most: f64,
    },
    /// One scenario's 99th percentile of latency, divided by another's.
    Latency {
        of: &'static str,
        to: &'static str,
        most: f64,
    },
    /// One scenario's CPU time a request, less another's.
    Difference {
        of: &'static str,
        to: &'static str,
        most_us: f64,
    },
    /// One scenario's median of latency, less another's.
    AddedMedian {
        of: &'static str,
        to: &'static str,
        most_us: f64,
    },
    /// One scenario's 99th percentile of latency, less another's.
    AddedP99 {
        of: &'static str,
        to: &'static str,
        most_us: f64,
    },
}

impl Window {
    pub(crate) fn cpu_us_per_request(&self) -> f64 {
        self.per_request(self.cpu.total())
    }

    /// How much of it in the kernel.
    fn kernel_us_per_request(&self) -> f64 {
        self.per_request(self.cpu.system)
    }

    fn per_request(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / (self.requests.max(1) as f64)
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

impl Row {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            good: Vec::new(),
            thrown_away: Vec::new(),
            peak_kilobytes: 0,
        }
    }

    pub(crate) fn add(&mut self, window: Window, peak_kilobytes: u64) {
        self.peak_kilobytes = self.peak_kilobytes.max(peak_kilobytes);
        if window.failures == 0 {
            &mut self.good
        } else {
            &mut self.thrown_away
        }
        .push(window);
    }

    /// The median over the good windows; nothing where there is none.
    fn median(&self, figure: impl Fn(&Window) -> f64) -> Option<f64> {
        let mut figures: Vec<f64> = self.good.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let upper = *figures.get(middle)?;
        if figures.len() % 2 == 1 {
            return Some(upper);
        }
        Some((upper + figures.get(middle.checked_sub(1)?)?) / 2.0)
    }

    pub(crate) fn requests_per_second(&self) -> Option<f64> {
        self.median(Window::requests_per_second)
    }

    fn cpu(&self) -> Option<f64> {
        self.median(Window::cpu_us_per_request)
    }
}

impl Report {
    pub(crate) fn new(connections: usize, window: Duration, windows: usize) -> Self {
        Self {
            connections,
            window,
            windows,
            ceiling_per_second: 0.0,
            upstream_cpu_us: 0.0,
            rows: Vec::new(),
        }
    }

    /// What the load generator reaches without a proxy between.
    pub(crate) fn ceiling(&mut self, window: &Window) {
        self.ceiling_per_second = window.requests_per_second();
        self.upstream_cpu_us = window.cpu_us_per_request();
        println!(
            "ceiling: {:.0} requests/s straight to the upstream, which takes {:.1} µs for each",
            self.ceiling_per_second, self.upstream_cpu_us
        );
    }

    pub(crate) fn print(&self, bounds: &[Bound]) {
        println!(
            "\n{} connections, {} windows of {} s in turn, medians\n",
            self.connections,
            self.windows,
            self.window.as_secs()
        );
        println!(
            "| {:<32} | CPU µs/request | kernel | requests/s | p50 µs | p99 µs | peak MB | windows |",
            "scenario"
        );
        println!(
            "|{:-<34}|---------------:|-------:|-----------:|-------:|-------:|--------:|--------:|",
            ""
        );
        for row in &self.rows {
            let figure = |figure: Option<f64>, digits: usize| {
                figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
            };
            println!(
                "| {:<32} | {:>14} | {:>6} | {:>10} | {:>6} | {:>6} | {:>7.1} | {:>7} |",
                row.name,
                figure(row.cpu(), 1),
                figure(row.median(Window::kernel_us_per_request), 1),
                figure(row.median(Window::requests_per_second), 0),
                figure(row.median(|window| window.p50_us as f64), 0),
                figure(row.median(|window| window.p99_us as f64), 0),
                row.peak_kilobytes as f64 / 1024.0,
                format!(
                    "{}/{}",
                    row.good.len(),
                    row.good.len() + row.thrown_away.len()
                ),
            );
        }
        println!();
        for bound in bounds {
            if let Some((figure, most)) = self.held(bound) {
                let word = if figure <= most { "held" } else { "MISSED" };
                match bound {
                    Bound::Ratio { of, to, most } => {
                        // Of a small ratio two digits say nothing.
                        let digits = if *most < 0.1 { 4 } else { 2 };
                        println!(
                            "{word}: {of} / {to} = {figure:.digits$} (at most {most:.digits$})"
                        );
                    }
                    Bound::Latency { of, to, .. } => {
                        println!("{word}: p99 of {of} / {to} = {figure:.2} (at most {most:.2})");
                    }
                    Bound::Difference { of, to, .. } => {
                        println!("{word}: {of} - {to} = {figure:.1} µs (at most {most:.1} µs)");
                    }
                    Bound::AddedMedian { of, to, .. } => {
                        println!(
                            "{word}: median of {of} - {to} = {figure:.0} µs (at most {most:.0} µs)"
                        );
                    }
                    Bound::AddedP99 { of, to, .. } => {
                        println!(
                            "{word}: p99 of {of} - {to} = {figure:.0} µs (at most {most:.0} µs)"
                        );
                    }
                }
            }
        }
    }

    /// The figure of a bound and the most it may be, where both scenarios were measured.
    fn held(&self, bound: &Bound) -> Option<(f64, f64)> {
        let row = |name: &str| self.rows.iter().find(|row| row.name == name);
        let cpu = |name: &str| row(name)?.cpu();
        let p99 = |name: &str| row(name)?.median(|window| window.p99_us as f64);
        let p50 = |name: &str| row(name)?.median(|window| window.p50_us as f64);
        match bound {
            Bound::AddedMedian { of, to, most_us } => Some((p50(of)? - p50(to)?, *most_us)),
            Bound::AddedP99 { of, to, most_us } => Some((p99(of)? - p99(to)?, *most_us)),
            Bound::Latency { of, to, most } => Some((p99(of)? / p99(to)?, *most)),
            Bound::Ratio { of, to, most } => Some((cpu(of)? / cpu(to)?, *most)),
            Bound::Difference { of, to, most_us } => Some((cpu(of)? - cpu(to)?, *most_us)),
        }
    }

    pub(crate) fn write_json(&self, file: &Path, bounds: &[Bound]) -> Result<(), String> {
        let rows: Vec<Value> = self.rows.iter().map(row_json).collect();
        let bounds: Vec<Value> = bounds
            .iter()
            .filter_map(|bound| {
                let (figure, most) = self.held(bound)?;
                let (kind, of, to) = match bound {
                    Bound::Ratio { of, to, .. } => ("ratio", of, to),
                    Bound::Latency { of, to, .. } => ("p99_ratio", of, to),
                    Bound::Difference { of, to, .. } => ("difference_us", of, to),
                    Bound::AddedMedian { of, to, .. } => ("added_median_us", of, to),
                    Bound::AddedP99 { of, to, .. } => ("added_p99_us", of, to),
                };
                Some(json!({ "kind": kind, "of": of, "to": to, "figure": figure, "at_most": most }))
            })
            .collect();
        let report = json!({
            "connections": self.connections,
            "window_seconds": self.window.as_secs_f64(),
            "ceiling_requests_per_second": self.ceiling_per_second,
            "upstream_cpu_us_per_request": self.upstream_cpu_us,
            "scenarios": rows,
            "bounds": bounds,
        });
        std::fs::write(file, format!("{report:#}\n"))
            .map_err(|error| format!("{} could not be written: {error}", file.display()))
    }
}

fn row_json(row: &Row) -> Value {
    let window = |window: &Window| {
        json!({
            "requests": window.requests, "failures": window.failures, "seconds": window.seconds,
            "first_failure": window.first_failure,
            "cpu_us_per_request": window.cpu_us_per_request(),
            "kernel_us_per_request": window.kernel_us_per_request(),
            "requests_per_second": window.requests_per_second(),
            "p50_us": window.p50_us, "p99_us": window.p99_us,
        })
    };
    json!({
        "name": row.name,
        "cpu_us_per_request": row.cpu(),
        "kernel_us_per_request": row.median(Window::kernel_us_per_request),
        "requests_per_second": row.median(Window::requests_per_second),
        "p50_us": row.median(|window| window.p50_us as f64),
        "p99_us": row.median(|window| window.p99_us as f64),
        "peak_kilobytes": row.peak_kilobytes,
        "windows": row.good.iter().map(window).collect::<Vec<_>>(),
        "thrown_away": row.thrown_away.iter().map(window).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::CpuTime;

    fn window(requests: u64, failures: u64) -> Window {
        Window {
            requests,
            failures,
            seconds: 1.0,
            cpu: CpuTime {
                user: Duration::from_millis(40),
                system: Duration::from_millis(60),
            },
            ..Window::default()
        }
    }

    fn row(name: &'static str, requests: &[u64]) -> Row {
        let mut row = Row::new(name);
        for requests in requests {
            row.add(window(*requests, 0), 1);
        }
        row
    }

    #[test]
    fn a_window_with_a_failed_request_does_not_count() {
        let mut row = row("a", &[10_000, 20_000, 40_000]);
        row.add(window(1, 1), 5);
        assert_eq!(row.cpu().map(f64::round), Some(5.0));
        assert_eq!(row.thrown_away.len(), 1);
        assert_eq!(row.peak_kilobytes, 5);
    }

    #[test]
    fn an_even_number_of_windows_has_its_median_between_two() {
        assert_eq!(
            row("a", &[10_000, 20_000])
                .cpu()
                .map(|cpu| (cpu * 10.0).round()),
            Some(75.0)
        );
        assert_eq!(row("a", &[]).cpu(), None);
    }

    #[test]
    fn a_bound_compares_two_scenarios() {
        let mut report = Report::new(1, Duration::from_secs(1), 1);
        report.rows = vec![row("a", &[10_000]), row("b", &[20_000])];
        let ratio = Bound::Ratio {
            of: "a",
            to: "b",
            most: 1.5,
        };
        assert_eq!(report.held(&ratio), Some((2.0, 1.5)));
        let difference = Bound::Difference {
            of: "a",
            to: "b",
            most_us: 6.0,
        };
        assert_eq!(report.held(&difference), Some((5.0, 6.0)));
        assert_eq!(
            report.held(&Bound::Ratio {
                of: "a",
                to: "c",
                most: 1.0
            }),
            None
        );
    }
}
