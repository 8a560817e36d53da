//! Redis' quoting: how a line of redis.conf becomes words, and words become a line.

use super::value::Words;

/// Splits a line at blanks; words may be quoted. `None` if a quote is not closed or is followed by
/// a non-blank.
pub(super) fn split(line: &[u8]) -> Option<Words> {
    let mut args = kvik_resp::ArgsBuf::new();
    kvik_resp::split_line(line, &mut args).ok()?;
    Some(args.as_args().iter().map(<[u8]>::to_vec).collect())
}

/// Appends `word` to a line, in quotes if it would not be read back as it is.
pub(super) fn quote(word: &[u8], line: &mut String) {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'#');
    if !word.is_empty() && word.iter().all(plain) {
        return line.extend(word.iter().map(|byte| *byte as char));
    }
    line.push('"');
    for byte in word {
        match byte {
            b'"' | b'\\' => line.extend(['\\', *byte as char]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            b' '..=b'~' => line.push(*byte as char),
            other => line.push_str(&format!("\\x{other:02x}")),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unclosed_quotes_are_refused() {
        assert_eq!(
            split(br#"save "" 'a b'"#),
            Some(vec![b"save".to_vec(), vec![], b"a b".to_vec()])
        );
        assert_eq!(split(br#"requirepass "x"#), None);
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(expected: Vec<Vec<u8>>) {
            let mut line = String::new();
            for word in &expected {
                quote(word, &mut line);
                line.push(' ');
            }
            prop_assert_eq!(split(line.as_bytes()), Some(expected));
        }
    }
}
