//! Neks, byte for byte.

use kvik_resp::Value;
use kvik_server::Server;

use super::on_doors;
use super::wire::RawWire;
use crate::reactor::open;

const DOOR: &str = "neks://127.0.0.1:0";

/// Hexadecimal digits, blanks between them, and `78*300` for repetitions.
fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
        let part: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).expect("digits"))
            .collect();
        bytes.extend(part.repeat(times.parse().expect("a number")));
    }
    bytes
}

/// What a client sends and what it gets, in an order in which each finds the state it needs.
const VECTORS: &[(&str, &str, &str)] = &[
    (
        "set",
        "0000000000000013 91 93 01 c4 05 68656c6c6f c4 07 676f6f64627965",
        "0000000000000001 90",
    ),
    (
        "get",
        "000000000000000a 91 92 00 c4 05 68656c6c6f",
        "000000000000000c 91 92 ff c4 07 676f6f64627965",
    ),
    (
        "get of a missing key",
        "000000000000000b 91 92 00 c4 06 6e6f73756368",
        "0000000000000003 91 91 fe",
    ),
    (
        "delete",
        "000000000000000a 91 92 02 c4 05 68656c6c6f",
        "0000000000000001 90",
    ),
    ("nothing", "0000000000000001 90", "0000000000000001 90"),
    (
        "set, miss, hit",
        "0000000000000020 93 9301c406737461747573c4024f4b 9200c4034a696d 9200c406737461747573",
        "0000000000000009 92 91fe 92ffc4024f4b",
    ),
    (
        "delete, then get",
        "000000000000000d 92 9202c4026b31 9200c4026b31",
        "0000000000000003 91 91fe",
    ),
    (
        "a transaction between others",
        "0000000000000023 93 9301c40161c40131 9203 93 9200c40161 9301c40161c40132 9200c40161 \
         9200c40161",
        "0000000000000010 93 92ffc40131 92ffc40132 92ffc40132",
    ),
    (
        "nested transactions",
        "000000000000001a 91 9203 92 9203 92 9200c40161 9203 91 9200c4027a7a 9200c40161",
        "000000000000000d 93 92ffc40132 91fe 92ffc40132",
    ),
    (
        "an empty transaction",
        "0000000000000004 91 92 03 90",
        "0000000000000001 90",
    ),
    (
        "an empty key and value",
        "000000000000000b 92 9301c400c400 9200c400",
        "0000000000000005 91 92ffc400",
    ),
    (
        "sixteen misses",
        "0000000000000083 dc0010 9200c4046e6f7065*16",
        "0000000000000023 dc0010 91fe*16",
    ),
    (
        "set a value of 300 bytes",
        "0000000000000137 91 93 01 c4 03 626967 c5 012c 78*300",
        "0000000000000001 90",
    ),
    (
        "get a value of 300 bytes",
        "0000000000000008 91 9200c403626967",
        "0000000000000132 91 92 ff c5 012c 78*300",
    ),
    (
        "set a value of 255 bytes",
        "0000000000000109 91 93 01 c4 03 626967 c4 ff 78*255",
        "0000000000000001 90",
    ),
    (
        "get a value of 255 bytes",
        "0000000000000008 91 9200c403626967",
        "0000000000000104 91 92 ff c4 ff 78*255",
    ),
    (
        "a number as int8",
        "0000000000000007 91 92 d0 00 c4 01 61",
        "0000000000000006 91 92 ff c4 01 32",
    ),
    (
        "arrays of 16 bits",
        "000000000000000a dc0001 dc0002 00 c40161",
        "0000000000000006 91 92 ff c4 01 32",
    ),
    (
        "an array and a string of 32 bits",
        "000000000000000d dd00000001 9200 c600000001 61",
        "0000000000000006 91 92 ff c4 01 32",
    ),
    (
        "junk behind the list",
        "0000000000000009 91 9200c40161 ffff00",
        "0000000000000006 91 92 ff c4 01 32",
    ),
    (
        "the example of its documentation: set",
        "0000000000000024 92 9301c4034a696dc40748616c70657274 9301c406447769676874c40753636872757465",
        "0000000000000001 90",
    ),
    (
        "the example of its documentation",
        "0000000000000020 93 9301c406737461747573c4024f4b 9200c4034a696d 9200c406447769676874",
        "0000000000000017 92 92ffc40748616c70657274 92ffc40753636872757465",
    ),
];

