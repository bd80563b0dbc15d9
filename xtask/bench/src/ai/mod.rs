//! Calls of AI models: Keyward beside LiteLLM and Portkey, and beside its own guarded proxy, with one instant provider.
//!
//! The protocol is that of [`gateway`](crate::gateway): windows in turn, medians, a window with a failed call thrown away.

mod load;
pub(crate) mod mock;
mod peer;
mod streams;

use crate::process::{self, CpuTime, Place, Process};
use crate::report::{Bound, Report, Row};
use crate::token::Tokens;
use clap::Args;
use load::{Load, Until};
use peer::{LITELLM_KEY, Peer, Programs, Running, Setting};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
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
    /// Connections of the load generator, where the scenario does not say
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Windows of each scenario
    #[arg(long, default_value_t = 4)]
    windows: usize,
    /// Length of a window
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    #[command(flatten)]
    programs: Programs,
}

/// Which dialect a call is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Chat,
    Messages,
}

/// What is called.
#[derive(Clone, Copy)]
enum Call {
    /// A plain API: a token, and 1 kB back.
    Get,
    /// The same call of the provider through a plain API.
    Proxied,
    /// The model of this name.
    Model(&'static str, Form),
}

struct Scenario {
    name: &'static str,
    peer: Peer,
    call: Call,
    /// Bytes of the request's body, about.
    size: usize,
    streamed: bool,
    /// One connection, and the time to the first token where it is streamed.
    alone: bool,
}

const SMALL: usize = 200;
const MIDDLE: usize = 10_000;
const LARGE: usize = 120_000;

const SAME: Call = Call::Model("same", Form::Chat);
const OTHER: Call = Call::Model("other", Form::Chat);

const fn scenario(name: &'static str, peer: Peer, call: Call, size: usize) -> Scenario {
    Scenario {
        name,
        peer,
        call,
        size,
        streamed: false,
        alone: false,
    }
}

impl Scenario {
    const fn streamed(self) -> Self {
        Self {
            streamed: true,
            ..self
        }
    }

    const fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }
}

const SCENARIOS: &[Scenario] = &[
    scenario("jwt proxy, GET", Peer::Keyward, Call::Get, 0),
    scenario("jwt proxy, 200 B", Peer::Keyward, Call::Proxied, SMALL),
    scenario("same dialect, 200 B", Peer::Keyward, SAME, SMALL),
    scenario("translated, 200 B", Peer::Keyward, OTHER, SMALL),
    scenario(
        "translated from Anthropic, 200 B",
        Peer::Keyward,
        Call::Model("same", Form::Messages),
        SMALL,
    ),
    scenario("litellm, 200 B", Peer::Litellm, SAME, SMALL),
    scenario("portkey, 200 B", Peer::Portkey, SAME, SMALL),
    scenario("jwt proxy, 10 kB", Peer::Keyward, Call::Proxied, MIDDLE),
    scenario("same dialect, 10 kB", Peer::Keyward, SAME, MIDDLE),
    scenario("translated, 10 kB", Peer::Keyward, OTHER, MIDDLE),
    scenario("jwt proxy, 120 kB", Peer::Keyward, Call::Proxied, LARGE),
    scenario("same dialect, 120 kB", Peer::Keyward, SAME, LARGE),
    scenario("translated, 120 kB", Peer::Keyward, OTHER, LARGE),
    scenario("jwt proxy, streamed", Peer::Keyward, Call::Proxied, SMALL).streamed(),
    scenario("same dialect, streamed", Peer::Keyward, SAME, SMALL).streamed(),
    scenario("translated, streamed", Peer::Keyward, OTHER, SMALL).streamed(),
    scenario("litellm, streamed", Peer::Litellm, SAME, SMALL).streamed(),
    scenario("portkey, streamed", Peer::Portkey, SAME, SMALL).streamed(),
    scenario("direct, alone", Peer::Direct, SAME, SMALL).alone(),
    scenario("same dialect, alone", Peer::Keyward, SAME, SMALL).alone(),
    scenario("translated, alone", Peer::Keyward, OTHER, SMALL).alone(),
    scenario("direct, first token", Peer::Direct, SAME, SMALL)
        .streamed()
        .alone(),
    scenario("same dialect, first token", Peer::Keyward, SAME, SMALL)
        .streamed()
        .alone(),
    scenario("translated, first token", Peer::Keyward, OTHER, SMALL)
        .streamed()
        .alone(),
];

const fn ratio(of: &'static str, to: &'static str, most: f64) -> Bound {
    Bound::Ratio { of, to, most }
}

/// Microseconds that a call alone may take longer, and a stream's first token.
const ADDED_US: f64 = 200.0;

