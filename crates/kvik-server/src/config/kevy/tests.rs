//! The file and the variables of kevy, by what they come to.

use super::super::{Config, Loaded, load};
use super::*;

fn try_load(args: &[&str], env: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    load(&args, env, &mut std::io::empty())
}

fn config(args: &[&str], env: &[(&str, &str)]) -> Config {
    try_load(args, env).unwrap().config
}

/// A folder with a `kevy.toml`, and the path of that.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

fn assert_texts(config: &Config, expected: &[(Key, &str)]) {
    for (key, value) in expected {
        assert_eq!(config.text(*key), *value, "{}", key.name());
    }
}

const WHOLE: &str = r#"
[server]
bind = "0.0.0.0"
port = 7001
threads = 3
data_dir = "DIR"
[persistence]
aof = false
appendfsync = "always"
auto_aof_rewrite_percentage = 50
auto_aof_rewrite_min_size = "128mb"
[memory]
maxmemory = "2 gb"
maxmemory_policy = "allkeys-lru"
[expiry]
hz = 10
sample = 20
[log]
level = "warn"
output = "/dev/null"
[cluster]
enabled = false
[notification]
notify_keyspace_events = "KEA?"
[slowlog]
slower_than_micros = -1
max_len = 7
[replication]
role = "standalone"
"#;

#[test]
fn defaults_are_those_of_kevy() {
    let (_folder, path) = file("");
    let config = config(&["--kevy", &path], &[]);
    let expected = [
        (Key::Bind, "127.0.0.1"),
        (Key::Port, "6004"),
        (Key::ProtectedMode, "no"),
        (Key::Threads, "auto"),
        (Key::Appendonly, "yes"),
        (Key::Appendfsync, "everysec"),
        (Key::Save, ""),
        (Key::Maxmemory, "0"),
        (Key::MaxmemoryPolicy, "noeviction"),
    ];
    assert_texts(&config, &expected);
    assert!(expected.iter().all(|(key, _)| !config.is_chosen(*key)));
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.text(Key::Dir), here.display().to_string());
}

#[test]
fn all_sections_of_the_file_act() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap().join("a/b");
    let dir = dir.display().to_string();
    let (_folder, path) = file(&WHOLE.replace("DIR", &dir));
    let loaded = try_load(&["--kevy", &path], &[]).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert!(loaded.greets_as_kevy);
    let expected = [
        (Key::Bind, "0.0.0.0"),
        (Key::Port, "7001"),
        (Key::Threads, "3"),
        (Key::Dir, &dir),
        (Key::Appendonly, "no"),
        (Key::Appendfsync, "always"),
        (Key::AutoAofRewritePercentage, "50"),
        (Key::AutoAofRewriteMinSize, "134217728"),
        (Key::Maxmemory, "2147483648"),
        (Key::MaxmemoryPolicy, "allkeys-lru"),
        (Key::Loglevel, "warning"),
        (Key::Logfile, "/dev/null"),
        (Key::ClusterEnabled, "no"),
        (Key::NotifyKeyspaceEvents, "AKE"),
        (Key::SlowlogLogSlowerThan, "-1"),
        (Key::SlowlogMaxLen, "7"),
    ];
    assert_texts(&loaded.config, &expected);
}

#[test]
fn what_means_nothing_here_is_named_once_each() {
    let text = "[server]\nprot = 1\n[advanced]\nspin_limit = 9\n[expiry]\nsample = 5\n\
                [replication]\nrole = \"replica\"\n[nonsense]\nx = [1, 2]\n";
    let (_folder, path) = file(text);
    let env = [("KEVY_TIER_BUDGET", "1"), ("KEVY_PROT", "2")];
    let warnings = try_load(&["--kevy", &path], &env).unwrap().warnings;
    let expected = [
        ":2: [server] prot is no setting",
        ":4: [advanced] spin_limit has no effect",
        ":6: [expiry] sample = 5 has no effect",
        ":8: [replication] role = replica has no effect",
        ":10: [nonsense] x is no setting",
        "KEVY_TIER_BUDGET has no effect",
        "KEVY_PROT is no variable",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, part) in warnings.iter().zip(expected) {
        assert!(warning.contains(part), "{warning} lacks {part}");
    }
}

