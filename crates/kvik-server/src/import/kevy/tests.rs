//! Directories and files as kevy writes them, whole and damaged.

use std::io::Cursor;

use kvik::Db;
use kvik_resp::Value;
use proptest::prelude::*;

use super::command_log::crc32c;
use super::*;

/// A store that takes an import.
struct Taken(kvik::Connection);

impl ImportSink for Taken {
    fn take(&mut self, command: &[&[u8]]) -> io::Result<()> {
        match self.0.run(command) {
            Value::Error(error) => Err(io::Error::other(format!("{error:?}"))),
            _ => Ok(()),
        }
    }
}

impl Taken {
    fn text(&mut self, words: &[&str]) -> String {
        shown(&self.0.run(words))
    }

    fn number(&mut self, words: &[&str]) -> i64 {
        self.0.run(words).as_int().unwrap()
    }
}

/// A reply as text, with blanks between its elements.
fn shown(reply: &Value) -> String {
    let joined = |each: &[Value]| each.iter().map(shown).collect::<Vec<_>>().join(" ");
    match reply {
        Value::Null => "none".to_owned(),
        Value::Bulk(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Array(each) => joined(each),
        Value::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| [shown(name), shown(value)].join(" "));
            pairs.collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    }
}

fn imported(files: &[(&str, Vec<u8>)]) -> (Taken, ImportReport) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let mut taken = Taken(Db::memory().connect());
    let report = read(folder.path(), &mut taken).unwrap();
    for (name, bytes) in files {
        assert!(
            &std::fs::read(folder.path().join(name)).unwrap() == bytes,
            "{name}"
        );
    }
    (taken, report)
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A log of the first form, from commands in text.
fn first(commands: &[&str]) -> Vec<u8> {
    let mut bytes = b"KEVYAOF1\n".to_vec();
    for text in commands {
        let words: Vec<_> = text.split(' ').map(str::as_bytes).collect();
        bytes.extend(command(&words));
    }
    bytes
}

fn record(words: &[&[u8]]) -> Vec<u8> {
    let command = command(words);
    let mut bytes = (command.len() as u32).to_le_bytes().to_vec();
    bytes.extend(crc32c(&command).to_le_bytes());
    bytes.extend(command);
    bytes
}

/// A log of the second form.
fn second(commands: &[&str]) -> Vec<u8> {
    let mut bytes = b"KEVYAOF2\n".to_vec();
    for text in commands {
        let words: Vec<_> = text.split(' ').map(str::as_bytes).collect();
        bytes.extend(record(&words));
    }
    bytes
}

/// Writes a snapshot.
struct Written(Vec<u8>);

impl Written {
    fn new(version: u8) -> Self {
        let mut bytes = b"KEVYSNAP".to_vec();
        bytes.push(version);
        if version >= 5 {
            bytes.extend([7; 16]);
        }
        Self(bytes)
    }

    fn key(&mut self, kind: u8, key: &str, ttl: Option<u64>) -> &mut Self {
        self.0.push(kind);
        match ttl {
            None => self.0.push(0),
            Some(ttl) => {
                self.0.push(1);
                self.long(ttl);
            }
        }
        self.text(key)
    }

    fn long(&mut self, number: u64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn count(&mut self, number: u32) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.count(text.len() as u32);
        self.0.extend(text.as_bytes());
        self
    }

    fn texts(&mut self, texts: &[&str]) -> &mut Self {
        for text in texts {
            self.text(text);
        }
        self
    }

    fn end(&mut self) -> Vec<u8> {
        self.0.push(0);
        self.0.clone()
    }
}

