//! Stores with files: what is there again after a restart.

use std::path::Path;

use kvik::{Db, FsyncPolicy, OpenError, Options, Value};

/// What is stored, whatever the order.
fn digest(db: &Db) -> String {
    db.run(&["DEBUG", "DIGEST"]).as_text().unwrap_or_default()
}

trait Text {
    fn as_text(&self) -> Option<String>;
}

impl Text for Value {
    fn as_text(&self) -> Option<String> {
        match self {
            Self::Simple(text) => Some(text.to_string()),
            Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

fn ok(db: &Db, words: &[&str]) {
    let reply = db.run(words);
    assert!(reply.as_error().is_none(), "{words:?}: {reply:?}");
}

fn open(dir: &Path) -> Db {
    Db::open(Options::from(dir).stripes(16)).expect("the directory is ours")
}

/// One key of each kind, small and large.
fn fill(db: &Db) {
    for words in [
        &["SET", "string", "value"][..],
        &["SET", "expiring", "value", "EX", "1000"],
        &["RPUSH", "list", "a", "b", "c"],
        &["HSET", "hash", "f", "v", "g", "w"],
        &["SADD", "ints", "1", "2", "3"],
        &["SADD", "set", "a", "b"],
        &["ZADD", "zset", "1", "a", "2.5", "b"],
        &["XADD", "stream", "5-1", "f", "v"],
        &["XGROUP", "CREATE", "stream", "group", "0"],
        &["ARINSERT", "array", "a", "b", "c"],
        &["ARSET", "array", "18446744073709551614", "last"],
        &["ARDEL", "array", "1"],
        &["ARRING", "ring", "2", "a", "b", "c"],
        &["PFADD", "hll", "a", "b", "c"],
        &["HPEXPIRE", "hash", "1000000", "FIELDS", "1", "f"],
        &["MSET", "m1", "1", "m2", "2", "m3", "3"],
        &["RENAME", "m1", "renamed"],
        &["COPY", "m2", "copied", "DB", "5"],
        &["MOVE", "m3", "7"],
        &["DEL", "string"],
        &["SETRANGE", "range", "100000", "x"],
    ] {
        ok(db, words);
    }
    for number in 0..2000 {
        let number = number.to_string();
        ok(db, &["HSET", "large-hash", &number, "v"]);
        ok(db, &["ZADD", "large-zset", &number, &format!("m{number}")]);
        ok(db, &["RPUSH", "large-list", &number]);
        ok(db, &["SADD", "large-set", &format!("m{number}")]);
        ok(
            db,
            &["ARSET", "large-array", &number, &format!("m{number}")],
        );
    }
}

#[test]
fn a_log_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    fill(&db);
    let before = digest(&db);
    drop(db);
    let db = open(dir.path());
    assert_eq!(digest(&db), before);
    ok(&db, &["SET", "more", "1"]);
    let before = digest(&db);
    drop(db);
    assert_eq!(digest(&open(dir.path())), before);
}

/// What a client sees of a stream, but for when consumers were seen.
fn stream_as_seen(db: &Db) -> Vec<Value> {
    let asked: [&[&str]; 3] = [
        // Only what was released has no time that goes on.
        &[
            "XPENDING", "known", "group", "IDLE", "99999999", "-", "+", "10",
        ],
        &["XINFO", "GROUPS", "known"],
        &["XADD", "known", "IDMP", "producer", "first", "*", "f", "v"],
    ];
    let mut seen: Vec<Value> = asked.iter().map(|words| db.run(words)).collect();
    // What is set already forgets nothing.
    db.run(&["XCFGSET", "known", "IDMP-MAXSIZE", "7"]);
    seen.push(db.run(&["XLEN", "known"]));
    seen
}

#[test]
fn what_streams_know_of_producers_and_releases_survives() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    for words in [
        &["XADD", "known", "IDMP", "other", "first", "*", "f", "v"][..],
        &[
            "XCFGSET",
            "known",
            "IDMP-DURATION",
            "86000",
            "IDMP-MAXSIZE",
            "7",
        ],
        &["XADD", "known", "IDMP", "producer", "first", "*", "f", "v"],
        &["XADD", "known", "IDMPAUTO", "producer", "*", "f", "v"],
        &["XGROUP", "CREATE", "known", "group", "0"],
        &[
            "XREADGROUP",
            "GROUP",
            "group",
            "me",
            "COUNT",
            "2",
            "STREAMS",
            "known",
            ">",
        ],
    ] {
        ok(&db, words);
    }
    let first = db.run(&["XRANGE", "known", "-", "+", "COUNT", "1"]);
    let id = first.as_slice().and_then(|entries| entries[0].as_slice());
    let id = id.and_then(|entry| entry[0].as_text()).unwrap();
    ok(&db, &["XNACK", "known", "group", "FAIL", "IDS", "1", &id]);
    let before = stream_as_seen(&db);
    assert_eq!(stream_as_seen(&db), before);
    drop(db);
    // From the log, from its base, from a snapshot and through all of them again.
    let db = open(dir.path());
    assert_eq!(stream_as_seen(&db), before);
    ok(&db, &["BGREWRITEAOF"]);
    wait_until(&db, "aof_rewrites", "1");
    drop(db);
    let db = open(dir.path());
    assert_eq!(stream_as_seen(&db), before);
    ok(&db, &["DEBUG", "RELOAD"]);
    assert_eq!(stream_as_seen(&db), before);
    let Value::Bulk(payload) = db.run(&["DUMP", "known"]) else {
        panic!("the key is there");
    };
    ok(&db, &["DEL", "known"]);
    let restored = db.run(&[b"RESTORE".as_slice(), b"known", b"0", &payload]);
    assert!(restored.is_ok(), "{restored:?}");
    assert_eq!(stream_as_seen(&db), before);
}

#[test]
fn a_rewritten_log_holds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    fill(&db);
    ok(&db, &["BGREWRITEAOF"]);
    wait_until(&db, "aof_rewrites", "1");
    ok(&db, &["SET", "after", "1"]);
    let before = digest(&db);
    drop(db);
    let db = open(dir.path());
    assert_eq!(digest(&db), before);
    assert!(info(&db, "aof_base_size").parse::<u64>().unwrap() > 0);
}

