//! A server in a process of its own, on a free port of this machine, as the tests need one.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kvik_client::{Client, Endpoint, Options, Value};
use tempfile::TempDir;

pub(crate) const KVIK: &str = env!("CARGO_BIN_EXE_kvik");
pub(crate) const REDIS: &str = "redis-server";

/// A server and its directory. It ends with the value.
pub(crate) struct Served {
    process: Child,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Served {
    /// Starts a program that takes Redis' flags, without files; none if it is not installed.
    pub(crate) fn start(program: &str, more: &[&str]) -> Option<Self> {
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command
            .args(["--save", "", "--appendonly", "no"])
            .args(more);
        Self::run(command, port)
    }

    /// Runs a command that makes a server at a port.
    pub(crate) fn run(mut command: Command, port: u16) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let process = command.current_dir(directory.path()).stdout(log).spawn();
        let Ok(process) = process else {
            eprintln!("{command:?} does not start: skipped");
            return None;
        };
        let server = Self {
            process,
            port,
            directory,
        };
        wait_for("the server", || {
            let client = Client::open(&server.endpoint(), &Options::default());
            client.is_ok_and(|mut client| {
                let reply = client.call(&["PING"]);
                reply.is_ok_and(|reply| reply.as_error().is_none())
            })
        });
        Some(server)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::tcp("127.0.0.1", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn client(&self) -> Client {
        Client::open(&self.endpoint(), &Options::default()).unwrap()
    }

    pub(crate) fn call(&self, command: &[&str]) -> Value {
        self.client().call(command).unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&self) {
        let id = self.process.id().to_string();
        let killed = Command::new("kill").args(["-KILL", &id]).status();
        assert!(killed.unwrap().success());
    }

    /// Asks it to end as a service manager does, and waits for that; its directory stays.
    pub(crate) fn terminate(mut self) -> TempDir {
        let id = self.process.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status();
        assert!(killed.unwrap().success());
        assert!(self.process.wait().unwrap().success());
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process decides when it is ready"
)]
pub(crate) fn comes(is_there: impl Fn() -> bool) -> bool {
    for _ in 0..1000 {
        if is_there() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

pub(crate) fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    assert!(comes(is_there), "{what} does not come");
}

/// Runs `kvik` without input.
pub(crate) fn kvik(words: &[&str], directory: &Path) -> Output {
    Command::new(KVIK)
        .args(words)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
