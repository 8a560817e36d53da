//! Payloads of real servers, payloads of our own, and payloads of neither.
//!
//! The file is long because it says what each payload holds, as text. The payloads were written by
//! real servers; none is made by the code under test.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

/// Answers of DUMP of Redis and Valkey: server, name and bytes in hexadecimal.
const PAYLOADS: &str = include_str!("tests/payloads.txt");

/// The contents of the payloads of a name, whichever server wrote them. Packed bytes stand in angle
/// brackets.
const CONTENTS: &[(&str, &str)] = &[
    ("string-raw", "value"),
    ("string-empty", ""),
    ("string-int8", "-7"),
    ("string-int16", "-1000"),
    ("string-int32", "100000"),
    ("string-int64", "123456789012"),
    ("string-not-int", "-0"),
    ("hash-table", "f=v g=12"),
    ("hash-expiring", "f=v@1900000000000 g=12"),
    ("zset-tree", "c:2.5 a:1 b:-inf"),
    ("set-intset16", "<0200000002000000feff0100>"),
    ("hash-listpack", "<1200000004008166028176028167020c01ff>"),
    (
        "list-nodes",
        "<0d0000000200816102816202ff> <0d0000000200816302816402ff> <0a0000000100816502ff>",
    ),
    (
        "stream-without-entries",
        "len=0 last=0-0 first=0-0 deleted=0-0 added=0 group empty 0-0 Unknown",
    ),
];

fn payloads() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    PAYLOADS.lines().map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap();
        (word(), word(), unhex(word()))
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2);
    digits
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("<".to_owned(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    }) + ">"
}

fn plain(text: Text<'_>) -> String {
    String::from_utf8_lossy(&text.into_bytes()).into_owned()
}

/// Reads everything that a payload holds.
fn describe(payload: &[u8]) -> Result<String, Corrupt> {
    let mut payload = Payload::open(payload).expect("a payload with a checksum");
    let value = payload.value()?;
    let words: Result<Vec<String>, Corrupt> = match value {
        Value::String(text) => Ok(vec![plain(text)]),
        Value::List(parts) => parts.map(|part| Ok(describe_part(part?))).collect(),
        Value::Set(set) => match set {
            Set::Members(members) => members.map(|member| Ok(describe_plain(member?))).collect(),
            Set::Intset(bytes) | Set::Listpack(bytes) => Ok(vec![hex(&bytes)]),
        },
        Value::SortedSet(set) => match set {
            SortedSet::Members(members) => {
                members.map(|member| Ok(describe_scored(member?))).collect()
            }
            SortedSet::Ziplist(ziplist) => ziplist.scored().map(describe_member).collect(),
            SortedSet::Listpack(bytes) => Ok(vec![hex(&bytes)]),
        },
        Value::Hash(hash) => describe_hash(hash),
        Value::Stream(parts) => parts.map(|part| Ok(describe_stream_part(part?))).collect(),
        Value::Bitmap(bitmap) => {
            let mut parts = vec![format!("len={}", bitmap.len())];
            bitmap.for_each_part(|at, part| parts.push(format!("{at}+{}", part.len())))?;
            Ok(parts)
        }
        Value::Array(parts) => {
            let cursor = format!("cursor {:?}", parts.cursor());
            let elements = parts.map(|it| it.map(|it| format!("{}:{}", it.index, plain(it.value))));
            std::iter::once(Ok(cursor)).chain(elements).collect()
        }
    };
    Ok(words?.join(" "))
}

fn describe_part(part: ListPart<'_>) -> String {
    match part {
        ListPart::Element(element) => plain(element),
        ListPart::Listpack(bytes) => hex(&bytes),
        ListPart::Ziplist(ziplist) => ziplist.iter().map(plain).collect::<Vec<_>>().join(" "),
    }
}

fn describe_plain(member: Member<'_>) -> String {
    plain(member.name) + &expiring(member.expire_at)
}

fn describe_scored(member: ScoredMember<'_>) -> String {
    let at = expiring(member.expire_at);
    format!("{}:{}{at}", plain(member.name), member.score)
}

fn expiring(at: Option<u64>) -> String {
    at.map_or(String::new(), |at| format!("@{at}"))
}

