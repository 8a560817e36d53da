//! DUMP and RESTORE between kvik and the real servers: what one dumps the other restores, and it is equal.

use kvik::{Clock, Options};
use kvik_resp::{ArgsBuf, Value};

use crate::target::{Connection, MemoryTarget, Product, Target, real_server};

/// Values: what makes `k`, and the command that reads it.
const VALUES: &[(&[&str], &str)] = &[
    (&["SET k value"], "GET k"),
    (&["SET k -12345"], "GET k"),
    (&["SET k 9223372036854775807"], "GET k"),
    (&["SETRANGE k 5000 end"], "GET k"),
    (&["SET k ababababababababababababababab"], "GET k"),
];

#[test]
fn with_redis() {
    exchange(Product::Redis);
}

#[test]
fn with_valkey() {
    exchange(Product::Valkey);
}

fn exchange(product: Product) {
    let Some(real) = real_server(product) else {
        return;
    };
    let kvik = MemoryTarget::new(Options::default(), 2, Clock::System, "");
    let mut kvik = kvik.connect().expect("a connection");
    let mut real = real.connect().expect("a connection");
    for (commands, read) in VALUES {
        carry(&mut *kvik, &mut *real, commands, read);
        carry(&mut *real, &mut *kvik, commands, read);
    }
}

/// Makes a value at one end and restores it at the other.
fn carry(from: &mut dyn Connection, to: &mut dyn Connection, commands: &[&str], read: &str) {
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
    assert_eq!(answer.as_str(), Some("OK"), "{commands:?}");
    assert_eq!(
        ordered(ask(to, read)),
        ordered(ask(from, read)),
        "{commands:?}"
    );
}

fn ask(connection: &mut dyn Connection, command: &str) -> Value {
    let words: Vec<_> = command.split(' ').collect();
    let reply = connection.ask_words(&words).expect("a reply");
    assert!(!matches!(reply, Value::Error(_)), "{command}: {reply:?}");
    reply
}

/// The elements of a reply in an order of their own: those of hashes and sets come in any.
fn ordered(reply: Value) -> Vec<String> {
    let elements = reply
        .as_slice()
        .map_or_else(|| vec![reply.clone()], <[Value]>::to_vec);
    let mut texts: Vec<_> = elements
        .iter()
        .map(|element| format!("{element:?}"))
        .collect();
    texts.sort_unstable();
    texts
}
