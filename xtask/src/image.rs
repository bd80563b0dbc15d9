//! `cargo xtask image`: a static binary, the folder of an image around it, and the image where `buildah` is.

use crate::command::{run, run_with, succeeds};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the folder of the image is made.
const FOLDER: &str = "target/image";

/// Where the static binary is built: its flags are its own, so that nothing else is built anew for them.
const TARGET_FOLDER: &str = "target/static";

/// What a user and a group are called in the image, so that tools can say who a process is.
const PASSWD: &str = "keyward:x:65532:65532:Keyward:/var/lib/keyward:/sbin/nologin\n";
const GROUP: &str = "keyward:x:65532:\n";

/// Without a name service the C library asks name servers even for this machine itself.
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// The public certificate authorities, as Debian keeps them (package `ca-certificates`).
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// How the image is made.
#[derive(Args)]
pub(crate) struct Options {
    /// The build's profile
    #[arg(long, default_value = "dist")]
    profile: String,
    /// What the image is called
    #[arg(long, default_value = "localhost/keyward:latest")]
    name: String,
    /// Make the folder alone
    #[arg(long)]
    folder_only: bool,
}

impl Options {
    /// Quick to build: what is tried is what is around the binary, and that it is static.
    pub(crate) fn to_try(name: &str) -> Self {
        Self {
            profile: "dev".to_owned(),
            name: name.to_owned(),
            folder_only: false,
        }
    }
}

pub(crate) fn make(root: &Path, options: &Options) -> Result<(), String> {
    let binary = build(root, &options.profile)?;
    let folder = root.join(FOLDER);
    lay_out(root, &folder, &binary)?;
    if options.folder_only {
        return Ok(());
    }
    if !succeeds(root, "buildah", &["--version"]) {
        return Err(format!(
            "there is no buildah here (Debian: apt-get install buildah); the image's folder is {FOLDER}: `podman build {FOLDER}` or `docker build -f {FOLDER}/Containerfile {FOLDER}` makes the image, too"
        ));
    }
    run_with(
        root,
        "buildah",
        &["build", "--tag", &options.name, FOLDER],
        // No namespaces and no daemon: it runs where containers don't, too.
        &[("BUILDAH_ISOLATION", "chroot")],
    )
}

/// The static binary. The target is named, for else the flags would hit the compiler's own plug-ins, which
/// can't be static.
fn build(root: &Path, profile: &str) -> Result<PathBuf, String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    run_with(
        root,
        "cargo",
        &[
            "build",
            "--profile",
            profile,
            "--package",
            "keyward",
            "--target",
            &target,
            "--target-dir",
            TARGET_FOLDER,
            "--locked",
        ],
        &[("RUSTFLAGS", "-C target-feature=+crt-static")],
    )?;
    // Cargo's own name for the folder of the profile `dev`.
    let folder = if profile == "dev" { "debug" } else { profile };
    let targets = root.join(TARGET_FOLDER);
    Ok(targets.join(target).join(folder).join("keyward"))
}

fn lay_out(root: &Path, folder: &Path, binary: &Path) -> Result<(), String> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    let [system, data] = ["root", "data"].map(|name| folder.join(name));
    for path in [
        data.clone(),
        system.join("etc/ssl/certs"),
        system.join("etc/keyward"),
    ] {
        fs::create_dir_all(&path).map_err(failed(&path))?;
    }
    let files = [
        ("etc/passwd", PASSWD),
        ("etc/group", GROUP),
        ("etc/hosts", HOSTS),
    ];
    for (name, text) in files {
        let path = system.join(name);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    // An empty folder is not copied by every builder.
    fs::write(data.join(".keep"), "").map_err(failed(&data))?;
    let authorities = Path::new("/").join(AUTHORITIES);
    let copies = [
        (binary.to_owned(), system.join("keyward")),
        (authorities, system.join(AUTHORITIES)),
        (
            root.join("packaging/image/Containerfile"),
            folder.join("Containerfile"),
        ),
    ];
    for (from, to) in copies {
        fs::copy(&from, &to).map_err(failed(&from))?;
    }
    run(root, "ls", &["-l", &format!("{FOLDER}/root")])
}