/// A key of each type.
fn all_types(version: u8) -> Vec<u8> {
    let mut file = Written::new(version);
    file.key(1, "s", None).text("v");
    file.key(2, "h", None).count(2).texts(&["f", "1", "g", "2"]);
    file.key(3, "l", None).count(3).texts(&["a", "b", "a"]);
    file.key(4, "set", None).count(2).texts(&["x", "y"]);
    file.key(5, "z", None).count(2);
    file.text("m").long(1.5_f64.to_bits());
    file.text("n").long(f64::INFINITY.to_bits());
    file.key(6, "st", None);
    file.long(9).long(1).long(4).long(0).long(7).count(2);
    file.long(5).long(0).count(1).texts(&["f", "v"]);
    file.long(6).long(3).count(1).texts(&["f", "w"]);
    if version >= 4 {
        file.count(1).text("g").long(5).long(0);
        file.count(2).text("c").long(1000).text("idle").long(1);
        file.count(1).long(5).long(0).text("c").long(1000).count(3);
    }
    if version >= 6 {
        file.0.push(7);
        file.texts(&["h", "g"]).long(4_102_444_800_000);
    }
    file.end()
}

#[test]
fn checksums_are_those_of_the_standard() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
}

#[test]
fn every_version_and_type_is_read() {
    for version in 2..=7 {
        let (mut taken, report) = imported(&[("dump-0.rdb", all_types(version))]);
        assert_eq!(
            (report.keys, report.defects),
            (6, vec![]),
            "version {version}"
        );
        assert_eq!(taken.text(&["GET", "s"]), "v");
        assert_eq!(taken.text(&["HGET", "h", "g"]), "2");
        assert_eq!(taken.text(&["LINDEX", "l", "2"]), "a");
        assert_eq!(taken.number(&["SCARD", "set"]), 2);
        assert_eq!(taken.number(&["ZCOUNT", "z", "1.5", "inf"]), 2);
        assert_eq!(taken.number(&["XLEN", "st"]), 2);
        let info = taken.text(&["XINFO", "STREAM", "st"]);
        for part in ["id 9-1", "entry-id 4-0", "entries-added 7"] {
            assert!(info.contains(part), "{info} lacks {part}");
        }
        if version >= 4 {
            let pending = taken.text(&["XPENDING", "st", "g", "-", "+", "9"]);
            assert!(
                pending.starts_with("5-0 c ") && pending.ends_with(" 3"),
                "{pending}"
            );
            assert_eq!(
                taken.number(&["XGROUP", "CREATECONSUMER", "st", "g", "idle"]),
                0
            );
        }
        let ends = taken.text(&["HPEXPIRETIME", "h", "FIELDS", "1", "g"]);
        assert_eq!(ends.contains("4102444800000"), version >= 6, "{ends}");
    }
}

#[test]
fn an_empty_stream_keeps_its_ids() {
    let mut file = Written::new(3);
    file.key(6, "st", None);
    file.long(9).long(1).long(9).long(1).long(3).count(0);
    let (mut taken, report) = imported(&[("dump-0.rdb", file.end())]);
    assert_eq!((report.keys, report.defects), (1, vec![]));
    assert!(
        taken
            .text(&["XADD", "st", "9-1", "a", "b"])
            .contains("equal or smaller")
    );
    assert_eq!(taken.text(&["XADD", "st", "9-2", "a", "b"]), "9-2");
}

#[test]
fn times_to_live_are_moments_or_what_is_left() {
    let far = 4_102_444_800_000;
    let mut file = Written::new(3);
    file.key(1, "stays", Some(far)).text("v");
    file.key(1, "gone", Some(1000)).text("v");
    let (mut taken, report) = imported(&[("dump-0.rdb", file.end())]);
    assert_eq!(report.keys, 1);
    assert_eq!(taken.number(&["PEXPIRETIME", "stays"]), far as i64);
    let mut file = Written::new(2);
    file.key(1, "k", Some(1_000_000)).text("v");
    let (mut taken, _) = imported(&[("dump-0.rdb", file.end())]);
    assert!((1..=1_000_000).contains(&taken.number(&["PTTL", "k"])));
}

#[test]
fn a_log_continues_its_snapshot_in_each_form() {
    let mut snapshot = Written::new(4);
    snapshot.key(1, "n", None).text("41");
    let commands = [
        "INCR n",
        "SET k v EX 100",
        "PEXPIREAT k 4102444800000",
        "rpush l a b",
        "MSET x 1 y 2",
    ];
    let bare = first(&commands)[9..].to_vec();
    for log in [first(&commands), second(&commands), bare] {
        let (mut taken, report) =
            imported(&[("dump-0.rdb", snapshot.0.clone()), ("aof-0.aof", log)]);
        // The snapshot lacks its last byte.
        assert_eq!(
            (report.keys, report.defects.len()),
            (5, 1),
            "{:?}",
            report.defects
        );
        assert_eq!(taken.text(&["GET", "n"]), "42");
        assert_eq!(taken.number(&["PEXPIRETIME", "k"]), 4_102_444_800_000);
        assert_eq!(taken.number(&["LLEN", "l"]), 2);
        assert_eq!(taken.text(&["GET", "y"]), "2");
    }
}

