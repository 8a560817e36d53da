//! Replies and notifications for nkv's clients, as text and as JSON.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kvik_resp::Output;

/// How a client writes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines of words, values in base64.
    Text,
    /// Objects, values as numbers.
    Json,
}

/// How a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    /// There is no such thing.
    NotFound,
    /// There is no such key to delete.
    Missing,
    Failed,
}

impl Status {
    fn numbered(self) -> (u32, &'static str) {
        match self {
            Self::Done => (200, "No Error"),
            Self::NotFound => (404, "Not Found"),
            Self::Missing => (500, "IO error No such file or directory (os error 2)"),
            Self::Failed => (500, "the server refuses it"),
        }
    }
}

/// Whether a key can be named in all forms: its bytes are text without blanks.
pub(super) fn is_sendable(key: &[u8]) -> bool {
    let text = std::str::from_utf8(key);
    text.is_ok_and(|text| !text.contains(|c: char| c.is_whitespace() || c.is_control()))
}

impl Form {
    /// The reply to a request that has no value.
    pub(super) fn write_status(self, id: &[u8], status: Status, out: &mut Output) {
        match self {
            Self::Text => {
                out.extend_from_slice(id);
                let is_done = status == Status::Done;
                out.extend_from_slice(if is_done { b" OK\n" } else { b" FAILED\n" });
            }
            Self::Json => {
                let (number, message) = status.numbered();
                let id = quoted(id);
                let text =
                    format!(r#"{{"Base":{{"id":{id},"status":{number},"message":"{message}"}}}}"#);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The reply to a request for a value.
    pub(super) fn write_value(self, id: &[u8], value: &[u8], out: &mut Output) {
        if self == Self::Text {
            // As `write_gathered` does, but without a copy of what may be large.
            out.extend_from_slice(id);
            out.extend_from_slice(b" OK");
            self.gather(value, false, 0, out);
            return out.extend_from_slice(b"\n");
        }
        let mut body = Output::new();
        self.gather(value, false, 0, &mut body);
        self.write_gathered(id, body, out);
    }

    /// The reply to a request for values when there are none.
    pub(super) fn write_nothing(self, id: &[u8], out: &mut Output) {
        match self {
            Self::Text => self.write_status(id, Status::NotFound, out),
            Self::Json => {
                let id = quoted(id);
                let text = format!(
                    r#"{{"Get":{{"id":{id},"status":404,"message":"Not Found","data":[]}}}}"#
                );
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Appends one of several values, or names, behind `before` others.
    pub(super) fn gather(self, item: &[u8], is_name: bool, before: usize, body: &mut Output) {
        match self {
            Self::Text => {
                body.extend_from_slice(b" ");
                match is_name {
                    true => body.extend_from_slice(item),
                    false => encode_to(item, body),
                }
            }
            Self::Json => {
                let comma = if before == 0 { "" } else { "," };
                body.extend_from_slice(comma.as_bytes());
                body.extend_from_slice(numbers(item).as_bytes());
            }
        }
    }

    /// The reply with the values that were gathered.
    pub(super) fn write_gathered(self, id: &[u8], body: Output, out: &mut Output) {
        match self {
            Self::Text => {
                out.extend_from_slice(id);
                out.extend_from_slice(b" OK");
                out.append(body);
                out.extend_from_slice(b"\n");
            }
            Self::Json => {
                let id = quoted(id);
                let head =
                    format!(r#"{{"Get":{{"id":{id},"status":200,"message":"No Error","data":["#);
                out.extend_from_slice(head.as_bytes());
                out.append(body);
                out.extend_from_slice(b"]}}");
            }
        }
    }

    /// The greeting of a subscription; with the key for clients that want two words.
    pub(super) fn write_hello(self, key: Option<&[u8]>, out: &mut Output) {
        match (self, key) {
            (Self::Json, _) => out.extend_from_slice(b"\"Hello\""),
            (Self::Text, None) => out.extend_from_slice(b"HELLO\n"),
            (Self::Text, Some(key)) => out.extend_from_slice(&[b"HELLO ", key, b"\n"].concat()),
        }
    }

    /// The value of a key has changed.
    pub(super) fn write_update(self, key: &[u8], value: &[u8], out: &mut Output) {
        match self {
            Self::Text => {
                out.extend_from_slice(b"UPDATE ");
                out.extend_from_slice(key);
                out.extend_from_slice(b" ");
                encode_to(value, out);
                out.extend_from_slice(b"\n");
            }
            Self::Json => {
                let (key, value) = (quoted(key), numbers(value));
                let text = format!(r#"{{"Update":{{"key":{key},"value":{value}}}}}"#);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// A key is gone, or a subscription to it has ended.
    pub(super) fn write_close(self, key: &[u8], out: &mut Output) {
        let text = match self {
            Self::Text => format!("CLOSE {}\n", String::from_utf8_lossy(key)),
            Self::Json => format!(r#"{{"Close":{{"key":{}}}}}"#, quoted(key)),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends bytes in base64, without a copy of the whole.
fn encode_to(bytes: &[u8], out: &mut Output) {
    // A multiple of three needs no padding but at the end.
    const PART: usize = 3 << 10;
    let mut text = [0; PART / 3 * 4];
    for part in bytes.chunks(PART) {
        // The text of a part fits by its size.
        let len = STANDARD.encode_slice(part, &mut text).unwrap_or(0);
        out.extend_from_slice(&text[..len]);
    }
}

/// A string of JSON.
fn quoted(text: &[u8]) -> String {
    serde_json::Value::String(String::from_utf8_lossy(text).into_owned()).to_string()
}

/// An array of JSON with the numbers of the bytes.
fn numbers(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 4 * bytes.len());
    text.push('[');
    for (index, byte) in bytes.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{byte}");
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_in_parts_is_that_of_the_whole() {
        for len in [0, 1, 2, 3, 3071, 3072, 3073, 10_000] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let mut out = Output::new();
            encode_to(&bytes, &mut out);
            assert_eq!(
                out.into_bytes(),
                STANDARD.encode(&bytes).as_bytes(),
                "{len}"
            );
        }
    }
}