fn describe_member(member: Result<(Text<'_>, f64), Corrupt>) -> Result<String, Corrupt> {
    member.map(|(member, score)| format!("{}:{score}", plain(member)))
}

fn describe_hash(hash: Hash<'_, '_>) -> Result<Vec<String>, Corrupt> {
    let pair = |(name, value)| format!("{}={}", plain(name), plain(value));
    match hash {
        Hash::Fields(fields) => fields.map(|field| Ok(describe_field(field?))).collect(),
        Hash::Ziplist(ziplist) => Ok(ziplist.pairs().map(pair).collect()),
        Hash::Zipmap(zipmap) => Ok(zipmap.iter().map(pair).collect()),
        Hash::Shaped(fields) => fields.map(|field| Ok(describe_field(field?))).collect(),
        Hash::Listpack(bytes)
        | Hash::ListpackWithExpiry(bytes)
        | Hash::ShapedListpack(bytes, _) => Ok(vec![hex(&bytes)]),
        Hash::NamedListpack(HashNames::Each(names), values) => {
            Ok(names.into_iter().map(plain).chain([hex(&values)]).collect())
        }
        Hash::NamedListpack(HashNames::Listpack(names), values) => {
            Ok(vec![hex(&names), hex(&values)])
        }
    }
}

fn describe_field(field: Field<'_>) -> String {
    let at = expiring(field.expire_at);
    format!("{}={}{at}", plain(field.name), plain(field.value))
}

fn describe_stream_part(part: StreamPart<'_>) -> String {
    let text = |id: StreamId| format!("{}-{}", id.ms, id.seq);
    match part {
        StreamPart::Entries { first, listpack } => format!("{} {}", text(first), hex(&listpack)),
        StreamPart::Summary(summary) => format!(
            "len={} last={} first={} deleted={} added={}",
            summary.len,
            text(summary.last_id),
            summary.first_id.map_or("?".to_owned(), text),
            text(summary.max_deleted_id),
            summary.entries_added
        ),
        StreamPart::Group {
            name,
            last_id,
            entries_read,
        } => {
            format!("group {} {} {entries_read:?}", plain(name), text(last_id))
        }
        StreamPart::Pending(pending) => format!(
            "pending {}@{}*{}",
            text(pending.id),
            pending.delivered_ms,
            pending.deliveries
        ),
        StreamPart::Consumer {
            name,
            seen_ms,
            active_ms,
        } => {
            format!("consumer {} {seen_ms} {active_ms:?}", plain(name))
        }
        StreamPart::Owned(id) => format!("owns {}", text(id)),
        StreamPart::Released(id) => format!("released {}", text(id)),
        StreamPart::Idempotence {
            duration_s,
            max_len,
        } => format!("known for {duration_s} s, up to {max_len}"),
        StreamPart::Producer(name) => format!("producer {}", plain(name)),
        StreamPart::Recorded { text: name, id } => format!("{} is {}", plain(name), text(id)),
        StreamPart::Repeats { added, duplicates } => format!("{added} added, {duplicates} not"),
    }
}

/// A payload of this type around a body.
fn payload(object: ObjectType, body: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, Compression::Lzf);
    encoder.object(object);
    body(&mut encoder);
    seal(&mut out, object.version());
    out
}

/// A payload of any type and version around bytes.
fn raw(object: u8, body: &[u8], version: u16) -> Vec<u8> {
    let mut out = [&[object], body].concat();
    seal(&mut out, version);
    out
}

