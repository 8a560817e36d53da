//! The connections of one I/O thread, by the slot of their id.
//!
//! An event names its connection by id. The id is looked up here once; whoever handles the event
//! works on the `&mut Connection` that comes of it.

use super::connection::Connection;
use crate::net::ConnId;

/// Finding one costs an index and a comparison; walking over all of them is for what concerns all.
#[derive(Default)]
pub(super) struct Connections {
    by_slot: Vec<Option<Box<Connection>>>,
}

impl Connections {
    /// Stores a connection under its id, whose slot is free.
    pub(super) fn insert(&mut self, connection: Box<Connection>) {
        let slot = connection.id.index();
        if self.by_slot.len() <= slot {
            self.by_slot.resize_with(slot + 1, || None);
        }
        self.by_slot[slot] = Some(connection);
    }

    /// The connection with this id, unless it has gone.
    #[inline]
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        let connection = self.by_slot.get_mut(id.index())?.as_deref_mut()?;
        // The slot may have been given to another connection since the id was noted.
        (connection.id == id).then_some(connection)
    }

    /// Removes the connection with this id.
    pub(super) fn take(&mut self, id: ConnId) -> Option<Box<Connection>> {
        self.by_slot
            .get_mut(id.index())?
            .take_if(|connection| connection.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.by_slot.iter().flatten().map(Box::as_ref)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.by_slot.iter_mut().flatten().map(Box::as_mut)
    }

    /// The ids of those that `which` chooses.
    pub(super) fn ids(&self, which: impl Fn(&Connection) -> bool) -> Vec<ConnId> {
        self.iter()
            .filter(|connection| which(connection))
            .map(|connection| connection.id)
            .collect()
    }
}
