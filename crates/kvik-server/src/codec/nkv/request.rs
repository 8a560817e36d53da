//! Requests of nkv's clients, as text and as JSON.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TreeRequest<'a> {
    pub(super) id: Cow<'a, [u8]>,
    pub(super) client: Cow<'a, [u8]>,
    /// For [`Verb::Authenticate`] the password.
    pub(super) key: Cow<'a, [u8]>,
    pub(super) verb: Verb,
}

/// The operation that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Put(Vec<u8>),
    Get,
    Delete,
    Subscribe {
        /// The present values are told first of all.
        with_values: bool,
    },
    Unsubscribe,
    /// Put, if the value is the old one, or if there is none.
    CompareAndPut {
        old: Option<Vec<u8>>,
        new: Vec<u8>,
    },
    /// Put what is not there, for as long as the connection lives.
    Tie(Vec<u8>),
    /// The names of a key and all under it.
    List,
    Authenticate,
}

/// Reads a line without its end: words with exactly one blank between them.
pub(super) fn from_text(line: &[u8]) -> Option<TreeRequest<'_>> {
    let line = std::str::from_utf8(line).ok()?;
    let (verb, rest) = line.split_once(' ')?;
    let mut words = rest.splitn(5, ' ');
    let (id, client) = (words.next()?, words.next()?);
    let behind_client = rest.splitn(3, ' ').nth(2);
    let key = match (verb, words.next()) {
        // A password may contain blanks.
        ("AUTH", _) => behind_client?,
        // Without a prefix all names are listed.
        ("LIST", key) => key.unwrap_or_default(),
        (_, key) => key?,
    };
    let (data, second) = (words.next(), words.next());
    let verb = match verb {
        "PUT" if second.is_none() => Verb::Put(decode(data?)?),
        "GET" => Verb::Get,
        "DEL" => Verb::Delete,
        "SUB" => Verb::Subscribe {
            with_values: data == Some("VALUE"),
        },
        "UNSUB" => Verb::Unsubscribe,
        "CAS" => {
            let old = match data? {
                "-" => None,
                old => Some(decode(old)?),
            };
            Verb::CompareAndPut {
                old,
                new: decode(second?)?,
            }
        }
        "TIE" => Verb::Tie(decode(data?)?),
        "LIST" => Verb::List,
        "AUTH" => Verb::Authenticate,
        _ => return None,
    };
    Some(TreeRequest {
        id: id.as_bytes().into(),
        client: client.as_bytes().into(),
        key: key.as_bytes().into(),
        verb,
    })
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Reads an object.
pub(super) fn from_json(line: &[u8]) -> Option<TreeRequest<'static>> {
    let object: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| Some(object.get(name)?.as_str()?.as_bytes().to_vec());
    let verb = match object.get("type")?.as_str()? {
        "Put" => Verb::Put(bytes_of(object.get("value")?)?),
        "Get" => Verb::Get,
        "Delete" => Verb::Delete,
        "Subscribe" => Verb::Subscribe { with_values: false },
        "Unsubscribe" => Verb::Unsubscribe,
        _ => return None,
    };
    Some(TreeRequest {
        id: text("id")?.into(),
        client: text("client_uuid")?.into(),
        key: text("key")?.into(),
        verb,
    })
}

fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    let byte = |number: &Value| u8::try_from(number.as_u64()?).ok();
    value.as_array()?.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(line: &str) -> Option<Verb> {
        from_text(line.as_bytes()).map(|request| request.verb)
    }

    #[test]
    fn text_has_exactly_one_blank_between_words() {
        let request = from_text(b"GET  6 c k").unwrap();
        assert_eq!(
            (&*request.id, &*request.client, &*request.key),
            (&b""[..], &b"6"[..], &b"c"[..])
        );
        assert_eq!(verb("PUT 1 c k dg=="), Some(Verb::Put(b"v".to_vec())));
        assert_eq!(verb("GET 1 c k ignored words"), Some(Verb::Get));
        let with_values = verb("SUB 1 c k VALUE");
        assert_eq!(with_values, Some(Verb::Subscribe { with_values: true }));
        assert_eq!(verb("LIST 1 c"), Some(Verb::List));
        let password = from_text(b"AUTH 1 c se cr et").unwrap().key;
        assert_eq!(&*password, b"se cr et");
        let compare = Verb::CompareAndPut {
            old: None,
            new: b"v".to_vec(),
        };
        assert_eq!(verb("CAS 1 c k - dg=="), Some(compare));
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            "",
            "get 1 c k",
            "GET 1 c",
            "GET",
            "PUT 1 c k",
            "PUT 1 c k dg",
            "PUT 1 c k d g==",
            "PUT 1 c k dg==x",
            "FLY 1 c k",
            "CAS 1 c k dg==",
            "TIE 1 c k",
        ] {
            assert_eq!(verb(line), None, "{line}");
        }
        assert!(from_text(b"GET 1 c \xff").is_none());
    }

    #[test]
    fn json_may_have_its_fields_in_any_order_and_more_of_them() {
        let line = br#"{"x":[1],"value":[118],"key":"k","client_uuid":"U","id":"I","type":"Put"}"#;
        let request = from_json(line).unwrap();
        assert_eq!(request.verb, Verb::Put(b"v".to_vec()));
        assert_eq!(&*request.key, b"k");
        let bad: [&[u8]; 6] = [
            br#"{"type":"Put","id":"I","key":"k","client_uuid":"U"}"#,
            br#"{"type":"Put","id":"I","key":"k","client_uuid":"U","value":"v"}"#,
            br#"{"type":"Put","id":"I","key":"k","client_uuid":"U","value":[256]}"#,
            br#"{"type":"Fly","id":"I","key":"k","client_uuid":"U"}"#,
            br#"{"type":"Get","id":"I","key":"k"}"#,
            b"{",
        ];
        for line in bad {
            assert!(from_json(line).is_none(), "{}", line.escape_ascii());
        }
    }
}
