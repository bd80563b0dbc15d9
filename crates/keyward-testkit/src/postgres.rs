//! A PostgreSQL of one's own, to be killed and brought back.

use crate::condition::until;
use crate::port::free_ports;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The superuser of every server here.
const USER: &str = "keyward";

/// Its password, which only servers ask for that are told to.
const PASSWORD: &str = "pass word/with:odd@signs%";

/// Whoever is asked for no user by itself: it refuses to run as root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// How often it is tried to start.
const STARTS_MAX: u32 = 500;

/// What a test's server does without: it is thrown away, and may be started hundreds of times. What the
/// kernel has outlives the process that wrote it, so that even a killed one loses nothing.
const SETTINGS: &str = "
fsync = off
full_page_writes = off
autovacuum = off
shared_buffers = 16MB
max_connections = 60
min_wal_size = 32MB
max_wal_size = 64MB
max_parallel_workers = 0
jit = off
dynamic_shared_memory_type = mmap
lc_messages = C
";

/// Debian's `postgres` at a port of its own, in a folder of its own, under a user of its own when this one
/// is root. Ended when dropped.
#[derive(Debug)]
pub struct PostgresServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    databases: u32,
}

impl PostgresServer {
    /// Starts one that takes everybody of this machine at their word, and waits until it answers.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not answer.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with more lines of `postgresql.conf`.
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not answer.
    pub async fn start_with(settings: &str) -> Self {
        let mut server = Self::prepare();
        let file = server.data().join("postgresql.conf");
        let written = format!("{SETTINGS}\n{settings}\n");
        fs::write(&file, written).expect("the folder of the server can be written");
        server.give(&file);
        server.bring_back().await;
        server
    }

    /// Starts one that asks for a password and takes connections over TLS alone, with this certificate and
    /// key (PEM).
    ///
    /// # Panics
    /// When there is no PostgreSQL, or it does not answer.
    pub async fn start_guarded(certificate: &str, key: &str) -> Self {
        let mut server = Self::prepare();
        let rules = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
        let settings = format!("{SETTINGS}\nssl = on\npassword_encryption = scram-sha-256\n");
        for (name, text) in [
            ("server.crt", certificate),
            ("server.key", key),
            ("pg_hba.conf", rules),
            ("postgresql.conf", &settings),
        ] {
            let file = server.data().join(name);
            fs::write(&file, text).expect("the folder of the server can be written");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
            server.give(&file);
        }
        server.bring_back().await;
        server
    }

    /// A folder with a cluster that has not run yet: a copy of one that was made before on this machine, since
    /// making it takes longer than most tests.
    fn prepare() -> Self {
        Self::copy_of(&template(&programs(), other_user()))
    }

    fn copy_of(original: &Path) -> Self {
        let programs = programs();
        let [port] = free_ports();
        let user = other_user();
        let folder = tempfile::tempdir().expect("the folder for temporary files can be written");
        let server = Self {
            child: None,
            port,
            folder,
            programs,
            user,
            databases: 0,
        };
        server.give(server.folder.path());
        run(Command::new("cp")
            .arg("-a")
            .arg(original)
            .arg(server.data()));
        server
    }

    /// A standby: it has what `primary`, which is stopped, has, and can be read alone.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn standby_of(primary: &Self) -> Self {
        let mut server = Self::copy_of(&primary.data());
        let signal = server.data().join("standby.signal");
        fs::write(&signal, "").expect("the folder of the server can be written");
        server.give(&signal);
        server.bring_back().await;
        server
    }

    /// The folder of all that it has written.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn give(&self, path: &Path) {
        give(path, self.user);
    }

    /// Starts it again at the same port, with what it had.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn bring_back(&mut self) {
        let address = self.address();
        self.child = Some(self.spawn());
        let mut tries = 0;
        until("postgres answers", async || {
            let child = self.child.as_mut().expect("it was started");
            if child.try_wait().expect("it is ours").is_some() {
                // After a kill those who served a connection may still be about to see it and end: it does
                // not start beside them.
                tries += 1;
                let log = || fs::read_to_string(self.log()).unwrap_or_default();
                assert!(tries < STARTS_MAX, "postgres has ended: {}", log());
                self.child = Some(self.spawn());
            }
            answers(address)
        })
        .await;
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn spawn(&self) -> Child {
        let file = File::options().append(true).create(true).open(self.log());
        let mut command = Command::new(self.programs.join("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k", ""])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file.expect("the folder for temporary files can be written"));
        under(&mut command, self.user);
        command.spawn().expect("PostgreSQL is installed")
    }

    /// Ends it at once, as a lost machine would, with all who are connected.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it has not ended by itself");
        child.wait().expect("it was killed");
    }

    /// Ends it as an operator does who can't wait: connections are cut, nothing is lost.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&mut self) {
        self.signal("INT");
        let mut child = self.child.take().expect("it runs");
        child.wait().expect("it was told to end");
    }

    /// Sends a signal by its name to the server: with `STOP` it takes no new connections, until `CONT`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        run(Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The URL of a new, empty database, as `database` takes it.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn new_database(&mut self) -> String {
        self.databases += 1;
        let name = format!("test{}", self.databases);
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database, by a user who is not asked for a password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@{}/{database}", self.address())
    }

    /// The URL of the database that every server has, with the password, for a server that asks for it.
    #[must_use]
    pub fn url_with_password(&self) -> String {
        let password = PASSWORD
            .replace('%', "%25")
            .replace('/', "%2F")
            .replace(':', "%3A")
            .replace('@', "%40")
            .replace(' ', "%20");
        format!("postgres://{USER}:{password}@{}/postgres", self.address())
    }

    /// What `psql` prints of a statement: a line for each row, columns with a bar between.
    ///
    /// # Panics
    /// When the statement fails.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let port = self.port.to_string();
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-p", &port, "-U", USER, "-d", database])
            .args(["-c", statement])
            .output()
            .expect("psql is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statement}: {said}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // At once, but so that it takes its processes along. It may have ended before.
            let _told = Command::new("sh")
                .args(["-c", &format!("kill -QUIT {}", child.id())])
                .stderr(Stdio::null())
                .status();
            let _status = child.wait();
        }
    }
}

