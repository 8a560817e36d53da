use proptest::prelude::*;

use super::*;
use crate::IntText;

fn text(element: Element<'_>) -> Vec<u8> {
    element.text(&mut IntText::default()).to_vec()
}

fn texts(listpack: Listpack<'_>) -> Vec<Vec<u8>> {
    listpack.iter().map(text).collect()
}

fn listpack(elements: &[&[u8]]) -> Vec<u8> {
    let mut bytes = empty();
    append_all(&mut bytes, elements.iter().copied());
    bytes
}

/// The entry of a single element, whole.
fn entry_of<'e>(element: impl Into<Element<'e>>) -> Vec<u8> {
    let mut bytes = empty();
    append(&mut bytes, element);
    bytes[HEADER_BYTES..bytes.len() - 1].to_vec()
}

#[test]
fn the_bytes_are_those_of_redis() {
    assert_eq!(empty(), [7, 0, 0, 0, 0, 0, 0xff]);
    let bytes = listpack(&[b"hello", b"1024", b""]);
    let expected = b"\x13\0\0\0\x03\0\x85hello\x06\xc4\0\x02\x80\x01\xff";
    assert_eq!(bytes, expected);
}

#[test]
fn integers_take_the_fewest_bytes() {
    let entries: &[(i64, &[u8])] = &[
        (0, &[0, 1]),
        (127, &[0x7f, 1]),
        (128, &[0xc0, 0x80, 2]),
        (-1, &[0xdf, 0xff, 2]),
        (4095, &[0xcf, 0xff, 2]),
        (-4096, &[0xd0, 0, 2]),
        (4096, &[0xf1, 0, 0x10, 3]),
        (-32768, &[0xf1, 0, 0x80, 3]),
        (32768, &[0xf2, 0, 0x80, 0, 4]),
        (-8_388_608, &[0xf2, 0, 0, 0x80, 4]),
        (8_388_608, &[0xf3, 0, 0, 0x80, 0, 5]),
        (-2_147_483_648, &[0xf3, 0, 0, 0, 0x80, 5]),
        (2_147_483_648, &[0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9]),
        (i64::MIN, &[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9]),
    ];
    for (n, entry) in entries {
        assert_eq!(entry_of(*n), *entry, "{n}");
        assert_eq!(entry_of(n.to_string().as_bytes()), *entry, "{n}");
        assert_eq!(entry::decode(entry), Some((Element::Int(*n), entry.len())));
        assert_eq!(Encoded::new(Element::Int(*n)).size(), entry.len());
    }
}

#[test]
fn strings_and_their_lengths_take_the_fewest_bytes() {
    let shapes: &[(usize, &[u8], &[u8])] = &[
        (0, &[0x80], &[1]),
        (63, &[0xbf], &[64]),
        (64, &[0xe0, 64], &[66]),
        (125, &[0xe0, 125], &[127]),
        (126, &[0xe0, 126], &[1, 0x80]),
        (4095, &[0xef, 0xff], &[0x20, 0x81]),
        (4096, &[0xf0, 0, 0x10, 0, 0], &[0x20, 0x85]),
        (16_377, &[0xf0, 0xf9, 0x3f, 0, 0], &[0x7f, 0xfe]),
        // Would fit two bytes.
        (16_378, &[0xf0, 0xfa, 0x3f, 0, 0], &[0, 0xff, 0xff]),
        (2_097_145, &[0xf0, 0xf9, 0xff, 0x1f, 0], &[0x7f, 0xff, 0xfe]),
        (
            2_097_146,
            &[0xf0, 0xfa, 0xff, 0x1f, 0],
            &[0, 0xff, 0xff, 0xff],
        ),
        (
            268_435_450,
            &[0xf0, 0xfa, 0xff, 0xff, 0x0f],
            &[0, 0xff, 0xff, 0xff, 0xff],
        ),
    ];
    for (len, head, back) in shapes {
        let data = vec![b'x'; *len];
        let entry = entry_of(&*data);
        assert!(entry.starts_with(head) && entry.ends_with(back), "{len}");
        assert_eq!(entry.len(), head.len() + len + back.len());
        assert_eq!(Encoded::new(Element::Bytes(&data)).size(), entry.len());
        assert_eq!(entry::size_before(&entry), Some(entry.len()));
        assert_eq!(
            entry::decode(&entry),
            Some((Element::Bytes(&data), entry.len()))
        );
    }
}

