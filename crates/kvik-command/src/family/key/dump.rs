//! DUMP: a value as bytes that RESTORE takes, here and in Redis.

use std::sync::atomic::Ordering;

use kvik_rdb::{Compression, Encoder, seal};
use kvik_store::ValueRef;

use crate::save::ValueWriter;
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
    let mut payload = Vec::new();
    let mut encoder = Encoder::new(&mut payload, compression);
    let mut writer = ValueWriter::new(value);
    encoder.object(writer.object());
    writer.write(value, usize::MAX, &mut encoder);
    seal(&mut payload, writer.object().version());
    payload
}
