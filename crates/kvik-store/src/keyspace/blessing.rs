//! The blessed keys of a keyspace; see [`crate::blessing`].

use super::{Keyspace, KeyspaceMut, KeyspaceRef};
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;

impl KeyspaceRef<'_> {
    /// Whether the key of an entry is blessed.
    #[inline]
    pub(crate) fn is_blessed(self, position: Position, entry: EntryRef) -> bool {
        let blessed = self.keyspace.blessed.as_ref();
        blessed.is_some_and(|it| it.has(position, self.heap.key(entry)))
    }
}

impl KeyspaceMut<'_> {
    /// Blesses a key, or ends that; says whether it was blessed before. The key need not have an
    /// entry yet.
    #[cold]
    pub(crate) fn bless(&mut self, position: Position, key: &[u8], is_blessed: bool) -> bool {
        let had = bless(self.keyspace, position, key, is_blessed);
        if had != is_blessed {
            self.heap.has_news = true;
            self.keyspace.note_sizes();
        }
        had
    }

    /// The key of an entry is about to go; says whether it was blessed, which ends with it.
    #[inline]
    pub(crate) fn end_blessing(&mut self, position: Position, entry: EntryRef) -> bool {
        if self.keyspace.blessed.is_none() {
            return false;
        }
        let key = Box::<[u8]>::from(self.heap.key(entry));
        self.bless(position, &key, false)
    }
}

fn bless(keyspace: &mut Keyspace, position: Position, key: &[u8], is_blessed: bool) -> bool {
    if is_blessed {
        let blessed = keyspace.blessed.get_or_insert_default();
        let had = blessed.has(position, key);
        blessed.add(position, key);
        return had;
    }
    let Some(blessed) = &mut keyspace.blessed else {
        return false;
    };
    let had = blessed.remove(position, key);
    if blessed.len() == 0 {
        keyspace.blessed = None;
    }
    had
}
