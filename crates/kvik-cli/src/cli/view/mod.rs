//! Views of a server: programs inside `kvik cli` that ask it again and again and show what they
//! find.
//!
//! `--bigkeys`, `--memkeys`, `--hotkeys`, `--scan`, `--stat` and `--latency` print what redis-cli
//! prints for them. `top` is kvik's own. All of them use commands that any Redis has; what only
//! kvik tells is left out elsewhere.

mod clock;
mod hot;
mod info;
pub(crate) mod keyspace;
mod latency;
mod shown;
mod sizes;
mod stat;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use kvik_client::Client;

use super::connect;
use super::settings::Settings;

/// The flags that choose a view.
pub(crate) const FLAGS: [(&str, &str); 7] = [
    (
        "bigkeys",
        "Scan all keys for the largest of each type, by their elements",
    ),
    (
        "memkeys",
        "Scan all keys for the largest of each type, by their memory",
    ),
    ("hotkeys", "Show the keys that are read most"),
    ("scan", "Print all keys, or those that match --pattern"),
    ("stat", "Print figures of the server, a line at a time"),
    ("latency", "Measure how long PING takes"),
    (
        "latency-history",
        "The same, with a line for every 15 seconds, or for every -i seconds",
    ),
];

/// Runs the view that the command line asks for, if it does.
pub(crate) fn run(matches: &ArgMatches, settings: &Settings) -> Option<anyhow::Result<ExitCode>> {
    let flag = FLAGS.iter().find(|(name, _)| matches.get_flag(name));
    let words = matches.get_many::<OsString>("command").unwrap_or_default();
    let words: Vec<_> = words.filter_map(|word| word.to_str()).collect();
    let run = match (flag, &words[..]) {
        (Some((name, _)), _) => show(name, matches, settings),
        (None, ["top", words @ ..]) => {
            open(settings).and_then(|client| top::run(words, client, settings))
        }
        (None, _) => return None,
    };
    Some(run.map(|()| ExitCode::SUCCESS))
}

fn show(name: &str, matches: &ArgMatches, settings: &Settings) -> anyhow::Result<()> {
    let mut client = open(settings)?;
    let interval = settings.interval;
    let pattern = matches.get_one::<String>("pattern").map(String::as_str);
    let scan = keyspace::Keyspace::new(pattern, interval);
    match name {
        "bigkeys" => sizes::show(&mut client, scan, sizes::Measure::Elements),
        "memkeys" => sizes::show(&mut client, scan, sizes::Measure::Memory),
        "hotkeys" => hot::show(&mut client, scan, settings.endpoint.db),
        "scan" => keyspace::show(&mut client, scan, settings),
        "stat" => stat::show(&mut client, interval, settings.lines),
        "latency" => latency::show(&mut client, settings, None),
        _ => {
            let every = match interval {
                Duration::ZERO => latency::HISTORY,
                interval => interval,
            };
            latency::show(&mut client, settings, Some(every))
        }
    }
}

fn open(settings: &Settings) -> anyhow::Result<Client> {
    Ok(connect(&settings.endpoint, &settings.options)?)
}
