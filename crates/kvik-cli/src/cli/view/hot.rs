//! `--hotkeys`: the keys that are read most.
//!
//! Where the server counts uses of every key (a policy of eviction by frequency), all keys are
//! asked for theirs, as redis-cli does. Elsewhere kvik's own record of hot keys is shown.

use std::io::{self, Write};

use anyhow::bail;
use kvik_client::{Client, Value};

use super::keyspace::Keyspace;
use super::shown::quoted;
use crate::copy::ask;

/// How many keys are kept.
const KEPT: usize = 16;

const INTRODUCTION: &str = "
# Scanning the entire keyspace to find hot keys as well as
# average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec
# per 100 SCAN commands (not usually needed).

";

/// Prints the hottest keys.
pub(super) fn show(client: &mut Client, mut keyspace: Keyspace<'_>, db: u32) -> anyhow::Result<()> {
    let total = ask(client, &[b"DBSIZE"])?.as_int().unwrap_or(0);
    let mut out = io::stdout().lock();
    let (mut hottest, mut sampled) = (Hottest::default(), 0);
    write!(out, "{INTRODUCTION}")?;
    while let Some(keys) = keyspace.page(client)? {
        let percent = 100.0 * sampled as f64 / total.max(1) as f64;
        let commands: Vec<[&[u8]; 3]> = keys
            .iter()
            .map(|key| [&b"OBJECT"[..], b"FREQ", key])
            .collect();
        let counts = client.pipeline(&commands)?;
        for (key, count) in keys.into_iter().zip(counts) {
            sampled += 1;
            match count {
                Value::Error(error) => {
                    let Some(recorded) = recorded(client, db)? else {
                        bail!("Error: {error}");
                    };
                    return Ok(write!(out, "{}", summary(total.unsigned_abs(), &recorded))?);
                }
                count => {
                    let count = count.as_int().unwrap_or(0).unsigned_abs();
                    if hottest.add(&key, count) {
                        let key = quoted(&key);
                        writeln!(
                            out,
                            "[{percent:05.2}%] Hot key '{key}' found so far with counter {count}"
                        )?;
                    }
                }
            }
        }
    }
    Ok(write!(out, "{}", summary(sampled, &hottest.lines()))?)
}

/// The keys that kvik has recorded in a database, as lines, if it is one.
fn recorded(client: &mut Client, db: u32) -> anyhow::Result<Option<Vec<String>>> {
    let kept = KEPT.to_string();
    let reply = client.call(&["HOTKEYS", "COUNT", &kept])?;
    let line = |row: &Value| {
        let key = quoted(row.get("key")?.as_bytes()?);
        let rate = row.get("calls-per-second")?.as_double()?;
        let is_here = row.get("db")?.as_int() == Some(i64::from(db));
        is_here.then(|| format!("hot key found with {rate:.2} calls per second\tkeyname: {key}"))
    };
    let rows = reply.as_slice();
    Ok(rows.map(|rows| rows.iter().filter_map(line).collect()))
}

fn summary(sampled: u64, lines: &[String]) -> String {
    let head = format!("\n-------- summary -------\n\nSampled {sampled} keys in the keyspace!\n");
    lines.iter().fold(head, |text, line| text + line + "\n")
}

/// The keys with the highest counts, the highest first.
#[derive(Debug, Default)]
struct Hottest(Vec<(u64, Vec<u8>)>);

impl Hottest {
    /// Adds a key; says whether it is among them.
    fn add(&mut self, key: &[u8], count: u64) -> bool {
        let at = self.0.partition_point(|(known, _)| *known >= count);
        if count == 0 || at >= KEPT {
            return false;
        }
        self.0.insert(at, (count, key.to_vec()));
        self.0.truncate(KEPT);
        true
    }

    fn lines(&self) -> Vec<String> {
        let line = |(count, key): &(u64, Vec<u8>)| {
            let key = quoted(key);
            format!("hot key found with counter: {count}\tkeyname: {key}")
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_are_kept_in_order() {
        let mut hottest = Hottest::default();
        for count in 0..40 {
            hottest.add(format!("k{count}").as_bytes(), count);
        }
        assert_eq!(hottest.0.len(), KEPT);
        assert_eq!(hottest.0[0], (39, b"k39".to_vec()));
        assert!(!hottest.add(b"cold", 1));
        let summary = summary(3, &hottest.lines());
        assert!(
            summary.ends_with("counter: 24\tkeyname: \"k24\"\n"),
            "{summary}"
        );
    }
}
