//! DUMP: a value as bytes that RESTORE takes, here and in Redis.

use std::sync::atomic::Ordering;

use kvik_rdb::{Compression, Encoder, ObjectType, seal};
use kvik_store::{IntText, SetRef, StringRef, ValueRef};

use crate::{Ctx, Error};

pub(super) fn dump(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let compression = if ctx.engine.settings.rdb_compression.load(Ordering::Relaxed) {
        Compression::Lzf
    } else {
        Compression::Off
    };
    match ctx.keys.read(&ctx.args[1]) {
        Some(view) => ctx.reply.bulk(&payload(view.value(), compression)),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn payload(value: ValueRef<'_>, compression: Compression) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut encoder = Encoder::new(&mut payload, compression);
    let object = write(value, &mut encoder);
    seal(&mut payload, object.version());
    payload
}

/// Writes a value behind its type, and says which type that is.
fn write(value: ValueRef<'_>, encoder: &mut Encoder<'_>) -> ObjectType {
    let object = object_of(value);
    encoder.object(object);
    match value {
        ValueRef::String(string) => write_string(string, encoder),
        ValueRef::Set(set) => write_set(set, object, encoder),
        _ => unreachable!("no command makes one yet"),
    }
    object
}

/// The oldest type that holds the value.
fn object_of(value: ValueRef<'_>) -> ObjectType {
    match value {
        ValueRef::String(_) => ObjectType::String,
        ValueRef::Set(SetRef::Ints(_)) => ObjectType::SetIntset,
        ValueRef::Set(set) if set.expires() => ObjectType::SetExpiring,
        ValueRef::Set(_) => ObjectType::Set,
        _ => unreachable!("no command makes one yet"),
    }
}

fn write_string(string: StringRef<'_>, encoder: &mut Encoder<'_>) {
    match string {
        StringRef::Int(n) => encoder.int(n),
        StringRef::Bytes(bytes) => encoder.string(bytes),
    }
}

fn write_set(set: SetRef<'_>, object: ObjectType, encoder: &mut Encoder<'_>) {
    if let SetRef::Ints(ints) = set {
        return encoder.packed(ints.as_bytes());
    }
    let mut room = IntText::default();
    encoder.count(set.len());
    for member in set.iter() {
        write_string(member, encoder);
        if object == ObjectType::SetExpiring {
            let name = member.text(&mut room);
            encoder.expiry(set.expiry_of(name).flatten());
        }
    }
}
