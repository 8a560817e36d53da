//! Commands of strings that are bits or counters of elements, and of places on the earth.

use super::Bytes;
use crate::ClientError;
use crate::batch::{Pipeline, Queued, Transaction};
use crate::store::Store;
use crate::words::Words;

commands! {
    /// Sets a bit of a string; the one before. O(1)
    setbit(key, at, bit) -> bool = "SETBIT", key, at, bit;
    /// A bit of a string. O(1)
    getbit(key, at) -> bool = "GETBIT", key, at;
    /// How many bits of a string are 1. O(length)
    bitcount(key) -> u64 = "BITCOUNT", key;
    /// The place of the first bit that is 0 or 1, -1 if there is none. O(length)
    bitpos(key, bit) -> i64 = "BITPOS", key, bit;
    /// Stores the `AND`, `OR`, `XOR` or `NOT` of strings; the length. O(length)
    bitop(operation, destination, keys) -> u64 = "BITOP", operation, destination, keys;

    /// Has a counter see elements; whether its estimate may have changed. O(elements)
    pfadd(key, elements) -> bool = "PFADD", key, elements;
    /// How many different elements these counters have seen, within 1 %. O(keys)
    pfcount(keys) -> u64 = "PFCOUNT", keys;
    /// Has one counter see what others have seen. O(keys)
    pfmerge(destination, keys) -> () = "PFMERGE", destination, keys;

    /// Adds places, given as longitude, latitude and member; how many are new.
    /// O(members x log n)
    geoadd(key, places) -> u64 = "GEOADD", key, places;
    /// Longitude and latitude of members. O(members)
    geopos(key, members) -> Vec<Option<(f64, f64)>> = "GEOPOS", key, members;
    /// How far two members are apart, in `m`, `km`, `ft` or `mi`. O(1)
    geodist(key, one, other, unit) -> Option<f64> = "GEODIST", key, one, other, unit;
    /// The members within a distance of a place, the nearest first. O(members nearby x log n)
    geosearch_radius(key, longitude, latitude, radius, unit) -> Vec<Bytes>
        = "GEOSEARCH", key, "FROMLONLAT", longitude, latitude, "BYRADIUS", radius, unit, "ASC";
}
