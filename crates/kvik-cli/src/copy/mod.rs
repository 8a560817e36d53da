//! Copies the keys of a running server: by SCAN, with their times to live.
//!
//! A key goes over as DUMP returns it where both ends agree on the form, since that is one reply
//! and keeps everything. Where they do not, and for collections that are large, it is read by the
//! commands of its type ([`typed`]), which every server has. Keys that others change meanwhile
//! arrive as they were when their turn came; SCAN promises that none which stays is left out.

pub(crate) mod contents;
pub(crate) mod lines;
mod progress;
mod target;
mod typed;

use std::collections::VecDeque;

use anyhow::{Context, anyhow, bail};
use kvik_client::{Client, Value};

pub(crate) use contents::Item;
pub(crate) use progress::Progress;
pub(crate) use target::{Target, open_directory};

use typed::Typed;

/// Keys that are read together.
const TOGETHER: usize = 64;
/// Bytes of a collection beyond which it is not restored in one piece: neither end serves others
/// while it takes a payload apart.
const LARGE: usize = 8 << 20;
/// Keys that a server looks at for one SCAN.
const COUNT: &[u8] = b"1000";
/// The same for kvns, whose SCAN sorts all keys each time.
const COUNT_IF_SORTED: &[u8] = b"100000";

/// CommandWords of a command.
pub(crate) type CommandWords = Vec<Vec<u8>>;

/// How a copy went.
#[derive(Debug, Default)]
pub(crate) struct CopyReport {
    /// Keys that have arrived.
    pub(crate) keys: u64,
    /// Keys that have not, in sentences.
    pub(crate) defects: Vec<String>,
}

/// A copy while it is made.
struct KeyCopy<'a> {
    source: &'a mut Client,
    target: &'a mut dyn Target,
    progress: &'a mut Progress,
    report: CopyReport,
    /// Whether the source has DUMP and the target has RESTORE.
    has_payloads: bool,
}

/// The serialized form of a key, or that it is gone.
enum Found {
    Gone,
    Payload { ttl_ms: i64, payload: Vec<u8> },
    Unknown,
}

/// Copies all keys of the database that the source has selected.
///
/// # Errors
/// If a connection breaks, or the source does not know SCAN. What has been copied stays.
pub(crate) fn copy(
    source: &mut Client,
    target: &mut dyn Target,
    progress: &mut Progress,
) -> anyhow::Result<CopyReport> {
    let count = match is_kvns(source)? {
        true => COUNT_IF_SORTED,
        false => COUNT,
    };
    let total = source.call(&["DBSIZE"])?.as_int();
    progress.expect(total.and_then(|total| u64::try_from(total).ok()));
    let mut copy = KeyCopy {
        source,
        target,
        progress,
        report: CopyReport::default(),
        has_payloads: true,
    };
    let mut cursor = b"0".to_vec();
    loop {
        let (next, keys) = copy.scan(&cursor, count)?;
        for keys in keys.chunks(TOGETHER) {
            copy.take(keys)?;
            copy.progress.show(copy.report.keys);
        }
        cursor = next;
        if cursor == b"0" {
            break;
        }
    }
    copy.progress.finish();
    Ok(copy.report)
}

fn is_kvns(source: &mut Client) -> anyhow::Result<bool> {
    let info = source.call(&["INFO"])?;
    let info = info.as_bytes().unwrap_or_default();
    Ok(info
        .split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"kvns_version")))
}

