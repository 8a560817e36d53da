//! Replies as values of the types that typed methods return.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use kvik_resp::Value;

use crate::ClientError;

/// A type that a reply can be read as. Numbers may have come as text, as RESP2 sends some, and maps
/// as lists.
pub trait FromReply: Sized {
    /// Reads a reply that is no error.
    ///
    /// # Errors
    /// The reply itself, if it is something else.
    fn read(reply: Value) -> Result<Self, Value>;

    /// Reads a reply.
    ///
    /// # Errors
    /// [`ClientError::Reply`] for an error, [`ClientError::Unexpected`] for another type.
    fn from_reply(reply: Value) -> Result<Self, ClientError> {
        if let Some(error) = reply.as_error() {
            return Err(ClientError::Reply(error.to_string()));
        }
        Self::read(reply).map_err(ClientError::Unexpected)
    }
}

/// Without its attributes.
fn plain(reply: Value) -> Value {
    match reply {
        Value::Attributed { value, .. } => plain(*value),
        other => other,
    }
}

impl FromReply for Value {
    fn read(reply: Value) -> Result<Self, Value> {
        Ok(reply)
    }
}

/// Any reply will do.
impl FromReply for () {
    fn read(_: Value) -> Result<Self, Value> {
        Ok(())
    }
}

impl FromReply for i64 {
    fn read(reply: Value) -> Result<Self, Value> {
        reply.as_int().ok_or(reply)
    }
}

impl FromReply for u64 {
    fn read(reply: Value) -> Result<Self, Value> {
        let number = reply.as_int().and_then(|number| number.try_into().ok());
        number.ok_or(reply)
    }
}

impl FromReply for f64 {
    fn read(reply: Value) -> Result<Self, Value> {
        reply.as_double().ok_or(reply)
    }
}

/// Whether something was done: `OK`, a number other than 0, or anything rather than nothing.
impl FromReply for bool {
    fn read(reply: Value) -> Result<Self, Value> {
        match reply.plain() {
            Value::Null => Ok(false),
            Value::Simple(_) => Ok(true),
            _ => reply.as_int().map(|number| number != 0).ok_or(reply),
        }
    }
}

impl FromReply for Vec<u8> {
    fn read(reply: Value) -> Result<Self, Value> {
        match plain(reply) {
            Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => Ok(bytes),
            other => match other.as_bytes() {
                Some(bytes) => Ok(bytes.to_vec()),
                None => Err(other),
            },
        }
    }
}

impl FromReply for String {
    fn read(reply: Value) -> Result<Self, Value> {
        let bytes = Vec::read(reply)?;
        Self::from_utf8(bytes).map_err(|error| Value::Bulk(error.into_bytes()))
    }
}

impl<T: FromReply> FromReply for Option<T> {
    fn read(reply: Value) -> Result<Self, Value> {
        match reply.is_null() {
            true => Ok(None),
            false => T::read(reply).map(Some),
        }
    }
}

/// A type of which a list may be made. Bytes are left out: a list of numbers is not a string.
pub trait Element: FromReply {}

impl Element for Vec<u8> {}
impl Element for String {}
impl Element for i64 {}
impl Element for bool {}
impl Element for f64 {}
impl Element for Value {}
impl<T: FromReply> Element for Option<T> {}
impl<A: FromReply, B: FromReply> Element for (A, B) {}
impl Element for StreamEntry {}

impl<T: Element> FromReply for Vec<T> {
    fn read(reply: Value) -> Result<Self, Value> {
        match plain(reply) {
            Value::Array(values) | Value::Set(values) | Value::Push(values) => {
                values.into_iter().map(T::read).collect()
            }
            other => Err(other),
        }
    }
}

/// A list of two.
impl<A: FromReply, B: FromReply> FromReply for (A, B) {
    fn read(reply: Value) -> Result<Self, Value> {
        match plain(reply) {
            Value::Array(values) => match <[Value; 2]>::try_from(values) {
                Ok([first, second]) => Ok((A::read(first)?, B::read(second)?)),
                Err(values) => Err(Value::Array(values)),
            },
            other => Err(other),
        }
    }
}

