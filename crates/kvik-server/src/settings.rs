//! Carries the configuration into the settings that commands obey, at the start and whenever it changes.

use std::sync::atomic::Ordering::Relaxed;

use kvik::{Db, Engine};

use crate::config::{Config, Key};
use crate::log::LogControl;

/// The directives that commands obey.
const OBEYED: &[Key] = &[
    Key::Databases,
    Key::ProtoMaxBulkLen,
    Key::SlowlogLogSlowerThan,
    Key::SlowlogMaxLen,
    Key::LatencyMonitorThreshold,
    Key::LatencyTracking,
    Key::MaxmemoryPolicy,
    Key::LfuLogFactor,
    Key::LfuDecayTime,
    Key::HllSparseMaxBytes,
    Key::Requirepass,
    Key::EnableDebugCommand,
    Key::Rdbcompression,
    Key::HashMaxListpackEntries,
    Key::HashMaxListpackValue,
    Key::ListMaxListpackSize,
    Key::SetMaxIntsetEntries,
    Key::SetMaxListpackEntries,
    Key::SetMaxListpackValue,
    Key::ZsetMaxListpackEntries,
    Key::ZsetMaxListpackValue,
    Key::StreamNodeMaxBytes,
    Key::StreamNodeMaxEntries,
];

/// Applies the configuration to a store, now and later.
pub(crate) fn obey(config: &Config, db: &Db) {
    apply(config, db.engine());
    let db = db.clone();
    config.on_change(OBEYED, move |config, _| {
        apply(config, db.engine());
        Ok(())
    });
}

/// Applies the log level, now and later.
pub(crate) fn obey_log_level(config: &Config, log: LogControl) {
    config.on_change(&[Key::Loglevel], move |config, _| {
        log.set_level(config.choice(Key::Loglevel))
    });
}

fn apply(config: &Config, engine: &Engine) {
    let settings = &engine.settings;
    let number = |key| config.int(key).unsigned_abs();
    settings.databases.store(number(Key::Databases), Relaxed);
    settings
        .max_bulk_bytes
        .store(number(Key::ProtoMaxBulkLen), Relaxed);
    settings
        .slowlog_slower_than_us
        .store(config.int(Key::SlowlogLogSlowerThan), Relaxed);
    settings
        .slowlog_max_len
        .store(number(Key::SlowlogMaxLen), Relaxed);
    settings
        .latency_threshold_ms
        .store(number(Key::LatencyMonitorThreshold), Relaxed);
    settings
        .latency_tracking
        .store(config.bool(Key::LatencyTracking), Relaxed);
    settings
        .rdb_compression
        .store(config.bool(Key::Rdbcompression), Relaxed);
    settings.lfu.store(
        config.choice(Key::MaxmemoryPolicy).ends_with("lfu"),
        Relaxed,
    );
    settings
        .lfu_log_factor
        .store(number(Key::LfuLogFactor), Relaxed);
    settings
        .lfu_decay_minutes
        .store(number(Key::LfuDecayTime), Relaxed);
    let limits = &settings.limits;
    let packed = [
        (&limits.hash_entries, Key::HashMaxListpackEntries),
        (&limits.hash_value_bytes, Key::HashMaxListpackValue),
        (&limits.list_size, Key::ListMaxListpackSize),
        (&limits.set_ints, Key::SetMaxIntsetEntries),
        (&limits.set_entries, Key::SetMaxListpackEntries),
        (&limits.set_value_bytes, Key::SetMaxListpackValue),
        (&limits.zset_entries, Key::ZsetMaxListpackEntries),
        (&limits.zset_value_bytes, Key::ZsetMaxListpackValue),
        (&limits.stream_node_bytes, Key::StreamNodeMaxBytes),
        (&limits.stream_node_entries, Key::StreamNodeMaxEntries),
    ];
    for (limit, key) in packed {
        limit.store(config.int(key), Relaxed);
    }
    settings
        .hll_sparse_max_bytes
        .store(number(Key::HllSparseMaxBytes), Relaxed);
    let debug = config.choice(Key::EnableDebugCommand);
    settings.debug_for_local.store(debug != "no", Relaxed);
    settings.debug_for_remote.store(debug == "yes", Relaxed);
    *settings.password.write() = config.bytes(Key::Requirepass);
}