#[test]
fn elements_that_another_writer_encoded_are_found_as_well() {
    // "5" as bytes, then 5 in 8 bytes, then "ab" with a long length.
    let bytes = b"\x1f\0\0\0\x03\0\x815\x02\xf4\x05\0\0\0\0\0\0\0\x09\xf0\x02\0\0\0ab\x07\xff";
    let mut bytes = bytes.to_vec();
    bytes[0] = bytes.len() as u8;
    let view = Listpack::validate(&bytes).unwrap();
    assert_eq!(texts(view), [b"5".to_vec(), b"5".to_vec(), b"ab".to_vec()]);
    assert_eq!(view.find(b"5", 0), Some(6));
    assert_eq!(view.find_from(9, Needle::new(b"5"), 0), Some(9));
    assert_eq!(view.find(b"ab", 1), Some(19));
}

#[test]
fn the_count_ends_at_65535_and_comes_back_when_asked_for() {
    let mut bytes = empty();
    append_all(&mut bytes, (0..65_534).map(Element::Int));
    assert_eq!(Listpack::new(&bytes).noted_len(), Some(65_534));
    append(&mut bytes, 7);
    assert_eq!(Listpack::new(&bytes).noted_len(), None);
    append(&mut bytes, 8);
    let view = Listpack::validate(&bytes).unwrap();
    assert_eq!(view.len(), 65_536);
    assert_eq!(view.get(65_535), Some(Element::Int(8)));
    assert_eq!(view.get(65_536), None);

    assert_eq!(delete_range(&mut bytes, 65_530, 100), 6);
    assert_eq!(Listpack::new(&bytes).noted_len(), None);
    assert_eq!(Listpack::validate(&bytes).unwrap().len(), 65_530);
    assert_eq!(recount(&mut bytes), 65_530);
    assert_eq!(Listpack::new(&bytes).noted_len(), Some(65_530));

    let more = listpack(&[b"a", b"b", b"c", b"d", b"e"]);
    merge(&mut bytes, Listpack::new(&more));
    assert_eq!(Listpack::new(&bytes).noted_len(), None);
    assert_eq!(Listpack::validate(&bytes).unwrap().len(), 65_535);
}

#[test]
fn room_ends_at_one_gibibyte() {
    let bytes = empty();
    let view = Listpack::new(&bytes);
    assert!(view.has_room((1 << 30) - 7));
    assert!(!view.has_room((1 << 30) - 6));
    assert!(!view.has_room(usize::MAX));
}

#[test]
fn each_flaw_is_found() {
    let good = listpack(&[b"hello", &[b'x'; 200], b"70000"]);
    assert!(Listpack::validate(&good).is_some());
    assert!((0..good.len()).all(|len| Listpack::validate(&good[..len]).is_none()));
    let flawed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Listpack::validate(&bytes).is_none()
    };
    assert!(flawed(0, 0) && flawed(3, 1)); // total
    assert!(flawed(4, 2) && flawed(5, 1)); // count
    assert!(flawed(6, 0x84) && flawed(6, 0xff) && flawed(6, 0xf5)); // encoding
    assert!(flawed(12, 5) && flawed(12, 0x86)); // length behind the first
    assert!(flawed(13, 0xf0)); // reaches outside
    assert!(flawed(good.len() - 1, 0)); // end mark
    // Not the shortest form of a length: it could be read into the entry before.
    assert!(Listpack::validate(b"\x09\0\0\0\x01\0\x80\x81\xff").is_none());
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![6 => 0usize..10, 2 => 60usize..68, 2 => 120usize..130, 1 => 4090usize..4100, 1 => 16_370usize..16_385];
    let bytes = (any::<u8>(), len).prop_map(|(byte, len)| vec![byte; len]);
    let bits = 0u32..64;
    let int = (any::<i64>(), bits).prop_map(|(n, bits)| (n >> bits).to_string().into_bytes());
    prop_oneof![bytes, int]
}

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u8>),
    AppendAll(Vec<Vec<u8>>),
    Prepend(Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Delete(usize, usize),
    DeleteRange(usize, usize),
    Merge(Vec<Vec<u8>>),
}

