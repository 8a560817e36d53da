use proptest::collection;
use proptest::prelude::*;

use super::*;
use crate::Protocol;

fn decode(input: &[u8]) -> Result<Option<(Value, usize)>, DecodeError> {
    ReplyDecoder::new().decode(input)
}

/// `input` is one whole reply; with less there is none.
#[track_caller]
fn check(input: &str, expected: Value) {
    let followed = format!("{input}+next\r\n");
    assert_eq!(
        decode(followed.as_bytes()),
        Ok(Some((expected, input.len()))),
        "{input}"
    );
    for len in 0..input.len() {
        assert_eq!(
            decode(&input.as_bytes()[..len]),
            Ok(None),
            "{input} cut at {len}"
        );
    }
}

#[track_caller]
fn check_error(input: &[u8], expected: DecodeError) {
    assert_eq!(decode(input), Err(expected), "{}", input.escape_ascii());
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn single_values_of_both_versions() {
    check("+OK\r\n", Value::Simple("OK".into()));
    check("-ERR x y\r\n", Value::Error("ERR x y".into()));
    check(":-42\r\n", Value::Integer(-42));
    check(":+42\r\n", Value::Integer(42));
    check("$5\r\na\r\nbc\r\n", bulk("a\r\nbc"));
    check("$0\r\n\r\n", bulk(""));
    check("$-1\r\n", Value::Null);
    check("*-1\r\n", Value::Null);
    check("_\r\n", Value::Null);
    check("#t\r\n", Value::Boolean(true));
    check("#f\r\n", Value::Boolean(false));
    check(",1.25\r\n", Value::Double(1.25));
    check(",-inf\r\n", Value::Double(f64::NEG_INFINITY));
    check(
        "(-3492890328409238509324850943850943825024385\r\n",
        Value::BigNumber("-3492890328409238509324850943850943825024385".into()),
    );
    check("!10\r\nSYNTAX a\nb\r\n", Value::Error("SYNTAX a\nb".into()));
    check(
        "=7\r\ntxt:a\nb\r\n",
        Value::Verbatim {
            format: "txt".into(),
            text: b"a\nb".to_vec(),
        },
    );
    assert!(matches!(decode(b",nan\r\n"), Ok(Some((Value::Double(value), 6))) if value.is_nan()));
}

#[test]
fn collections_nest() {
    check("*0\r\n", Value::Array(vec![]));
    check(
        "*2\r\n:1\r\n*1\r\n$1\r\na\r\n",
        Value::Array(vec![Value::Integer(1), Value::Array(vec![bulk("a")])]),
    );
    check(
        "~2\r\n+a\r\n*0\r\n",
        Value::Set(vec![Value::Simple("a".into()), Value::Array(vec![])]),
    );
    check(
        ">2\r\n$1\r\na\r\n_\r\n",
        Value::Push(vec![bulk("a"), Value::Null]),
    );
    check(
        "%2\r\n+a\r\n:1\r\n%0\r\n#t\r\n",
        Value::Map(vec![
            (Value::Simple("a".into()), Value::Integer(1)),
            (Value::Map(vec![]), Value::Boolean(true)),
        ]),
    );
}

#[test]
fn attributes_stay_with_their_value() {
    let ttl = vec![(Value::Simple("ttl".into()), Value::Integer(3))];
    let inner = Value::Attributed {
        attributes: ttl,
        value: Box::new(bulk("v")),
    };
    check("|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n", inner.clone());
    check(
        "*2\r\n|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n:9\r\n",
        Value::Array(vec![inner, Value::Integer(9)]),
    );
    check(
        "|0\r\n:1\r\n",
        Value::Attributed {
            attributes: vec![],
            value: Box::new(Value::Integer(1)),
        },
    );
}

#[test]
fn broken_replies_are_refused() {
    check_error(b"PONG\r\n", DecodeError::UnknownType(b'P'));
    check_error(b"*1\r\n\r\n", DecodeError::UnknownType(b'\r'));
    check_error(b":x\r\n", DecodeError::InvalidLine);
    check_error(b",x\r\n", DecodeError::InvalidLine);
    check_error(b"#x\r\n", DecodeError::InvalidLine);
    check_error(b"_x\r\n", DecodeError::InvalidLine);
    check_error(b"(1.5\r\n", DecodeError::InvalidLine);
    check_error(b"(\r\n", DecodeError::InvalidLine);
    check_error(b"+OK\rx", DecodeError::MissingCrlf);
    check_error(b"$1\r\nabc", DecodeError::MissingCrlf);
    check_error(b"=3\r\ntxt\r\n", DecodeError::InvalidVerbatim);
    check_error(b"=4\r\n\xff\xfft:\r\n", DecodeError::InvalidVerbatim);
    for length in ["-2", "x", "", "01", "99999999999999999999"] {
        for kind in ["$", "*", "~", "%", ">", "|", "=", "!"] {
            check_error(
                format!("{kind}{length}\r\n").as_bytes(),
                DecodeError::InvalidLength,
            );
        }
    }
    check_error(b"%-1\r\n", DecodeError::InvalidLength);
    check_error(b"$?\r\n", DecodeError::Streamed);
    check_error(b"*?\r\n", DecodeError::Streamed);
}

#[test]
fn limits_hold() {
    let limits = DecodeLimits {
        max_bulk: 4,
        max_elements: 4,
        max_depth: 2,
        max_line: 8,
    };
    let decode = |input: &[u8]| ReplyDecoder::with_limits(limits).decode(input);
    assert_eq!(decode(b"$5\r\n"), Err(DecodeError::InvalidLength));
    assert_eq!(decode(b"*5\r\n"), Err(DecodeError::InvalidLength));
    assert_eq!(decode(b"%3\r\n"), Err(DecodeError::InvalidLength));
    assert_eq!(decode(b"*1\r\n*1\r\n*1\r\n"), Err(DecodeError::TooDeep));
    assert!(matches!(decode(b"*1\r\n*1\r\n*0\r\n"), Ok(Some(_))));
    assert_eq!(decode(b"+1234567"), Ok(None));
    assert_eq!(decode(b"+12345678"), Err(DecodeError::LongLine));
    assert_eq!(decode(b"+12345678\r\n"), Err(DecodeError::LongLine));
}

#[test]
fn a_hundred_thousand_nested_arrays_are_an_error() {
    check_error(&b"*1\r\n".repeat(100_000), DecodeError::TooDeep);
}

#[test]
fn announced_sizes_cost_no_memory() {
    let mut decoder = ReplyDecoder::new();
    assert_eq!(decoder.decode(b"*2147483647\r\n$536870912\r\nx"), Ok(None));
    assert_eq!(decoder.stack[0].values.capacity(), 0);
}

/// Replies as RESP3 can carry them.
fn value() -> impl Strategy<Value = Value> {
    let line = "[ -~]{0,9}";
    let leaf = prop_oneof![
        Just(Value::Null),
        line.prop_map(|text| Value::Simple(text.into())),
        line.prop_map(|text| Value::Error(text.into())),
        any::<i64>().prop_map(Value::Integer),
        collection::vec(any::<u8>(), 0..20).prop_map(Value::Bulk),
        prop_oneof![any::<f64>(), Just(f64::INFINITY)].prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        "-?[1-9][0-9]{0,40}".prop_map(Value::BigNumber),
        ("[a-z]{3}", collection::vec(any::<u8>(), 0..20))
            .prop_map(|(format, text)| Value::Verbatim { format, text }),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let values = collection::vec(inner.clone(), 0..6);
        let pairs = collection::vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            values.clone().prop_map(Value::Array),
            values.clone().prop_map(Value::Set),
            values.prop_map(Value::Push),
            pairs.clone().prop_map(Value::Map),
            (pairs, inner).prop_map(|(attributes, value)| Value::Attributed {
                attributes,
                value: Box::new(value)
            }),
        ]
    })
}

