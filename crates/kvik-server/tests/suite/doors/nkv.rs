//! nkv, byte for byte, in all its eras.

use kvik_resp::Value;
use kvik_server::Server;

use super::on_doors;
use super::wire::RawWire;
use crate::reactor::{open, until};

const DOOR: &str = "nkv://127.0.0.1:0";

/// Requests, each on a connection of its own, and what comes until the server closes.
const VECTORS: &[(&str, &str)] = &[
    ("PUT 1 c k dg==\n", "1 OK\n"),
    ("GET 2 c k\n", "2 OK dg==\n"),
    ("GET 3 c nope\n", "3 FAILED\n"),
    ("DEL 4 c k\n", "4 OK\n"),
    ("DEL 4 c k\n", "4 FAILED\n"),
    ("PUT 1 c c dmFsdWUx\r\n", "1 OK\n"),
    ("GET  6 c k\n", " OK dmFsdWUx\n"),
    ("GET 7 c c ignored\n", "7 OK dmFsdWUx\n"),
    ("PUT 1 c s cm9vdA==\n", "1 OK\n"),
    ("PUT 1 c s.m bWlk\n", "1 OK\n"),
    ("PUT 1 c s.m.k1 Mg==\n", "1 OK\n"),
    ("PUT 1 c s.m.k2 MQ==\n", "1 OK\n"),
    ("PUT 1 c sx Mw==\n", "1 OK\n"),
    ("GET 5 c s.*\n", "5 OK cm9vdA== bWlk Mg== MQ==\n"),
    ("GET 5 c s.*.k1\n", "5 OK cm9vdA== bWlk Mg== MQ==\n"),
    ("GET 5 c s.m.*\n", "5 OK bWlk Mg== MQ==\n"),
    ("GET 5 c s.m\n", "5 OK bWlk\n"),
    ("GET 5 c s.a*\n", "5 FAILED\n"),
    ("GET 5 c s.*x\n", "5 FAILED\n"),
    ("GET 5 c **\n", "5 FAILED\n"),
    ("GET 5 c z.*\n", "5 FAILED\n"),
    ("DEL 5 c s.*\n", "5 FAILED\n"),
    ("LIST 5 c s.m\n", "5 OK s.m s.m.k1 s.m.k2\n"),
    ("DEL 5 c s.m\n", "5 OK\n"),
    ("GET 5 c s.*\n", "5 OK cm9vdA== Mg== MQ==\n"),
    ("UNSUB r1 c1 never\n", "r1 FAILED\n"),
    ("CAS 1 c cas - MQ==\n", "1 OK\n"),
    ("CAS 1 c cas - Mg==\n", "1 FAILED\n"),
    ("CAS 1 c cas MQ== Mg==\n", "1 OK\n"),
    ("CAS 1 c cas MQ== Mw==\n", "1 FAILED\n"),
    ("GET 1 c cas\n", "1 OK Mg==\n"),
    ("get 1 c k\n", ""),
    ("PUT 1 c k \n", ""),
    ("PUT 1 c k dg\n", ""),
    ("PUT 1 c k d g==\n", ""),
    ("\n", ""),
    ("GET 1 c\n", ""),
    // The era of JSON.
    (
        "{\"type\":\"Put\",\"id\":\"I\",\"key\":\"key1\",\"client_uuid\":\"U\",\"value\":[118,97,108,117,101,49]}\n",
        "{\"Base\":{\"id\":\"I\",\"status\":200,\"message\":\"No Error\"}}",
    ),
    (
        "{\"type\":\"Get\",\"id\":\"I\",\"key\":\"key1\",\"client_uuid\":\"U\"}\n",
        "{\"Get\":{\"id\":\"I\",\"status\":200,\"message\":\"No Error\",\"data\":[[118,97,108,117,101,49]]}}",
    ),
    (
        "{\"type\":\"Get\",\"id\":\"I\",\"key\":\"nosuch\",\"client_uuid\":\"U\"}\n",
        "{\"Get\":{\"id\":\"I\",\"status\":404,\"message\":\"Not Found\",\"data\":[]}}",
    ),
    (
        "{\"type\":\"Delete\",\"id\":\"I\",\"key\":\"key1\",\"client_uuid\":\"U\"}\n",
        "{\"Base\":{\"id\":\"I\",\"status\":200,\"message\":\"No Error\"}}",
    ),
    (
        "{\"type\":\"Delete\",\"id\":\"I\",\"key\":\"key1\",\"client_uuid\":\"U\"}\n",
        "{\"Base\":{\"id\":\"I\",\"status\":500,\"message\":\"IO error No such file or directory (os error 2)\"}}",
    ),
    (
        "{\"type\":\"Unsubscribe\",\"id\":\"I\",\"key\":\"zz\",\"client_uuid\":\"U\"}\n",
        "{\"Base\":{\"id\":\"I\",\"status\":404,\"message\":\"Not Found\"}}",
    ),
    (
        "{\"type\":\"Put\",\"id\":\"I\",\"key\":\"e\",\"client_uuid\":\"U\",\"value\":[]}\n",
        "{\"Base\":{\"id\":\"I\",\"status\":200,\"message\":\"No Error\"}}",
    ),
    (
        "{\"type\":\"Get\",\"id\":\"I\",\"key\":\"e\",\"client_uuid\":\"U\"}\n",
        "{\"Get\":{\"id\":\"I\",\"status\":200,\"message\":\"No Error\",\"data\":[[]]}}",
    ),
    ("GET 1 c e\n", "1 OK \n"),
    ("{\"type\":\"Fly\"}\n", ""),
    ("{\"type\":\n", ""),
];

