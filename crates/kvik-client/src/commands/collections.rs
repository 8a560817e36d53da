//! Commands of hashes, lists, sets and sorted sets.

use std::collections::HashMap;

use super::Bytes;
use crate::ClientError;
use crate::batch::{Pipeline, Queued, Transaction};
use crate::from_reply::Scored;
use crate::store::Store;
use crate::words::Words;

commands! {
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
    /// Sets a field of a hash unless it is there; whether it did. O(1)
    hsetnx(key, field, value) -> bool = "HSETNX", key, field, value;
    /// Adds a float to a number in a hash; the sum. O(1)
    hincr_by_float(key, field, by) -> f64 = "HINCRBYFLOAT", key, field, by;
    /// The length of a field's value. O(1)
    hstrlen(key, field) -> u64 = "HSTRLEN", key, field;
    /// Some field of a hash. O(1)
    hrandfield(key) -> Option<Bytes> = "HRANDFIELD", key;
    /// A part of a hash, and where to go on, as [`Store::scan`]. O(1) for each part
    hscan(key, cursor) -> (u64, HashMap<Bytes, Bytes>) = "HSCAN", key, cursor;

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
    /// Puts elements in front of a list that exists; its length. O(elements)
    lpushx(key, elements) -> u64 = "LPUSHX", key, elements;
    /// Puts elements behind a list that exists; its length. O(elements)
    rpushx(key, elements) -> u64 = "RPUSHX", key, elements;
    /// Takes so many elements from the front of a list. O(elements)
    lpop_many(key, count) -> Option<Vec<Bytes>> = "LPOP", key, count;
    /// Takes so many elements from the end of a list. O(elements)
    rpop_many(key, count) -> Option<Vec<Bytes>> = "RPOP", key, count;
    /// Moves an element from an end of one list to an end of another, `LEFT` or `RIGHT`. O(1)
    lmove(source, destination, from, to) -> Option<Bytes> = "LMOVE", source, destination, from, to;
    /// Moves the last element of one list to the front of another. O(1)
    rpoplpush(source, destination) -> Option<Bytes> = "RPOPLPUSH", source, destination;
    /// Replaces an element of a list. O(distance from the nearer end)
    lset(key, at, element) -> () = "LSET", key, at, element;
    /// Puts an element before another; the length, -1 if that is not there, 0 without the list.
    /// O(list)
    linsert_before(key, other, element) -> i64 = "LINSERT", key, "BEFORE", other, element;
    /// Puts an element behind another; the length, -1 if that is not there, 0 without the list.
    /// O(list)
    linsert_after(key, other, element) -> i64 = "LINSERT", key, "AFTER", other, element;
    /// The place of the first element that equals one. O(list)
    lpos(key, element) -> Option<u64> = "LPOS", key, element;

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
    /// Which of these are members of a set. O(members)
    smismember(key, members) -> Vec<bool> = "SMISMEMBER", key, members;
    /// Takes so many members of a set. O(members)
    spop_many(key, count) -> Vec<Bytes> = "SPOP", key, count;
    /// Some member of a set, which stays. O(1)
    srandmember(key) -> Option<Bytes> = "SRANDMEMBER", key;
    /// Moves a member to another set; whether it was there. O(1)
    smove(source, destination, member) -> bool = "SMOVE", source, destination, member;
    /// Stores the members that all these sets have; how many. O(smallest set x sets)
    sinterstore(destination, keys) -> u64 = "SINTERSTORE", destination, keys;
    /// Stores the members that any of these sets has; how many. O(members)
    sunionstore(destination, keys) -> u64 = "SUNIONSTORE", destination, keys;
    /// Stores the members that the first set has and no other; how many. O(members)
    sdiffstore(destination, keys) -> u64 = "SDIFFSTORE", destination, keys;
    /// A part of a set, and where to go on, as [`Store::scan`]. O(1) for each part
    sscan(key, cursor) -> (u64, Vec<Bytes>) = "SSCAN", key, cursor;

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
    /// At most `count` members by their scores, behind the first `skip`. O(log n + skip + members)
    zrange_by_score_part(key, from, to, skip, count) -> Vec<Bytes>
        = "ZRANGE", key, from, to, "BYSCORE", "LIMIT", skip, count;
    /// Members by their places from the highest score on. O(log n + members)
    zrevrange(key, from, to) -> Vec<Bytes> = "ZRANGE", key, from, to, "REV";
    /// Members by their names, bounds as in `[a`, `(b`, `-` and `+`; of equal scores.
    /// O(log n + members)
    zrange_by_lex(key, from, to) -> Vec<Bytes> = "ZRANGE", key, from, to, "BYLEX";
    /// The place of a member, counted from the highest score. O(log n)
    zrevrank(key, member) -> Option<u64> = "ZREVRANK", key, member;
    /// How many members have scores within bounds. O(log n)
    zcount(key, from, to) -> u64 = "ZCOUNT", key, from, to;
    /// The scores of members. O(members)
    zmscore(key, members) -> Vec<Option<f64>> = "ZMSCORE", key, members;
    /// Takes so many members with the lowest scores. O(members x log n)
    zpopmin(key, count) -> Scored = "ZPOPMIN", key, count;
    /// Takes so many members with the highest scores. O(members x log n)
    zpopmax(key, count) -> Scored = "ZPOPMAX", key, count;
    /// Some member of a sorted set. O(log n)
    zrandmember(key) -> Option<Bytes> = "ZRANDMEMBER", key;
    /// Removes members by their scores; how many. O(log n + members)
    zremrangebyscore(key, from, to) -> u64 = "ZREMRANGEBYSCORE", key, from, to;
    /// Removes members by their places; how many. O(log n + members)
    zremrangebyrank(key, from, to) -> u64 = "ZREMRANGEBYRANK", key, from, to;
    /// A part of a sorted set, and where to go on, as [`Store::scan`]. O(1) for each part
    zscan(key, cursor) -> (u64, Scored) = "ZSCAN", key, cursor;
}
