//! `cargo xtask test`: the steps of CI, each with its heading and its time.

use crate::TestOptions;
use crate::command::{run, run_with, succeeds};
use crate::{image, install};
use std::path::Path;
use std::time::{Duration, Instant};

/// What ran, whether it held, and how long it took.
struct Report {
    rows: Vec<(&'static str, Result<(), String>, Duration)>,
}

/// What the image is called that is tried.
const IMAGE: &str = "localhost/keyward:try";

/// Packages that are no members of the workspace, with the flags of their manifest.
const OUTSIDE: &[&str] = &["oracles", "fuzz"];

/// Runs every step, also after one failed, so that one run shows all there is to do.
pub(crate) fn run_suite(root: &Path, options: &TestOptions) -> Result<(), String> {
    let mut report = Report { rows: Vec::new() };
    report.step("install", || install::everything(root));
    report.step("format", || format(root));
    report.step("tidy", || crate::tidy::run(root));
    report.step("lint", || {
        run(
            root,
            "cargo",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                // Else nothing but the long tests would compile what they are made of.
                "--features",
                "keyward/long-tests",
                "--locked",
                "--",
                "-D",
                "warnings",
            ],
        )
    });
    report.step("dependencies", || {
        let arguments = [
            "deny",
            "--locked",
            "check",
            "--hide-inclusion-graph",
            "bans",
            "licenses",
            "sources",
        ];
        run_with(
            root,
            "cargo",
            &arguments,
            &[("PATH", &install::path_with_tools(root))],
        )
    });
    report.step("tests", || tests(root));
    report.step("documentation tests", || {
        run(root, "cargo", &["test", "--workspace", "--doc", "--locked"])
    });
    report.step("documentation", || {
        let arguments = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
        run_with(
            root,
            "cargo",
            &arguments,
            &[("RUSTDOCFLAGS", "-D warnings")],
        )
    });
    if root.join("oracles").is_dir() {
        report.step("other libraries", || {
            let arguments = [
                "test",
                "--manifest-path",
                "oracles/Cargo.toml",
                "--locked",
                "--target-dir",
                "target",
            ];
            run(root, "cargo", &arguments)
        });
    }
    // They are run by the long tests; that they compile is seen always.
    report.step("fuzz targets", || {
        let arguments = [
            "check",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--no-default-features",
            "--locked",
            "--target-dir",
            "target",
        ];
        run(root, "cargo", &arguments)
    });
    if options.long {
        report.step("long tests", || long_tests(root));
        report.step("systemd", || systemd(root));
        report.step("image", || image_tried(root));
        for target in fuzz_targets(root)? {
            report.step("fuzz", || fuzz(root, &target, options.fuzz_minutes));
        }
    }
    report.close()
}

impl Report {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<(), String>) {
        println!("\n== {name}");
        let started = now();
        let result = work();
        let took = now().saturating_duration_since(started);
        match &result {
            Ok(()) => println!("== {name}: ok in {:.1} s", took.as_secs_f64()),
            Err(why) => println!("== {name}: FAILED in {:.1} s: {why}", took.as_secs_f64()),
        }
        self.rows.push((name, result, took));
    }

    fn close(self) -> Result<(), String> {
        println!("\n== summary");
        let mut failed = Vec::new();
        let mut total = Duration::ZERO;
        for (name, result, took) in &self.rows {
            total += *took;
            let word = if result.is_ok() { "ok" } else { "FAILED" };
            println!("{name:<22}{word:<8}{:>8.1} s", took.as_secs_f64());
            if let Err(why) = result {
                failed.push(format!("{name}: {why}"));
            }
        }
        println!("{:<22}{:<8}{:>8.1} s", "total", "", total.as_secs_f64());
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("; "))
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a task measures itself; nothing depends on the time"
)]
fn now() -> Instant {
    Instant::now()
}

fn format(root: &Path) -> Result<(), String> {
    run(root, "cargo", &["fmt", "--all", "--check"])?;
    for package in OUTSIDE.iter().filter(|package| root.join(package).is_dir()) {
        let manifest = format!("{package}/Cargo.toml");
        run(
            root,
            "cargo",
            &["fmt", "--manifest-path", &manifest, "--check"],
        )?;
    }
    Ok(())
}

/// nextest where it is there, since it runs the tests of all crates at once; else cargo's own runner.
fn tests(root: &Path) -> Result<(), String> {
    if succeeds(root, "cargo", &["nextest", "--version"]) {
        run(
            root,
            "cargo",
            &[
                "nextest",
                "run",
                "--workspace",
                "--locked",
                "--no-fail-fast",
            ],
        )
    } else {
        let arguments = [
            "test",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
            "--locked",
            "--no-fail-fast",
        ];
        run(root, "cargo", &arguments)
    }
}

/// Soak and kill tests: `crates/keyward/tests/it/long/`, behind the feature `long-tests`.
fn long_tests(root: &Path) -> Result<(), String> {
    install::for_long_tests(root)?;
    let arguments = [
        "test",
        "--workspace",
        "--features",
        "keyward/long-tests",
        "--test",
        "it",
        "--locked",
        "--",
        "long::",
        // They measure: one at a time, and what they found is shown.
        "--test-threads=1",
        "--nocapture",
    ];
    run(root, "cargo", &arguments)
}

fn is_root(root: &Path) -> bool {
    succeeds(root, "sh", &["-c", "test \"$(id -u)\" = 0"])
}

/// The image, run by what makes it.
fn image_tried(root: &Path) -> Result<(), String> {
    if !is_root(root) {
        println!("left out: only root runs an image without a container engine");
        return Ok(());
    }
    install::debian_packages(root, &["buildah", "iproute2", "curl"])?;
    image::make(root, &image::Options::to_try(IMAGE))?;
    run(root, "packaging/image/try.sh", &[IMAGE])
}

/// The units under a real systemd, in a folder of its own.
fn systemd(root: &Path) -> Result<(), String> {
    if !is_root(root) {
        println!("left out: only root boots a system in a folder");
        return Ok(());
    }
    install::debian_packages(root, &["debootstrap", "iproute2"])?;
    let arguments = ["target/debug/keyward", "target/systemd"];
    run(root, "packaging/systemd/try.sh", &arguments)
}

fn fuzz_targets(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| format!("{} could not be read: {error}", folder.display()))?;
    let mut targets: Vec<String> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    targets.sort();
    Ok(targets)
}

fn fuzz(root: &Path, target: &str, minutes: u64) -> Result<(), String> {
    install::fuzzer(root)?;
    let time = format!("-max_total_time={}", minutes * 60);
    run_with(
        root,
        "rustup",
        &[
            "run", "nightly", "cargo", "fuzz", "run", target, "--", &time,
        ],
        // The toolchain of this task must not win over the nightly.
        &[
            ("PATH", &install::path_with_tools(root)),
            ("RUSTUP_TOOLCHAIN", "nightly"),
        ],
    )
}
