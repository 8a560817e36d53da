//! Small collections as one run of bytes, in the formats of Redis: the same bytes in memory, in
//! DUMP and in RDB files.
//!
//! A [`Listpack`] is a sequence of strings and integers, an [`IntSet`] a sorted set of integers.
//! Both are views of borrowed bytes, `Copy`, and read without copying. What changes them, the
//! functions of [`listpack`] and [`intset`], works on whatever holds the bytes and can make room
//! within them ([`Packed`]): a `Vec<u8>`, or the entry of a key.
//!
//! Two ways lead to a view. `validate` is for bytes from elsewhere: it checks all of them. `new`
//! trusts the bytes and costs nothing; given others, reading says something meaningless, but it
//! neither panics nor reads outside, and it ends.
//!
//! Nothing here knows limits: when a collection is no longer small is for its owner to say.

pub mod intset;
pub mod listpack;

pub use intset::IntSet;
pub use listpack::{Element, Listpack, Needle, Row};

/// A holder of the bytes of a packed collection, and nothing else, while it changes.
pub trait Packed {
    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// Makes room of `new` bytes at `at` in the place of `old` ones and returns all bytes. What is
    /// in the room is for the caller to write.
    fn make_room(&mut self, at: usize, old: usize, new: usize) -> &mut [u8];
}

impl Packed for Vec<u8> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn make_room(&mut self, at: usize, old: usize, new: usize) -> &mut [u8] {
        let len = self.len();
        if new > old {
            reserve(self, new - old);
            self.resize(len + new - old, 0);
        }
        if new != old {
            self.copy_within(at + old..len, at + new);
            self.truncate(len + new - old);
        }
        self
    }
}

/// Blocks of an allocator's sizes lie so many steps apart to each doubling.
const STEPS: u32 = 4;

/// The block in which a general allocator keeps so many bytes: the sizes of jemalloc and mimalloc
/// alike. What it has beyond them costs nothing.
fn block_for(bytes: usize) -> usize {
    const SMALLEST: usize = 64;
    let step = (bytes.max(SMALLEST).next_power_of_two() / 2) >> STEPS.ilog2();
    bytes.next_multiple_of(step)
}

/// Makes room for `more` bytes in the smallest block that holds them, so that a collection that
/// grows has reserved a fifth of itself at most. It moves four times while it doubles.
#[inline]
pub(crate) fn reserve(bytes: &mut Vec<u8>, more: usize) {
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        bytes.reserve_exact(block_for(needed) - bytes.len());
    }
}

/// Gives back what is reserved beyond the smallest block that holds the bytes. It copies them: an
/// allocator that is asked to shrink a block by less than half leaves it as it is.
pub(crate) fn fit(bytes: &mut Vec<u8>) {
    let block = block_for(bytes.len());
    if bytes.capacity() > block {
        let mut fitting = Vec::with_capacity(block);
        fitting.extend_from_slice(bytes);
        *bytes = fitting;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_bytes_and_wastes_a_fifth_at_most() {
        for bytes in 1..20_000 {
            let block = block_for(bytes);
            assert!(block >= bytes, "{bytes}");
            assert!(bytes < 64 || block * 4 <= bytes * 5, "{bytes}: {block}");
            assert_eq!(block_for(block), block, "{bytes}");
        }
    }

    #[test]
    fn what_grows_byte_by_byte_reserves_little_and_moves_seldom() {
        let (mut bytes, mut moves) = (Vec::new(), 0);
        while bytes.len() < 8192 {
            let before = bytes.capacity();
            let at = bytes.len();
            bytes.make_room(at, 0, 1);
            moves += usize::from(bytes.capacity() != before);
            assert!(bytes.capacity() <= 64.max(bytes.len() + bytes.len() / 4));
        }
        assert!(moves <= 40, "{moves}");
        bytes.truncate(5000);
        fit(&mut bytes);
        assert_eq!(bytes.capacity(), 5120);
    }
}
