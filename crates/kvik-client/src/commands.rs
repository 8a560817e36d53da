//! Typed methods for commands: one row each, for [`Store`], where they return the reply, and for
//! [`Pipeline`] and [`Transaction`], where they return a [`Queued`] for it.
//!
//! A row is the method with its arguments, what its reply is read as, and the command's words. An
//! argument is anything that is [`Words`]: text, bytes, numbers, and slices of them.

use std::collections::HashMap;
use std::time::Duration;

use crate::ClientError;
use crate::batch::{Pipeline, Queued, Transaction};
use crate::from_reply::Scored;
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
    /// Adds one to a number; the sum. O(1)
    incr(key) -> i64 = "INCR", key;
    /// Takes one from a number; the rest. O(1)
    decr(key) -> i64 = "DECR", key;
    /// Adds to a number; the sum. O(1)
    incr_by(key, by) -> i64 = "INCRBY", key, by;
    /// Appends to a string; its length. O(1) amortized
    append(key, value) -> u64 = "APPEND", key, value;
    /// The length of a string, 0 without one. O(1)
    strlen(key) -> u64 = "STRLEN", key;
    /// A part of a string, from and to inclusive, from the end if negative. O(length)
    getrange(key, from, to) -> Bytes = "GETRANGE", key, from, to;

    /// Sets fields of a hash, given as pairs; how many are new. O(fields)
    hset(key, pairs) -> u64 = "HSET", key, pairs;
    /// A field of a hash. O(1)
    hget(key, field) -> Option<Bytes> = "HGET", key, field;
    /// Several fields of a hash. O(fields)
    hmget(key, fields) -> Vec<Option<Bytes>> = "HMGET", key, fields;
    /// Deletes fields of a hash; how many there were. O(fields)
    hdel(key, fields) -> u64 = "HDEL", key, fields;
    /// Whether a hash has a field. O(1)
    hexists(key, field) -> bool = "HEXISTS", key, field;
    /// How many fields a hash has. O(1)
    hlen(key) -> u64 = "HLEN", key;
    /// A whole hash. O(fields)
    hgetall(key) -> HashMap<Bytes, Bytes> = "HGETALL", key;
    /// The names of the fields of a hash. O(fields)
    hkeys(key) -> Vec<Bytes> = "HKEYS", key;
    /// The values of a hash. O(fields)
    hvals(key) -> Vec<Bytes> = "HVALS", key;
    /// Adds to a number in a hash; the sum. O(1)
    hincr_by(key, field, by) -> i64 = "HINCRBY", key, field, by;

    /// Puts elements in front of a list; its length. O(elements)
    lpush(key, elements) -> u64 = "LPUSH", key, elements;
    /// Puts elements behind a list; its length. O(elements)
    rpush(key, elements) -> u64 = "RPUSH", key, elements;
    /// Takes the first element of a list. O(1)
    lpop(key) -> Option<Bytes> = "LPOP", key;
    /// Takes the last element of a list. O(1)
    rpop(key) -> Option<Bytes> = "RPOP", key;
    /// The length of a list. O(1)
    llen(key) -> u64 = "LLEN", key;
    /// Elements of a list, from and to inclusive, from the end if negative. O(elements)
    lrange(key, from, to) -> Vec<Bytes> = "LRANGE", key, from, to;
    /// An element of a list. O(distance from the nearer end)
    lindex(key, at) -> Option<Bytes> = "LINDEX", key, at;
    /// Removes elements that equal one: the first so many, the last if negative, all if 0; how
    /// many. O(list)
    lrem(key, count, element) -> u64 = "LREM", key, count, element;
    /// Keeps only these elements of a list. O(elements removed)
    ltrim(key, from, to) -> () = "LTRIM", key, from, to;

    /// Adds members to a set; how many are new. O(members)
    sadd(key, members) -> u64 = "SADD", key, members;
    /// Removes members of a set; how many there were. O(members)
    srem(key, members) -> u64 = "SREM", key, members;
    /// The members of a set. O(members)
    smembers(key) -> Vec<Bytes> = "SMEMBERS", key;
    /// How many members a set has. O(1)
    scard(key) -> u64 = "SCARD", key;
    /// Whether something is a member of a set. O(1)
    sismember(key, member) -> bool = "SISMEMBER", key, member;
    /// Takes some member of a set. O(1)
    spop(key) -> Option<Bytes> = "SPOP", key;
    /// The members that all these sets have. O(smallest set x sets)
    sinter(keys) -> Vec<Bytes> = "SINTER", keys;
    /// The members that any of these sets has. O(members)
    sunion(keys) -> Vec<Bytes> = "SUNION", keys;
    /// The members that the first set has and no other. O(members)
    sdiff(keys) -> Vec<Bytes> = "SDIFF", keys;

    /// Adds members to a sorted set, given as pairs of score and member; how many are new.
    /// O(members x log n)
    zadd(key, pairs) -> u64 = "ZADD", key, pairs;
    /// Removes members of a sorted set; how many there were. O(members x log n)
    zrem(key, members) -> u64 = "ZREM", key, members;
    /// The score of a member. O(1)
    zscore(key, member) -> Option<f64> = "ZSCORE", key, member;
    /// Adds to the score of a member; the sum. O(log n)
    zincr_by(key, by, member) -> f64 = "ZINCRBY", key, by, member;
    /// How many members a sorted set has. O(1)
    zcard(key) -> u64 = "ZCARD", key;
    /// The place of a member, counted from the smallest score. O(log n)
    zrank(key, member) -> Option<u64> = "ZRANK", key, member;
    /// Members by their places, from and to inclusive. O(log n + members)
    zrange(key, from, to) -> Vec<Bytes> = "ZRANGE", key, from, to;
    /// The same with their scores. O(log n + members)
    zrange_scored(key, from, to) -> Scored = "ZRANGE", key, from, to, "WITHSCORES";
    /// Members by their scores, bounds as in `(1` and `+inf`. O(log n + members)
    zrange_by_score(key, from, to) -> Vec<Bytes> = "ZRANGE", key, from, to, "BYSCORE";

    /// Appends an entry to a stream, given as pairs; its id. O(1)
    xadd(key, id, pairs) -> String = "XADD", key, id, pairs;
    /// How many entries a stream has. O(1)
    xlen(key) -> u64 = "XLEN", key;
}

// Of these a store in this process has a shorter way.
queued_commands! {
    /// A string. O(1)
    get(key) -> Option<Bytes> = "GET", key;
    /// Sets a string, whatever the key held. O(1)
    set(key, value) -> () = "SET", key, value;
    /// Deletes keys; how many there were. O(keys)
    del(keys) -> u64 = "DEL", keys;
}

/// Commands for which a store in this process has a shorter way, and those that wait.
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

    fn pop_waiting(
        &mut self,
        command: &str,
        keys: &[impl AsRef<[u8]>],
        at_most: Duration,
    ) -> Result<Option<(Bytes, Bytes)>, ClientError> {
        self.query_waiting(at_most, |words| {
            words.push(command.as_bytes());
            words.extend(keys);
            words.push(at_most.as_secs_f64().to_string().as_bytes());
        })
    }
}

fn refused(error: kvik::Error) -> ClientError {
    ClientError::Reply(String::from_utf8_lossy(&error.line()).into_owned())
}
