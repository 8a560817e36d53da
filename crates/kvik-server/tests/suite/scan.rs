//! What SCAN promises: a key that is there from the first call to the last is returned, whatever
//! else comes and goes.

use std::collections::HashSet;

use kvik::{Clock, Options};
use kvik_resp::Value;

use crate::target::{Connection, MemoryTarget, Product, Target, on_both_backends, real_server};

#[test]
fn in_process() {
    for stripes in [1, 8, 1024] {
        let options = Options::default().stripes(stripes);
        let variant = format!(" with {stripes} stripes");
        check_all(&MemoryTarget::new(options, 3, Clock::System, &variant));
    }
}

#[test]
fn served_on_both_backends() {
    on_both_backends(&[2], |server| check_all(server));
}

#[test]
fn redis() {
    if let Some(server) = real_server(Product::Redis) {
        check_all(&server);
    }
}

fn check_all(target: &dyn Target) {
    let mut connection = target.connect().expect("a connection");
    for (before, change) in [(1000, 0), (100, 40), (2000, -15), (0, 20)] {
        let context = format!("{before} keys, {change} per step");
        let found = walk(&mut *connection, before, change);
        let missed: Vec<_> = (0..STAYING)
            .filter(|n| !found.contains(&staying(*n)))
            .collect();
        assert!(
            missed.is_empty(),
            "{}: {context}: missed {missed:?}",
            target.identity()
        );
    }
}

/// Keys that stay throughout.
const STAYING: i64 = 300;

fn staying(number: i64) -> Vec<u8> {
    format!("staying:{number}").into_bytes()
}

/// Scans a keyspace to which `change` keys are added with every step, or from which so many are
/// deleted.
fn walk(connection: &mut dyn Connection, before: i64, change: i64) -> HashSet<Vec<u8>> {
    ask(connection, &["FLUSHALL"]);
    for number in 0..STAYING {
        ask(connection, &["SET", &format!("staying:{number}"), ""]);
    }
    let mut others = 0..0;
    add(connection, &mut others, before);
    let (mut found, mut cursor) = (HashSet::new(), "0".to_owned());
    for step in 0.. {
        cursor = scan(connection, &cursor, &mut found);
        if cursor == "0" {
            return found;
        }
        assert!(step < 5000, "a scan that does not end");
        // In the end the keyspace stays as it is, or the scan would have to catch up with it.
        match change {
            1.. if step < 50 => add(connection, &mut others, change),
            ..=-1 => remove(connection, &mut others, -change),
            _ => {}
        }
    }
    unreachable!("the steps are not bounded")
}

/// One step: adds what it returns to `found` and returns the next cursor.
fn scan(connection: &mut dyn Connection, cursor: &str, found: &mut HashSet<Vec<u8>>) -> String {
    let reply = ask(connection, &["SCAN", cursor, "COUNT", "7"]);
    let [next, keys] = reply.as_slice().expect("an array") else {
        panic!("{reply:?}")
    };
    let keys = keys.as_slice().expect("an array").iter();
    found.extend(keys.filter_map(Value::as_bytes).map(<[u8]>::to_vec));
    next.as_str().expect("a cursor").to_owned()
}

fn add(connection: &mut dyn Connection, others: &mut std::ops::Range<i64>, count: i64) {
    for number in others.end..others.end + count {
        ask(connection, &["SET", &format!("other:{number}"), ""]);
    }
    others.end += count;
}

fn remove(connection: &mut dyn Connection, others: &mut std::ops::Range<i64>, count: i64) {
    for number in others.by_ref().take(count as usize) {
        ask(connection, &["DEL", &format!("other:{number}")]);
    }
}

fn ask(connection: &mut dyn Connection, command: &[&str]) -> Value {
    connection.ask_words(command).expect("a reply")
}
