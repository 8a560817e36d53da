//! Files of our own, files of neither server, and files in pieces.

use proptest::prelude::*;

use super::*;
use crate::{
    Compression, Corrupt, Crc64, Encoder, EntriesRead, ObjectType, Pending, Reader, StreamId,
    StreamSummary, Text, VERSION, Value,
};

/// A file of these bytes between a header and a right end.
fn sealed(header: &[u8], records: &[u8]) -> Vec<u8> {
    let mut file = [header, records, &[opcode::EOF]].concat();
    let crc = Crc64::of(&file);
    file.extend_from_slice(&crc.to_le_bytes());
    file
}

/// Reads a file of which `step` more bytes are there each time, and describes its records.
fn read_in_steps(file: &[u8], step: usize) -> Result<Vec<String>, FileError> {
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    let mut splitter = Splitter::new(true);
    while !splitter.is_done() {
        if end == file.len() {
            return Err(splitter.cut_off(end - start));
        }
        end = (end + step).min(file.len());
        let version = splitter.version();
        let mut records = splitter.split(&file[start..end]);
        while let Some(record) = records.next() {
            let record = record?;
            if let (Record::Key(key), Some(version)) = (&record, version)
                && !key.header.object.is_shaped()
            {
                let span = records.span();
                let again = KeyRecord::read(&file[start..end][span], version).unwrap();
                found.push(describe(Record::Key(again)));
            } else {
                found.push(describe(record));
            }
        }
        start += records.consumed();
    }
    assert_eq!(splitter.offset(), start as u64);
    Ok(found)
}

fn read(file: &[u8]) -> Result<Vec<String>, FileError> {
    read_in_steps(file, file.len())
}

fn describe(record: Record<'_>) -> String {
    let plain = |text: Text<'_>| String::from_utf8_lossy(&text.into_bytes()).into_owned();
    match record {
        Record::Aux(name, text) => format!("aux {} {}", plain(name), plain(text)),
        Record::Database(database) => format!("database {database}"),
        Record::Sizes { keys, expiring } => format!("sizes {keys} {expiring}"),
        Record::Function(code) => format!("function {}", plain(code)),
        Record::Passed(code) => format!("passed {code}"),
        Record::End { is_checked } => format!("end {is_checked}"),
        Record::Key(mut record) => {
            let header = record.header.clone();
            let key = plain(header.key);
            let elements = record.value().map(elements);
            format!(
                "{key} {:?} {:?} {:?} {elements:?} +{}",
                header.object,
                header.expire_at,
                header.usage,
                record.unread()
            )
        }
    }
}

/// How many elements a value has, when all are read.
fn elements(value: Value<'_, '_>) -> usize {
    use crate::{Hash, Set, SortedSet};
    match value {
        Value::List(parts) => parts.map(Result::unwrap).count(),
        Value::Set(Set::Members(members)) => members.map(Result::unwrap).count(),
        Value::SortedSet(SortedSet::Members(members)) => members.map(Result::unwrap).count(),
        Value::Hash(Hash::Fields(fields)) => fields.map(Result::unwrap).count(),
        Value::Hash(Hash::Shaped(fields)) => fields.map(Result::unwrap).count(),
        Value::Stream(parts) => parts.map(Result::unwrap).count(),
        Value::Bitmap(bitmap) => bitmap.len(),
        Value::Array(parts) => parts.map(Result::unwrap).count(),
        _ => 1,
    }
}

fn header_of<'b>(key: &'b [u8], object: ObjectType) -> KeyHeader<'b> {
    KeyHeader {
        key: key.into(),
        expire_at: None,
        usage: KeyUsage::Untold,
        object,
    }
}

/// A file with a key of each type that is written, and all that may stand around them.
fn rich_file() -> Vec<u8> {
    let mut writer = FileWriter::new(Compression::Lzf, true);
    writer.info(&FileInfo {
        redis_version: "7.2.4",
        time_s: 1_700_000_000,
        used_bytes: 1 << 20,
        is_aof_base: false,
    });
    writer.function(b"#!lua name=lib\n");
    writer.database(0);
    writer.sizes(9, 2);
    write_keys(&mut writer);
    writer.finish().bytes
}