#[test]
fn a_flush_of_one_shard_leaves_the_others() {
    let files = [
        ("shards.meta", b"2\nkevyhash\n".to_vec()),
        ("aof-0.aof", first(&["SET a 1"])),
        ("aof-1.aof", first(&["SET b 1", "FLUSHALL", "SET c 1"])),
        ("aof-2.aof", first(&["SET old 1"])),
    ];
    let (mut taken, report) = imported(&files);
    assert_eq!(report.keys, 2);
    assert_eq!(taken.number(&["EXISTS", "a", "b", "c", "old"]), 2);
    assert_eq!(report.defects.len(), 1);
    assert!(
        report.defects[0].contains("shard 2"),
        "{:?}",
        report.defects
    );
}

#[test]
fn a_decided_change_of_shards_counts() {
    let snapshot = |key: &str| {
        let mut file = Written::new(4);
        file.key(1, key, None).text("v");
        file.end()
    };
    let journal = b"kevy-reshard-journal v1\nstamp=5\nprev_n=1\nn=2\nrouting=slots\n".to_vec();
    let files = [
        ("reshard.journal", journal),
        ("shards.meta", b"1\n".to_vec()),
        ("dump-0.rdb", snapshot("old")),
        ("aof-0.aof", first(&["SET older 1"])),
        ("dump-0.rdb.reshard", snapshot("new")),
        ("dump-1.rdb", snapshot("renamed")),
    ];
    let (mut taken, report) = imported(&files);
    assert_eq!((report.keys, report.defects), (2, vec![]));
    assert_eq!(taken.number(&["EXISTS", "new", "renamed"]), 2);
    // One that was not written whole has decided nothing.
    let mut files = files;
    files[0].1.truncate(30);
    let (mut taken, _) = imported(&files);
    assert_eq!(taken.number(&["EXISTS", "old", "older", "new"]), 2);
}

#[test]
fn torn_ends_are_left_out() {
    let whole = ["SET a 1", "SET b 2", "SET c 3"];
    for log in [first(&whole), second(&whole)] {
        for cut in [1, 5, 20] {
            let log = log[..log.len() - cut].to_vec();
            let (mut taken, report) = imported(&[("aof-0.aof", log)]);
            assert_eq!(report.keys, 2);
            assert_eq!(taken.text(&["GET", "b"]), "2");
            assert_eq!(report.defects.len(), 1, "{:?}", report.defects);
            assert!(
                report.defects[0].contains("left out"),
                "{:?}",
                report.defects
            );
        }
    }
}

#[test]
fn damage_is_passed_over_where_records_tell_their_ends() {
    let log = second(&["SET a 1", "SET b 2", "SET c 3"]);
    let len = (log.len() - 9) / 3;
    for at in [9 + len, 9 + len + 3, 9 + len + 5, 9 + 2 * len - 1] {
        let mut log = log.clone();
        log[at] ^= 0x55;
        let (mut taken, report) = imported(&[("aof-0.aof", log)]);
        assert_eq!(
            (report.keys, taken.number(&["EXISTS", "a", "c"])),
            (2, 2),
            "{at}"
        );
        assert!(
            report.defects[0].contains("passed over"),
            "{:?}",
            report.defects
        );
    }
}

#[test]
fn a_transaction_without_an_end_has_not_happened() {
    let begin = record(&[b"\0KEVYTXNBEGIN"]);
    let commit = record(&[b"\0KEVYTXNCOMMIT"]);
    let (one, two) = (record(&[b"SET", b"a", b"1"]), record(&[b"SET", b"b", b"2"]));
    let log = [b"KEVYAOF2\n", &begin[..], &one, &commit, &begin, &two].concat();
    let (mut taken, report) = imported(&[("aof-0.aof", log)]);
    assert_eq!(taken.number(&["EXISTS", "a", "b"]), 1);
    assert!(
        report.defects[0].contains("transaction of 1 commands"),
        "{:?}",
        report.defects
    );
}