fn ask(server: &Server, request: &str) -> String {
    let mut wire = RawWire::open(server, 1);
    wire.send(request.as_bytes());
    String::from_utf8(wire.rest()).expect("text")
}

#[test]
fn every_vector_is_answered_byte_for_byte() {
    on_doors(&[DOOR], &[], |server| {
        for (request, reply) in VECTORS {
            assert_eq!(ask(server, request), *reply, "{request}");
        }
        flush(server);
        for (request, reply) in VECTORS {
            let mut wire = RawWire::open(server, 1);
            wire.trickle(request.as_bytes());
            let got = String::from_utf8(wire.rest()).expect("text");
            assert_eq!(got, *reply, "{request}, byte by byte");
        }
        flush(server);
        // Up to the first that ends the connection.
        let some = || VECTORS.iter().take_while(|(_, reply)| !reply.is_empty());
        let requests: String = some().map(|(request, _)| *request).collect();
        let replies: String = some().map(|(_, reply)| *reply).collect();
        assert_eq!(ask(server, &requests), replies, "glued together");
    });
}

#[test]
fn a_line_is_text_and_the_end_of_the_input_ends_it() {
    on_doors(&[DOOR], &[], |server| {
        let cases: [(&[u8], &[u8]); 4] = [
            (b"GET 1 c \xff\n", b""),
            (b"\xff\n", b""),
            (b"GET 3 c nope", b"3 FAILED\n"),
            (b"PUT 1 c k dg==", b"1 OK\n"),
        ];
        for (request, reply) in cases {
            let mut wire = RawWire::open(server, 1);
            wire.send(request);
            wire.finish();
            assert_eq!(wire.rest(), reply, "{}", request.escape_ascii());
        }
    });
}

fn flush(server: &Server) {
    run(server, "FLUSHALL");
}

/// Runs a command through the door of RESP.
fn run(server: &Server, command: &str) -> Option<Value> {
    let mut control = open(server);
    control.send(format!("{command}\r\n").as_bytes());
    control.reply()
}

/// A subscriber that has been greeted.
fn subscriber(server: &Server, client: &str, key: &str) -> RawWire {
    let mut wire = RawWire::open(server, 1);
    wire.send(format!("SUB {client} {client} {key}\n").as_bytes());
    assert_eq!(wire.receive(6), b"HELLO\n");
    wire
}

#[track_caller]
fn hears(wire: &mut RawWire, lines: &str) {
    let got = wire.receive(lines.len());
    assert_eq!(String::from_utf8_lossy(&got), lines);
}

