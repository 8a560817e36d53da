//! Copies a key by the commands of its type, which every server has, in pieces of a bounded size.
//!
//! The key appears at the target piece by piece. What these commands do not show is lost: the
//! times to live of a hash's fields, and of a stream the entries that its groups have pending.

use kvik_client::{Client, Value};

use super::{CommandWords, Target};

/// Elements that are read and written together. With two words for each, a command stays below the
/// 1,024 words that kvns takes.
const PIECE: usize = 500;

/// How it went.
pub(super) enum Typed {
    Copied,
    /// There is no such key any more.
    Gone,
    /// It has arrived, but for something.
    Lossy(String),
    /// It has not arrived.
    Refused(String),
}

/// A read or write that did not do what it should.
enum Fault {
    /// An error reply.
    Reply(String),
    Broken(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

/// Copies a key.
///
/// # Errors
/// If a connection breaks.
pub(super) fn copy(
    source: &mut Client,
    target: &mut dyn Target,
    key: &[u8],
) -> anyhow::Result<Typed> {
    let mut transfer = Transfer {
        source,
        target,
        key,
    };
    match transfer.run() {
        Ok(typed) => Ok(typed),
        Err(Fault::Reply(error)) => Ok(Typed::Refused(error)),
        Err(Fault::Broken(error)) => Err(error),
    }
}

struct Transfer<'a> {
    source: &'a mut Client,
    target: &'a mut dyn Target,
    key: &'a [u8],
}

impl Transfer<'_> {
    fn run(&mut self) -> Result<Typed, Fault> {
        let kind = self.read(b"TYPE", &[])?;
        let ttl_ms = self.read(b"PTTL", &[])?.as_int().unwrap_or(-1);
        let mut loss = None;
        match kind.as_str().unwrap_or_default() {
            "none" => return Ok(Typed::Gone),
            "string" => return self.string(ttl_ms),
            "list" => self.by_ranges(b"LRANGE", &[], &[b"RPUSH"], false)?,
            "zset" => self.by_ranges(b"ZRANGE", &[b"WITHSCORES"], &[b"ZADD"], true)?,
            "set" => self.whole(b"SMEMBERS", b"SADD", 1)?,
            "hash" => self.whole(b"HGETALL", b"HSET", 2)?,
            "stream" => loss = self.stream()?,
            "array" => self.array()?,
            other => {
                return Ok(Typed::Refused(format!(
                    "keys of type '{other}' are not known"
                )));
            }
        }
        if ttl_ms >= 0 {
            let ttl = ttl_ms.max(1).to_string();
            self.write(vec![vec![b"PEXPIRE", self.key, ttl.as_bytes()]])?;
        }
        Ok(loss.map_or(Typed::Copied, Typed::Lossy))
    }

    fn string(&mut self, ttl_ms: i64) -> Result<Typed, Fault> {
        let value = self.read(b"GET", &[])?;
        let Some(value) = value.as_bytes() else {
            return Ok(Typed::Gone);
        };
        let ttl = ttl_ms.max(1).to_string();
        let mut command = vec![b"SET", self.key, value];
        if ttl_ms >= 0 {
            command.extend([&b"PX"[..], ttl.as_bytes()]);
        }
        self.write(vec![command])?;
        Ok(Typed::Copied)
    }

    /// A list or a sorted set, by ranks. Members come with their scores, which stand before them in
    /// the command.
    fn by_ranges(
        &mut self,
        read: &[u8],
        read_more: &[&[u8]],
        write: &[&[u8]],
        is_scored: bool,
    ) -> Result<(), Fault> {
        self.write(vec![vec![b"DEL", self.key]])?;
        let mut start = 0;
        loop {
            let (from, to) = (start.to_string(), (start + PIECE - 1).to_string());
            let range = [&[from.as_bytes(), to.as_bytes()], read_more].concat();
            let piece = self.read(read, &range)?;
            let elements = strings(&piece);
            let count = elements.len() / if is_scored { 2 } else { 1 };
            if count == 0 {
                return Ok(());
            }
            let mut command = [write, &[self.key]].concat();
            match is_scored {
                true => command.extend(elements.chunks_exact(2).flat_map(|it| [it[1], it[0]])),
                false => command.extend(elements),
            }
            self.write(vec![command])?;
            start += count;
            if count < PIECE {
                return Ok(());
            }
        }
    }

    /// A set or a hash, which servers without SSCAN and HSCAN return as a whole only.
    fn whole(&mut self, read: &[u8], write: &[u8], width: usize) -> Result<(), Fault> {
        let all = self.read(read, &[])?;
        let mut commands = vec![vec![&b"DEL"[..], self.key]];
        for piece in strings(&all).chunks(PIECE * width) {
            commands.push([&[write, self.key], piece].concat());
        }
        self.write(commands)
    }

