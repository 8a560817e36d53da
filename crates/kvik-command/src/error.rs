//! Error replies. A variant is an error code, its text is exactly Redis'.
//!
//! A text is bytes, because many repeat a word that a client sent ([`ErrorText::quoting`]). The
//! reply puts a space in place of each CR and LF, so no text can end its line early.

use std::borrow::Cow;
use std::fmt;

use kvik_resp::Reply;
use kvik_store::WrongKind;

use crate::declare::Command;

/// The text of an error behind its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorText(Cow<'static, [u8]>);

impl ErrorText {
    /// A text that is always the same.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }

    /// A text of these parts, some of them words of a client. As in Redis, which prints words as C
    /// strings, a zero byte ends its part.
    pub fn quoting(parts: &[&[u8]]) -> Self {
        let printed = |part: &&[u8]| -> Vec<u8> {
            part.iter().copied().take_while(|byte| *byte != 0).collect()
        };
        let text: Vec<u8> = parts.iter().flat_map(printed).collect();
        Self(Cow::Owned(text))
    }
}

impl From<String> for ErrorText {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl From<&'static str> for ErrorText {
    fn from(text: &'static str) -> Self {
        Self::fixed(text)
    }
}

/// Why a command was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// `ERR`: the general case, with its text.
    Err(ErrorText),
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
    NoPermission(ErrorText),
    /// `DENIED`: refused by the server's protection, with the text.
    Denied(ErrorText),
    /// The command touches so much that it is to be done in slices, where nobody waits for it. No
    /// client sees this: whoever has run it has it run again so.
    Long,
    /// `NOSCRIPT`, `BUSYKEY` and other codes that one command alone uses, with code and text.
    Coded(&'static str, ErrorText),
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
    /// The client is gone whose command this is.
    pub const GONE: Self = Self::text("the client is gone");
    /// A command has run for longer than `command-time-limit`.
    pub const OUT_OF_TIME: Self =
        Self::text("the command ran for longer than command-time-limit and has changed nothing");
    /// An index of a database that does not exist.
    pub const NO_SUCH_DB: Self = Self::text("DB index is out of range");

    /// A general error with a fixed text.
    pub const fn text(text: &'static str) -> Self {
        Self::Err(ErrorText::fixed(text))
    }

    /// A general error with a made-up text.
    pub fn new(text: impl Into<ErrorText>) -> Self {
        Self::Err(text.into())
    }

    /// A general error that repeats words of a client. See [`ErrorText::quoting`].
    pub fn quoting(parts: &[&[u8]]) -> Self {
        Self::Err(ErrorText::quoting(parts))
    }

    /// The command may not be queued in a transaction.
    pub fn not_in_transaction(command: &Command) -> Self {
        Self::new(format!(
            "Command '{}' not allowed inside a transaction",
            command.full_name()
        ))
    }

    /// The same as the reason for which a transaction is undone: its command with this number,
    /// counted from 1, has failed.
    #[must_use]
    pub fn rolling_back(&self, number: usize, command: &Command) -> Self {
        let name = command.full_name().to_ascii_lowercase().replace('|', " ");
        let at = format!("Transaction rolled back because of command {number}, '{name}': ");
        let text = [at.as_bytes(), &self.line()].concat();
        Self::Coded("EXECABORT", ErrorText(Cow::Owned(text)))
    }

    /// The error of EXEC when it is refused itself. Redis leaves out the code `ERR`.
    #[must_use]
    pub fn aborting(&self) -> Self {
        const REASON: &[u8] = b"Transaction discarded because of: ";
        let text = match self {
            Self::Err(text) => [REASON, &text.0].concat(),
            other => [REASON, &other.line()].concat(),
        };
        Self::Coded("EXECABORT", ErrorText(Cow::Owned(text)))
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
            Self::Long => "BUSY",
            Self::NoPermission(_) => "NOPERM",
            Self::Denied(_) => "DENIED",
            Self::Coded(code, _) => code,
        }
    }

    /// Writes the error as a reply.
    pub fn write(&self, reply: &mut Reply<'_>) {
        reply.error_bytes(&self.line());
    }

    /// Code and text, as they are sent.
    pub fn line(&self) -> Vec<u8> {
        [self.code().as_bytes(), b" ", self.text_bytes()].concat()
    }

    fn text_bytes(&self) -> &[u8] {
        match self {
            Self::Err(text)
            | Self::NoPermission(text)
            | Self::Denied(text)
            | Self::Coded(_, text) => &text.0,
            Self::WrongType => b"Operation against a key holding the wrong kind of value",
            Self::NoAuth => b"Authentication required.",
            Self::WrongPass => b"invalid username-password pair or user is disabled.",
            Self::NoProto => b"unsupported protocol version",
            Self::ExecAbort => b"Transaction discarded because of previous errors.",
            Self::OutOfMemory => b"command not allowed when used memory > 'maxmemory'.",
            Self::Long => b"The command takes long.",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line();
        f.write_str(&String::from_utf8_lossy(&line).replace(['\r', '\n'], " "))
    }
}

impl std::error::Error for Error {}

impl From<WrongKind> for Error {
    fn from(_: WrongKind) -> Self {
        Self::WrongType
    }
}

#[cfg(test)]
mod tests {
    use kvik_resp::{Output, Protocol};

    use super::*;

    #[test]
    fn words_of_a_client_are_repeated_byte_by_byte() {
        let error = Error::quoting(&[b"bad option '", b"\xff\r\nx\0y", b"'"]);
        let mut output = Output::new();
        error.write(&mut Reply::new(&mut output, Protocol::Resp2));
        assert_eq!(output.into_bytes(), b"-ERR bad option '\xff  x'\r\n");
    }

    #[test]
    fn a_refused_exec_names_the_reason() {
        let aborted = |error: Error| error.aborting().to_string();
        assert_eq!(
            aborted(Error::SYNTAX),
            "EXECABORT Transaction discarded because of: syntax error"
        );
        assert_eq!(
            aborted(Error::NoAuth),
            "EXECABORT Transaction discarded because of: NOAUTH Authentication required."
        );
    }
}