#[test]
fn subscribers_hear_of_a_key_and_all_under_it_through_any_door() {
    on_doors(&[DOOR], &[], |server| {
        let mut one = subscriber(server, "c1", "a.b");
        let mut other = subscriber(server, "c2", "a.b");
        let mut above = subscriber(server, "c1", "a");
        let mut below = subscriber(server, "c1", "a.b.c");
        let mut aside = subscriber(server, "c1", "a.bc");
        assert_eq!(ask(server, "PUT 1 c a.b.c Nzg5\n"), "1 OK\n");
        for wire in [&mut one, &mut other, &mut above, &mut below] {
            hears(wire, "UPDATE a.b.c Nzg5\n");
        }
        run(server, "SET a.b x");
        for wire in [&mut one, &mut other, &mut above] {
            hears(wire, "UPDATE a.b eA==\n");
        }
        run(server, "DEL a.b");
        for wire in [&mut one, &mut other, &mut above, &mut below] {
            hears(wire, "CLOSE a.b\n");
        }
        // Who had subscribed to it hears no more, the others do.
        run(server, "RENAME a.b.c a.b.d");
        hears(&mut above, "CLOSE a.b.c\nUPDATE a.b.d Nzg5\n");
        hears(&mut below, "CLOSE a.b.c\n");
        for wire in [&mut one, &mut other, &mut below, &mut aside] {
            assert!(wire.is_quiet(30));
        }
    });
}

#[test]
fn expiry_and_flushing_are_ends() {
    on_doors(&[DOOR], &[], |server| {
        let mut above = subscriber(server, "c", "e");
        let mut exact = subscriber(server, "c", "e.x");
        run(server, "SET e.x 1 PX 40");
        for wire in [&mut above, &mut exact] {
            hears(wire, "UPDATE e.x MQ==\nCLOSE e.x\n");
        }
        let mut exact = subscriber(server, "d", "e.y");
        run(server, "SET e.y 1");
        hears(&mut above, "UPDATE e.y MQ==\n");
        hears(&mut exact, "UPDATE e.y MQ==\n");
        run(server, "FLUSHDB");
        hears(&mut above, "CLOSE e.y\n");
        hears(&mut exact, "CLOSE e.y\n");
        assert_eq!(ask(server, "GET 1 c e.*\n"), "1 FAILED\n");
    });
}

#[test]
fn a_subscription_ends_alone_and_may_begin_again() {
    on_doors(&[DOOR], &[], |server| {
        let mut one = subscriber(server, "c1", "k");
        let mut other = subscriber(server, "c2", "k");
        assert_eq!(ask(server, "UNSUB r1 c1 k\n"), "r1 OK\n");
        hears(&mut one, "CLOSE k\n");
        assert_eq!(ask(server, "UNSUB r1 c1 k\n"), "r1 FAILED\n");
        let mut again = subscriber(server, "c1", "k");
        let mut replaced = subscriber(server, "c2", "k");
        assert_eq!(other.rest(), b"", "its own client has subscribed anew");
        run(server, "SET k v");
        hears(&mut again, "UPDATE k dg==\n");
        hears(&mut replaced, "UPDATE k dg==\n");
        assert!(one.is_quiet(30));
        assert_eq!(ask(server, "SUB 1 c x.*\n"), "1 FAILED\n");
    });
}

#[test]
fn the_value_comes_first_on_request() {
    on_doors(&[DOOR], &[], |server| {
        for key in ["v", "v.a", "v.b", "w"] {
            run(server, &format!("SET {key} 1"));
        }
        let mut wire = RawWire::open(server, 1);
        wire.send(b"SUB 1 c v VALUE\n");
        hears(
            &mut wire,
            "HELLO\nUPDATE v MQ==\nUPDATE v.a MQ==\nUPDATE v.b MQ==\n",
        );
    });
}

/// Who subscribes to what was there before hears of its end, too, and of what takes its place.
#[test]
fn keys_from_before_a_subscription_end_and_change_like_others() {
    on_doors(&[DOOR], &["--databases", "4"], |server| {
        run(server, "SET old.a 1");
        let mut above = subscriber(server, "c", "old");
        let mut exact = subscriber(server, "c", "old.a");
        run(server, "FLUSHALL");
        hears(&mut above, "CLOSE old.a\n");
        hears(&mut exact, "CLOSE old.a\n");
        run(server, "SET old.b 1");
        hears(&mut above, "UPDATE old.b MQ==\n");
        let mut control = open(server);
        control.ask("SELECT 1");
        control.ask("SET old.c 2");
        control.ask("SWAPDB 0 1");
        hears(&mut above, "CLOSE old.b\nUPDATE old.c Mg==\n");
    });
}

