//! One reply as a tree, for clients and tests. Servers write replies with [`Reply`] and never build
//! this.

use crate::number::parse_i64;
use crate::{Output, Protocol, Reply, Text};

/// A decoded reply.
///
/// The accessors look through attributes, and through the types that differ between RESP2 and
/// RESP3: a number may have come as a string, a map as an array.
///
/// ```
/// use kvik_resp::Value;
///
/// let reply = Value::Map(vec![(Value::Bulk(b"hits".to_vec()), Value::Bulk(b"3".to_vec()))]);
/// assert_eq!(reply.get("hits").and_then(Value::as_int), Some(3));
/// assert_eq!(Value::Error("ERR no".into()).as_int(), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value: `$-1`, `*-1` or `_`.
    Null,
    /// A status line such as `OK`.
    Simple(Text),
    /// An error line: code and text.
    Error(Text),
    /// A 64-bit integer.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Vec<u8>),
    /// A floating-point number.
    Double(f64),
    /// A truth value.
    Boolean(bool),
    /// An integer of any size, as decimal digits.
    BigNumber(String),
    /// Text with a format.
    Verbatim {
        /// Three characters, such as `txt`.
        format: String,
        /// The text without its format.
        text: Vec<u8>,
    },
    /// Values in order.
    Array(Vec<Self>),
    /// Keys and values, in the order in which they came.
    Map(Vec<(Self, Self)>),
    /// Values of which the order means nothing.
    Set(Vec<Self>),
    /// An out-of-band message.
    Push(Vec<Self>),
    /// A value with attributes: what a server adds for clients that understand it.
    Attributed {
        /// Keys and values of the attributes.
        attributes: Vec<(Self, Self)>,
        /// The value itself.
        value: Box<Self>,
    },
}

impl Value {
    /// The value without its attributes.
    pub fn plain(&self) -> &Self {
        match self {
            Self::Attributed { value, .. } => value.plain(),
            other => other,
        }
    }

    /// Whether this is the status `OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self.plain(), Self::Simple(status) if status == "OK")
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Self::Null)
    }

    /// The error line, if this is one.
    pub fn as_error(&self) -> Option<&Text> {
        match self.plain() {
            Self::Error(error) => Some(error),
            _ => None,
        }
    }

    /// An integer, or text that is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.plain() {
            Self::Integer(value) => Some(*value),
            Self::Boolean(value) => Some((*value).into()),
            other => parse_i64(other.as_bytes()?),
        }
    }

    /// A double, or an integer or text that is one.
    pub fn as_double(&self) -> Option<f64> {
        match self.plain() {
            Self::Double(value) => Some(*value),
            Self::Integer(value) => Some(*value as f64),
            other => crate::number::parse_f64(other.as_bytes()?),
        }
    }

    /// The bytes of any kind of string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.plain() {
            Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => Some(bytes),
            Self::Simple(text) => Some(text.as_bytes()),
            Self::BigNumber(digits) => Some(digits.as_bytes()),
            _ => None,
        }
    }

    /// Any kind of string, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The elements of an array, set or push.
    pub fn as_slice(&self) -> Option<&[Self]> {
        match self.plain() {
            Self::Array(values) | Self::Set(values) | Self::Push(values) => Some(values),
            _ => None,
        }
    }

    /// The value of `key` in a map, or in an array of keys and values as RESP2 has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let is_key = |candidate: &Self| candidate.as_bytes() == Some(key.as_bytes());
        match self.plain() {
            Self::Map(pairs) => pairs
                .iter()
                .find(|pair| is_key(&pair.0))
                .map(|pair| &pair.1),
            // RESP2 has no map: keys and values take turns.
            Self::Array(values) => values
                .as_chunks()
                .0
                .iter()
                .find(|[name, _]| is_key(name))
                .map(|[_, value]| value),
            _ => None,
        }
    }
}