fn encode(value: &Value, protocol: Protocol) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(protocol, &mut out);
    out
}

/// The value as a RESP2 client sees it.
fn in_resp2(value: Value) -> Value {
    let all = |values: Vec<Value>| Value::Array(values.into_iter().map(in_resp2).collect());
    match value {
        Value::Double(value) => bulk(crate::format_f64(value).as_str()),
        Value::Boolean(value) => Value::Integer(value.into()),
        Value::BigNumber(digits) => bulk(&digits),
        Value::Verbatim { text, .. } => Value::Bulk(text),
        Value::Array(values) | Value::Set(values) | Value::Push(values) => all(values),
        Value::Map(pairs) => all(pairs
            .into_iter()
            .flat_map(|(key, value)| [key, value])
            .collect()),
        Value::Attributed { value, .. } => in_resp2(*value),
        same => same,
    }
}

proptest! {
    #[test]
    fn an_encoded_value_comes_back(value in value()) {
        let encoded = encode(&value, Protocol::Resp3);
        prop_assert_eq!(decode(&encoded), Ok(Some((value.clone(), encoded.len()))));
        let encoded = encode(&value, Protocol::Resp2);
        prop_assert_eq!(decode(&encoded), Ok(Some((in_resp2(value), encoded.len()))));
    }

    #[test]
    fn a_reply_in_pieces_is_the_same(value in value(), step in 1usize..9) {
        let encoded = encode(&value, Protocol::Resp3);
        let mut decoder = ReplyDecoder::new();
        for len in (0..encoded.len()).step_by(step) {
            prop_assert_eq!(decoder.decode(&encoded[..len]), Ok(None));
        }
        prop_assert_eq!(decoder.decode(&encoded), Ok(Some((value, encoded.len()))));
        prop_assert_eq!(decoder.decode(b":1\r\n"), Ok(Some((Value::Integer(1), 4))));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(input in "[-+:$*_,#(=~>%|!0-9?tf\r\n]{0,40}") {
        let _ = decode(input.replace('\n', "\r\n").as_bytes());
    }
}
