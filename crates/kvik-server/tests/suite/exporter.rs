//! INFO in the form in which redis_exporter parses it, for the dashboards that are built on that.
//!
//! It cuts INFO into sections by lines that begin with `# `, fields at their first colon, and
//! values into parts at fixed places. A field that is missing is a metric less and breaks nothing;
//! a field in another form is a metric that is wrong. Of the fields it knows, those are not there
//! that kvik has no figure for: of jemalloc, of forks, of defragmentation, of a replication
//! backlog.

use std::collections::HashMap;

use crate::reactor::{ok, on_each, open};
use crate::target::{Wire, command};

/// Numbers that it exports under names of their own.
const NUMBERS: &[(&str, &[&str])] = &[
    ("Server", &["uptime_in_seconds", "process_id", "tcp_port"]),
    (
        "Clients",
        &["connected_clients", "blocked_clients", "tracking_clients"],
    ),
    (
        "Memory",
        &[
            "used_memory",
            "used_memory_rss",
            "used_memory_peak",
            "used_memory_overhead",
            "used_memory_startup",
            "used_memory_dataset",
            "maxmemory",
            "mem_fragmentation_ratio",
            "mem_fragmentation_bytes",
            "mem_clients_normal",
            "mem_not_counted_for_evict",
            "total_system_memory",
        ],
    ),
    (
        "Persistence",
        &[
            "loading",
            "rdb_changes_since_last_save",
            "rdb_bgsave_in_progress",
            "rdb_last_save_time",
            "rdb_last_bgsave_time_sec",
            "rdb_current_bgsave_time_sec",
            "rdb_last_cow_size",
            "aof_enabled",
            "aof_rewrite_in_progress",
            "aof_rewrite_scheduled",
            "aof_last_rewrite_time_sec",
            "aof_current_rewrite_time_sec",
            "aof_last_cow_size",
            "module_fork_in_progress",
        ],
    ),
    (
        "Stats",
        &[
            "total_connections_received",
            "total_commands_processed",
            "rejected_connections",
            "total_net_input_bytes",
            "total_net_output_bytes",
            "expired_keys",
            "evicted_keys",
            "keyspace_hits",
            "keyspace_misses",
            "pubsub_channels",
            "pubsub_patterns",
            "migrate_cached_sockets",
        ],
    ),
    ("Replication", &["connected_slaves", "master_repl_offset"]),
    ("CPU", &["used_cpu_sys", "used_cpu_user"]),
    ("Cluster", &["cluster_enabled"]),
];

/// Words: those of a status are `ok` or something else.
const WORDS: &[(&str, &str, &str)] = &[
    ("Server", "redis_version", "7.2.4"),
    ("Server", "redis_mode", "standalone"),
    ("Server", "os", "linux"),
    ("Persistence", "rdb_last_bgsave_status", "ok"),
    ("Persistence", "aof_last_bgrewrite_status", "ok"),
    ("Persistence", "aof_last_write_status", "ok"),
    ("Replication", "role", "master"),
    ("Memory", "maxmemory_policy", "noeviction"),
];

type Sections = HashMap<String, HashMap<String, String>>;

fn sections(info: &str) -> Sections {
    let (mut sections, mut title) = (Sections::new(), "");
    for line in info.split('\n').map(str::trim) {
        if let Some(next) = line.strip_prefix("# ") {
            title = next;
        } else if let Some((name, value)) = line.split_once(':') {
            let section = sections.entry(title.to_owned()).or_default();
            section.insert(name.to_owned(), value.to_owned());
        }
    }
    sections
}

/// The parts `name=number` of a value, by their names, which stand at fixed places.
fn parts<'a>(value: &'a str, names: &[&str]) -> Vec<(&'a str, f64)> {
    let parts: Vec<_> = value
        .split(',')
        .map(|part| {
            let (name, number) = part.split_once('=').expect("a part has a name");
            (name, number.parse().expect("a part is a number"))
        })
        .collect();
    let found: Vec<_> = parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(&found[..names.len()], names, "{value}");
    parts
}

fn ask(wire: &mut Wire, words: &[&[u8]]) -> kvik_resp::Value {
    wire.send(&command(words));
    wire.reply().expect("a reply")
}

#[test]
fn info_is_what_redis_exporter_parses() {
    on_each(&[2], &[], |server| {
        let mut wire = open(&server);
        assert_eq!(
            ask(&mut wire, &[b"SET", b"k", b"v", b"PX", b"100000"]),
            ok()
        );
        assert!(ask(&mut wire, &[b"LPUSH", b"k", b"v"]).as_error().is_some());
        assert!(ask(&mut wire, &[b"GET"]).as_error().is_some());
        let info = ask(&mut wire, &[b"INFO", b"ALL"]);
        let found = sections(info.as_str().unwrap());
        for (section, names) in NUMBERS {
            for name in *names {
                let value = found[*section].get(*name);
                let value = value.unwrap_or_else(|| panic!("{section} has no {name}"));
                assert!(value.parse::<f64>().is_ok(), "{name}:{value}");
            }
        }
        for (section, name, word) in WORDS {
            assert_eq!(found[*section][*name], *word, "{name}");
        }
        let counts = [
            "calls",
            "usec",
            "usec_per_call",
            "rejected_calls",
            "failed_calls",
        ];
        for (name, value) in &found["Commandstats"] {
            assert!(name.starts_with("cmdstat_"), "{name}");
            parts(value, &counts);
        }
        let lpush = parts(&found["Commandstats"]["cmdstat_lpush"], &counts);
        assert_eq!((lpush[0].1, lpush[4].1), (1.0, 1.0));
        let get = parts(&found["Commandstats"]["cmdstat_get"], &counts);
        assert_eq!((get[0].1, get[3].1), (0.0, 1.0));
        for (name, value) in &found["Latencystats"] {
            // It joins them with the counts of the command.
            let command = name.strip_prefix("latency_percentiles_usec_").unwrap();
            let counted = format!("cmdstat_{command}");
            assert!(found["Commandstats"].contains_key(&counted), "{name}");
            parts(value, &["p50", "p99", "p99.9"]);
        }
        let errors = parts(&found["Errorstats"]["errorstat_WRONGTYPE"], &["count"]);
        assert_eq!(errors[0].1, 1.0);
        let keys = parts(&found["Keyspace"]["db0"], &["keys", "expires", "avg_ttl"]);
        assert_eq!((keys[0].1, keys[1].1), (1.0, 1.0));
    });
}

#[test]
fn what_else_redis_exporter_asks_is_answered() {
    on_each(&[1], &[], |server| {
        let mut wire = open(&server);
        let databases = ask(&mut wire, &[b"CONFIG", b"GET", b"*"]);
        let databases = databases
            .get("databases")
            .and_then(kvik_resp::Value::as_int);
        assert_eq!(databases, Some(16));
        let requests: [&[&[u8]]; 6] = [
            &[b"CLIENT", b"SETNAME", b"redis_exporter"],
            &[b"CLIENT", b"LIST"],
            &[b"SLOWLOG", b"LEN"],
            &[b"SLOWLOG", b"GET", b"1"],
            &[b"LATENCY", b"LATEST"],
            &[b"LATENCY", b"HISTOGRAM"],
        ];
        for words in requests {
            let reply = ask(&mut wire, words);
            assert!(reply.as_error().is_none(), "{reply:?}");
        }
    });
}
