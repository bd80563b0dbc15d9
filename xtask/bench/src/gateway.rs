//! The gateway beside its peers: the scenarios and the protocol.
//!
//! Every scenario has its windows in turn (A B C A B C), so that a machine that changes pace changes it for
//! all; a window with a failed request is thrown away and said; the median of the others counts.

use crate::certificate::Certificate;
use crate::load::{self, Load, Window};
use crate::peer::{Peer, Programs, Running, Setting, free_address};
use crate::process::{self, CpuTime, Place, Process};
use crate::report::{Bound, Report, Row};
use crate::token::Tokens;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// How much is measured, and where the programs are.
#[derive(Args)]
pub(crate) struct Options {
    /// Where configurations, tokens and logs go
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Writes all figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Short windows, to see that it runs: the figures mean little
    #[arg(long)]
    quick: bool,
    /// Only scenarios whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Connections of the load generator
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Windows of each scenario
    #[arg(long, default_value_t = 4)]
    windows: usize,
    /// Length of a window
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// Tokens signed beforehand, for the scenario where every token is new
    #[arg(long, default_value_t = 300_000)]
    tokens: usize,
    #[command(flatten)]
    programs: Programs,
}

/// What a scenario's requests carry.
#[derive(Clone, Copy)]
pub(crate) enum Traffic {
    Plain,
    OneToken,
    TenThousandTokens,
    EveryTokenNew,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) peer: Peer,
    pub(crate) path: &'static str,
    pub(crate) traffic: Traffic,
    /// More header fields of each request.
    pub(crate) headers: &'static str,
    /// At half of the requests a second that HAProxy reached, rather than as fast as answers come.
    pub(crate) at_half: bool,
}

/// Whose pace is halved.
const PACEMAKER: &str = "haproxy plain";

pub(crate) const fn scenario(name: &'static str, peer: Peer, traffic: Traffic) -> Scenario {
    Scenario {
        name,
        peer,
        path: "/echo/x",
        traffic,
        headers: "",
        at_half: false,
    }
}

impl Scenario {
    pub(crate) const fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    const fn at_half(self) -> Self {
        Self {
            at_half: true,
            ..self
        }
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario("haproxy plain", Peer::HaproxyPlain, Traffic::Plain),
    scenario("nginx plain", Peer::Nginx, Traffic::Plain),
    scenario("keyward plain", Peer::Keyward, Traffic::Plain).at("/open/x"),
    scenario(
        "keyward plain, no access log",
        Peer::KeywardUnlogged,
        Traffic::Plain,
    )
    .at("/open/x"),
    scenario("keyward jwt, one token", Peer::Keyward, Traffic::OneToken),
    scenario(
        "keyward jwt, 10,000 tokens",
        Peer::Keyward,
        Traffic::TenThousandTokens,
    ),
    scenario(
        "keyward jwt, every token new",
        Peer::Keyward,
        Traffic::EveryTokenNew,
    ),
    Scenario {
        headers: "origin: https://app.example\r\n",
        ..scenario(
            "keyward jwt and CORS, 10,000 tokens",
            Peer::Keyward,
            Traffic::TenThousandTokens,
        )
        .at("/all/x")
    },
    scenario(
        "haproxy jwt, one token",
        Peer::HaproxyJwt,
        Traffic::OneToken,
    ),
    scenario(
        "haproxy jwt, every token new",
        Peer::HaproxyJwt,
        Traffic::EveryTokenNew,
    ),
    scenario(
        "envoy jwt cache, one token",
        Peer::EnvoyCache,
        Traffic::OneToken,
    ),
    scenario(
        "envoy jwt cache, 10,000 tokens",
        Peer::EnvoyCache,
        Traffic::TenThousandTokens,
    ),
    scenario(
        "envoy jwt cache, every token new",
        Peer::EnvoyCache,
        Traffic::EveryTokenNew,
    ),
    scenario(
        "envoy jwt no cache, one token",
        Peer::EnvoyNoCache,
        Traffic::OneToken,
    ),
    scenario("haproxy TLS 1.3", Peer::HaproxyTls, Traffic::Plain),
    scenario("keyward TLS 1.3", Peer::KeywardTls, Traffic::Plain).at("/open/x"),
    scenario("keyward 100 routes", Peer::KeywardRoutes(1), Traffic::Plain).at("/a0/r77/x"),
    scenario(
        "keyward 10,000 routes",
        Peer::KeywardRoutes(100),
        Traffic::Plain,
    )
    .at("/a77/r77/x"),
    scenario("haproxy plain at half", Peer::HaproxyPlain, Traffic::Plain).at_half(),
    scenario("keyward plain at half", Peer::Keyward, Traffic::Plain)
        .at("/open/x")
        .at_half(),
    scenario(
        "keyward jwt at half, 10,000 tokens",
        Peer::Keyward,
        Traffic::TenThousandTokens,
    )
    .at_half(),
];

const BOUNDS: &[Bound] = &[
    Bound::Ratio {
        of: "keyward plain, no access log",
        to: "haproxy plain",
        most: 0.9,
    },
    Bound::Ratio {
        of: "keyward jwt, one token",
        to: "haproxy plain",
        most: 1.15,
    },
    Bound::Ratio {
        of: "keyward jwt, one token",
        to: "envoy jwt cache, one token",
        most: 0.45,
    },
    Bound::Difference {
        of: "keyward jwt, every token new",
        to: "keyward jwt, one token",
        most_us: 20.0,
    },
    Bound::Ratio {
        of: "keyward jwt and CORS, 10,000 tokens",
        to: "haproxy plain",
        most: 1.0,
    },
    Bound::Ratio {
        of: "keyward jwt and CORS, 10,000 tokens",
        to: "envoy jwt cache, 10,000 tokens",
        most: 0.4,
    },
    Bound::Ratio {
        of: "keyward TLS 1.3",
        to: "haproxy TLS 1.3",
        most: 1.1,
    },
    Bound::Ratio {
        of: "keyward 10,000 routes",
        to: "keyward plain",
        most: 1.05,
    },
    Bound::Latency {
        of: "keyward plain at half",
        to: "haproxy plain at half",
        most: 1.0,
    },
];

/// The first windows' warm-up; later windows only let their connections open.
const WARM_UP: Duration = Duration::from_secs(5);
const WARM_UP_AGAIN: Duration = Duration::from_secs(1);

/// Measures the gateway and its peers.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    measure_all(options, SCENARIOS, BOUNDS)
}

