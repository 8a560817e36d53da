//! Streams as they are written: nodes, a summary, then per group what is pending, its consumers and
//! what was released, and at last what is known of producers.

use kvik_rdb::{Encoder, EntriesRead, ObjectType, Pending, StreamSummary};
use kvik_store::{ConsumerRef, GroupRef, StreamId, StreamRef};

/// Where the writing of a stream goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum StreamPlace {
    /// At this node.
    Node(usize),
    /// At this group.
    Group(usize),
    /// In a group, at the first pending entry from this ID on.
    Pending(usize, StreamId),
    /// At a consumer of a group.
    Consumer(usize, usize),
    /// At a consumer of a group, at the first of its pending entries from this ID on.
    Owned(usize, usize, StreamId),
    /// At what was released in a group, behind so many.
    Released(usize, usize),
    /// Behind so many producers.
    Producer(usize),
}

impl StreamPlace {
    /// Writes from a place, or the start, until the buffer has `limit` bytes; says where to go on.
    pub(super) fn write(
        place: Option<Self>,
        stream: StreamRef<'_>,
        object: ObjectType,
        limit: usize,
        encoder: &mut Encoder<'_>,
    ) -> Option<Self> {
        let mut place = place.unwrap_or_else(|| {
            encoder.count(stream.nodes());
            Self::Node(0)
        });
        loop {
            place = place.step(stream, object, limit, encoder)?;
            if encoder.written() >= limit {
                return Some(place);
            }
        }
    }

    /// Writes what stands at this place, and says what comes next.
    fn step(
        self,
        stream: StreamRef<'_>,
        object: ObjectType,
        limit: usize,
        encoder: &mut Encoder<'_>,
    ) -> Option<Self> {
        let is_late = matches!(object, ObjectType::Stream4 | ObjectType::Stream5);
        // A place that names a group or a consumer names one that there is.
        match self {
            Self::Node(at) => Some(write_nodes(stream, at, limit, encoder)),
            Self::Group(at) => {
                let Some(group) = stream.groups().nth(at) else {
                    // There is no such group: they are done.
                    return is_late.then(|| begin_producers(stream, encoder));
                };
                begin_group(group, encoder);
                Some(Self::Pending(at, StreamId::MIN))
            }
            Self::Pending(at, from) => {
                let group = stream.groups().nth(at)?;
                match write_pending(group, from, limit, encoder) {
                    Some(next) => Some(Self::Pending(at, next)),
                    None => {
                        encoder.count(group.consumers_len());
                        Some(Self::Consumer(at, 0))
                    }
                }
            }
            Self::Consumer(group, at) => match stream.groups().nth(group)?.consumers().nth(at) {
                Some(consumer) => {
                    encoder.consumer(consumer.name(), consumer.seen_ms());
                    if is_late {
                        encoder.active(consumer.active_ms());
                    }
                    encoder.count(consumer.pending_len());
                    Some(Self::Owned(group, at, StreamId::MIN))
                }
                // There is no such consumer: those of the group are done.
                None if object == ObjectType::Stream5 => {
                    encoder.count(stream.groups().nth(group)?.released_len());
                    Some(Self::Released(group, 0))
                }
                None => Some(Self::Group(group + 1)),
            },
            Self::Owned(group, at, from) => {
                let consumer = stream.groups().nth(group)?.consumers().nth(at)?;
                Some(match write_owned(consumer, from, limit, encoder) {
                    Some(next) => Self::Owned(group, at, next),
                    None => Self::Consumer(group, at + 1),
                })
            }
            Self::Released(group, done) => {
                let released = stream.groups().nth(group)?.released();
                Some(match write_released(&released, done, limit, encoder) {
                    Some(done) => Self::Released(group, done),
                    None => Self::Group(group + 1),
                })
            }
            Self::Producer(done) => write_producers(stream, done, limit, encoder),
        }
    }
}