fn write_keys(writer: &mut FileWriter) {
    writer.key(&KeyHeader {
        expire_at: Some(1_900_000_000_000),
        usage: KeyUsage::Idle(70),
        ..header_of(b"string", ObjectType::String)
    });
    writer.encoder().string(b"value");
    writer.key(&header_of(b"long", ObjectType::String));
    writer.encoder().string(&b"abc".repeat(1000));
    writer.key(&header_of(b"7", ObjectType::Set));
    let mut encoder = writer.encoder();
    encoder.count(3);
    for member in [&b"a"[..], b"12", b""] {
        encoder.string(member);
    }
    writer.database(3);
    writer.database(3);
    writer.key(&KeyHeader {
        usage: KeyUsage::Frequency(9),
        ..header_of(b"hash", ObjectType::Hash)
    });
    let mut encoder = writer.encoder();
    encoder.count(2);
    for text in [&b"f"[..], b"v", b"g", &[b'x'; 400]] {
        encoder.string(text);
    }
    writer.key(&header_of(b"zset", ObjectType::SortedSet));
    let mut encoder = writer.encoder();
    encoder.count(1);
    encoder.string(b"m");
    encoder.score(1.5);
    writer.key(&header_of(b"stream", ObjectType::Stream2));
    write_stream(&mut writer.encoder());
}

fn write_stream(encoder: &mut Encoder<'_>) {
    let id = |ms| StreamId { ms, seq: 1 };
    encoder.count(1);
    encoder.entries(id(1), b"listpack");
    encoder.summary(&StreamSummary {
        len: 2,
        last_id: id(9),
        first_id: Some(id(1)),
        max_deleted_id: id(0),
        entries_added: 3,
    });
    encoder.count(2);
    encoder.group(b"group", id(9), EntriesRead::Count(2));
    encoder.count(2);
    for ms in [1, 2] {
        encoder.pending(Pending {
            id: id(ms),
            delivered_ms: 5,
            deliveries: 1,
        });
    }
    encoder.count(2);
    encoder.consumer(b"one", 7);
    encoder.count(2);
    encoder.owned(id(1));
    encoder.owned(id(2));
    encoder.consumer(b"two", 8);
    encoder.count(0);
    encoder.group(b"empty", id(0), EntriesRead::Unknown);
    encoder.count(0);
    encoder.count(0);
}

#[test]
fn what_is_written_is_read() {
    let expected = [
        "aux redis-ver 7.2.4",
        "aux redis-bits 64",
        "aux ctime 1700000000",
        "aux used-mem 1048576",
        "aux aof-base 0",
        "aux kvik-format 1",
        "function #!lua name=lib\n",
        "database 0",
        "sizes 9 2",
        "string String Some(1900000000000) Idle(70) Ok(1) +0",
        "long String None Untold Ok(1) +0",
        "7 Set None Untold Ok(3) +0",
        "database 3",
        "hash Hash None Frequency(9) Ok(2) +0",
        "zset SortedSet None Untold Ok(1) +0",
        "stream Stream2 None Untold Ok(10) +0",
        "end true",
    ];
    let file = rich_file();
    assert_eq!(read(&file).unwrap(), expected);
    for step in [1, 2, 3, 7, 64] {
        assert_eq!(
            read_in_steps(&file, step).unwrap(),
            expected,
            "steps of {step}"
        );
    }
}

#[test]
fn a_file_is_as_old_as_it_can_be() {
    let file = rich_file();
    assert_eq!(&file[..9], b"REDIS0010");
    let mut writer = FileWriter::new(Compression::Off, true);
    let mut file = Vec::new();
    let mut write = |bytes: &[u8]| {
        file.extend_from_slice(bytes);
        Ok::<_, ()>(())
    };
    writer.database(0);
    writer.take(&mut write).unwrap();
    writer.key(&header_of(b"h", ObjectType::HashExpiringValkey));
    let mut encoder = writer.encoder();
    encoder.count(1);
    encoder.string(b"f");
    encoder.string(b"v");
    encoder.expiry(Some(5));
    writer.take(&mut write).unwrap();
    let tail = writer.finish();
    write(&tail.bytes).unwrap();
    // Until the right header is there the checksum is wrong.
    assert!(read(&file).is_err());
    file[..9].copy_from_slice(&tail.header.unwrap());
    assert_eq!(&file[..9], b"VALKEY080");
    assert_eq!(
        read(&file).unwrap(),
        [
            "database 0",
            "h HashExpiringValkey None Untold Ok(1) +0",
            "end true"
        ]
    );
}

