//! Every directive that CONFIG SET changes acts: one proof per row of the table.
//!
//! Directives that commands obey are proved together, in the unit tests of `settings.rs`. A row
//! that claims to be changeable and honoured and has no proof fails
//! [`every_changeable_row_has_its_proof`].

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use kvik_resp::Value;
use kvik_server::Server;
use kvik_server::config::{Access, Effect, Key};

use crate::reactor::{clog, field, ok, on_each, open, pong, set_large, until};
use crate::target::{Wire, command};

type Proof = fn(&Server);

/// By the directive's name.
const PROOFS: &[(&str, Proof)] = &[
    ("bind", bind),
    ("port", port),
    ("timeout", timeout),
    ("tcp-keepalive", tcp_keepalive),
    ("maxclients", maxclients),
    ("protected-mode", protected_mode),
    ("request-max-args", request_max_args),
    ("request-max-bulk-len", request_max_bulk_len),
    ("request-max-inline-len", request_max_inline_len),
    ("client-query-buffer-limit", client_query_buffer_limit),
    ("client-output-buffer-limit", client_output_buffer_limit),
    ("maxmemory-clients", maxmemory_clients),
];

/// Directives that are proved where what they change can be seen.
const ELSEWHERE: &[(&str, &str)] = &[
    ("loglevel", "log.rs"),
    ("log-format", "log.rs"),
    ("dir", "names the folder of files that are opened later"),
    ("shutdown-on-sigint", "read when the signal comes"),
    ("shutdown-on-sigterm", "read when the signal comes"),
    ("maxmemory", "tests/commands/server.txt"),
    (
        "latency-tracking-info-percentiles",
        "tests/commands/server.txt",
    ),
    ("neks-max-frame", "doors/neks.rs"),
    ("neks-lenient", "read when a connection to a door begins"),
    ("door-max-reply", "read when a connection to a door begins"),
];

#[test]
fn every_changeable_row_has_its_proof() {
    let proved = |name: &str| {
        PROOFS.iter().any(|(proved, _)| *proved == name)
            || ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == name)
    };
    for key in Key::ALL {
        let row = key.row();
        let changeable = !matches!(row.access, Access::Fixed | Access::FileOnly);
        let honoured = row.effect == Effect::Honoured;
        if changeable && honoured && !row.is_obeyed_by_commands() {
            assert!(proved(row.name), "nothing proves that {} acts", row.name);
        }
    }
}

#[test]
fn every_change_acts() {
    for (name, proof) in PROOFS {
        println!("{name}");
        on_each(&[1, 2], &[], |server| proof(&server));
    }
}

#[test]
fn what_has_no_effect_yet_is_refused_and_keeps_its_value() {
    on_each(&[1], &[], |server| {
        let mut control = open(&server);
        for key in Key::ALL {
            let row = key.row();
            let pending = matches!(row.effect, Effect::Pending(_));
            if !pending || matches!(row.access, Access::Fixed | Access::FileOnly) {
                continue;
            }
            let before = get(&mut control, row.name);
            let tried = ["yes", "no", "7", "everysec", "KEA", "unknown", "10 20 30"];
            for value in tried {
                let reply = set(&mut control, row.name, value);
                let after = get(&mut control, row.name);
                let held = row.holds == Some(after.as_str());
                assert!(
                    matches!(reply, Value::Error(_)) || after == row.default || held,
                    "{} {value}: {reply:?}",
                    row.name
                );
                assert!(after == before || held || after == row.default);
            }
        }
        // What is accepted all the same: the present value, and one that holds anyway.
        assert_eq!(set(&mut control, "appendonly", "no"), ok());
        assert_eq!(set(&mut control, "save", ""), ok());
    });
}

