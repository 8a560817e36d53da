//! RDB files: what is written here loads here and in Redis, and what Redis and Valkey write loads
//! here.
//!
//! The real servers are found as the transcripts find them: `redis-server` and `redis-check-rdb` in
//! `PATH`, or programs that `KVIK_TEST_REDIS` and `KVIK_TEST_VALKEY` name. Without them only what
//! needs none is tested.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and waits for real servers"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use kvik::{Db, LoadError, LoadOptions, LoadPolicy, LoadProgress, LoadReport, Options, Value};
use kvik_client::{Client, Endpoint};
use kvik_rdb::{Compression, FileFault, FileInfo, FileWriter, KeyHeader, KeyUsage, ObjectType};

/// In the year 2100.
const LATER: &str = "4102444800000";

/// A command with its words.
type Words = Vec<Vec<u8>>;

fn words(command: &str) -> Words {
    command
        .split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// Commands that fill a store with values of every type and form, as far as Redis 7.0 knows them.
fn filling() -> Vec<Words> {
    let mut commands: Vec<Words> = [
        "SET int 12345",
        "SET negative -1",
        "SET huge 9223372036854775807",
        "SET padded 007",
        "SET 77 integer-key",
        "SETRANGE empty 0 x",
        &format!("SET expiring value PXAT {LATER}"),
        "RPUSH list a 12 c",
        "SADD ints 1 -2 300000",
        "SADD texts a b c",
        "HSET hash f v n 12",
        "ZADD zset 1 a -inf b 2.5 c inf d",
        "XADD stream 1-1 f v g w",
        "XADD stream 2-0 f v g w",
        "XADD stream 3-0 other x",
        "XDEL stream 2-0",
        "XGROUP CREATE stream group 0",
        "XGROUP CREATE stream idle $",
        "XREADGROUP GROUP group one COUNT 1 STREAMS stream >",
        "XCLAIM stream group two 0 1-1 TIME 1700000000000 RETRYCOUNT 3",
        "XGROUP CREATE bare group $ MKSTREAM",
        &format!("PEXPIREAT hash {LATER}"),
    ]
    .into_iter()
    .map(words)
    .collect();
    commands.push(vec![
        b"SET".into(),
        b"bin\0\r\n\xff".into(),
        (0..=255).collect(),
    ]);
    commands.push(vec![
        b"SET".into(),
        b"repeated".into(),
        b"abcdef".repeat(5000),
    ]);
    commands.push(vec![b"SET".into(), b"rope".into(), noise(400_000)]);
    commands.push(vec![
        b"RPUSH".into(),
        b"wide".into(),
        noise(20_000),
        b"x".into(),
        b"y".repeat(9000),
    ]);
    for n in 0..4000 {
        commands.push(words(&format!("RPUSH long-list element-{n}")));
        commands.push(words(&format!("SADD many-ints {}", n * 7)));
        commands.push(words(&format!("SADD many-texts member-{n}")));
        commands.push(words(&format!("HSET many-fields field-{n} value-{n}")));
        commands.push(words(&format!("ZADD many-scores {}.5 member-{n}", n % 50)));
        commands.push(words(&format!("XADD long-stream {n}-1 sensor {n} value x")));
        commands.push(words(&format!("SET key:{n} value-{n}")));
    }
    commands.push(words("SELECT 3"));
    commands.push(words("SET elsewhere x"));
    commands.push(words("SELECT 0"));
    commands
}

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn filled() -> Db {
    let db = Db::memory();
    let mut connection = db.connect();
    for command in filling() {
        let reply = connection.run(&command);
        assert_eq!(reply.as_error(), None, "{:?}", command[0]);
    }
    db
}

/// A file with all of a store, by way of what DUMP answers.
fn saved(db: &Db) -> Vec<u8> {
    let mut writer = FileWriter::new(Compression::Lzf, true);
    writer.info(&FileInfo {
        redis_version: "7.2.4",
        time_s: 1_700_000_000,
        used_bytes: 1 << 20,
        is_aof_base: false,
    });
    let mut connection = db.connect();
    for database in 0..16u64 {
        connection.run(&words(&format!("SELECT {database}")));
        let keys = connection.run(&["KEYS", "*"]);
        let keys = keys.as_slice().unwrap();
        if keys.is_empty() {
            continue;
        }
        writer.database(database);
        writer.sizes(keys.len() as u64, 1);
        for key in keys {
            save_key(&mut writer, &mut connection, key.as_bytes().unwrap());
        }
    }
    let tail = writer.finish();
    assert_eq!(tail.header, None, "the beginning has not been taken yet");
    tail.bytes
}

fn save_key(writer: &mut FileWriter, connection: &mut kvik::Connection, key: &[u8]) {
    let payload = connection.run(&[&b"DUMP"[..], key]);
    let payload = payload.as_bytes().unwrap();
    let (body, footer) = payload.split_at(payload.len() - 10);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let expire_at = connection
        .run(&[&b"PEXPIRETIME"[..], key])
        .as_int()
        .unwrap();
    writer.key(&KeyHeader {
        key: key.into(),
        expire_at: u64::try_from(expire_at).ok(),
        usage: KeyUsage::Idle(7),
        object: ObjectType::from_code(body[0], version).unwrap(),
    });
    writer.encoder().bytes(&body[1..]);
}

/// A new store with what a file holds.
fn loaded(file: &[u8], options: &LoadOptions) -> Result<(Db, LoadReport), LoadError> {
    let db = Db::memory();
    db.set_follower(true);
    let report = db.load(&mut &*file, options, &LoadProgress::default())?;
    db.set_follower(false);
    Ok((db, report))
}

fn digest(db: &Db) -> Value {
    let digest = db.run(&["DEBUG", "DIGEST"]);
    assert_eq!(digest.as_error(), None);
    digest
}

fn with_threads(threads: usize) -> LoadOptions {
    LoadOptions {
        threads,
        ..LoadOptions::default()
    }
}

#[test]
fn room_is_made_for_no_more_keys_than_a_file_can_hold() {
    let few = filled();
    let db = Db::open(Options::default().stripes(2)).unwrap();
    for n in 0..5000 {
        db.set(format!("key:{n}").as_bytes(), b"v").unwrap();
    }
    // What the file says of the number of its keys, and whether its own length is known.
    for (db, keys, is_known) in [
        (&db, 5000, true),
        (&db, 5000, false),
        (&db, 3, true),
        (&few, u64::MAX, true),
        (&few, u64::MAX, false),
    ] {
        let mut file = FileWriter::new(Compression::Off, true);
        file.database(0);
        file.sizes(keys, keys);
        let mut connection = db.connect();
        let names = connection.run(&["KEYS", "*"]);
        for key in names.as_slice().unwrap() {
            save_key(&mut file, &mut connection, key.as_bytes().unwrap());
        }
        let file = file.finish().bytes;
        let options = LoadOptions {
            len: if is_known { file.len() as u64 } else { 0 },
            ..with_threads(2)
        };
        let again = Db::open(Options::default().stripes(2)).unwrap();
        again
            .load(&mut &*file, &options, &LoadProgress::default())
            .unwrap();
        assert_eq!(again.run(&["DBSIZE"]), db.run(&["DBSIZE"]));
        let memory = again.engine().totals.all().table_bytes as usize;
        assert!(memory < 100_000 + 10 * file.len(), "{memory}");
    }
}

#[test]
fn what_is_saved_loads_on_any_number_of_threads() {
    let db = filled();
    let file = saved(&db);
    assert_eq!(&file[..9], b"REDIS0010");
    for threads in [1, 2, 5] {
        let (again, report) = loaded(&file, &with_threads(threads)).unwrap();
        assert_eq!(digest(&again), digest(&db), "{threads} threads");
        assert_eq!(report.bytes, file.len() as u64);
        assert!(report.is_checked);
        assert_eq!(report.version, 10);
        assert!(report.aux.contains(&(b"aof-base".into(), b"0".into())));
    }
}

#[test]
fn members_that_expire_come_back() {
    let db = filled();
    for command in [
        format!("HPEXPIREAT hash {LATER} FIELDS 1 f"),
        format!("HPEXPIREAT many-fields {LATER} FIELDS 2 field-7 field-8"),
    ] {
        assert_eq!(db.run(&words(&command)).as_error(), None);
    }
    let file = saved(&db);
    assert_eq!(&file[..9], b"VALKEY080");
    let (again, report) = loaded(&file, &with_threads(2)).unwrap();
    assert_eq!(report.version, 80);
    assert_eq!(digest(&again), digest(&db));
    let expiry = again.run(&words("HPEXPIRETIME many-fields FIELDS 2 field-8 field-9"));
    let expiry: Vec<_> = expiry
        .as_slice()
        .unwrap()
        .iter()
        .map(Value::as_int)
        .collect();
    assert_eq!(expiry, [Some(LATER.parse().unwrap()), Some(-1)]);
}

#[test]
fn what_comes_behind_a_file_is_left_alone() {
    let file = saved(&filled());
    let longer = [&file[..], b"*1\r\n$4\r\nPING\r\n"].concat();
    let (_, report) = loaded(&longer, &with_threads(2)).unwrap();
    assert_eq!(report.bytes, file.len() as u64);
}

#[test]
fn damage_is_named_with_its_place() {
    let file = saved(&filled());
    let fault = |file: &[u8], options: &LoadOptions| match loaded(file, options) {
        Err(LoadError::Damaged(error)) => (error.offset, error.fault),
        other => panic!("{:?}", other.map(|(_, report)| report)),
    };
    for threads in [1, 3] {
        let cut = file.len() / 2;
        let found = fault(&file[..cut], &with_threads(threads));
        assert_eq!(found, (cut as u64, FileFault::CutOff));
        let mut wrong = file.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let (offset, found) = fault(&wrong, &with_threads(threads));
        assert_eq!(offset, file.len() as u64 - 8);
        assert!(matches!(found, FileFault::WrongChecksum { .. }));
    }
    assert_eq!(fault(b"", &with_threads(1)), (0, FileFault::CutOff));
    assert_eq!(
        fault(b"*3\r\n$3\r\nSET\r\n", &with_threads(1)),
        (0, FileFault::NotRdb)
    );
}

#[test]
fn a_key_twice_is_refused_and_named() {
    let mut writer = FileWriter::new(Compression::Off, true);
    for database in [0, 1, 0] {
        writer.database(database);
        writer.key(&KeyHeader {
            key: b"twice"[..].into(),
            expire_at: Some(5),
            usage: KeyUsage::Untold,
            object: ObjectType::String,
        });
        writer.encoder().string(b"value");
    }
    let file = writer.finish().bytes;
    let error = loaded(&file, &with_threads(2)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("key twice in one database, key \"twice\" of database 0")
    );
    let mut options = with_threads(2);
    options.policy.replaces = true;
    loaded(&file, &options).unwrap();
    options.policy = LoadPolicy {
        drops_overdue: true,
        replaces: false,
    };
    let db = Db::memory();
    let progress = LoadProgress::default();
    db.load(&mut &*file, &options, &progress).unwrap();
    assert_eq!(progress.overdue.load(Relaxed), 3);
    assert_eq!(db.run(&["DBSIZE"]).as_int(), Some(0));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let mut writer = FileWriter::new(Compression::Off, true);
    writer.database(16);
    let file = writer.finish().bytes;
    assert!(matches!(
        loaded(&file, &with_threads(1)),
        Err(LoadError::Database(16))
    ));
    let mut writer = FileWriter::new(Compression::Off, true);
    writer.aux(b"kvik-format", b"2");
    let file = writer.finish().bytes;
    assert!(matches!(
        loaded(&file, &with_threads(1)),
        Err(LoadError::Format(2))
    ));
}

/// An input that answers a few bytes at a time.
struct Slow<'f>(&'f [u8]);

