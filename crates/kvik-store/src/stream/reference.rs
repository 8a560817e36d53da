//! Deleting entries with regard to the groups that refer to them.
//!
//! A group refers to an entry that it was not given yet, and to one that is pending in it. Whoever
//! deletes entries leaves these references alone, ends them as well, or deletes only what no group
//! refers to.

use super::body::StreamBody;
use super::change::StreamMut;
use super::deletion::{Deletion, References};
use super::id::StreamId;
use super::trim::{Trim, TrimTo};
use crate::edit::EditParts;
use crate::limits::Limits;
use crate::sequence::Keyed;
use crate::text::IntText;

impl StreamBody {
    /// Whether a group refers to an entry.
    fn is_referenced(&self, id: StreamId) -> bool {
        let refers = |group: &super::group::ConsumerGroup| {
            group.last_id < id || group.pending.get(id).is_some()
        };
        self.groups.iter().any(refers)
    }

    /// The entries that go from the front, one by one.
    fn to_trim(&self, trim: &Trim, limits: &Limits) -> Vec<StreamId> {
        let (mut ids, mut seen) = (Vec::new(), 0);
        let mut left = match trim.to {
            TrimTo::Len(max) => self.marks.len.saturating_sub(max),
            TrimTo::MinId(_) => u64::MAX,
        };
        let (limit, below) = (
            trim.limit(limits),
            match trim.to {
                TrimTo::Len(_) => StreamId::MAX,
                TrimTo::MinId(id) => id,
            },
        );
        for node in self.nodes.iter() {
            let goes_whole = node.live() <= left && node.last_id() < below;
            let fits = seen + node.live() <= limit;
            if left == 0 || node.id() >= below || trim.is_approximate() && !(goes_whole && fits) {
                break;
            }
            seen += node.live();
            for id in node.iter().map(|entry| entry.id()) {
                if left == 0 || id >= below {
                    break;
                }
                if trim.references == References::Acked && self.is_referenced(id) {
                    continue;
                }
                ids.push(id);
                left -= 1;
            }
        }
        ids
    }
}

impl StreamMut<'_> {
    /// Deletes entries from the front one by one and says how many. Effects: `XTRIM`, and `XACK`
    /// for references that end.
    pub(super) fn trim_by_entry(&mut self, trim: &Trim) -> u64 {
        let EditParts { value, limits, .. } = self.0.parts();
        let Some(body) = value.made_mut() else {
            return 0;
        };
        let ids = body.to_trim(trim, limits);
        let largest_deleted = body.marks.max_deleted_id;
        for id in &ids {
            body.delete(*id);
        }
        // Trimming leaves no gap that a group would have to know of.
        body.marks.max_deleted_id = largest_deleted;
        let len = body.marks.len;
        if ids.is_empty() {
            return 0;
        }
        let mut text = IntText::default();
        let words: [&[u8]; 4] = [b"MAXLEN", b"=", text.unsigned(len), b"ACKED"];
        // What is not deleted now is not deleted when this is repeated either: the groups refer
        // to it then as they do now.
        let last = if trim.references == References::Acked {
            4
        } else {
            3
        };
        self.0.emit_alone(b"XTRIM", &words[..last]);
        self.0.count(ids.len() as u64 - 1);
        if trim.references == References::Delete {
            self.end_references(&ids);
        }
        ids.len() as u64
    }

    /// Deletes the entries with these ids and tells the outcome for each. Effects: `XDEL`, and
    /// `XACK` for references that end, also to entries that were gone before.
    pub fn delete_unless(
        &mut self,
        ids: &[StreamId],
        references: References,
        mut tell: impl FnMut(Deletion),
    ) {
        for id in ids {
            tell(self.delete_one(*id, references));
        }
        if references == References::Delete {
            self.end_references(ids);
        }
    }

    /// Ends that these entries are pending in a group, and deletes those that were; tells the
    /// outcome for each, of which [`Deletion::Missing`] means that it was not pending. Effects:
    /// `XACK`, `XDEL`.
    pub fn acknowledge_and_delete(
        &mut self,
        group: &[u8],
        ids: &[StreamId],
        references: References,
        mut tell: impl FnMut(Deletion),
    ) {
        let mut acknowledged = Vec::with_capacity(ids.len());
        if let Some(mut group) = self.group_mut(group) {
            let was_pending = |id: &StreamId| group.acknowledge(std::iter::once(*id)) == 1;
            acknowledged.extend(ids.iter().map(was_pending));
        }
        for (id, was_pending) in ids.iter().zip(&acknowledged) {
            tell(match was_pending {
                false => Deletion::Missing,
                true => match self.delete_one(*id, references) {
                    // One that had been deleted before is as gone as any.
                    Deletion::Missing => Deletion::Done,
                    outcome => outcome,
                },
            });
        }
        if references == References::Delete {
            let was_pending = ids.iter().zip(acknowledged).filter(|(_, was)| *was);
            let ids: Vec<StreamId> = was_pending.map(|(id, _)| *id).collect();
            self.end_references(&ids);
        }
    }

    fn delete_one(&mut self, id: StreamId, references: References) -> Deletion {
        let Some(body) = self.0.parts().value.made_mut() else {
            return Deletion::Missing;
        };
        if references == References::Acked && body.is_referenced(id) {
            return Deletion::Referenced;
        }
        if !body.delete(id) {
            return Deletion::Missing;
        }
        self.0.emit(b"XDEL", &[&*id.text()]);
        Deletion::Done
    }

    /// Ends that these entries are pending in any group. Effect: `XACK`.
    fn end_references(&mut self, ids: &[StreamId]) {
        self.0.end_effect();
        let groups = self.0.view().groups();
        let referring = groups.filter(|group| group.pending_len() > 0);
        let names: Vec<Box<[u8]>> = referring.map(|group| group.name().into()).collect();
        for name in names {
            if let Some(mut group) = self.group_mut(&name) {
                group.acknowledge(ids.iter().copied());
            }
        }
    }
}