#[test]
fn keys_encoded_elsewhere_are_taken_over() {
    let mut keys = Vec::new();
    let mut encoder = Encoder::new(&mut keys, Compression::Off);
    encoder.key(&header_of(b"k", ObjectType::String));
    encoder.string(b"v");
    let mut writer = FileWriter::new(Compression::Off, true);
    writer.database(2);
    writer.append(&keys, VERSION);
    let expected = ["database 2", "k String None Untold Ok(1) +0", "end true"];
    assert_eq!(read(&writer.finish().bytes).unwrap(), expected);
}

#[test]
fn every_cut_is_named_as_such() {
    let file = rich_file();
    for end in 0..file.len() {
        let error = read(&file[..end]).unwrap_err();
        let offset = end as u64;
        assert_eq!(
            error,
            FileError {
                offset,
                fault: FileFault::CutOff
            }
        );
    }
}

#[test]
fn a_wrong_byte_is_found() {
    let file = rich_file();
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x21;
        // The name of the server, a length or a type may be what is wrong; if nothing else is, the
        // sum is.
        let mut splitter = Splitter::new(true);
        let found: Result<Vec<_>, _> = splitter.split(&damaged).map(|it| it.map(drop)).collect();
        assert!(found.is_err() || !splitter.is_done(), "at {at}");
    }
}

#[test]
fn a_checksum_of_zero_is_none() {
    let mut writer = FileWriter::new(Compression::Off, false);
    writer.database(1);
    let file = writer.finish().bytes;
    assert_eq!(read(&file).unwrap(), ["database 1", "end false"]);
    let mut unsummed = Splitter::new(false);
    let records: Result<Vec<_>, _> = unsummed
        .split(&rich_file())
        .map(|it| it.map(drop))
        .collect();
    assert_eq!(records.unwrap().len(), 17);
}

#[test]
fn versions_before_the_fifth_have_no_checksum() {
    let file = b"REDIS0003\xfe\x00\xfd\x05\0\0\0\x00\x01k\x01v\xff";
    let expected = [
        "database 0",
        "k String Some(5000) Untold Ok(1) +0",
        "end false",
    ];
    assert_eq!(read(file).unwrap(), expected);
}

#[test]
fn newer_versions_are_read_as_far_as_their_types_are_known() {
    for header in [b"REDIS0013", b"REDIS0015", b"VALKEY081"] {
        let file = sealed(header, b"\x00\x01k\x01v");
        assert_eq!(read(&file).unwrap().len(), 2);
        let file = sealed(header, b"\x1d\x01k\x01v");
        let error = read(&file).unwrap_err();
        assert_eq!(error.fault, FileFault::Corrupt(Corrupt::UnsettledType(29)));
        assert_eq!(error.offset, 10);
    }
}

#[test]
fn a_hash_that_names_its_shape_is_one_as_any() {
    let named = sealed(b"REDIS0015", b"\x1f\x01k\x01\x01f\x01v");
    let plain = sealed(b"REDIS0015", b"\x04\x01k\x01\x01f\x01v");
    assert_eq!(read(&named).unwrap(), read(&plain).unwrap());
}

#[test]
fn hashes_may_share_the_names_of_their_fields() {
    let shape = b"\xf2\x07\x02\x01a\x02bc";
    let listpack = b"\x1e\x01k\x0f\x0f\0\0\0\x03\0\x07\x01\x81x\x02\x81y\x02\xff";
    let values = b"\x20\x01l\x07\x01x\xc0\x05";
    let records = [&shape[..], listpack, values].concat();
    let file = sealed(b"REDIS0015", &records);
    let expected = [
        "passed 242",
        "k HashShapedListpack None Untold Ok(1) +0",
        "l HashShaped None Untold Ok(2) +0",
        "end true",
    ];
    assert_eq!(read(&file).unwrap(), expected);
    for step in [1, 2, 3, 7] {
        assert_eq!(
            read_in_steps(&file, step).unwrap(),
            expected,
            "steps of {step}"
        );
    }
    for wrong in [
        &values[..],
        &[&shape[..], shape].concat(),
        &[&shape[..], b"\x20\x01l\x08\x01x\x01y"].concat(),
    ] {
        let error = read(&sealed(b"REDIS0015", wrong)).unwrap_err();
        assert_eq!(error.fault, FileFault::Corrupt(Corrupt::UnknownShape));
    }
    let error = read(&sealed(b"REDIS0015", b"\xf2\x07\x00")).unwrap_err();
    assert_eq!(error.fault, FileFault::Corrupt(Corrupt::Empty));
}

