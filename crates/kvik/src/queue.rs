//! Lists and sorted sets of database 0 as queues: typed calls that wait for an element.
//!
//! They stand in the same lines as the clients of a server, so whoever came first is served first.
//! A call blocks its thread; dropping the store elsewhere does not end it, its time does.

use std::time::Duration;

use kvik_command::Error;
use kvik_resp::Value;
pub use kvik_store::ListEnd;

use crate::db::Db;

/// An element taken from a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenElement {
    /// The key of the list.
    pub key: Vec<u8>,
    /// The element.
    pub element: Vec<u8>,
}

/// A member taken from a sorted set.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenMember {
    /// The key of the sorted set.
    pub key: Vec<u8>,
    /// The member.
    pub member: Vec<u8>,
    /// Its score.
    pub score: f64,
}

/// Calls that wait. Each returns none when its time was up; without a timeout it waits for ever.
/// They block as [`Db::run`] does besides.
///
/// # Errors
/// If a key holds another type, no write is admitted, or the store has become a follower meanwhile.
impl Db {
    /// Takes the first element of the first of these lists that exists, and returns it with
    /// the key. O(keys)
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let db = kvik::Db::memory();
    /// let worker = db.clone();
    /// let worker = std::thread::spawn(move || worker.blpop(&["jobs"], None));
    /// db.run(&["RPUSH", "jobs", "paint"]);
    /// let taken = worker.join().unwrap()?;
    /// assert_eq!(taken.map(|taken| taken.element).as_deref(), Some(&b"paint"[..]));
    /// assert_eq!(db.blpop(&["jobs"], Some(Duration::from_millis(5)))?, None);
    /// # Ok::<_, kvik::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for all of them.
    pub fn blpop<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        timeout: Option<Duration>,
    ) -> Result<Option<TakenElement>, Error> {
        self.take_element("BLPOP", keys, timeout)
    }

    /// The same with the last element. O(keys)
    ///
    /// # Errors
    /// As for all of them.
    pub fn brpop<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        timeout: Option<Duration>,
    ) -> Result<Option<TakenElement>, Error> {
        self.take_element("BRPOP", keys, timeout)
    }

    /// Moves an element from an end of one list to an end of another, and returns it. An element
    /// is in one of the two lists at any time. O(1)
    ///
    /// # Errors
    /// As for all of them.
    pub fn blmove(
        &self,
        (source, from): (&[u8], ListEnd),
        (destination, to): (&[u8], ListEnd),
        timeout: Option<Duration>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let end = |end| match end {
            ListEnd::Left => &b"LEFT"[..],
            ListEnd::Right => b"RIGHT",
        };
        let seconds = seconds(timeout);
        let words = [
            b"BLMOVE",
            source,
            destination,
            end(from),
            end(to),
            seconds.as_bytes(),
        ];
        let reply = checked(self.run(&words))?;
        Ok(reply.as_bytes().map(<[u8]>::to_vec))
    }

    /// Takes the member with the lowest score of the first of these sorted sets that exists.
    /// O(keys + log n)
    ///
    /// # Errors
    /// As for all of them.
    pub fn bzpopmin<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        timeout: Option<Duration>,
    ) -> Result<Option<TakenMember>, Error> {
        self.take_member("BZPOPMIN", keys, timeout)
    }

    /// The same with the highest score. O(keys + log n)
    ///
    /// # Errors
    /// As for all of them.
    pub fn bzpopmax<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        timeout: Option<Duration>,
    ) -> Result<Option<TakenMember>, Error> {
        self.take_member("BZPOPMAX", keys, timeout)
    }

    fn take_element<K: AsRef<[u8]>>(
        &self,
        command: &str,
        keys: &[K],
        timeout: Option<Duration>,
    ) -> Result<Option<TakenElement>, Error> {
        let reply = self.wait_for(command, keys, timeout)?;
        Ok(match reply.as_slice() {
            Some([key, element]) => Some(TakenElement {
                key: bytes(key),
                element: bytes(element),
            }),
            _ => None,
        })
    }

    fn take_member<K: AsRef<[u8]>>(
        &self,
        command: &str,
        keys: &[K],
        timeout: Option<Duration>,
    ) -> Result<Option<TakenMember>, Error> {
        let reply = self.wait_for(command, keys, timeout)?;
        Ok(match reply.as_slice() {
            Some([key, member, score]) => Some(TakenMember {
                key: bytes(key),
                member: bytes(member),
                score: score.as_double().unwrap_or_default(),
            }),
            _ => None,
        })
    }

    fn wait_for<K: AsRef<[u8]>>(
        &self,
        command: &str,
        keys: &[K],
        timeout: Option<Duration>,
    ) -> Result<Value, Error> {
        let seconds = seconds(timeout);
        let mut words = vec![command.as_bytes()];
        words.extend(keys.iter().map(AsRef::as_ref));
        words.push(seconds.as_bytes());
        checked(self.run(&words))
    }
}

/// A timeout as commands want it: 0 is for ever, and so no time at all is a millisecond.
fn seconds(timeout: Option<Duration>) -> String {
    let Some(timeout) = timeout else {
        return "0".into();
    };
    let ms = timeout.as_millis().max(1);
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_bytes().unwrap_or_default().to_vec()
}

/// A reply that is no error.
fn checked(reply: Value) -> Result<Value, Error> {
    let Some(error) = reply.as_error() else {
        return Ok(reply);
    };
    let line = error.to_str_lossy().into_owned();
    let (code, text) = line.split_once(' ').unwrap_or(("ERR", &line));
    Err(match code {
        "WRONGTYPE" => Error::WrongType,
        "UNBLOCKED" => Error::Coded("UNBLOCKED", text.to_owned().into()),
        "READONLY" => Error::Coded("READONLY", text.to_owned().into()),
        _ => Error::new(text.to_owned()),
    })
}