#[test]
fn a_snapshot_is_loaded_where_no_log_is_wanted_and_where_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    fill(&db);
    ok(&db, &["SAVE"]);
    let before = digest(&db);
    drop(db);
    std::fs::remove_dir_all(dir.path().join("appendonlydir")).unwrap();
    let db = open(dir.path());
    assert_eq!(digest(&db), before);
    // It is the base of a new log.
    ok(&db, &["SET", "after", "1"]);
    let before = digest(&db);
    drop(db);
    std::fs::remove_file(dir.path().join("dump.rdb")).unwrap();
    assert_eq!(digest(&open(dir.path())), before);
}

#[test]
fn debug_reload_and_loadaof_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    fill(&db);
    let before = digest(&db);
    ok(&db, &["DEBUG", "RELOAD"]);
    assert_eq!(digest(&db), before);
    ok(&db, &["DEBUG", "LOADAOF"]);
    assert_eq!(digest(&db), before);
    drop(db);
    assert_eq!(digest(&open(dir.path())), before);
}

#[test]
fn a_second_store_is_kept_out_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _db = open(dir.path());
    let error = Db::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Log(_)), "{error}");
}

#[test]
fn a_corrupt_snapshot_is_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dump.rdb");
    std::fs::write(&path, b"REDIS0010\xff\xff\xff garbage").unwrap();
    let error = Db::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("dump.rdb") && error.contains("offset"),
        "{error}"
    );
    assert!(std::fs::read(&path).unwrap().ends_with(b"garbage"));
}

#[test]
fn a_torn_end_is_cut_off_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    ok(&db, &["SET", "a", "1"]);
    drop(db);
    let path = dir.path().join("appendonlydir/appendonly.aof.1.incr.aof");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$1\r\nb");
    std::fs::write(&path, bytes).unwrap();
    let db = open(dir.path());
    assert_eq!(db.run(&["GET", "a"]), Value::Bulk(b"1".to_vec()));
    assert_eq!(info(&db, "aof_dropped_bytes"), "18");
}

