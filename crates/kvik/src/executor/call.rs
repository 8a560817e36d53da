//! A command on its way to its section.

use kvik_command::declare::Command;
use kvik_command::queued::Queued;
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

    /// Visits the keys that it names.
    pub(super) fn visit_keys(&self, visit: &mut dyn FnMut(&[u8])) {
        let args = self.args;
        // Keys that cannot be told from the words the handler refuses.
        let _ = self.command.for_each_key(args, |at, _| visit(&args[at]));
    }

    /// A command of a transaction.
    #[inline]
    pub(super) fn queued(queued: Queued<'a>) -> Self {
        Self {
            command: queued.command,
            args: queued.args,
            hash: queued.hash,
            goes_on: false,
        }
    }
}