/// Writes nodes, and behind the last of them the summary and the number of groups.
fn write_nodes(
    stream: StreamRef<'_>,
    mut at: usize,
    limit: usize,
    encoder: &mut Encoder<'_>,
) -> StreamPlace {
    // Nodes are Redis' own listpacks and are written as they are.
    for (first, listpack) in stream.packs().skip(at) {
        if encoder.written() >= limit {
            break;
        }
        encoder.entries(rdb_id(first), listpack);
        at += 1;
    }
    if at < stream.nodes() {
        return StreamPlace::Node(at);
    }
    encoder.summary(&StreamSummary {
        len: stream.len(),
        last_id: rdb_id(stream.last_id()),
        first_id: Some(rdb_id(stream.first_id())),
        max_deleted_id: rdb_id(stream.max_deleted_id()),
        entries_added: stream.entries_added(),
    });
    encoder.count(stream.groups().len());
    StreamPlace::Group(0)
}

fn begin_group(group: GroupRef<'_>, encoder: &mut Encoder<'_>) {
    // A negative count, which arithmetic on damaged streams may give, is as good as none.
    let read = group
        .entries_read()
        .and_then(|read| u64::try_from(read).ok());
    let read = read.map_or(EntriesRead::Unknown, EntriesRead::Count);
    encoder.group(group.name(), rdb_id(group.last_id()), read);
    encoder.count(group.pending_len());
}

/// Writes what is pending from an ID on, and says at which to go on.
fn write_pending(
    group: GroupRef<'_>,
    from: StreamId,
    limit: usize,
    encoder: &mut Encoder<'_>,
) -> Option<StreamId> {
    // The first that no longer fits is where the next slice begins.
    for entry in group.pending(from) {
        if encoder.written() >= limit {
            return Some(entry.id);
        }
        encoder.pending(Pending {
            id: rdb_id(entry.id),
            delivered_ms: entry.delivered_ms,
            deliveries: entry.deliveries,
        });
    }
    None
}

/// The same for what a consumer has pending.
fn write_owned(
    consumer: ConsumerRef<'_>,
    from: StreamId,
    limit: usize,
    encoder: &mut Encoder<'_>,
) -> Option<StreamId> {
    for entry in consumer.pending(from) {
        if encoder.written() >= limit {
            return Some(entry.id);
        }
        encoder.owned(rdb_id(entry.id));
    }
    None
}

fn rdb_id(id: StreamId) -> kvik_rdb::StreamId {
    let StreamId { ms, seq } = id;
    kvik_rdb::StreamId { ms, seq }
}

/// Writes what was released behind so many, and says behind how many to go on.
fn write_released(
    released: &[StreamId],
    mut done: usize,
    limit: usize,
    encoder: &mut Encoder<'_>,
) -> Option<usize> {
    while let Some(id) = released.get(done) {
        if encoder.written() >= limit {
            return Some(done);
        }
        encoder.owned(rdb_id(*id));
        done += 1;
    }
    None
}

fn begin_producers(stream: StreamRef<'_>, encoder: &mut Encoder<'_>) -> StreamPlace {
    // A stream that was written for what is released in it may know nothing of producers.
    const TERMS: (u64, u64) = (100, 100);
    let known = stream.idempotence();
    let (duration_s, max_len) = known.map_or(TERMS, |it| (it.duration_s(), it.max_len()));
    encoder.idempotence(duration_s, max_len);
    encoder.count(known.map_or(0, |it| it.producers().len()));
    StreamPlace::Producer(0)
}

/// Writes producers behind so many, each whole, and behind the last of them the counts.
fn write_producers(
    stream: StreamRef<'_>,
    mut done: usize,
    limit: usize,
    encoder: &mut Encoder<'_>,
) -> Option<StreamPlace> {
    let known = stream.idempotence();
    let producers = known.into_iter().flat_map(|it| it.producers());
    for (name, len) in producers.skip(done) {
        if encoder.written() >= limit {
            return Some(StreamPlace::Producer(done));
        }
        encoder.producer(name);
        encoder.count(len);
        let own = known.into_iter().flat_map(|it| it.of_producer(name));
        own.for_each(|(text, id)| encoder.recorded(text, rdb_id(id)));
        done += 1;
    }
    encoder.length(known.map_or(0, |it| it.added()));
    encoder.length(known.map_or(0, |it| it.duplicates()));
    None
}
