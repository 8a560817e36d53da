//! Whatever bytes a file has: records or an error, the same however the bytes come in, no panic,
//! and no memory beyond what the bytes hold. What is written comes back.
//!
//! The first byte is the size of the pieces in which the file comes, the second chooses a header or
//! none, the others are the file.

#![no_main]

use kvik_rdb::{
    Compression, FileError, FileWriter, KeyHeader, KeyRecord, KeyUsage, ObjectType, Record, Splitter, Text, Value,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [step, header, body @ ..] = data else {
        return;
    };
    let header: &[u8] = match header % 4 {
        0 => b"",
        1 => b"REDIS0003",
        2 => b"REDIS0012",
        _ => b"VALKEY080",
    };
    let file = [header, body].concat();
    let whole = records(&file, file.len().max(1));
    assert_eq!(whole, records(&file, usize::from(*step).max(1)));
    assert_keys_come_back(body);
});

/// The places where records end, and how reading ends.
fn records(file: &[u8], step: usize) -> (Vec<u64>, Option<FileError>) {
    let (mut ends, mut start, mut end) = (Vec::new(), 0, 0);
    let mut splitter = Splitter::new(true);
    while !splitter.is_done() {
        if end == file.len() {
            return (ends, Some(splitter.cut_off(end - start)));
        }
        end = (end + step).min(file.len());
        let version = splitter.version();
        let offset = splitter.offset();
        let mut records = splitter.split(&file[start..end]);
        while let Some(record) = records.next() {
            match record {
                Ok(Record::Key(record)) => read_value(record),
                Ok(_) => {}
                Err(error) => return (ends, Some(error)),
            }
            let span = records.span();
            ends.push(offset + span.end as u64);
            if let Some(version) = version {
                // A key or another record: in either case no panic.
                let _ = KeyRecord::read(&file[start..end][span], version);
            }
        }
        start += records.consumed();
    }
    (ends, None)
}

fn read_value(mut record: KeyRecord<'_>) {
    match record.value() {
        Ok(Value::List(parts)) => drop(parts.collect::<Result<Vec<_>, _>>()),
        Ok(Value::Stream(parts)) => drop(parts.collect::<Result<Vec<_>, _>>()),
        Ok(Value::Array(parts)) => drop(parts.collect::<Result<Vec<_>, _>>()),
        _ => {}
    }
}

fn assert_keys_come_back(body: &[u8]) {
    let (key, value) = body.split_at(body.len() / 2);
    let mut writer = FileWriter::new(Compression::Lzf, true);
    writer.key(&KeyHeader {
        key: key.into(),
        expire_at: Some(body.len() as u64),
        usage: KeyUsage::Idle(7),
        object: ObjectType::String,
    });
    writer.encoder().string(value);
    let file = writer.finish().bytes;
    let mut splitter = Splitter::new(true);
    let mut records = splitter.split(&file);
    let Some(Ok(Record::Key(mut record))) = records.next() else {
        panic!("the key that was written");
    };
    assert_eq!(record.header.key.clone().into_bytes(), key);
    assert_eq!(record.header.expire_at, Some(body.len() as u64));
    let Ok(Value::String(text)) = record.value() else {
        panic!("the value that was written");
    };
    assert_eq!(Text::into_bytes(text), value);
    assert!(matches!(records.next(), Some(Ok(Record::End { is_checked: true }))));
}
