//! LCS: the longest common subsequence of two strings.
//!
//! The table of the textbook, whose cell (i, j) is the length for the first i and the first j
//! bytes, grows by 0 or 1 along a row. A row is therefore kept as one bit per column, clear where
//! the length grows, and the next row follows from it with an addition and a few logical operations
//! per 64 columns (Hyyrö, "Bit-parallel LCS-length computation revisited", 2004). Against four
//! bytes per cell that is a 32nd of the memory and a 64th of the work.
//!
//! Where several subsequences are equally long, the one found is Redis': the way back from the last
//! cell goes up only if that keeps more than going left.

use kvik_store::IntText;

use super::string;
use crate::{Ctx, Error};

/// Words of 64 cells that count as an element.
const ELEMENT_WORDS: usize = 64;
/// Bytes of a string that are copied while its stripe is held once.
const SLICE_BYTES: usize = 256 << 10;

#[derive(Debug, Default)]
struct LcsOptions {
    len: bool,
    index: bool,
    with_len: bool,
    min_len: usize,
}

pub(super) fn lcs(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let lens = [len(ctx, 1)?, len(ctx, 2)?];
    let options = options(ctx)?;
    // Nothing is copied for a table that would be refused.
    let work = words(lens[0], lens[1], max_words(ctx)).ok_or(TOO_MUCH_MEMORY)?;
    ctx.weigh(work / ELEMENT_WORDS)?;
    let (a, b) = (text(ctx, 1, lens[0])?, text(ctx, 2, lens[1])?);
    // No key is needed to compare the copies.
    ctx.keys.rest();
    let rows = options.index || !options.len;
    let table = LcsTable::new(&a, &b, rows, max_words(ctx)).ok_or(TOO_MUCH_MEMORY)?;
    if options.index {
        write_matches(ctx, &table, &options);
    } else if options.len {
        ctx.reply.integer(table.len() as i64);
    } else {
        ctx.reply.bulk(&table.subsequence());
    }
    Ok(())
}

/// Words of 64 cells that one call may use. The limit is that of a string, as in Redis, which takes
/// 32 times as much for the same strings.
fn max_words(ctx: &Ctx<'_>) -> usize {
    ctx.engine.settings.max_string() / size_of::<u64>()
}

