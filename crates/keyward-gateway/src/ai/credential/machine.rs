//! What this machine's environment says of its own credentials for clouds. The names are those that the clouds' own
//! libraries read, so that what runs with them runs here.

use keyward_egress::AllowRule;
use keyward_model::Secret;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

pub(super) const AWS_ID: &str = "AWS_ACCESS_KEY_ID";
pub(super) const AWS_SECRET: &str = "AWS_SECRET_ACCESS_KEY";
pub(super) const AWS_SESSION: &str = "AWS_SESSION_TOKEN";
pub(super) const AWS_ROLE: &str = "AWS_ROLE_ARN";
pub(super) const AWS_ROLE_SESSION: &str = "AWS_ROLE_SESSION_NAME";
pub(super) const AWS_TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
pub(super) const AWS_STS: &str = "AWS_ENDPOINT_URL_STS";
pub(super) const AWS_CONTAINER_PATH: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
pub(super) const AWS_CONTAINER_URL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
pub(super) const AWS_CONTAINER_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
pub(super) const AWS_CONTAINER_TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
pub(super) const AWS_METADATA: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
pub(super) const AWS_METADATA_OFF: &str = "AWS_EC2_METADATA_DISABLED";
const GOOGLE_METADATA: &str = "GCE_METADATA_HOST";
const GOOGLE_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The variables that count.
pub const MACHINE_VARIABLES: [&str; 15] = [
    AWS_ID,
    AWS_SECRET,
    AWS_SESSION,
    AWS_ROLE,
    AWS_ROLE_SESSION,
    AWS_TOKEN_FILE,
    AWS_STS,
    AWS_CONTAINER_PATH,
    AWS_CONTAINER_URL,
    AWS_CONTAINER_TOKEN,
    AWS_CONTAINER_TOKEN_FILE,
    AWS_METADATA,
    AWS_METADATA_OFF,
    GOOGLE_METADATA,
    GOOGLE_FILE,
];

/// Where the clouds' own services for machines and containers are.
const SERVICES: [&str; 4] = [
    "169.254.169.254:80",
    "169.254.170.2:80",
    "169.254.170.23:80",
    "[fd00:ec2::254]:80",
];

/// The most of a file with a token or a key.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// The variables that are set.
#[derive(Clone, Debug, Default)]
pub struct MachineEnvironment(BTreeMap<&'static str, Secret<String>>);

impl MachineEnvironment {
    /// Reads them by `variable`, which tells what one is set to.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = MACHINE_VARIABLES.into_iter().filter_map(|name| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            Some((name, Secret::new(value)))
        });
        Self(set.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.reveal().as_str())
    }

    pub(super) fn google_metadata(&self) -> Option<&str> {
        self.get(GOOGLE_METADATA)
    }

    pub(super) fn google_credentials(&self) -> Option<&str> {
        self.get(GOOGLE_FILE)
    }

    /// What has to be opened beside what is open anyway: the services' own addresses, and those that the environment
    /// names by number, which is the word of whoever runs the machine.
    pub(super) fn addresses(&self) -> Vec<AllowRule> {
        let named = [AWS_STS, AWS_CONTAINER_URL, AWS_METADATA, GOOGLE_METADATA];
        let named = named.into_iter().filter_map(|name| self.get(name));
        let named = named.filter_map(|text| numbered(text).map(rule));
        let services = SERVICES.iter().map(|address| (*address).to_owned());
        services
            .chain(named)
            .filter_map(|rule| rule.parse().ok())
            .collect()
    }
}

fn rule(address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", address.port()),
    }
}

/// The address of a URL or a host that is written as a number.
fn numbered(text: &str) -> Option<SocketAddr> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next()?;
    let port = if text.starts_with("https:") { 443 } else { 80 };
    let alone = || {
        let ip = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()?;
        Some(SocketAddr::new(ip, port))
    };
    host.parse().ok().or_else(alone)
}

/// A small file's text, without the white space around it.
pub(super) async fn read_file(path: &str) -> Result<Secret<String>, String> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let failed = |error: std::io::Error| format!("{path}: {error}");
        let length = std::fs::metadata(&path).map_err(failed)?.len();
        if length > FILE_MAX_BYTES {
            return Err(format!("{path}: it has more than {FILE_MAX_BYTES} bytes"));
        }
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path).map_err(failed)?);
        Ok(Secret::new(text.trim().to_owned()))
    });
    reading.await.map_err(|error| error.to_string())?
}
