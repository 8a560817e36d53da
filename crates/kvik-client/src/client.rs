//! One connection: the handshake, commands out, replies and pushes in.
//!
//! A push may arrive between a command and its reply. [`Client::call`] and [`Client::pipeline`] set
//! pushes aside, in order; [`Client::receive`] and [`Client::take_push`] hand them out. A read that
//! times out loses nothing: what came so far stays in the decoder and the next read goes on from
//! there. The reply to a call that timed out still comes; the next call discards it.
//!
//! A connection that broke stays broken. Its database, WATCH, MULTI, name and account are lost with
//! it, and only the caller knows what of them a new connection needs, so nothing reconnects here;
//! [`Store`](crate::Store) does.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use kvik_resp::{ArgsBuf, DecodeError, Protocol, ReplyDecoder, Value, encode_command};

use crate::stream::Stream;
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;
use crate::{Address, Endpoint, UrlError};

/// Bytes asked of the socket at once.
const READ_SIZE: usize = 64 * 1024;

/// How to connect and what to wait for. The default waits as long as the operating system does and
/// speaks RESP2.
///
/// ```
/// use std::time::Duration;
/// use kvik_client::{Options, Protocol};
///
/// let options = Options {
///     connect_timeout: Some(Duration::from_secs(1)),
///     protocol: Protocol::Resp3,
///     ..Options::default()
/// };
/// assert_eq!(options.read_timeout, None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How long each address of a host may take to accept.
    pub connect_timeout: Option<Duration>,
    /// How long to wait for the server's next bytes before [`ClientError::Timeout`].
    pub read_timeout: Option<Duration>,
    /// How long to wait for the server to take more bytes before [`ClientError::Timeout`].
    pub write_timeout: Option<Duration>,
    /// The protocol to ask for. A server that refuses RESP3 is spoken to in RESP2;
    /// [`Client::protocol`] tells.
    pub protocol: Protocol,
    /// Whom to trust over TLS.
    #[cfg(feature = "tls")]
    pub tls: TlsOptions,
}

/// Why there is no connection, or no reply on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL names no server.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Nobody answers at the address.
    #[error("could not connect to {address}: {source}")]
    Connect {
        /// The address that was dialled.
        address: Address,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The server refused a step of the handshake.
    #[error("{command} failed: {reply}")]
    Refused {
        /// The step: `AUTH`, `HELLO` or `SELECT`.
        command: &'static str,
        /// The error reply.
        reply: String,
    },
    /// A time limit of [`Options`] passed. After a read timeout the connection is still in order.
    #[error("the server did not answer in time")]
    Timeout,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The peer sent something that is not RESP.
    #[error("the server sent an invalid reply: {0}")]
    Protocol(#[from] DecodeError),
    /// The command was refused, or failed; this is the error line. The connection is in order.
    #[error("{0}")]
    Reply(String),
    /// The reply is of another type than the method returns. The connection is in order.
    #[error("unexpected reply: {0:?}")]
    Unexpected(Value),
    /// The files of a store cannot be opened, for example because another process has them open.
    #[error("cannot open {}: {reason}", .directory.display())]
    Open {
        /// The directory of the files.
        directory: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The connection was lost with what it kept, and another one is there. The command that was
    /// asked for has not been sent.
    #[error("the connection was lost, and {0} with it")]
    StateLost(&'static str),
    /// The store has no such thing.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // A socket whose time limit passed says either, depending on the system.
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Self::Closed
            }
            _ => Self::Io(error),
        }
    }
}

