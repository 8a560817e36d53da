//! DUMP and RESTORE between kvik and the real servers: what one dumps the other restores, and it is
//! equal.

use kvik::{Clock, Options};
use kvik_resp::{ArgsBuf, Value};

use crate::target::{Connection, MemoryTarget, Product, Target, real_server};

const ZRANGE: &str = "ZRANGE k 0 -1 WITHSCORES";

/// Values: what makes `k`, one command after the other, and the command that reads it.
fn values() -> Vec<(Vec<String>, &'static str)> {
    let of = |command: &str, read| (vec![command.to_owned()], read);
    vec![
        of("SET k value", "GET k"),
        of("SET k -12345", "GET k"),
        of("SET k 9223372036854775807", "GET k"),
        of("SETRANGE k 5000 end", "GET k"),
        of("SET k ababababababababababababababab", "GET k"),
        of("RPUSH k a 1 b -70000", "LRANGE k 0 -1"),
        (many("RPUSH k", |n| format!("element:{n}")), "LRANGE k 0 -1"),
        of(
            &format!("RPUSH k {} a {}", "x".repeat(20_000), "y".repeat(90)),
            "LRANGE k 0 -1",
        ),
        of("HSET k f v g 12 h -5000000000", "HGETALL k"),
        (many("HSET k", |n| format!("field:{n} {n}")), "HGETALL k"),
        of(
            &format!("HSET k long {} short 1", "x".repeat(100)),
            "HGETALL k",
        ),
        of("SADD k 1 -2 300", "SMEMBERS k"),
        of("SADD k 1 -2 5000000000", "SMEMBERS k"),
        of("SADD k a 17 c", "SMEMBERS k"),
        (many("SADD k", |n| n.to_string()), "SMEMBERS k"),
        (many("SADD k", |n| format!("member:{n}")), "SMEMBERS k"),
        of("ZADD k 1 a -inf b 2.5 c 2.5 7 9007199254740993 d", ZRANGE),
        (
            many("ZADD k", |n| format!("{} member:{n}", f64::from(n) / 4.0)),
            ZRANGE,
        ),
        (many("ZADD k", |n| format!("{} {n}", n % 9)), ZRANGE),
        (groups(), "XRANGE k - +"),
        (groups(), "XINFO GROUPS k"),
        (groups(), "XPENDING k g"),
        (groups(), "XPENDING k h"),
        (entries(), "XRANGE k - +"),
        of("XGROUP CREATE k g $ MKSTREAM", "XINFO GROUPS k"),
    ]
}

/// A stream of several nodes.
fn entries() -> Vec<String> {
    let entry = |n| format!("XADD k {n}-1 field {n} other value:{n}");
    (1..500).map(entry).collect()
}

/// A stream with gaps, groups, consumers and pending entries.
fn groups() -> Vec<String> {
    let commands = [
        "XADD k 1-1 f v",
        "XADD k 2-1 f w other 12",
        "XADD k 3-1 f x",
        "XADD k 4-1 f -7",
        "XDEL k 2-1",
        "XGROUP CREATE k g 0",
        "XGROUP CREATE k h 3-1",
        "XGROUP CREATECONSUMER k g idle",
        "XREADGROUP GROUP g alice COUNT 2 STREAMS k >",
        "XREADGROUP GROUP g bob STREAMS k >",
        "XCLAIM k g bob 0 1-1 TIME 1700000000000 RETRYCOUNT 5",
        "XREADGROUP GROUP h carol STREAMS k >",
    ];
    commands.map(str::to_owned).to_vec()
}

/// Commands that add a thousand elements.
fn many(command: &str, element: impl Fn(u32) -> String) -> Vec<String> {
    let chunk = |start| {
        (start..start + 100)
            .map(&element)
            .collect::<Vec<_>>()
            .join(" ")
    };
    (0..10)
        .map(|n| format!("{command} {}", chunk(n * 100)))
        .collect()
}

#[test]
fn with_redis() {
    if let Some(real) = real_server(Product::Redis) {
        exchange(&real, &values());
    }
}

#[test]
fn with_valkey() {
    if let Some(real) = real_server(Product::Valkey) {
        let mut values = values();
        let expiring = ["HSET k f v g 12", "HPEXPIREAT k 2900000000000 FIELDS 1 f"];
        let expiring = expiring.map(str::to_owned).to_vec();
        values.push((expiring, "HPEXPIRETIME k FIELDS 3 f g missing"));
        exchange(&real, &values);
    }
}

fn exchange(real: &dyn Target, values: &[(Vec<String>, &str)]) {
    let kvik = MemoryTarget::new(Options::default(), 2, Clock::System, "");
    let mut kvik = kvik.connect().expect("a connection");
    let mut real = real.connect().expect("a connection");
    for (commands, read) in values {
        carry(&mut *kvik, &mut *real, commands, read);
        carry(&mut *real, &mut *kvik, commands, read);
    }
}

/// Makes a value at one end and restores it at the other.
fn carry(from: &mut dyn Connection, to: &mut dyn Connection, commands: &[String], read: &str) {
    ask(from, "FLUSHALL");
    ask(to, "FLUSHALL");
    for command in commands {
        ask(from, command);
    }
    let payload = ask(from, "DUMP k");
    let payload = payload.as_bytes().expect("a payload");
    let mut restore: ArgsBuf = ["RESTORE", "k", "0"].iter().collect();
    restore.push(payload);
    let answer = to.ask(restore.as_args()).expect("a reply");
    let first: String = commands[0].chars().take(60).collect();
    assert_eq!(answer.as_str(), Some("OK"), "{first}: {answer:?}");
    let (there, here) = (ask(to, read), ask(from, read));
    if read.starts_with("LRANGE") {
        assert_eq!(there, here, "{first}");
    }
    assert_eq!(ordered(there), ordered(here), "{first}");
}

fn ask(connection: &mut dyn Connection, command: &str) -> Value {
    let words: Vec<_> = command.split(' ').collect();
    let reply = connection.ask_words(&words).expect("a reply");
    assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
    reply
}

/// The elements of a reply in an order of their own: those of hashes and sets come in any.
fn ordered(reply: Value) -> Vec<String> {
    let elements = match reply.as_slice() {
        Some(elements) => elements.to_vec(),
        None => vec![reply],
    };
    let mut texts: Vec<_> = elements
        .iter()
        .map(|element| format!("{element:?}"))
        .collect();
    texts.sort_unstable();
    texts
}
