//! The text of a status or an error reply.

use std::borrow::Cow;
use std::fmt;

/// The text of a status or an error reply: bytes, because an error may quote what a client sent.
///
/// Nearly always it is UTF-8 on one line; a RESP3 blob error may have several lines. `Display`
/// replaces what is not UTF-8 by U+FFFD, [`Self::as_bytes`] keeps it.
///
/// ```
/// use kvik_resp::Text;
///
/// let error = Text::from(&b"ERR unknown command '\xff'"[..]);
/// assert!(error.starts_with("ERR "));
/// assert_eq!(error.as_str(), None);
/// assert_eq!(error.to_string(), "ERR unknown command '\u{fffd}'");
/// assert_eq!(Text::from("OK"), "OK");
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    /// The bytes as they were received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }

    /// The text, with U+FFFD for what is not UTF-8.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether the text begins with `prefix`: the first word of an error is its code.
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix.as_bytes())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_str_lossy(), f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_str() {
            Some(text) => fmt::Debug::fmt(text, f),
            None => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_kept_and_shown() {
        let text = Text::from(&b"ERR \xff'\n"[..]);
        assert_eq!(text.as_bytes(), b"ERR \xff'\n");
        assert_eq!(format!("{text:?}"), r#"b"ERR \xff\'\n""#);
        assert_eq!(format!("{:?}", Text::from("a\n")), r#""a\n""#);
    }
}