impl std::io::Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let step = buffer.len().min(1000);
        self.0.read(&mut buffer[..step])
    }
}

#[test]
fn a_value_longer_than_a_block_and_slow_input_load() {
    let db = filled();
    db.run(&[b"SET".to_vec(), b"long".to_vec(), noise(3_000_000)]);
    let file = saved(&db);
    let again = Db::memory();
    let options = with_threads(2);
    again
        .load(&mut Slow(&file), &options, &LoadProgress::default())
        .unwrap();
    assert_eq!(digest(&again), digest(&db));
}

#[test]
fn collections_longer_than_a_file_is_read_at_once_load() {
    let db = Db::memory();
    let mut connection = db.connect();
    let value = noise(900);
    for n in 0..12_000 {
        let (name, score) = (format!("member-{n}"), n.to_string());
        connection.run(&[&b"HSET"[..], b"hash", name.as_bytes(), &value]);
        connection.run(&[&b"RPUSH"[..], b"list", &value]);
        let long = [name.as_bytes(), &value].concat();
        connection.run(&[&b"SADD"[..], b"set", &long]);
        connection.run(&[&b"ZADD"[..], b"zset", score.as_bytes(), &long]);
        connection.run(&[&b"SET"[..], name.as_bytes(), b"x"]);
    }
    connection.run(&words(&format!(
        "HPEXPIREAT hash {LATER} FIELDS 2 member-1 member-2"
    )));
    // An element that is itself longer than what is read at once.
    connection.run(&[&b"HSET"[..], b"hash", b"wide", &noise(20_000_000)]);
    let file = saved(&db);
    for threads in [1, 3] {
        let (again, report) = loaded(&file, &with_threads(threads)).unwrap();
        assert!(report.is_checked);
        assert_eq!(digest(&again), digest(&db), "{threads} threads");
    }
    // Wherever the file ends, the place is the end.
    for cut in [file.len() / 5, file.len() / 2, file.len() - 100_000] {
        match loaded(&file[..cut], &with_threads(2)) {
            Err(LoadError::Damaged(error)) => assert_eq!(error.offset, cut as u64),
            other => panic!("{:?}", other.map(|(_, report)| report)),
        }
    }
    let mut options = with_threads(2);
    options.policy.replaces = true;
    let (again, _) = loaded(&file, &options).unwrap();
    again
        .load(&mut &*file, &options, &LoadProgress::default())
        .unwrap();
    assert_eq!(digest(&again), digest(&db));
    options.policy.replaces = false;
    let twice = again.load(&mut &*file, &options, &LoadProgress::default());
    assert!(matches!(twice, Err(LoadError::Key { .. })));
}

