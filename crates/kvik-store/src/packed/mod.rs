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
pub use listpack::{Element, Listpack, Needle};

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
            self.resize(len + new - old, 0);
        }
        if new != old {
            self.copy_within(at + old..len, at + new);
            self.truncate(len + new - old);
        }
        self
    }
}
