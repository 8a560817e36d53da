//! Ids as arguments: `ms`, `ms-seq`, `ms-*`, `-`, `+` and `(` before the end of a range.

use kvik_resp::parse_i64;
use kvik_store::{NewId, StreamId};

use crate::Error;

/// Longest text that Redis reads as an id.
const MAX_LEN: usize = 127;

const INVALID: Error = Error::text("Invalid stream ID specified as stream command argument");

/// Which part of a range an id is, where it says no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeEnd {
    Start,
    End,
}

/// An id without a sign of its own; a missing number is 0.
///
/// # Errors
/// If it is none.
pub(super) fn parse(text: &[u8]) -> Result<StreamId, Error> {
    parse_with(text, 0)
}

/// As [`parse`], or `-` or `+` for the smallest and the largest id.
///
/// # Errors
/// If it is none.
pub(super) fn parse_or_bound(text: &[u8]) -> Result<StreamId, Error> {
    parse_edge(text, RangeEnd::Start)
}

/// The id of an entry to add, other than `*`.
///
/// # Errors
/// If it is none.
pub(super) fn parse_new(text: &[u8]) -> Result<NewId, Error> {
    match until_nul(text).strip_suffix(b"-*") {
        Some(ms) if text.len() <= MAX_LEN && !ms.contains(&b'-') => {
            natural(ms).map(NewId::Ms).ok_or(INVALID)
        }
        _ => parse(text).map(NewId::Full),
    }
}

/// The first id of a range.
///
/// # Errors
/// If it is none, or would exclude the largest.
pub(super) fn parse_start(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => parse_with(rest, 0)?
            .next()
            .ok_or(Error::text("invalid start ID for the interval")),
        _ => parse_edge(text, RangeEnd::Start),
    }
}

/// The last id of a range.
///
/// # Errors
/// If it is none, or would exclude the smallest.
pub(super) fn parse_end(text: &[u8]) -> Result<StreamId, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => parse_with(rest, u64::MAX)?
            .prev()
            .ok_or(Error::text("invalid end ID for the interval")),
        _ => parse_edge(text, RangeEnd::End),
    }
}

fn parse_edge(text: &[u8], edge: RangeEnd) -> Result<StreamId, Error> {
    match (text, edge) {
        (b"-", _) => Ok(StreamId::MIN),
        (b"+", _) => Ok(StreamId::MAX),
        (_, RangeEnd::Start) => parse_with(text, 0),
        (_, RangeEnd::End) => parse_with(text, u64::MAX),
    }
}

fn parse_with(text: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    let parsed = || {
        if text.len() > MAX_LEN {
            return None;
        }
        let text = until_nul(text);
        let mut parts = text.splitn(2, |byte| *byte == b'-');
        let ms = natural(parts.next()?)?;
        let seq = parts.next().map_or(Some(missing_seq), natural)?;
        Some(StreamId::new(ms, seq))
    };
    parsed().ok_or(INVALID)
}

fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// An unsigned number. What is no canonical integer is read as C's `strtoull` does: blanks, a sign
/// that wraps around, leading zeros.
fn natural(text: &[u8]) -> Option<u64> {
    if let Some(n) = parse_i64(text) {
        return u64::try_from(n).ok();
    }
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !blank(byte))?;
    let (negative, digits) = match &text[start..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let digit = |n: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    };
    let n = digits.iter().try_fold(0, digit)?;
    let n = if negative { n.wrapping_neg() } else { n };
    (!digits.is_empty()).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> Result<StreamId, Error> {
        Ok(StreamId::new(ms, seq))
    }

    #[test]
    fn ids_have_one_or_two_numbers() {
        assert_eq!(parse(b"5"), id(5, 0));
        assert_eq!(parse(b"5-7"), id(5, 7));
        assert_eq!(parse(b"18446744073709551615-0"), id(u64::MAX, 0));
        assert_eq!(parse(b"007-+1"), id(7, 1));
        let wrong: [&[u8]; 9] = [
            b"",
            b"-",
            b"+",
            b"a",
            b"1-",
            b"-1",
            b"1--1",
            b"1-1-1",
            b"18446744073709551616",
        ];
        for text in wrong {
            assert_eq!(parse(text), Err(INVALID), "{text:?}");
        }
        assert_eq!(parse(&[b'0'; 127]), id(0, 0));
        assert_eq!(parse(&[b'0'; 128]), Err(INVALID));
    }

    #[test]
    fn a_new_id_may_leave_its_number_open() {
        assert_eq!(parse_new(b"5-*"), Ok(NewId::Ms(5)));
        assert_eq!(parse_new(b"5-3"), Ok(NewId::Full(StreamId::new(5, 3))));
        assert_eq!(parse_new(b"-*"), Err(INVALID));
        assert_eq!(parse_new(b"5-3-*"), Err(INVALID));
    }

    #[test]
    fn the_ends_of_a_range_say_what_is_missing() {
        assert_eq!(parse_start(b"5"), id(5, 0));
        assert_eq!(parse_end(b"5"), id(5, u64::MAX));
        assert_eq!(parse_start(b"(5"), id(5, 1));
        assert_eq!(parse_end(b"(5"), id(5, u64::MAX - 1));
        assert_eq!(parse_start(b"-"), Ok(StreamId::MIN));
        assert_eq!(parse_end(b"+"), Ok(StreamId::MAX));
        assert!(parse_start(b"(").is_err() && parse_start(b"(-").is_err());
        assert!(parse_end(b"(0-0").is_err());
    }
}
