//! What holds for a connection whatever the commands are: order, cuts, size, slow readers, ends.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use kvik_resp::Value;

use crate::target::{Product, SocketTarget, Wire, command, on_both_backends, real_server};

#[test]
fn served_on_both_backends() {
    on_both_backends(&[1, 2], |server| {
        check_all(server);
        an_unknown_client_cannot_fill_the_memory(server);
    });
}

#[test]
fn redis() {
    if let Some(server) = real_server(Product::Redis) {
        check_all(&server);
    }
}

fn check_all(server: &SocketTarget) {
    a_pipeline_is_answered_in_order(server);
    a_command_may_arrive_in_pieces(server);
    large_values_come_back_whole(server);
    a_client_may_read_late(server);
    a_broken_command_ends_the_connection(server);
    a_client_may_close_its_end_first(server);
    many_clients_are_served_at_once(server);
    a_pause_keeps_no_client_that_has_gone(server);
}

fn bulk(bytes: impl AsRef<[u8]>) -> Option<Value> {
    Some(Value::Bulk(bytes.as_ref().to_vec()))
}

fn a_pipeline_is_answered_in_order(server: &SocketTarget) {
    let mut wire = Wire::open(server.port());
    let echo = |number: u32| command(&[b"ECHO", number.to_string().as_bytes()]);
    wire.send(&(0..20_000).flat_map(echo).collect::<Vec<u8>>());
    for number in 0..20_000_u32 {
        assert_eq!(wire.reply(), bulk(number.to_string()));
    }
}

fn a_command_may_arrive_in_pieces(server: &SocketTarget) {
    let mut wire = Wire::open(server.port());
    let whole = [command(&[b"ECHO", b"in\r\npieces"]), b"PING\r\n".to_vec()].concat();
    for cut in 1..whole.len() {
        let (first, second) = whole.split_at(cut);
        wire.send(first);
        std::thread::sleep(Duration::from_millis(1));
        wire.send(second);
        assert_eq!(wire.reply(), bulk("in\r\npieces"), "cut at {cut}");
        assert_eq!(
            wire.reply(),
            Some(Value::Simple("PONG".into())),
            "cut at {cut}"
        );
    }
}

fn large_values_come_back_whole(server: &SocketTarget) {
    let mut wire = Wire::open(server.port());
    for len in [1, 16 * 1024 - 1, 16 * 1024, 64 * 1024 + 1, 1 << 20, 9 << 20] {
        let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        wire.send(&command(&[b"SET", b"large", &value]));
        assert_eq!(wire.reply(), Some(Value::Simple("OK".into())));
        wire.send(&command(&[b"GET", b"large"]));
        assert_eq!(wire.reply(), bulk(value), "{len} bytes");
    }
}

/// More replies than any buffer between the two takes; they wait until the client reads.
fn a_client_may_read_late(server: &SocketTarget) {
    let mut wire = Wire::open(server.port());
    let value = vec![b'x'; 1 << 20];
    wire.send(&command(&[b"SET", b"large", &value]));
    assert_eq!(wire.reply(), Some(Value::Simple("OK".into())));
    for number in 0..40_u32 {
        wire.send(&command(&[b"GET", b"large"]));
        wire.send(&command(&[b"ECHO", number.to_string().as_bytes()]));
    }
    std::thread::sleep(Duration::from_millis(100));
    for number in 0..40_u32 {
        assert_eq!(
            wire.reply().map(|reply| reply.as_bytes().map(<[u8]>::len)),
            Some(Some(1 << 20))
        );
        assert_eq!(wire.reply(), bulk(number.to_string()));
    }
}

fn a_broken_command_ends_the_connection(server: &SocketTarget) {
    let broken: [(&[u8], &[u8]); 5] = [
        (
            b"*1\r\n!4\r\n",
            b"ERR Protocol error: expected '$', got '!'",
        ),
        (
            b"*1\r\n\xff4\r\n",
            b"ERR Protocol error: expected '$', got '\xff'",
        ),
        (b"*x\r\n", b"ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-1\r\n", b"ERR Protocol error: invalid bulk length"),
        (
            b"ECHO \"open\r\n",
            b"ERR Protocol error: unbalanced quotes in request",
        ),
    ];
    for (bytes, error) in broken {
        let mut wire = Wire::open(server.port());
        wire.send(b"PING\r\n");
        wire.send(bytes);
        assert_eq!(wire.reply(), Some(Value::Simple("PONG".into())));
        assert_eq!(wire.reply(), Some(Value::Error(error.into())));
        assert_eq!(wire.reply(), None, "after {}", error.escape_ascii());
    }
}

