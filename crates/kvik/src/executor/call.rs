//! A command on its way to its section.

use kvik_command::declare::Command;
use kvik_command::session::Queued;
use kvik_resp::Args;
use kvik_store::KeyHash;

use super::lookup::Prepared;

/// A command on its way.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) command: &'static Command,
    pub(super) args: Args<'a>,
    /// The hash of the single key, when it has one.
    pub(super) hash: Option<(usize, KeyHash)>,
    /// Another one of its kind follows, which is timed together with it.
    pub(super) goes_on: bool,
}

impl<'a> Call<'a> {
    #[inline]
    pub(super) fn of(command: &'static Command, args: Args<'a>, prepared: &Prepared) -> Self {
        Self {
            command,
            args,
            hash: prepared.hash(),
            goes_on: prepared.goes_on(),
        }
    }

    /// A command of a transaction.
    pub(super) fn queued(queued: &'a Queued) -> Self {
        Self {
            command: queued.command,
            args: queued.args.as_args(),
            hash: None,
            goes_on: false,
        }
    }
}
