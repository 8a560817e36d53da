//! Sorted sets that come whole: see [`crate::restore`].

use super::change::{Expected, ZsetMut};
use crate::edit::Edit;
use crate::entry::Entry;
use crate::packed::Element;
use crate::restore::{Malformed, Terms, checked};
use crate::text::IntText;

impl<'g> Entry<'g> {
    /// Begins a sorted set beside what the key holds, which is discarded unless it is
    /// [restored](ZsetMut::restore).
    pub fn build_zset(self) -> ZsetMut<'g> {
        ZsetMut {
            edit: Edit::build(self),
            expected: Expected::default(),
        }
    }
}

impl ZsetMut<'_> {
    /// Adds the members of a listpack of members and scores, in whatever order they are.
    ///
    /// # Errors
    /// If the bytes are no such listpack, a member is in it twice, or a score is no number.
    pub fn add_pack(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let pack = checked(bytes, 2)?;
        let longest = pack.iter().step_by(2).map(|name| name.len()).max();
        self.expect(pack.len() / 2, longest.unwrap_or(0));
        let mut elements = pack.iter();
        while let (Some(name), Some(score)) = (elements.next(), elements.next()) {
            let score = score_of(score).ok_or(Malformed)?;
            self.update(name.text(&mut IntText::default()), |_| Some(score));
        }
        Ok(())
    }

    /// Puts the sorted set in place of what the key holds, if it has members. Effect: `RESTORE`.
    pub fn restore(self, terms: &Terms<'_>) {
        self.edit.restore(terms);
    }
}

/// The score that an element from elsewhere is.
fn score_of(element: Element<'_>) -> Option<f64> {
    match element {
        Element::Int(n) => Some(n as f64),
        Element::Bytes(text) => {
            let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            (!score.is_nan()).then_some(score)
        }
    }
}
