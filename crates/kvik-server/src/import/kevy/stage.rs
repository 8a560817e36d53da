//! A store in memory in which one shard of kevy is loaded.

use std::collections::BTreeMap;
use std::io;

use kvik::{Connection, Db, Options};
use kvik_command::declare::Flags;
use kvik_command::table;
use kvik_resp::{ArgsBuf, Value};

use super::super::ImportSink;

/// Different refusals that are remembered.
const REFUSALS: usize = 32;
/// Keys of a page.
const PAGE: &[u8] = b"512";

/// From kevy 7 on: a consumer has read, at two times that kvik does not keep in files.
const CONSUMER_SEEN: &[u8] = b"XINTERNAL.CONSUMERSEEN";

/// A shard while it is loaded.
pub(super) struct Stage {
    connection: Connection,
    /// How often commands were refused, by their names and the reasons.
    refused: BTreeMap<String, u64>,
    unremembered: u64,
    /// Commands whose effect the log does not tell.
    random_pops: u64,
    unnamed_entries: u64,
}

impl Stage {
    pub(super) fn new() -> Self {
        let mut connection = Db::in_memory(Options::default().threads(1)).connect();
        connection.let_wait(false);
        Self {
            connection,
            refused: BTreeMap::new(),
            unremembered: 0,
            random_pops: 0,
            unnamed_entries: 0,
        }
    }

    /// Runs a command that changes keys. Others have no business in a log.
    pub(super) fn run(&mut self, words: &[&[u8]]) {
        let Some(name) = words.first() else { return };
        if let [_, key, group, consumer, ..] = words
            && name.eq_ignore_ascii_case(CONSUMER_SEEN)
        {
            return self.run(&[b"XGROUP", b"CREATECONSUMER", *key, *group, *consumer]);
        }
        let args: ArgsBuf = words.iter().collect();
        let is_write = match table().resolve(args.as_args()) {
            Ok(command) => command.flags().contains(Flags::WRITE),
            Err(_) => return self.refuse(name, "kvik does not know it"),
        };
        if !is_write {
            return self.refuse(name, "it changes no key");
        }
        if name.eq_ignore_ascii_case(b"SPOP") {
            self.random_pops += 1;
        }
        let is_unnamed = |word: &&&[u8]| **word == b"*" || word.ends_with(b"-*");
        if name.eq_ignore_ascii_case(b"XADD")
            && words.iter().skip(2).take(5).any(|word| is_unnamed(&word))
        {
            self.unnamed_entries += 1;
        }
        if let Some(error) = self.connection.run(words).as_error() {
            let reason = String::from_utf8_lossy(error.as_bytes()).into_owned();
            self.refuse(name, &reason);
        }
    }

    fn refuse(&mut self, name: &[u8], reason: &str) {
        let name = name[..name.len().min(64)].to_ascii_uppercase();
        let text = format!("{}: {reason}", name.escape_ascii());
        if self.refused.len() < REFUSALS || self.refused.contains_key(&text) {
            *self.refused.entry(text).or_default() += 1;
        } else {
            self.unremembered += 1;
        }
    }

    /// Sentences that say what may be missing or different.
    pub(super) fn remarks(&self) -> Vec<String> {
        let refused = self.refused.iter();
        let mut remarks: Vec<_> = refused
            .map(|(text, count)| format!("refused {count} times: {text}"))
            .collect();
        if self.unremembered > 0 {
            let count = self.unremembered;
            remarks.push(format!("{count} more commands were refused"));
        }
        if self.random_pops > 0 {
            let count = self.random_pops;
            remarks.push(format!(
                "{count} SPOP took members that the log does not name: their sets may differ"
            ));
        }
        if self.unnamed_entries > 0 {
            let count = self.unnamed_entries;
            remarks.push(format!(
                "{count} XADD have no ID in the log: their entries have new ones, as after a start \
                 of kevy"
            ));
        }
        remarks
    }

    /// Gives each key to `sink`; how many.
    pub(super) fn hand_over(mut self, sink: &mut dyn ImportSink) -> io::Result<u64> {
        let (mut cursor, mut keys) = (b"0".to_vec(), 0);
        loop {
            let page = self.connection.run(&[b"SCAN", &cursor[..], b"COUNT", PAGE]);
            let Some([next, page]) = page.as_slice() else {
                return Err(io::Error::other(format!("SCAN is answered by {page:?}")));
            };
            for key in page.as_slice().unwrap_or_default() {
                if let Some(key) = key.as_bytes() {
                    keys += u64::from(self.hand_over_key(key, sink)?);
                }
            }
            cursor = next.as_bytes().unwrap_or(b"0").to_vec();
            if cursor == b"0" {
                return Ok(keys);
            }
        }
    }

    /// Says whether the key was there: its time may have come.
    fn hand_over_key(&mut self, key: &[u8], sink: &mut dyn ImportSink) -> io::Result<bool> {
        let moment = self.connection.run(&[b"PEXPIRETIME", key]);
        let payload = self.connection.run(&[b"DUMP", key]);
        let moment_ms = match moment {
            Value::Integer(-1) => 0,
            Value::Integer(moment_ms) => moment_ms,
            _ => return Ok(false),
        };
        let Some(payload) = payload.as_bytes() else {
            return Ok(false);
        };
        let moment = moment_ms.to_string();
        sink.take(&[
            b"RESTORE",
            key,
            moment.as_bytes(),
            payload,
            b"REPLACE",
            b"ABSTTL",
        ])?;
        Ok(true)
    }
}