/// Frames that end the connection without a word.
const REFUSED: &[(&str, &str)] = &[
    ("a short string", "0000000000000005 91 92 00 a2 6b31"),
    ("a string", "0000000000000007 91 92 00 d9 02 6b31"),
    ("a number as uint8", "0000000000000007 91 92 cc 00 c40161"),
    ("an unknown number", "0000000000000006 91 92 09 c40161"),
    ("a negative number", "0000000000000006 91 92 ff c40161"),
    ("a word too many", "0000000000000009 91 93 00 c40161 c40162"),
    ("a word too few", "0000000000000006 91 92 01 c40161"),
    ("a map", "0000000000000003 81 01 02"),
    ("a number for the list", "0000000000000001 05"),
    ("nothing at all", "0000000000000000"),
    (
        "a bad request behind a good one",
        "000000000000000b 92 9301c4026d6dc40131 91 07",
    ),
    ("a million bytes", "00000000000f4240"),
    ("more than there are", "ffffffffffffffff"),
    (
        "an array with a lying length",
        "000000000000000a dd7fffffff 9200 c40161",
    ),
    (
        "a string with a lying length",
        "000000000000000a 91 9200 c67fffffff 6161",
    ),
];

/// A vector whose announced length is right.
fn exact(vector: &str) -> Vec<u8> {
    let bytes = hex(vector);
    let announced = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
    assert_eq!(announced as usize, bytes.len() - 8, "{vector}");
    bytes
}

/// The same, with the length made right.
fn framed(vector: &str) -> Vec<u8> {
    let mut bytes = hex(vector);
    if let Some(len) = bytes.len().checked_sub(8).filter(|len| *len > 0) {
        bytes[..8].copy_from_slice(&(len as u64).to_be_bytes());
    }
    bytes
}

fn flush(server: &Server) {
    let mut control = open(server);
    control.send(b"FLUSHALL\r\n");
    assert_eq!(control.reply(), Some(Value::Simple("OK".into())));
}

#[test]
fn every_vector_is_answered_byte_for_byte() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        for (name, request, reply) in VECTORS {
            let expected = exact(reply);
            wire.send(&exact(request));
            assert_eq!(wire.receive(expected.len()), expected, "{name}");
        }
        flush(server);
        for (name, request, reply) in VECTORS {
            let expected = exact(reply);
            wire.trickle(&exact(request));
            assert_eq!(
                wire.receive(expected.len()),
                expected,
                "{name}, byte by byte"
            );
        }
        flush(server);
        let of = |which: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
            VECTORS
                .iter()
                .flat_map(|vector| exact(which(vector)))
                .collect::<Vec<_>>()
        };
        let (requests, replies) = (of(|vector| vector.1), of(|vector| vector.2));
        wire.send(&requests);
        assert_eq!(wire.receive(replies.len()), replies, "glued together");
        wire.finish();
        assert_eq!(wire.rest(), b"", "the server closes when the client has");
    });
}

#[test]
fn what_is_refused_ends_the_connection_silently() {
    on_doors(&[DOOR], &[], |server| {
        for (name, request) in REFUSED {
            for is_cut in [false, true] {
                let mut wire = RawWire::open(server, 1);
                let bytes = match *name {
                    "a million bytes" | "more than there are" | "nothing at all" => hex(request),
                    _ => framed(request),
                };
                if is_cut {
                    wire.trickle(&bytes);
                } else {
                    wire.send(&bytes);
                }
                assert_eq!(wire.rest(), b"", "{name}");
            }
        }
        let mut control = open(server);
        control.send(b"EXISTS mm\r\n");
        assert_eq!(control.reply(), Some(Value::Integer(0)));
    });
}

#[test]
fn the_largest_frame_is_served_and_one_byte_more_is_not() {
    on_doors(&[DOOR], &["--neks-max-frame", "200"], |server| {
        let frame = |len: usize| {
            let value = vec![b'v'; len - 8];
            let head = [&[0x91, 0x93, 1, 0xc4, 1, b'k', 0xc4, value.len() as u8][..]].concat();
            let payload = [head, value].concat();
            [&(payload.len() as u64).to_be_bytes()[..], &payload].concat()
        };
        let mut wire = RawWire::open(server, 1);
        wire.send(&frame(200));
        assert_eq!(wire.receive(9), hex("0000000000000001 90"));
        wire.send(&frame(201));
        assert_eq!(wire.rest(), b"");
    });
}

