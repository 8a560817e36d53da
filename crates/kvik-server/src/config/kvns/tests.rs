//! The variables of kvns, by what they come to.

use super::super::{Config, Loaded, load};
use super::*;

fn try_load(args: &[&str], env: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    let args: Vec<OsString> = ["--kvns"].iter().chain(args).map(OsString::from).collect();
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    load(&args, env, &mut std::io::empty())
}

fn config(args: &[&str], env: &[(&str, &str)]) -> Config {
    try_load(args, env).unwrap().config
}

#[test]
fn defaults_are_those_of_kvns() {
    let config = config(&[], &[]);
    for (key, value) in [
        (Key::Port, "6480"),
        (Key::Bind, "0.0.0.0"),
        (Key::ProtectedMode, "no"),
        (Key::MetricsPort, "9090"),
        (Key::MetricsBind, "0.0.0.0"),
        (Key::Namespaces, "auto"),
        (Key::Maxclients, "10000"),
        (Key::RequestMaxArgs, "1024"),
        (Key::RequestMaxBulkLen, "16777216"),
        (Key::RequestMaxInlineLen, "65536"),
        (Key::Appendonly, "no"),
        (Key::Save, ""),
        (Key::Loglevel, "notice"),
        (Key::MaxmemoryPayload, "1073741824"),
        (Key::NamespacePolicy, "none"),
    ] {
        assert_eq!(config.text(key), value, "{}", key.name());
        assert!(!config.is_chosen(key), "{}", key.name());
    }
}

