//! Codecs: how the clients of a door ask and are answered.
//!
//! A connection has a [`Codec`]. RESP's is the parser of kvik-resp, whose commands the reactor
//! takes from the input where they lie. The others turn input into a [`CommandBatch`] of commands,
//! each with a mark that only the codec understands, and turn the replies to these commands, which
//! the executor writes in RESP2, into their own form ([`Codec::answer`]). So everything above a
//! codec (order, back-pressure, limits, transactions, the log) is the same for all doors, and
//! nothing there knows a protocol by name.
//!
//! A codec does no I/O, reads no clock and never trusts a length: what a header promises is
//! compared with limits and waited for, but takes no memory.

pub mod batch;
pub mod kiba;
mod msgpack;
pub mod neks;
pub mod nkv;
mod speech;
mod undecided;

pub use batch::{Answer, BatchEnd, CommandBatch, Exchange, Incoming, Progress, Request, Tail};
pub use speech::{CodecSettings, KeyScope, Speech};
pub use undecided::{Decision, Undecided};

use kiba::Kiba;
use neks::Neks;
use nkv::Nkv;

/// How a connection is spoken to.
#[derive(Debug)]
pub enum Codec {
    /// Redis' protocol, whose parser the reactor has.
    Resp,
    /// The frames of Neks.
    Neks(Box<Neks>),
    /// The lines of Kiba.
    Kiba(Box<Kiba>),
    /// The lines of nkv.
    Nkv(Box<Nkv>),
    /// The protocol that the first bytes will tell.
    Undecided(Box<Undecided>),
}

impl Codec {
    /// Makes commands of the input that follows what it has consumed so far, for an empty batch.
    pub fn parse(&mut self, incoming: &Incoming<'_>, batch: &mut CommandBatch) -> Progress {
        match self {
            Self::Resp | Self::Undecided(_) => Progress {
                consumed: 0,
                end: BatchEnd::Close,
            },
            Self::Neks(neks) => neks.parse(incoming.input, batch),
            Self::Kiba(kiba) => kiba.parse(incoming, batch),
            Self::Nkv(nkv) => nkv.parse(incoming, batch),
        }
    }

    /// Translates the reply to a command that it has made.
    pub fn answer(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        match self {
            Self::Resp | Self::Undecided(_) => Answer::Close,
            Self::Neks(neks) => neks.answer(exchange),
            Self::Kiba(kiba) => kiba.answer(exchange),
            Self::Nkv(nkv) => nkv.answer(exchange),
        }
    }

    /// The keys that its client sees, of a door with these.
    pub fn scope(&self, of_door: KeyScope) -> KeyScope {
        match self {
            Self::Resp | Self::Undecided(_) => KeyScope::All,
            Self::Neks(_) | Self::Kiba(_) | Self::Nkv(_) => of_door,
        }
    }

    /// Whether there is something to tell its client although that has asked for nothing.
    pub fn has_news(&self) -> bool {
        matches!(self, Self::Nkv(nkv) if nkv.has_news())
    }

    /// Whether its client waits to be told something, however long that takes.
    pub fn is_subscribed(&self) -> bool {
        matches!(self, Self::Nkv(nkv) if nkv.is_subscribed())
    }

    /// Makes commands that are to run when the connection has ended.
    pub fn farewell(&mut self, batch: &mut CommandBatch) {
        if let Self::Nkv(nkv) = self {
            nkv.farewell(batch);
        }
    }

    /// Whether input that is not a whole request may become one although nothing follows.
    pub fn keeps_rest(&self) -> bool {
        match self {
            Self::Resp | Self::Neks(_) => false,
            Self::Kiba(_) | Self::Nkv(_) | Self::Undecided(_) => true,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use kvik_command::client::{Client, Clients, Origin};

    /// Somebody who asks.
    pub(crate) fn client() -> Arc<Client> {
        Clients::default().add(Origin::embedded(), 0)
    }
}
