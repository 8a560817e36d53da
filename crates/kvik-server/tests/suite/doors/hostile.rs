//! What clients that mean harm, or speak something else, get at each door: an end, and nobody else
//! notices.

use kvik_server::Server;

use super::on_doors;
use super::wire::RawWire;
use crate::reactor::{open, set_large, until};

/// Every door, by its index among the server's addresses.
const DOORS: [&str; 4] = [
    "neks://127.0.0.1:0",
    "kiba://127.0.0.1:0",
    "nkv://127.0.0.1:0",
    "auto://127.0.0.1:0",
];

fn on_all(check: impl Fn(&Server, usize)) {
    on_doors(&DOORS, &[], |server| {
        for door in 1..=DOORS.len() {
            check(server, door);
            assert!(
                server_answers(server),
                "after the attack on {}",
                DOORS[door - 1]
            );
        }
    });
}

fn server_answers(server: &Server) -> bool {
    let mut wire = RawWire::open(server, 0);
    wire.send(b"PING\r\n");
    wire.receive(7) == b"+PONG\r\n"
}

#[test]
fn http_is_not_served() {
    on_all(|server, door| {
        let mut wire = RawWire::open(server, door);
        wire.send(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        wire.finish();
        wire.rest();
    });
}

#[test]
fn random_bytes_end_or_wait() {
    on_all(|server, door| {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        for round in 0..40 {
            let mut wire = RawWire::open(server, door);
            let mut bytes = Vec::new();
            for _ in 0..50 + round * 20 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.push((state >> 24) as u8);
            }
            wire.send(&bytes);
            wire.finish();
            wire.rest();
        }
    });
}

#[test]
fn a_client_that_sends_slowly_holds_nobody_up() {
    on_all(|server, door| {
        let mut slow: Vec<_> = (0..20).map(|_| RawWire::open(server, door)).collect();
        for byte in [0u8, 0, 0, 0, 0, 0, 0, 9, 0x91] {
            slow.iter_mut().for_each(|wire| wire.send(&[byte]));
            assert!(server_answers(server));
        }
    });
}

/// The largest value of a field among the clients of the server.
fn largest(server: &Server, name: &str) -> u64 {
    let list = open(server).ask("CLIENT LIST");
    let list = String::from_utf8_lossy(list.as_bytes().expect("text")).into_owned();
    let fields = list.split_whitespace().filter_map(|at| at.split_once('='));
    let values = fields.filter(|(field, _)| *field == name);
    let values = values.map(|(_, value)| value.parse().expect("a number"));
    values.max().expect("a client")
}

/// Beginnings of requests that announce, or could become, far more than comes.
const BEGINNINGS: [&[u8]; 8] = [
    b"\0\0\0\0\0\x0f\x42\x3f\x91",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\x06\xdd\xff\xff\xff\xff\x92",
    b"\0\0\0\0\0\0\0\x0a\x91\x92\x00\xc6\xff\xff\xff\xffab",
    b"PUT 1 c k dg=",
    b"{\"type\":\"Put\",\"value\":[1,2",
    b"SET k \"endless",
    b"*2147483647\r\n$2147483647\r\n",
];

#[test]
fn what_is_announced_takes_no_memory() {
    on_all(|server, door| {
        let wires: Vec<_> = BEGINNINGS
            .iter()
            .map(|bytes| {
                let mut wire = RawWire::open(server, door);
                wire.send(bytes);
                wire
            })
            .collect();
        assert!(server_answers(server));
        assert!(largest(server, "tot-mem") < 64 << 10);
        drop(wires);
    });
}

/// A request for the large value, for each door; the last one is told apart as nkv's.
const ASKING: [&[u8]; 4] = [
    b"\0\0\0\0\0\0\0\x0a\x91\x92\x00\xc4\x05large",
    b"GET large\n",
    b"GET 1 c large\n",
    b"GET 1 c large\n",
];

#[test]
fn who_never_reads_costs_a_bounded_amount() {
    on_all(|server, door| {
        set_large(&mut open(server));
        let mut silent: Vec<_> = (0..4).map(|_| RawWire::open(server, door)).collect();
        for wire in &mut silent {
            wire.send(&ASKING[door - 1].repeat(200));
        }
        until("unread replies", || largest(server, "omem") >= 1 << 20);
        assert!(server_answers(server));
        // Some replies of a megabyte, however many have been asked for.
        assert!(largest(server, "tot-mem") < 16 << 20);
    });
}

#[test]
fn a_client_too_many_is_sent_off_at_every_door() {
    let refusals: [&[u8]; 4] = [b"", b"(error) max number of clients reached", b"", b""];
    on_doors(&DOORS, &["--maxclients", "2"], |server| {
        let mut first = RawWire::open(server, 0);
        let mut second = RawWire::open(server, 0);
        for wire in [&mut first, &mut second] {
            wire.send(b"PING\r\n");
            assert_eq!(wire.receive(7), b"+PONG\r\n");
        }
        for (door, refusal) in (1..).zip(refusals) {
            let mut wire = RawWire::open(server, door);
            assert_eq!(wire.rest(), refusal, "{}", DOORS[door - 1]);
        }
    });
}

#[test]
fn who_says_nothing_for_too_long_is_sent_off() {
    on_doors(&DOORS, &["--timeout", "1"], |server| {
        let mut subscriber = RawWire::open(server, 3);
        subscriber.send(b"SUB 1 c k\n");
        assert_eq!(subscriber.receive(6), b"HELLO\n");
        let mut idle: Vec<_> = (1..=DOORS.len())
            .map(|door| RawWire::open(server, door))
            .collect();
        for wire in &mut idle {
            assert_eq!(wire.rest(), b"");
        }
        // Who waits to be told something may be quiet.
        open(server).ask("SET k v");
        assert_eq!(subscriber.receive(14), b"UPDATE k dg==\n");
    });
}
