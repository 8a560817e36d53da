//! Parts of a sorted set: by score, and by name where all scores are the same.

/// Scores between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The lowest score.
    pub min: f64,
    /// Whether the lowest score is outside.
    pub min_excluded: bool,
    /// The highest score.
    pub max: f64,
    /// Whether the highest score is outside.
    pub max_excluded: bool,
}

/// Where a range of names begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameBound<'a> {
    /// Before all names.
    Lowest,
    /// After all names.
    Highest,
    /// At this name, which is inside.
    Included(&'a [u8]),
    /// At this name, which is outside.
    Excluded(&'a [u8]),
}

/// Names between two bounds, in the order of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRange<'a> {
    /// Where it begins.
    pub min: NameBound<'a>,
    /// Where it ends.
    pub max: NameBound<'a>,
}

impl ScoreRange {
    /// Whether a score comes before the range.
    pub(super) fn is_before(&self, score: f64) -> bool {
        score < self.min || self.min_excluded && score == self.min
    }

    /// Whether a score comes after the range.
    pub(super) fn is_behind(&self, score: f64) -> bool {
        score > self.max || self.max_excluded && score == self.max
    }
}

impl NameRange<'_> {
    /// Whether a name comes before the range.
    pub(super) fn is_before(&self, name: &[u8]) -> bool {
        match self.min {
            NameBound::Lowest => false,
            NameBound::Highest => true,
            NameBound::Included(min) => name < min,
            NameBound::Excluded(min) => name <= min,
        }
    }

    /// Whether a name comes after the range.
    pub(super) fn is_behind(&self, name: &[u8]) -> bool {
        match self.max {
            NameBound::Lowest => true,
            NameBound::Highest => false,
            NameBound::Included(max) => name > max,
            NameBound::Excluded(max) => name >= max,
        }
    }
}
