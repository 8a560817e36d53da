//! Keys, and what collections hold, one after the other.

use std::fmt;
use std::vec::IntoIter;

use kvik_resp::{ArgsBuf, Value};

use crate::ClientError;
use crate::from_reply::{FromReply, pairs};
use crate::store::Store;

/// An item of a page that a scan returns.
pub trait Scanned: Sized {
    /// Reads a page.
    ///
    /// # Errors
    /// The reply itself, if it is something else.
    fn read_page(page: Value) -> Result<Vec<Self>, Value>;
}

impl Scanned for Vec<u8> {
    fn read_page(page: Value) -> Result<Vec<Self>, Value> {
        Vec::read(page)
    }
}

impl<T: FromReply> Scanned for (Vec<u8>, T) {
    fn read_page(page: Value) -> Result<Vec<Self>, Value> {
        pairs(page)
    }
}

/// An iterator over keys, or over what a collection holds, which fetches page after page.
///
/// An element that exists during the whole scan is returned at least once; one that is added or
/// deleted meanwhile may be returned or not. An element may be returned twice. In a Redis Cluster
/// the keys are those of one node; of kvik's nodes each has all.
///
/// ```
/// # use kvik_client::Store;
/// let mut client = Store::open("mem://")?;
/// client.mset([("user:1", "ann"), ("user:2", "bob"), ("other", "x")])?;
/// let users = client.scan_iter("user:*").collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(users.len(), 2);
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
pub struct Scan<'a, T> {
    client: &'a mut Store,
    /// The words of the command before its cursor.
    head: ArgsBuf,
    /// Those behind it.
    tail: ArgsBuf,
    /// Where the next page begins; none behind the last one.
    cursor: Option<String>,
    page: IntoIter<T>,
}

impl<'a, T: Scanned> Scan<'a, T> {
    fn begin(client: &'a mut Store, head: &[&[u8]], tail: &[&[u8]]) -> Self {
        Self {
            client,
            head: head.iter().collect(),
            tail: tail.iter().collect(),
            cursor: Some("0".to_owned()),
            page: Vec::new().into_iter(),
        }
    }

    fn fetch(&mut self, cursor: &str) -> Result<(), ClientError> {
        let (head, tail) = (self.head.as_args(), self.tail.as_args());
        let (next, page): (String, Value) = self.client.query(|words| {
            words.extend(head.iter());
            words.push(cursor.as_bytes());
            words.extend(tail.iter());
        })?;
        let page = T::read_page(page).map_err(ClientError::Unexpected)?;
        self.page = page.into_iter();
        self.cursor = Some(next).filter(|next| next != "0");
        Ok(())
    }
}

impl<T: Scanned> Iterator for Scan<'_, T> {
    type Item = Result<T, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            let cursor = self.cursor.take()?;
            if let Err(error) = self.fetch(&cursor) {
                return Some(Err(error));
            }
        }
    }
}

/// Iterators. The errors of their items are those of [`Store::call`]; the first one is the end.
impl Store {
    /// The keys that match a pattern. O(all keys), O(1) for each page
    pub fn scan_iter(&mut self, pattern: impl AsRef<[u8]>) -> Scan<'_, Vec<u8>> {
        let tail = [b"MATCH", pattern.as_ref(), b"COUNT", b"100"];
        Scan::begin(self, &[b"SCAN"], &tail)
    }

    /// The fields of a hash with their values. O(fields), O(1) for each page
    pub fn hscan_iter(&mut self, key: impl AsRef<[u8]>) -> Scan<'_, (Vec<u8>, Vec<u8>)> {
        Scan::begin(self, &[b"HSCAN", key.as_ref()], &[])
    }

    /// The members of a set. O(members), O(1) for each page
    pub fn sscan_iter(&mut self, key: impl AsRef<[u8]>) -> Scan<'_, Vec<u8>> {
        Scan::begin(self, &[b"SSCAN", key.as_ref()], &[])
    }

    /// The members of a sorted set with their scores, in no order. O(members), O(1) for each page
    pub fn zscan_iter(&mut self, key: impl AsRef<[u8]>) -> Scan<'_, (Vec<u8>, f64)> {
        Scan::begin(self, &[b"ZSCAN", key.as_ref()], &[])
    }
}

impl<T> fmt::Debug for Scan<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}
