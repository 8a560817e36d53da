//! A server behind a TCP port, and connections to it.

use std::any::Any;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kvik_resp::{Args, ReplyDecoder, Value, encode_command};

use super::{Connection, Identity, Product, Received, Reply, Target, Version};

/// A server reached over TCP. It ends with the target.
pub(crate) struct SocketTarget {
    port: u16,
    identity: Identity,
    _server: Mutex<Box<dyn Any + Send>>,
}

impl SocketTarget {
    /// The server that listens on a port and ends when `server` is dropped; speaks RESP2 until told otherwise.
    pub(crate) fn new(
        port: u16,
        server: impl Any + Send,
        product: Product,
        version: Version,
        variant: &str,
    ) -> Self {
        let variant = variant.to_owned();
        let identity = Identity {
            is_scripted: false,
            product,
            version,
            protocol: 2,
            socket: true,
            variant,
        };
        Self {
            port,
            identity,
            _server: Mutex::new(Box::new(server)),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Speaks RESP2 or RESP3 from now on.
    pub(crate) fn speak(&mut self, protocol: u8) {
        self.identity.protocol = protocol;
    }
}

impl Target for SocketTarget {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn connect(&self) -> Result<Box<dyn Connection>, String> {
        let mut connection = SocketConnection::open(self.port)?;
        if self.identity.protocol == 3 {
            ask(&mut connection, &["HELLO", "3"])?;
        }
        Ok(Box::new(connection))
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}

pub(super) fn ask(connection: &mut SocketConnection, command: &[&str]) -> Result<Value, String> {
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
