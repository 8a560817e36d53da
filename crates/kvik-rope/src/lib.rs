//! Large byte strings: chunks that are shared between a value, the replies that carry it and the
//! command that brought it.
//!
//! A [`Rope`] is a row of reference-counted chunks. Who takes a part of one ([`Piece`]) copies
//! nothing and keeps what it took, whatever becomes of the rope: a write copies the chunks it
//! changes if others hold them. An [`IncomingRope`] is a rope that is being received: the system
//! writes into its chunks, so a value is where it belongs when its last byte has come.
//!
//! This crate stands below the wire and the store, which know nothing of each other but both hold
//! large strings.
//!
//! Costs: a part costs one count for each chunk it touches, a write the bytes it writes and at most
//! two chunks more. A chunk is one allocation of 32 KiB, and with everything around it a rope takes
//! less than a percent more than its bytes. A chunk of zeros takes a word.
//!
//! ```
//! use kvik_rope::Rope;
//!
//! let mut rope = Rope::from(&[b'a'; 100_000][..]);
//! let before: Vec<_> = rope.pieces(0..100_000).collect();
//! rope.write(50_000, b"changed");
//! // Pieces stay as they were: the write has copied the chunk that both held.
//! assert!(before.iter().all(|piece| piece.bytes().iter().all(|byte| *byte == b'a')));
//! assert_eq!(rope.byte(50_000), b'c');
//! ```

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod incoming;
mod piece;
mod rope;

pub use incoming::IncomingRope;
pub use piece::Piece;
pub use rope::{CHUNK_BYTES, Rope, are_in_hole};
