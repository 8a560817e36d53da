//! Streams as they are read: a flat sequence of parts in the order of the format.
//!
//! First the listpacks of entries, then a summary, then the groups: each is followed by the entries
//! that are pending in it, and by its consumers; each of these is followed by the IDs of those
//! entries that are pending for it. Later forms have the IDs of what was released behind the
//! consumers, and what is known of producers behind the groups.
//!
//! Two things are checked here, in passing: IDs ascend, and there are entries if and only if there
//! are listpacks. The stream that is filled has to check that names differ, that each pending entry
//! has one consumer, and the contents of the listpacks.

use std::borrow::Cow;

use crate::{Corrupt, ObjectType, Reader, Text};

/// The number of entries read by a group where it is not known.
pub(crate) const UNKNOWN: u64 = u64::MAX;

/// The ID of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// Counts within the millisecond.
    pub seq: u64,
}

/// Counters and IDs of a stream, which its entries alone do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    /// Number of entries.
    pub len: u64,
    /// The largest ID there ever was.
    pub last_id: StreamId,
    /// The smallest ID there is; `None` where the format does not tell it.
    pub first_id: Option<StreamId>,
    /// The largest ID that was deleted.
    pub max_deleted_id: StreamId,
    /// Entries that were ever added.
    pub entries_added: u64,
}

/// How many entries a group has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntriesRead {
    /// That many.
    Count(u64),
    /// Nobody knows.
    Unknown,
    /// The format does not tell; to be estimated from the group's last ID.
    Untold,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The entry.
    pub id: StreamId,
    /// When it was last delivered, in milliseconds since the Unix epoch.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamPart<'a> {
    /// Some entries.
    Entries {
        /// The ID to which those in the listpack are relative.
        first: StreamId,
        /// The entries, not validated.
        listpack: Cow<'a, [u8]>,
    },
    /// There are no more entries.
    Summary(StreamSummary),
    /// A consumer group.
    Group {
        /// Its name.
        name: Text<'a>,
        /// The last entry it was given.
        last_id: StreamId,
        /// How many entries it has read.
        entries_read: EntriesRead,
    },
    /// An entry that is pending in the last group.
    Pending(Pending),
    /// A consumer of the last group.
    Consumer {
        /// Its name.
        name: Text<'a>,
        /// When it was last heard of, in milliseconds since the Unix epoch.
        seen_ms: u64,
        /// When it last got or claimed an entry, if it ever did.
        active_ms: Option<u64>,
    },
    /// One of the group's pending entries is the last consumer's.
    Owned(StreamId),
    /// One of the group's pending entries was released: it is nobody's.
    Released(StreamId),
    /// There are no more groups. On what terms entries of producers are known.
    Idempotence {
        /// For how long, in seconds.
        duration_s: u64,
        /// How many of one producer.
        max_len: u64,
    },
    /// A producer.
    Producer(Text<'a>),
    /// An entry of the last producer.
    Recorded {
        /// The name that the producer has for it.
        text: Text<'a>,
        /// The entry.
        id: StreamId,
    },
    /// There are no more producers. The numbers of entries ever recorded and not added again.
    Repeats {
        /// Recorded.
        added: u64,
        /// Not added again.
        duplicates: u64,
    },
}

/// The parts of a stream.
#[derive(Debug)]
pub struct StreamParts<'r, 'a> {
    reader: &'r mut Reader<'a>,
    object: ObjectType,
    state: State,
    /// The last ID of the sequence that is being read; each is larger than the one before.
    last: Option<StreamId>,
    groups: usize,
    consumers: usize,
    producers: usize,
}

/// The kind of the next part, and how many of it are left.
#[derive(Clone, Copy, Debug)]
enum State {
    Entries(usize),
    Summary { any: bool },
    Group,
    Pending(usize),
    Consumer,
    Owned(usize),
    Released(usize),
    Idempotence,
    Producer,
    Recorded(usize),
    Repeats,
    End,
}

