//! The effects of one command or transaction.
//!
//! A unit is encoded while it is collected: its bytes are those that an append-only file holds, so
//! that the log copies them once, under its lock, and does nothing else with them. The first line
//! of an effect, which announces how many words follow, is written with one digit before the words
//! and patched when the last one is there; an effect of ten words or more is moved by the missing
//! digits then. The end of each line is written with what follows it, so that all that stands
//! between two words is one store.
//!
//! Large strings take part by reference: the pieces of their ropes stand beside the bytes, each
//! with its place. What frames a unit in the log (MULTI and EXEC, the first SELECT) is not part of
//! it: only the log knows which database its last unit left selected.
//!
//! Cost of one effect of three short words: one reservation, three copies and a dozen stores, no
//! allocation once the unit is warm.

use std::borrow::Cow;

use kvik_resp::{BY_REFERENCE_BYTES, OutputPiece};
use kvik_rope::Rope;

/// Bytes and pieces that an empty unit keeps room for.
const ROOM_BYTES: usize = 64 << 10;
const ROOM_PIECES: usize = 64;

/// Before an effect's words are counted. The end of the line belongs to the first word.
const UNCOUNTED: &[u8; 2] = b"*0";

/// Bytes that stand before a word, at most: two ends of lines, a sign and the digits of its length.
const FRAME_BYTES: usize = 25;

/// The effects of one command, transaction or round of expiry, in order: all of them happen, or
/// none.
#[derive(Debug, Default)]
pub struct Unit {
    /// Whole effects, the last one perhaps unfinished, with SELECT between those of different
    /// databases.
    bytes: Vec<u8>,
    /// Parts of large strings, in order, each with its place among the bytes.
    pieces: Vec<OutputPiece>,
    /// Length of all pieces.
    piece_bytes: usize,
    /// Where the unfinished effect begins, and its words so far.
    open_at: usize,
    open_words: u32,
    effects: usize,
    first_database: u32,
    last_database: u32,
}

/// A state of a unit to come back to. It lies between two effects.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    pieces: usize,
    piece_bytes: usize,
    effects: usize,
    last_database: u32,
}

/// One effect of a unit.
#[derive(Debug)]
pub struct Effect<'a> {
    /// The database it applies to.
    pub database: u32,
    /// The words of the command that repeats it.
    pub words: Words<'a>,
}

