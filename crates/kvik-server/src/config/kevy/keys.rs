//! The settings of kevy, by their sections and names, and its variables: what each comes to.

use super::super::table::Key;

/// The effect of a setting.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// A directive takes the value as it is.
    Sets(Key),
    /// The same for one that this build may lack.
    Named(&'static str),
    /// A directive takes what the value is mapped to; none is a value that makes no sense.
    Maps(Key, fn(&str) -> Option<String>),
    /// Nothing; why.
    Nothing(&'static str),
    /// Nothing, which is worth a word only for another value than this one.
    NothingIf(&'static str, &'static str),
}

use Meaning::{Maps, Named, Nothing, NothingIf, Sets};

const NO_RINGS: &str = "a thread of kvik runs any command itself, without messages to others";
const TIMED: &str = "keys expire by a timing structure, not by periodic sampling";
const NO_REPLICATION: &str = "replication is not built yet";
const ALWAYS_OFF_THREAD: &str = "the log is always written by a thread of its own";
const NO_TIERS: &str = "all data stay in memory";
const NO_DEBUG: &str = "it shows how kevy works inside";

/// A setting of `kevy.toml`.
pub(super) fn key_named(section: &str, name: &str) -> Option<Meaning> {
    Some(match (section, name) {
        ("server", "bind") => Sets(Key::Bind),
        ("server", "port") => Sets(Key::Port),
        ("server", "threads") => Maps(Key::Threads, threads),
        ("server", "data_dir") => Sets(Key::Dir),
        ("server", "max_clients") => Maps(Key::Maxclients, clients),
        ("server", "accept_shards") => Nothing(NO_RINGS),
        ("server", "packed_rows") => Nothing(NO_TIERS),
        ("persistence", "aof") => Sets(Key::Appendonly),
        ("persistence", "appendfsync") => Sets(Key::Appendfsync),
        ("persistence", "auto_aof_rewrite_percentage") => Sets(Key::AutoAofRewritePercentage),
        ("persistence", "auto_aof_rewrite_min_size") => Maps(Key::AutoAofRewriteMinSize, size),
        ("persistence", "auto_aof_rewrite_bytes" | "auto_aof_rewrite_interval_secs") => {
            Nothing("the log is rewritten when it has grown by a part of its size")
        }
        ("persistence", "replay_resync") => {
            NothingIf("yes", "what is readable behind damage is always imported")
        }
        ("memory", "maxmemory") => Maps(Key::Maxmemory, size),
        ("memory", "maxmemory_policy") => Sets(Key::MaxmemoryPolicy),
        ("expiry", "hz") => NothingIf("10", TIMED),
        ("expiry", "sample") => NothingIf("20", TIMED),
        ("log", "level") => Maps(Key::Loglevel, level),
        ("log", "output") => Maps(Key::Logfile, output),
        ("cluster", "enabled") => Sets(Key::ClusterEnabled),
        ("cluster", "port_base") => Named("cluster-port-base"),
        ("notification", "notify_keyspace_events") => Maps(Key::NotifyKeyspaceEvents, events),
        ("slowlog", "slower_than_micros") => Sets(Key::SlowlogLogSlowerThan),
        ("slowlog", "max_len") => Sets(Key::SlowlogMaxLen),
        ("advanced", "spin_limit" | "park_timeout_ms" | "tick_check_every" | "ring_capacity") => {
            Nothing(NO_RINGS)
        }
        ("lua", "time_limit_ms") => Sets(Key::BusyReplyThreshold),
        ("metrics", "listen_port") => Sets(Key::MetricsPort),
        ("lua", _) => Nothing("scripts are those of Redis"),
        ("audit", _) => Nothing("commands are not written to a file; see SLOWLOG and MONITOR"),
        ("feed", _) => Nothing("FEED reads the log, which is there anyway"),
        ("tiering", _) => Nothing(NO_TIERS),
        ("cluster", "node_id" | "elect_port_base" | "peers" | "scopes") => {
            Nothing("a cluster of several processes is not built yet")
        }
        ("replication", "role") => NothingIf("standalone", NO_REPLICATION),
        (
            "replication",
            "upstream"
            | "listen_port_base"
            | "replication_buffer_size"
            | "reconnect_window_ms"
            | "single_source"
            | "min_replicas_to_write"
            | "min_replicas_max_lag_ms"
            | "replica_max_staleness_ms"
            | "replica_read_only",
        ) => Nothing(NO_REPLICATION),
        _ => return None,
    })
}

/// A variable, of whichever age.
pub(super) fn variable_named(name: &str) -> Option<Meaning> {
    Some(match name {
        "KEVY_BIND" => Sets(Key::Bind),
        "KEVY_PORT" => Sets(Key::Port),
        "KEVY_THREADS" => Maps(Key::Threads, threads),
        "KEVY_DIR" => Sets(Key::Dir),
        "KEVY_AOF" => Maps(Key::Appendonly, switch),
        "KEVY_CLUSTER" => Maps(Key::ClusterEnabled, switch),
        "KEVY_IO_URING" => Maps(Key::Io, backend),
        "KEVY_UNIX_SOCKET" => Sets(Key::Unixsocket),
        "KEVY_AOF_OFFLOAD" => Nothing(ALWAYS_OFF_THREAD),
        "KEVY_ACCEPT_SHARDS" => Nothing(NO_RINGS),
        "KEVY_TIER_BUDGET" | "KEVY_PACKED_ROWS" => Nothing(NO_TIERS),
        "KEVY_DEBUG_STALL_MS"
        | "KEVY_DEBUG_SLOW_ITER_MS"
        | "KEVY_DEBUG_REPL_TRACE"
        | "KEVY_STALL_MS"
        | "KEVY_SLOW_ITER_MS"
        | "KEVY_REPL_TRACE" => Nothing(NO_DEBUG),
        _ => return None,
    })
}

/// 0 is a thread for each processor.
fn threads(value: &str) -> Option<String> {
    match value.parse::<u32>().ok()? {
        0 => Some("auto".to_owned()),
        count => Some(count.to_string()),
    }
}

/// 0 is no limit.
fn clients(value: &str) -> Option<String> {
    match value.parse::<u32>().ok()? {
        0 => Some(u32::MAX.to_string()),
        count => Some(count.to_string()),
    }
}

/// Off are these words only.
fn switch(value: &str) -> Option<String> {
    let is_off = matches!(value, "0" | "off" | "false" | "no");
    Some(if is_off { "no" } else { "yes" }.to_owned())
}

/// Whoever asks for io_uring gets no other.
fn backend(value: &str) -> Option<String> {
    let is_off = matches!(value, "0" | "off" | "false" | "no");
    Some(if is_off { "mio" } else { "uring" }.to_owned())
}

/// Bytes, with a unit of 1024 if any.
fn size(value: &str) -> Option<String> {
    let value = value.trim();
    let digits = value.find(|letter: char| !letter.is_ascii_digit());
    let (number, unit) = value.split_at(digits.unwrap_or(value.len()));
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    Some(bytes.to_string())
}

fn level(value: &str) -> Option<String> {
    let level = match value.to_ascii_lowercase().as_str() {
        "trace" => "debug",
        "debug" => "verbose",
        "info" => "notice",
        "warn" | "warning" | "error" => "warning",
        _ => return None,
    };
    Some(level.to_owned())
}

/// A file, or one of the two streams that have a name.
fn output(value: &str) -> Option<String> {
    Some(match value {
        "stdout" => String::new(),
        "stderr" => "/dev/stderr".to_owned(),
        path => path.to_owned(),
    })
}

/// The letters that mean something to both; kevy passes over others.
fn events(value: &str) -> Option<String> {
    let known = value
        .chars()
        .filter(|letter| "KEg$lshzxetdmnA".contains(*letter));
    Some(known.collect())
}
