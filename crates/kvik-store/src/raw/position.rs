//! Where an entry belongs in a table.
//!
//! A table orders its entries by 64 well mixed bits, which are a hash of the key. The leading 32
//! bits, the prefix, say which segment holds the entry and where in it; they are also the order of
//! a walk. Eight of the others are the tag.

/// The place of an entry in the order of its table. Entries may share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) u64);

/// The leading 32 bits of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(pub(crate) u32);

impl Position {
    #[inline]
    pub(crate) fn prefix(self) -> Prefix {
        Prefix((self.0 >> 32) as u32)
    }

    /// Eight bits that choose neither segment nor bucket; never 0, which marks a free lane.
    #[inline]
    pub(crate) fn tag(self) -> u8 {
        ((self.0 >> 24) as u8).max(1)
    }

    /// A position in the other half of the range that all positions with the same leading `bits -
    /// 1` bits form. There is at least one bit.
    pub(crate) fn in_other_half(self, bits: u32) -> Self {
        Self(self.0 ^ 1 << (64 - bits))
    }
}

impl Prefix {
    /// The first position that begins with it.
    pub(crate) fn first_position(self) -> Position {
        Position(u64::from(self.0) << 32)
    }

    /// The first prefix that has the same leading `bits` bits.
    pub(crate) fn first_of(self, bits: u32) -> u64 {
        let rest = 32 - bits;
        u64::from(self.0) >> rest << rest
    }
}