/// What is taken back was never there, and what happens at once is told as it ends.
#[test]
fn only_what_has_happened_is_told() {
    on_doors(&[DOOR], &[], |server| {
        let mut above = subscriber(server, "c", "t");
        let mut control = open(server);
        control.ask("MULTI");
        control.ask("SET t.a 1");
        control.ask("LPUSH t.a x");
        control.ask("SET t.a 2");
        assert!(above.is_quiet(20), "nothing has run");
        control.ask("EXEC");
        hears(&mut above, "UPDATE t.a Mg==\n");
        control.ask("WATCH t.a");
        control.ask("MULTI");
        control.ask("SET t.a 3");
        run(server, "SET t.a 4");
        hears(&mut above, "UPDATE t.a NA==\n");
        assert!(control.ask("EXEC").is_null());
        assert!(above.is_quiet(20));
    });
}

/// The client in Go sends no line end, and takes a greeting of two words only.
#[test]
fn a_subscription_without_a_line_end_is_served() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(b"SUB 1 c k");
        hears(&mut wire, "HELLO k\n");
        run(server, "SET k v");
        hears(&mut wire, "UPDATE k dg==\n");
    });
}

#[test]
fn the_era_of_json_has_its_notifications() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(b"{\"type\":\"Subscribe\",\"id\":\"0\",\"key\":\"a.b\",\"client_uuid\":\"U\"}\n");
        hears(&mut wire, "\"Hello\"");
        run(server, "SET a.b hi");
        hears(
            &mut wire,
            "{\"Update\":{\"key\":\"a.b\",\"value\":[104,105]}}",
        );
        run(server, "DEL a.b");
        hears(&mut wire, "{\"Close\":{\"key\":\"a.b\"}}");
    });
}

#[test]
fn a_key_of_another_type_is_refused_and_odd_names_are_not_sent() {
    on_doors(&[DOOR], &[], |server| {
        run(server, "RPUSH l a");
        assert_eq!(ask(server, "GET 1 c l\n"), "1 FAILED\n");
        assert_eq!(ask(server, "PUT 1 c l dg==\n"), "1 FAILED\n");
        assert_eq!(ask(server, "DEL 1 c l\n"), "1 FAILED\n");
        assert_eq!(run(server, "LLEN l"), Some(Value::Integer(1)));
        let mut wire = subscriber(server, "c", "o");
        run(server, "SET \"o.a b\" 1");
        run(server, "SET \"o.a\\nb\" 1");
        run(server, "SET o.c 1");
        hears(&mut wire, "UPDATE o.c MQ==\n");
        assert_eq!(ask(server, "LIST 1 c o\n"), "1 OK o.c\n");
    });
}

#[test]
fn a_tied_key_ends_with_its_client() {
    on_doors(&[DOOR], &[], |server| {
        let mut wire = RawWire::open(server, 1);
        wire.send(b"TIE 1 c leader MQ==\n");
        hears(&mut wire, "1 OK\n");
        assert_eq!(ask(server, "TIE 2 d leader Mg==\n"), "2 FAILED\n");
        let mut watcher = subscriber(server, "w", "leader");
        assert_eq!(ask(server, "GET 1 c leader\n"), "1 OK MQ==\n");
        drop(wire);
        hears(&mut watcher, "CLOSE leader\n");
    });
}

#[test]
fn keys_from_before_the_first_request_are_found() {
    on_doors(&[DOOR], &["--databases", "4"], |server| {
        let mut control = open(server);
        for number in 0..3000 {
            control.send(format!("SET n.{number} {number}\r\n").as_bytes());
        }
        for _ in 0..3000 {
            control.reply();
        }
        run(server, "SWAPDB 0 1");
        assert_eq!(ask(server, "GET 1 c n.*\n"), "1 FAILED\n");
        run(server, "SWAPDB 0 1");
        let reply = ask(server, "GET 1 c n.*\n");
        assert_eq!(reply.split_whitespace().count(), 3002);
    });
}

