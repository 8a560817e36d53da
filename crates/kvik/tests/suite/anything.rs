//! Whatever a client sends, commands answer: words that look right, words that do not, and numbers
//! at the edges, in any command, inside and outside of transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvik::{Connection, Db, Options};
use kvik_command::table;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::Mirror;

/// Words that mean something to some command, or nearly do.
const WORDS: &[&str] = &[
    "",
    "a",
    "b",
    "c",
    "a",
    "b",
    "*",
    "[",
    "a*?[^",
    "\\",
    "0",
    "1",
    "2",
    "-1",
    "3",
    "15",
    "16",
    "007",
    "+1",
    " 1",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "-0",
    "4096",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "9223372036854775",
    "-9223372036854775",
    "NX",
    "XX",
    "GT",
    "LT",
    "GET",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "PERSIST",
    "IFEQ",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "DB",
    "REPLACE",
    "LEN",
    "IDX",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "ASYNC",
    "SYNC",
    "ON",
    "OFF",
    "SKIP",
    "yes",
    "no",
    "ID",
    "ADDR",
    "SKIPME",
    "MAXAGE",
    "USER",
    "default",
    "AUTH",
    "SETNAME",
    "FILTERBY",
    "MODULE",
    "PATTERN",
    "ACLCAT",
    "SAMPLES",
    "VERSION",
    "LIB-NAME",
    "all",
    "everything",
    "commandstats",
    "get",
    "client|list",
    "client",
    "command",
    "DIGEST",
    "OBJECT",
    "PROTOCOL",
    "MEMBERS",
    "IDS",
    "DELREF",
    "NO-EVICT",
    "ACKED",
    "IDMP",
    "IDMPAUTO",
    "CLAIM",
    "FAIL",
    "FORCE",
    "STREAMS",
    ">",
    "1-1",
    "LEFT",
    "RIGHT",
    "EXACTLY",
    "BULK",
    "BYFLOAT",
    "UBOUND",
    "SATURATE",
    "MIN",
    "BYSCORE",
    "START",
    "METRICS",
    "SLOTS",
    "ENTRIESREAD",
    "\r\n",
    "\u{0}\u{ff}",
];

#[derive(Debug, Clone)]
struct Line {
    command: Index,
    words: Vec<&'static str>,
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let words = prop::collection::vec(select(WORDS), 0..7);
    let line = (any::<Index>(), words).prop_map(|(command, words)| Line { command, words });
    prop::collection::vec(line, 1..60)
}

fn digest(db: &Db) -> kvik::Value {
    db.run(&["DEBUG", "DIGEST"])
}

/// Touches every key there may be, which deletes those whose time has come.
fn meet_expired(connection: &mut Connection) {
    for db in 0..16 {
        connection.run(&["SELECT", &db.to_string()]);
        connection.run(&[&["EXISTS"], WORDS].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn every_command_answers(lines in lines()) {
        let now = Arc::new(AtomicU64::new(1_000_000_000_000));
        // Both know what time it is: what has expired is hidden from who asks a follower.
        let options = Options::default().clock(kvik::Clock::Manual(Arc::clone(&now)));
        let mirror = Db::in_memory(options.clone().stripes(4).follower());
        let db = Db::in_memory(options.effect_log(Arc::new(Mirror(mirror.clone()))));
        db.engine().settings.max_bulk_bytes.store(1 << 16, Ordering::Relaxed);
        mirror.engine().settings.max_bulk_bytes.store(1 << 16, Ordering::Relaxed);
        let mut connection = db.connect();
        // Nobody else is there to serve a command that waits.
        connection.let_wait(false);
        for Line { command, words } in &lines {
            let command = command.get(table().commands());
            let name = command.full_name().split('|');
            let line: Vec<&str> = name.chain(words.iter().copied()).collect();
            if !line[0].eq_ignore_ascii_case("debug") {
                connection.run(&line);
            }
            // Nobody else is there to end a pause, for which the next command would wait.
            db.engine().pause.end();
            now.fetch_add(700, Ordering::Relaxed);
        }
        connection.run(&["DISCARD"]);
        meet_expired(&mut connection);
        prop_assert_eq!(digest(&db), digest(&mirror));
    }
}
