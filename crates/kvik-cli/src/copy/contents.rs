//! The contents of a key as a whole, in a form in which equal contents are equal.

use anyhow::bail;
use kvik_client::{Client, Value};

use super::{CommandWords, ask};

/// Elements that are written together.
const PIECE: usize = 500;

/// The contents of a key. The order of what has none is that of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    /// Fields and values.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    /// Members and scores, by rank.
    Sorted(Vec<(Vec<u8>, Vec<u8>)>),
    /// Ids, and fields and values in turn.
    Stream(Vec<(Vec<u8>, Vec<Vec<u8>>)>),
    Array(ArrayContents),
}

/// The contents of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrayContents {
    /// Where the next element is inserted.
    pub(crate) next: Vec<u8>,
    /// Indexes and values.
    pub(crate) elements: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where nothing more can be inserted.
const END: &[u8] = b"18446744073709551615";

/// The last index that an element may have.
const LAST: &[u8] = b"18446744073709551614";

/// A key's contents, and its time to live if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) contents: Contents,
    pub(crate) ttl_ms: Option<u64>,
}

impl Item {
    /// Reads a key; none if there is no such key.
    ///
    /// # Errors
    /// If the connection breaks, or the key is of a type that is not known here.
    pub(crate) fn read(client: &mut Client, key: &[u8]) -> anyhow::Result<Option<Self>> {
        let kind = ask(client, &[b"TYPE", key])?;
        let kind = kind.as_str().unwrap_or_default().to_owned();
        let ttl_ms = ask(client, &[b"PTTL", key])?.as_int();
        let read: &[&[u8]] = match kind.as_str() {
            "none" => return Ok(None),
            "string" => &[b"GET", key],
            "list" => &[b"LRANGE", key, b"0", b"-1"],
            "set" => &[b"SMEMBERS", key],
            "hash" => &[b"HGETALL", key],
            "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
            "stream" => &[b"XRANGE", key, b"-", b"+"],
            "array" => &[b"ARSCAN", key, b"0", LAST],
            other => bail!("keys of type '{other}' are not known"),
        };
        let value = ask(client, read)?;
        if kind == "array" {
            let next = ask(client, &[b"ARNEXT", key])?;
            return Ok(Contents::of_array(&next, &value).map(|contents| Self {
                contents,
                ttl_ms: ttl_ms.and_then(|ttl| u64::try_from(ttl).ok()),
            }));
        }
        Ok(Contents::of(&kind, &value).map(|contents| Self {
            contents,
            ttl_ms: ttl_ms.and_then(|ttl| u64::try_from(ttl).ok()),
        }))
    }

    /// The commands that make a key this, whatever it was.
    pub(crate) fn write(&self, key: &[u8]) -> Vec<CommandWords> {
        let word = |text: &[u8]| text.to_vec();
        let mut commands = vec![vec![word(b"DEL"), word(key)]];
        let mut push = |name: &[u8], elements: &[Vec<u8>], width: usize| {
            for piece in elements.chunks(PIECE * width) {
                commands.push([&[word(name), word(key)], piece].concat());
            }
        };
        let flat = |pairs: &[(Vec<u8>, Vec<u8>)], reversed: bool| -> Vec<Vec<u8>> {
            let pair = |(one, other): &(Vec<u8>, Vec<u8>)| match reversed {
                false => [one.clone(), other.clone()],
                true => [other.clone(), one.clone()],
            };
            pairs.iter().flat_map(pair).collect()
        };
        match &self.contents {
            Contents::Text(text) => push(b"SET", std::slice::from_ref(text), 1),
            Contents::List(elements) => push(b"RPUSH", elements, 1),
            Contents::Set(members) => push(b"SADD", members, 1),
            Contents::Hash(pairs) => push(b"HSET", &flat(pairs, false), 2),
            Contents::Sorted(pairs) => push(b"ZADD", &flat(pairs, true), 2),
            Contents::Array(array) => push(b"ARMSET", &flat(&array.elements, false), 2),
            Contents::Stream(entries) => {
                for (id, fields) in entries {
                    let words = [std::slice::from_ref(id), fields].concat();
                    let width = words.len();
                    push(b"XADD", &words, width);
                }
            }
        }
        if let Contents::Array(array) = &self.contents
            && array.next != b"0"
        {
            commands.push(vec![word(b"ARSEEK"), word(key), array.next.clone()]);
        }
        if let Some(ttl_ms) = self.ttl_ms {
            let ttl = ttl_ms.max(1).to_string().into_bytes();
            commands.push(vec![word(b"PEXPIRE"), word(key), ttl]);
        }
        commands
    }
}

impl Contents {
    /// From the reply to the command that reads a type; none if the key has gone meanwhile.
    fn of(kind: &str, value: &Value) -> Option<Self> {
        let strings = || -> Vec<Vec<u8>> {
            let elements = value.as_slice().unwrap_or_default().iter();
            elements.filter_map(bytes).collect()
        };
        let pairs = || -> Vec<(Vec<u8>, Vec<u8>)> {
            let strings = strings();
            let pairs = strings.chunks_exact(2);
            pairs.map(|it| (it[0].clone(), it[1].clone())).collect()
        };
        let contents = match kind {
            "string" => return bytes(value).map(Self::Text),
            "list" => Self::List(strings()),
            "set" => {
                let mut members = strings();
                members.sort();
                Self::Set(members)
            }
            "hash" => {
                let mut pairs = pairs();
                pairs.sort();
                Self::Hash(pairs)
            }
            "zset" => Self::Sorted(pairs()),
            _ => Self::Stream(
                value
                    .as_slice()
                    .unwrap_or_default()
                    .iter()
                    .filter_map(entry)
                    .collect(),
            ),
        };
        (contents.len() > 0 || kind == "stream").then_some(contents)
    }

    /// The same for an array, from the replies to ARNEXT and ARSCAN.
    fn of_array(next: &Value, elements: &Value) -> Option<Self> {
        let element = |pair: &Value| match pair.as_slice()? {
            [index, value] => Some((number(index)?, bytes(value)?)),
            _ => None,
        };
        let elements = elements.as_slice().unwrap_or_default().iter();
        let elements: Vec<_> = elements.filter_map(element).collect();
        let next = number(next).unwrap_or(END.to_vec());
        (!elements.is_empty()).then_some(Self::Array(ArrayContents { next, elements }))
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(elements) | Self::Set(elements) => elements.len(),
            Self::Hash(pairs) | Self::Sorted(pairs) => pairs.len(),
            Self::Stream(entries) => entries.len(),
            Self::Array(array) => array.elements.len(),
        }
    }

    /// The name of its type, as TYPE returns it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Hash(_) => "hash",
            Self::Sorted(_) => "zset",
            Self::Stream(_) => "stream",
            Self::Array(_) => "array",
        }
    }
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_bytes().map(<[u8]>::to_vec)
}

/// An integer of any size as text.
fn number(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::BigNumber(digits) => Some(digits.clone().into_bytes()),
        value => value.as_int().map(|n| n.to_string().into_bytes()),
    }
}

fn entry(value: &Value) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let [id, fields] = value.as_slice()? else {
        return None;
    };
    Some((
        bytes(id)?,
        fields.as_slice()?.iter().filter_map(bytes).collect(),
    ))
}