#[test]
fn errors_repeat_names_byte_by_byte() {
    on_each(&[1], &[], |server| {
        let mut wire = open(&server);
        wire.send(&command(&[b"CONFIG", b"SET", b"\xff\xfename", b"1"]));
        let mut error = Vec::new();
        let expected =
            b"-ERR Unknown option or number of arguments for CONFIG SET - '\xff\xfename'\r\n";
        read(&mut wire, &mut error, expected.len());
        assert_eq!(error, expected);
        wire.send(b"*1\r\n\xffPING\r\n");
        let (mut error, expected) = (
            Vec::new(),
            b"-ERR Protocol error: expected '$', got '\xff'\r\n",
        );
        read(&mut wire, &mut error, expected.len());
        assert_eq!(error, expected);
    });
}

fn read(wire: &mut Wire, into: &mut Vec<u8>, len: usize) {
    into.resize(len, 0);
    std::io::Read::read_exact(&mut wire.stream, into).expect("so many bytes");
}

fn set(control: &mut Wire, name: &str, value: &str) -> Value {
    control.send(&command(&[
        b"CONFIG",
        b"SET",
        name.as_bytes(),
        value.as_bytes(),
    ]));
    control.reply().expect("a reply")
}

fn get(control: &mut Wire, name: &str) -> String {
    let reply = control.ask(&format!("CONFIG GET {name}"));
    let Value::Array(pair) = reply else {
        panic!("{reply:?}");
    };
    String::from_utf8_lossy(pair[1].as_bytes().expect("a value")).into_owned()
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn refuses(address: (&str, u16)) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn answers(address: (&str, u16)) -> bool {
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a socket option");
    stream.write_all(b"PING\r\n").expect("a server that reads");
    std::io::Read::read_exact(&mut stream, &mut [0; 7]).is_ok()
}

fn port(server: &Server) {
    let old = server.addresses()[0].port();
    let (mut control, new) = (open(server), free_port());
    assert_eq!(set(&mut control, "port", &new.to_string()), ok());
    assert!(refuses(("127.0.0.1", old)), "the old port still answers");
    assert!(answers(("127.0.0.1", new)));
    assert_eq!(control.ask("PING"), pong(), "connections stay");
    // A port that another process has, and the last one.
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let taken = taken.local_addr().expect("an address").port().to_string();
    let blocker = TcpListener::bind(("127.0.0.1", taken.parse().expect("a port")));
    for value in [taken.as_str(), "0"] {
        let Value::Error(error) = set(&mut control, "port", value) else {
            panic!("port {value} was accepted");
        };
        assert!(
            error
                .to_str_lossy()
                .ends_with("Unable to listen on this port. Check server logs.")
        );
        assert_eq!(get(&mut control, "port"), new.to_string());
        assert!(answers(("127.0.0.1", new)));
    }
    drop(blocker);
    assert_eq!(set(&mut control, "port", &old.to_string()), ok());
    assert!(answers(("127.0.0.1", old)) && refuses(("127.0.0.1", new)));
}

fn bind(server: &Server) {
    let port = server.addresses()[0].port();
    let (here, there) = (("127.0.0.1", port), ("127.0.0.2", port));
    let mut control = open(server);
    assert!(refuses(there));
    assert_eq!(set(&mut control, "bind", "127.0.0.1 127.0.0.2"), ok());
    assert!(answers(here) && answers(there));
    assert_eq!(set(&mut control, "bind", "127.0.0.2"), ok());
    assert!(refuses(here), "an address that was given up accepts");
    assert!(answers(there));
    // A wildcard overlaps the address that is bound already.
    assert_eq!(set(&mut control, "bind", "*"), ok());
    assert!(answers(here) && answers(there));
    assert_eq!(set(&mut control, "bind", "127.0.0.1 -192.0.2.1"), ok());
    assert!(answers(here) && refuses(there));
    for absent in ["192.0.2.1", "* 192.0.2.1", "-192.0.2.1", ""] {
        let Value::Error(error) = set(&mut control, "bind", absent) else {
            panic!("bind '{absent}' was accepted");
        };
        assert!(
            error
                .to_str_lossy()
                .ends_with("Failed to bind to specified addresses.")
        );
        assert_eq!(get(&mut control, "bind"), "127.0.0.1 -192.0.2.1");
        assert!(answers(here) && refuses(there));
    }
}

fn timeout(server: &Server) {
    let (mut control, mut idle) = (open(server), open(server));
    assert_eq!(idle.ask("PING"), pong());
    assert_eq!(set(&mut control, "timeout", "1"), ok());
    // It is connected since before the change.
    assert_eq!(idle.reply(), None);
    let mut control = open(server);
    assert_eq!(set(&mut control, "timeout", "0"), ok());
}

fn maxclients(server: &Server) {
    let mut control = open(server);
    assert_eq!(set(&mut control, "maxclients", "1"), ok());
    let refused = Value::Error("ERR max number of clients reached".into());
    assert_eq!(open(server).reply(), Some(refused));
    assert_eq!(set(&mut control, "maxclients", "100"), ok());
    assert_eq!(open(server).ask("PING"), pong());
    // More than any system has files for.
    let Value::Error(error) = set(&mut control, "maxclients", "4294967295") else {
        panic!("accepted");
    };
    assert!(
        error
            .to_str_lossy()
            .contains("is not able to handle the specified number of clients, try with ")
    );
    assert_eq!(get(&mut control, "maxclients"), "100");
    assert_eq!(set(&mut control, "maxclients", "1000"), ok());
}

fn protected_mode(server: &Server) {
    let Some(outer) = outer_address() else {
        println!("this machine has no address that others could reach");
        return;
    };
    let (mut control, port) = (open(server), server.addresses()[0].port());
    assert_eq!(
        set(&mut control, "bind", &format!("127.0.0.1 {outer}")),
        ok()
    );
    let connect = || {
        let mut wire = Wire::open_at((outer.as_str(), port));
        // It may be closed before it reads.
        let _ = wire.stream.write_all(b"PING\r\n");
        wire.reply()
    };
    assert!(matches!(connect(), Some(Value::Error(error)) if error.starts_with("DENIED")));
    assert_eq!(set(&mut control, "protected-mode", "no"), ok());
    assert_eq!(connect(), Some(pong()));
    assert_eq!(set(&mut control, "protected-mode", "yes"), ok());
    assert!(matches!(connect(), Some(Value::Error(_))));
    assert_eq!(set(&mut control, "bind", "127.0.0.1"), ok());
}

/// An address of this machine that others could reach. Nothing is sent to find it.
fn outer_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then(|| address.to_string())
}

