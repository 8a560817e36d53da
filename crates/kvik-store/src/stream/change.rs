//! Changing the entries of a stream. What groups do is in `delivery.rs`.

use super::Stream;
use super::body::{MAX_BYTES, StreamBody};
use super::deletion::References;
use super::delivery::GroupMut;
use super::group::ConsumerGroup;
use super::id::StreamId;
use super::trim::Trim;
use crate::edit::{Edit, EditParts};
use crate::entry::Entry;
use crate::kind::WrongKind;
use crate::sequence::Sequence;
use crate::text::IntText;

/// Nodes and pending entries up to which something is freed at once.
const FREE_AT_ONCE: usize = 64;

/// A stream to change. One that was not there is there once something is done to it.
#[derive(Debug)]
pub struct StreamMut<'g>(pub(super) Edit<'g, Stream>);

/// The id that a new entry is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// The time, or what follows the last id if that is not earlier.
    Auto,
    /// This millisecond, with the number that follows.
    Ms(u64),
    /// Just this.
    Full(StreamId),
}

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The last id is the largest there is.
    Exhausted,
    /// The id is not larger than the last one.
    NotLarger,
    /// The fields and values are more than a node holds.
    TooLarge,
}

impl<'g> Entry<'g> {
    /// The stream in this place, to change it.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn stream_mut(self) -> Result<StreamMut<'g>, WrongKind> {
        Edit::open(self).map(StreamMut)
    }
}

impl<'g> StreamMut<'g> {
    pub(super) fn body(&mut self) -> &mut StreamBody {
        self.0.parts().value.body_mut()
    }

