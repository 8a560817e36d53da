//! A stream's memory of all entries it ever had, and what can be told from that.
//!
//! A group counts the entries it has read. Where it stands among all entries ever added is known as
//! long as none was deleted from among those it has not read; else it can be told for some ids
//! only, from where they lie. Trimming takes entries from the front and leaves no gap.

use super::id::StreamId;

/// The counts and ids that a stream keeps of all entries it ever had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// Entries that are there.
    pub(super) len: u64,
    /// The id of the first of them; 0-0 if there are none.
    pub(super) first_id: StreamId,
    /// The largest id ever given, or set by XSETID.
    pub(super) last_id: StreamId,
    /// The largest id that was deleted, not by trimming.
    pub(super) max_deleted_id: StreamId,
    /// Entries ever added.
    pub(super) entries_added: u64,
}

impl Marks {
    pub(super) const fn new() -> Self {
        Self {
            len: 0,
            first_id: StreamId::MIN,
            last_id: StreamId::MIN,
            max_deleted_id: StreamId::MIN,
            entries_added: 0,
        }
    }

    /// Whether an entry with this id or a larger one was deleted.
    pub(super) fn has_gap_from(&self, id: StreamId) -> bool {
        self.len > 0 && self.max_deleted_id != StreamId::MIN && id <= self.max_deleted_id
    }

    /// How many entries were ever added up to this id, where that can be told.
    pub(super) fn added_up_to(&self, id: StreamId) -> Option<i64> {
        let added = self.entries_added as i64;
        let before_first = added.wrapping_sub(self.len as i64);
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(added);
        }
        if id != StreamId::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(added);
        }
        let whole = self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id;
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less if whole => Some(before_first),
            std::cmp::Ordering::Equal if whole => Some(before_first.wrapping_add(1)),
            _ => None,
        }
    }

    /// How many entries a group has read once it reads the one with this id, which follows
    /// `last_id` for it.
    pub(super) fn read_on(
        &self,
        read: Option<i64>,
        last_id: StreamId,
        id: StreamId,
    ) -> Option<i64> {
        let counts = last_id >= self.first_id && !self.has_gap_from(last_id);
        match read {
            Some(read) if counts => Some(read.wrapping_add(1)),
            _ if self.entries_added > 0 => self.added_up_to(id),
            _ => read,
        }
    }

    /// How many entries a group that has read so many, up to this id, has still to read, where that
    /// can be told.
    pub(super) fn lag(&self, read: Option<i64>, last_id: StreamId) -> Option<i64> {
        let added = self.entries_added as i64;
        if added == 0 || self.len == 0 {
            return Some(0);
        }
        if last_id < self.first_id && self.max_deleted_id < self.first_id {
            return Some(self.len as i64);
        }
        let read = read.filter(|_| !self.has_gap_from(last_id));
        let read = read.or_else(|| self.added_up_to(last_id))?;
        Some(added.wrapping_sub(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    /// Entries 1 to 5, of which those up to `trimmed` are gone and `deleted` was deleted.
    fn marks(trimmed: u64, deleted: u64) -> Marks {
        Marks {
            len: 5 - trimmed - u64::from(deleted > 0),
            first_id: id(trimmed + 1),
            last_id: id(5),
            max_deleted_id: id(deleted),
            entries_added: 5,
        }
    }

    #[test]
    fn the_lag_is_counted_while_nothing_ahead_was_deleted() {
        assert_eq!(marks(0, 0).lag(Some(2), id(2)), Some(3));
        assert_eq!(marks(0, 4).lag(Some(2), id(2)), None);
        assert_eq!(marks(0, 2).lag(Some(3), id(3)), Some(2));
        assert_eq!(Marks::new().lag(None, id(7)), Some(0));
    }

    #[test]
    fn a_group_behind_the_first_entry_has_all_to_read() {
        assert_eq!(marks(0, 0).lag(Some(5), id(0)), Some(5));
        assert_eq!(marks(2, 0).lag(None, id(1)), Some(3));
        assert_eq!(marks(2, 4).lag(None, id(1)), None);
        let emptied = Marks {
            len: 0,
            ..marks(0, 0)
        };
        assert_eq!(emptied.lag(Some(1), id(1)), Some(0));
    }

    #[test]
    fn a_place_that_was_not_counted_is_told_at_the_ends() {
        assert_eq!(marks(0, 0).added_up_to(id(0)), Some(0));
        assert_eq!(marks(2, 0).added_up_to(id(1)), Some(2));
        assert_eq!(marks(2, 0).added_up_to(id(3)), Some(3));
        assert_eq!(marks(2, 0).added_up_to(id(4)), None);
        assert_eq!(marks(2, 0).added_up_to(id(5)), Some(5));
        assert_eq!(marks(2, 0).added_up_to(id(6)), None);
        assert_eq!(marks(2, 4).added_up_to(id(3)), None);
    }
}
