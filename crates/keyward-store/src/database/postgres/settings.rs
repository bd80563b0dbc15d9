//! Where PostgreSQL is and how it is spoken to, as an address says it.

use super::APPLICATION_NAME;
use crate::database::push_encoded;
use keyward_model::Secret;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// PostgreSQL's port where none is named.
const PORT_DEFAULT: u16 = 5432;

/// Longer names are cut by PostgreSQL, which would make two of one.
const NAME_MAX_BYTES: usize = 63;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: on this machine, or where the network is trusted.
    Off,
    /// Encrypted with whoever answers.
    Unverified,
    /// The certificate's authority is known; it may be of any name.
    Authority,
    /// The certificate is that of the host.
    Full,
}

impl Tls {
    /// As addresses of PostgreSQL spell it (`sslmode`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "disable",
            Self::Unverified => "require",
            Self::Authority => "verify-ca",
            Self::Full => "verify-full",
        }
    }

    const ALL: [Self; 4] = [Self::Off, Self::Unverified, Self::Authority, Self::Full];
}

/// What is wrong with an address. It repeats nothing of it: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(&'static str);

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    Host(Box<str>, u16),
    /// The folder of its socket, with the port that names the socket.
    Socket(PathBuf, u16),
}

/// One database of one server.
///
/// ```
/// use keyward_store::{PostgresSettings, Tls};
/// let settings = PostgresSettings::parse("postgres://gateway:pw@db.example/keyward").unwrap();
/// assert_eq!(settings.tls, Tls::Full);
/// assert_eq!(settings.to_string(), "postgres://gateway@db.example:5432/keyward");
/// let here = PostgresSettings::parse("postgres://gateway@127.0.0.1/keyward").unwrap();
/// assert_eq!(here.tls, Tls::Off);
/// ```
#[derive(Clone)]
pub struct PostgresSettings {
    user: Box<str>,
    password: Option<Secret<String>>,
    server: Server,
    database: Box<str>,
    /// How the connection is protected: without `sslmode` in the address fully, but on this machine not at
    /// all.
    pub tls: Tls,
    /// A file with certificates (PEM) of authorities beside the public ones.
    pub authorities: Option<PathBuf>,
    /// Files with a certificate and its key (PEM), by which the server knows us.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// For messages; without the password.
impl fmt::Display for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Server::Host(host, port) if host.contains(':') => write!(
                f,
                "postgres://{}@[{host}]:{port}/{}",
                self.user, self.database
            ),
            Server::Host(host, port) => write!(
                f,
                "postgres://{}@{host}:{port}/{}",
                self.user, self.database
            ),
            Server::Socket(folder, _) => write!(
                f,
                "postgres://{}@/{}?host={}",
                self.user,
                self.database,
                folder.display()
            ),
        }
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresSettings({self})")
    }
}

impl PartialEq for PostgresSettings {
    fn eq(&self, other: &Self) -> bool {
        let password = |settings: &Self| {
            let password = settings.password.as_ref();
            password.map_or_else(Vec::new, |password| password.reveal().as_bytes().to_vec())
        };
        let same_password = aws_lc_rs::constant_time::verify_slices_are_equal(
            &zeroize::Zeroizing::new(password(self)),
            &zeroize::Zeroizing::new(password(other)),
        );
        same_password.is_ok()
            && self.user == other.user
            && self.server == other.server
            && self.database == other.database
            && self.tls == other.tls
            && self.authorities == other.authorities
            && self.identity == other.identity
    }
}