    /// An array: its elements from index to index, and its cursor.
    fn array(&mut self) -> Result<(), Fault> {
        const END: &[u8] = b"18446744073709551615";
        self.write(vec![vec![b"DEL", self.key]])?;
        let (mut from, limit) = (0u64, PIECE.to_string());
        loop {
            let start = from.to_string();
            let range: [&[u8]; 4] = [
                start.as_bytes(),
                b"18446744073709551614",
                b"LIMIT",
                limit.as_bytes(),
            ];
            let piece = self.read(b"ARSCAN", &range)?;
            let pairs = piece.as_slice().unwrap_or_default();
            let element = |pair: &Value| match pair.as_slice()? {
                [index, value] => Some((unsigned(index)?, value.as_bytes()?.to_vec())),
                _ => None,
            };
            let elements: Vec<(u64, Vec<u8>)> = pairs.iter().filter_map(element).collect();
            let Some((last, _)) = elements.last() else {
                break;
            };
            from = last + 1;
            let words: Vec<(String, &[u8])> = elements
                .iter()
                .map(|(index, value)| (index.to_string(), &value[..]))
                .collect();
            let mut command = vec![&b"ARMSET"[..], self.key];
            command.extend(
                words
                    .iter()
                    .flat_map(|(index, value)| [index.as_bytes(), value]),
            );
            self.write(vec![command])?;
            if elements.len() < PIECE {
                break;
            }
        }
        let next = unsigned(&self.read(b"ARNEXT", &[])?);
        let next = next.map_or(END.to_vec(), |it| it.to_string().into_bytes());
        self.write(vec![vec![b"ARSEEK", self.key, &next]])
    }

    /// A stream: its entries, its last id, and its groups without what they have pending.
    fn stream(&mut self) -> Result<Option<String>, Fault> {
        self.write(vec![vec![b"DEL", self.key]])?;
        let mut from = b"-".to_vec();
        loop {
            let count = PIECE.to_string();
            let piece = self.read(b"XRANGE", &[&from, b"+", b"COUNT", count.as_bytes()])?;
            let entries = piece.as_slice().unwrap_or_default();
            let mut commands = Vec::new();
            for entry in entries {
                let Some([id, fields]) = entry.as_slice() else {
                    continue;
                };
                let id = id.as_bytes().unwrap_or_default();
                commands.push([&[&b"XADD"[..], self.key, id], &strings(fields)[..]].concat());
                from = [b"(", id].concat();
            }
            let is_last = commands.len() < PIECE;
            self.write(commands)?;
            if is_last {
                break;
            }
        }
        self.stream_state()
    }

    fn stream_state(&mut self) -> Result<Option<String>, Fault> {
        let info = self.ask(&[b"XINFO", b"STREAM", self.key])?;
        if let Some(last) = info.get("last-generated-id").and_then(Value::as_bytes)
            && info.get("length").and_then(Value::as_int) != Some(0)
        {
            self.write(vec![vec![b"XSETID", self.key, last]])?;
        }
        let groups = self.ask(&[b"XINFO", b"GROUPS", self.key])?;
        let mut pending = 0;
        for group in groups.as_slice().unwrap_or_default() {
            let bytes = |name| {
                group
                    .get(name)
                    .and_then(Value::as_bytes)
                    .unwrap_or_default()
            };
            let (name, last) = (bytes("name"), bytes("last-delivered-id"));
            self.write(vec![vec![
                b"XGROUP",
                b"CREATE",
                self.key,
                name,
                last,
                b"MKSTREAM",
            ]])?;
            pending += group.get("pending").and_then(Value::as_int).unwrap_or(0);
        }
        let loss = format!("{pending} pending entries of its groups are not copied");
        Ok((pending > 0).then_some(loss))
    }

    /// The reply to a command about the key.
    fn read(&mut self, name: &[u8], more: &[&[u8]]) -> Result<Value, Fault> {
        self.ask(&[&[name, self.key], more].concat())
    }

    fn ask(&mut self, command: &[&[u8]]) -> Result<Value, Fault> {
        let reply = self.source.call(command)?;
        match reply.as_error() {
            Some(error) => Err(Fault::Reply(said(error.as_bytes()))),
            None => Ok(reply),
        }
    }

    fn write(&mut self, commands: Vec<Vec<&[u8]>>) -> Result<(), Fault> {
        let owned = |command: Vec<&[u8]>| command.into_iter().map(<[u8]>::to_vec).collect();
        let commands: Vec<CommandWords> = commands.into_iter().map(owned).collect();
        let replies = self.target.run(&commands)?;
        match replies.iter().find_map(Value::as_error) {
            Some(error) => Err(Fault::Reply(said(error.as_bytes()))),
            None => Ok(()),
        }
    }
}

fn said(error: &[u8]) -> String {
    String::from_utf8_lossy(error).into_owned()
}

/// The strings of an array, which in RESP2 is flat.
fn strings(value: &Value) -> Vec<&[u8]> {
    let elements = value.as_slice().unwrap_or_default();
    elements.iter().filter_map(Value::as_bytes).collect()
}

/// An integer without a sign.
fn unsigned(value: &Value) -> Option<u64> {
    match value {
        Value::BigNumber(digits) => digits.parse().ok(),
        value => u64::try_from(value.as_int()?).ok(),
    }
}
