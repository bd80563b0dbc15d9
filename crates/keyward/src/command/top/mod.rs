//! `keyward top`: what a node does just now.

mod node;
mod rates;
mod screen;
mod table;

use super::{Failure, terminal};
use clap::{Args, ValueEnum, ValueHint};
use keyward_model::resource::raw::form::duration;
use node::Node;
use rates::Rates;
use screen::Screen;
use std::io::IsTerminal as _;
use std::time::Duration;
use table::Size;
use tokio::runtime::Builder;

const WHAT: &str = "top";

/// Where a node's operations listener is when nothing else is configured.
const DEFAULT_URL: &str = "http://127.0.0.1:9090";
/// Rates of less time than this say nothing.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Watch a node: rate, errors, latency, and who calls most
///
/// Asks the node's operations listener again and again, and shows what went on in between. On a terminal the
/// picture is drawn anew each time, until `q` or Ctrl-C; into a pipe or file, one goes after the other.
/// Latencies are read off the node's histogram, so that they are as exact as its buckets. Callers are those
/// of the last five to ten seconds.
#[derive(Args, Debug)]
pub(super) struct Top {
    /// The address of the node's operations listener
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, default_value = DEFAULT_URL)]
    url: String,

    /// How much time lies between two looks, such as 500ms or 5s
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    interval: Duration,

    /// What calls are added up by
    #[arg(long, value_enum, default_value_t = By::Api)]
    by: By,

    /// Print one picture, of one interval, and end
    #[arg(long)]
    once: bool,

    /// Print each picture as a line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// API and version
    Api,
    /// Route
    Route,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Route => "route",
        }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Some(interval) if interval >= INTERVAL_MIN => Ok(interval),
        Some(_) => Err("less than 100ms says nothing".to_owned()),
        None => Err("write a duration such as 500ms or 5s".to_owned()),
    }
}

impl Top {
    pub(super) fn run(self) -> Result<(), Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(WHAT, error.to_string(), "runtime"))?;
        runtime.block_on(Box::pin(self.watch()))
    }

    async fn watch(self) -> Result<(), Failure> {
        let node = Node::at(&self.url, self.by.as_str())?;
        // A node that can't be reached at all is a failure; one that is gone later may come back.
        let mut before = node.look().await?;
        let draws = !self.once && !self.json && std::io::stdout().is_terminal();
        let mut screen = if draws { Some(Screen::open()?) } else { None };
        let mut shown = String::new();
        loop {
            if let Some(screen) = &mut screen {
                if screen.wait(self.interval).await {
                    return Ok(());
                }
            } else {
                tokio::time::sleep(self.interval).await;
            }
            let problem = match node.look().await {
                Ok(now) => {
                    let rates = Rates::between(&before, &now);
                    before = now;
                    shown = self.picture(&rates, screen.as_ref().map(Screen::size));
                    None
                }
                Err(failure) if self.once => return Err(failure),
                Err(failure) => Some(failure.to_string()),
            };
            match (&mut screen, problem) {
                (Some(screen), problem) => screen.draw(&shown, problem.as_deref())?,
                (None, Some(problem)) => terminal::complain(&problem),
                (None, None) => {
                    if !terminal::write_while_read(shown.as_bytes())? {
                        return Ok(());
                    }
                }
            }
            if self.once {
                return Ok(());
            }
        }
    }

    fn picture(&self, rates: &Rates, size: Option<Size>) -> String {
        if self.json {
            format!("{}\n", rates.to_json())
        } else {
            table::picture(rates, size)
        }
    }
}