impl Unit {
    /// An empty unit, in no memory.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            pieces: Vec::new(),
            piece_bytes: 0,
            open_at: 0,
            open_words: 0,
            effects: 0,
            first_database: 0,
            last_database: 0,
        }
    }

    /// Starts an effect on a database.
    #[inline]
    pub fn begin(&mut self, database: u32) {
        // The first SELECT is the log's: only it knows what its last unit left selected.
        if self.effects == 0 {
            self.first_database = database;
        } else if database != self.last_database {
            select(database, &mut self.bytes);
        }
        self.last_database = database;
        self.open_at = self.bytes.len();
        self.open_words = 0;
        self.bytes.extend_from_slice(UNCOUNTED);
    }

    /// Appends a word to the effect.
    #[inline]
    pub fn word(&mut self, word: &[u8]) {
        self.words(&[word]);
    }

    /// Appends several words to the effect, which is cheaper than one after the other.
    #[inline]
    pub fn words(&mut self, words: &[&[u8]]) {
        self.open_words += words.len() as u32;
        let room = words.iter().map(|word| word.len() + FRAME_BYTES);
        self.bytes.reserve(room.sum());
        for word in words {
            frame(word.len(), &mut self.bytes);
            self.bytes.extend_from_slice(word);
        }
    }

    /// Appends a large string as a word: by reference from [`BY_REFERENCE_BYTES`] on.
    pub fn rope(&mut self, rope: &Rope) {
        self.open_words += 1;
        frame(rope.len(), &mut self.bytes);
        if rope.len() < BY_REFERENCE_BYTES {
            rope.copy_to(0..rope.len(), &mut self.bytes);
        } else {
            let at = self.bytes.len();
            // The pieces keep the rope's chunks as they are now, whatever the key's value becomes.
            let pieces = rope.pieces(0..rope.len());
            self.pieces
                .extend(pieces.map(|piece| OutputPiece { at, piece }));
            self.piece_bytes += rope.len();
        }
    }

    /// Ends the effect, which has at least one word.
    #[inline]
    pub fn end(&mut self) {
        debug_assert!(self.open_words > 0, "an effect has a name");
        self.effects += 1;
        self.bytes.extend_from_slice(b"\r\n");
        if self.open_words < 10 {
            self.bytes[self.open_at + 1] = b'0' + self.open_words as u8;
        } else {
            self.insert_count();
        }
    }

    /// Writes a count of several digits into the effect's first line, which has room for one.
    #[cold]
    fn insert_count(&mut self) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(self.open_words).as_bytes();
        // The words move behind the digits that were not reserved, and so do the pieces among them.
        let digit_at = self.open_at + 1;
        self.bytes
            .splice(digit_at..=digit_at, digits.iter().copied());
        let moved_by = digits.len() - 1;
        for behind in self.pieces.iter_mut().rev() {
            if behind.at <= digit_at {
                break;
            }
            behind.at += moved_by;
        }
    }

    /// Whether there is no effect.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.effects == 0
    }

    /// How many effects there are.
    pub fn effects(&self) -> usize {
        self.effects
    }

    /// Bytes that the effects take in the log, without what frames them there.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.piece_bytes
    }

    /// Forgets all effects and keeps the room, as far as usual units need it.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.effects = 0;
        if self.bytes.capacity() > ROOM_BYTES || self.piece_bytes > 0 {
            self.clear_large();
        }
    }

    #[cold]
    fn clear_large(&mut self) {
        self.bytes.shrink_to(ROOM_BYTES);
        self.pieces.clear();
        self.pieces.shrink_to(ROOM_PIECES);
        self.piece_bytes = 0;
    }

    /// The state to which [`truncate`](Self::truncate) can come back. No effect may be unfinished.
    pub fn mark(&self) -> Mark {
        Mark {
            bytes: self.bytes.len(),
            pieces: self.pieces.len(),
            piece_bytes: self.piece_bytes,
            effects: self.effects,
            last_database: self.last_database,
        }
    }

    /// Forgets the effects, and the unfinished one, since `mark`, which is of this unit and has not
    /// been passed by an earlier truncation.
    pub fn truncate(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.pieces.truncate(mark.pieces);
        self.piece_bytes = mark.piece_bytes;
        self.effects = mark.effects;
        self.last_database = mark.last_database;
    }

    /// The database of the first effect.
    pub fn first_database(&self) -> Option<u32> {
        (self.effects > 0).then_some(self.first_database)
    }

    /// The database of the last effect.
    pub fn last_database(&self) -> Option<u32> {
        (self.effects > 0).then_some(self.last_database)
    }

    /// The effects in order. Its cost is that of parsing them.
    pub fn iter(&self) -> impl Iterator<Item = Effect<'_>> {
        let mut rest = Words {
            bytes: &self.bytes,
            pieces: &self.pieces,
            at: 0,
            left: 0,
        };
        let mut database = self.first_database;
        std::iter::from_fn(move || {
            loop {
                rest.left = rest.header(b'*')?;
                let words = rest.clone();
                rest.by_ref().for_each(drop);
                // No effect is a SELECT, so it is one that `begin` put between others.
                match selected(words.clone()) {
                    Some(chosen) => database = chosen,
                    None => return Some(Effect { database, words }),
                }
            }
        })
    }

    /// The database and the encoding of the effect, if there is one alone and all of it is bytes.
    #[inline]
    pub(crate) fn plain(&self) -> Option<(u32, &[u8])> {
        let is_plain = self.effects == 1 && self.pieces.is_empty();
        is_plain.then_some((self.first_database, &self.bytes))
    }

    /// Appends the encoded effects, with the pieces in their places.
    pub(crate) fn copy_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.len());
        let mut done = 0;
        for OutputPiece { at, piece } in &self.pieces {
            out.extend_from_slice(&self.bytes[done..*at]);
            out.extend_from_slice(piece.bytes());
            done = *at;
        }
        out.extend_from_slice(&self.bytes[done..]);
    }

    /// The encoded effects without the pieces, and the pieces, which may be taken out if the unit
    /// is cleared then.
    pub(crate) fn parts(&mut self) -> (&[u8], &mut Vec<OutputPiece>) {
        (&self.bytes, &mut self.pieces)
    }
}

