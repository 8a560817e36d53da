//! Commands of streams.

use std::time::Duration;

use super::Bytes;
use crate::ClientError;
use crate::batch::{Pipeline, Queued, Transaction};
use crate::from_reply::{StreamEntry, StreamParts};
use crate::store::Store;
use crate::words::Words;

commands! {
    /// Appends an entry to a stream, given as pairs; its id. O(1)
    xadd(key, id, pairs) -> String = "XADD", key, id, pairs;
    /// How many entries a stream has. O(1)
    xlen(key) -> u64 = "XLEN", key;
    /// Entries of a stream by their ids, from and to inclusive, `-` and `+` for its ends.
    /// O(log n + entries)
    xrange(key, from, to) -> Vec<StreamEntry> = "XRANGE", key, from, to;
    /// The same from the last one back: the later id comes first. O(log n + entries)
    xrevrange(key, from, to) -> Vec<StreamEntry> = "XREVRANGE", key, from, to;
    /// Deletes entries of a stream; how many there were. O(entries)
    xdel(key, ids) -> u64 = "XDEL", key, ids;
    /// Deletes the first entries of a stream until so many are left; how many. O(entries)
    xtrim(key, most) -> u64 = "XTRIM", key, "MAXLEN", most;
    /// Makes a group that is given the entries behind an id, `$` for those to come, and the stream
    /// if there is none. O(1)
    xgroup_create(key, group, from) -> ()
        = "XGROUP", "CREATE", key, group, from, "MKSTREAM";
    /// Deletes a group; whether there was one. O(entries that are pending)
    xgroup_destroy(key, group) -> bool = "XGROUP", "DESTROY", key, group;
    /// Notes that a group is done with entries; how many were pending. O(ids)
    xack(key, group, ids) -> u64 = "XACK", key, group, ids;
    /// Gives a consumer what others have had pending for so many milliseconds, from an id on; the
    /// id to go on from, the entries, and the ids of those that were deleted. O(entries)
    xautoclaim(key, group, consumer, idle_ms, from) -> (String, Vec<StreamEntry>, Vec<String>)
        = "XAUTOCLAIM", key, group, consumer, idle_ms, from;
}

/// Reads of several streams.
impl Store {
    /// The entries of streams behind ids, given as pairs of key and id, at most `count` of each;
    /// streams without any are left out. Where there are none it waits for one so long, if told to;
    /// zero is for ever. An id `$` means those to come. O(log n + entries)
    ///
    /// ```
    /// # use kvik_client::Store;
    /// let mut client = Store::open("mem://")?;
    /// client.xadd("log", "1-1", [("line", "a")])?;
    /// let read = client.xread(&[("log", "0")], 10, None)?;
    /// assert_eq!(read[0].0, b"log");
    /// assert_eq!(read[0].1[0].fields, [(b"line".to_vec(), b"a".to_vec())]);
    /// # Ok::<(), kvik_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// If one of them is no stream or the connection is lost.
    pub fn xread<K: AsRef<[u8]>, I: AsRef<[u8]>>(
        &mut self,
        streams: &[(K, I)],
        count: u64,
        at_most: Option<Duration>,
    ) -> Result<Vec<(Bytes, Vec<StreamEntry>)>, ClientError> {
        self.read_streams(&[b"XREAD"], streams, count, at_most)
    }

    /// The same for a consumer of a group, which has them pending then. An id `>` means entries
    /// that nobody has been given, others mean those that this consumer has pending. O(log n +
    /// entries)
    ///
    /// # Errors
    /// If a stream has no such group or the connection is lost.
    pub fn xreadgroup<K: AsRef<[u8]>, I: AsRef<[u8]>>(
        &mut self,
        (group, consumer): (&str, &str),
        streams: &[(K, I)],
        count: u64,
        at_most: Option<Duration>,
    ) -> Result<Vec<(Bytes, Vec<StreamEntry>)>, ClientError> {
        let head = [
            b"XREADGROUP",
            &b"GROUP"[..],
            group.as_bytes(),
            consumer.as_bytes(),
        ];
        self.read_streams(&head, streams, count, at_most)
    }

    fn read_streams<K: AsRef<[u8]>, I: AsRef<[u8]>>(
        &mut self,
        head: &[&[u8]],
        streams: &[(K, I)],
        count: u64,
        at_most: Option<Duration>,
    ) -> Result<Vec<(Bytes, Vec<StreamEntry>)>, ClientError> {
        let fill = |words: &mut kvik_resp::ArgsBuf| {
            words.extend(head);
            "COUNT".add_to(words);
            count.add_to(words);
            if let Some(at_most) = at_most {
                "BLOCK".add_to(words);
                // A wait of less than a millisecond is none for ever.
                let wait_ms = at_most.as_micros().div_ceil(1000);
                u64::try_from(wait_ms).unwrap_or(u64::MAX).add_to(words);
            }
            "STREAMS".add_to(words);
            words.extend(streams.iter().map(|(key, _)| key));
            words.extend(streams.iter().map(|(_, id)| id));
        };
        let read: Option<StreamParts> = match at_most {
            Some(at_most) => self.query_waiting(at_most, fill)?,
            None => self.query(fill)?,
        };
        Ok(read.unwrap_or_default().0)
    }
}