const BOUNDS: &[Bound] = &[
    ratio("same dialect, 200 B", "litellm, 200 B", 0.01),
    ratio("same dialect, 200 B", "portkey, 200 B", 0.05),
    ratio("same dialect, streamed", "litellm, streamed", 0.01),
    ratio("same dialect, streamed", "portkey, streamed", 0.05),
    ratio("same dialect, 200 B", "jwt proxy, 200 B", 1.5),
    ratio("translated, 200 B", "jwt proxy, 200 B", 2.5),
    ratio("translated from Anthropic, 200 B", "jwt proxy, 200 B", 2.5),
    ratio("same dialect, 10 kB", "jwt proxy, 10 kB", 1.5),
    ratio("translated, 10 kB", "jwt proxy, 10 kB", 2.5),
    ratio("same dialect, 120 kB", "jwt proxy, 120 kB", 1.5),
    ratio("translated, 120 kB", "jwt proxy, 120 kB", 2.5),
    ratio("same dialect, streamed", "jwt proxy, streamed", 1.5),
    ratio("translated, streamed", "jwt proxy, streamed", 2.5),
    Bound::AddedP99 {
        of: "same dialect, alone",
        to: "direct, alone",
        most_us: ADDED_US,
    },
    Bound::AddedP99 {
        of: "translated, alone",
        to: "direct, alone",
        most_us: ADDED_US,
    },
    Bound::AddedMedian {
        of: "same dialect, first token",
        to: "direct, first token",
        most_us: ADDED_US,
    },
    Bound::AddedMedian {
        of: "translated, first token",
        to: "direct, first token",
        most_us: ADDED_US,
    },
];

/// The first windows' warm-up; later windows only let their connections open.
const WARM_UP: Duration = Duration::from_secs(5);
const WARM_UP_AGAIN: Duration = Duration::from_secs(1);
/// LiteLLM takes its time to start.
const LOOKS_AT_START: usize = 600;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Measures, prints the table, and then what many streams at once take of memory.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let folder = std::path::absolute(&options.folder).map_err(|error| error.to_string())?;
    let (windows, window, warm_up) = if options.quick {
        (2, Duration::from_secs(2), Duration::from_secs(1))
    } else {
        (
            options.windows,
            Duration::from_secs(options.seconds),
            WARM_UP,
        )
    };
    let tokens = Tokens::prepare(&folder, 1)?;
    process::pin_self();
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let provider = crate::peer::free_address()?;
    let arguments = ["provider", "--listen", &provider.to_string()].map(str::to_owned);
    let log = folder.join("provider.log");
    let mut provider_process = Process::start("provider", Place::Load, &own, &arguments, &log)?;
    let setting = Setting {
        folder: &folder,
        provider,
        tokens: &tokens,
        programs: &options.programs,
    };

    let mut report = Report::new(options.connections, window, windows);
    let direct = scenario("direct", Peer::Direct, SAME, SMALL);
    let direct = direct.load(provider, &setting, options.connections);
    wait_until_answers(&direct, &mut provider_process)?;
    let ceiling = load::run(&direct, WARM_UP_AGAIN, window, &|| {
        provider_process.cpu_time()
    })?;
    report.ceiling(&ceiling);

    let chosen: Vec<&Scenario> = SCENARIOS
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
    let mut gateways = Gateways {
        running: Vec::new(),
    };
    for round in 0..windows {
        for (scenario, row) in chosen.iter().zip(&mut rows) {
            let warm = if round == 0 {
                warm_up
            } else {
                WARM_UP_AGAIN.min(warm_up)
            };
            let (result, peak) =
                gateways.measure(scenario, &setting, options.connections, (warm, window))?;
            println!(
                "{}/{windows} {:<34}{}",
                round + 1,
                scenario.name,
                match &result.first_failure {
                    Some(why) => format!("thrown away: {} failed, first: {why}", result.failures),
                    None => format!(
                        "{:>9.2} µs of CPU a call, {:>7.0} calls/s, p50 {} µs, p99 {} µs",
                        result.cpu_us_per_request(),
                        result.requests_per_second(),
                        result.p50_us,
                        result.p99_us
                    ),
                }
            );
            row.add(result, peak);
        }
    }
    drop(gateways);
    report.rows = rows;
    report.print(BOUNDS);
    if options.only.is_empty() {
        streams::measure(&setting)?;
    }
    match &options.json {
        Some(file) => report.write_json(file, BOUNDS),
        None => Ok(()),
    }
}

/// The gateways that run: each is started when it is first wanted, and stays.
struct Gateways {
    running: Vec<(Peer, Running)>,
}