/// A connection to one server.
///
/// ```no_run
/// use kvik_client::{Client, Options};
///
/// let mut client = Client::connect("redis://127.0.0.1:6379", &Options::default())?;
/// client.call(&["SADD", "colours", "red", "green"])?;
/// let members = client.call(&["SMEMBERS", "colours"])?;
/// for member in members.as_slice().unwrap_or_default() {
///     println!("{}", member.as_str().unwrap_or("(bytes)"));
/// }
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
pub struct Client {
    stream: Stream,
    decoder: ReplyDecoder,
    protocol: Protocol,
    pushes: VecDeque<Value>,
    args: ArgsBuf,
    output: Vec<u8>,
    /// Received bytes; the part before `decoded` has been handed out.
    input: Vec<u8>,
    decoded: usize,
    /// Replies still to come that calls wait for, or waited for until they timed out.
    awaited: usize,
    /// Nothing can be sent or received any more.
    broken: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("stream", &self.stream)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the server at `url` (see [`Endpoint`]) and logs in there.
    pub fn connect(url: &str, options: &Options) -> Result<Self, ClientError> {
        Self::open(&url.parse()?, options)
    }

    /// Connects to `endpoint`, authenticates, agrees on the protocol and selects the database.
    ///
    /// ```no_run
    /// use kvik_client::{Client, Endpoint, Options};
    ///
    /// let endpoint = Endpoint {
    ///     db: 3,
    ///     ..Endpoint::unix("/run/kvik.sock")
    /// };
    /// let client = Client::open(&endpoint, &Options::default())?;
    /// # Ok::<(), kvik_client::ClientError>(())
    /// ```
    pub fn open(endpoint: &Endpoint, options: &Options) -> Result<Self, ClientError> {
        let mut client = match endpoint.tls {
            true => Self::over(secured(&endpoint.address, options)?),
            false => Self::dial(&endpoint.address, options)?,
        };
        // A server with a password refuses HELLO and SELECT before AUTH.
        if let Some(password) = &endpoint.password {
            client.authenticate(endpoint.username.as_deref(), password)?;
        }
        client.negotiate(options.protocol)?;
        if endpoint.db != 0 {
            client.select(endpoint.db)?;
        }
        Ok(client)
    }

    /// Connects to `address` as a stranger: without password, to database 0, in RESP2.
    pub fn dial(address: &Address, options: &Options) -> Result<Self, ClientError> {
        Ok(Self::over(connected(address, options)?))
    }

    fn over(stream: Stream) -> Self {
        Self {
            stream,
            decoder: ReplyDecoder::new(),
            protocol: Protocol::Resp2,
            pushes: VecDeque::new(),
            args: ArgsBuf::new(),
            output: Vec::new(),
            input: Vec::new(),
            decoded: 0,
            awaited: 0,
            broken: false,
        }
    }

    /// Logs in to an account, the `default` one unless named.
    pub fn authenticate(
        &mut self,
        username: Option<&str>,
        password: &str,
    ) -> Result<(), ClientError> {
        let mut args = vec!["AUTH"];
        args.extend(username);
        args.push(password);
        self.accepted("AUTH", &args)
    }

    /// Asks for `protocol`; RESP2 stays when the server does not grant RESP3.
    pub fn negotiate(&mut self, protocol: Protocol) -> Result<(), ClientError> {
        if protocol == self.protocol {
            return Ok(());
        }
        let version = if protocol == Protocol::Resp3 {
            "3"
        } else {
            "2"
        };
        if self.call(&["HELLO", version])?.as_error().is_none() {
            self.protocol = protocol;
        }
        Ok(())
    }

    /// Selects a database.
    pub fn select(&mut self, db: u32) -> Result<(), ClientError> {
        self.accepted("SELECT", &["SELECT", &db.to_string()])
    }

    /// Sends one command and waits for its reply. Commands without a reply of their own
    /// (`SUBSCRIBE` and its kin in RESP3, `CLIENT REPLY OFF`) go through [`Self::send`].
    ///
    /// # Errors
    /// After [`ClientError::Timeout`] the command may still be executed; its reply is discarded
    /// when it comes. After any other error the connection is of no use, and whether the command
    /// was executed is unknown.
    ///
    /// ```no_run
    /// # use kvik_client::{Client, Options};
    /// # let mut client = Client::connect("redis://127.0.0.1", &Options::default())?;
    /// let visits = client.call(&["INCR", "visits"])?;
    /// match visits.as_error() {
    ///     Some(error) => eprintln!("the server refused: {error}"),
    ///     None => println!("visit number {}", visits.as_int().unwrap_or_default()),
    /// }
    /// # Ok::<(), kvik_client::ClientError>(())
    /// ```
    pub fn call(&mut self, args: &[impl AsRef<[u8]>]) -> Result<Value, ClientError> {
        self.send(args)?;
        self.awaited += 1;
        self.discard_late_replies(1)?;
        self.reply()
    }

