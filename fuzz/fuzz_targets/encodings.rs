//! Whatever is done to arrays, sparse bitmaps, compact hashes, streams with producers and members
//! that expire: nothing panics, a store that follows the effects holds the same, and DUMP and
//! RESTORE give each value back.
//!
//! A byte chooses a line of the table, and one more each of its words in capitals.

#![no_main]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvik::effects::{EffectLog, Lsn, Unit};
use kvik::{Clock, Connection, Db, Options, Value};
use libfuzzer_sys::fuzz_target;

const LINES: &[&str] = &[
    "ARSET KEY INDEX VALUE",
    "ARSET KEY INDEX VALUE VALUE VALUE",
    "ARMSET KEY INDEX VALUE INDEX VALUE",
    "ARDEL KEY INDEX INDEX",
    "ARDELRANGE KEY INDEX INDEX",
    "ARINSERT KEY VALUE VALUE",
    "ARSEEK KEY INDEX",
    "ARRING KEY SMALL VALUE VALUE",
    "ARGETRANGE KEY SMALL SMALL",
    "ARSCAN KEY INDEX INDEX LIMIT SMALL",
    "ARGREP KEY - + GLOB VALUE",
    "AROP KEY INDEX INDEX SUM",
    "ARLASTITEMS KEY SMALL",
    "SETBIT KEY BIT 1",
    "SETBIT KEY BIT 0",
    "SETRANGE KEY SMALL VALUE",
    "APPEND KEY VALUE",
    "BITOP OR KEY KEY KEY",
    "BITOP NOT KEY KEY",
    "BITOP DIFF KEY KEY KEY",
    "BITFIELD KEY SET u8 BIT SMALL INCRBY i16 BIT SMALL",
    "BITCOUNT KEY SMALL SMALL BIT",
    "BITPOS KEY 1",
    "BITRANGEINTARRAY KEY 0 -1 LIMIT SMALL",
    "HIMPORT PREPARE shape FIELD FIELD FIELD",
    "HIMPORT SET KEY shape VALUE VALUE VALUE",
    "HSET KEY FIELD VALUE FIELD VALUE",
    "HSETNX KEY FIELD VALUE",
    "HDEL KEY FIELD",
    "HINCRBY KEY FIELD SMALL",
    "HPEXPIRE KEY TIME FIELDS 1 FIELD",
    "HPERSIST KEY FIELDS 1 FIELD",
    "HSETEX KEY PX TIME FIELDS 1 FIELD VALUE",
    "HGETDEL KEY FIELDS 1 FIELD",
    "XADD KEY IDMP FIELD VALUE * FIELD VALUE",
    "XADD KEY IDMPAUTO FIELD MAXLEN SMALL * FIELD VALUE FIELD VALUE",
    "XADD KEY ID FIELD VALUE",
    "XCFGSET KEY IDMP-DURATION SMALL IDMP-MAXSIZE SMALL",
    "XGROUP CREATE KEY group 0 MKSTREAM ENTRIESREAD SMALL",
    "XREADGROUP GROUP group FIELD COUNT SMALL CLAIM TIME STREAMS KEY >",
    "XNACK KEY group FAIL IDS 1 ID",
    "XNACK KEY group SILENT IDS 1 ID FORCE",
    "XDELEX KEY ACKED IDS 1 ID",
    "XACKDEL KEY group DELREF IDS 1 ID",
    "XTRIM KEY MAXLEN SMALL DELREF",
    "XIDMPRECORD KEY FIELD VALUE ID",
    "SADD KEY VALUE VALUE",
    "SADDEX KEY PX TIME MEMBERS 1 VALUE",
    "SPEXPIRE KEY TIME MEMBERS 1 VALUE",
    "SREM KEY VALUE",
    "SUNIONSTORE KEY KEY KEY",
    "ZADD KEY SMALL VALUE SMALL FIELD",
    "ZMOVE KEY KEY MIN COUNT SMALL",
    "LMOVEM KEY KEY LEFT RIGHT COUNT SMALL BULK",
    "RPUSH KEY VALUE VALUE VALUE",
    "INCREX KEY BYINT SMALL UBOUND 9 SATURATE PX TIME",
    "COPY KEY KEY REPLACE",
    "RENAME KEY KEY",
    "DEL KEY",
    "BLESS SET KEY NO-EVICT",
];

