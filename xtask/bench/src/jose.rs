//! The table of the JOSE benchmarks: what criterion measured, an operation a row, a library a column.
//!
//! A benchmark's group is the operation (`verify RS256`), its function the library. Ours is held to the raw
//! operation of aws-lc-rs, and to being ahead of every other library.

use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Our columns: beside other libraries the whole crate, alone what each of its layers adds.
const OURS: &[&str] = &["keyward", "jws", "jwt"];
/// The column that ours are held to: the bare operation on a parsed key.
const RAW: &[&str] = &["aws-lc-rs", "raw"];

/// At most this much of the raw operation's time.
const MOST_OF_RAW: f64 = 1.15;
/// HS256 is so quick that parsing outweighs it: at most this much more.
const MOST_OVER_RAW_HMAC_NS: f64 = 1_000.0;

/// Where criterion left its figures.
#[derive(Args)]
pub(crate) struct Options {
    /// Criterion's folders, each a table
    #[arg(long, default_value = "target/criterion")]
    folder: Vec<PathBuf>,
    /// Writes all figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Operation, then library, then nanoseconds.
type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// Prints the table, and whether each bound is held.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut all = Figures::new();
    for folder in &options.folder {
        let mut figures = Figures::new();
        collect(folder, &mut figures)?;
        if figures.is_empty() {
            return Err(format!(
                "no figures in {}: run `cargo xtask bench jose`, which measures first",
                folder.display()
            ));
        }
        print(&figures);
        for (operation, row) in figures {
            all.entry(operation).or_default().extend(row);
        }
    }
    match &options.json {
        Some(file) => std::fs::write(file, format!("{:#}\n", json!({ "nanoseconds": all })))
            .map_err(|error| format!("{} could not be written: {error}", file.display())),
        None => Ok(()),
    }
}

/// Every benchmark below `folder`: its names in `benchmark.json`, its median in `estimates.json`.
fn collect(folder: &Path, figures: &mut Figures) -> Result<(), String> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("{} could not be read: {error}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|name| name == "new") {
            if let Some((operation, library, nanoseconds)) = figure(&path) {
                figures
                    .entry(operation)
                    .or_default()
                    .insert(library, nanoseconds);
            }
        } else {
            collect(&path, figures)?;
        }
    }
    Ok(())
}

fn figure(folder: &Path) -> Option<(String, String, f64)> {
    let read = |name: &str| -> Option<Value> {
        serde_json::from_slice(&std::fs::read(folder.join(name)).ok()?).ok()
    };
    let (names, estimates) = (read("benchmark.json")?, read("estimates.json")?);
    let text = |member: &str| names.get(member).and_then(Value::as_str).map(str::to_owned);
    let median = estimates.get("median")?.get("point_estimate")?.as_f64()?;
    Some((
        text("group_id")?,
        text("function_id").or_else(|| text("value_str"))?,
        median,
    ))
}

fn print(figures: &Figures) {
    let mut libraries: Vec<&str> = figures
        .values()
        .flat_map(|row| row.keys().map(String::as_str))
        .collect();
    // Ours and the raw operation first, the others by name.
    libraries.sort_by_key(|name| (!OURS.contains(name), !RAW.contains(name), *name));
    libraries.dedup();
    print!("| µs | ");
    for library in &libraries {
        print!("{library} | ");
    }
    println!("of raw | verdict |");
    println!("|---|{}---:|---|", "---:|".repeat(libraries.len()));
    for (operation, row) in figures {
        print!("| {operation} | ");
        for library in &libraries {
            match row.get(*library) {
                Some(nanoseconds) => print!("{:.2} | ", nanoseconds / 1000.0),
                None => print!("| "),
            }
        }
        match of_raw(row)
            .into_iter()
            .map(|(_, ratio)| ratio)
            .max_by(f64::total_cmp)
        {
            Some(ratio) => print!("{ratio:.2} | "),
            None => print!("| "),
        }
        println!("{} |", verdict(operation, row));
    }
}

/// Each of our columns, divided by the raw operation.
fn of_raw(row: &BTreeMap<String, f64>) -> Vec<(&str, f64)> {
    let raw = row
        .iter()
        .find(|(library, _)| RAW.contains(&library.as_str()));
    let ours = row
        .iter()
        .filter(|(library, _)| OURS.contains(&library.as_str()));
    raw.map_or_else(Vec::new, |(_, raw)| {
        ours.map(|(library, ours)| (library.as_str(), ours / raw))
            .collect()
    })
}

/// Whether an operation is within its bounds, and what it is behind if not.
fn verdict(operation: &str, row: &BTreeMap<String, f64>) -> String {
    let is = |names: &[&str], library: &str| names.contains(&library);
    let mut missed = Vec::new();
    for (ours, time) in row.iter().filter(|(library, _)| is(OURS, library)) {
        for (library, theirs) in row {
            if is(RAW, library) {
                let over = if operation
                    .split_whitespace()
                    .any(|word| word.starts_with("HS"))
                {
                    time - theirs > MOST_OVER_RAW_HMAC_NS
                } else {
                    time / theirs > MOST_OF_RAW
                };
                if over {
                    missed.push(format!("{ours} too far from {library}"));
                }
            } else if !is(OURS, library) && theirs <= time {
                missed.push(format!("{ours} behind {library}"));
            }
        }
    }
    if missed.is_empty() {
        "held".to_owned()
    } else {
        format!("MISSED: {}", missed.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operation: &str, row: &[(&str, f64)], expected: &str) {
        let row = row
            .iter()
            .map(|(library, ns)| ((*library).to_owned(), *ns))
            .collect();
        assert_eq!(verdict(operation, &row), expected, "{operation}");
    }

    #[test]
    fn each_layer_is_held_to_raw() {
        check(
            "sign ES256",
            &[("raw", 10.0), ("jws", 11.0), ("jwt", 12.0)],
            "MISSED: jwt too far from raw",
        );
        check(
            "sign ES256",
            &[("raw", 10.0), ("jws", 11.0), ("jwt", 11.0)],
            "held",
        );
    }

    #[test]
    fn ours_is_held_to_raw_and_to_the_others() {
        check(
            "verify RS256",
            &[("keyward", 11.0), ("aws-lc-rs", 10.0), ("josekit", 20.0)],
            "held",
        );
        check(
            "verify RS256",
            &[("keyward", 12.0), ("aws-lc-rs", 10.0)],
            "MISSED: keyward too far from aws-lc-rs",
        );
        check(
            "verify RS256",
            &[("keyward", 12.0), ("josekit", 11.0)],
            "MISSED: keyward behind josekit",
        );
        check(
            "sign HS256",
            &[("keyward", 1_200.0), ("aws-lc-rs", 300.0)],
            "held",
        );
        check(
            "sign HS256",
            &[("keyward", 1_400.0), ("aws-lc-rs", 300.0)],
            "MISSED: keyward too far from aws-lc-rs",
        );
    }
}