/// A real server in a directory of its own.
struct Server {
    child: Child,
    client: Client,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server on a file, if there is one.
    fn start(program: &Path, file: Option<&[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        if let Some(file) = file {
            std::fs::write(directory.path().join("dump.rdb"), file).unwrap();
        }
        let child = Command::new(program)
            .args([
                "--port",
                "0",
                "--unixsocket",
                "s",
                "--save",
                "",
                "--enable-debug-command",
                "yes",
                "--dir",
            ])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let endpoint = Endpoint::unix(directory.path().join("s"));
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut client = loop {
            match Client::open(&endpoint, &kvik_client::Options::default()) {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < deadline, "no answer: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        while client.call(&["PING"]).unwrap().as_error().is_some() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            client,
            directory,
        }
    }

    fn run(&mut self, command: &[impl AsRef<[u8]>]) -> Value {
        let reply = self.client.call(command).unwrap();
        assert_eq!(reply.as_error(), None);
        reply
    }

    /// The file that the server writes now.
    fn save(&mut self) -> Vec<u8> {
        self.run(&["SAVE"]);
        std::fs::read(self.directory.path().join("dump.rdb")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that the environment names, or that is in `PATH`.
fn program(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let path = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join(name));
    programs.find(|program| program.is_file())
}

/// A file that a server writes is the same data here, and as a file of ours there again.
fn assert_crosses(program: &Path, commands: &[Words]) {
    let mut server = Server::start(program, None);
    let db = Db::memory();
    let mut connection = db.connect();
    for command in commands {
        server.run(command);
        connection.run(command);
    }
    let theirs = server.run(&["DEBUG", "DIGEST"]);
    let (here, report) = loaded(&server.save(), &with_threads(2)).unwrap();
    assert!(report.is_checked);
    assert_eq!(digest(&here), digest(&db));
    let mut again = Server::start(program, Some(&saved(&here)));
    assert_eq!(again.run(&["DEBUG", "DIGEST"]), theirs);
    // What it makes of our file is what we made it of.
    let (back, _) = loaded(&again.save(), &with_threads(2)).unwrap();
    assert_eq!(digest(&back), digest(&here));
}

#[test]
fn files_cross_to_redis_and_back() {
    let Some(program) = program("KVIK_TEST_REDIS", "redis-server") else {
        return;
    };
    assert_crosses(&program, &filling());
}

#[test]
fn files_cross_to_valkey_and_back() {
    let Some(program) = program("KVIK_TEST_VALKEY", "valkey-server") else {
        return;
    };
    assert_crosses(&program, &filling());
    let mut commands = filling();
    let expiring = format!("HPEXPIREAT many-fields {LATER} FIELDS 2 field-7 field-8");
    commands.push(words(&expiring));
    assert_crosses(&program, &commands);
}

#[test]
fn the_checker_of_redis_accepts_our_files() {
    let Some(program) = program("KVIK_TEST_REDIS_CHECK_RDB", "redis-check-rdb") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dump.rdb");
    std::fs::write(&path, saved(&filled())).unwrap();
    let checked = Command::new(program).arg(&path).output().unwrap();
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{told}");
    assert!(told.contains("RDB looks OK"), "{told}");
    assert!(told.contains("Checksum OK"), "{told}");
}
