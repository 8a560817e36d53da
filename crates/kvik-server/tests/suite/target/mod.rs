//! What transcripts can be played against: a [`Target`] makes [`Connection`]s, which send commands and receive replies.

mod memory;
mod real;
mod scripted;
mod served;
mod socket;
mod wire;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kvik_resp::{Args, ArgsBuf, Value};
pub(crate) use memory::MemoryTarget;
pub(crate) use real::real_server;
pub(crate) use scripted::ScriptedTarget;
pub(crate) use served::{on_both_backends, served, served_with, start};
pub(crate) use socket::SocketTarget;
pub(crate) use wire::{Wire, command};

/// A running server, or a store in this process.
pub(crate) trait Target: Sync {
    /// What it is, for the markers of transcripts and for messages.
    fn identity(&self) -> &Identity;
    /// A fresh connection that speaks [`Identity::protocol`].
    fn connect(&self) -> Result<Box<dyn Connection>, String>;
    /// Lets time go by.
    fn wait(&self, time: Duration);
    /// Whether it is in order inside, asked while no command is running.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// One client's session. Dropping it disconnects.
pub(crate) trait Connection {
    /// Sends a command without waiting for what it does.
    fn send(&mut self, command: Args<'_>) -> Result<(), String>;
    /// What arrives next within the time given.
    fn receive(&mut self, patience: Duration) -> Result<Received, String>;
}

/// What a connection got to see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    Reply(Reply),
    Nothing,
    Closed,
}

/// One reply or push as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) value: Value,
    /// It is the null array of RESP2, which decodes to the same value as the null bulk string.
    pub(crate) null_array: bool,
}

impl dyn Connection + '_ {
    /// Sends a command and waits for its reply.
    pub(crate) fn ask(&mut self, command: Args<'_>) -> Result<Value, String> {
        self.send(command)?;
        match self.receive(Duration::from_secs(30))? {
            Received::Reply(reply) => Ok(reply.value),
            other => Err(format!(
                "expected a reply to {command:?}, received {other:?}"
            )),
        }
    }

    /// The same for words at hand.
    pub(crate) fn ask_words(&mut self, command: &[&str]) -> Result<Value, String> {
        self.ask(command.iter().collect::<ArgsBuf>().as_args())
    }
}

/// The programs a transcript can speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Kvik,
    Redis,
    Valkey,
}

impl FromStr for Product {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "kvik" => Ok(Self::Kvik),
            "redis" => Ok(Self::Redis),
            "valkey" => Ok(Self::Valkey),
            _ => Err(format!("no such product: {name}")),
        }
    }
}

/// `7.0.15`; what is not written counts as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u32; 3]);

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = [0; 3];
        for (part, digits) in parts.iter_mut().zip(text.split('.')) {
            *part = digits
                .parse()
                .map_err(|_| format!("{text:?} is no version"))?;
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// What a target is and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) product: Product,
    pub(crate) version: Version,
    /// 2 or 3.
    pub(crate) protocol: u8,
    /// Its commands are called by scripts.
    pub(crate) is_scripted: bool,
    /// Over a socket, as opposed to in process.
    pub(crate) socket: bool,
    /// What distinguishes it beyond that: backend, threads.
    pub(crate) variant: String,
}

impl Identity {
    /// Valkey began as Redis 7.2.4, so it has what Redis had by then.
    pub(crate) fn has(&self, product: Product, version: Version) -> bool {
        let forked_at = Version([7, 2, 4]);
        match (self.product, product) {
            (Product::Kvik, _) => true,
            (Product::Valkey, Product::Redis) => version <= forked_at,
            (own, asked) => own == asked && self.version >= version,
        }
    }

    /// Whether `@only trait` keeps a case for this target.
    pub(crate) fn is(&self, name: &str) -> Result<bool, String> {
        Ok(match name {
            "socket" => self.socket,
            "resp2" => self.protocol == 2,
            "resp3" => self.protocol == 3,
            product => self.product == product.parse()?,
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            product,
            version,
            protocol,
            variant,
            ..
        } = self;
        write!(f, "{product:?} {version} RESP{protocol}{variant}")
    }
}