#[test]
fn what_modules_and_clusters_need_is_passed() {
    let aux = b"\xf7\x81\x01\x02\x03\x04\x05\x06\x07\x08\x02\x01\x01\x05\x03\0\0\0\0\x04\0\0\0\0\0\0\0\0\x05\x02hi\x00";
    let slot = b"\xf4\x01\x02\x03";
    let file = sealed(b"REDIS0012", &[&aux[..], slot, b"\x00\x01k\x01v"].concat());
    let expected = [
        "passed 247",
        "passed 244",
        "k String None Untold Ok(1) +0",
        "end true",
    ];
    for step in [1, file.len()] {
        assert_eq!(read_in_steps(&file, step).unwrap(), expected);
    }
}

#[test]
fn what_no_server_reads_is_refused_by_name() {
    let file = sealed(b"REDIS0010", b"\xf6\x01x");
    assert_eq!(
        read(&file).unwrap_err().fault,
        FileFault::PreReleaseFunction
    );
    let module = sealed(b"REDIS0010", b"\x07\x01k\x01v");
    let fault = FileFault::Corrupt(Corrupt::UnknownType(7));
    assert_eq!(read(&module).unwrap_err(), FileError { offset: 10, fault });
    assert_eq!(read(b"REDIS0010\xf3").unwrap_err().offset, 10);
    assert_eq!(
        read(b"not a file at all").unwrap_err().fault,
        FileFault::NotRdb
    );
}

#[test]
fn a_promised_count_is_not_believed() {
    let huge = b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff";
    for code in (0..=25u8)
        .chain([200, 201])
        .filter(|code| !matches!(code, 6..=8))
    {
        let record = [
            &[code][..],
            b"\x01k",
            &[0; 8][..usize::from((24..200).contains(&code)) * 8],
            huge,
        ];
        let file = sealed(b"REDIS0012", &record.concat());
        assert!(read(&file).is_err(), "type {code}");
    }
}

/// The payloads of real servers, as values in a file.
#[test]
fn the_end_of_every_servers_value_is_found() {
    for line in include_str!("../tests/payloads.txt").lines() {
        let bytes = line.rsplit(' ').next().unwrap().as_bytes().chunks_exact(2);
        let bytes: Vec<u8> = bytes
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect();
        let (body, footer) = bytes.split_at(bytes.len() - 10);
        let version = u16::from_le_bytes([footer[0], footer[1]]);
        let record = [&body[..1], b"\x01k", &body[1..], b"\x00\x01l\x01v"].concat();
        let file = sealed(&header::header_of(version), &record);
        for step in [1, 5, file.len()] {
            let found = read_in_steps(&file, step).unwrap();
            assert_eq!(found.len(), 3, "{line}");
            assert!(found[0].ends_with("+0"), "{line}: {}", found[0]);
        }
    }
}