impl Value {
    /// Appends the value as a server would send it in `protocol`. What RESP2 lacks becomes its
    /// nearest type, and attributes are left out there.
    pub fn encode(&self, protocol: Protocol, out: &mut Vec<u8>) {
        // An output writes replies; its vector is the caller's, lent for the time.
        let mut output = Output::from(std::mem::take(out));
        self.write(&mut Reply::new(&mut output, protocol));
        *out = output.into_bytes();
    }

    fn write(&self, reply: &mut Reply<'_>) {
        match self {
            Self::Null => reply.null(),
            Self::Simple(status) => reply.simple_bytes(status.as_bytes()),
            Self::Error(error) => reply.error_bytes(error.as_bytes()),
            Self::Integer(value) => reply.integer(*value),
            Self::Bulk(bytes) => reply.bulk(bytes),
            Self::Double(value) => reply.double(*value),
            Self::Boolean(value) => reply.boolean(*value),
            Self::BigNumber(digits) => reply.big_number(digits.as_bytes()),
            Self::Verbatim { format, text } => reply.verbatim(format, text),
            Self::Array(values) => {
                reply.array(values.len());
                write_all(values, reply);
            }
            Self::Set(values) => {
                reply.set(values.len());
                write_all(values, reply);
            }
            Self::Push(values) => {
                reply.push(values.len());
                write_all(values, reply);
            }
            Self::Map(pairs) => {
                reply.map(pairs.len());
                write_pairs(pairs, reply);
            }
            Self::Attributed { attributes, value } => {
                if reply.protocol() == Protocol::Resp3 {
                    reply.attribute(attributes.len());
                    write_pairs(attributes, reply);
                }
                value.write(reply);
            }
        }
    }
}

fn write_all(values: &[Value], reply: &mut Reply<'_>) {
    for value in values {
        value.write(reply);
    }
}

fn write_pairs(pairs: &[(Value, Value)], reply: &mut Reply<'_>) {
    for (key, value) in pairs {
        key.write(reply);
        value.write(reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn accessors_look_through_types_and_attributes() {
        assert!(Value::Simple("OK".into()).is_ok());
        assert!(!bulk("OK").is_ok());
        assert!(Value::Null.is_null());
        assert_eq!(
            Value::Error("ERR x".into()).as_error(),
            Some(&Text::from("ERR x"))
        );
        assert_eq!(Value::Integer(3).as_int(), Some(3));
        assert_eq!(bulk("-3").as_int(), Some(-3));
        assert_eq!(bulk("03").as_int(), None);
        assert_eq!(bulk("0.5").as_double(), Some(0.5));
        assert_eq!(Value::Integer(2).as_double(), Some(2.0));
        assert_eq!(
            Value::Verbatim {
                format: "txt".into(),
                text: b"a".to_vec()
            }
            .as_str(),
            Some("a")
        );
        assert_eq!(bulk("x").as_slice(), None);
        let attributed = Value::Attributed {
            attributes: vec![(bulk("ttl"), Value::Integer(1))],
            value: Box::new(bulk("v")),
        };
        assert_eq!(attributed.as_str(), Some("v"));
    }

    #[test]
    fn a_map_is_read_by_key_in_both_versions() {
        let map = Value::Map(vec![
            (bulk("a"), Value::Integer(1)),
            (bulk("b"), Value::Integer(2)),
        ]);
        let array = Value::Array(vec![bulk("a"), bulk("b"), bulk("b"), Value::Integer(2)]);
        assert_eq!(map.get("b").and_then(Value::as_int), Some(2));
        assert_eq!(array.get("b").and_then(Value::as_int), Some(2));
        assert_eq!(map.get("c"), None);
    }

    #[test]
    fn attributes_are_left_out_in_resp2() {
        let value = Value::Attributed {
            attributes: vec![(bulk("a"), Value::Null)],
            value: Box::new(Value::Boolean(true)),
        };
        let encode = |protocol| {
            let mut out = Vec::new();
            value.encode(protocol, &mut out);
            out
        };
        assert_eq!(encode(Protocol::Resp2), b":1\r\n");
        assert_eq!(encode(Protocol::Resp3), b"|1\r\n$1\r\na\r\n_\r\n#t\r\n");
    }
}
