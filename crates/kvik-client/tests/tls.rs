//! `rediss://` to Redis, where redis-server speaks TLS and openssl makes certificates.

#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, which waits for another process"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kvik_client::{Client, ClientError, Options, Protocol, Store, TlsOptions};
use tempfile::TempDir;

/// A server whose certificate is for `localhost`, and the folder of the certificates.
struct Secured {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Secured {
    /// None where a program is missing.
    fn start(asks_for_certificates: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        if !make_certificates(folder.path()) {
            println!("skipped: there is no openssl");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let asks = if asks_for_certificates { "yes" } else { "no" };
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--tls-port", &port.to_string()])
            .args(["--tls-cert-file", "leaf.pem", "--tls-key-file", "leaf.key"])
            .args(["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", asks])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            println!("skipped: there is no redis-server");
            return None;
        };
        let mut server = Self {
            process,
            port,
            folder,
        };
        for _ in 0..500 {
            if Client::connect(&server.url(), &server.options()).is_ok() {
                return Some(server);
            }
            if server.process.try_wait().unwrap().is_some() {
                println!("skipped: redis-server speaks no TLS");
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not come");
    }

    fn url(&self) -> String {
        format!("rediss://localhost:{}", self.port)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Trusts the server, and shows a certificate.
    fn options(&self) -> Options {
        Options {
            tls: TlsOptions {
                authorities: Some(self.file("ca.pem")),
                identity: Some((self.file("leaf.pem"), self.file("leaf.key"))),
                server_name: None,
            },
            ..Options::default()
        }
    }
}

/// Makes an authority, `ca.pem`, and a certificate of it, `leaf.pem`, with its key `leaf.key`.
fn make_certificates(folder: &Path) -> bool {
    let config = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = kvik\n\
                  [ca]\nbasicConstraints = critical,CA:TRUE\n\
                  [leaf]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = DNS:localhost\n";
    std::fs::write(folder.join("config"), config).unwrap();
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let openssl = |words: &[&str]| {
        let run = Command::new("openssl")
            .args(words)
            .current_dir(folder)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status();
        run.is_ok_and(|status| status.success())
    };
    let ca = [
        "req",
        "-x509",
        "-config",
        "config",
        "-extensions",
        "ca",
        "-days",
        "2",
    ];
    let ca = [&ca[..], &["-keyout", "ca.key", "-out", "ca.pem"], &key].concat();
    let request = [
        "req", "-config", "config", "-keyout", "leaf.key", "-out", "leaf.csr",
    ];
    let request = [&request[..], &key].concat();
    let sign = [
        "x509",
        "-req",
        "-in",
        "leaf.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-days",
        "2",
        "-CAcreateserial",
        "-extfile",
        "config",
        "-extensions",
        "leaf",
        "-out",
        "leaf.pem",
    ];
    openssl(&ca) && openssl(&request) && openssl(&sign)
}

#[test]
fn typed_methods_and_pipelines_work_over_tls() {
    let Some(server) = Secured::start(false) else {
        return;
    };
    let options = Options {
        protocol: Protocol::Resp3,
        ..server.options()
    };
    let mut client = Store::open_with(&server.url(), &options).unwrap();
    client.set("k", "v").unwrap();
    assert_eq!(client.get("k").unwrap().as_deref(), Some(&b"v"[..]));
    // More than one record of TLS in both directions.
    let large = "x".repeat(300_000);
    client.set("large", &large).unwrap();
    assert_eq!(client.get("large").unwrap().unwrap().len(), large.len());
    let mut pipeline = client.pipeline();
    let sums: Vec<_> = (1..100).map(|_| pipeline.incr("n")).collect();
    let mut replies = pipeline.run().unwrap();
    for (at, sum) in sums.into_iter().enumerate() {
        assert_eq!(replies.take(sum).unwrap(), at as i64 + 1);
    }
    let mut subscriber = client.subscriber().unwrap();
    subscriber.subscribe(&["news"]).unwrap();
    client.publish("news", "x").unwrap();
    let message = subscriber.next_within(Duration::from_secs(10)).unwrap();
    assert_eq!(message.unwrap().payload, b"x");
    let none = subscriber.next_within(Duration::from_millis(20));
    assert!(none.unwrap().is_none());
}

#[test]
fn a_time_limit_leaves_the_connection_in_order() {
    let Some(server) = Secured::start(false) else {
        return;
    };
    let mut client = Client::connect(&server.url(), &server.options()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let late = client.call(&["BLPOP", "none", "1"]);
    assert!(matches!(late, Err(ClientError::Timeout)), "{late:?}");
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let echo = client.call(&["ECHO", "hi"]).unwrap();
    assert_eq!(echo.as_bytes(), Some(&b"hi"[..]));
    assert!(client.is_open());
}

#[test]
fn whom_nobody_vouches_for_is_refused() {
    let Some(server) = Secured::start(false) else {
        return;
    };
    let refused = |url: &str, options: &Options| match Client::connect(url, options) {
        Err(ClientError::Connect { source, .. }) => source.to_string(),
        other => panic!("{url}: {other:?}"),
    };
    // The authorities of the system do not know the one here.
    let system = refused(&server.url(), &Options::default());
    assert!(system.contains("certificate"), "{system}");
    // The certificate is for another name than the address.
    let by_address = format!("rediss://127.0.0.1:{}", server.port);
    let name = refused(&by_address, &server.options());
    assert!(name.contains("certificate"), "{name}");
    let mut options = server.options();
    options.tls.server_name = Some("localhost".into());
    assert!(Client::connect(&by_address, &options).is_ok());
    options.tls.authorities = Some("/nowhere.pem".into());
    assert!(refused(&server.url(), &options).contains("/nowhere.pem"));
    options.tls.authorities = Some(server.file("config"));
    assert!(refused(&server.url(), &options).contains("config"));
}

#[test]
fn a_client_may_have_to_show_a_certificate() {
    let Some(server) = Secured::start(true) else {
        return;
    };
    let mut client = Client::connect(&server.url(), &server.options()).unwrap();
    assert!(client.call(&["PING"]).unwrap().as_error().is_none());
    let mut nobody = server.options();
    nobody.tls.identity = None;
    let refused = Client::connect(&server.url(), &nobody).and_then(|mut it| it.call(&["PING"]));
    assert!(refused.is_err(), "{refused:?}");
}