#[test]
fn variables_rank_above_the_file_and_below_the_rest() {
    let (_folder, path) = file("[server]\nport = 1\nthreads = 5\n[persistence]\naof = true\n");
    let env = [
        ("KEVY_CONFIG", path.as_str()),
        ("KEVY_PORT", "2"),
        ("KEVY_BIND", "0.0.0.0"),
        ("KEVY_THREADS", "0"),
        ("KEVY_AOF", "0"),
        ("KEVY_CLUSTER", "1"),
        ("KEVY_IO_URING", "off"),
        ("KVIK_BIND", "127.0.0.2"),
    ];
    let config = config(&["--kevy", "--timeout", "5"], &env);
    let expected = [
        (Key::Port, "2"),
        (Key::Bind, "127.0.0.2"),
        (Key::Threads, "auto"),
        (Key::Appendonly, "no"),
        (Key::ClusterEnabled, "yes"),
        (Key::Io, "mio"),
        (Key::Timeout, "5"),
    ];
    assert_texts(&config, &expected);
}

#[test]
fn the_file_beside_the_data_is_found() {
    let (folder, _) = file("[server]\nport = 77\n");
    let dir = folder.path().display().to_string();
    let config = config(&["--kevy"], &[("KEVY_DIR", &dir)]);
    assert_eq!(config.int(Key::Port), 77);
}

#[test]
fn a_flag_does_without_the_log() {
    let (_folder, path) = file("");
    let env = [("KEVY_AOF", "1"), ("KVIK_APPENDONLY", "yes")];
    for args in [["--no-aof", "--kevy", &path], ["--kevy", &path, "--no-aof"]] {
        assert_eq!(config(&args, &env).text(Key::Appendonly), "no");
    }
}

#[test]
fn variables_mean_nothing_without_the_preset() {
    let loaded = try_load(&[], &[("KEVY_PORT", "7")]).unwrap();
    assert_eq!(loaded.config.int(Key::Port), 6379);
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn values_without_sense_are_refused_with_their_place() {
    for (text, env, part) in [
        (
            "[server]\nport = 70000\n",
            None,
            "kevy.toml:2: [server] port",
        ),
        (
            "[memory]\nmaxmemory = \"1.5gb\"\n",
            None,
            "[memory] maxmemory: '1.5gb'",
        ),
        ("[log]\nlevel = \"loud\"\n", None, "[log] level"),
        ("[server\n", None, "kevy.toml:1"),
        ("", Some(("KEVY_PORT", "abc")), "KEVY_PORT"),
        ("", Some(("KEVY_THREADS", "-1")), "KEVY_THREADS"),
    ] {
        let (_folder, path) = file(text);
        let env: Vec<_> = env.into_iter().collect();
        let refusal = try_load(&["--kevy", &path], &env)
            .err()
            .unwrap()
            .to_string();
        assert!(refusal.contains(part), "{refusal} lacks {part}");
    }
    let missing = try_load(&["--kevy", "/nowhere/kevy.toml"], &[]);
    assert!(
        missing
            .err()
            .unwrap()
            .to_string()
            .contains("cannot be read")
    );
}

#[test]
fn sizes_have_units_of_1024() {
    let (_folder, path) = file("[memory]\nmaxmemory = 512\n");
    assert_eq!(config(&["--kevy", &path], &[]).int(Key::Maxmemory), 512);
    let (_folder, path) = file("[memory]\nmaxmemory = \"1T\"\n");
    assert_eq!(config(&["--kevy", &path], &[]).int(Key::Maxmemory), 1 << 40);
}
