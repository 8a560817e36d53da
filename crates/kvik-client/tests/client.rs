//! The client against a server that follows a script.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kvik_client::{Client, ClientError, Endpoint, Options, Protocol, Value};

/// The bytes that the server expects to read, and those that it then writes.
type Script = &'static [(&'static str, &'static str)];

const HELLO: (&str, &str) = ("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", "%1\r\n+proto\r\n:3\r\n");
const PING: &str = "*1\r\n$4\r\nPING\r\n";

fn follow(stream: &mut (impl Read + Write), script: Script) {
    for (expected, answer) in script {
        let mut request = vec![0; expected.len()];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(String::from_utf8_lossy(&request), *expected);
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// Serves one connection; the stream is handed back so that it stays open.
fn serve(script: Script) -> (Endpoint, JoinHandle<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::tcp("127.0.0.1", listener.local_addr().unwrap().port());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        follow(&mut stream, script);
        stream
    });
    (endpoint, server)
}

fn open(script: Script) -> (Client, JoinHandle<TcpStream>) {
    let (endpoint, server) = serve(script);
    (
        Client::open(&endpoint, &Options::default()).unwrap(),
        server,
    )
}

fn simple(text: &str) -> Value {
    Value::Simple(text.into())
}

fn push(text: &str) -> Value {
    Value::Push(vec![simple(text)])
}

#[test]
fn the_handshake_logs_in_then_agrees_then_selects() {
    let (endpoint, server) = serve(&[
        ("*3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$2\r\npw\r\n", "+OK\r\n"),
        HELLO,
        ("*2\r\n$6\r\nSELECT\r\n$1\r\n4\r\n", "+OK\r\n"),
    ]);
    let endpoint = Endpoint {
        username: Some("ann".to_owned()),
        password: Some("pw".to_owned()),
        db: 4,
        ..endpoint
    };
    let options = Options {
        protocol: Protocol::Resp3,
        ..Options::default()
    };
    let client = Client::open(&endpoint, &options).unwrap();
    assert_eq!(client.protocol(), Protocol::Resp3);
    server.join().unwrap();
}

#[test]
fn a_server_without_hello_is_spoken_to_in_resp2() {
    let (endpoint, server) = serve(&[
        (HELLO.0, "-ERR unknown command 'HELLO'\r\n"),
        (PING, "+PONG\r\n"),
    ]);
    let options = Options {
        protocol: Protocol::Resp3,
        ..Options::default()
    };
    let mut client = Client::open(&endpoint, &options).unwrap();
    assert_eq!(client.protocol(), Protocol::Resp2);
    assert_eq!(client.call(&["PING"]).unwrap(), simple("PONG"));
    server.join().unwrap();
}

#[test]
fn a_refused_handshake_is_an_error() {
    let (endpoint, server) = serve(&[("*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n", "-WRONGPASS no\r\n")]);
    let endpoint = Endpoint {
        password: Some("x".to_owned()),
        ..endpoint
    };
    let error = Client::open(&endpoint, &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "AUTH failed: WRONGPASS no");
    server.join().unwrap();
}

#[test]
fn an_error_reply_is_a_value() {
    let (mut client, server) = open(&[(PING, "-ERR no\r\n")]);
    assert_eq!(
        client.call(&["PING"]).unwrap(),
        Value::Error("ERR no".into())
    );
    server.join().unwrap();
}

#[test]
fn pushes_between_replies_are_set_aside_in_order() {
    let (mut client, server) = open(&[
        (
            "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n",
            ">1\r\n+one\r\n+PONG\r\n>1\r\n+two\r\n+PONG\r\n",
        ),
        (PING, ">1\r\n+three\r\n+PONG\r\n"),
    ]);
    assert_eq!(
        client.pipeline(&[["PING"], ["PING"]]).unwrap(),
        [simple("PONG"), simple("PONG")]
    );
    assert_eq!(client.take_push(), Some(push("one")));
    assert_eq!(client.receive().unwrap(), push("two"));
    assert_eq!(client.take_push(), None);
    client.send(&["PING"]).unwrap();
    assert_eq!(client.receive().unwrap(), push("three"));
    assert_eq!(client.receive().unwrap(), simple("PONG"));
    server.join().unwrap();
}

