//! The text format of Prometheus, version 0.0.4: families of samples, each with its help and its kind once.

use keyward_gateway::metrics::{HistogramCounts, LATENCY_BOUNDS_US};
use std::fmt::{Display, Write as _};

/// What kind of numbers a family has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes up alone, from nothing when the process starts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations, by how long they were.
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page that is being written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a family. Its name is written here and nowhere else, so that each family is one block, as the
    /// format wants.
    pub(super) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let page = &mut self.0;
        put(page, format_args!("# HELP {name} "));
        escape(page, help, false);
        put(page, format_args!("\n# TYPE {name} {}\n", kind.as_str()));
        Family { page, name }
    }

    /// A family of one counter.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(Kind::Counter, name, help)
            .sample(&Labels::NONE, value);
    }

    /// A family of one gauge.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(Kind::Gauge, name, help)
            .sample(&Labels::NONE, value);
    }

    /// The page's text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// A family that is being written.
#[derive(Debug)]
pub(super) struct Family<'p> {
    page: &'p mut String,
    name: &'static str,
}

impl Family<'_> {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &Labels, value: impl Display) {
        self.line("", labels, "", value);
    }

    /// Adds a sample with one more label, whose value needs no escaping.
    pub(super) fn sample_with(
        &mut self,
        labels: &Labels,
        label: &str,
        of: impl Display,
        value: impl Display,
    ) {
        let comma = if labels.0.is_empty() { "" } else { "," };
        let more = format_args!("{comma}{label}=\"{of}\"").to_string();
        self.line("", labels, &more, value);
    }

    /// Adds a histogram: cumulative buckets, their sum in seconds and their count.
    pub(super) fn histogram(&mut self, labels: &Labels, counts: &HistogramCounts) {
        let comma = if labels.0.is_empty() { "" } else { "," };
        let bounds = LATENCY_BOUNDS_US.into_iter().map(Some).chain([None]);
        let mut count = 0;
        for (bound, in_bucket) in bounds.zip(counts.buckets) {
            count += in_bucket;
            let more = match bound {
                Some(micros) => format!("{comma}le=\"{}\"", Seconds(micros)),
                None => format!("{comma}le=\"+Inf\""),
            };
            self.line("_bucket", labels, &more, count);
        }
        self.line("_sum", labels, "", Seconds(counts.sum_us));
        self.line("_count", labels, "", count);
    }

    fn line(&mut self, suffix: &str, labels: &Labels, more: &str, value: impl Display) {
        let name = self.name;
        if labels.0.is_empty() && more.is_empty() {
            put(self.page, format_args!("{name}{suffix} {value}\n"));
        } else {
            put(
                self.page,
                format_args!("{name}{suffix}{{{}{more}}} {value}\n", labels.0),
            );
        }
    }
}

/// Labels with their values, as they are written: put together once for all samples that have them.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(String);

impl Labels {
    /// None.
    pub(super) const NONE: Self = Self(String::new());

    /// These, with whatever their values hold.
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in pairs {
            let comma = if text.is_empty() { "" } else { "," };
            put(&mut text, format_args!("{comma}{name}=\""));
            escape(&mut text, value, true);
            text.push('"');
        }
        Self(text)
    }
}

/// Microseconds, written as seconds: as the shortest decimal number, which is exact.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(pub(super) u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:06}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _infallible = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped_and_so_is_help() {
        let mut page = Page::default();
        let labels = Labels::of(&[("a", "x\"y\\z\nw"), ("b", "")]);
        page.family(Kind::Gauge, "g", "one\\two\n\"three\"")
            .sample(&labels, 7);
        let expected =
            "# HELP g one\\\\two\\n\"three\"\n# TYPE g gauge\ng{a=\"x\\\"y\\\\z\\nw\",b=\"\"} 7\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn buckets_add_up_to_the_count() {
        let mut counts = HistogramCounts::default();
        for (index, bucket) in counts.buckets.iter_mut().enumerate() {
            *bucket = index as u64;
        }
        counts.sum_us = 1_500_000;
        let all: u64 = counts.buckets.iter().sum();
        let mut page = Page::default();
        page.family(Kind::Histogram, "h", "How long.")
            .histogram(&Labels::of(&[("a", "b")]), &counts);
        let text = page.into_text();
        let mut last = 0;
        let buckets = text.lines().filter(|line| line.starts_with("h_bucket"));
        assert_eq!(buckets.clone().count(), LATENCY_BOUNDS_US.len() + 1);
        for line in buckets {
            let count: u64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            assert!(count >= last, "{text}");
            last = count;
        }
        assert_eq!(last, all);
        for end in [
            format!("h_bucket{{a=\"b\",le=\"+Inf\"}} {all}\n"),
            "h_sum{a=\"b\"} 1.5\n".to_owned(),
            format!("h_count{{a=\"b\"}} {all}\n"),
        ] {
            assert!(text.contains(&end), "{end} in {text}");
        }
        assert!(text.contains("le=\"0.0001\""), "{text}");
    }

    #[test]
    fn seconds_are_exact_and_short() {
        for (micros, text) in [
            (0, "0"),
            (1, "0.000001"),
            (100, "0.0001"),
            (2_500_000, "2.5"),
            (30_000_000, "30"),
            (u64::MAX, "18446744073709.551615"),
        ] {
            assert_eq!(Seconds(micros).to_string(), text);
        }
    }
}
