//! DUMP: a value as bytes that RESTORE takes, here and in Redis.

use std::sync::atomic::Ordering;

use kvik_rdb::{Compression, Encoder, ListNode, ObjectType, seal};
use kvik_store::{IntText, ListRef, SetRef, TextRef, ValueRef};

use crate::{Ctx, Error};

const NO_FORM: Error = Error::text("values of this type cannot be dumped yet");

pub(super) fn dump(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let compression = if ctx.engine.settings.rdb_compression.load(Ordering::Relaxed) {
        Compression::Lzf
    } else {
        Compression::Off
    };
    match ctx.keys.read(&ctx.args[1]) {
        Some(view) => {
            let payload = payload(view.value(), compression).ok_or(NO_FORM)?;
            ctx.reply.bulk(&payload);
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

fn payload(value: ValueRef<'_>, compression: Compression) -> Option<Vec<u8>> {
    let object = object_of(value)?;
    let mut payload = Vec::new();
    let mut encoder = Encoder::new(&mut payload, compression);
    encoder.object(object);
    write(value, object, &mut encoder);
    seal(&mut payload, object.version());
    Some(payload)
}

fn write(value: ValueRef<'_>, object: ObjectType, encoder: &mut Encoder<'_>) {
    match value {
        ValueRef::String(string) => write_string(string, encoder),
        ValueRef::List(list) => write_list(list, encoder),
        ValueRef::Set(set) => write_set(set, object, encoder),
        ValueRef::Hash(_) | ValueRef::Zset(_) | ValueRef::Stream(_) => {}
    }
}

/// The oldest type that holds the value, if values like it can be dumped.
fn object_of(value: ValueRef<'_>) -> Option<ObjectType> {
    Some(match value {
        ValueRef::String(_) => ObjectType::String,
        ValueRef::List(_) => ObjectType::ListQuicklist2,
        ValueRef::Set(SetRef::Ints(_)) => ObjectType::SetIntset,
        ValueRef::Set(set) if set.expires() => ObjectType::SetExpiring,
        ValueRef::Set(_) => ObjectType::Set,
        ValueRef::Hash(_) | ValueRef::Zset(_) | ValueRef::Stream(_) => return None,
    })
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
