//! DUMP: a value as bytes that RESTORE takes, here and in Redis.

use std::sync::atomic::Ordering;

use kvik_rdb::{
    Compression, Encoder, EntriesRead, ListNode, ObjectType, Pending, StreamSummary, seal,
};
use kvik_store::{
    GroupRef, HashRef, IntText, ListRef, SetRef, StreamId, StreamRef, TextRef, ValueRef, ZsetRef,
};

use crate::{Ctx, Error};

pub(super) fn dump(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let compression = if ctx.engine.settings.rdb_compression.load(Ordering::Relaxed) {
        Compression::Lzf
    } else {
        Compression::Off
    };
    match ctx.keys.read(ctx.key(1)) {
        Some(view) => {
            let payload = payload(view.value(), compression);
            ctx.reply.bulk(&payload);
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

fn payload(value: ValueRef<'_>, compression: Compression) -> Vec<u8> {
    let object = object_of(value);
    let mut payload = Vec::new();
    let mut encoder = Encoder::new(&mut payload, compression);
    encoder.object(object);
    write(value, object, &mut encoder);
    seal(&mut payload, object.version());
    payload
}

fn write(value: ValueRef<'_>, object: ObjectType, encoder: &mut Encoder<'_>) {
    match value {
        ValueRef::String(string) => write_string(string, encoder),
        ValueRef::List(list) => write_list(list, encoder),
        ValueRef::Set(set) => write_set(set, object, encoder),
        ValueRef::Stream(stream) => write_stream(stream, encoder),
        ValueRef::Hash(hash) => write_hash(hash, object, encoder),
        ValueRef::Zset(zset) => write_zset(zset, object, encoder),
    }
}

/// The oldest type that holds the value.
fn object_of(value: ValueRef<'_>) -> ObjectType {
    match value {
        ValueRef::String(_) => ObjectType::String,
        ValueRef::List(_) => ObjectType::ListQuicklist2,
        ValueRef::Set(SetRef::Ints(_)) => ObjectType::SetIntset,
        ValueRef::Set(set) if set.expires() => ObjectType::SetExpiring,
        ValueRef::Set(_) => ObjectType::Set,
        ValueRef::Stream(_) => ObjectType::Stream2,
        ValueRef::Hash(HashRef::Pack(_)) => ObjectType::HashListpack,
        ValueRef::Hash(hash) if hash.expires() => ObjectType::HashExpiringValkey,
        ValueRef::Hash(_) => ObjectType::Hash,
        ValueRef::Zset(ZsetRef::Pack(_)) => ObjectType::SortedSetListpack,
        ValueRef::Zset(zset) if zset.expires() => ObjectType::SortedSetExpiring,
        ValueRef::Zset(_) => ObjectType::SortedSet,
    }
}

fn write_string(string: TextRef<'_>, encoder: &mut Encoder<'_>) {
    match string {
        TextRef::Int(n) => encoder.int(n),
        TextRef::Bytes(bytes) => encoder.string(bytes),
        TextRef::Rope(rope) => encoder.string(&rope.to_vec()),
    }
}

fn write_list(list: ListRef<'_>, encoder: &mut Encoder<'_>) {
    match list {
        ListRef::Pack(bytes) => {
            encoder.count(1);
            encoder.node(ListNode::Listpack(bytes));
        }
        ListRef::Quick(list) => {
            encoder.count(list.node_count());
            list.nodes().for_each(|node| {
                encoder.node(match node {
                    kvik_store::ListNode::Pack(bytes) => ListNode::Listpack(bytes),
                    kvik_store::ListNode::Plain(element) => ListNode::Plain(element),
                });
            });
        }
    }
}

fn write_set(set: SetRef<'_>, object: ObjectType, encoder: &mut Encoder<'_>) {
    if let SetRef::Ints(ints) = set {
        return encoder.packed(ints.as_bytes());
    }
    let mut room = IntText::default();
    encoder.count(set.len());
    for member in set.iter() {
        write_string(member.into(), encoder);
        if object == ObjectType::SetExpiring {
            let name = member.text(&mut room);
            encoder.expiry(set.expiry_of(name).flatten());
        }
    }
}

fn write_hash(hash: HashRef<'_>, object: ObjectType, encoder: &mut Encoder<'_>) {
    if let HashRef::Pack(pack) = hash {
        return encoder.packed(pack.as_bytes());
    }
    encoder.count(hash.len());
    hash.for_each(|field| {
        write_string(field.name.into(), encoder);
        write_string(field.value.into(), encoder);
        if object == ObjectType::HashExpiringValkey {
            encoder.expiry(field.expire_at);
        }
    });
}

fn write_zset(zset: ZsetRef<'_>, object: ObjectType, encoder: &mut Encoder<'_>) {
    if let ZsetRef::Pack(pack) = zset {
        return encoder.packed(pack.as_bytes());
    }
    let mut room = IntText::default();
    encoder.count(zset.len());
    for member in zset.range(0..usize::MAX, true) {
        write_string(member.name.into(), encoder);
        encoder.score(member.score());
        if object == ObjectType::SortedSetExpiring {
            let name = member.name.text(&mut room);
            encoder.expiry(zset.expiry_of(name).flatten());
        }
    }
}

fn write_stream(stream: StreamRef<'_>, encoder: &mut Encoder<'_>) {
    encoder.count(stream.nodes());
    for (first, listpack) in stream.packs() {
        encoder.entries(rdb_id(first), listpack);
    }
    encoder.summary(&StreamSummary {
        len: stream.len(),
        last_id: rdb_id(stream.last_id()),
        first_id: Some(rdb_id(stream.first_id())),
        max_deleted_id: rdb_id(stream.max_deleted_id()),
        entries_added: stream.entries_added(),
    });
    encoder.count(stream.groups().len());
    stream
        .groups()
        .for_each(|group| write_group(group, encoder));
}

fn write_group(group: GroupRef<'_>, encoder: &mut Encoder<'_>) {
    let read = group
        .entries_read()
        .and_then(|read| u64::try_from(read).ok());
    let read = read.map_or(EntriesRead::Unknown, EntriesRead::Count);
    encoder.group(group.name(), rdb_id(group.last_id()), read);
    encoder.count(group.pending_len());
    for entry in group.pending(StreamId::MIN) {
        encoder.pending(Pending {
            id: rdb_id(entry.id),
            delivered_ms: entry.delivered_ms,
            deliveries: entry.deliveries,
        });
    }
    encoder.count(group.consumers_len());
    for consumer in group.consumers() {
        encoder.consumer(consumer.name(), consumer.seen_ms());
        encoder.count(consumer.pending_len());
        let pending = consumer.pending(StreamId::MIN);
        pending.for_each(|entry| encoder.owned(rdb_id(entry.id)));
    }
}

fn rdb_id(id: StreamId) -> kvik_rdb::StreamId {
    let StreamId { ms, seq } = id;
    kvik_rdb::StreamId { ms, seq }
}