fn tcp_keepalive(server: &Server) {
    let mut control = open(server);
    assert_eq!(set(&mut control, "tcp-keepalive", "0"), ok());
    let mut without = open(server);
    assert_eq!(without.ask("PING"), pong());
    assert_eq!(set(&mut control, "tcp-keepalive", "300"), ok());
    let mut with = open(server);
    assert_eq!(with.ask("PING"), pong());
    match (keepalive_timer(&without), keepalive_timer(&with)) {
        (Some(without), Some(with)) => assert_eq!((without, with), (false, true)),
        _ => println!("the kernel does not tell about timers"),
    }
}

/// Whether the kernel has a keepalive timer for the server's end of a connection.
fn keepalive_timer(wire: &Wire) -> Option<bool> {
    let port = |address: std::io::Result<socket2::SockAddr>| {
        let address = address.expect("an address").as_socket().expect("TCP");
        format!("0100007F:{:04X}", address.port())
    };
    let (server, client) = (
        port(wire.stream.peer_addr()),
        port(wire.stream.local_addr()),
    );
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let mut rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1) == Some(&&*server) && row.get(2) == Some(&&*client))?;
    Some(row.get(5)?.starts_with("02:"))
}

fn request_max_args(server: &Server) {
    let most = command(&[b"MGET", b"1", b"2", b"3", b"4"]);
    let beyond = command(&[b"MGET", b"1", b"2", b"3", b"4", b"5"]);
    is_limit_of_requests(
        server,
        ("request-max-args", "5", "2147483647"),
        (&most, &beyond),
        b"ERR Protocol error: invalid multibulk length",
    );
}