fn op() -> impl Strategy<Value = Op> {
    let index = || 0usize..12;
    let some = || prop::collection::vec(element(), 0..4);
    prop_oneof![
        3 => element().prop_map(Op::Append),
        1 => some().prop_map(Op::AppendAll),
        2 => element().prop_map(Op::Prepend),
        1 => (index(), element()).prop_map(|(i, e)| Op::InsertBefore(i, e)),
        1 => (index(), element()).prop_map(|(i, e)| Op::InsertAfter(i, e)),
        2 => (index(), element()).prop_map(|(i, e)| Op::Replace(i, e)),
        2 => (index(), 0usize..4).prop_map(|(i, n)| Op::Delete(i, n)),
        1 => (index(), 0usize..20).prop_map(|(i, n)| Op::DeleteRange(i, n)),
        1 => some().prop_map(Op::Merge),
    ]
}

type Model = Vec<Vec<u8>>;

fn apply(op: &Op, bytes: &mut Vec<u8>, model: &mut Model) {
    let offset = |bytes: &[u8], index| Listpack::new(bytes).seek(index);
    match op {
        Op::Append(e) => {
            append(bytes, &**e);
            model.push(e.clone());
        }
        Op::AppendAll(more) => {
            append_all(bytes, more.iter().map(Vec::as_slice));
            model.extend_from_slice(more);
        }
        Op::Prepend(e) => {
            prepend(bytes, &**e);
            model.insert(0, e.clone());
        }
        Op::InsertBefore(index, e) => {
            if let Some(at) = offset(bytes, *index) {
                insert_before(bytes, at, &**e);
                model.insert(*index, e.clone());
            }
        }
        Op::InsertAfter(index, e) => {
            if let Some(at) = offset(bytes, *index) {
                let at = insert_after(bytes, at, &**e);
                assert!(Listpack::new(bytes).matches(at, e));
                model.insert(index + 1, e.clone());
            }
        }
        Op::Replace(index, e) => {
            if let Some(at) = offset(bytes, *index) {
                replace(bytes, at, &**e);
                model[*index].clone_from(e);
            }
        }
        Op::Delete(index, count) => {
            if let Some(at) = offset(bytes, *index) {
                let deleted = delete(bytes, at, *count);
                assert_eq!(remove_range(model, *index, *count), deleted);
            }
        }
        Op::DeleteRange(index, count) => {
            let deleted = delete_range(bytes, *index, *count);
            assert_eq!(remove_range(model, *index, *count), deleted);
        }
        Op::Merge(more) => {
            let more: Vec<&[u8]> = more.iter().map(Vec::as_slice).collect();
            merge(bytes, Listpack::new(&listpack(&more)));
            model.extend(more.into_iter().map(<[u8]>::to_vec));
        }
    }
}

fn remove_range(model: &mut Model, index: usize, count: usize) -> usize {
    let end = model.len().min(index + count);
    model.drain(index.min(end)..end).count()
}