/// The programs of the newest version that Debian has installed here; else those of the search path.
fn programs() -> PathBuf {
    let version = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.parse::<u32>().ok()
    };
    let newest = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/initdb").exists() && path.join("bin/postgres").exists())
        .max_by_key(|path| version(path));
    newest.map_or_else(PathBuf::new, |path| path.join("bin"))
}

/// The user and group that the server runs under, where this one is root.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output();
        let output = output.expect("there is `id`");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then(|| text.parse::<u32>().ok())?
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let found = USERS
        .into_iter()
        .find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)));
    Some(found.expect("there is a user `postgres` or `nobody`"))
}

fn under(command: &mut Command, user: Option<(u32, u32)>) {
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
}

fn give(path: &Path, user: Option<(u32, u32)>) {
    if let Some((user, group)) = user {
        chown(path, Some(user), Some(group)).expect("root may give files away");
    }
}

/// A cluster to be copied, made once for each version and user.
fn template(programs: &Path, user: Option<(u32, u32)>) -> PathBuf {
    let uid = user.map_or_else(|| "own".to_owned(), |(uid, _)| uid.to_string());
    let version = output(Command::new(programs.join("postgres")).arg("--version"));
    let version: String = version
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let folder = std::env::temp_dir().join("keyward-testkit-postgres");
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    // Others come through it, and look into nothing else.
    let open = fs::Permissions::from_mode(0o711);
    let _ours = fs::set_permissions(&folder, open);
    let lock = File::create(folder.join(format!("{version}-{uid}.lock")));
    let lock = lock.expect("the folder for temporary files can be written");
    lock.lock().expect("files for temporary use can be locked");
    let template = folder.join(format!("{version}-{uid}"));
    if template.exists() {
        return template;
    }
    let begun = folder.join(format!("{version}-{uid}.begun"));
    let _left = fs::remove_dir_all(&begun);
    fs::create_dir(&begun).expect("the folder for temporary files can be written");
    give(&begun, user);
    let password = begun.join("password");
    fs::write(&password, PASSWORD).expect("the folder for temporary files can be written");
    give(&password, user);
    let data = begun.join("data");
    let mut command = Command::new(programs.join("initdb"));
    command
        .args([
            "--no-locale",
            "--encoding=UTF8",
            "--no-sync",
            "--no-instructions",
        ])
        .args(["--auth=trust", "--username", USER])
        .arg("--pwfile")
        .arg(&password)
        .arg("-D")
        .arg(&data)
        .current_dir(&begun);
    under(&mut command, user);
    run(&mut command);
    fs::rename(&data, &template).expect("it is in the same folder");
    let _removed = fs::remove_dir_all(&begun);
    template
}

fn run(command: &mut Command) {
    let _said = output(command);
}

fn output(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether it takes connections: it answers a request for TLS with one letter before anything else, and
/// whoever comes while it starts or recovers is told so after that.
#[expect(clippy::disallowed_methods, reason = "a test's own connection")]
fn answers(address: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(std::time::Duration::from_millis(500)))?;
        // Protocol 3.0, a user that there need not be: what is refused is refused by a server that runs.
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        startup.extend_from_slice(b"user\0nobody-asks\0database\0postgres\0\0");
        let length = u32::try_from(startup.len() + 4).unwrap_or_default();
        stream.write_all(&length.to_be_bytes())?;
        stream.write_all(&startup)?;
        let mut answer = Vec::new();
        // An error ends the connection: it is read to its end.
        stream.read_to_end(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    // The code of one that starts, recovers or ends.
    let not_yet = |answer: &[u8]| answer.windows(6).any(|code| code == b"C57P03");
    ask().is_ok_and(|answer| !answer.is_empty() && !not_yet(&answer))
}