    /// Sends several commands at once and waits for all their replies. The server must be able to
    /// hold back the replies while it reads: cut long work into batches.
    ///
    /// # Errors
    /// As [`Self::call`]; replies that came before the error are lost.
    ///
    /// ```no_run
    /// # use kvik_client::{Client, Options};
    /// # let mut client = Client::connect("redis://127.0.0.1", &Options::default())?;
    /// let commands = [vec!["SET", "k", "v"], vec!["STRLEN", "k"]];
    /// let replies = client.pipeline(&commands)?;
    /// assert!(replies[0].is_ok());
    /// assert_eq!(replies[1].as_int(), Some(1));
    /// # Ok::<(), kvik_client::ClientError>(())
    /// ```
    pub fn pipeline<C, A>(&mut self, commands: &[C]) -> Result<Vec<Value>, ClientError>
    where
        C: AsRef<[A]>,
        A: AsRef<[u8]>,
    {
        self.send_all(commands)?;
        self.receive_all(commands.len())
    }

    /// The first half of [`Self::pipeline`].
    pub(crate) fn send_all<C, A>(&mut self, commands: &[C]) -> Result<(), ClientError>
    where
        C: AsRef<[A]>,
        A: AsRef<[u8]>,
    {
        for command in commands {
            self.encode(command.as_ref());
        }
        self.flush()?;
        self.awaited += commands.len();
        Ok(())
    }

    /// The second half of [`Self::pipeline`]: the replies to so many commands, the last ones that
    /// were sent.
    pub(crate) fn receive_all(&mut self, commands: usize) -> Result<Vec<Value>, ClientError> {
        self.discard_late_replies(commands)?;
        (0..commands).map(|_| self.reply()).collect()
    }

    /// Sends one command and waits for nothing.
    pub fn send(&mut self, args: &[impl AsRef<[u8]>]) -> Result<(), ClientError> {
        self.encode(args);
        self.flush()
    }