    /// The stream to read.
    pub fn view(&self) -> super::StreamRef<'_> {
        self.0.view()
    }

    /// Adds an entry with these fields and values in turn, and returns its id. Effect: `XADD`.
    ///
    /// # Errors
    /// Changes nothing when there is no such id or no room for the words.
    pub fn append<'w>(
        &mut self,
        id: NewId,
        words: impl ExactSizeIterator<Item = &'w [u8]> + Clone,
    ) -> Result<StreamId, AppendError> {
        let id = self.new_id(id)?;
        if words.clone().map(<[u8]>::len).sum::<usize>() > MAX_BYTES {
            return Err(AppendError::TooLarge);
        }
        let EditParts { value, limits, .. } = self.0.parts();
        value.body_mut().append(id, words.clone(), limits);
        if self.0.is_told() {
            self.0.emit_each(b"XADD", &[&id.text()], words);
        } else {
            self.0.count(1);
        }
        Ok(id)
    }

    fn new_id(&self, id: NewId) -> Result<StreamId, AppendError> {
        let last = self.view().last_id();
        let follows = last.next().ok_or(AppendError::Exhausted)?;
        let id = match id {
            NewId::Auto => follows.max(StreamId::new(self.0.now(), 0)),
            // The last number of the millisecond may be taken.
            NewId::Ms(ms) if ms == last.ms && follows.ms == ms => follows,
            NewId::Ms(ms) if ms == last.ms => last,
            NewId::Ms(ms) => StreamId::new(ms, 0),
            NewId::Full(id) => id,
        };
        if id > last {
            Ok(id)
        } else {
            Err(AppendError::NotLarger)
        }
    }

    /// Deletes entries from the front and says how many. Effect: `XTRIM` to the length that is
    /// left.
    pub fn trim(&mut self, trim: &Trim) -> u64 {
        if trim.references != References::Keep {
            return self.trim_by_entry(trim);
        }
        let EditParts { value, limits, .. } = self.0.parts();
        let Some(body) = value.made_mut() else {
            return 0;
        };
        let (deleted, gone) = body.trim(trim, limits);
        let len = body.marks.len;
        if deleted > 0 {
            let mut text = IntText::default();
            let words: [&[u8]; 3] = [b"MAXLEN", b"=", text.unsigned(len)];
            self.0.emit_alone(b"XTRIM", &words);
            self.0.count(deleted - 1);
        } else if !gone.is_empty() {
            // Of what was deleted before; no reader can tell.
            self.0.count(1);
        }
        if gone.len() > FREE_AT_ONCE {
            self.free_later(gone, Vec::new());
        }
        deleted
    }

    /// Deletes the entries with these ids and says how many there were. Effect: `XDEL`.
    pub fn delete(&mut self, ids: impl Iterator<Item = StreamId>) -> u64 {
        let mut deleted = 0;
        for id in ids {
            let made = self.0.parts().value.made_mut();
            if made.is_some_and(|body| body.delete(id)) {
                self.0.emit(b"XDEL", &[&*id.text()]);
                deleted += 1;
            }
        }
        deleted
    }

    /// Sets the last id, which is not below that of an entry, and if given the number of entries
    /// ever added and the largest id deleted. Effect: `XSETID`.
    pub fn set_last_id(
        &mut self,
        last_id: StreamId,
        entries_added: Option<u64>,
        max_deleted_id: Option<StreamId>,
    ) {
        let marks = &mut self.body().marks;
        marks.last_id = last_id;
        marks.entries_added = entries_added.unwrap_or(marks.entries_added);
        marks.max_deleted_id = max_deleted_id.unwrap_or(marks.max_deleted_id);
        let (mut added, max_deleted) = (IntText::default(), marks.max_deleted_id);
        let words: [&[u8]; 5] = [
            &last_id.text(),
            b"ENTRIESADDED",
            added.unsigned(marks.entries_added),
            b"MAXDELETEDID",
            &max_deleted.text(),
        ];
        self.0.unwatched(|edit| edit.emit_alone(b"XSETID", &words));
    }

    /// The entry that a producer has added under this text, as far as that is known.
    pub fn recorded(&self, producer: &[u8], text: &[u8]) -> Option<StreamId> {
        let known = self.0.view().body.idempotence.as_ref()?;
        known.find(producer, text, self.0.now())
    }

    /// Notes that an entry is the one which a producer calls this, or that it was sent once more
    /// if that is known. Effects: `XIDMPRECORD`, and before the first `XCFGSET`.
    pub fn record(&mut self, producer: &[u8], text: &[u8], id: StreamId) {
        let now = self.0.now();
        let EditParts { value, limits, .. } = self.0.parts();
        let (duration_s, max_len) = (limits.idempotence_s(), limits.idempotence_len());
        if value.body().idempotence.is_none() {
            self.begin_idempotence(duration_s, max_len);
            self.emit_idempotence();
        }
        if let Some(known) = &mut self.body().idempotence {
            match known.recorded(producer, text) {
                Some(there) if there == id => known.duplicates = known.duplicates.wrapping_add(1),
                // It is out of date, and replaced.
                _ => known.record(producer, text, id, now),
            }
        }
        let words: [&[u8]; 3] = [producer, text, &id.text()];
        self.0
            .unwatched(|edit| edit.emit_alone(b"XIDMPRECORD", &words));
    }

    /// Sets for how long, in seconds, and how many of them, the entries of a producer are known.
    /// Forgets all if that is a change. Effect: `XCFGSET`.
    pub fn set_idempotence(&mut self, duration_s: Option<u64>, max_len: Option<u64>) {
        let limits = self.0.limits();
        let terms = match &self.0.view().body.idempotence {
            Some(known) => (known.duration_s, known.max_len),
            None => (limits.idempotence_s(), limits.idempotence_len()),
        };
        let new = (duration_s.unwrap_or(terms.0), max_len.unwrap_or(terms.1));
        if new == terms {
            return;
        }
        match &mut self.body().idempotence {
            Some(known) => {
                known.clear();
                (known.duration_s, known.max_len) = new;
            }
            None => self.begin_idempotence(new.0, new.1),
        }
        self.emit_idempotence();
    }

    fn emit_idempotence(&mut self) {
        let Some(known) = &self.0.view().body.idempotence else {
            return;
        };
        let (mut seconds, mut entries) = (IntText::default(), IntText::default());
        let (duration_s, max_len) = (known.duration_s, known.max_len);
        let words: [&[u8]; 4] = [
            b"IDMP-DURATION",
            seconds.unsigned(duration_s),
            b"IDMP-MAXSIZE",
            entries.unsigned(max_len),
        ];
        self.0.unwatched(|edit| edit.emit_alone(b"XCFGSET", &words));
    }

    /// Makes a consumer group and says whether there was none with this name. Effect: `XGROUP
    /// CREATE`.
    pub fn create_group(
        &mut self,
        name: &[u8],
        last_id: StreamId,
        entries_read: Option<i64>,
    ) -> bool {
        let body = self.body();
        let Err(at) = body.find_group(name) else {
            return false;
        };
        body.add_group(at, ConsumerGroup::new(name, last_id, entries_read));
        let mut read = IntText::default();
        let words: [&[u8]; 5] = [
            name,
            &last_id.text(),
            b"MKSTREAM",
            b"ENTRIESREAD",
            read.format(entries_read.unwrap_or(-1)),
        ];
        self.0
            .unwatched(|edit| edit.emit_alone(b"XGROUP CREATE", &words));
        true
    }

    /// Deletes a consumer group and says whether there was one. Effect: `XGROUP DESTROY`.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        let made = self.0.parts().value.made_mut();
        let found = made.and_then(|body| Some(body.remove_group(body.find_group(name).ok()?)));
        let Some(group) = found else {
            return false;
        };
        self.0
            .unwatched(|edit| edit.emit_alone(b"XGROUP DESTROY", &[name]));
        if group.pending.len() + group.consumers.len() > FREE_AT_ONCE {
            self.free_later(Sequence::new(), vec![group]);
        }
        true
    }

    /// A consumer group to change.
    pub fn group_mut<'e>(&'e mut self, name: &'e [u8]) -> Option<GroupMut<'e, 'g>> {
        let at = self.0.view().body.find_group(name).ok()?;
        Some(GroupMut::new(&mut self.0, at, name))
    }

    /// Lets what was taken out of the stream be freed in slices.
    fn free_later(&mut self, nodes: Sequence<super::node::StreamNode>, groups: Vec<ConsumerGroup>) {
        let remains = StreamBody::remains(nodes, groups);
        self.0.discard(Stream::from(remains));
    }
}