const KEYS: &[&str] = &["a", "b", "c", "d"];
const FIELDS: &[&str] = &["", "f", "g", "field", "a-longer-name"];
const TIMES: &[&str] = &["0", "1", "3", "10", "1000", "100000"];
const SMALL: &[&str] = &["0", "1", "2", "3", "5", "8", "100", "-1", "-3"];
const IDS: &[&str] = &["0-1", "1-1", "1-2", "5-0", "1000-0", "1000000000001-0"];
const BITS: &[&str] = &["0", "1", "7", "8", "100", "32767", "65536", "1000003", "8388607"];
const INDEXES: &[&str] = &[
    "0", "1", "2", "63", "64", "4095", "4096", "65537", "1048576", "4294967295",
    "9223372036854775807", "18446744073709551614", "18446744073709551615",
];
const VALUES: &[&str] = &["", "0", "-1", "300", "1.5", "value", "9223372036854775807", "1e400"];

struct Follower(Db);

impl EffectLog for Follower {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        let followed = self.0.follow(unit);
        followed.expect("a follower repeats what happened");
        unit.clear();
        Lsn::ZERO
    }
}

fuzz_target!(|data: &[u8]| {
    let now = Arc::new(AtomicU64::new(1_000_000_000_000));
    let options = Options::default()
        .clock(Clock::Manual(Arc::clone(&now)))
        .without_threads();
    let follower = Db::in_memory(options.clone().stripes(2).follower());
    let db = Db::in_memory(options.effect_log(Arc::new(Follower(follower.clone()))));
    for db in [&db, &follower] {
        // A bit far away is a megabyte from the first.
        let settings = &db.engine().settings;
        settings.max_bulk_bytes.store(1 << 20, Ordering::Relaxed);
    }
    let mut connection = db.connect();
    connection.let_wait(false);
    let mut bytes = data.iter().copied();
    while let Some(choice) = bytes.next() {
        let line = LINES[usize::from(choice) % LINES.len()];
        let words: Vec<&str> = line.split(' ').map(|word| word_for(word, &mut bytes)).collect();
        connection.run(&words);
        now.fetch_add(700 * u64::from(choice >> 6), Ordering::Relaxed);
    }
    // What has expired is deleted when it is met.
    connection.run(&[&["EXISTS"], KEYS].concat());
    for key in KEYS {
        assert_value_comes_back(&mut connection, key);
    }
    assert_eq!(
        connection.run(&["DEBUG", "DIGEST"]),
        follower.connect().run(&["DEBUG", "DIGEST"])
    );
});

fn word_for(word: &'static str, bytes: &mut impl Iterator<Item = u8>) -> &'static str {
    let words = match word {
        "KEY" => KEYS,
        "FIELD" => FIELDS,
        "TIME" => TIMES,
        "SMALL" => SMALL,
        "ID" => IDS,
        "BIT" => BITS,
        "INDEX" => INDEXES,
        "VALUE" => VALUES,
        word => return word,
    };
    words[usize::from(bytes.next().unwrap_or(0)) % words.len()]
}

fn assert_value_comes_back(connection: &mut Connection, key: &str) {
    let Value::Bulk(payload) = connection.run(&["DUMP", key]) else {
        return;
    };
    let restored: [&[u8]; 5] = [b"RESTORE", b"copy", b"0", &payload, b"REPLACE"];
    assert_eq!(connection.run(&restored).as_error(), None);
    let digests = connection.run(&["DEBUG", "DIGEST-VALUE", key, "copy"]);
    let Value::Array(digests) = digests else {
        panic!("no digests: {digests:?}");
    };
    assert_eq!(digests[0], digests[1], "{key}");
    connection.run(&["DEL", "copy"]);
}
