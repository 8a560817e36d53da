//! Keys as lines of JSON, for people and other programs.
//!
//! `{"key":"user:1","type":"hash","ttl_ms":5000,"value":{"name":"ann"}}`. A string is a text, a
//! list and a set are arrays, a hash is an object, a sorted set and a stream are arrays of pairs:
//! member and score, id and an array of fields and values in turn. An array is an object: its
//! elements, pairs of index and value, and the index at which the next one is inserted. What is
//! not UTF-8 is `{"base64":"..."}`; a hash with such a field is an array of pairs.

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use super::contents::{ArrayContents, Contents, Item};

/// A key as a line, without its end.
pub(crate) fn write(key: &[u8], item: &Item) -> String {
    let mut line = Map::new();
    line.insert("key".into(), text(key));
    line.insert("type".into(), item.contents.kind().into());
    if let Some(ttl_ms) = item.ttl_ms {
        line.insert("ttl_ms".into(), ttl_ms.into());
    }
    line.insert("value".into(), value(&item.contents));
    Json::Object(line).to_string()
}

fn value(contents: &Contents) -> Json {
    let texts = |strings: &[Vec<u8>]| strings.iter().map(|it| text(it)).collect::<Json>();
    let pairs = |pairs: &[(Vec<u8>, Vec<u8>)]| {
        let pair = |(one, other): &(Vec<u8>, Vec<u8>)| json!([text(one), text(other)]);
        pairs.iter().map(pair).collect::<Json>()
    };
    match contents {
        Contents::Text(bytes) => text(bytes),
        Contents::List(elements) | Contents::Set(elements) => texts(elements),
        Contents::Hash(fields) => {
            let named: Option<Map<String, Json>> = fields
                .iter()
                .map(|(name, value)| Some((String::from_utf8(name.clone()).ok()?, text(value))))
                .collect();
            named.map_or_else(|| pairs(fields), Json::Object)
        }
        Contents::Sorted(members) => pairs(members),
        Contents::Stream(entries) => {
            let entry = |(id, fields): &(Vec<u8>, Vec<Vec<u8>>)| json!([text(id), texts(fields)]);
            entries.iter().map(entry).collect()
        }
        Contents::Array(array) => {
            json!({ "next": text(&array.next), "elements": pairs(&array.elements) })
        }
    }
}

fn text(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// Reads a line.
///
/// # Errors
/// If it is none that [`write`] could have written.
pub(crate) fn read(line: &str) -> anyhow::Result<(Vec<u8>, Item)> {
    let line: Json = serde_json::from_str(line)?;
    let key = bytes(line.get("key").context("there is no key")?)?;
    let kind = line.get("type").and_then(Json::as_str).unwrap_or("string");
    let ttl_ms = match line.get("ttl_ms") {
        None | Some(Json::Null) => None,
        Some(ttl) => Some(
            ttl.as_u64()
                .context("ttl_ms is no number of milliseconds")?,
        ),
    };
    let value = line.get("value").context("there is no value")?;
    let contents = match kind {
        "string" => Contents::Text(bytes(value)?),
        "list" => Contents::List(strings(value)?),
        "set" => Contents::Set(strings(value)?),
        "hash" => Contents::Hash(pairs(value)?),
        "zset" => Contents::Sorted(pairs(value)?),
        "stream" => Contents::Stream(entries(value)?),
        "array" => Contents::Array(array_contents(value)?),
        other => bail!("there is no type '{other}'"),
    };
    Ok((key, Item { contents, ttl_ms }))
}

fn bytes(json: &Json) -> anyhow::Result<Vec<u8>> {
    match json {
        Json::String(text) => Ok(text.clone().into_bytes()),
        Json::Number(number) => Ok(number.to_string().into_bytes()),
        Json::Object(object) => {
            let encoded = object.get("base64").and_then(Json::as_str);
            let encoded = encoded.context("an object is {\"base64\": ...}")?;
            Ok(STANDARD.decode(encoded)?)
        }
        other => Err(anyhow!("{other} is no string")),
    }
}

fn array(json: &Json) -> anyhow::Result<&[Json]> {
    let array = json.as_array().map(Vec::as_slice);
    array.ok_or_else(|| anyhow!("{json} is no array"))
}

fn strings(json: &Json) -> anyhow::Result<Vec<Vec<u8>>> {
    array(json)?.iter().map(bytes).collect()
}

/// Pairs, or the members of an object.
fn pairs(json: &Json) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut pairs = Vec::new();
    if let Json::Object(object) = json {
        for (name, value) in object {
            pairs.push((name.clone().into_bytes(), bytes(value)?));
        }
        return Ok(pairs);
    }
    for pair in array(json)? {
        match array(pair)? {
            [one, other] => pairs.push((bytes(one)?, bytes(other)?)),
            _ => bail!("{pair} is no pair"),
        }
    }
    Ok(pairs)
}

fn array_contents(json: &Json) -> anyhow::Result<ArrayContents> {
    let part = |name| {
        let part = json.get(name);
        part.with_context(|| format!("an array has no '{name}'"))
    };
    Ok(ArrayContents {
        next: bytes(part("next")?)?,
        elements: pairs(part("elements")?)?,
    })
}

/// The id of an entry of a stream, and its fields and values.
type StreamEntry = (Vec<u8>, Vec<Vec<u8>>);

fn entries(json: &Json) -> anyhow::Result<Vec<StreamEntry>> {
    let mut entries = Vec::new();
    for entry in array(json)? {
        match array(entry)? {
            [id, fields] => entries.push((bytes(id)?, strings(fields)?)),
            _ => bail!("{entry} is no entry of a stream"),
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Vec<u8> {
        text.into()
    }

    #[test]
    fn lines_are_read_as_written() {
        let all = [
            Contents::Text(word("a\"\n")),
            Contents::Text(vec![0xff, 0]),
            Contents::List(vec![word("b"), word("a"), vec![0xfe]]),
            Contents::Set(vec![word("a"), word("b")]),
            Contents::Hash(vec![(word("f"), word("1")), (word("g"), vec![0xff])]),
            Contents::Hash(vec![(vec![0xff], word("1"))]),
            Contents::Sorted(vec![(word("m"), word("-inf")), (word("n"), word("1.5"))]),
            Contents::Stream(vec![(word("1-1"), vec![word("f"), word("v")])]),
            Contents::Array(ArrayContents {
                next: word("18446744073709551615"),
                elements: vec![(word("0"), word("a")), (word("70"), vec![0xff])],
            }),
        ];
        for (contents, ttl_ms) in all.into_iter().zip([None, Some(5)].into_iter().cycle()) {
            let item = Item { contents, ttl_ms };
            let line = write(b"k\xff", &item);
            assert!(!line.contains('\n'));
            assert_eq!(read(&line).unwrap(), (b"k\xff".to_vec(), item), "{line}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for line in [
            "",
            "{}",
            "[1]",
            r#"{"key":"k"}"#,
            r#"{"key":"k","value":[1]}"#,
            r#"{"key":"k","type":"list","value":"x"}"#,
            r#"{"key":"k","type":"hash","value":[["f"]]}"#,
            r#"{"key":"k","type":"other","value":"x"}"#,
            r#"{"key":{"base64":"?"},"value":"x"}"#,
            r#"{"key":"k","ttl_ms":-1,"value":"x"}"#,
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        let (key, item) = read(r#"{"key":"k","value":7}"#).unwrap();
        assert_eq!((key, item.contents), (word("k"), Contents::Text(word("7"))));
    }
}