#[test]
fn what_servers_dump_is_read() {
    for (server, name, bytes) in payloads() {
        let found = describe(&bytes).unwrap();
        if let Some((_, expected)) = CONTENTS.iter().find(|(known, _)| *known == name) {
            let mut found: Vec<_> = found.split(' ').collect();
            let mut expected: Vec<_> = expected.split(' ').collect();
            if name == "hash-table" || name == "hash-expiring" {
                found.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(found, expected, "{server} {name}");
        }
    }
}

#[test]
fn compressed_strings_expand() {
    let (_, _, bytes) = payloads()
        .find(|(_, name, _)| *name == "string-lzf")
        .unwrap();
    assert_eq!(describe(&bytes).unwrap(), "abc".repeat(30));
}

#[test]
fn groups_tell_their_consumers_and_pending_entries() {
    let (_, _, bytes) = payloads()
        .find(|(_, name, _)| *name == "stream-groups")
        .unwrap();
    let found = describe(&bytes).unwrap();
    let claimed = "pending 1-1@1700000000000*5";
    for part in [
        "len=3 last=4-4 first=1-1 deleted=2-2 added=4",
        "group g1 4-4 Count(4)",
        claimed,
        "owns 1-1 owns 4-4 consumer idle",
        "group g2 3-3 Unknown",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
}

#[test]
fn consumers_tell_whether_they_were_active() {
    let groups = |server| {
        let found = payloads().find(|(of, name, _)| *of == server && *name == "stream-groups");
        describe(&found.unwrap().2).unwrap()
    };
    let of_valkey = groups("valkey-9.1.2");
    let (before, idle) = of_valkey.split_once("consumer idle").unwrap();
    assert!(
        idle.contains("None") && !before.contains("None"),
        "{of_valkey}"
    );
    assert!(!groups("redis-7.0.15").contains("None"));
}

#[test]
fn what_redis_dumps_is_what_is_written() {
    for (server, name, bytes) in payloads() {
        if !server.starts_with("redis") {
            continue;
        }
        let mut opened = Payload::open(&bytes).unwrap();
        let object = ObjectType::from_code(bytes[0], VERSION).unwrap();
        let mut written = vec![object.code()];
        rewrite(
            opened.value().unwrap(),
            &mut Encoder::new(&mut written, Compression::Off),
        );
        seal(&mut written, object.version());
        if name == "string-lzf" || name == "list-one-node" {
            assert_eq!(describe(&written), describe(&bytes));
        } else {
            assert_eq!(hex(&written), hex(&bytes), "{name}");
        }
    }
}

/// Writes a value of a current type again.
fn rewrite(value: Value<'_, '_>, encoder: &mut Encoder<'_>) {
    match value {
        Value::String(text) => encoder.string(&text.into_bytes()),
        Value::List(parts) => {
            encoder.count(parts.size_hint().0);
            for part in parts {
                match part.unwrap() {
                    ListPart::Element(text) => encoder.node(ListNode::Plain(&text.into_bytes())),
                    ListPart::Listpack(bytes) => encoder.node(ListNode::Listpack(&bytes)),
                    ListPart::Ziplist(_) => panic!("not current"),
                }
            }
        }
        Value::Set(Set::Members(members)) => {
            encoder.count(members.size_hint().0);
            members.for_each(|member| encoder.string(&member.unwrap().name.into_bytes()));
        }
        Value::SortedSet(SortedSet::Members(members)) => {
            encoder.count(members.size_hint().0);
            for member in members.map(Result::unwrap) {
                encoder.string(&member.name.into_bytes());
                encoder.score(member.score);
            }
        }
        Value::Hash(Hash::Fields(fields)) => {
            encoder.count(fields.size_hint().0);
            for field in fields.map(Result::unwrap) {
                encoder.string(&field.name.into_bytes());
                encoder.string(&field.value.into_bytes());
            }
        }
        Value::Stream(parts) => {
            rewrite_stream(&parts.map(Result::unwrap).collect::<Vec<_>>(), encoder)
        }
        Value::Set(Set::Intset(bytes) | Set::Listpack(bytes))
        | Value::SortedSet(SortedSet::Listpack(bytes))
        | Value::Hash(Hash::Listpack(bytes)) => encoder.packed(&bytes),
        other => panic!("not current: {other:?}"),
    }
}

/// How many parts are of the kind before the first that ends them.
macro_rules! counted {
    ($parts:expr, $kind:pat, until $end:pat) => {
        $parts
            .iter()
            .take_while(|part| !matches!(part, $end))
            .filter(|part| matches!(part, $kind))
            .count()
    };
}

fn rewrite_stream(parts: &[StreamPart<'_>], encoder: &mut Encoder<'_>) {
    use StreamPart::{Consumer, Entries, Group, Owned, Pending, Summary};
    encoder.count(counted!(parts, Entries { .. }, until Summary(_)));
    for (at, part) in parts.iter().enumerate() {
        let rest = &parts[at + 1..];
        match part {
            Entries { first, listpack } => encoder.entries(*first, listpack),
            Summary(summary) => {
                encoder.summary(summary);
                encoder.count(counted!(rest, Group { .. }, until Summary(_)));
            }
            Group {
                name,
                last_id,
                entries_read,
            } => {
                encoder.group(&name.clone().into_bytes(), *last_id, *entries_read);
                encoder.count(counted!(rest, Pending(_), until Group { .. }));
            }
            Pending(pending) => encoder.pending(*pending),
            Consumer { name, seen_ms, .. } => {
                encoder.consumer(&name.clone().into_bytes(), *seen_ms);
                encoder.count(counted!(rest, Owned(_), until Consumer { .. } | Group { .. }));
            }
            Owned(id) => encoder.owned(*id),
            other => panic!("not current: {other:?}"),
        }
        let ends_pending =
            matches!(part, Group { .. } | Pending(_)) && !matches!(rest.first(), Some(Pending(_)));
        if ends_pending {
            encoder.count(counted!(rest, Consumer { .. }, until Group { .. }));
        }
    }
}

#[test]
fn older_types_are_read() {
    // The ziplist of a and 5 as a string of 16 bytes, and the zipmap of a = b as one of 7.
    let ziplist = "10100000000d0000000200000161 03f6ff".replace(' ', "");
    let zipmap = "0701016101 0062ff".replace(' ', "");
    for (code, body, expected) in [
        (1, "0201610162", "a b"),
        (2, "02c0010162", "1 b"),
        (3, "030161ff0162fe016303312e35", "a:-inf b:inf c:1.5"),
        (9, &zipmap, "a=b"),
        (10, &ziplist, "a 5"),
        (12, &ziplist, "a:5"),
        (13, &ziplist, "a=5"),
        (14, &format!("02{ziplist}{ziplist}"), "a 5 a 5"),
    ] {
        let found = describe(&raw(code, &unhex(body), 9));
        assert_eq!(found.as_deref(), Ok(expected), "type {code}");
    }
}

#[test]
fn a_hash_may_have_its_names_before_its_values() {
    let (names, values) = ("0e0e000000020081610282626303ff", "0b0b000000020005010601ff");
    let listpacks = describe(&raw(29, &unhex(&format!("{names}{values}")), 15));
    let expected = "<0e000000020081610282626303ff> <0b000000020005010601ff>";
    assert_eq!(listpacks.as_deref(), Ok(expected));
    let each = describe(&raw(29, &unhex(&format!("020161026263{values}")), 15));
    let expected = "a bc <0b000000020005010601ff>";
    assert_eq!(each.as_deref(), Ok(expected));
    assert_eq!(describe(&raw(29, &unhex("00"), 15)), Err(Corrupt::Empty));
    let cut = describe(&raw(29, &unhex("020161"), 15));
    assert_eq!(cut, Err(Corrupt::Truncated));
}

#[test]
fn the_checksum_may_lack_where_redis_leaves_it_out() {
    let unsummed = |version: u16| {
        let mut payload = raw(0, b"\x01v", version);
        let end = payload.len() - 8;
        payload[end..].fill(0);
        Payload::open(&payload).map(drop)
    };
    assert_eq!(unsummed(15), Ok(()));
    assert_eq!(unsummed(14), Err(WrongEnvelope));
    assert_eq!(unsummed(80), Err(WrongEnvelope));
}

#[test]
fn field_expiries_are_read_in_every_form() {
    let earliest = "e803000000000000";
    for (code, version, body, expected) in [
        (22, 12, "0243e8016101620001630164", "a=b@1000 c=d"),
        (22, 80, "0101610162e803000000000000", "a=b@1000"),
        (23, 12, "020000", "<0000>"),
        (
            24,
            12,
            &format!("{earliest}03010161016206016301640001650166"),
            "a=b@1000 c=d@1005 e=f",
        ),
        (25, 12, &format!("{earliest}020000"), "<0000>"),
    ] {
        let found = describe(&raw(code, &unhex(body), version));
        assert_eq!(
            found.as_deref(),
            Ok(expected),
            "type {code} of version {version}"
        );
    }
    let late = raw(24, &unhex("ffffffffffff0000010101610162"), 12);
    assert_eq!(describe(&late), Err(Corrupt::InvalidTime));
    let negative = raw(22, &unhex("0101610162feffffffffffffff"), 80);
    assert_eq!(describe(&negative), Err(Corrupt::InvalidTime));
}

#[test]
fn fields_with_expiry_come_back() {
    let written = payload(ObjectType::HashExpiringValkey, |encoder| {
        encoder.count(2);
        for (name, value, at) in [("f", "v", Some(1_900_000_000_000)), ("g", "12", None)] {
            encoder.string(name.as_bytes());
            encoder.string(value.as_bytes());
            encoder.expiry(at);
        }
    });
    let (_, _, theirs) = payloads()
        .find(|(_, name, _)| *name == "hash-expiring")
        .unwrap();
    assert_eq!(hex(&written), hex(&theirs));
}

#[test]
fn members_with_expiry_come_back() {
    let set = payload(ObjectType::SetExpiring, |encoder| {
        encoder.count(2);
        encoder.string(b"a");
        encoder.expiry(Some(1000));
        encoder.string(b"7");
        encoder.expiry(None);
    });
    assert_eq!(describe(&set).as_deref(), Ok("a@1000 7"));
    let sorted = payload(ObjectType::SortedSetExpiring, |encoder| {
        encoder.count(1);
        encoder.string(b"a");
        encoder.score(1.5);
        encoder.expiry(Some(1000));
    });
    assert_eq!(describe(&sorted).as_deref(), Ok("a:1.5@1000"));
}

#[test]
fn an_envelope_must_have_a_known_version_and_its_checksum() {
    let good = raw(0, b"\x01a", VERSION);
    assert_eq!(describe(&good).as_deref(), Ok("a"));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert_eq!(Payload::open(&bad).unwrap_err(), WrongEnvelope);
    }
    for version in [18, 79, 82, u16::MAX] {
        assert!(
            Payload::open(&raw(0, b"\x01a", version)).is_err(),
            "{version}"
        );
    }
    assert!(Payload::open(&good[..9]).is_err());
}

#[test]
fn an_envelope_around_nothing_is_cut_off() {
    let mut empty = Vec::new();
    seal(&mut empty, VERSION);
    assert_eq!(describe(&empty), Err(Corrupt::Truncated));
}

#[test]
fn collections_without_elements_are_refused() {
    for object in [1, 2, 3, 4, 5, 14, 18, 24] {
        let body = if object == 24 { &[0; 9][..] } else { &[0] };
        assert_eq!(
            describe(&raw(object, body, 12)),
            Err(Corrupt::Empty),
            "type {object}"
        );
    }
}

#[test]
fn a_promised_length_takes_no_memory() {
    let huge = unhex("81ffffffffffffff00");
    let compressed = [&[0xc3][..], b"\x03", &huge, b"\x00a\xff"].concat();
    for object in (0..=25).filter(|object| !matches!(object, 6..=8)) {
        for body in [&huge, &compressed] {
            let time = if object < 24 { &[][..] } else { &[0; 8] };
            let body = [time, body].concat();
            assert!(describe(&raw(object, &body, 12)).is_err(), "type {object}");
        }
    }
}

#[test]
fn what_later_streams_know_is_read() {
    let stream = |duration_s| {
        describe(&payload(ObjectType::Stream5, |encoder| {
            let id = |ms| StreamId { ms, seq: 1 };
            encoder.count(0);
            encoder.summary(&StreamSummary {
                len: 0,
                last_id: id(9),
                first_id: None,
                max_deleted_id: id(9),
                entries_added: 2,
            });
            encoder.count(1);
            encoder.group(b"g", id(9), EntriesRead::Count(2));
            encoder.count(2);
            for ms in [3, 5] {
                encoder.pending(Pending {
                    id: id(ms),
                    delivered_ms: 0,
                    deliveries: 7,
                });
            }
            encoder.count(1);
            encoder.consumer(b"c", 4);
            encoder.active(None);
            encoder.count(0);
            // In the order in which they were released.
            encoder.count(2);
            encoder.owned(id(5));
            encoder.owned(id(3));
            encoder.idempotence(duration_s, 10_000);
            encoder.count(1);
            encoder.producer(b"p");
            encoder.count(1);
            encoder.recorded(b"once", id(5));
            encoder.length(8);
            encoder.length(9);
        }))
    };
    let read = stream(100).unwrap();
    let end = "released 5-1 released 3-1 known for 100 s, up to 10000 producer p once is 5-1 8 added, 9 not";
    assert!(read.ends_with(end), "{read}");
    assert_eq!(stream(0), Err(Corrupt::InvalidStream));
    assert_eq!(stream(86_401), Err(Corrupt::InvalidStream));
}

#[test]
fn a_stream_out_of_order_is_refused() {
    let stream = |nodes: &[u64], len| {
        describe(&payload(ObjectType::Stream2, |encoder| {
            encoder.count(nodes.len());
            nodes
                .iter()
                .for_each(|ms| encoder.entries(StreamId { ms: *ms, seq: 0 }, b"lp"));
            encoder.summary(&StreamSummary {
                len,
                last_id: StreamId { ms: 9, seq: 9 },
                first_id: None,
                max_deleted_id: StreamId::default(),
                entries_added: 9,
            });
            encoder.count(0);
        }))
    };
    assert!(stream(&[1, 2], 2).is_ok());
    assert_eq!(stream(&[2, 1], 2), Err(Corrupt::InvalidStream));
    assert_eq!(stream(&[1, 1], 2), Err(Corrupt::InvalidStream));
    assert_eq!(stream(&[], 2), Err(Corrupt::InvalidStream));
}

#[test]
fn every_cut_is_an_error_and_no_panic() {
    for (_, name, bytes) in payloads() {
        for end in 1..bytes.len() - 10 {
            let version = u16::from_le_bytes([bytes[bytes.len() - 10], bytes[bytes.len() - 9]]);
            let cut = raw(bytes[0], &bytes[1..end], version);
            assert!(describe(&cut).is_err(), "{name} up to {end}");
        }
    }
}

proptest! {
    #[test]
    fn lengths_come_back(length in prop_oneof![0u64..0x5000, any::<u64>(), (0u32..64).prop_map(|n| 1 << n)]) {
        let mut out = Vec::new();
        Encoder::new(&mut out, Compression::Off).length(length);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.length(), Ok(length));
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn strings_come_back(bytes in text(), compressed: bool) {
        let compression = if compressed { Compression::Lzf } else { Compression::Off };
        let mut out = Vec::new();
        Encoder::new(&mut out, compression).string(&bytes);
        let mut reader = Reader::new(&out);
        let text = reader.text().unwrap();
        let mut room = IntText::default();
        prop_assert_eq!(text.bytes(&mut room), &bytes[..]);
        prop_assert_eq!(text.into_bytes().into_owned(), bytes);
        prop_assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn integers_come_back(n: i64) {
        let (mut direct, mut text) = (Vec::new(), Vec::new());
        Encoder::new(&mut direct, Compression::Lzf).int(n);
        Encoder::new(&mut text, Compression::Lzf).string(n.to_string().as_bytes());
        prop_assert_eq!(direct, text);
    }

    #[test]
    fn collections_come_back(pairs in prop::collection::vec((text(), text(), -1e9..1e9), 1..20)) {
        let hash = payload(ObjectType::Hash, |encoder| {
            encoder.count(pairs.len());
            for (name, value, _) in &pairs {
                encoder.string(name);
                encoder.string(value);
            }
        });
        let expected: Vec<_> = pairs
            .iter()
            .map(|(name, value, _)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .collect();
        prop_assert_eq!(describe(&hash), Ok(expected.join(" ")));
        let set = payload(ObjectType::SortedSet, |encoder| {
            encoder.count(pairs.len());
            for (member, _, score) in &pairs {
                encoder.string(member);
                encoder.score(*score);
            }
        });
        let expected: Vec<_> = pairs
            .iter()
            .map(|(member, _, score)| format!("{}:{score}", String::from_utf8_lossy(member)))
            .collect();
        prop_assert_eq!(describe(&set), Ok(expected.join(" ")));
    }

    #[test]
    fn damage_is_an_error_or_another_value(
        which in 0..PAYLOADS.lines().count(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let (_, _, mut bytes) = payloads().nth(which).unwrap();
        let body = bytes.len() - 10;
        let at = at.index(body);
        bytes[at] = byte;
        bytes.truncate(body + 2);
        let checksum = Crc64::of(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let _ = describe(&bytes);
    }

    #[test]
    fn any_bytes_are_an_error_or_a_value(object in 0u8..36, body: Vec<u8>) {
        let _ = describe(&raw(object, &body, 16));
    }
}

/// Short and long strings, integers among them, and some that compress.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        "-?[0-9]{1,12}".prop_map(String::into_bytes),
        ("[a-c]{1,5}", 1usize..2000).prop_map(|(word, times)| word.repeat(times).into_bytes()),
    ]
}

#[test]
fn a_string_may_come_in_parts() {
    let zeros = vec![0; 30_000];
    let noise: Vec<u8> = (0..3000u32).map(|n| (n * n / 7) as u8).collect();
    let parts = [&zeros[..], &zeros, &zeros, &noise, b"", &zeros, &noise];
    let whole = parts.concat();
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, Compression::Lzf);
    encoder.string_in_parts(parts.into_iter(), whole.len());
    assert!(out.len() < 10_000, "{}", out.len());
    let mut reader = Reader::new(&out);
    assert_eq!(reader.text(), Ok(Text::from(&whole[..])));
    assert_eq!(reader.remaining(), 0);
}