/// Measures, prints the table, and fails when a window of every scenario could not be used.
pub(crate) fn measure_all(
    options: &Options,
    scenarios: &'static [Scenario],
    bounds: &'static [Bound],
) -> Result<(), String> {
    let folder = std::path::absolute(&options.folder).map_err(|error| error.to_string())?;
    let (windows, window, warm_up, count) = if options.quick {
        (
            2,
            Duration::from_secs(2),
            Duration::from_secs(1),
            options.tokens.min(60_000),
        )
    } else {
        (
            options.windows,
            Duration::from_secs(options.seconds),
            WARM_UP,
            options.tokens,
        )
    };
    let tokens = Tokens::prepare(&folder, count)?;
    let certificate = Certificate::make(&folder)?;
    process::pin_self();

    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let upstream = free_address()?;
    let arguments = ["upstream", "--listen", &upstream.to_string()].map(str::to_owned);
    let log = folder.join("upstream.log");
    let mut upstream_process = Process::start("upstream", Place::Load, &own, &arguments, &log)?;
    let setting = Setting {
        pace: None,
        folder: &folder,
        upstream,
        tokens: &tokens,
        certificate: &certificate,
        programs: &options.programs,
    };

    let mut report = Report::new(options.connections, window, windows);
    let direct = Load {
        address: upstream,
        path: "/",
        connections: options.connections,
        tokens: load::Tokens::None,
        headers: "",
        tls: None,
        pace: None,
    };
    wait_until_answers(&direct, &mut upstream_process)?;
    let ceiling = load::run(&direct, WARM_UP_AGAIN, window, &|| {
        upstream_process.cpu_time()
    })?;
    report.ceiling(&ceiling);

    let chosen: Vec<&Scenario> = scenarios
        .iter()
        .filter(|scenario| {
            options.only.is_empty() || options.only.iter().any(|text| scenario.name.contains(text))
        })
        .filter(|scenario| {
            let present = scenario.peer.is_present(&options.programs);
            if !present {
                println!("left out: {} (no program)", scenario.name);
            }
            present
        })
        .collect();
    let mut rows: Vec<Row> = chosen
        .iter()
        .map(|scenario| Row::new(scenario.name))
        .collect();
    let mut proxies = Proxies {
        running: Vec::new(),
    };
    let pacemaker = chosen
        .iter()
        .position(|scenario| scenario.name == PACEMAKER);
    for round in 0..windows {
        for (index, scenario) in chosen.iter().enumerate() {
            let pace = if scenario.at_half {
                let reached = pacemaker
                    .and_then(|at| rows.get(at))
                    .and_then(Row::requests_per_second);
                let Some(reached) = reached else {
                    println!("left out: {} (nothing of `{PACEMAKER}`)", scenario.name);
                    continue;
                };
                Some(reached / 2.0)
            } else {
                None
            };
            let Some(row) = rows.get_mut(index) else {
                continue;
            };
            let warm = if round == 0 {
                warm_up
            } else {
                WARM_UP_AGAIN.min(warm_up)
            };
            let setting = Setting { pace, ..setting };
            let (result, peak) =
                proxies.measure(scenario, &setting, options.connections, warm, window)?;
            println!(
                "{}/{windows} {:<34}{}",
                round + 1,
                scenario.name,
                match &result.first_failure {
                    Some(why) => format!("thrown away: {} failed, first: {why}", result.failures),
                    None => format!(
                        "{:>7.2} µs of CPU a request, {:>7.0} requests/s over {:.1} s",
                        result.cpu_us_per_request(),
                        result.requests_per_second(),
                        result.seconds
                    ),
                }
            );
            row.add(result, peak);
        }
    }
    drop(proxies);
    report.rows = rows;
    report.print(bounds);
    match &options.json {
        Some(file) => report.write_json(file, bounds),
        None => Ok(()),
    }
}