impl<'r, 'a> StreamParts<'r, 'a> {
    pub(crate) fn read(reader: &'r mut Reader<'a>, object: ObjectType) -> Result<Self, Corrupt> {
        // A node takes at least its key and a listpack, each with a length.
        let state = match reader.count(2)? {
            0 => State::Summary { any: false },
            count => State::Entries(count),
        };
        Ok(Self {
            reader,
            object,
            state,
            last: None,
            groups: 0,
            consumers: 0,
            producers: 0,
        })
    }

    fn part(&mut self) -> Result<Option<StreamPart<'a>>, Corrupt> {
        self.skip_finished()?;
        Ok(Some(match self.state {
            State::Entries(left) => self.entries(left)?,
            State::Summary { any } => self.summary(any)?,
            State::Group => self.group()?,
            State::Pending(left) => self.pending(left)?,
            State::Consumer => self.consumer()?,
            State::Owned(left) => self.owned(left)?,
            State::Released(left) => self.released(left)?,
            State::Idempotence => self.idempotence()?,
            State::Producer => self.producer()?,
            State::Recorded(left) => self.recorded(left)?,
            State::Repeats => self.repeats()?,
            State::End => return Ok(None),
        }))
    }

    /// Moves on from sequences that have come to their end to the part behind them.
    fn skip_finished(&mut self) -> Result<(), Corrupt> {
        // The order matters: the end of one sequence may be the end of the one around it as well.
        if let State::Entries(0) = self.state {
            self.state = State::Summary { any: true };
        }
        if let State::Pending(0) = self.state {
            self.consumers = self.reader.count(10)?;
            self.state = State::Consumer;
        }
        if let State::Owned(0) = self.state {
            self.state = State::Consumer;
        }
        if matches!(self.state, State::Consumer) && self.consumers == 0 {
            self.state = match self.object {
                ObjectType::Stream5 => State::Released(self.reader.count(16)?),
                _ => State::Group,
            };
        }
        if let State::Released(0) = self.state {
            self.state = State::Group;
        }
        if matches!(self.state, State::Group) && self.groups == 0 {
            self.state = match self.object {
                ObjectType::Stream4 | ObjectType::Stream5 => State::Idempotence,
                _ => State::End,
            };
        }
        if let State::Recorded(0) = self.state {
            self.state = State::Producer;
        }
        if matches!(self.state, State::Producer) && self.producers == 0 {
            self.state = State::Repeats;
        }
        Ok(())
    }

    fn entries(&mut self, left: usize) -> Result<StreamPart<'a>, Corrupt> {
        let key = self.reader.blob()?;
        // The key is the ID of the first entry, from which the others in the listpack count.
        let key: [u8; 16] = (*key).try_into().map_err(|_| Corrupt::InvalidStream)?;
        let first = self.ascending(StreamId::from_be_bytes(key))?;
        let listpack = self.reader.blob()?;
        self.state = State::Entries(left - 1);
        Ok(StreamPart::Entries { first, listpack })
    }

    fn summary(&mut self, any: bool) -> Result<StreamPart<'a>, Corrupt> {
        let len = self.reader.length()?;
        let last_id = self.id()?;
        let (mut first_id, mut max_deleted_id, mut entries_added) =
            (None, StreamId::default(), len);
        // Redis 7.0 added these three. Without them nothing was deleted as far as anybody knows.
        if self.object != ObjectType::Stream {
            first_id = Some(self.id()?);
            max_deleted_id = self.id()?;
            entries_added = self.reader.length()?;
        }
        if len > 0 && !any {
            return Err(Corrupt::InvalidStream);
        }
        self.groups = self.reader.count(5)?;
        self.state = State::Group;
        Ok(StreamPart::Summary(StreamSummary {
            len,
            last_id,
            first_id,
            max_deleted_id,
            entries_added,
        }))
    }

    fn group(&mut self) -> Result<StreamPart<'a>, Corrupt> {
        self.groups -= 1;
        let (name, last_id) = (self.reader.text()?, self.id()?);
        let entries_read = match self.object {
            ObjectType::Stream => EntriesRead::Untold,
            _ => match self.reader.length()? {
                UNKNOWN => EntriesRead::Unknown,
                count => EntriesRead::Count(count),
            },
        };
        // IDs ascend within each list of pending entries, not from one list to the next.
        self.last = None;
        self.state = State::Pending(self.reader.count(25)?);
        Ok(StreamPart::Group {
            name,
            last_id,
            entries_read,
        })
    }

    fn pending(&mut self, left: usize) -> Result<StreamPart<'a>, Corrupt> {
        let id = StreamId::from_be_bytes(self.reader.array()?);
        let pending = Pending {
            id: self.ascending(id)?,
            delivered_ms: self.time()?.unwrap_or(0),
            deliveries: self.reader.length()?,
        };
        self.state = State::Pending(left - 1);
        Ok(StreamPart::Pending(pending))
    }

    fn consumer(&mut self) -> Result<StreamPart<'a>, Corrupt> {
        self.consumers -= 1;
        let (name, seen) = (self.reader.text()?, self.time()?);
        let active_ms = match self.object {
            ObjectType::Stream3 | ObjectType::Stream4 | ObjectType::Stream5 => self.time()?,
            // The best guess, and Redis' as well.
            _ => seen,
        };
        self.last = None;
        self.state = State::Owned(self.reader.count(16)?);
        Ok(StreamPart::Consumer {
            name,
            seen_ms: seen.unwrap_or(0),
            active_ms,
        })
    }

    fn owned(&mut self, left: usize) -> Result<StreamPart<'a>, Corrupt> {
        let id = StreamId::from_be_bytes(self.reader.array()?);
        self.state = State::Owned(left - 1);
        Ok(StreamPart::Owned(self.ascending(id)?))
    }

    fn released(&mut self, left: usize) -> Result<StreamPart<'a>, Corrupt> {
        // In the order in which they were released, which is not that of their IDs.
        let id = StreamId::from_be_bytes(self.reader.array()?);
        self.state = State::Released(left - 1);
        Ok(StreamPart::Released(id))
    }

    fn idempotence(&mut self) -> Result<StreamPart<'a>, Corrupt> {
        let (duration_s, max_len) = (self.reader.length()?, self.reader.length()?);
        if !(1..=86_400).contains(&duration_s) || !(1..=10_000).contains(&max_len) {
            return Err(Corrupt::InvalidStream);
        }
        self.producers = self.reader.count(2)?;
        self.state = State::Producer;
        Ok(StreamPart::Idempotence {
            duration_s,
            max_len,
        })
    }

    fn producer(&mut self) -> Result<StreamPart<'a>, Corrupt> {
        self.producers -= 1;
        let name = self.reader.text()?;
        self.state = State::Recorded(self.reader.count(3)?);
        Ok(StreamPart::Producer(name))
    }

    fn recorded(&mut self, left: usize) -> Result<StreamPart<'a>, Corrupt> {
        let (text, id) = (self.reader.text()?, self.id()?);
        self.state = State::Recorded(left - 1);
        Ok(StreamPart::Recorded { text, id })
    }

    fn repeats(&mut self) -> Result<StreamPart<'a>, Corrupt> {
        let (added, duplicates) = (self.reader.length()?, self.reader.length()?);
        self.state = State::End;
        Ok(StreamPart::Repeats { added, duplicates })
    }

    fn id(&mut self) -> Result<StreamId, Corrupt> {
        Ok(StreamId {
            ms: self.reader.length()?,
            seq: self.reader.length()?,
        })
    }

    /// A time; negative ones stand for never.
    fn time(&mut self) -> Result<Option<u64>, Corrupt> {
        Ok(u64::try_from(self.reader.i64_le()?).ok())
    }

    fn ascending(&mut self, id: StreamId) -> Result<StreamId, Corrupt> {
        if self.last.is_some_and(|last| last >= id) {
            return Err(Corrupt::InvalidStream);
        }
        self.last = Some(id);
        Ok(id)
    }
}

impl<'a> Iterator for StreamParts<'_, 'a> {
    type Item = Result<StreamPart<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.part().transpose();
        if let Some(Err(_)) = part {
            self.state = State::End;
        }
        part
    }
}

impl StreamId {
    /// The form in which an ID is a key: it orders as the ID does.
    pub fn to_be_bytes(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// The ID whose key this is.
    pub fn from_be_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self {
            ms: (both >> 64) as u64,
            seq: both as u64,
        }
    }
}