#[test]
fn a_key_of_another_type_is_missing_until_it_is_replaced() {
    on_doors(&[DOOR], &[], |server| {
        let mut control = open(server);
        control.send(b"RPUSH hello a\r\n");
        assert_eq!(control.reply(), Some(Value::Integer(1)));
        let mut wire = RawWire::open(server, 1);
        let get = framed("00*8 91 92 00 c4 05 68656c6c6f");
        wire.send(&get);
        assert_eq!(wire.receive(11), framed("00*8 91 91 fe"));
        wire.send(&framed("00*8 91 9203 91 92 00 c4 05 68656c6c6f"));
        assert_eq!(wire.receive(11), framed("00*8 91 91 fe"));
        wire.send(&framed(VECTORS[0].1));
        assert_eq!(wire.receive(9), framed("00*8 90"));
        control.send(b"GET hello\r\nDEL hello\r\nSADD hello x\r\n");
        assert_eq!(control.reply(), Some(Value::Bulk(b"goodbye".to_vec())));
        assert_eq!(control.reply(), Some(Value::Integer(1)));
        assert_eq!(control.reply(), Some(Value::Integer(1)));
        wire.send(&framed(VECTORS[3].1));
        assert_eq!(wire.receive(9), framed("00*8 90"));
        control.send(b"EXISTS hello\r\n");
        assert_eq!(control.reply(), Some(Value::Integer(0)));
    });
}

#[test]
fn a_door_has_its_database() {
    on_doors(&["neks://127.0.0.1:0/3"], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(&framed(VECTORS[0].1));
        assert_eq!(wire.receive(9), framed("00*8 90"));
        let mut control = open(server);
        control.send(b"EXISTS hello\r\nSELECT 3\r\nGET hello\r\n");
        assert_eq!(control.reply(), Some(Value::Integer(0)));
        assert_eq!(control.reply(), Some(Value::Simple("OK".into())));
        assert_eq!(control.reply(), Some(Value::Bulk(b"goodbye".to_vec())));
    });
}

#[test]
fn a_password_keeps_the_door_shut() {
    on_doors(&[DOOR], &["--requirepass", "secret"], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(&framed(VECTORS[1].1));
        assert_eq!(wire.rest(), b"");
    });
}

/// As deep as a frame can be, and a transaction all the same.
#[test]
fn depth_is_no_attack() {
    on_doors(&[DOOR], &[], |server| {
        const LEVELS: usize = 333_000;
        let mut payload = vec![0x91];
        payload.extend(b"\x92\x03\x91".repeat(LEVELS));
        payload.truncate(999_990);
        payload.extend(b"\x92\x00\xc4\x01a");
        let mut wire = RawWire::open(server, 1);
        wire.send(&(payload.len() as u64).to_be_bytes());
        wire.send(&payload);
        assert_eq!(wire.receive(11), framed("00*8 91 91 fe"));
    });
}

/// More replies than any buffer takes wait until they are read, and large values come whole.
#[test]
fn a_client_may_read_late() {
    on_doors(&[DOOR], &[], |server| {
        let value: Vec<u8> = (0..600_000).map(|at| (at % 251) as u8).collect();
        let len = (value.len() as u32).to_be_bytes();
        let set = [&b"\x91\x93\x01\xc4\x01v\xc6"[..], &len, &value].concat();
        let set = [&(set.len() as u64).to_be_bytes()[..], &set].concat();
        let get = framed("00*8 91 9200c40176");
        let mut wire = RawWire::open(server, 1);
        wire.send(&set);
        assert_eq!(wire.receive(9), framed("00*8 90"));
        wire.send(&get.repeat(50));
        std::thread::sleep(std::time::Duration::from_millis(50));
        let reply = [&b"\x91\x92\xff\xc6"[..], &len, &value].concat();
        let reply = [&(reply.len() as u64).to_be_bytes()[..], &reply].concat();
        for _ in 0..50 {
            assert!(wire.receive(reply.len()) == reply);
        }
    });
}
