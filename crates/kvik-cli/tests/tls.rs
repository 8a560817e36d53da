//! The command line's tools over TLS, through a front that speaks it for a server that does not.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[allow(dead_code, reason = "each test uses a part")]
mod served;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use served::{KVIK, Served, text};

/// A server, and a front for it whose certificate is for `localhost`.
struct Fronted {
    server: Served,
    port: u16,
    certificate: PathBuf,
}

impl Fronted {
    fn start() -> Self {
        let server = Served::start(KVIK, &["--memory"]).unwrap();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = server.directory.path().join("front.pem");
        let body = BASE64_STANDARD.encode(cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        std::fs::write(&certificate, pem).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, behind) = (Arc::new(config), server.port);
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let config = Arc::clone(&config);
                thread::spawn(move || {
                    let server = TcpStream::connect(("127.0.0.1", behind))?;
                    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
                    join(connection, client?, server)
                });
            }
        });
        Self {
            server,
            port,
            certificate,
        }
    }

    fn url(&self) -> String {
        format!("rediss://localhost:{}", self.port)
    }

    fn file(&self, name: &str) -> String {
        self.server
            .directory
            .path()
            .join(name)
            .display()
            .to_string()
    }

    /// Runs a tool that trusts the front.
    fn kvik(&self, tool: &str, words: &[&str], input: &[u8]) -> Output {
        let certificate = self.certificate.display().to_string();
        let words = [&[tool, "--cacert", &certificate], words].concat();
        let mut child = Command::new(KVIK)
            .args(&words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{words:?}: {out}{err}");
        output
    }
}

/// Carries bytes between a client that speaks TLS and a server that does not, until one of them
/// ends.
fn join(connection: ServerConnection, client: TcpStream, server: TcpStream) -> io::Result<()> {
    let connection = Mutex::new(connection);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = to_client(&connection, &server, &client);
            client.shutdown(Shutdown::Both)
        });
        let _ = to_server(&connection, &client, &server);
        server.shutdown(Shutdown::Both)
    })
}

fn to_server(
    connection: &Mutex<ServerConnection>,
    mut client: &TcpStream,
    mut server: &TcpStream,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let (mut sealed, mut plain) = (&buffer[..count], Vec::new());
        let mut connection = connection.lock().unwrap();
        while !sealed.is_empty() {
            connection.read_tls(&mut sealed)?;
            let state = connection.process_new_packets().map_err(io::Error::other);
            // Also what tells the client why it fails.
            while connection.wants_write() {
                connection.write_tls(&mut client)?;
            }
            let mut part = vec![0; state?.plaintext_bytes_to_read()];
            connection.reader().read_exact(&mut part)?;
            plain.append(&mut part);
        }
        drop(connection);
        server.write_all(&plain)?;
    }
}

fn to_client(
    connection: &Mutex<ServerConnection>,
    mut server: &TcpStream,
    mut client: &TcpStream,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 14];
    loop {
        let count = server.read(&mut buffer)?;
        let mut connection = connection.lock().unwrap();
        match count {
            0 => connection.send_close_notify(),
            _ => connection.writer().write_all(&buffer[..count])?,
        }
        while connection.wants_write() {
            connection.write_tls(&mut client)?;
        }
        if count == 0 {
            return Ok(());
        }
    }
}

#[test]
fn commands_and_files_of_commands_go_over_tls() {
    let front = Fronted::start();
    let port = front.port.to_string();
    let said = front.kvik(
        "cli",
        &["--tls", "-h", "localhost", "-p", &port, "PING"],
        b"",
    );
    assert_eq!(text(&said.stdout), "PONG\n");
    let url = front.url();
    // More than a record in either direction.
    let large = "x".repeat(300_000);
    let set = front.kvik("cli", &["-u", &url, "-x", "SET", "large"], large.as_bytes());
    assert_eq!(text(&set.stdout), "OK\n");
    let got = front.kvik("cli", &["-u", &url, "GET", "large"], b"");
    assert_eq!(text(&got.stdout).trim_end(), large);
    let lines: String = (0..2000).map(|key| format!("SET k{key} v\n")).collect();
    let said = front.kvik("cli", &["-u", &url], lines.as_bytes());
    assert_eq!(text(&said.stdout), "OK\n".repeat(2000));
    assert_eq!(front.server.call(&["DBSIZE"]).as_int(), Some(2001));
}

#[test]
fn a_load_goes_over_tls() {
    let front = Fronted::start();
    let plain = format!("127.0.0.1:{}", front.server.port);
    let url = front.url();
    let load = ["-u", &url, "--vs", &plain, "--secs", "0.2", "-c", "3"];
    let load = [&load[..], &["-P", "4", "--keys", "100", "-d", "2000"]].concat();
    let table = text(&front.kvik("bench", &load, b"").stdout);
    assert!(table.contains("localhost:"), "{table}");
    assert_eq!(front.server.call(&["DBSIZE"]).as_int(), Some(100));
}

#[test]
fn keys_are_copied_and_compared_over_tls() {
    let (from, to) = (Fronted::start(), Fronted::start());
    for command in [
        &["SET", "string", "v", "EX", "1000"][..],
        &["RPUSH", "list", "a", "b"],
        &["HSET", "hash", "f", "v"],
        &["ZADD", "zset", "1.5", "m"],
    ] {
        assert!(from.server.call(command).as_error().is_none());
    }
    let lines = from.file("keys.jsonl");
    from.kvik("export", &["-u", &from.url(), "--json", &lines], b"");
    to.kvik("import", &["-u", &to.url(), &lines], b"");
    let plain = from.server.url();
    to.kvik("diff", &[&plain, &to.url()], b"");
    // From a server over TLS, to one.
    to.server.call(&["FLUSHALL"]);
    from.kvik("import", &[&from.url(), "--to", &to.server.url()], b"");
    from.kvik("diff", &[&from.url(), &to.server.url()], b"");
    to.server.call(&["FLUSHALL"]);
    to.kvik("import", &[&plain, "--to", &to.url()], b"");
    to.kvik("diff", &[&plain, &to.url()], b"");
}

#[test]
fn whom_nobody_vouches_for_is_refused() {
    let front = Fronted::start();
    let file = front.file("none.jsonl");
    for words in [
        &["cli", "-u", &front.url(), "PING"][..],
        &["bench", "-u", &front.url(), "--secs", "0.1"],
        &["export", "-u", &front.url(), "--json", &file],
        &["import", &front.url(), "--to", &front.server.url()],
        &["diff", &front.url(), &front.server.url()],
    ] {
        let refused = Command::new(KVIK).args(words).output().unwrap();
        let error = text(&refused.stderr);
        assert!(!refused.status.success(), "{words:?}");
        assert!(error.contains("certificate"), "{words:?}: {error}");
    }
}
