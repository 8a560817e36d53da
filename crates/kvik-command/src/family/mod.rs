//! The commands, one file per family: rows first, then the handlers they name.

mod array;
mod bitmap;
mod blessing;
mod carried_expiry;
mod client;
mod cluster;
mod command;
mod command_log;
mod config;
mod connection;
mod deadline;
mod debug;
mod feed;
mod function;
mod geo;
mod hash;
mod hyperloglog;
mod info;
mod key;
mod latency;
mod list;
mod member_expiry;
mod member_scan;
mod memory;
mod module;
mod namespace;
mod persistence;
mod prefix;
mod pubsub;
mod sampling;
pub mod script;
mod server;
mod set;
mod sort;
mod stream;
pub mod string;
mod throttle;
mod transaction;
mod usage;
mod zset;

use crate::declare::Row;

/// The rows of all families.
pub fn commands() -> Vec<Row> {
    [
        array::rows(),
        bitmap::rows(),
        blessing::rows(),
        client::rows(),
        cluster::rows(),
        command::rows(),
        command_log::rows(),
        config::rows(),
        connection::rows(),
        debug::rows(),
        feed::rows(),
        function::rows(),
        geo::rows(),
        hash::rows(),
        hyperloglog::rows(),
        info::rows(),
        key::rows(),
        latency::rows(),
        list::rows(),
        member_expiry::rows(),
        memory::rows(),
        module::rows(),
        namespace::rows(),
        persistence::rows(),
        prefix::rows(),
        pubsub::rows(),
        script::rows(),
        server::rows(),
        set::rows(),
        sort::rows(),
        stream::rows(),
        string::rows(),
        throttle::rows(),
        transaction::rows(),
        usage::rows(),
        zset::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