#[test]
fn expired_keys_and_members_go_only_after_the_load() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    ok(&db, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    ok(&db, &["SET", "soon", "1", "PX", "30"]);
    ok(&db, &["PERSIST", "soon"]);
    ok(&db, &["HSET", "hash", "f", "1", "g", "2"]);
    ok(&db, &["HPEXPIRE", "hash", "30", "FIELDS", "1", "f"]);
    ok(&db, &["HPERSIST", "hash", "FIELDS", "1", "f"]);
    let before = digest(&db);
    drop(db);
    std::thread::park_timeout(std::time::Duration::from_millis(60));
    assert_eq!(digest(&open(dir.path())), before);
}

/// The hashes whose names are shared, and the blessed keys of two databases.
fn shared_and_blessed(db: &Db) -> (u64, u64, Vec<Value>) {
    let totals = &db.engine().totals;
    let flags = ["user:7", "user:8", "plain", "large"].map(|key| db.run(&["BLESS", "GET", key]));
    // What the stripes have done is published when they are let go.
    (totals.shapes().hashes, totals.blessed(), flags.to_vec())
}

#[test]
fn shared_names_and_blessings_survive() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path());
    for number in 0..1000 {
        let (key, number) = (format!("user:{number}"), number.to_string());
        ok(
            &db,
            &["HSET", &key, "name", &number, "age", "30", "city", "x"],
        );
        if number.ends_with('7') {
            ok(&db, &["BLESS", "SET", &key, "NO-EVICT"]);
        }
        ok(&db, &["SADD", "large", &number]);
    }
    for words in [
        &["BLESS", "SET", "large", "NO-EVICT"][..],
        &["SET", "plain", "1"],
        &["BLESS", "SET", "plain", "NO-EVICT"],
        &["SET", "plain", "2"],
        &["SUNIONSTORE", "plain", "large", "large"],
        &["RENAME", "user:17", "user:8"],
        &["COPY", "user:7", "copy"],
        &["DEL", "user:27"],
        &["HDEL", "user:1", "age"],
        &["MOVE", "user:37", "3"],
        &["BLESS", "CLEAR", "user:47", "NO-EVICT"],
    ] {
        ok(&db, words);
    }
    let (before, sums) = (digest(&db), shared_and_blessed(&db));
    assert!(sums.0 > 900, "{sums:?}");
    assert_eq!(sums.1, 100);
    let none = Value::Array(Vec::new());
    assert!(sums.2.iter().all(|flags| *flags != none), "{sums:?}");
    assert_eq!(db.run(&["BLESS", "GET", "copy"]), none);
    drop(db);
    let db = open(dir.path());
    assert_eq!(digest(&db), before);
    let again = shared_and_blessed(&db);
    assert!(again.0 > 900 && (again.1, &again.2) == (sums.1, &sums.2));
    ok(&db, &["BGREWRITEAOF"]);
    wait_until(&db, "aof_rewrites", "1");
    drop(db);
    let db = open(dir.path());
    assert_eq!(digest(&db), before);
    let again = shared_and_blessed(&db);
    assert!(again.0 > 900 && (again.1, &again.2) == (sums.1, &sums.2));
}

#[test]
fn always_returns_when_it_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::from(dir.path()).fsync(FsyncPolicy::Always);
    let db = Db::open(options).unwrap();
    for number in 0..20 {
        ok(&db, &["SET", "k", &number.to_string()]);
        assert_eq!(info(&db, "log_position"), info(&db, "log_position_synced"));
    }
    db.commit().unwrap();
    assert_eq!(
        db.run(&["WAITAOF", "1", "0", "0"])
            .as_slice()
            .map(<[_]>::len),
        Some(2)
    );
}

#[test]
fn a_store_in_memory_saves_nothing() {
    let db = Db::memory();
    assert!(db.run(&["SAVE"]).as_error().is_some());
    assert_eq!(info(&db, "aof_enabled"), "0");
    db.commit().unwrap();
}

/// A field of INFO.
fn info(db: &Db, name: &str) -> String {
    let reply = db.run(&["INFO", "persistence"]);
    let text = match &reply {
        Value::Verbatim { text, .. } => String::from_utf8_lossy(text).into_owned(),
        other => other.as_text().unwrap_or_default(),
    };
    let field = text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .strip_prefix(':')
            .map(str::to_owned)
    });
    field.unwrap_or_else(|| panic!("{name} is in {text}"))
}

fn wait_until(db: &Db, name: &str, value: &str) {
    for _ in 0..1000 {
        if info(db, name) == value {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    panic!("{name} never was {value}");
}
