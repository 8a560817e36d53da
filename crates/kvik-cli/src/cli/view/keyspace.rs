//! All keys, page by page.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use kvik_client::{Client, Value};

use super::clock::pause;
use crate::cli::settings::Settings;
use crate::copy::ask;

/// Pages between two pauses.
const PAGES: u32 = 100;

/// A walk over the keys of a database.
pub(crate) struct Keyspace<'a> {
    pattern: Option<&'a str>,
    interval: Duration,
    /// The next page; none at the end.
    cursor: Option<Vec<u8>>,
    pages: u32,
}

impl<'a> Keyspace<'a> {
    /// Over the keys that match a pattern. After every hundred pages it sleeps for `interval`.
    pub(crate) fn new(pattern: Option<&'a str>, interval: Duration) -> Self {
        Self {
            pattern,
            interval,
            cursor: Some(b"0".to_vec()),
            pages: 0,
        }
    }

    /// The next keys, possibly none; `None` at the end.
    pub(crate) fn page(&mut self, client: &mut Client) -> anyhow::Result<Option<Vec<Vec<u8>>>> {
        let Some(cursor) = self.cursor.take() else {
            return Ok(None);
        };
        if self.pages > 0 && self.pages.is_multiple_of(PAGES) {
            pause(self.interval);
        }
        self.pages += 1;
        let mut command = vec![&b"SCAN"[..], &cursor];
        if let Some(pattern) = self.pattern {
            command.extend([&b"MATCH"[..], pattern.as_bytes()]);
        }
        let reply = ask(client, &command).context("SCAN")?;
        let Some([next, keys]) = reply.as_slice() else {
            bail!("SCAN is answered by {reply:?}");
        };
        let bytes = |value: &Value| value.as_bytes().map(<[u8]>::to_vec);
        self.cursor = bytes(next).filter(|next| next != b"0");
        let keys = keys.as_slice().unwrap_or_default();
        Ok(Some(keys.iter().filter_map(bytes).collect()))
    }
}

/// Prints the keys.
pub(super) fn show(
    client: &mut Client,
    mut keyspace: Keyspace<'_>,
    settings: &Settings,
) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    while let Some(keys) = keyspace.page(client)? {
        for key in keys {
            settings.format.write(&Value::Bulk(key), false, &mut out)?;
        }
    }
    Ok(out.flush()?)
}
