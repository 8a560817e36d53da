//! Setting and deleting fields of a packed hash where it lies.

use super::change::{FieldWrite, HashMut, Written, fits, max_entries};
use crate::packed::{Listpack, Packed};
use crate::text::StringRef;

impl HashMut<'_> {
    /// Sets a field. Returns nothing, and has changed nothing, if the hash has to be taken out for
    /// that.
    #[inline]
    pub(super) fn write_in_place(&mut self, name: &[u8], value: StringRef<'_>) -> Option<Written> {
        let limits = self.0.limits();
        let mut in_place = self.0.in_place()?;
        let pack = Listpack::new(in_place.bytes());
        let write = FieldWrite::of(pack, name, value);
        let has_room = !write.is_new() || pack.len() / 2 < max_entries(limits);
        let bytes = write.bytes_then(pack);
        if !has_room || !fits(limits, pack, name, value) || !in_place.holds(bytes) {
            return None;
        }
        write.make(&mut in_place);
        Some(match write.is_new() {
            true => Written::Created,
            // Fields of a packed hash do not expire.
            false => Written::Replaced { expire_at: None },
        })
    }

    /// Deletes a field and says whether it was there. Returns nothing, and has changed nothing, if
    /// the hash has to be taken out for that.
    pub(super) fn remove_in_place(&mut self, name: &[u8]) -> Option<bool> {
        let removed = self.0.in_place()?.remove(name, 1)?;
        if removed {
            self.0.emit(b"HDEL", &[name]);
        }
        Some(removed)
    }
}