impl PostgresSettings {
    /// Reads `postgres://user:password@host:port/database`, with `sslmode`, `sslrootcert`, `sslcert`,
    /// `sslkey` and `host` (the folder of a socket) behind a question mark, percent signs for what is not
    /// plain. Whatever else clients of PostgreSQL know there is refused: it would be ignored.
    ///
    /// # Errors
    /// Why it is no such address.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(Refusal("is no address of PostgreSQL"))?;
        if rest.contains('#') {
            return Err(Refusal("has a `#`: write `%23`, if it is meant"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.rsplit_once('/').unwrap_or((rest, ""));
        let (credentials, at) = authority
            .rsplit_once('@')
            .ok_or(Refusal("names no user before the host"))?;
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password)?)),
            None => (credentials, None),
        };
        let mut settings = Self {
            user: name(user, "names no user before the host")?,
            password: password.map(Secret::new),
            server: server(at)?,
            database: name(database, "names no database behind the host")?,
            tls: Tls::Full,
            authorities: None,
            identity: None,
        };
        settings.read_query(query)?;
        Ok(settings)
    }

    fn read_query(&mut self, query: &str) -> Result<(), Refusal> {
        let mut tls = None;
        let (mut certificate, mut key) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            match name {
                "sslmode" => tls = Some(tls_of(&value)?),
                "sslrootcert" => self.authorities = Some(PathBuf::from(value)),
                "sslcert" => certificate = Some(PathBuf::from(value)),
                "sslkey" => key = Some(PathBuf::from(value)),
                "host" if value.starts_with('/') => {
                    let port = match &self.server {
                        Server::Host(_, port) | Server::Socket(_, port) => *port,
                    };
                    self.server = Server::Socket(PathBuf::from(value), port);
                }
                _ => {
                    return Err(Refusal(
                        "has something behind the `?` that is none of `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, and `host` with the folder of a socket",
                    ));
                }
            }
        }
        self.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                return Err(Refusal(
                    "has one of `sslcert` and `sslkey` without the other",
                ));
            }
        };
        self.tls = match (tls, &self.server) {
            (None | Some(Tls::Off), Server::Socket(..)) => Tls::Off,
            (Some(_), Server::Socket(..)) => {
                return Err(Refusal("asks for TLS on a socket of this machine"));
            }
            (Some(tls), Server::Host(..)) => tls,
            (None, Server::Host(host, _)) if is_this_machine(host) && self.is_plain() => Tls::Off,
            (None, Server::Host(..)) => Tls::Full,
        };
        if matches!(&self.server, Server::Host(host, _) if host.is_empty()) {
            return Err(Refusal("names no host"));
        }
        if self.tls == Tls::Off && !self.is_plain() {
            return Err(Refusal("names certificates without TLS (`sslmode`)"));
        }
        Ok(())
    }

    fn is_plain(&self) -> bool {
        self.authorities.is_none() && self.identity.is_none()
    }

    /// Whether the address holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether what is sent can be read or changed on its way to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        match &self.server {
            Server::Socket(..) => false,
            Server::Host(host, _) => {
                !is_this_machine(host) && matches!(self.tls, Tls::Off | Tls::Unverified)
            }
        }
    }

    /// The paths that are named, to be taken from where the address stands.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let identity = self
            .identity
            .iter_mut()
            .flat_map(|(certificate, key)| [certificate, key]);
        self.authorities.iter_mut().chain(identity)
    }

    /// For the driver. What it would else take from the environment is said, but for certificates where there are none,
    /// a password where there is none, and `PGOPTIONS`, which an address can't clear.
    pub(super) fn url(&self) -> Secret<String> {
        // With room for all of it, so that no part of the password stays behind where it was moved from.
        let mut url = String::with_capacity(4096);
        url.push_str("postgres://");
        push_encoded(&mut url, &self.user, b"-_.");
        if let Some(password) = &self.password {
            url.push(':');
            push_encoded(&mut url, password.reveal(), b"-_.");
        }
        let (host, port) = match &self.server {
            Server::Host(host, port) if host.contains(':') => (format!("[{host}]"), *port),
            Server::Host(host, port) => (host.to_string(), *port),
            Server::Socket(_, port) => ("localhost".to_owned(), *port),
        };
        url.push('@');
        url.push_str(&host);
        url.push_str(&format!(":{port}/"));
        push_encoded(&mut url, &self.database, b"-_.");
        url.push_str("?sslmode=");
        url.push_str(self.tls.as_str());
        let mut parameter = |name: &str, value: &Path| {
            url.push('&');
            url.push_str(name);
            url.push('=');
            push_encoded(&mut url, &value.to_string_lossy(), b"-_./");
        };
        parameter("application_name", Path::new(APPLICATION_NAME));
        if let Server::Socket(folder, _) = &self.server {
            parameter("host", folder);
        }
        if let Some(authorities) = &self.authorities {
            parameter("sslrootcert", authorities);
        }
        if let Some((certificate, key)) = &self.identity {
            parameter("sslcert", certificate);
            parameter("sslkey", key);
        }
        Secret::new(url)
    }
}

fn tls_of(mode: &str) -> Result<Tls, Refusal> {
    Tls::ALL
        .into_iter()
        .find(|tls| tls.as_str() == mode)
        .ok_or(Refusal(
            "has an `sslmode` that is none of `verify-full`, `verify-ca`, `require`, `disable`: `allow` and `prefer` would go without TLS in silence",
        ))
}

fn server(at: &str) -> Result<Server, Refusal> {
    let no_port = Refusal("has something behind the host that is no port");
    let (host, port) = match at.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']').ok_or(Refusal("has a `[` without `]`"))?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| Refusal("has no address of IPv6 in its brackets"))?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(no_port)?),
            };
            (host.to_owned(), port)
        }
        None => match at.split_once(':') {
            Some((host, port)) => (decoded(host)?, Some(port)),
            None => (decoded(at)?, None),
        },
    };
    let port = match port {
        None => PORT_DEFAULT,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(no_port)?,
    };
    if host.starts_with('/') {
        return Ok(Server::Socket(PathBuf::from(host), port));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if !host.bytes().all(plain) {
        return Err(Refusal(
            "has a host that can't be one; several are not taken",
        ));
    }
    Ok(Server::Host(host.into(), port))
}

fn name(text: &str, missing: &'static str) -> Result<Box<str>, Refusal> {
    let text = decoded(text)?;
    if text.is_empty() {
        return Err(Refusal(missing));
    }
    if text.len() > NAME_MAX_BYTES {
        return Err(Refusal("has a name of more than 63 bytes"));
    }
    Ok(text.into())
}

fn is_this_machine(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost",
    }
}

/// With percent signs undone.
fn decoded(text: &str) -> Result<String, Refusal> {
    let refusal =
        Refusal("has a percent sign that is not followed by two hexadecimal digits of UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = rest.next().map(char::from)?;
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(refusal);
        };
        bytes.push(high * 16 + low);
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) | Err(_) => Err(refusal),
    }
}