/// The proxies that run: each is started when it is first wanted, and stays.
struct Proxies {
    running: Vec<(Peer, Running)>,
}

impl Proxies {
    fn measure(
        &mut self,
        scenario: &Scenario,
        setting: &Setting<'_>,
        connections: usize,
        warm_up: Duration,
        window: Duration,
    ) -> Result<(Window, u64), String> {
        // Started anew where every token must be new to its cache.
        if matches!(scenario.traffic, Traffic::EveryTokenNew) {
            let warm = Scenario {
                traffic: Traffic::OneToken,
                ..*scenario
            };
            let mut running = started(&warm, setting)?;
            let load = warm.load(&running, setting, connections);
            load::run(&load, warm_up, Duration::ZERO, &|| Ok(CpuTime::default()))?;
            running.process.alive()?;
            return measured(
                scenario,
                &mut running,
                setting,
                connections,
                Duration::ZERO,
                window,
            );
        }
        if !self.running.iter().any(|(peer, _)| *peer == scenario.peer) {
            self.running
                .push((scenario.peer, started(scenario, setting)?));
        }
        let running = self
            .running
            .iter_mut()
            .find(|(peer, _)| *peer == scenario.peer)
            .map(|(_, running)| running)
            .ok_or("a proxy that was started is gone")?;
        measured(scenario, running, setting, connections, warm_up, window)
    }
}

fn measured(
    scenario: &Scenario,
    running: &mut Running,
    setting: &Setting<'_>,
    connections: usize,
    warm_up: Duration,
    window: Duration,
) -> Result<(Window, u64), String> {
    let load = scenario.load(running, setting, connections);
    let result = load::run(&load, warm_up, window, &|| running.process.cpu_time())?;
    running.process.alive()?;
    Ok((result, running.process.peak_kilobytes()?))
}

fn started(scenario: &Scenario, setting: &Setting<'_>) -> Result<Running, String> {
    let mut running = scenario.peer.start(setting)?;
    let load = scenario.load(&running, setting, 1);
    let waited = wait_until_answers(&load, &mut running.process);
    waited.map_err(|why| {
        format!(
            "{why}; see {}/{}.log",
            setting.folder.display(),
            scenario.peer.name()
        )
    })?;
    if !matches!(scenario.traffic, Traffic::Plain) {
        let tokens = load::Tokens::InTurn(&setting.tokens.broken);
        match load::probe(&Load {
            tokens,
            ..load.clone()
        }) {
            Err(why) if why.contains(" 401 ") => {}
            other => {
                return Err(format!(
                    "{} answers a token with a wrong signature not with 401 but with {other:?}",
                    scenario.peer.name()
                ));
            }
        }
    }
    Ok(running)
}

impl Scenario {
    fn load<'a>(&self, running: &Running, setting: &Setting<'a>, connections: usize) -> Load<'a> {
        let tokens = &setting.tokens.tokens;
        let first = |count: usize| tokens.get(..count).unwrap_or(tokens);
        Load {
            address: running.address,
            path: self.path,
            connections,
            headers: self.headers,
            tls: self
                .peer
                .speaks_tls()
                .then(|| setting.certificate.connector.clone()),
            pace: setting.pace,
            tokens: match self.traffic {
                Traffic::Plain => load::Tokens::None,
                Traffic::OneToken => load::Tokens::InTurn(first(1)),
                Traffic::TenThousandTokens => load::Tokens::InTurn(first(10_000)),
                Traffic::EveryTokenNew => load::Tokens::Once(tokens.get(1..).unwrap_or(tokens)),
            },
        }
    }
}

/// Asks until the answer is the right one; a proxy that refuses for 15 s is wrongly set up.
fn wait_until_answers(load: &Load<'_>, process: &mut Process) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..150 {
        process.alive()?;
        match load::probe(load) {
            Ok(()) => return Ok(()),
            Err(why) => last = why,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!(
        "{}{} does not answer as it should: {last}",
        load.address, load.path
    ))
}
