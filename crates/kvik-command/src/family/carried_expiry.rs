//! When members expire that a command carries to another key.
//!
//! A member keeps its time wherever it goes, as with RENAME and COPY: SMOVE, ZRANGESTORE and
//! GEOSEARCHSTORE take it along. Where members of several collections become one, it stays as long
//! as the result has it by its own rule: in a union until the last input loses it, in an
//! intersection until the first does, in a difference as long as the first input has it.

use kvik_store::UnixMs;

/// The later of two times; none is later than any.
pub(super) fn later(one: Option<UnixMs>, other: Option<UnixMs>) -> Option<UnixMs> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// The earlier of two times; none is later than any.
pub(super) fn earlier(one: Option<UnixMs>, other: Option<UnixMs>) -> Option<UnixMs> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_the_latest() {
        assert_eq!(
            (later(None, Some(1)), later(Some(2), Some(1))),
            (None, Some(2))
        );
        assert_eq!(
            (earlier(None, Some(1)), earlier(Some(2), Some(1))),
            (Some(1), Some(1))
        );
        assert_eq!(earlier(None, None), None);
    }
}
