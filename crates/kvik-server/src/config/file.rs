//! Reads a configuration file into named settings with their line numbers, in either syntax.
//!
//! redis.conf: one directive per line, words by Redis' quoting, `#` begins a comment line. kvik.toml:
//! `port = 6380`, lists for several words, and tables whose name is joined to their keys, so that
//! `[tls] port = 6390` is `tls-port`. What the names and words mean is not known here.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::row::Kind;
use super::table::Key;
use super::value::Words;
use super::words::split;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Conf,
    Toml,
}

impl Syntax {
    /// By the extension `.toml` or `.conf`, else by the first line that is neither blank nor a comment.
    pub(super) fn of(path: Option<&Path>, text: &[u8]) -> Self {
        match path.and_then(Path::extension) {
            Some(extension) if extension == "toml" => Self::Toml,
            Some(extension) if extension == "conf" => Self::Conf,
            _ => Self::by_content(text),
        }
    }

    fn by_content(text: &[u8]) -> Self {
        let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = lines
            .find(|line| !line.is_empty() && line[0] != b'#')
            .unwrap_or_default();
        let name = first
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_\"".contains(byte))
            .count();
        let after_name = first[name..].trim_ascii_start();
        let is_toml =
            first.starts_with(b"[") || after_name.starts_with(b"=") || after_name.starts_with(b".");
        if is_toml { Self::Toml } else { Self::Conf }
    }
}

/// One setting of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) name: Vec<u8>,
    pub(super) words: Words,
    /// Counted from 1.
    pub(super) line: usize,
    /// Where the value stands in a TOML text.
    pub(super) span: Range<usize>,
}

/// A text that does not follow its syntax, and the line where that shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The settings of a text, in its order.
pub(super) fn read(text: &[u8], syntax: Syntax) -> Result<Vec<Setting>, Malformed> {
    match syntax {
        Syntax::Conf => read_conf(text),
        Syntax::Toml => read_toml(text),
    }
}

fn read_conf(text: &[u8]) -> Result<Vec<Setting>, Malformed> {
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter_map(|(index, line)| conf_line(line, index + 1).transpose())
        .collect()
}

fn conf_line(line: &[u8], number: usize) -> Result<Option<Setting>, Malformed> {
    let line = line.trim_ascii();
    if line.starts_with(b"#") {
        return Ok(None);
    }
    let unbalanced = || Malformed {
        line: number,
        reason: "Unbalanced quotes in configuration line".into(),
    };
    let mut words = split(line).ok_or_else(unbalanced)?.into_iter();
    let Some(name) = words.next() else {
        return Ok(None);
    };
    Ok(Some(Setting {
        name,
        words: words.collect(),
        line: number,
        span: 0..0,
    }))
}

fn read_toml(text: &[u8]) -> Result<Vec<Setting>, Malformed> {
    let text = str::from_utf8(text).map_err(|error| Malformed {
        line: line_at(text, error.valid_up_to()),
        reason: "the file is not UTF-8".into(),
    })?;
    let document = DeTable::parse(text).map_err(|error| Malformed {
        line: line_at(text.as_bytes(), error.span().map_or(0, |span| span.start)),
        reason: error.message().to_owned(),
    })?;
    let mut settings = Vec::new();
    flatten(text, "", document.get_ref(), &mut settings);
    settings.sort_by_key(|setting| setting.span.start);
    Ok(settings)
}

fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text[..offset].iter().filter(|byte| **byte == b'\n').count()
}

/// Collects the settings of a table whose joined name is `prefix`.
fn flatten(text: &str, prefix: &str, table: &DeTable<'_>, settings: &mut Vec<Setting>) {
    let owner = Key::named(prefix.as_bytes()).filter(|key| key.row().kind.takes_table());
    for (key, value) in table {
        let joined = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}-{}", key.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(text, &joined, inner, settings),
            _ if owner.is_some() => settings.push(entry(text, prefix, key.get_ref(), value)),
            _ => settings.push(setting(text, joined, value)),
        }
    }
}

fn setting(text: &str, name: String, value: &Spanned<DeValue<'_>>) -> Setting {
    let is_mode =
        Key::named(name.as_bytes()).is_some_and(|key| matches!(key.row().kind, Kind::Octal(_)));
    let mut words = Words::new();
    collect_words(value.get_ref(), is_mode, &mut words);
    let line = line_at(text.as_bytes(), value.span().start);
    Setting {
        name: name.into_bytes(),
        words,
        line,
        span: value.span(),
    }
}

/// A line of a table that is one directive's value, such as `[client-output-buffer-limit]`.
fn entry(text: &str, directive: &str, key: &str, value: &Spanned<DeValue<'_>>) -> Setting {
    let mut setting = setting(text, directive.to_owned(), value);
    if let [word] = setting.words.as_slice()
        && !word.is_empty()
        && let Some(words) = split(word)
    {
        setting.words = words;
    }
    setting.words.insert(0, key.as_bytes().to_vec());
    setting
}

fn collect_words(value: &DeValue<'_>, is_mode: bool, words: &mut Words) {
    let word = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Boolean(true) => "yes".to_owned(),
        DeValue::Boolean(false) => "no".to_owned(),
        DeValue::Integer(digits) if is_mode => digits.as_str().to_owned(),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => number.to_string(),
            Err(_) => digits.as_str().to_owned(),
        },
        DeValue::Float(digits) => digits.as_str().to_owned(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(items) => {
            return items
                .iter()
                .for_each(|item| collect_words(item.get_ref(), is_mode, words));
        }
        DeValue::Table(_) => return,
    };
    words.push(word.into_bytes());
}
