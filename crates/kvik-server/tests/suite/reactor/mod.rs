//! What the reactor owes its connections whatever they wait for: order, their slot, their limits,
//! and a last reply.
//!
//! Where a connection must find its stripe taken, the test holds the stripe itself
//! ([`kvik::Db::transaction`]), so that nothing here depends on how fast anything is.

mod ending;
mod limits;
mod order;
mod shown;

use std::thread;
use std::time::{Duration, Instant};

use kvik_resp::Value;
use kvik_server::Server;

use crate::target::{Wire, command, start};

/// Checks servers with so many threads and these settings on each backend that this machine has.
pub(crate) fn on_each(threads: &[usize], settings: &[&str], check: impl Fn(Server)) {
    for io in ["mio", "uring"] {
        threads
            .iter()
            .for_each(|&threads| on(io, threads, settings, &check));
    }
}

/// The same for what takes its time: on both backends at once, with two threads.
fn at_once(settings: &[&str], check: impl Fn(Server) + Sync) {
    thread::scope(|scope| {
        for io in ["mio", "uring"] {
            let check = &check;
            scope.spawn(move || on(io, 2, settings, check));
        }
    });
}

fn on(io: &str, threads: usize, settings: &[&str], check: impl Fn(Server)) {
    match start(io, threads, settings) {
        Ok(server) => check(server),
        Err(error) if io == "uring" => println!("no io_uring here: {error}"),
        Err(error) => panic!("{error}"),
    }
}

/// Runs something while the stripe of the key `counter` is held.
fn while_held<R>(db: &kvik::Db, run: impl FnOnce() -> R) -> R {
    let hold = |_: &mut kvik::Transaction<'_>| Ok::<_, kvik::Error>(run());
    db.transaction(&[b"counter"], hold)
        .expect("nothing refuses it")
}

pub(crate) fn open(server: &Server) -> Wire {
    Wire::open(server.addresses()[0].port())
}

/// Waits for what will come true, unless something hangs.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A field of a client's line in CLIENT LIST, unless it has gone.
pub(crate) fn field(control: &mut Wire, id: i64, name: &str) -> Option<String> {
    let list = control.ask(&format!("CLIENT LIST ID {id}"));
    let line = String::from_utf8_lossy(list.as_bytes().expect("text")).into_owned();
    let mut fields = line.split_whitespace().filter_map(|at| at.split_once('='));
    fields
        .find(|(field, _)| *field == name)
        .map(|(_, value)| value.to_owned())
}

/// Waits until a client's field is a number that is large enough.
fn until_at_least(control: &mut Wire, id: i64, name: &str, least: u64) {
    until(name, || {
        let value = field(control, id, name).expect("a client that is there");
        value.parse::<u64>().expect("a number") >= least
    });
}

/// Large values that are more than the kernel takes for a client that does not read.
const UNREAD: usize = 32;

pub(crate) fn set_large(control: &mut Wire) {
    let set = command(&[b"SET", b"large", &vec![b'x'; 1 << 20]]);
    control.send(&set);
    assert_eq!(control.reply(), Some(ok()));
}

/// A client, with its number, that has asked for `UNREAD` large values, each followed by its count,
/// and reads nothing.
pub(crate) fn clog(server: &Server, control: &mut Wire) -> (Wire, i64) {
    let mut clogged = open(server);
    let id = clogged.id();
    let ask = |number| format!("GET large\r\nECHO {number}\r\n");
    clogged.send((0..UNREAD).map(ask).collect::<String>().as_bytes());
    until_at_least(control, id, "omem", 1 << 20);
    (clogged, id)
}

pub(crate) fn ok() -> Value {
    Value::Simple("OK".into())
}

pub(crate) fn pong() -> Value {
    Value::Simple("PONG".into())
}

fn bulk(bytes: impl AsRef<[u8]>) -> Value {
    Value::Bulk(bytes.as_ref().to_vec())
}