/// Everything that can be read of a listpack is what the model says.
fn check_reading(view: Listpack<'_>, model: &Model) {
    assert_eq!(view.len(), model.len());
    assert_eq!(view.is_empty(), model.is_empty());
    assert_eq!(texts(view), *model);
    assert!(view.iter().rev().map(text).eq(model.iter().rev().cloned()));
    for (index, expected) in model.iter().enumerate() {
        assert_eq!(view.get(index).map(text).as_ref(), Some(expected));
    }
    assert_eq!(view.get(model.len()), None);
    let forward: Vec<usize> = std::iter::successors(view.first(), |at| view.next(*at)).collect();
    let mut back: Vec<usize> = std::iter::successors(view.last(), |at| view.prev(*at)).collect();
    back.reverse();
    assert_eq!(forward, back);
    assert!((0..model.len()).all(|index| view.seek(index) == Some(forward[index])));
    for (at, expected) in forward.iter().zip(model) {
        assert!(view.matches(*at, expected));
        for skip in 0..3 {
            let first = model.iter().step_by(skip + 1).position(|e| e == expected);
            let first = first.map(|index| forward[index * (skip + 1)]);
            assert_eq!(view.find(expected, skip), first);
        }
    }
    assert_eq!(view.find(b"absent from the model", 0), None);
}

proptest! {
    #[test]
    fn it_is_a_sequence(ops in prop::collection::vec(op(), 0..40)) {
        let (mut bytes, mut model) = (empty(), Model::new());
        for op in &ops {
            apply(op, &mut bytes, &mut model);
            let view = Listpack::validate(&bytes).expect("a listpack");
            prop_assert_eq!(texts(view), model.clone());
        }
        check_reading(Listpack::new(&bytes), &model);
        // However it came about, the bytes are the same.
        let elements: Vec<&[u8]> = model.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(bytes, listpack(&elements));
    }

    #[test]
    fn what_validates_can_be_walked_and_the_rest_does_no_harm(
        elements in prop::collection::vec(element(), 0..6),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let elements: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
        let mut bytes = listpack(&elements);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let walked = walk(Listpack::new(&bytes));
        if let Some(view) = Listpack::validate(&bytes) {
            prop_assert_eq!(walked, (view.len(), view.len()));
            check_reading(view, &texts(view));
        }
    }

    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        walk(Listpack::new(&bytes));
        Listpack::validate(&bytes);
    }
}

/// Reads in all ways, and counts the elements seen from both ends.
fn walk(view: Listpack<'_>) -> (usize, usize) {
    let _ = (
        view.len(),
        view.get(3),
        view.get(usize::MAX),
        view.find(b"7", 1),
    );
    let _ = (
        view.next(usize::MAX),
        view.prev(usize::MAX),
        view.at(usize::MAX),
    );
    let forward = std::iter::successors(view.first(), |at| view.next(*at));
    let back = std::iter::successors(view.last(), |at| view.prev(*at));
    (forward.count(), back.count().max(view.iter().rev().count()))
}

#[test]
fn matching_elements_go_in_one_pass() {
    let texts_after = |skip, max| {
        let mut bytes = listpack(&[b"a", b"7", b"a", b"b", b"a", b"a"]);
        let deleted = delete_matches(&mut bytes, Needle::new(b"a"), skip, max);
        let left = Listpack::validate(&bytes).map(texts).unwrap();
        (deleted, left.concat())
    };
    assert_eq!(texts_after(0, usize::MAX), (4, b"7b".to_vec()));
    assert_eq!(texts_after(0, 1), (1, b"7abaa".to_vec()));
    assert_eq!(texts_after(2, 1), (1, b"a7aba".to_vec()));
    assert_eq!(texts_after(1, 9), (3, b"a7b".to_vec()));
    assert_eq!(texts_after(4, 9), (0, b"a7abaa".to_vec()));
    let mut bytes = listpack(&[b"7", b"x", b"7"]);
    assert_eq!(delete_matches(&mut bytes, Needle::new(b"7"), 0, 9), 2);
    assert_eq!(bytes, listpack(&[b"x"]));
    assert_eq!(delete_matches(&mut bytes, Needle::new(b"x"), 0, 9), 1);
    assert_eq!(bytes, empty());
}
