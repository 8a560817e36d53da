//! Setting and deleting fields of a packed hash where it lies, and making one there.

use super::change::{FieldWrite, HashMut, Written, fits, max_entries, max_value};
use crate::cells::ValueForm;
use crate::edit::EditParts;
use crate::in_place::InPlace;
use crate::limits::Limits;
use crate::memory::MemoryMut;
use crate::packed::listpack::{self, Encoded};
use crate::packed::{Listpack, Packed};
use crate::shape::{Sharing, begin_row, is_small};
use crate::text::StringRef;

impl HashMut<'_> {
    /// Sets a field. Returns nothing, and has changed nothing, if the hash has to be taken out for
    /// that.
    #[inline]
    pub(super) fn write_in_place(&mut self, name: &[u8], value: StringRef<'_>) -> Option<Written> {
        let limits = self.0.limits();
        let mut in_place = self.0.in_place()?;
        if in_place.form() == ValueForm::ShapedHash {
            return write_shaped(&mut in_place, limits, name, value);
        }
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
        let mut in_place = self.0.in_place()?;
        if in_place.form() == ValueForm::ShapedHash {
            // Without one of its fields it has no shape.
            return (!in_place.shaped().has(name)).then_some(false);
        }
        let removed = in_place.remove(name, 1)?;
        if removed {
            self.0.emit(b"HDEL", &[name]);
        }
        Some(removed)
    }

    /// Makes a hash of fields that have a shape, where there is none; says whether they have one.
    /// Whoever makes it emits the fields.
    pub(super) fn make_shaped<'p>(
        &mut self,
        fields: impl ExactSizeIterator<Item = (&'p [u8], &'p [u8])> + Clone,
        declared: bool,
    ) -> bool {
        let EditParts { memory, limits, .. } = self.0.parts();
        let MemoryMut { cells, layout, .. } = memory;
        let shapes = &mut cells.shapes;
        let (max_bytes, len) = (max_value(limits), fields.len());
        let is_wanted = declared || limits.shares_names(len) && shapes.is_worth_a_try();
        let mut texts = fields.clone().flat_map(|(name, value)| [name, value]);
        if !is_wanted || len > max_entries(limits) || texts.any(|text| text.len() > max_bytes) {
            return false;
        }
        let sharing = match declared {
            true => Sharing::Declared,
            false => Sharing::WhenMet,
        };
        let names = fields.clone().map(|(name, _)| StringRef::Bytes(name));
        let hash = layout.names_hash(names.clone());
        let Some(number) = shapes.find(hash, names, sharing) else {
            return false;
        };
        let mut value = Vec::with_capacity(16 * len);
        begin_row(&mut value, number);
        fields.for_each(|(_, text)| listpack::push_entry(&mut value, StringRef::Bytes(text)));
        if !is_small(&value) {
            shapes.drop_unused(number);
            return false;
        }
        self.0.make_packed(ValueForm::ShapedHash, &value);
        true
    }
}

/// Sets a field of a hash that has a shape. Returns nothing, and has changed nothing, if the hash
/// needs another form for that.
#[inline(never)]
fn write_shaped(
    in_place: &mut InPlace<'_, '_>,
    limits: &Limits,
    name: &[u8],
    value: StringRef<'_>,
) -> Option<Written> {
    let (at, old) = in_place.shaped().place_of(name)?;
    let new = Encoded::new(value);
    let bytes = in_place.bytes().len() - old + new.size();
    if value.len() > max_value(limits) || !in_place.holds(bytes) {
        return None;
    }
    listpack::replace_entry(in_place, at, old, new);
    Some(Written::Replaced { expire_at: None })
}
