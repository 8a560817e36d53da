//! A piece of a large value that copies of it share until one of them changes it.
//!
//! A piece is its owner's own at first, and costs nothing more. Copying the value makes it common,
//! and who changes a common piece gets one of his own: the last who has it takes that, the others
//! copy it. A common piece counts for each who has it.

use std::ops::Deref;
use std::sync::Arc;

/// A value with one owner, or one that several share until somebody changes it. The clone of a `T`
/// must have allocated as much as the original.
#[derive(Debug)]
pub(crate) enum Shareable<T> {
    Own(T),
    Common(Arc<T>),
}

impl<T: Clone + Default> Shareable<T> {
    /// The same piece, for a copy.
    pub(crate) fn share(&mut self) -> Self {
        if let Self::Own(piece) = self {
            *self = Self::Common(Arc::new(std::mem::take(piece)));
        }
        match self {
            Self::Common(piece) => Self::Common(Arc::clone(piece)),
            Self::Own(_) => unreachable!("made common above"),
        }
    }

    /// Whether others have it, so that changing it copies it.
    pub(crate) fn is_common(&self) -> bool {
        matches!(self, Self::Common(piece) if Arc::strong_count(piece) > 1)
    }

    /// The piece, to change it.
    #[inline]
    pub(crate) fn own(&mut self) -> &mut T {
        if matches!(self, Self::Common(_)) {
            self.part();
        }
        match self {
            Self::Own(piece) => piece,
            Self::Common(_) => unreachable!("made the owner's own above"),
        }
    }

    /// The piece itself.
    pub(crate) fn into_own(mut self) -> T {
        std::mem::take(self.own())
    }

    #[cold]
    fn part(&mut self) {
        if let Self::Common(piece) = std::mem::take(self) {
            *self = Self::Own(Arc::unwrap_or_clone(piece));
        }
    }
}

impl<T> From<T> for Shareable<T> {
    fn from(piece: T) -> Self {
        Self::Own(piece)
    }
}

impl<T: Default> Default for Shareable<T> {
    fn default() -> Self {
        Self::Own(T::default())
    }
}

impl<T> Deref for Shareable<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Own(piece) => piece,
            Self::Common(piece) => piece,
        }
    }
}

/// A clone with as much room as the original has.
pub(crate) fn clone_bytes(bytes: &Vec<u8>) -> Vec<u8> {
    let mut clone = Vec::with_capacity(bytes.capacity());
    clone.extend_from_slice(bytes);
    clone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_a_common_piece_gets_one_of_his_own() {
        let mut one = Shareable::from(vec![1]);
        let before = one.as_ptr();
        let mut other = one.share();
        assert_eq!(one.as_ptr(), other.as_ptr());
        other.own().push(2);
        assert_eq!((&one[..], &other[..]), (&[1][..], &[1, 2][..]));
        // The last one keeps it.
        assert!(!one.is_common());
        one.own()[0] = 3;
        assert_eq!(one.as_ptr(), before);
    }
}