fn a_client_may_close_its_end_first(server: &SocketTarget) {
    let mut wire = Wire::open(server.port());
    wire.send(&b"PING\r\n".repeat(100));
    assert_eq!(wire.reply(), Some(Value::Simple("PONG".into())));
    wire.stream
        .shutdown(Shutdown::Write)
        .expect("a socket that is open");
    let rest = std::iter::from_fn(|| wire.reply()).count();
    assert_eq!(rest, 99);
}

fn many_clients_are_served_at_once(server: &SocketTarget) {
    let mut wires: Vec<_> = (0..400).map(|_| Wire::open(server.port())).collect();
    for round in 0..3 {
        for (number, wire) in wires.iter_mut().enumerate() {
            wire.send(&command(&[b"ECHO", format!("{round}:{number}").as_bytes()]));
        }
        for (number, wire) in wires.iter_mut().enumerate() {
            assert_eq!(wire.reply(), bulk(format!("{round}:{number}")));
        }
    }
}

fn a_pause_keeps_no_client_that_has_gone(server: &SocketTarget) {
    let mut wire = Wire::open(server.port());
    let mut wait_for_clients = |count| {
        loop {
            wire.send(b"CLIENT LIST TYPE normal\r\n");
            let list = wire.reply().expect("a reply");
            let lines = list.as_bytes().expect("text").split(|&byte| byte == b'\n');
            if lines.filter(|line| !line.is_empty()).count() == count {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for_clients(1);
    let mut pausing = Wire::open(server.port());
    pausing.send(b"CLIENT PAUSE 20000 WRITE\r\n");
    assert_eq!(pausing.reply(), Some(Value::Simple("OK".into())));
    let mut gone: Vec<_> = (0..8).map(|_| Wire::open(server.port())).collect();
    gone.iter_mut()
        .for_each(|wire| wire.send(b"SET gone 1\r\n"));
    wait_for_clients(10);
    drop(gone);
    wait_for_clients(2);
    pausing.send(b"CLIENT UNPAUSE\r\nEXISTS gone\r\n");
    assert_eq!(pausing.reply(), Some(Value::Simple("OK".into())));
    assert_eq!(pausing.reply(), Some(Value::Integer(0)));
}

/// Without a password, and without reading the refusals.
fn an_unknown_client_cannot_fill_the_memory(server: &SocketTarget) {
    let mut known = Wire::open(server.port());
    known.send(b"CONFIG SET requirepass secret\r\n");
    assert_eq!(known.reply(), Some(Value::Simple("OK".into())));
    let mut unknown = Wire::open(server.port());
    let refused = b"GET key\r\n".repeat(100_000);
    let sent = (0..100).take_while(|_| unknown.stream.write_all(&refused).is_ok());
    assert!(sent.count() < 100);
    known.send(b"CONFIG SET requirepass ''\r\n");
    assert_eq!(known.reply(), Some(Value::Simple("OK".into())));
}

/// Calls of one command in a row are timed together, and counted one by one all the same.
#[test]
fn a_pipeline_counts_every_call() {
    on_both_backends(&[1], |server| {
        let mut wire = Wire::open(server.port());
        wire.ask("CONFIG RESETSTAT");
        let (get, set) = (command(&[b"GET", b"a"]), command(&[b"SET", b"a", b"b"]));
        wire.send(&[get.repeat(21), set.repeat(9), get].concat());
        (0..31).for_each(|_| drop(wire.reply()));
        let stats = wire.ask("INFO commandstats");
        let text = String::from_utf8_lossy(stats.as_bytes().expect("text")).into_owned();
        assert!(text.contains("cmdstat_get:calls=22,"), "{text}");
        assert!(text.contains("cmdstat_set:calls=9,"), "{text}");
    });
}

/// Where the slow log asks about short times, each call is timed.
#[test]
fn a_pipeline_is_logged_call_by_call() {
    on_both_backends(&[1], |server| {
        let mut wire = Wire::open(server.port());
        wire.ask("CONFIG SET slowlog-log-slower-than 0");
        wire.ask("SLOWLOG RESET");
        wire.send(&command(&[b"GET", b"a"]).repeat(20));
        (0..20).for_each(|_| drop(wire.reply()));
        // The reset is in it as well.
        assert_eq!(wire.ask("SLOWLOG LEN"), Value::Integer(21));
    });
}
