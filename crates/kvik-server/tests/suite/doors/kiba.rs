//! Kiba, byte for byte.
//!
//! Where the sheet of the original records what its packets do to commands, kvik gives the right
//! answer, whatever the packets: two lines in one packet are two commands, a line in two packets is
//! one, a quote that is not closed takes no padding, what is not UTF-8 is stored, and the end of
//! the input is not nine empty commands.

use kvik_resp::Value;

use super::on_doors;
use super::wire::RawWire;
use crate::reactor::open;

const DOOR: &str = "kiba://127.0.0.1:0";

/// A session: what is sent, and what comes back.
const SESSION: &[(&[u8], &[u8])] = &[
    (b"PING\n", b"PONG"),
    (
        b"PING x\n",
        b"(error) Unexpected number of arguments. Expected 0, got 1",
    ),
    (b"SET name \"FOO BAR\"\n", b"OK"),
    (b"GET name\n", b"\"FOO BAR\""),
    (b"GET bar\n", b"(nil)"),
    (b"SET counter 9999\n", b"OK"),
    (b"INCR counter\n", b"(integer) 10000"),
    (b"DECRBY counter 3000\n", b"(integer) 7000"),
    (b"DECR counter\n", b"(integer) 6999"),
    (b"INCRBY counter -10\n", b"(integer) 6989"),
    (
        b"DECRBY counter -9223372036854775808\n",
        b"(error) Operation would cause integer to go out-of-bounds",
    ),
    (
        b"INCR name\n",
        b"(error) Value stored at key cannot be represented as a 64-bit integer",
    ),
    (b"INCR nosuch\n", b"(error) Specified key does not exist"),
    (b"SET big 9223372036854775807\n", b"OK"),
    (
        b"INCR big\n",
        b"(error) Operation would cause integer to go out-of-bounds",
    ),
    (
        b"INCRBY big x\n",
        b"(error) Value to increment by is a non-integer",
    ),
    (
        b"DECRBY big x\n",
        b"(error) Value to decrement by is a non-integer",
    ),
    (b"SET padded +007\n", b"OK"),
    (b"INCRBY padded +03\n", b"(integer) 10"),
    (b"LPUSH letters b\n", b"(integer) 1"),
    (b"LPUSH letters a\n", b"(integer) 2"),
    (b"RPUSH letters c\n", b"(integer) 3"),
    (b"LPOP letters\n", b"\"a\""),
    (b"RPOP letters\n", b"\"c\""),
    (b"LPOP letters\n", b"\"b\""),
    (b"LPOP letters\n", b"(nil)"),
    (b"SADD colors red\n", b"(integer) 1"),
    (b"SADD colors blue\n", b"(integer) 2"),
    (b"SADD colors red\n", b"(integer) 2"),
    (b"SREM colors nope\n", b"(integer) 2"),
    (b"SREM colors red\n", b"(integer) 1"),
    (b"SREM noset x\n", b"(integer) 0"),
    (b"SISMEMBER colors blue\n", b"(integer) 1"),
    (b"SISMEMBER colors red\n", b"(integer) 0"),
    (b"SMEMBERS colors\n", b"1) blue"),
    (b"SMEMBERS nosuch\n", b"(empty list or set)"),
    (b"HSET user:321 name \"John Smith\"\n", b"(integer) 1"),
    (b"HSET user:321 name Jane\n", b"(integer) 0"),
    (b"HGET user:321 name\n", b"\"Jane\""),
    (b"HGET user:321 nofield\n", b"(nil)"),
    (b"HGET user:321 username\n", b"(nil)"),
    (b"HDEL user:321 name\n", b"(integer) 1"),
    (b"HDEL user:321 name\n", b"(integer) 0"),
    (
        b"GET\n",
        b"(error) Unexpected number of arguments. Expected 1, got 0",
    ),
    (b"FLUSHALL\n", b"(error) Unrecognized operator"),
    (b"*1\r\n", b"(error) Unrecognized operator"),
    (b"\n", b"\0"),
    (b"SET e \"\"\n", b"OK"),
    (b"GET e\n", b"\"\""),
    (b"set \"e\" \"x\"\r\n", b"OK"),
    (b"\"gEt\" e\r\n", b"\"x\""),
    (b"SET same s\n", b"OK"),
    (b"RPUSH same l\n", b"(integer) 1"),
    (b"SADD same m\n", b"(integer) 1"),
    (b"HSET same f v\n", b"(integer) 1"),
    (b"GET same\n", b"\"s\""),
    (b"EXISTS same\n", b"(integer) 4"),
    (b"EXPIRE same 1000\n", b"(integer) 4"),
    (b"KEYS sa*\n", b"1) same"),
    (b"DEL same\n", b"(integer) 4"),
    (b"EXISTS same\n", b"(integer) 0"),
    (b"KEYS sa*\n", b"(empty list or set)"),
    ("SET u é\n".as_bytes(), b"OK"),
    (b"GET u\n", "\"é\"".as_bytes()),
    (b"SET raw \xff\xfe\n", b"OK"),
    (b"GET raw\n", b"\"\xff\xfe\""),
    (b"SET lines \"a\nb\"\n", b"OK"),
    (b"GET lines\n", b"\"a\nb\""),
];

