//! Doors where there are namespaces: names are split only where the door says so.

use kvik_resp::Value;
use kvik_server::Server;

use super::on_doors;
use super::wire::RawWire;
use crate::reactor::open;

const NAMESPACES: &[&str] = &["--namespaces", "auto"];

fn keys(server: &Server) -> Vec<Vec<u8>> {
    let mut control = open(server);
    control.send(b"KEYS *\r\n");
    let Some(Value::Array(keys)) = control.reply() else {
        panic!("no keys");
    };
    let mut keys: Vec<_> = keys
        .iter()
        .filter_map(|key| key.as_bytes().map(<[u8]>::to_vec))
        .collect();
    keys.sort();
    keys
}

#[test]
fn names_are_plain_unless_the_door_says_otherwise() {
    let doors = [
        "kiba://127.0.0.1:0",
        "kiba://127.0.0.1:0?namespaces=auto",
        "auto://127.0.0.1:0",
    ];
    on_doors(&doors, NAMESPACES, |server| {
        let [mut plain, mut split, mut any] = [1, 2, 3].map(|door| RawWire::open(server, door));
        plain.send(b"SET a/b one\n");
        assert_eq!(plain.receive(2), b"OK");
        split.send(b"SET a/b two\n");
        assert_eq!(split.receive(2), b"OK");
        assert_eq!(keys(server), [&b"a/b"[..], b"default/a/b"]);
        any.send(b"GET a/b\n");
        assert_eq!(any.receive(5), b"\"one\"");
        any.send(b"KEYS *\n");
        assert_eq!(any.receive(6), b"1) a/b");
        any.send(b"INCR a/b\n");
        assert!(any.receive(20).starts_with(b"(error) Value stored"));
        // Who speaks RESP names namespaces at any door.
        let mut resp = RawWire::open(server, 3);
        resp.send(b"GET a/b\r\n");
        assert_eq!(resp.receive(9), b"$3\r\ntwo\r\n");
    });
}

#[test]
fn a_frame_of_neks_is_one_transaction_in_its_namespace() {
    on_doors(&["neks://127.0.0.1:0"], NAMESPACES, |server| {
        let mut wire = RawWire::open(server, 1);
        // [3, [set /=1, get /]]
        wire.send(b"\0\0\0\0\0\0\0\x11\x91\x92\x03\x92\x93\x01\xc4\x01/\xc4\x011\x92\0\xc4\x01/");
        assert_eq!(wire.receive(14), b"\0\0\0\0\0\0\0\x06\x91\x92\xff\xc4\x011");
        assert_eq!(keys(server), [&b"default//"[..]]);
    });
}

#[test]
fn subscribers_of_nkv_hear_of_their_namespace() {
    let doors = ["nkv://127.0.0.1:0", "nkv://127.0.0.1:0?namespaces=auto"];
    on_doors(&doors, NAMESPACES, |server| {
        let [mut plain, mut split] = [1, 2].map(|door| RawWire::open(server, door));
        for wire in [&mut plain, &mut split] {
            wire.send(b"SUB 1 c w/a\n");
            assert_eq!(wire.receive(6), b"HELLO\n");
        }
        let mut control = open(server);
        control.send(b"SET w/a.b 1\r\nSET default/w/a.b 2\r\n");
        assert_eq!(split.receive(18), b"UPDATE w/a.b MQ==\n");
        assert_eq!(plain.receive(18), b"UPDATE w/a.b Mg==\n");
        control.send(b"NAMESPACE FLUSH w\r\n");
        assert_eq!(split.receive(12), b"CLOSE w/a.b\n");
        assert!(plain.is_quiet(30));
        control.send(b"FLUSHALL\r\n");
        assert_eq!(plain.receive(12), b"CLOSE w/a.b\n");
        let mut asking = RawWire::open(server, 1);
        asking.send(b"PUT 1 c x/y dg==\nLIST 2 c\n");
        assert_eq!(asking.rest(), b"1 OK\n2 OK x/y\n");
    });
}
