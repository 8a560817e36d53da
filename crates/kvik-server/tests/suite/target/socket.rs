//! Targets behind a TCP port: a server program started for the test, and connections to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kvik_resp::{Args, ReplyDecoder, Value, encode_command};
use tempfile::TempDir;

use super::{Connection, Identity, Product, Received, Reply, Target};

/// A server program on a free port with its own directory; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
    _directory: TempDir,
}

impl Process {
    /// Starts `program --port <free> --dir <temporary> --save "" args...` and waits until it answers.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let port = free_port()?;
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--save", "", "--dir"])
            .arg(directory.path())
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let process = Self {
            child,
            port,
            _directory: directory,
        };
        process.await_answer()?;
        Ok(process)
    }

    fn await_answer(&self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(mut connection) = SocketConnection::open(self.port) {
                return ask(&mut connection, &["PING"]).map(drop);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("nothing answers on port {}", self.port))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program of a real server: named by the environment, or for Redis found in `PATH`.
pub(crate) fn real_server(product: Product) -> Option<PathBuf> {
    let variable = if product == Product::Redis {
        "KVIK_TEST_REDIS"
    } else {
        "KVIK_TEST_VALKEY"
    };
    if let Some(path) = std::env::var_os(variable) {
        return Some(path.into());
    }
    let name = if product == Product::Redis {
        "redis-server"
    } else {
        "valkey-server"
    };
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}

/// A server reached over TCP in one of the protocols.
pub(crate) struct SocketTarget<'a> {
    process: &'a Process,
    identity: Identity,
}

impl<'a> SocketTarget<'a> {
    /// Asks the server for its version.
    pub(crate) fn new(
        process: &'a Process,
        product: Product,
        protocol: u8,
        variant: &str,
    ) -> Result<Self, String> {
        let info = ask(
            &mut SocketConnection::open(process.port)?,
            &["INFO", "server"],
        )?;
        let field = match product {
            Product::Kvik => "kvik_version:",
            Product::Redis => "redis_version:",
            Product::Valkey => "valkey_version:",
        };
        let info = info.as_str().unwrap_or_default();
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .ok_or(format!("INFO lacks {field}"))?;
        let version = version.trim().parse()?;
        let identity = Identity {
            product,
            version,
            protocol,
            socket: true,
            variant: variant.to_owned(),
        };
        Ok(Self { process, identity })
    }
}

impl Target for SocketTarget<'_> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn connect(&self) -> Result<Box<dyn Connection>, String> {
        let mut connection = SocketConnection::open(self.process.port)?;
        if self.identity.protocol == 3 {
            ask(&mut connection, &["HELLO", "3"])?;
        }
        Ok(Box::new(connection))
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

fn ask(connection: &mut SocketConnection, command: &[&str]) -> Result<Value, String> {
    (connection as &mut dyn Connection).ask_words(command)
}

/// A blocking RESP connection.
pub(crate) struct SocketConnection {
    stream: TcpStream,
    decoder: ReplyDecoder,
    received: Vec<u8>,
}

impl SocketConnection {
    pub(crate) fn open(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            stream,
            decoder: ReplyDecoder::default(),
            received: Vec::new(),
        })
    }

    fn decode(&mut self) -> Result<Option<Reply>, String> {
        let decoded = self
            .decoder
            .decode(&self.received)
            .map_err(|error| error.to_string())?;
        let Some((value, len)) = decoded else {
            return Ok(None);
        };
        let null_array = self.received.starts_with(b"*-1");
        self.received.drain(..len);
        Ok(Some(Reply { value, null_array }))
    }
}

impl Connection for SocketConnection {
    fn send(&mut self, command: Args<'_>) -> Result<(), String> {
        let mut bytes = Vec::new();
        encode_command(command, &mut bytes);
        self.stream
            .write_all(&bytes)
            .map_err(|error| error.to_string())
    }

    fn receive(&mut self, patience: Duration) -> Result<Received, String> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(reply) = self.decode()? {
                return Ok(Received::Reply(reply));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Received::Nothing);
            }
            self.stream
                .set_read_timeout(Some(left))
                .map_err(|error| error.to_string())?;
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Received::Closed),
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Ok(Received::Closed);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}
