//! Commands that wait for an element.

use std::time::Duration;

use super::Bytes;
use crate::ClientError;
use crate::from_reply::FromReply;
use crate::store::Store;

/// Commands that wait; their cost is that of the command that does not.
impl Store {
    /// Takes the first element of the first of these lists that has one, and waits for it so long;
    /// zero is for ever. The list and the element. O(keys)
    ///
    /// # Errors
    /// If one of them is no list or the connection is lost.
    pub fn blpop(
        &mut self,
        keys: &[impl AsRef<[u8]>],
        at_most: Duration,
    ) -> Result<Option<(Bytes, Bytes)>, ClientError> {
        self.pop_waiting("BLPOP", keys, at_most)
    }

    /// The same with the last element. O(keys)
    ///
    /// # Errors
    /// If one of them is no list or the connection is lost.
    pub fn brpop(
        &mut self,
        keys: &[impl AsRef<[u8]>],
        at_most: Duration,
    ) -> Result<Option<(Bytes, Bytes)>, ClientError> {
        self.pop_waiting("BRPOP", keys, at_most)
    }

    /// Takes the member with the lowest score of the first of these sorted sets that has one, and
    /// waits for it so long; zero is for ever. The sorted set, the member and the score.
    /// O(keys + log n)
    ///
    /// # Errors
    /// If one of them is no sorted set or the connection is lost.
    pub fn bzpopmin(
        &mut self,
        keys: &[impl AsRef<[u8]>],
        at_most: Duration,
    ) -> Result<Option<(Bytes, Bytes, f64)>, ClientError> {
        self.pop_waiting("BZPOPMIN", keys, at_most)
    }

    /// The same with the highest score. O(keys + log n)
    ///
    /// # Errors
    /// If one of them is no sorted set or the connection is lost.
    pub fn bzpopmax(
        &mut self,
        keys: &[impl AsRef<[u8]>],
        at_most: Duration,
    ) -> Result<Option<(Bytes, Bytes, f64)>, ClientError> {
        self.pop_waiting("BZPOPMAX", keys, at_most)
    }

    /// Moves an element from an end of one list to an end of another, `LEFT` or `RIGHT`, and waits
    /// for it so long; zero is for ever. O(1)
    ///
    /// # Errors
    /// If one of them is no list or the connection is lost.
    pub fn blmove(
        &mut self,
        (source, from): (&str, &str),
        (destination, to): (&str, &str),
        at_most: Duration,
    ) -> Result<Option<Bytes>, ClientError> {
        self.query_waiting(at_most, |words| {
            words.extend(["BLMOVE", source, destination, from, to]);
            words.push(at_most.as_secs_f64().to_string().as_bytes());
        })
    }

    fn pop_waiting<T: FromReply>(
        &mut self,
        command: &str,
        keys: &[impl AsRef<[u8]>],
        at_most: Duration,
    ) -> Result<Option<T>, ClientError> {
        self.query_waiting(at_most, |words| {
            words.push(command.as_bytes());
            words.extend(keys);
            words.push(at_most.as_secs_f64().to_string().as_bytes());
        })
    }
}