const TOO_MUCH_MEMORY: Error =
    Error::text("Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
const NO_STRING: Error = Error::text("The specified keys must contain string values");

fn len(ctx: &mut Ctx<'_>, index: usize) -> Result<usize, Error> {
    let string = ctx.keys.read_string(&ctx.args[index]);
    Ok(string
        .map_err(|_| NO_STRING)?
        .map_or(0, |string| string.len()))
}

/// A copy of a string of `len` bytes.
fn text(ctx: &mut Ctx<'_>, index: usize, len: usize) -> Result<Vec<u8>, Error> {
    // It must not grow while others wait.
    let mut text = Vec::with_capacity(len);
    while text.len() < len {
        let Some(string) = ctx.keys.peek(&ctx.args[index]).map(string).transpose()? else {
            break;
        };
        let (slice, mut room) = (
            text.len()..len.min(text.len() + SLICE_BYTES),
            IntText::default(),
        );
        let parts = string.slices(slice, &mut room);
        parts.for_each(|part| text.extend_from_slice(part));
        if text.len() < len {
            ctx.breathe()?;
        }
    }
    Ok(text)
}

/// How many words the rows of a table take, if that is not more than `max`.
fn words(a: usize, b: usize, max: usize) -> Option<usize> {
    let width = b.div_ceil(64);
    // There is a row for each byte of `a`, and one of masks for each byte that there is.
    let words = a.max(256).checked_mul(width)?;
    (words <= max).then_some(a * width)
}

fn options(ctx: &Ctx<'_>) -> Result<LcsOptions, Error> {
    let mut options = LcsOptions::default();
    let mut at = 3;
    while at < ctx.args.len() {
        if ctx.is(at, "LEN") {
            options.len = true;
        } else if ctx.is(at, "IDX") {
            options.index = true;
        } else if ctx.is(at, "WITHMATCHLEN") {
            options.with_len = true;
        } else if ctx.is(at, "MINMATCHLEN") && at + 1 < ctx.args.len() {
            at += 1;
            options.min_len = ctx.int(at)?.max(0) as usize;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if options.len && options.index {
        return Err(Error::text(
            "If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

fn write_matches(ctx: &mut Ctx<'_>, table: &LcsTable<'_>, options: &LcsOptions) {
    let reply = &mut ctx.reply;
    reply.map(2);
    reply.bulk_str("matches");
    let matches = reply.deferred_array();
    let mut count = 0;
    for run in table.runs().filter(|run| run.len >= options.min_len) {
        reply.array(if options.with_len { 3 } else { 2 });
        for start in [run.a, run.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + run.len - 1) as i64);
        }
        if options.with_len {
            reply.integer(run.len as i64);
        }
        count += 1;
    }
    reply.finish_array(matches, count);
    reply.bulk_str("len");
    reply.integer(table.len() as i64);
}

/// The table of lengths of common subsequences. Rows belong to the bytes of `a`, columns to those
/// of `b`.
struct LcsTable<'t> {
    a: &'t [u8],
    b: &'t [u8],
    /// Words per row.
    width: usize,
    /// All rows, or only the last one.
    bits: Vec<u64>,
}

/// A stretch that the subsequence takes from both strings as it is: where it starts in each.
#[derive(Debug, PartialEq, Eq)]
struct CommonRun {
    a: usize,
    b: usize,
    len: usize,
}

impl<'t> LcsTable<'t> {
    /// Computes the table, or nothing if it is too large. Without `rows` only [`Self::len`] may be
    /// asked.
    fn new(a: &'t [u8], b: &'t [u8], rows: bool, max: usize) -> Option<Self> {
        // One row is updated in place; it is copied out only where the way back will need it.
        let width = b.len().div_ceil(64);
        let words = words(a.len(), b.len(), max)?;
        let masks = masks(b, width);
        let mut row = vec![u64::MAX; width];
        let mut bits = Vec::new();
        bits.try_reserve_exact(if rows { words } else { width })
            .ok()?;
        for &byte in a {
            advance(&mut row, &masks[usize::from(byte) * width..][..width]);
            if rows {
                bits.extend_from_slice(&row);
            }
        }
        // An empty `a` has no row, and `len` then counts nothing.
        if !rows && !a.is_empty() {
            bits = row;
        }
        Some(Self { a, b, width, bits })
    }

    fn len(&self) -> usize {
        let last = self.bits.len().saturating_sub(self.width);
        growth(&self.bits[last..], self.b.len())
    }

    /// The length for the first `i` bytes of `a` and the first `j` of `b`.
    fn len_of(&self, i: usize, j: usize) -> usize {
        match i.checked_sub(1) {
            None => 0,
            Some(row) => growth(&self.bits[row * self.width..][..self.width], j),
        }
    }

    /// The stretches of the subsequence, from the last to the first.
    fn runs(&self) -> impl Iterator<Item = CommonRun> {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        std::iter::from_fn(move || {
            // Redis' tie rule: up only if that keeps strictly more, otherwise left.
            while i > 0 && j > 0 && self.a[i - 1] != self.b[j - 1] {
                if self.len_of(i - 1, j) > self.len_of(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
            }
            // Equal bytes are always taken, so the whole common run is taken at once.
            let pairs = self.a[..i].iter().rev().zip(self.b[..j].iter().rev());
            let len = pairs.take_while(|(a, b)| a == b).count();
            (i, j) = (i - len, j - len);
            (len > 0).then_some(CommonRun { a: i, b: j, len })
        })
    }

    fn subsequence(&self) -> Vec<u8> {
        let mut runs: Vec<CommonRun> = self.runs().collect();
        runs.reverse();
        let bytes = runs.iter().flat_map(|run| &self.a[run.a..run.a + run.len]);
        bytes.copied().collect()
    }
}

/// For every byte a row with a bit at each column where `b` has it.
fn masks(b: &[u8], width: usize) -> Vec<u64> {
    let mut masks = vec![0; 256 * width];
    for (column, &byte) in b.iter().enumerate() {
        masks[usize::from(byte) * width + column / 64] |= 1 << (column % 64);
    }
    masks
}

/// Turns a row into the one below it, given the columns that match the row's byte.
fn advance(row: &mut [u64], mask: &[u64]) {
    // Hyyrö's step, V' = (V + (V & M)) | (V & !M), over words of 64 columns with a carry between
    // them. At most one of the two additions overflows.
    let mut carry = false;
    for (word, mask) in row.iter_mut().zip(mask) {
        let (sum, above) = word.overflowing_add(*word & mask);
        let (sum, again) = sum.overflowing_add(u64::from(carry));
        carry = above || again;
        *word = sum | (*word & !mask);
    }
}

/// How many of the first `columns` bits are clear.
fn growth(row: &[u64], columns: usize) -> usize {
    // The growing columns are clear bits: all of the whole words, then the low bits of the next.
    let whole = row.iter().take(columns / 64);
    let full: u32 = whole.map(|word| word.count_zeros()).sum();
    let rest = row
        .get(columns / 64)
        .map_or(0, |word| (!word & ((1 << (columns % 64)) - 1)).count_ones());
    (full + rest) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The textbook: the whole table, and the way back that Redis takes.
    fn model(a: &[u8], b: &[u8]) -> (usize, Vec<u8>) {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = if a[i - 1] == b[j - 1] {
                    table[i - 1][j - 1] + 1
                } else {
                    table[i - 1][j].max(table[i][j - 1])
                };
            }
        }
        let (mut i, mut j, mut found) = (a.len(), b.len(), Vec::new());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                found.push(a[i - 1]);
                (i, j) = (i - 1, j - 1);
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        found.reverse();
        (table[a.len()][b.len()], found)
    }

    proptest! {
        #[test]
        fn agrees_with_the_textbook(a in "[a-d]{0,150}", b in "[a-d]{0,150}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let (len, found) = model(a, b);
            prop_assert_eq!(LcsTable::new(a, b, false, usize::MAX).expect("small").len(), len);
            let table = LcsTable::new(a, b, true, usize::MAX).expect("small");
            prop_assert_eq!(table.len(), len);
            prop_assert_eq!(table.subsequence(), found);
        }
    }

    #[test]
    fn runs_go_from_the_end_to_the_start() {
        let table = LcsTable::new(b"ohmytext", b"mynewtext", true, usize::MAX).expect("small");
        let runs: Vec<CommonRun> = table.runs().collect();
        let (last, first) = (
            CommonRun { a: 4, b: 5, len: 4 },
            CommonRun { a: 2, b: 0, len: 2 },
        );
        assert_eq!(runs, [last, first]);
    }

    #[test]
    fn tables_beyond_the_limit_are_refused() {
        const MAX: usize = 1 << 25;
        assert_eq!(words(1 << 16, 1 << 15, MAX), Some(MAX));
        assert_eq!(words(1 << 16, (1 << 15) + 1, MAX), None);
        assert_eq!(words(1, 1 << 24, MAX), None);
        assert_eq!(words(usize::MAX, 65, usize::MAX), None);
    }
}