/// Subscribers that read late, beside some that never do.
#[test]
fn every_subscriber_ends_with_the_latest_state() {
    on_doors(
        &[DOOR],
        &["--client-output-buffer-limit", "normal 0 0 0"],
        |server| {
            const KEYS: usize = 50;
            let _silent: Vec<_> = (0..10)
                .map(|number| subscriber(server, &format!("s{number}"), "load"))
                .collect();
            let mut wires: Vec<_> = (0..40)
                .map(|number| subscriber(server, &format!("c{number}"), "load"))
                .collect();
            let mut control = open(server);
            for round in 0..100 {
                for key in 0..KEYS {
                    control.send(format!("SET load.{key} {round}\r\n").as_bytes());
                }
                for _ in 0..KEYS {
                    control.reply();
                }
            }
            run(server, "SET load.end 1");
            for wire in &mut wires {
                let text = wire.lines_up_to("load.end");
                for key in 0..KEYS {
                    let name = format!("UPDATE load.{key} ");
                    let last = text.lines().rfind(|line| line.starts_with(&name));
                    // 99 in base64.
                    assert_eq!(last.map(|line| &line[name.len()..]), Some("OTk="));
                }
            }
        },
    );
}

#[test]
fn a_password_keeps_everybody_out() {
    on_doors(&[DOOR], &["--requirepass", "secret"], |server| {
        for request in [
            "GET 1 c k\n",
            "PUT 1 c k dg==\n",
            "SUB 1 c k\n",
            "LIST 1 c\n",
        ] {
            assert_eq!(ask(server, request), "1 FAILED\n", "{request}");
        }
        let lines = "AUTH 1 c secret\nPUT 2 c k dg==\nLIST 3 c\n";
        assert_eq!(ask(server, lines), "1 OK\n2 OK\n3 OK k\n");
        // Whoever waits for the reply to the password has not ended.
        let mut wire = RawWire::open(server, 1);
        wire.send(b"AUTH 1 c secret\n");
        assert_eq!(wire.receive(5), b"1 OK\n");
        wire.send(b"GET 2 c k\n");
        assert_eq!(wire.rest(), b"2 OK dg==\n");
    });
}

#[test]
fn a_subscriber_that_leaves_is_forgotten() {
    on_doors(&[DOOR], &[], |server| {
        let wire = subscriber(server, "c", "k");
        drop(wire);
        until("the subscription ends", || {
            ask(server, "UNSUB 1 c k\n") == "1 FAILED\n"
        });
    });
}

/// A unix socket has the permissions that are set, is as good as TCP, and goes with the server.
#[test]
fn a_unix_socket_is_a_door() {
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deeper/nkv.sock");
    let url = format!("nkv+unix://{}?db=2", path.display());
    let check = |server: &Server| {
        let mode = std::fs::metadata(&path)
            .expect("a socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut wire = std::os::unix::net::UnixStream::connect(&path).expect("a door");
        wire.write_all(b"PUT 1 c k dg==\nGET 2 c k\n")
            .expect("an open socket");
        let mut reply = String::new();
        wire.read_to_string(&mut reply).expect("text");
        assert_eq!(reply, "1 OK\n2 OK dg==\n");
        assert_eq!(
            run(server, "EXISTS k"),
            Some(Value::Integer(0)),
            "it is in database 2"
        );
    };
    on_doors(&[&url], &["--unixsocketperm", "600"], check);
    assert!(!path.exists());
}

/// Names that were paths to the original are names and nothing else.
#[test]
fn no_key_is_a_path() {
    on_doors(&[DOOR], &[], |server| {
        for key in [".lead", "../esc", "/abs", "a/b", "x..y", "trail."] {
            assert_eq!(ask(server, &format!("PUT 1 c {key} dg==\n")), "1 OK\n");
            assert_eq!(ask(server, &format!("GET 1 c {key}\n")), "1 OK dg==\n");
        }
        assert_eq!(ask(server, "GET 1 c a.b\n"), "1 FAILED\n");
    });
}
