//! Views of a server: programs inside `kvik cli` that ask it again and again and show what they
//! find.
//!
//! `--bigkeys`, `--memkeys`, `--hotkeys`, `--scan`, `--stat` and `--latency` print what redis-cli
//! prints for them. `top` is kvik's own. All of them use commands that any Redis has; what only
//! kvik tells is left out elsewhere.

mod hot;
mod info;
mod keyspace;
mod latency;
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
        (None, ["top", words @ ..]) => top::run(words, settings),
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

#[expect(
    clippy::disallowed_methods,
    reason = "a view waits between two looks at the server"
)]
fn pause(time: Duration) {
    if !time.is_zero() {
        std::thread::sleep(time);
    }
}

/// A key or another text of any bytes as redis-cli quotes it.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Bytes as redis-cli shortens them.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.2}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shortened_as_redis_cli_does() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(3 << 30), "3.00G");
        assert_eq!(human(u64::MAX), "16384.00P");
    }

    #[test]
    fn keys_are_quoted() {
        assert_eq!(quoted(b"a\n\"\xff"), "\"a\\n\\\"\\xff\"");
    }
}
