//! Typed methods for commands: one row each, for [`Store`], where they return the reply, and for
//! [`Pipeline`] and [`Transaction`], where they return a [`Queued`] for it.
//!
//! A row is the method with its arguments, what its reply is read as, and the command's words. An
//! argument is anything that is [`Words`]: text, bytes, numbers, and slices of them.

use crate::ClientError;
use crate::batch::{Pipeline, Queued, Transaction};
use crate::store::Store;
use crate::words::Words;

macro_rules! commands {
    ($($(#[doc = $doc:literal])+ $name:ident($($arg:ident),*) -> $reply:ty = $($word:expr),+;)+) => {
        /// Commands, each with the errors of [`Store::call`], [`ClientError::Reply`] where it is
        /// refused, and the cost of the command of that name.
        impl Store {
            $($(#[doc = $doc])+
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = "If the command is refused or the connection is lost."]
            pub fn $name(&mut self, $($arg: impl Words),*) -> Result<$reply, ClientError> {
                self.query(|words| { $($word.add_to(words);)+ })
            })+
        }

        queued_commands! {
            $($(#[doc = $doc])+ $name($($arg),*) -> $reply = $($word),+;)+
        }
    };
}

/// The rows of commands that are queued.
macro_rules! queued_commands {
    ($($(#[doc = $doc:literal])+ $name:ident($($arg:ident),*) -> $reply:ty = $($word:expr),+;)+) => {
        /// The commands of [`Store`], which run when the pipeline does.
        impl Pipeline<'_> {
            $($(#[doc = $doc])+
            pub fn $name(&mut self, $($arg: impl Words),*) -> Queued<$reply> {
                self.push(|words| { $($word.add_to(words);)+ })
            })+
        }

        /// The commands of [`Store`], which run when the transaction does.
        impl Transaction<'_> {
            $($(#[doc = $doc])+
            pub fn $name(&mut self, $($arg: impl Words),*) -> Queued<$reply> {
                self.push(|words| { $($word.add_to(words);)+ })
            })+
        }
    };
}

mod collections;
mod scripts;
mod streams;
mod values;
mod waiting;

type Bytes = Vec<u8>;

commands! {
    /// Nothing but a sign of life. O(1)
    ping() -> () = "PING";
    /// How many keys the database has. O(1)
    dbsize() -> u64 = "DBSIZE";
    /// Deletes all keys of all databases. O(n)
    flushall() -> () = "FLUSHALL";
    /// Deletes all keys of the database. O(n)
    flushdb() -> () = "FLUSHDB";
    /// Publishes a message; how many heard it. O(subscribers)
    publish(channel, message) -> u64 = "PUBLISH", channel, message;

    /// How many of these keys exist; one that is named twice counts twice. O(keys)
    exists(keys) -> u64 = "EXISTS", keys;
    /// The type of a key's value, `none` without one. O(1)
    type_of(key) -> String = "TYPE", key;
    /// Renames a key, over whatever had the new name. O(1)
    rename(key, name) -> () = "RENAME", key, name;
    /// Renames a key unless the new name is taken; whether it did. O(1)
    renamenx(key, name) -> bool = "RENAMENX", key, name;
    /// Copies a key unless the new name is taken; whether it did. O(elements)
    copy(key, name) -> bool = "COPY", key, name;
    /// Deletes keys, whose memory is freed behind it; how many there were. O(keys)
    unlink(keys) -> u64 = "UNLINK", keys;
    /// Counts as a use of keys; how many exist. O(keys)
    touch(keys) -> u64 = "TOUCH", keys;
    /// Has a key expire at a time, in milliseconds since 1970; whether it exists. O(1)
    pexpireat(key, at_ms) -> bool = "PEXPIREAT", key, at_ms;
    /// Has a key expire after so many milliseconds; whether it exists. O(1)
    pexpire(key, after_ms) -> bool = "PEXPIRE", key, after_ms;
    /// Has a key expire after so many seconds; whether it exists. O(1)
    expire(key, after_s) -> bool = "EXPIRE", key, after_s;
    /// Has a key stay; whether it would have expired. O(1)
    persist(key) -> bool = "PERSIST", key;
    /// Milliseconds until a key expires, -1 if it does not, -2 without the key. O(1)
    ttl_ms(key) -> i64 = "PTTL", key;
    /// The keys that match a pattern. O(all keys)
    keys(pattern) -> Vec<Bytes> = "KEYS", pattern;
    /// A part of the keys, and where to go on; begin with the cursor 0, which is the end as well.
    /// O(1) for each part
    scan(cursor) -> (u64, Vec<Bytes>) = "SCAN", cursor;
    /// Some key. O(1)
    randomkey() -> Option<Bytes> = "RANDOMKEY";

    /// Sets a string for so many milliseconds. O(1)
    set_for(key, value, for_ms) -> () = "SET", key, value, "PX", for_ms;
    /// Sets a string if the key does not exist; whether it did. O(1)
    set_new(key, value) -> bool = "SET", key, value, "NX";
    /// Sets a string if the key exists; whether it did. O(1)
    set_old(key, value) -> bool = "SET", key, value, "XX";
    /// Sets a string; the one before. O(1)
    set_get(key, value) -> Option<Bytes> = "SET", key, value, "GET";
    /// Deletes a key; the string that it held. O(1)
    getdel(key) -> Option<Bytes> = "GETDEL", key;
    /// Several strings at once, none for keys without one. O(keys)
    mget(keys) -> Vec<Option<Bytes>> = "MGET", keys;
    /// Sets several strings at once, given as pairs. O(keys)
    mset(pairs) -> () = "MSET", pairs;
    /// Adds a float to a number; the sum. O(1)
    incr_by_float(key, by) -> f64 = "INCRBYFLOAT", key, by;
    /// Takes from a number; the rest. O(1)
    decr_by(key, by) -> i64 = "DECRBY", key, by;
    /// Sets several strings, given as pairs, if none of the keys exists; whether it did. O(keys)
    msetnx(pairs) -> bool = "MSETNX", pairs;
    /// A string, which is to expire after so many milliseconds. O(1)
    getex_for(key, for_ms) -> Option<Bytes> = "GETEX", key, "PX", for_ms;
    /// Overwrites a string from a place on; its length. O(length)
    setrange(key, at, value) -> u64 = "SETRANGE", key, at, value;
    /// Appends to a string; its length. O(1) amortized
    append(key, value) -> u64 = "APPEND", key, value;
    /// The length of a string, 0 without one. O(1)
    strlen(key) -> u64 = "STRLEN", key;
    /// A part of a string, from and to inclusive, from the end if negative. O(length)
    getrange(key, from, to) -> Bytes = "GETRANGE", key, from, to;
}

// Of these a store in this process has a shorter way.
queued_commands! {
    /// A string. O(1)
    get(key) -> Option<Bytes> = "GET", key;
    /// Sets a string, whatever the key held. O(1)
    set(key, value) -> () = "SET", key, value;
    /// Adds one to a number; the sum. O(1)
    incr(key) -> i64 = "INCR", key;
    /// Takes one from a number; the rest. O(1)
    decr(key) -> i64 = "DECR", key;
    /// Adds to a number; the sum. O(1)
    incr_by(key, by) -> i64 = "INCRBY", key, by;
    /// Deletes keys; how many there were. O(keys)
    del(keys) -> u64 = "DEL", keys;
}

/// Commands for which a store in this process has a shorter way.
impl Store {
    /// A string. O(1)
    ///
    /// # Errors
    /// If the key holds another type or the connection is lost.
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, ClientError> {
        match self.plain_store() {
            Some(store) => store.get(key.as_ref()).map_err(refused),
            None => self.query(|words| {
                words.push(b"GET").push(key.as_ref());
            }),
        }
    }

    /// Sets a string, whatever the key held. O(1)
    ///
    /// # Errors
    /// If the command is refused or the connection is lost.
    pub fn set(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), ClientError> {
        match self.plain_store() {
            Some(store) => store.set(key.as_ref(), value.as_ref()).map_err(refused),
            None => self.query(|words| {
                words.push(b"SET").push(key.as_ref()).push(value.as_ref());
            }),
        }
    }

    /// Adds one to a number; the sum. O(1)
    ///
    /// # Errors
    /// If the string is no integer or the connection is lost.
    pub fn incr(&mut self, key: impl AsRef<[u8]>) -> Result<i64, ClientError> {
        match self.plain_store() {
            Some(store) => store.increment(key.as_ref(), 1).map_err(refused),
            None => self.query(|words| {
                words.push(b"INCR").push(key.as_ref());
            }),
        }
    }

    /// Takes one from a number; the rest. O(1)
    ///
    /// # Errors
    /// If the string is no integer or the connection is lost.
    pub fn decr(&mut self, key: impl AsRef<[u8]>) -> Result<i64, ClientError> {
        match self.plain_store() {
            Some(store) => store.increment(key.as_ref(), -1).map_err(refused),
            None => self.query(|words| {
                words.push(b"DECR").push(key.as_ref());
            }),
        }
    }

    /// Adds to a number; the sum. O(1)
    ///
    /// # Errors
    /// If the string is no integer or the connection is lost.
    pub fn incr_by(&mut self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, ClientError> {
        match self.plain_store() {
            Some(store) => store.increment(key.as_ref(), by).map_err(refused),
            None => self.query(|words| {
                words.push(b"INCRBY").push(key.as_ref());
                by.add_to(words);
            }),
        }
    }

    /// Deletes keys; how many there were. O(keys)
    ///
    /// # Errors
    /// If the command is refused or the connection is lost.
    pub fn del(&mut self, keys: &[impl AsRef<[u8]>]) -> Result<u64, ClientError> {
        match self.plain_store() {
            Some(store) => {
                let count = store.delete(keys).map_err(refused)?;
                Ok(count as u64)
            }
            None => self.query(|words| {
                words.push(b"DEL");
                words.extend(keys);
            }),
        }
    }
}

fn refused(error: kvik::Error) -> ClientError {
    ClientError::Reply(String::from_utf8_lossy(&error.line()).into_owned())
}