impl Gateways {
    fn measure(
        &mut self,
        scenario: &Scenario,
        setting: &Setting<'_>,
        connections: usize,
        (warm_up, window): (Duration, Duration),
    ) -> Result<(crate::load::Window, u64), String> {
        if scenario.peer == Peer::Direct {
            let load = scenario.load(setting.provider, setting, connections);
            let result = load::run(&load, warm_up, window, &|| Ok(CpuTime::default()))?;
            return Ok((result, 0));
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
            .ok_or("a gateway that was started is gone")?;
        let load = scenario.load(running.address, setting, connections);
        let result = load::run(&load, warm_up, window, &|| running.process.cpu_time())?;
        running.process.alive()?;
        Ok((result, running.process.peak_kilobytes()?))
    }
}

fn started(scenario: &Scenario, setting: &Setting<'_>) -> Result<Running, String> {
    let mut running = scenario.peer.start(setting)?;
    let load = scenario.load(running.address, setting, 1);
    wait_until_answers(&load, &mut running.process).map_err(|why| {
        format!(
            "{why}; see {}/{}.log",
            setting.folder.display(),
            scenario.peer.name()
        )
    })?;
    Ok(running)
}

/// Asks until the answer is the right one.
fn wait_until_answers(load: &Load, process: &mut Process) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..LOOKS_AT_START {
        process.alive()?;
        match load::probe(load) {
            Ok(()) => return Ok(()),
            Err(why) => last = why,
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(format!(
        "{} does not answer as it should: {last}",
        load.address
    ))
}

impl Scenario {
    fn load(&self, address: SocketAddr, setting: &Setting<'_>, connections: usize) -> Load {
        Load {
            address,
            request: self.request(address, setting),
            connections: if self.alone { 1 } else { connections },
            until: if self.alone && self.streamed {
                Until::FirstToken
            } else {
                Until::Whole
            },
            speaks: !matches!(self.call, Call::Get),
        }
    }

    /// Head and body.
    fn request(&self, address: SocketAddr, setting: &Setting<'_>) -> Rc<[u8]> {
        let token = setting.tokens.tokens.first().map_or("", String::as_str);
        let credential = match self.peer {
            Peer::Direct => "authorization: Bearer sk-provider\r\n".to_owned(),
            Peer::Keyward => format!("authorization: Bearer {token}\r\n"),
            Peer::Litellm => format!("authorization: Bearer {LITELLM_KEY}\r\n"),
            Peer::Portkey => format!(
                "authorization: Bearer sk-provider\r\nx-portkey-provider: openai\r\nx-portkey-custom-host: http://{}/v1\r\n",
                setting.provider
            ),
        };
        let common =
            format!("host: {address}\r\nuser-agent: keyward-bench\r\naccept: */*\r\n{credential}");
        let (path, model, form) = match self.call {
            Call::Get => {
                return format!("GET /plain/x HTTP/1.1\r\n{common}\r\n")
                    .into_bytes()
                    .into();
            }
            Call::Proxied => ("/plain/v1/chat/completions", "m", Form::Chat),
            Call::Model(model, Form::Chat) => ("/v1/chat/completions", model, Form::Chat),
            Call::Model(model, Form::Messages) => ("/v1/messages", model, Form::Messages),
        };
        let body = body(model, form, self.size, self.streamed);
        format!(
            "POST {path} HTTP/1.1\r\n{common}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
        .into()
    }
}

/// What a request of so many bytes looks like: a conversation of turns of about 1 kB, as clients write them, with letters
/// that JSON escapes.
fn body(model: &str, form: Form, size: usize, streamed: bool) -> String {
    const TURN: &str = "Please read this carefully, and \"quote\" what matters:\n- one thing\n- another thing, größer als gedacht\n";
    let mut turns: Vec<Value> = Vec::new();
    let mut left = size.saturating_sub(80);
    loop {
        let role = if turns.len() % 2 == 0 {
            "user"
        } else {
            "assistant"
        };
        let text: String = TURN.chars().cycle().take(left.clamp(40, 1_000)).collect();
        turns.push(json!({ "role": role, "content": text }));
        left = left.saturating_sub(1_040);
        if left == 0 {
            break;
        }
    }
    // The caller speaks last, as conversations go.
    if turns.len() % 2 == 0 {
        turns.push(json!({ "role": "user", "content": "Go on." }));
    }
    let mut body = json!({ "model": model, "messages": turns });
    if let Some(members) = body.as_object_mut() {
        if form == Form::Messages {
            members.insert("max_tokens".to_owned(), json!(500));
        }
        if streamed {
            members.insert("stream".to_owned(), json!(true));
        }
    }
    body.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_about_as_large_as_they_are_said_to_be() {
        for size in [SMALL, MIDDLE, LARGE] {
            let text = body("same", Form::Chat, size, true);
            let share = text.len() as f64 / size as f64;
            assert!((0.8..1.2).contains(&share), "{size}: {}", text.len());
            let parsed: Value = serde_json::from_str(&text).unwrap();
            let turns = parsed["messages"].as_array().unwrap();
            assert_eq!(turns.last().unwrap()["role"], "user");
        }
    }

    #[test]
    fn every_bound_is_one_of_scenarios_that_are_measured() {
        let known = |name: &str| SCENARIOS.iter().any(|scenario| scenario.name == name);
        for bound in BOUNDS {
            let (of, to) = match bound {
                Bound::Ratio { of, to, .. }
                | Bound::Latency { of, to, .. }
                | Bound::Difference { of, to, .. }
                | Bound::AddedMedian { of, to, .. }
                | Bound::AddedP99 { of, to, .. } => (of, to),
            };
            assert!(known(of) && known(to), "{of} / {to}");
        }
    }
}
