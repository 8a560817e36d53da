//! Whatever bytes a server sends: no panic, the same replies however the network cuts them, and a
//! decoded reply that is encoded again is the same reply. The numbers of the protocol are read from
//! the same bytes.
//!
//! The first byte chooses the piece size, the others are the stream.

#![no_main]

use kvik_resp::{
    DecodeError, LongDouble, Protocol, ReplyDecoder, Value, format_f64, parse_f64, parse_i64,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [piece, stream @ ..] = data else {
        return;
    };
    let whole = decode(stream, stream.len().max(1));
    // Compared as text, because NaN is not equal to itself.
    let pieces = decode(stream, usize::from(*piece).max(1));
    assert_eq!(format!("{pieces:?}"), format!("{whole:?}"));
    for value in &whole.0 {
        assert_encoding_comes_back(value);
    }
    assert_numbers_come_back(stream);
});

/// All replies of the stream while the input grows by `piece` bytes at a time, then the error or
/// what is left over.
fn decode(stream: &[u8], piece: usize) -> (Vec<Value>, Result<usize, DecodeError>) {
    let (mut decoder, mut replies) = (ReplyDecoder::new(), Vec::new());
    let (mut start, mut end) = (0, 0);
    while end < stream.len() {
        end = stream.len().min(end + piece);
        loop {
            match decoder.decode(&stream[start..end]) {
                Ok(Some((value, consumed))) => {
                    replies.push(value);
                    start += consumed;
                }
                Ok(None) => break,
                Err(error) => return (replies, Err(error)),
            }
        }
    }
    (replies, Ok(stream.len() - start))
}

/// Once encoded, as line breaks in an error line become blanks.
fn assert_encoding_comes_back(value: &Value) {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let encoded = encode(value, protocol);
        let (again, len) = ReplyDecoder::new()
            .decode(&encoded)
            .expect("valid")
            .expect("whole");
        assert_eq!(len, encoded.len());
        assert_eq!(encode(&again, protocol), encoded);
    }
}

fn encode(value: &Value, protocol: Protocol) -> Vec<u8> {
    let mut encoded = Vec::new();
    value.encode(protocol, &mut encoded);
    encoded
}

fn assert_numbers_come_back(text: &[u8]) {
    if let Some(value) = parse_i64(text) {
        assert_eq!(value.to_string().as_bytes(), text);
    }
    if let Some(value) = parse_f64(text) {
        assert_eq!(parse_f64(format_f64(value).as_bytes()), Some(value));
    }
    if let Some(value) = LongDouble::parse(text) {
        let printed = value.to_string();
        assert!(LongDouble::parse(printed.as_bytes()).is_some(), "{printed}");
    }
}
