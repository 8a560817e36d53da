//! Small collections as one run of bytes, in the formats of Redis: the same bytes in memory, in DUMP and in RDB files.
//!
//! A [`Listpack`] is a sequence of strings and integers, an [`IntSet`] a sorted set of integers. Both are views of
//! borrowed bytes, `Copy`, and read without copying. What changes them works on the `Vec<u8>` that holds the bytes: the
//! functions of [`listpack`] and [`intset`].
//!
//! Two ways lead to a view. `validate` is for bytes from elsewhere: it checks all of them. `new` trusts the bytes and
//! costs nothing; given others, reading says something meaningless, but it neither panics nor reads outside, and it ends.
//!
//! Nothing here knows limits: when a collection is no longer small is for its owner to say.

pub mod intset;
pub mod listpack;

pub use intset::IntSet;
pub use listpack::{Element, Listpack, Needle};
