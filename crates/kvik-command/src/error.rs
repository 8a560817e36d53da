//! Error replies. A variant is an error code, its text is exactly Redis'.

use std::borrow::Cow;
use std::fmt;

use kvik_store::WrongKind;

use crate::declare::Command;

/// Why a command was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// `ERR`: the general case, with its text.
    Err(Cow<'static, str>),
    /// `WRONGTYPE`: the key holds another type.
    WrongType,
    /// `NOAUTH`: the connection has not authenticated.
    NoAuth,
    /// `WRONGPASS`: user name and password do not fit.
    WrongPass,
    /// `NOPROTO`: HELLO asked for an unknown protocol version.
    NoProto,
    /// `EXECABORT`: the transaction had errors while it was queued.
    ExecAbort,
    /// `OOM`: the command could use more memory than allowed.
    OutOfMemory,
    /// `NOPERM`: not allowed, with the text.
    NoPermission(Cow<'static, str>),
    /// `DENIED`: refused by the server's protection, with the text.
    Denied(Cow<'static, str>),
    /// `NOSCRIPT`, `BUSYKEY` and other codes that one command alone uses, with code and text.
    Coded(&'static str, Cow<'static, str>),
}

impl Error {
    /// The options do not fit the command's syntax.
    pub const SYNTAX: Self = Self::text("syntax error");
    /// Not a 64-bit integer.
    pub const NOT_AN_INTEGER: Self = Self::text("value is not an integer or out of range");
    /// Not a float.
    pub const NOT_A_FLOAT: Self = Self::text("value is not a valid float");
    /// An integer outside the range that the command takes.
    pub const OUT_OF_RANGE: Self = Self::text("value is out of range");
    /// An integer that 32 bits cannot hold.
    pub const BEYOND_32_BITS: Self =
        Self::text("value is out of range, value must between -2147483648 and 2147483647");
    /// A negative number where only others make sense.
    pub const NOT_POSITIVE: Self = Self::text("value is out of range, must be positive");
    /// The key does not exist.
    pub const NO_SUCH_KEY: Self = Self::text("no such key");
    /// Source and destination are the same.
    pub const SAME_OBJECT: Self = Self::text("source and destination objects are the same");
    /// An increment would leave the range of 64-bit integers.
    pub const OVERFLOW: Self = Self::text("increment or decrement would overflow");
    /// A string would exceed `proto-max-bulk-len`.
    pub const STRING_TOO_LONG: Self =
        Self::text("string exceeds maximum allowed size (proto-max-bulk-len)");
    /// An index of a database that does not exist.
    pub const NO_SUCH_DB: Self = Self::text("DB index is out of range");

    /// A general error with a fixed text.
    pub const fn text(text: &'static str) -> Self {
        Self::Err(Cow::Borrowed(text))
    }

    /// A general error with a made-up text.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Err(text.into())
    }

    /// The expiry a command was given makes no sense for it.
    pub fn invalid_expire(command: &Command) -> Self {
        Self::new(format!(
            "invalid expire time in '{}' command",
            command.full_name()
        ))
    }

    /// The wrong number of arguments for a command.
    pub fn arity(command: &Command) -> Self {
        Self::new(format!(
            "wrong number of arguments for '{}' command",
            command.full_name()
        ))
    }

    /// The code, the first word of the reply.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Err(_) => "ERR",
            Self::WrongType => "WRONGTYPE",
            Self::NoAuth => "NOAUTH",
            Self::WrongPass => "WRONGPASS",
            Self::NoProto => "NOPROTO",
            Self::ExecAbort => "EXECABORT",
            Self::OutOfMemory => "OOM",
            Self::NoPermission(_) => "NOPERM",
            Self::Denied(_) => "DENIED",
            Self::Coded(code, _) => code,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Err(text)
            | Self::NoPermission(text)
            | Self::Denied(text)
            | Self::Coded(_, text) => text,
            Self::WrongType => "Operation against a key holding the wrong kind of value",
            Self::NoAuth => "Authentication required.",
            Self::WrongPass => "invalid username-password pair or user is disabled.",
            Self::NoProto => "unsupported protocol version",
            Self::ExecAbort => "Transaction discarded because of previous errors.",
            Self::OutOfMemory => "command not allowed when used memory > 'maxmemory'.",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.message())
    }
}

impl std::error::Error for Error {}

impl From<WrongKind> for Error {
    fn from(_: WrongKind) -> Self {
        Self::WrongType
    }
}