/// The words of an effect. Only those that are by reference in several pieces are copied.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    bytes: &'a [u8],
    /// Those that lie at `at` or behind.
    pieces: &'a [OutputPiece],
    at: usize,
    left: usize,
}

impl Words<'_> {
    /// Reads the line that starts with `kind` and a number; none at the end of the unit.
    fn header(&mut self, kind: u8) -> Option<usize> {
        let line = self.bytes.get(self.at..).filter(|line| !line.is_empty())?;
        debug_assert_eq!(line[0], kind);
        let mut number = 0;
        let digits = line[1..].iter().take_while(|byte| byte.is_ascii_digit());
        let mut length = 1;
        for digit in digits {
            number = number * 10 + usize::from(digit - b'0');
            length += 1;
        }
        self.at += length + 2;
        Some(number)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let len = self.header(b'$')?;
        // A word by reference has all of its pieces where its bytes would begin, and a copied one
        // has none there.
        let here = self.pieces.iter().take_while(|piece| piece.at == self.at);
        let (here, behind) = self.pieces.split_at(here.count());
        self.pieces = behind;
        let word = match here {
            [] => {
                let word = &self.bytes[self.at..][..len];
                self.at += len;
                Cow::Borrowed(word)
            }
            [whole] => Cow::Borrowed(whole.piece.bytes()),
            parts => {
                let mut word = Vec::with_capacity(len);
                for part in parts {
                    word.extend_from_slice(part.piece.bytes());
                }
                Cow::Owned(word)
            }
        };
        self.at += 2;
        Some(word)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Words<'_> {}

/// The database that a SELECT selects.
fn selected(mut words: Words<'_>) -> Option<u32> {
    if words.len() != 2 || &*words.next()? != b"SELECT" {
        return None;
    }
    std::str::from_utf8(&words.next()?).ok()?.parse().ok()
}

/// Writes a SELECT as a log holds it.
#[cold]
pub(crate) fn select(database: u32, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(database).as_bytes();
    out.extend_from_slice(b"*2\r\n$6\r\nSELECT");
    frame(digits.len(), out);
    out.extend_from_slice(digits);
    out.extend_from_slice(b"\r\n");
}

/// Ends a line, and announces a word of so many bytes.
#[inline]
fn frame(len: usize, out: &mut Vec<u8>) {
    // Most words are short, and a division costs more than the copy.
    if len < 10 {
        out.extend_from_slice(&[b'\r', b'\n', b'$', b'0' + len as u8, b'\r', b'\n']);
    } else if len < 100 {
        let (tens, ones) = (b'0' + len as u8 / 10, b'0' + len as u8 % 10);
        out.extend_from_slice(&[b'\r', b'\n', b'$', tens, ones, b'\r', b'\n']);
    } else {
        frame_long(len, out);
    }
}

#[inline(never)]
fn frame_long(len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n$");
    out.extend_from_slice(itoa::Buffer::new().format(len).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Plain = (u32, Vec<Vec<u8>>);

    fn push(unit: &mut Unit, database: u32, words: &[&[u8]]) {
        unit.begin(database);
        words.iter().for_each(|word| unit.word(word));
        unit.end();
    }

    fn plain(unit: &Unit) -> Vec<Plain> {
        let words = |effect: Effect<'_>| effect.words.map(Cow::into_owned).collect();
        unit.iter()
            .map(|effect| (effect.database, words(effect)))
            .collect()
    }

    /// The bytes with the pieces in their places.
    fn flat(unit: &Unit) -> Vec<u8> {
        let (mut all, mut done) = (Vec::new(), 0);
        for OutputPiece { at, piece } in &unit.pieces {
            all.extend_from_slice(&unit.bytes[done..*at]);
            all.extend_from_slice(piece.bytes());
            done = *at;
        }
        all.extend_from_slice(&unit.bytes[done..]);
        all
    }

    #[test]
    fn one_effect_is_a_command_of_the_file() {
        let mut unit = Unit::new();
        assert_eq!(unit.first_database(), None);
        push(&mut unit, 3, &[b"SET", b"k", b""]);
        assert_eq!(flat(&unit), b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
        assert_eq!((unit.effects(), unit.first_database()), (1, Some(3)));
    }

    #[test]
    fn a_select_stands_between_databases_and_is_no_effect() {
        let mut unit = Unit::new();
        push(&mut unit, 0, &[b"DEL", b"a"]);
        push(&mut unit, 12, &[b"DEL", b"b"]);
        push(&mut unit, 12, &[b"DEL", b"c"]);
        let expected: &[u8] = b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n\
            *2\r\n$3\r\nDEL\r\n$1\r\nb\r\n*2\r\n$3\r\nDEL\r\n$1\r\nc\r\n";
        assert_eq!(flat(&unit), expected);
        assert_eq!(unit.effects(), 3);
        assert_eq!(unit.last_database(), Some(12));
        let databases: Vec<u32> = unit.iter().map(|effect| effect.database).collect();
        assert_eq!(databases, [0, 12, 12]);
    }

    #[test]
    fn a_large_string_is_not_copied() {
        let text = vec![b'x'; 100_000];
        let mut unit = Unit::new();
        unit.begin(0);
        unit.word(b"SET");
        unit.rope(&Rope::from(&text[..]));
        unit.end();
        assert!(unit.bytes.len() < 100);
        assert_eq!(unit.len(), flat(&unit).len());
        assert_eq!(plain(&unit), [(0, vec![b"SET".to_vec(), text])]);
    }

    #[test]
    fn room_is_kept_but_not_all_of_it() {
        let mut unit = Unit::new();
        push(&mut unit, 0, &[&[1; 10_000]]);
        unit.clear();
        assert!(unit.is_empty() && unit.bytes.capacity() >= 10_000);
        push(&mut unit, 0, &[&[1; 1_000_000]]);
        unit.clear();
        assert!(unit.bytes.capacity() < 2 * ROOM_BYTES);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Effect(u32, Vec<(bool, usize)>),
        Mark,
        Undo,
    }

    fn step() -> impl Strategy<Value = Step> {
        let len = prop_oneof![0usize..120, 15_000usize..80_000];
        let words = prop::collection::vec((any::<bool>(), len), 1..14);
        prop_oneof![
            4 => (0u32..3, words).prop_map(|(database, words)| Step::Effect(database, words)),
            1 => Just(Step::Mark),
            1 => Just(Step::Undo),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn effects_come_back(steps in prop::collection::vec(step(), 0..12)) {
            let (mut unit, mut model) = (Unit::new(), Vec::<Plain>::new());
            let mut marks = Vec::new();
            for step in steps {
                match step {
                    Step::Effect(database, shapes) => {
                        let mut words = Vec::new();
                        unit.begin(database);
                        for (at, (by_rope, len)) in shapes.into_iter().enumerate() {
                            let word = vec![b'a' + at as u8; len];
                            match (by_rope, at % 3) {
                                (true, _) => unit.rope(&Rope::from(&word[..])),
                                (false, 0) => unit.words(&[&word, b"", &word]),
                                (false, _) => unit.word(&word),
                            }
                            if !by_rope && at % 3 == 0 {
                                words.extend([word.clone(), Vec::new()]);
                            }
                            words.push(word);
                        }
                        unit.end();
                        model.push((database, words));
                    }
                    Step::Mark => marks.push((unit.mark(), model.len())),
                    Step::Undo => {
                        if let Some((mark, len)) = marks.pop() {
                            unit.truncate(mark);
                            model.truncate(len);
                        }
                    }
                }
                prop_assert_eq!(unit.effects(), model.len());
                prop_assert_eq!(unit.len(), flat(&unit).len());
                prop_assert_eq!(unit.last_database(), model.last().map(|effect| effect.0));
            }
            prop_assert_eq!(plain(&unit), model);
        }
    }
}