/// A list of three.
impl<A: FromReply, B: FromReply, C: FromReply> FromReply for (A, B, C) {
    fn read(reply: Value) -> Result<Self, Value> {
        match plain(reply) {
            Value::Array(values) => match <[Value; 3]>::try_from(values) {
                Ok([first, second, third]) => {
                    Ok((A::read(first)?, B::read(second)?, C::read(third)?))
                }
                Err(values) => Err(Value::Array(values)),
            },
            other => Err(other),
        }
    }
}

impl<K, V, S> FromReply for HashMap<K, V, S>
where
    K: FromReply + Eq + Hash,
    V: FromReply,
    S: BuildHasher + Default,
{
    fn read(reply: Value) -> Result<Self, Value> {
        pairs(reply).map(|pairs: Vec<(K, V)>| pairs.into_iter().collect())
    }
}

/// Pairs, as a map, a list of lists of two, or a list in which firsts and seconds take turns.
pub(crate) fn pairs<A: FromReply, B: FromReply>(reply: Value) -> Result<Vec<(A, B)>, Value> {
    let read = |(first, second): (Value, Value)| -> Result<(A, B), Value> {
        Ok((A::read(first)?, B::read(second)?))
    };
    match plain(reply) {
        Value::Map(pairs) => pairs.into_iter().map(read).collect(),
        Value::Array(values) if values.iter().all(|value| value.as_slice().is_some()) => {
            values.into_iter().map(<(A, B)>::read).collect()
        }
        Value::Array(values) => {
            let mut values = values.into_iter();
            let two = || Some((values.next()?, values.next()?));
            std::iter::from_fn(two).map(read).collect()
        }
        other => Err(other),
    }
}

/// Members with their scores, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored(pub Vec<(Vec<u8>, f64)>);

impl FromReply for Scored {
    fn read(reply: Value) -> Result<Self, Value> {
        pairs(reply).map(Self)
    }
}

/// An entry of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its id.
    pub id: String,
    /// Its fields with their values; none of one that was deleted while it was pending.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl FromReply for StreamEntry {
    fn read(reply: Value) -> Result<Self, Value> {
        let (id, fields): (String, Value) = FromReply::read(reply)?;
        let fields = match fields.is_null() {
            true => Vec::new(),
            false => pairs(fields)?,
        };
        Ok(Self { id, fields })
    }
}

/// Streams with their entries.
#[derive(Debug, Default)]
pub(crate) struct StreamParts(pub(crate) Vec<(Vec<u8>, Vec<StreamEntry>)>);

impl FromReply for StreamParts {
    fn read(reply: Value) -> Result<Self, Value> {
        pairs(reply).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn both_protocols_read_alike() {
        let flat = Value::Array(vec![bulk("a"), bulk("1.5")]);
        let nested = Value::Array(vec![Value::Array(vec![bulk("a"), Value::Double(1.5)])]);
        let map = Value::Map(vec![(bulk("a"), Value::Double(1.5))]);
        for reply in [flat, nested, map] {
            let scored = Scored::from_reply(reply).unwrap();
            assert_eq!(scored.0, [(b"a".to_vec(), 1.5)]);
        }
        assert_eq!(i64::from_reply(bulk("7")).unwrap(), 7);
        assert!(bool::from_reply(Value::Simple("OK".into())).unwrap());
        assert!(!bool::from_reply(Value::Null).unwrap());
        let list = Value::Array(vec![bulk("a"), Value::Null]);
        let list = Vec::<Option<String>>::from_reply(list).unwrap();
        assert_eq!(list, [Some("a".to_owned()), None]);
    }

    #[test]
    fn what_is_something_else_is_handed_back() {
        let error = i64::from_reply(Value::Error("ERR no".into())).unwrap_err();
        assert!(matches!(error, ClientError::Reply(text) if text == "ERR no"));
        let unexpected = i64::from_reply(bulk("x")).unwrap_err();
        assert!(matches!(unexpected, ClientError::Unexpected(reply) if reply == bulk("x")));
    }
}
