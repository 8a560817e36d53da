//! The grid: points, the cells they are in, and cells next to each other.
//!
//! A cell of so many steps is one of 2^steps columns and 2^steps rows. The bits of both numbers
//! alternate in that of the cell, those of the column above those of the row, so all smaller cells
//! inside one have numbers with a common prefix.

/// The steps of the cells that members are kept in.
const FINEST: u32 = 26;

/// The degrees that the grid spans.
const LONGITUDES: Span = Span {
    min: -180.0,
    max: 180.0,
};
const LATITUDES: Span = Span {
    min: -85.05112878,
    max: 85.05112878,
};
/// The latitudes that geohash strings span.
const ALL_LATITUDES: Span = Span {
    min: -90.0,
    max: 90.0,
};

const COLUMN_BITS: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const ROW_BITS: u64 = 0x5555_5555_5555_5555;

/// A place on the earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

/// Degrees from one to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) min: f64,
    pub(super) max: f64,
}

/// A rectangle of the map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CellBounds {
    pub(super) longitude: Span,
    pub(super) latitude: Span,
}

/// A cell of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    bits: u64,
    steps: u32,
}

/// Where a cell lies from another: columns to the east, rows to the north.
pub(super) type Direction = (i8, i8);

impl Span {
    /// Which of 2^steps equal parts a number is in. The upper end is behind the last part.
    fn part(self, number: f64, steps: u32) -> u32 {
        let offset = (number - self.min) / (self.max - self.min);
        (offset * (1_u64 << steps) as f64) as u32
    }

    /// From where to where such a part goes.
    fn of_part(self, part: u32, steps: u32) -> Self {
        let scale = self.max - self.min;
        let start = |part: u32| self.min + (f64::from(part) / (1_u64 << steps) as f64) * scale;
        Self {
            min: start(part),
            max: start(part.wrapping_add(1)),
        }
    }

    fn middle(self) -> f64 {
        (self.min + self.max) / 2.0
    }
}

impl Point {
    /// The centre of the cell that a score is the number of.
    pub(super) fn of_score(score: f64) -> Self {
        // Scores that no position has are read as C's conversion reads them.
        let bits = if score < 0.0 {
            score as i64 as u64
        } else if score < 18_446_744_073_709_551_616.0 {
            score as u64
        } else {
            0
        };
        let steps = FINEST;
        let bounds = Cell { bits, steps }.bounds();
        Self {
            longitude: bounds
                .longitude
                .middle()
                .clamp(LONGITUDES.min, LONGITUDES.max),
            latitude: bounds.latitude.middle().clamp(LATITUDES.min, LATITUDES.max),
        }
    }

    /// Whether the grid goes that far.
    pub(super) fn is_on_grid(self) -> bool {
        let Self {
            longitude,
            latitude,
        } = self;
        (LONGITUDES.min..=LONGITUDES.max).contains(&longitude)
            && (LATITUDES.min..=LATITUDES.max).contains(&latitude)
    }

    /// The usual text for a place: five bits a letter, on a grid up to the poles. For the last
    /// letter no bits are left.
    pub(super) fn geohash(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let cell = Cell::on(ALL_LATITUDES, self, FINEST);
        let mut text = [LETTERS[0]; 11];
        for (letter, shift) in text.iter_mut().zip((2..52).step_by(5).rev()) {
            *letter = LETTERS[(cell.bits >> shift) as usize & 31];
        }
        text
    }
}

impl Cell {
    /// The cell that a member at this point is kept in.
    pub(super) fn of(point: Point) -> Self {
        Self::around(point, FINEST)
    }

    /// The cell of so many steps that a point is in.
    pub(super) fn around(point: Point, steps: u32) -> Self {
        Self::on(LATITUDES, point, steps)
    }

    fn on(latitudes: Span, point: Point, steps: u32) -> Self {
        let column = LONGITUDES.part(point.longitude, steps);
        let row = latitudes.part(point.latitude, steps);
        Self {
            bits: spread(column) << 1 | spread(row),
            steps,
        }
    }

    /// The rectangle of the map that it is.
    pub(super) fn bounds(self) -> CellBounds {
        CellBounds {
            longitude: LONGITUDES.of_part(gather(self.bits >> 1), self.steps),
            latitude: LATITUDES.of_part(gather(self.bits), self.steps),
        }
    }

    /// The lowest score of members inside; that of those kept in it if it is one of the smallest
    /// cells.
    pub(super) fn score(self) -> f64 {
        (self.bits << (2 * (FINEST - self.steps))) as f64
    }

    /// Where the scores of members inside end.
    pub(super) fn end_score(self) -> f64 {
        let bits = self.bits + 1;
        Self { bits, ..self }.score()
    }

    /// The cell next to it; at the edges of the grid that on the other side.
    pub(super) fn neighbour(self, (east, north): Direction) -> Self {
        let bits = moved(self.bits, COLUMN_BITS, east, self.steps);
        Self {
            bits: moved(bits, ROW_BITS, north, self.steps),
            ..self
        }
    }
}

/// Counts one of the two numbers up or down. The bits between its own are set for counting up, so
/// that a carry goes through them.
fn moved(bits: u64, own: u64, by: i8, steps: u32) -> u64 {
    let others = !own;
    let inside = u64::MAX >> (64 - 2 * steps);
    let number = match by {
        0 => return bits,
        1.. => (bits & own | others & inside).wrapping_add(1),
        _ => (bits & own).wrapping_sub(1),
    };
    number & own & inside | bits & others
}

/// Puts a zero above each bit.
fn spread(number: u32) -> u64 {
    [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, ROW_BITS),
    ]
    .into_iter()
    .fold(u64::from(number), |bits, (shift, kept)| {
        (bits | bits << shift) & kept
    })
}

/// Every second bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ]
    .into_iter()
    .fold(bits & ROW_BITS, |bits, (shift, kept)| {
        (bits | bits >> shift) & kept
    }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_the_scores_and_texts_of_redis() {
        let palermo = Point {
            longitude: 13.361389,
            latitude: 38.115556,
        };
        let score = Cell::of(palermo).score();
        assert_eq!(score, 3_479_099_956_230_698.0);
        let centre = Point::of_score(score);
        assert_eq!(centre.longitude, 13.361_389_338_970_184);
        assert_eq!(&centre.geohash(), b"sqc8b49rny0");
    }

    #[test]
    fn numbers_alternate_and_come_back() {
        for number in [0, 1, 2, 0xdead_beef, u32::MAX] {
            assert_eq!(gather(spread(number)), number);
        }
        assert_eq!(spread(0b111), 0b10101);
    }

    #[test]
    fn neighbours_wrap_around() {
        let cell = Cell { bits: 0, steps: 2 };
        assert_eq!(cell.neighbour((1, 0)).bits, 0b0010);
        assert_eq!(cell.neighbour((0, 1)).bits, 0b0001);
        assert_eq!(cell.neighbour((-1, 0)).bits, 0b1010);
        assert_eq!(cell.neighbour((-1, -1)).bits, 0b1111);
        assert_eq!(cell.neighbour((-1, -1)).neighbour((1, 1)), cell);
    }

    #[test]
    fn scores_of_no_position_are_on_the_grid() {
        for score in [f64::NEG_INFINITY, -1.0, 1e19, 1e300, f64::INFINITY] {
            assert!(Point::of_score(score).is_on_grid(), "{score}");
        }
    }
}
