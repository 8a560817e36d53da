//! Whatever bytes a RESTORE sends: a value or an error, no panic, and no more elements than the
//! bytes can hold. What is compressed expands to itself.
//!
//! The first byte is the type of the value, the second is the version, the others are the body.

#![no_main]

use kvik_rdb::{
    Compression, Encoder, Hash, HashNames, ListPart, Payload, Reader, Set, SortedSet, Value, compress,
    decompress, seal,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [object, version, body @ ..] = data else {
        return;
    };
    let mut payload = vec![*object];
    payload.extend_from_slice(body);
    seal(&mut payload, u16::from(*version));
    let Ok(mut payload) = Payload::open(&payload) else {
        return;
    };
    if let Ok(value) = payload.value() {
        assert!(elements(value) <= body.len());
    }
    assert_strings_come_back(body);
});

/// Reads everything and counts what was read before the first error.
fn elements(value: Value<'_, '_>) -> usize {
    match value {
        Value::String(_) => 0,
        Value::List(parts) => parts.map_while(Result::ok).map(list_elements).sum(),
        Value::Set(Set::Members(members)) => members.map_while(Result::ok).count(),
        Value::SortedSet(SortedSet::Members(members)) => members.map_while(Result::ok).count(),
        Value::SortedSet(SortedSet::Ziplist(ziplist)) => bounded(ziplist.scored().count()),
        Value::Hash(Hash::Fields(fields)) => fields.map_while(Result::ok).count(),
        Value::Hash(Hash::Ziplist(ziplist)) => bounded(ziplist.pairs().count()),
        Value::Hash(Hash::Zipmap(zipmap)) => bounded(zipmap.iter().count()),
        Value::Hash(Hash::NamedListpack(HashNames::Each(names), _)) => names.len(),
        Value::Stream(parts) => parts.map_while(Result::ok).count().saturating_sub(1),
        Value::Array(parts) => parts.map_while(Result::ok).count(),
        _ => 0,
    }
}

fn list_elements(part: ListPart<'_>) -> usize {
    match part {
        ListPart::Ziplist(ziplist) => bounded(ziplist.iter().count()),
        _ => 1,
    }
}

/// Packed elements may come from a compressed string, which can be shorter than they are many.
fn bounded(elements: usize) -> usize {
    elements.min(1)
}

fn assert_strings_come_back(body: &[u8]) {
    let mut encoded = Vec::new();
    Encoder::new(&mut encoded, Compression::Lzf).string(body);
    let text = Reader::new(&encoded).text().expect("just encoded");
    assert_eq!(&*text.into_bytes(), body);
    if let Some(packed) = compress(body, body.len()) {
        assert_eq!(
            decompress(&packed, body.len()).expect("just compressed"),
            body
        );
    }
    let _ = decompress(body, body.len());
}
