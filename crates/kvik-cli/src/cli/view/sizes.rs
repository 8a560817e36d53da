//! `--bigkeys` and `--memkeys`: the largest key of each type, and how large keys are on average.

use std::io::{self, Write};

use kvik_client::{Client, Value};

use super::keyspace::Keyspace;
use super::shown::quoted;
use crate::copy::ask;

/// The measure by which a key is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Elements,
    Memory,
}

/// A type of keys: its name, the command for its length, the unit of that.
type Kind = (&'static str, &'static str, &'static str);

const KINDS: [Kind; 7] = [
    ("list", "LLEN", "items"),
    ("hash", "HLEN", "fields"),
    ("string", "STRLEN", "bytes"),
    ("stream", "XLEN", "entries"),
    ("set", "SCARD", "members"),
    ("zset", "ZCARD", "members"),
    ("array", "ARCOUNT", "elements"),
];

/// The figures of a type.
#[derive(Clone, Debug, Default)]
struct Tally {
    name: String,
    unit: &'static str,
    keys: u64,
    total: u64,
    biggest: u64,
    key: Option<Vec<u8>>,
}

/// Walks over all keys and prints what it finds.
pub(super) fn show(
    client: &mut Client,
    mut keyspace: Keyspace<'_>,
    measure: Measure,
) -> anyhow::Result<()> {
    let total = ask(client, &[b"DBSIZE"])?.as_int().unwrap_or(0);
    let mut out = io::stdout().lock();
    write!(out, "{INTRODUCTION}")?;
    let mut sizes = Sizes::new(measure);
    while let Some(keys) = keyspace.page(client)? {
        let percent = 100.0 * sizes.sampled as f64 / total.max(1) as f64;
        let found = sizes.measure(client, &keys)?;
        for line in found {
            writeln!(out, "[{percent:05.2}%] {line}")?;
        }
    }
    Ok(write!(out, "{}", sizes.summary())?)
}

const INTRODUCTION: &str = "
# Scanning the entire keyspace to find biggest keys as well as
# average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec
# per 100 SCAN commands (not usually needed).

";

struct Sizes {
    measure: Measure,
    tallies: Vec<Tally>,
    sampled: u64,
    /// Bytes of all names.
    names: u64,
}

impl Sizes {
    fn new(measure: Measure) -> Self {
        let tally = |(name, _, unit): &Kind| Tally {
            name: (*name).to_owned(),
            unit: match measure {
                Measure::Elements => unit,
                Measure::Memory => "bytes",
            },
            ..Tally::default()
        };
        Self {
            measure,
            tallies: KINDS.iter().map(tally).collect(),
            sampled: 0,
            names: 0,
        }
    }

    /// Adds keys; the lines to print about those that are the largest so far.
    fn measure(&mut self, client: &mut Client, keys: &[Vec<u8>]) -> anyhow::Result<Vec<String>> {
        let types = pipeline(client, keys.iter().map(|key| vec![&b"TYPE"[..], key]))?;
        let kinds: Vec<_> = types
            .iter()
            .map(|kind| kind.as_str().unwrap_or("none").to_owned())
            .collect();
        let commands = keys.iter().zip(&kinds).filter_map(|(key, kind)| {
            self.command(kind)
                .map(|words| [&words[..], &[key.as_slice()]].concat())
        });
        let mut sizes = pipeline(client, commands)?.into_iter();
        let mut lines = Vec::new();
        for (key, kind) in keys.iter().zip(&kinds) {
            let size = match self.command(kind) {
                Some(_) => sizes.next(),
                None => None,
            };
            let size = size.and_then(|size| size.as_int()).unwrap_or(0);
            lines.extend(self.add(key, kind, size.unsigned_abs()));
        }
        Ok(lines)
    }

    /// The command for the size of a key of a type, if it has one.
    fn command(&self, kind: &str) -> Option<Vec<&'static [u8]>> {
        match self.measure {
            Measure::Memory if kind != "none" => Some(vec![b"MEMORY", b"USAGE"]),
            Measure::Memory => None,
            Measure::Elements => {
                let known = KINDS.iter().find(|(name, ..)| *name == kind);
                known.map(|(_, command, _)| vec![command.as_bytes()])
            }
        }
    }

    /// Adds a key. One that is gone was sampled all the same.
    fn add(&mut self, key: &[u8], kind: &str, size: u64) -> Option<String> {
        self.sampled += 1;
        self.names += key.len() as u64;
        if kind == "none" {
            return None;
        }
        let known = self.tallies.iter().position(|tally| tally.name == kind);
        let at = known.unwrap_or_else(|| {
            // A type of a module: only its memory is known.
            self.tallies.push(Tally {
                name: kind.to_owned(),
                unit: if self.measure == Measure::Memory {
                    "bytes"
                } else {
                    "?"
                },
                ..Tally::default()
            });
            self.tallies.len() - 1
        });
        let tally = &mut self.tallies[at];
        tally.keys += 1;
        tally.total += size;
        if size <= tally.biggest {
            return None;
        }
        tally.biggest = size;
        tally.key = Some(key.to_vec());
        let (key, unit) = (quoted(key), tally.unit);
        Some(format!(
            "Biggest {kind:<6} found so far '{key}' with {size} {unit}"
        ))
    }

    fn summary(&self) -> String {
        let average = |sum: u64, count: u64| sum as f64 / count.max(1) as f64;
        let mut text = format!(
            "\n-------- summary -------\n\nSampled {} keys in the keyspace!\n\
             Total key length in bytes is {} (avg len {:.2})\n\n",
            self.sampled,
            self.names,
            average(self.names, self.sampled)
        );
        for tally in &self.tallies {
            if let Some(key) = &tally.key {
                text.push_str(&format!(
                    "Biggest {:>6} found '{}' has {} {}\n",
                    tally.name,
                    quoted(key),
                    tally.biggest,
                    tally.unit
                ));
            }
        }
        text.push('\n');
        // Programs that read redis-cli's lines do not know arrays.
        let is_shown = |tally: &&Tally| tally.keys > 0 || tally.name != "array";
        for tally in self.tallies.iter().filter(is_shown) {
            text.push_str(&format!(
                "{} {}s with {} {} ({:05.2}% of keys, avg size {:.2})\n",
                tally.keys,
                tally.name,
                tally.total,
                tally.unit,
                100.0 * average(tally.keys, self.sampled),
                average(tally.total, tally.keys)
            ));
        }
        text
    }
}

fn pipeline<'a>(
    client: &mut Client,
    commands: impl Iterator<Item = Vec<&'a [u8]>>,
) -> anyhow::Result<Vec<Value>> {
    let commands: Vec<_> = commands.collect();
    Ok(client.pipeline(&commands)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_larger_key_is_told() {
        let mut sizes = Sizes::new(Measure::Elements);
        assert!(sizes.add(b"a", "string", 3).is_some());
        assert_eq!(sizes.add(b"b", "string", 3), None);
        assert_eq!(sizes.add(b"gone", "none", 0), None);
        assert_eq!(
            sizes.add(b"l", "list", 2).unwrap(),
            "Biggest list   found so far '\"l\"' with 2 items"
        );
        let summary = sizes.summary();
        for line in [
            "Sampled 4 keys in the keyspace!",
            "Total key length in bytes is 7 (avg len 1.75)",
            "Biggest   list found '\"l\"' has 2 items",
            "2 strings with 6 bytes (50.00% of keys, avg size 3.00)",
            "0 sets with 0 members (00.00% of keys, avg size 0.00)",
        ] {
            assert!(summary.lines().any(|it| it == line), "{line}\n{summary}");
        }
    }
}