#[test]
fn a_timeout_loses_nothing_of_a_reply() {
    let (mut client, server) = open(&[(PING, "$8\r\nfirst")]);
    client
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    client.send(&["PING"]).unwrap();
    let mut stream = server.join().unwrap();
    assert!(matches!(client.receive(), Err(ClientError::Timeout)));
    assert!(matches!(client.receive(), Err(ClientError::Timeout)));
    stream.write_all(b"and\r\n").unwrap();
    client.set_read_timeout(None).unwrap();
    assert_eq!(client.receive().unwrap(), Value::Bulk(b"firstand".to_vec()));
}

#[test]
fn the_reply_to_a_call_that_timed_out_answers_no_later_call() {
    let (mut client, server) = open(&[(PING, "")]);
    client
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    assert!(matches!(client.call(&["PING"]), Err(ClientError::Timeout)));
    let mut stream = server.join().unwrap();
    client.set_read_timeout(None).unwrap();
    stream.write_all(b"+LATE\r\n+PONG\r\n+TWO\r\n").unwrap();
    assert_eq!(client.call(&["PING"]).unwrap(), simple("PONG"));
    assert_eq!(client.pipeline(&[["PING"]]).unwrap(), [simple("TWO")]);
}

#[test]
fn a_late_reply_may_be_received() {
    let (mut client, server) = open(&[(PING, "")]);
    client
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    assert!(matches!(client.call(&["PING"]), Err(ClientError::Timeout)));
    let mut stream = server.join().unwrap();
    client.set_read_timeout(None).unwrap();
    stream.write_all(b"+LATE\r\n+PONG\r\n").unwrap();
    assert_eq!(client.receive().unwrap(), simple("LATE"));
    assert_eq!(client.call(&["PING"]).unwrap(), simple("PONG"));
}

#[test]
fn a_broken_connection_stays_broken() {
    let (mut client, server) = open(&[(PING, "?\r\n+PONG\r\n")]);
    assert!(matches!(
        client.call(&["PING"]),
        Err(ClientError::Protocol(_))
    ));
    let _stream = server.join().unwrap();
    // The bytes behind the broken reply are no reply to the next command.
    assert!(matches!(client.call(&["PING"]), Err(ClientError::Closed)));
    assert!(matches!(client.receive(), Err(ClientError::Closed)));
    assert!(!client.is_open());
}

#[test]
fn an_error_keeps_bytes_that_are_no_text() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::tcp("127.0.0.1", listener.local_addr().unwrap().port());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"-ERR '\xff\xfe'\r\n").unwrap();
        stream
    });
    let mut client = Client::open(&endpoint, &Options::default()).unwrap();
    let reply = client.call(&["PING"]).unwrap();
    let error = reply.as_error().unwrap();
    assert_eq!(error.as_bytes(), b"ERR '\xff\xfe'");
    server.join().unwrap();
}

#[test]
fn a_closed_connection_is_noticed_before_and_after_sending() {
    let (mut client, server) = open(&[(PING, "+PONG\r\n")]);
    client.call(&["PING"]).unwrap();
    let stream = server.join().unwrap();
    assert!(client.is_open());
    drop(stream);
    assert!(matches!(client.receive(), Err(ClientError::Closed)));
    assert!(!client.is_open());
}

#[test]
fn what_is_not_resp_is_refused() {
    let (mut client, server) = open(&[(PING, "HTTP/1.1 400 Bad Request\r\n")]);
    assert!(matches!(
        client.call(&["PING"]),
        Err(ClientError::Protocol(_))
    ));
    server.join().unwrap();
}

#[test]
fn nobody_listening_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(&format!("redis://{address}"), &Options::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("could not connect to {address}: ")),
        "{error}"
    );
}

#[test]
fn unix_sockets_work_alike() {
    let path = std::env::temp_dir().join(format!("kvik-client-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let server =
        thread::spawn(move || follow(&mut listener.accept().unwrap().0, &[(PING, "+PONG\r\n")]));
    let mut client =
        Client::connect(&format!("unix://{}", path.display()), &Options::default()).unwrap();
    assert_eq!(client.call(&["PING"]).unwrap(), simple("PONG"));
    server.join().unwrap();
    std::fs::remove_file(path).unwrap();
}