#[test]
fn a_session_is_answered_byte_for_byte() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        for (line, reply) in SESSION {
            wire.send(line);
            assert_eq!(wire.receive(reply.len()), *reply, "{}", line.escape_ascii());
        }
        flush(server);
        let lines = SESSION.iter().flat_map(|(line, _)| line.to_vec());
        let replies: Vec<u8> = SESSION
            .iter()
            .flat_map(|(_, reply)| reply.to_vec())
            .collect();
        wire.send(&lines.collect::<Vec<_>>());
        assert_eq!(wire.receive(replies.len()), replies, "glued together");
        wire.send(b"QUIT now\n");
        assert_eq!(wire.rest(), b"");
    });
}

fn flush(server: &kvik_server::Server) {
    let mut control = open(server);
    control.send(b"FLUSHALL\r\n");
    assert_eq!(control.reply(), Some(Value::Simple("OK".into())));
}

#[test]
fn what_has_no_line_end_is_whole_after_a_moment() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        let tails: [(&[u8], &[u8]); 4] = [
            (b"PING", b"PONG"),
            (b"\0PING\0\0\0", b"PONG"),
            (b"SET k \"v w", b"OK"),
            (b"GET k", b"\"v w\""),
        ];
        for (tail, reply) in tails {
            wire.send(tail);
            assert_eq!(wire.receive(reply.len()), reply, "{}", tail.escape_ascii());
        }
        wire.send(b"GET k\nPING");
        wire.finish();
        assert_eq!(
            wire.rest(),
            b"\"v w\"PONG",
            "the end of the input ends the tail"
        );
    });
}

#[test]
fn a_long_command_is_not_cut() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        let value = b"x".repeat(100_000);
        wire.send(&[b"SET long ", &value[..], b"\n"].concat());
        assert_eq!(wire.receive(2), b"OK");
        wire.send(b"GET long\n");
        assert_eq!(
            wire.receive(value.len() + 2),
            [b"\"", &value[..], b"\""].concat()
        );
    });
}

#[test]
fn ten_empty_lines_end_the_connection() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(&b"\n".repeat(10));
        assert_eq!(wire.rest(), b"\0".repeat(9));
    });
}

#[test]
fn a_password_is_asked_for_once() {
    on_doors(&[DOOR], &["--requirepass", "secret"], |server| {
        let mut wire = RawWire::open(server, 1);
        let refusal = b"(error) NOAUTH Authentication required.";
        for line in [&b"GET a\n"[..], b"SADD s m\n", b"INCR n\n", b"KEYS *\n"] {
            wire.send(line);
            assert_eq!(
                wire.receive(refusal.len()),
                refusal,
                "{}",
                line.escape_ascii()
            );
        }
        wire.send(b"AUTH secret\n");
        assert_eq!(wire.receive(2), b"OK");
        wire.send(b"SADD s m\n");
        assert_eq!(wire.receive(11), b"(integer) 1");
    });
}

/// Many at once on one counter: every addition counts.
#[test]
fn additions_are_not_lost() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(b"SET n 0\n");
        assert_eq!(wire.receive(2), b"OK");
        let wires: Vec<_> = (0..4).map(|_| RawWire::open(server, 1)).collect();
        std::thread::scope(|scope| {
            for mut wire in wires {
                scope.spawn(move || {
                    for _ in 0..200 {
                        wire.send(b"INCR n\n");
                        wire.receive(11);
                        // The rest of the number, which has one to three digits.
                        while !wire.is_quiet(1) {
                            wire.receive(1);
                        }
                    }
                });
            }
        });
        wire.send(b"GET n\n");
        assert_eq!(wire.receive(5), b"\"800\"");
    });
}

#[test]
fn other_doors_see_the_same_keys() {
    on_doors(&[DOOR, "auto://127.0.0.1:0"], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(b"SADD colors red\n");
        assert_eq!(wire.receive(11), b"(integer) 1");
        let mut control = open(server);
        control.send(b"SELECT 2\r\nSMEMBERS colors\r\n");
        assert_eq!(control.reply(), Some(Value::Simple("OK".into())));
        let red = Value::Bulk(b"red".to_vec());
        assert_eq!(control.reply(), Some(Value::Array(vec![red])));
        let any: [(&[u8], &[u8]); 5] = [
            (b"SISMEMBER colors red\n", b"(integer) 1"),
            (b"PING", b"PONG"),
            (b"PING\r\n", b"+PONG\r\n"),
            (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
            (b"\0\0\0\0\0\0\0\x01\x90", b"\0\0\0\0\0\0\0\x01\x90"),
        ];
        for (sent, reply) in any {
            let mut wire = RawWire::open(server, 2);
            wire.send(sent);
            assert_eq!(wire.receive(reply.len()), reply, "{}", sent.escape_ascii());
        }
    });
}
