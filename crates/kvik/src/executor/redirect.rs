//! Clients that came to the port of a node: which commands the node runs for them.
//!
//! A command whose keys are all in one slot belongs to the node of that slot; where that is another
//! one the client is told where to go. A command with keys of several slots, which no node of a
//! Redis Cluster runs, is run wherever it comes, under the locks of its stripes like any other; it
//! is refused if `cluster-strict` says so. Channels of shards count as keys.

use std::sync::atomic::Ordering::Relaxed;

use kvik_command::cluster::Node;
use kvik_command::declare::{Command, Locking};
use kvik_command::{Error, Session};
use kvik_resp::Args;
use kvik_store::key_slot;

use super::call::Call;
use crate::shared::Shared;

/// The slots that the keys of a command are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum KeySlots {
    #[default]
    None,
    One(u16),
    Several,
}

impl KeySlots {
    fn add(&mut self, slot: u16) {
        *self = match *self {
            Self::None => Self::One(slot),
            Self::One(one) if one == slot => Self::One(slot),
            _ => Self::Several,
        };
    }

    /// Adds the slots of a command's keys, or of its channels.
    fn add_call(&mut self, shared: &Shared, command: &Command, args: Args<'_>) {
        let layout = &shared.stripes.layout;
        let mut add = |at: usize| self.add(key_slot(layout.canonical(&args[at])));
        // Where keys or channels cannot be told from the words the handler refuses the call.
        if command.has_keys() {
            let _ = command.for_each_key(args, |at, _| add(at));
            return;
        }
        for spec in command.specs() {
            spec.positions(args)
                .into_iter()
                .flatten()
                .for_each(&mut add);
        }
    }
}

/// Sends the client of a node on whose command belongs to another one.
///
/// # Errors
/// `MOVED`, or `CROSSSLOT` where commands may not have keys of several slots.
#[inline]
pub(super) fn redirect(
    shared: &Shared,
    session: &Session,
    node: &Node,
    call: &Call<'_>,
) -> Result<(), Error> {
    match call.hash {
        // The slots of a stripe have one owner.
        Some((_, hash))
            if node
                .stripes
                .contains(&shared.stripes.layout.stripe_of(hash)) =>
        {
            Ok(())
        }
        _ => redirect_by_slots(shared, session, node, call),
    }
}

#[inline(never)]
fn redirect_by_slots(
    shared: &Shared,
    session: &Session,
    node: &Node,
    call: &Call<'_>,
) -> Result<(), Error> {
    let mut slots = KeySlots::None;
    slots.add_call(shared, call.command, call.args);
    let is_strict = || shared.engine.settings.cluster_strict.load(Relaxed);
    if call.command.locking() == Locking::Queue && is_strict() {
        for queued in session.transaction.iter().flat_map(|it| &it.queue) {
            slots.add_call(shared, queued.command, queued.args);
        }
    }
    match slots {
        KeySlots::One(slot) => check_owner(shared, session, node, slot),
        KeySlots::Several if is_strict() => Err(Error::Coded(
            "CROSSSLOT",
            "Keys in request don't hash to the same slot".into(),
        )),
        KeySlots::None | KeySlots::Several => Ok(()),
    }
}

/// Whether a node has a slot.
fn check_owner(shared: &Shared, session: &Session, node: &Node, slot: u16) -> Result<(), Error> {
    let Some(topology) = shared.engine.cluster() else {
        return Ok(());
    };
    let owner = topology.owner_of(slot);
    if owner == usize::from(node.index) {
        return Ok(());
    }
    let host = shared.engine.cluster_host(&session.client);
    let text = format!("{slot} {host}:{}", topology.port_of(owner));
    Err(Error::Coded("MOVED", text.into()))
}