fn request_max_bulk_len(server: &Server) {
    let (most, beyond) = (vec![b'x'; 1000], vec![b'x'; 1001]);
    is_limit_of_requests(
        server,
        ("request-max-bulk-len", "1000", "0"),
        (&command(&[b"ECHO", &most]), &command(&[b"ECHO", &beyond])),
        b"ERR Protocol error: invalid bulk length",
    );
}

fn request_max_inline_len(server: &Server) {
    let line = |len: usize| [b"ECHO ", &vec![b'x'; len - 6][..], b"\r\n"].concat();
    is_limit_of_requests(
        server,
        ("request-max-inline-len", "100", "64kb"),
        (&line(100), &line(102)),
        b"ERR Protocol error: too big inline request",
    );
}

/// A request at the limit is served; one beyond it gets an error, and then the connection ends.
fn is_limit_of_requests(
    server: &Server,
    (name, limit, default): (&str, &str, &str),
    (most, beyond): (&[u8], &[u8]),
    refusal: &[u8],
) {
    let (mut control, mut wire) = (open(server), open(server));
    wire.send(beyond);
    assert!(wire.reply().is_some_and(|reply| reply.as_error().is_none()));
    assert_eq!(set(&mut control, name, limit), ok());
    wire.send(most);
    assert!(wire.reply().is_some_and(|reply| reply.as_error().is_none()));
    wire.send(beyond);
    let reply = wire.reply().unwrap();
    assert_eq!(
        reply.as_error().map(|error| error.as_bytes()),
        Some(refusal)
    );
    assert_eq!(wire.reply(), None);
    assert_eq!(set(&mut control, name, default), ok());
}

fn client_query_buffer_limit(server: &Server) {
    let (mut control, mut wire) = (open(server), open(server));
    let value = vec![b'x'; 3 << 20];
    let large = command(&[b"ECHO", &value]);
    wire.send(&large);
    assert_eq!(wire.reply(), Some(Value::Bulk(value)));
    assert_eq!(set(&mut control, "client-query-buffer-limit", "1mb"), ok());
    // It may be closed before all is sent.
    let _ = wire.stream.write_all(&large[..large.len() - 1]);
    assert_eq!(wire.reply(), None);
    assert_eq!(set(&mut control, "client-query-buffer-limit", "1gb"), ok());
}

fn client_output_buffer_limit(server: &Server) {
    let mut control = open(server);
    set_large(&mut control);
    // It leaves much unread already when the limit is set.
    let (mut clogged, id) = clog(server, &mut control);
    assert_eq!(
        set(
            &mut control,
            "client-output-buffer-limit",
            "normal 64kb 0 0"
        ),
        ok()
    );
    until("the end of the client", || {
        field(&mut control, id, "id").is_none()
    });
    while clogged.reply().is_some() {}
    assert_eq!(
        set(&mut control, "client-output-buffer-limit", "normal 0 0 0"),
        ok()
    );
}

fn maxmemory_clients(server: &Server) {
    let (mut control, mut large) = (open(server), open(server));
    assert_eq!(control.ask("CLIENT NO-EVICT ON"), ok());
    assert_eq!(large.ask("MULTI"), ok());
    large.send(&command(&[b"ECHO", &vec![b'x'; 3 << 20]]));
    assert_eq!(large.reply(), Some(Value::Simple("QUEUED".into())));
    assert_eq!(set(&mut control, "maxmemory-clients", "1mb"), ok());
    // Those that fit, or are exempt, stay.
    assert_eq!(large.reply(), None);
    assert_eq!(control.ask("PING"), pong());
    assert_eq!(open(server).ask("PING"), pong());
    assert_eq!(set(&mut control, "maxmemory-clients", "0"), ok());
}