#[test]
fn variables_mean_nothing_without_the_preset() {
    let env = [("KVNS_PORT".into(), "7".into())];
    let loaded = load(&[], env, &mut std::io::empty()).unwrap();
    assert_eq!(loaded.config.int(Key::Port), 6379);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn others_rank_above() {
    let env = [
        ("KVNS_PORT", "1"),
        ("KVNS_MAX_CLIENTS", "2"),
        ("KVIK_PORT", "3"),
        ("KVIK_TIMEOUT", "4"),
    ];
    let config = config(&["--timeout", "5"], &env);
    assert_eq!(config.int(Key::Port), 3);
    assert_eq!(config.int(Key::Maxclients), 2);
    assert_eq!(config.int(Key::Timeout), 5);
}

#[test]
fn what_makes_no_sense_counts_as_unset() {
    let env = [
        ("KVNS_PORT", "70000"),
        ("KVNS_METRICS_PORT", "x"),
        ("KVNS_MAX_CLIENTS", "0"),
        ("KVNS_MAX_RESP_ARGS", "-1"),
        ("KVNS_MAX_RESP_BULK_LEN", "16mb"),
        ("KVNS_MAX_RESP_INLINE_LEN", ""),
        ("KVNS_LOG", "loud=very"),
        ("KVNS_PERSIST_INTERVAL", "soon"),
        ("KVNS_EVICTION_THRESHOLD", "most"),
    ];
    let loaded = try_load(&[], &env).unwrap();
    for (key, value) in [
        (Key::Port, 6480),
        (Key::MetricsPort, 9090),
        (Key::Maxclients, 10_000),
        (Key::RequestMaxArgs, 1024),
        (Key::RequestMaxBulkLen, 16 << 20),
        (Key::RequestMaxInlineLen, 65536),
    ] {
        assert_eq!(loaded.config.int(key), value, "{}", key.name());
    }
    assert_eq!(loaded.config.choice(Key::Loglevel), "notice");
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn port_zero_lets_the_system_choose() {
    let v4 = config(&[], &[("KVNS_PORT", "0"), ("KVNS_HOST", "127.0.0.1")]);
    assert_eq!(v4.words(Key::Listen), ["resp://127.0.0.1:0"]);
    let v6 = config(&[], &[("KVNS_PORT", "0"), ("KVNS_HOST", "::1")]);
    assert_eq!(v6.words(Key::Listen), ["resp://[::1]:0"]);
}

#[test]
fn memory_is_limited_to_a_part_of_the_machines() {
    const GIB: u64 = 1 << 30;
    let most = 10 * GIB / 100 * 70;
    for (limit, machine_bytes, expected) in [
        (None, GIB, GIB),
        (Some(0), 10 * GIB, most),
        (Some(0), 0, GIB),
        (Some(5), 10 * GIB, 5),
        (Some(9 * GIB), 10 * GIB, most),
        (Some(9 * GIB), 0, 9 * GIB),
    ] {
        assert_eq!(memory_limit(limit, machine_bytes), expected, "{limit:?}");
    }
}

#[test]
fn policies_have_the_names_of_both_eras() {
    for (name, expected) in [
        ("LRU", "lfu"),
        ("lfu", "lfu"),
        ("mru", "mfu"),
        ("Mfu", "mfu"),
        ("none", "none"),
        ("ear", "ear"),
        ("expire_after_read", "ear"),
        ("ExpireAfterRead", "ear"),
    ] {
        let config = config(&[], &[("KVNS_EVICTION_POLICY", name)]);
        assert_eq!(config.text(Key::NamespacePolicy), expected, "{name}");
    }
    for name in ["x", "inherit", ""] {
        let refused = try_load(&[], &[("KVNS_EVICTION_POLICY", name)]).err();
        let told = format!("invalid KVNS_EVICTION_POLICY {name:?}");
        assert!(refused.unwrap().to_string().contains(&told));
    }
}

#[test]
fn namespaces_have_policies_of_their_own() {
    let text = |list| config(&[], &[("KVNS_NS_EVICTION", list)]).text(Key::NamespaceQuotas);
    assert_eq!(text("ns1:lfu,ns2:mfu"), "ns1:policy=lfu ns2:policy=mfu");
    assert_eq!(text(" a:lru , ,b c: EAR,"), "a:policy=lfu b%20c:policy=ear");
    assert_eq!(text(""), "");
    for (list, namespace) in [("a:lfu,b:x", "b"), ("a", "a")] {
        let refused = try_load(&[], &[("KVNS_NS_EVICTION", list)]).err();
        let told = format!("for the namespace {namespace:?}");
        assert!(refused.unwrap().to_string().contains(&told));
    }
}

#[test]
fn the_threshold_lies_between_nothing_and_all() {
    let threshold = |text| {
        let config = config(&[], &[("KVNS_EVICTION_THRESHOLD", text)]);
        config.text(Key::EvictionThreshold)
    };
    for (text, expected) in [("0.8", "0.8"), ("7", "1"), ("-1", "0.01"), ("most", "1.0")] {
        assert_eq!(threshold(text), expected, "{text}");
    }
}

#[test]
fn what_has_lost_its_meaning_is_noted_in_one_line() {
    let env = [
        ("KVNS_SHARDED_MODE", "true"),
        ("KVNS_SHARD_COUNT", "64"),
        ("KVNS_SHARED_VALUES", "0"),
        ("KVNS_MEMROY_LIMIT", "1"),
        ("OTHER", "1"),
    ];
    let warnings = try_load(&[], &env).unwrap().warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for name in UNUSED {
        assert!(warnings[0].contains(name), "{warnings:?}");
    }
    assert!(warnings[1].starts_with("KVNS_MEMROY_LIMIT is no variable"));
    assert_eq!(USED.len() + UNUSED.len(), 18);
}

#[test]
fn filters_of_the_log_become_levels() {
    for (filter, expected) in [
        ("debug", Some("verbose")),
        ("kvns=debug", Some("verbose")),
        ("warn,kvns=trace", Some("debug")),
        ("kvns::server=error,info", Some("warning")),
        ("tokio=debug", Some("warning")),
        ("WARN", Some("warning")),
        ("off", Some("nothing")),
        ("kvns", Some("debug")),
        ("kvns=loud", None),
        ("loud", None),
    ] {
        assert_eq!(level(filter), expected, "{filter}");
    }
}

#[test]
fn a_path_brings_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/kvns.db");
    let env = [
        ("KVNS_PERSIST_PATH", path.to_str().unwrap()),
        ("KVNS_PERSIST_INTERVAL", "60"),
    ];
    let kept = config(&[], &env);
    assert_eq!(kept.save_rules(), [(60, 1)]);
    assert!(!kept.bool(Key::Appendonly));
    assert!(!kept.bool(Key::Memory));
    assert_eq!(kept.text(Key::Dbfilename), "kvns.db");
    assert!(kept.text(Key::Dir).ends_with("new/deep"));
    let zero = [env[0], ("KVNS_PERSIST_INTERVAL", "0")];
    let loaded = try_load(&[], &zero).unwrap();
    assert_eq!(loaded.config.save_rules(), [(300, 1)]);
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn a_file_of_kvns_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.rkyv");
    let text = path.to_str().unwrap();
    std::fs::write(&path, b"\0\0\x10archive").unwrap();
    let error = try_load(&[], &[("KVNS_PERSIST_PATH", text)]).err().unwrap();
    assert!(
        error.to_string().contains("kvik import redis://"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\x10archive");
    std::fs::write(&path, b"REDIS0011").unwrap();
    assert!(try_load(&[], &[("KVNS_PERSIST_PATH", text)]).is_ok());
}
