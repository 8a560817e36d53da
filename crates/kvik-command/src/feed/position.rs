//! A position of the feed: which log, and how far in it.

use std::fmt;
use std::str::FromStr;

/// A place in the feed that can be kept and returned to, also after a restart where a log is kept.
/// Printed it is one word: `ID-OFFSET`.
///
/// ```
/// use kvik_command::feed::FeedPosition;
///
/// let text = "00112233445566778899aabbccddeeff00112233-1024";
/// let position: FeedPosition = text.parse().unwrap();
/// assert_eq!((position.offset, position.to_string().as_str()), (1024, text));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FeedPosition {
    /// The id of the log.
    pub log: [u8; 20],
    /// Bytes of the log before it.
    pub offset: u64,
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPosition;

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position has 40 hexadecimal digits, a dash and a number")
    }
}

impl std::error::Error for InvalidPosition {}

impl fmt::Display for FeedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{}", self.offset)
    }
}

impl fmt::Debug for FeedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedPosition({self})")
    }
}

impl FromStr for FeedPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (id, offset) = text.split_once('-').ok_or(InvalidPosition)?;
        let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if id.len() != 40 || !is_plain(id) || !offset.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidPosition);
        }
        let mut log = [0; 20];
        for (at, byte) in log.iter_mut().enumerate() {
            let digits = &id[2 * at..][..2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidPosition)?;
        }
        let offset = offset.parse().map_err(|_| InvalidPosition)?;
        Ok(Self { log, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_positions_are_read() {
        let id = "a".repeat(40);
        for text in ["", "-", "0", &id, &format!("{id}-"), &format!("{id}-x")] {
            assert_eq!(text.parse::<FeedPosition>(), Err(InvalidPosition), "{text}");
        }
        for text in [
            format!("{id}-+1"),
            format!("{id}x-1"),
            format!("+{}-1", &id[1..]),
        ] {
            assert_eq!(text.parse::<FeedPosition>(), Err(InvalidPosition), "{text}");
        }
        assert!(
            format!("{id}-18446744073709551615")
                .parse::<FeedPosition>()
                .is_ok()
        );
    }
}
