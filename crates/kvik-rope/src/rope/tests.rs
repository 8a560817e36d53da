use proptest::prelude::*;

use super::*;

fn text(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at / 7) as u8 ^ seed).collect()
}

/// The memory of a rope, counted one by one.
fn counted(rope: &Rope) -> usize {
    let chunks = rope.chunks.iter().filter(|chunk| !is_hole(chunk));
    let below: usize = chunks
        .map(|chunk| 2 * size_of::<Box<[u8]>>() + chunk.len())
        .sum();
    rope.chunks.capacity() * size_of::<Chunk>() + below
}

#[track_caller]
fn check(rope: &Rope, model: &[u8]) {
    assert_eq!(rope.len(), model.len());
    assert!(rope == model, "other bytes");
    assert_eq!(rope.bytes(), counted(rope));
    assert_eq!(
        rope.holes,
        rope.chunks.iter().filter(|it| is_hole(it)).count()
    );
    let chunks = &rope.chunks;
    assert_eq!(chunks.len(), model.len().div_ceil(CHUNK_BYTES));
    let before_last = &chunks[..chunks.len().saturating_sub(1)];
    assert!(before_last.iter().all(|chunk| chunk.len() == CHUNK_BYTES));
}

#[test]
fn a_rope_takes_little_more_than_its_bytes() {
    for len in [4097, 5000, 1 << 14, 1 << 16, 1 << 20, 5 << 20] {
        let rope = Rope::from(&text(len, 1)[..]);
        check(&rope, &text(len, 1));
        assert!(rope.bytes() <= len + len / 150 + 200, "{len}");
    }
}

#[test]
fn appending_little_by_little_moves_each_byte_a_few_times() {
    let (mut rope, mut model) = (Rope::new(), Vec::new());
    for round in 0..3000_usize {
        let tail = text(round % 23, round as u8);
        rope.append(&tail);
        model.extend_from_slice(&tail);
    }
    check(&rope, &model);
    assert!(rope.bytes() < model.len() * 3 / 2);
}

#[test]
fn a_write_leaves_what_others_hold() {
    let before = text(3 * CHUNK_BYTES, 1);
    let mut rope = Rope::from(&before[..]);
    let copy = rope.clone();
    let pieces: Vec<Piece> = rope.pieces(0..rope.len()).collect();
    rope.write(CHUNK_BYTES - 2, b"over");
    rope.append(b"more");
    assert!(copy == before[..]);
    let held: Vec<&[u8]> = pieces.iter().map(Piece::bytes).collect();
    assert_eq!(held.concat(), before);
    let mut model = before;
    model[CHUNK_BYTES - 2..CHUNK_BYTES + 2].copy_from_slice(b"over");
    model.extend_from_slice(b"more");
    check(&rope, &model);
    // The chunk that neither write touched is still one.
    assert!(Arc::ptr_eq(&rope.chunks[2], &copy.chunks[2]));
    assert!(!Arc::ptr_eq(&rope.chunks[1], &copy.chunks[1]));
}

#[test]
fn chunks_fill_up_and_are_crossed() {
    let mut model = text(70 * CHUNK_BYTES + 5, 9);
    let mut rope = Rope::from(&model[..]);
    check(&rope, &model);
    assert_eq!(rope.pieces(1..rope.len()).count(), 71);
    assert_eq!(rope.pieces(CHUNK_BYTES..2 * CHUNK_BYTES).count(), 1);
    rope.write(CHUNK_BYTES - 3, b"across");
    model[CHUNK_BYTES - 3..CHUNK_BYTES + 3].copy_from_slice(b"across");
    check(&rope, &model);
    assert_eq!(rope.byte(CHUNK_BYTES), b'o');
}