    /// Waits for whatever comes next, reply or push.
    ///
    /// ```no_run
    /// # use kvik_client::{Client, Options};
    /// # let mut client = Client::connect("redis://127.0.0.1", &Options::default())?;
    /// client.send(&["SUBSCRIBE", "news"])?;
    /// loop {
    ///     println!("{:?}", client.receive()?);
    /// }
    /// # #[allow(unreachable_code)]
    /// # Ok::<(), kvik_client::ClientError>(())
    /// ```
    pub fn receive(&mut self) -> Result<Value, ClientError> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        let value = self.next_value()?;
        if !matches!(value, Value::Push(_)) {
            self.awaited = self.awaited.saturating_sub(1);
        }
        Ok(value)
    }

    /// The oldest push that was set aside; reads nothing.
    pub fn take_push(&mut self) -> Option<Value> {
        self.pushes.pop_front()
    }

    /// The protocol agreed on in [`Self::negotiate`]. A `HELLO` or `RESET` sent otherwise is not
    /// seen; the client understands the replies of both protocols at any time.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes [`Options::read_timeout`].
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        Ok(self.stream.set_read_timeout(timeout)?)
    }

    /// Whether nothing can be sent or received any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether replies to calls that timed out are still to come.
    pub(crate) fn is_late(&self) -> bool {
        self.awaited > 0
    }

    /// Whether the server has not closed the connection, as far as can be seen without sending
    /// anything.
    pub fn is_open(&mut self) -> bool {
        if self.broken {
            return false;
        }
        let seen = match self.stream.set_nonblocking(true) {
            Ok(()) => self.fill(),
            Err(error) => Err(error.into()),
        };
        let restored = self.stream.set_nonblocking(false).is_ok();
        restored && matches!(seen, Ok(()) | Err(ClientError::Timeout))
    }

    /// Runs a step of the handshake and turns an error reply into [`ClientError::Refused`].
    fn accepted(&mut self, command: &'static str, args: &[&str]) -> Result<(), ClientError> {
        match self.call(args)? {
            Value::Error(reply) => Err(ClientError::Refused {
                command,
                reply: reply.to_string(),
            }),
            _ => Ok(()),
        }
    }

    fn encode(&mut self, args: &[impl AsRef<[u8]>]) {
        self.args.clear();
        self.args.extend(args);
        encode_command(self.args.as_args(), &mut self.output);
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        if self.broken {
            self.output.clear();
            return Err(ClientError::Closed);
        }
        let written = self.stream.write_all(&self.output);
        // TLS may have kept some of it.
        let written = written.and_then(|()| self.stream.flush());
        self.output.clear();
        // Part of a command may have been sent, also when only the time was up: whatever followed
        // would be read as the rest of it.
        self.broken = written.is_err();
        Ok(written?)
    }

    /// Reads the replies to calls that timed out, until only the last `own` are to come.
    fn discard_late_replies(&mut self, own: usize) -> Result<(), ClientError> {
        while self.awaited > own {
            self.reply()?;
        }
        Ok(())
    }

    /// The next value that is no push.
    fn reply(&mut self) -> Result<Value, ClientError> {
        loop {
            match self.next_value()? {
                push @ Value::Push(_) => self.pushes.push_back(push),
                reply => {
                    self.awaited = self.awaited.saturating_sub(1);
                    return Ok(reply);
                }
            }
        }
    }

    fn next_value(&mut self) -> Result<Value, ClientError> {
        if self.broken {
            return Err(ClientError::Closed);
        }
        let received = self.receive_value();
        self.broken = !matches!(received, Ok(_) | Err(ClientError::Timeout));
        received
    }

    fn receive_value(&mut self) -> Result<Value, ClientError> {
        loop {
            let undecoded = &self.input[self.decoded..];
            if let Some((value, len)) = self.decoder.decode(undecoded)? {
                self.decoded += len;
                return Ok(value);
            }
            self.fill()?;
        }
    }

    /// Reads once from the socket.
    fn fill(&mut self) -> Result<(), ClientError> {
        // The decoder counts from the start of its reply, so what was handed out may go.
        self.input.drain(..self.decoded);
        self.decoded = 0;
        let filled = self.input.len();
        self.input.resize(filled + READ_SIZE, 0);
        let received = read_once(&mut self.stream, &mut self.input[filled..]);
        // A read that fails leaves the buffer as it was: after a timeout the next one goes on.
        self.input
            .truncate(filled + received.as_ref().copied().unwrap_or(0));
        if received? == 0 {
            Err(ClientError::Closed)
        } else {
            Ok(())
        }
    }
}

/// A socket with its time limits.
fn connected(address: &Address, options: &Options) -> Result<Stream, ClientError> {
    let connected = Stream::connect(address, options.connect_timeout);
    let stream = connected.map_err(cannot_connect(address))?;
    stream.set_read_timeout(options.read_timeout)?;
    stream.set_write_timeout(options.write_timeout)?;
    Ok(stream)
}

/// The same with TLS.
#[cfg(feature = "tls")]
fn secured(address: &Address, options: &Options) -> Result<Stream, ClientError> {
    let secured = connected(address, options)?.secure(address, &options.tls);
    secured.map_err(cannot_connect(address))
}

#[cfg(not(feature = "tls"))]
fn secured(_address: &Address, _options: &Options) -> Result<Stream, ClientError> {
    Err(UrlError::Tls("rediss".to_owned()).into())
}

fn cannot_connect(address: &Address) -> impl Fn(io::Error) -> ClientError {
    move |source| ClientError::Connect {
        address: address.clone(),
        source,
    }
}

fn read_once(stream: &mut Stream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