impl KeyCopy<'_> {
    /// A page of keys, and the cursor of the next one.
    fn scan(&mut self, cursor: &[u8], count: &[u8]) -> anyhow::Result<(Vec<u8>, Vec<Vec<u8>>)> {
        let page = ask(self.source, &[b"SCAN", cursor, b"COUNT", count]).context("SCAN")?;
        let Some([next, keys]) = page.as_slice() else {
            bail!("SCAN is answered by {page:?}");
        };
        let bytes = |value: &Value| value.as_bytes().map(<[u8]>::to_vec);
        let next = bytes(next).context("SCAN returns no cursor")?;
        let keys = keys.as_slice().unwrap_or_default();
        Ok((next, keys.iter().filter_map(bytes).collect()))
    }

    /// Copies some keys.
    fn take(&mut self, keys: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut apart = Vec::new();
        if self.has_payloads {
            let found = self.dump(keys)?;
            self.restore(keys, found, &mut apart)?;
        }
        // Either end may have shown that it does not know payloads at all.
        if !self.has_payloads {
            apart = keys.iter().collect();
        }
        for key in apart {
            self.take_apart(key)?;
        }
        Ok(())
    }

    fn dump(&mut self, keys: &[Vec<u8>]) -> anyhow::Result<Vec<Found>> {
        let commands: Vec<[&[u8]; 2]> = keys
            .iter()
            .flat_map(|key| [[&b"PTTL"[..], key], [&b"DUMP"[..], key]])
            .collect();
        let replies = self.source.pipeline(&commands)?;
        let mut found = Vec::new();
        for pair in replies.chunks_exact(2) {
            found.push(match (&pair[0], &pair[1]) {
                (_, Value::Error(error)) => {
                    if is_unknown_command(error.as_bytes()) {
                        self.has_payloads = false;
                    }
                    Found::Unknown
                }
                (ttl, dump) => match (ttl.as_int(), dump.as_bytes()) {
                    // It was there for PTTL, and may have ended since.
                    (Some(-2), _) | (_, None) => Found::Gone,
                    (ttl, Some(payload)) => Found::Payload {
                        ttl_ms: ttl.unwrap_or(-1),
                        payload: payload.to_vec(),
                    },
                },
            });
        }
        Ok(found)
    }

    /// Sends payloads on; the keys whose payload is not taken are left to be read otherwise.
    fn restore<'k>(
        &mut self,
        keys: &'k [Vec<u8>],
        found: Vec<Found>,
        apart: &mut Vec<&'k Vec<u8>>,
    ) -> anyhow::Result<()> {
        if !self.has_payloads {
            return Ok(());
        }
        let (mut commands, mut sent) = (Vec::new(), VecDeque::new());
        for (key, found) in keys.iter().zip(found) {
            match found {
                Found::Gone => {}
                Found::Unknown => apart.push(key),
                Found::Payload { ttl_ms, payload } if !is_large_collection(&payload) => {
                    // 0 is no time to live, so one that has just run out is given a moment.
                    let ttl = if ttl_ms < 0 { 0 } else { ttl_ms.max(1) };
                    let ttl = ttl.to_string().into_bytes();
                    let words = [&b"RESTORE"[..], key, &ttl, &payload, b"REPLACE"];
                    commands.push(words.map(<[u8]>::to_vec).to_vec());
                    sent.push_back(key);
                }
                Found::Payload { .. } => apart.push(key),
            }
        }
        for (key, reply) in sent.into_iter().zip(self.target.run(&commands)?) {
            match reply.as_error() {
                None => self.report.keys += 1,
                Some(error) if is_unknown_command(error.as_bytes()) => {
                    self.has_payloads = false;
                    // Nothing of this page has been taken, so all of it is read otherwise.
                    return Ok(());
                }
                Some(error) if is_bad_payload(error.as_bytes()) => apart.push(key),
                Some(error) => self.lacks(key, error.as_bytes()),
            }
        }
        Ok(())
    }

    /// Copies a key by the commands of its type.
    fn take_apart(&mut self, key: &[u8]) -> anyhow::Result<()> {
        match typed::copy(self.source, self.target, key)? {
            Typed::Copied => self.report.keys += 1,
            Typed::Gone => {}
            Typed::Lossy(loss) => {
                self.report.keys += 1;
                self.lacks(key, loss.as_bytes());
            }
            Typed::Refused(reason) => self.lacks(key, reason.as_bytes()),
        }
        Ok(())
    }

    fn lacks(&mut self, key: &[u8], reason: &[u8]) {
        let (key, reason) = (key.escape_ascii(), String::from_utf8_lossy(reason));
        self.report.defects.push(format!("'{key}': {reason}"));
    }
}

/// Whether it is better read in pieces. The first byte of a payload is the type: a string cannot
/// be, and a stream and whatever a module has would lose something.
fn is_large_collection(payload: &[u8]) -> bool {
    const STREAMS: [u8; 4] = [15, 19, 21, 26];
    const STRING: u8 = 0;
    const MODULES: [u8; 2] = [6, 7];
    payload.len() > LARGE
        && payload.first().is_some_and(|kind| {
            *kind != STRING && !STREAMS.contains(kind) && !MODULES.contains(kind)
        })
}

fn is_unknown_command(error: &[u8]) -> bool {
    let text = error.to_ascii_lowercase();
    text.starts_with(b"err unknown command") || text.starts_with(b"noperm")
}

fn is_bad_payload(error: &[u8]) -> bool {
    let text = String::from_utf8_lossy(error);
    text.contains("DUMP payload version") || text.contains("Bad data format")
}

/// The reply to a command, unless it is an error.
pub(crate) fn ask(client: &mut Client, command: &[&[u8]]) -> anyhow::Result<Value> {
    let reply = client.call(command)?;
    match reply.as_error() {
        Some(error) => Err(anyhow!("{}", String::from_utf8_lossy(error.as_bytes()))),
        None => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_collections_are_read_in_pieces() {
        let payload = |kind: u8, len: usize| {
            let mut payload = vec![0; len];
            payload[0] = kind;
            is_large_collection(&payload)
        };
        assert!(!payload(0, LARGE + 1));
        assert!(!payload(21, LARGE + 1));
        assert!(!payload(4, LARGE));
        assert!(payload(4, LARGE + 1));
    }

    #[test]
    fn errors_tell_what_an_end_lacks() {
        assert!(is_unknown_command(b"ERR unknown command DUMP"));
        assert!(is_unknown_command(
            b"ERR unknown command 'restore', with args"
        ));
        assert!(!is_unknown_command(b"WRONGTYPE x"));
        assert!(is_bad_payload(
            b"ERR DUMP payload version or checksum are wrong"
        ));
        assert!(is_bad_payload(b"ERR Bad data format"));
    }
}
