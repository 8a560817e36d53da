//! DUMP: a value as bytes that RESTORE takes, here and in Redis.

use std::sync::atomic::Ordering;

use kvik_rdb::{Compression, Encoder, ObjectType, seal};
use kvik_store::{StringRef, ValueRef};

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
    match value {
        ValueRef::String(string) => {
            encoder.object(ObjectType::String);
            match string {
                StringRef::Int(n) => encoder.int(n),
                StringRef::Bytes(bytes) => encoder.string(bytes),
            }
            ObjectType::String
        }
        _ => unreachable!("no command makes one yet"),
    }
}