#[test]
fn zeros_cost_a_word_for_each_chunk() {
    let mut rope = Rope::new();
    rope.write((512 << 20) - 1, b"x");
    assert!(
        rope.is_sparse() && rope.bytes() < 200_000,
        "{}",
        rope.bytes()
    );
    let mut slices = rope.slices(0..rope.len());
    assert!(slices.next().is_some_and(are_in_hole));
    assert!(!slices.last().is_some_and(are_in_hole));
    // A hole that is written to is none any more, and the others stay zero.
    let copy = rope.clone();
    rope.write(5 * CHUNK_BYTES + 7, b"y");
    assert_eq!(rope.byte(5 * CHUNK_BYTES + 7), b'y');
    assert_eq!(
        [
            rope.byte(7),
            rope.byte(6 * CHUNK_BYTES + 7),
            copy.byte(5 * CHUNK_BYTES + 7)
        ],
        [0; 3]
    );
    assert_eq!(rope.bytes(), counted(&rope));
    // What comes as zeros is kept as such, from whichever side.
    let zeros = vec![0; 3 * CHUNK_BYTES];
    check(&Rope::from(&zeros[..]), &zeros);
    assert_eq!(Rope::from(&zeros[..]).holes, 3);
    let mut incoming = crate::IncomingRope::new(zeros.len());
    incoming.take(&zeros);
    assert_eq!(incoming.rope().map(|rope| rope.holes), Some(3));
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, usize, u8),
    Append(usize, u8),
    AppendZeros(usize),
    Share,
}

fn step() -> impl Strategy<Value = Step> {
    let position = prop_oneof![
        0..4 * CHUNK_BYTES,
        (0..5usize, 0..3usize)
            .prop_map(|(chunk, off)| (chunk * CHUNK_BYTES + off).saturating_sub(1)),
    ];
    let len = prop_oneof![0..20usize, 0..2 * CHUNK_BYTES];
    prop_oneof![
        (position, len.clone(), any::<u8>()).prop_map(|(at, len, seed)| Step::Write(at, len, seed)),
        (len, any::<u8>()).prop_map(|(len, seed)| Step::Append(len, seed)),
        (0..4 * CHUNK_BYTES).prop_map(Step::AppendZeros),
        Just(Step::Share),
    ]
}

proptest! {
    #[test]
    fn a_rope_is_a_vector(steps in prop::collection::vec(step(), 1..30)) {
        let (mut rope, mut model) = (Rope::new(), Vec::new());
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Write(at, len, seed) => {
                    let bytes = text(len, seed);
                    rope.write(at, &bytes);
                    model.resize(model.len().max(at + len).max(at), 0);
                    model[at..at + len].copy_from_slice(&bytes);
                }
                Step::Append(len, seed) => {
                    rope.append(&text(len, seed));
                    model.extend(text(len, seed));
                }
                Step::AppendZeros(len) => {
                    rope.append(&vec![0; len]);
                    model.resize(model.len() + len, 0);
                }
                Step::Share => held.push((rope.clone(), model.clone())),
            }
            check(&rope, &model);
        }
        for (rope, model) in held {
            check(&rope, &model);
        }
    }

    #[test]
    fn any_part_can_be_read(len in 0usize..5 * CHUNK_BYTES, a: usize, b: usize) {
        let model = text(len, 3);
        let rope = Rope::from(&model[..]);
        let (a, b) = (a % (len + 1), b % (len + 1));
        let part = a.min(b)..a.max(b);
        let mut copy = Vec::new();
        rope.copy_to(part.clone(), &mut copy);
        prop_assert_eq!(&copy[..], &model[part.clone()]);
        let pieces: Vec<Piece> = rope.pieces(part.clone()).collect();
        prop_assert!(pieces.iter().all(|piece| piece.len() == piece.bytes().len()));
        let bytes: Vec<&[u8]> = pieces.iter().map(Piece::bytes).collect();
        prop_assert_eq!(&bytes.concat()[..], &model[part.clone()]);
        if !part.is_empty() {
            prop_assert_eq!(rope.byte(part.start), model[part.start]);
        }
    }

    #[test]
    fn ropes_are_equal_by_their_bytes(len in 0usize..3 * CHUNK_BYTES, other in 0usize..3 * CHUNK_BYTES) {
        let mut grown = Rope::new();
        text(len, 5).chunks(1000).for_each(|part| grown.append(part));
        let [same, other_rope] = [len, other].map(|len| Rope::from(&text(len, 5)[..]));
        prop_assert_eq!(&grown, &same);
        prop_assert_eq!(grown == other_rope, len == other);
        grown.write(len / 2, b"\xff\x00");
        prop_assert_ne!(grown, same);
    }
}