#[test]
fn a_consumer_that_has_read_is_there() {
    let log = first(&[
        "XADD st 1-1 f v",
        "XGROUP CREATE st g 0",
        "XINTERNAL.CONSUMERSEEN st g idle 1796067327662 1796067327662",
    ]);
    let (mut taken, report) = imported(&[("aof-0.aof", log)]);
    assert_eq!(report.defects, [""; 0]);
    let create = ["XGROUP", "CREATECONSUMER", "st", "g", "idle"];
    assert_eq!(taken.number(&create), 0, "it is there");
}

#[test]
fn what_a_log_cannot_say_is_named() {
    let log = first(&[
        "SADD s 1 2 3",
        "SPOP s",
        "XADD st * f v",
        "TABLE.DECLARE t",
        "CONFIG SET maxmemory 1",
        "SHUTDOWN NOSAVE",
        "LPUSH s x",
    ]);
    let (mut taken, report) = imported(&[("aof-0.aof", log)]);
    assert_eq!((report.keys, taken.number(&["SCARD", "s"])), (2, 2));
    let text = report.defects.join("\n");
    for part in [
        "1 SPOP",
        "1 XADD",
        "TABLE.DECLARE: kvik",
        "CONFIG: it",
        "SHUTDOWN: it",
        "WRONGTYPE",
    ] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
}

#[test]
fn damaged_snapshots_give_what_comes_before() {
    let whole = all_types(4);
    for len in 0..whole.len() {
        let (_, report) = imported(&[("dump-0.rdb", whole[..len].to_vec())]);
        assert_eq!(report.defects.len(), 1, "{len}");
        assert!(report.keys <= 6);
    }
}

#[test]
fn a_directory_without_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!exists(folder.path()));
    let mut taken = Taken(Db::memory().connect());
    assert!(read(folder.path(), &mut taken).is_err());
    // One that cannot be read is refused as a whole.
    std::fs::write(folder.path().join("aof-0.aof"), first(&["SET a 1"])).unwrap();
    std::fs::create_dir(folder.path().join("aof-1.aof")).unwrap();
    let read = read(folder.path(), &mut taken);
    assert!(read.is_err() || taken.number(&["DBSIZE"]) == 0);
}

/// Reads bytes as each kind of file; the words that come of them.
fn words_in(bytes: &[u8]) -> usize {
    let mut words = 0;
    let mut run = |command: &[&[u8]]| words += command.iter().map(|word| word.len()).sum::<usize>();
    command_log::read(&mut Cursor::new(bytes), &mut run).unwrap();
    snapshot::read(&mut Cursor::new(bytes), bytes.len() as u64, &mut run).unwrap();
    words
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(
        start in prop::sample::select(vec![&b""[..], b"KEVYAOF1\n", b"KEVYAOF2\n", b"KEVYSNAP\x04"]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        words_in(&[start, &bytes].concat());
    }

    #[test]
    fn changed_files_are_read_or_reported(
        which in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = match which {
            0 => all_types(6),
            1 => first(&["SET a 1", "HSET h f v", "RPUSH l 1 2 3"]),
            _ => second(&["SET a 1", "HSET h f v", "RPUSH l 1 2 3"]),
        };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        words_in(&bytes);
    }
}

#[test]
fn lengths_that_are_only_announced_take_no_memory() {
    let mut snapshot = Written::new(4);
    snapshot.key(3, "l", None).count(u32::MAX);
    let mut log = b"KEVYAOF2\n".to_vec();
    log.extend((1_u32 << 30).to_le_bytes());
    log.extend([0; 4]);
    let bare = b"*2000000000\r\n$900000000\r\n".to_vec();
    for bytes in [snapshot.0, log, bare] {
        let used = allocation_counter::measure(|| {
            words_in(&bytes);
        });
        assert!(used.bytes_max < 1 << 20, "{used:?}");
    }
}