#[test]
fn a_long_value_is_read_piece_by_piece() {
    type Write = dyn Fn(&mut Encoder<'_>);
    let earliest = 1000u64;
    let values: [(ObjectType, &Write); 5] = [
        (ObjectType::Set, &|it| {
            (0..500).for_each(|n| it.string(format!("member {n}").as_bytes()))
        }),
        (ObjectType::SortedSet, &|it| {
            for n in 0..500 {
                it.int(n);
                it.score(n as f64);
            }
        }),
        (ObjectType::ListQuicklist2, &|it| {
            (0..500).for_each(|n| it.node(crate::ListNode::Plain(&vec![b'x'; n])));
        }),
        (ObjectType::HashExpiring, &|it| {
            for n in 0..500 {
                it.length(n);
                it.string(b"field");
                it.int(n as i64);
            }
        }),
        (ObjectType::Array, &|it| {
            // There is a cursor.
            it.length(1);
            it.length(77);
            for n in 0..500 {
                it.index(n * n);
                it.int(n as i64);
            }
        }),
    ];
    for (object, write) in values {
        let mut writer = FileWriter::new(Compression::Off, true);
        writer.key(&header_of(b"key", object));
        let mut encoder = writer.encoder();
        if object == ObjectType::HashExpiring {
            encoder.bytes(&earliest.to_le_bytes());
        }
        encoder.count(500);
        write(&mut encoder);
        writer.key(&header_of(b"next", ObjectType::String));
        writer.encoder().string(b"value");
        let mut file = writer.finish().bytes;
        assert_eq!(&file[..5], b"REDIS");
        let (mut start, mut step) = (0, 100);
        let mut splitter = Splitter::new(true);
        let mut records = splitter.split(&file[..step]);
        assert!(records.next().is_none());
        start += records.consumed();
        drop(records);
        let (mut long, passed) = splitter.begin_long(&file[start..step]).unwrap();
        assert_eq!(long.header(), &header_of(b"key", object));
        start += passed;
        let mut count = 0;
        while !long.is_done() {
            let (mut piece, passed) = splitter.piece(&mut long, &file[start..step]).unwrap();
            count += elements(piece.value());
            assert_eq!(piece.unread(), 0);
            start += passed;
            step = (step + 100).min(file.len());
        }
        assert_eq!(count, 500);
        let rest: Vec<_> = splitter
            .split(&file[start..])
            .map(|it| describe(it.unwrap()))
            .collect();
        assert_eq!(rest, ["next String None Untold Ok(1) +0", "end true"]);
        // A string and a stream are no sequences.
        file.truncate(12);
        let mut splitter = Splitter::new(true);
        splitter.split(&file[..9]).for_each(drop);
        assert!(splitter.begin_long(b"\x00\x01k\x05v").is_none());
        assert!(splitter.begin_long(b"\x13\x01k\x05v").is_none());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_records_or_an_error(records: Vec<u8>, step in 1usize..50) {
        let file = sealed(b"REDIS0012", &records);
        let mut splitter = Splitter::new(true);
        let whole: Vec<_> = splitter.split(&file).map(|it| it.map(|_| ())).collect();
        let (mut start, mut end, mut pieces) = (0, 0, Vec::new());
        let mut splitter = Splitter::new(true);
        while end < file.len() && !splitter.is_done() {
            end = (end + step).min(file.len());
            let mut records = splitter.split(&file[start..end]);
            pieces.extend(records.by_ref().map(|it| it.map(|_| ())));
            start += records.consumed();
        }
        // However the bytes come, the records and the error are the same.
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn strings_come_back(
        pairs in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>(), any::<Option<u32>>()), 0..20),
        step in 1usize..100,
    ) {
        let mut writer = FileWriter::new(Compression::Lzf, true);
        for (key, value, expire_at) in &pairs {
            let expire_at = expire_at.map(u64::from);
            writer.key(&KeyHeader { expire_at, ..header_of(key, ObjectType::String) });
            writer.encoder().string(value);
        }
        let file = writer.finish().bytes;
        let (mut start, mut end, mut found) = (0, 0, Vec::new());
        let mut splitter = Splitter::new(true);
        while !splitter.is_done() {
            end = (end + step).min(file.len());
            let mut records = splitter.split(&file[start..end]);
            for record in records.by_ref() {
                if let Record::Key(mut record) = record.unwrap() {
                    let Value::String(value) = record.value().unwrap() else { panic!("a string") };
                    let value = value.into_bytes().into_owned();
                    let header = record.header;
                    found.push((header.key.into_bytes().into_owned(), value, header.expire_at.map(|at| at as u32)));
                }
            }
            start += records.consumed();
        }
        prop_assert_eq!(found, pairs);
    }

    #[test]
    fn an_extent_ends_where_the_value_does(code in 0u8..29, body in prop::collection::vec(0u8..6, 0..60)) {
        prop_assume!(!matches!(code, 6..=8));
        let object = ObjectType::from_code(code, 12).unwrap();
        let mut value = Reader::new(&body);
        // What can be read to its end has an extent, and it is the same.
        if let Some(read) = Value::read(&mut value, object).ok().map(is_whole) {
            let mut reader = Reader::new(&body);
            let whole = extent::Extent::of(extent::parts_of(object)).pass(&mut reader);
            if read {
                prop_assert_eq!(whole, Ok(true));
                prop_assert_eq!(reader.remaining(), value.remaining());
            }
        }
    }
}

/// Whether every element can be read.
fn is_whole(value: Value<'_, '_>) -> bool {
    use crate::{Hash, Set, SortedSet};
    match value {
        Value::List(mut parts) => parts.all(|part| part.is_ok()),
        Value::Set(Set::Members(mut members)) => members.all(|member| member.is_ok()),
        Value::SortedSet(SortedSet::Members(mut members)) => members.all(|member| member.is_ok()),
        Value::Hash(Hash::Fields(mut fields)) => fields.all(|field| field.is_ok()),
        Value::Stream(mut parts) => parts.all(|part| part.is_ok()),
        Value::Bitmap(bitmap) => bitmap.for_each_part(|_, _| {}).is_ok(),
        Value::Array(mut parts) => parts.all(|part| part.is_ok()),
        _ => true,
    }
}
