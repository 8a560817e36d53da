//! DUMP: a value as bytes that RESTORE takes, here and in Redis.

use std::sync::atomic::Ordering;

use kvik_rdb::{Compression, Encoder, seal};

use crate::save::ValueWriter;
use crate::{Ctx, Error};

/// Bytes of a value that count as an element, and those that are written while the stripe is held
/// once.
const ELEMENT_BYTES: usize = 64;
const SLICE_BYTES: usize = 64 << 10;

pub(super) fn dump(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let compression = if ctx.engine.settings.rdb_compression.load(Ordering::Relaxed) {
        Compression::Lzf
    } else {
        Compression::Off
    };
    let Some(view) = ctx.keys.read(ctx.key(1)) else {
        ctx.reply.null();
        return Ok(());
    };
    let (bytes, mut writer) = (view.bytes(), ValueWriter::new(view.value()));
    ctx.weigh(bytes / ELEMENT_BYTES)?;
    // It must not grow while others wait.
    let mut payload = Vec::with_capacity(bytes);
    let mut encoder = Encoder::new(&mut payload, compression);
    encoder.object(writer.object());
    while let Some(view) = ctx.keys.view(ctx.key(1)) {
        if writer.write(view.value(), SLICE_BYTES, &mut encoder) {
            break;
        }
        ctx.breathe()?;
    }
    // No key is needed for what is left.
    ctx.keys.rest();
    seal(&mut payload, writer.object().version());
    ctx.reply.bulk(&payload);
    Ok(())
}
