//! Reads a configuration file into named settings with their line numbers, in either syntax.
//!
//! redis.conf: one directive per line, words by Redis' quoting, `#` begins a comment line.
//! kvik.toml: `port = 6380`, lists for several words, and tables whose name is joined to their
//! keys, so that `[tls] port = 6390` is `tls-port`. What the names and words mean is not known
//! here.

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
    /// By the extension `.toml` or `.conf`, else by the first line that is neither blank nor a
    /// comment.
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
    /// Where the line stands in a redis.conf, or the value in a TOML text.
    pub(super) span: Range<usize>,
    pub(super) place: SettingScope,
}

/// Where in a file a setting stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingScope {
    /// At the top, before any TOML table.
    Root,
    /// In a TOML table whose name is part of the setting's.
    Table,
    /// In a TOML table that is the value of one directive; the first word is the key.
    Entry,
}

/// A text that does not follow its syntax, and the line where that shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The settings of a text, in its order.
pub(super) fn read(text: &[u8], syntax: Syntax) -> Result<Vec<Setting>, Malformed> {
    check_encoding(text)?;
    match syntax {
        Syntax::Conf => read_conf(text),
        Syntax::Toml => read_toml(text),
    }
}

/// Refuses what would be misread: bytes in front of the first directive, letters of two bytes, and
/// lines that do not end, so that a comment in the first of them would swallow all that follows.
fn check_encoding(text: &[u8]) -> Result<(), Malformed> {
    let refuse = |line, reason: &str| {
        Err(Malformed {
            line,
            reason: reason.to_owned(),
        })
    };
    if text.starts_with(b"\xEF\xBB\xBF") {
        return refuse(
            1,
            "the file begins with a byte order mark; save it without one",
        );
    }
    if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") {
        return refuse(1, "the file is UTF-16; save it as UTF-8");
    }
    if let Some(at) = text.iter().position(|byte| *byte == 0) {
        let reason = "the file has a zero byte; it may be UTF-16, or no text at all";
        return refuse(line_at(text, at), reason);
    }
    let is_lone = |pair: &[u8]| pair[0] == b'\r' && !matches!(pair[1], b'\r' | b'\n');
    if let Some(at) = text.windows(2).position(is_lone) {
        let reason = "a carriage return without a line feed; end lines with a line feed";
        return refuse(line_at(text, at), reason);
    }
    Ok(())
}

fn read_conf(text: &[u8]) -> Result<Vec<Setting>, Malformed> {
    let mut settings = Vec::new();
    let mut start = 0;
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let span = start..start + line.len();
        start = span.end;
        settings.extend(conf_line(line, index + 1, span)?);
    }
    Ok(settings)
}

fn conf_line(line: &[u8], number: usize, span: Range<usize>) -> Result<Option<Setting>, Malformed> {
    let content = line.trim_ascii();
    if content.starts_with(b"#") {
        return Ok(None);
    }
    let unbalanced = || Malformed {
        line: number,
        reason: "Unbalanced quotes in configuration line".into(),
    };
    let mut words = split(content).ok_or_else(unbalanced)?.into_iter();
    let Some(name) = words.next() else {
        return Ok(None);
    };
    Ok(Some(Setting {
        name,
        words: words.collect(),
        line: number,
        span,
        place: SettingScope::Root,
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
    let mut reader = TomlReader {
        text,
        settings: Vec::new(),
    };
    reader.flatten("", document.get_ref());
    reader.settings.sort_by_key(|setting| setting.span.start);
    Ok(reader.settings)
}

fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text[..offset].iter().filter(|byte| **byte == b'\n').count()
}

struct TomlReader<'a> {
    text: &'a str,
    settings: Vec<Setting>,
}

impl TomlReader<'_> {
    /// Collects the settings of a table whose joined name is `prefix`.
    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = match prefix {
                "" => key.get_ref().to_string(),
                _ => format!("{prefix}-{}", key.get_ref()),
            };
            match value.get_ref() {
                DeValue::Table(inner) if is_one_value(&name) => {
                    self.entries(&name, inner, value.span())
                }
                DeValue::Table(inner) => self.flatten(&name, inner),
                _ => {
                    let place = if prefix.is_empty() {
                        SettingScope::Root
                    } else {
                        SettingScope::Table
                    };
                    let setting = self.setting(name, value, place);
                    self.settings.push(setting);
                }
            }
        }
    }

    /// Collects the lines of a table that is one directive's value. An inline table is one value to
    /// the rewriter.
    fn entries(&mut self, name: &str, table: &DeTable<'_>, span: Range<usize>) {
        let is_inline = self.text[span.clone()].starts_with('{');
        for (key, value) in table {
            let mut setting = self.setting(name.to_owned(), value, SettingScope::Entry);
            if is_inline {
                (setting.span, setting.place) = (span.clone(), SettingScope::Table);
            }
            setting.words = unquoted(setting.words);
            setting.words.insert(0, key.get_ref().as_bytes().to_vec());
            self.settings.push(setting);
        }
    }

    fn setting(&self, name: String, value: &Spanned<DeValue<'_>>, place: SettingScope) -> Setting {
        let is_mode =
            Key::named(name.as_bytes()).is_some_and(|key| matches!(key.row().kind, Kind::Octal(_)));
        let mut words = Words::new();
        collect_words(value.get_ref(), is_mode, &mut words);
        let line = line_at(self.text.as_bytes(), value.span().start);
        Setting {
            name: name.into_bytes(),
            words,
            line,
            span: value.span(),
            place,
        }
    }
}

fn is_one_value(name: &str) -> bool {
    Key::named(name.as_bytes()).is_some_and(|key| key.row().kind.takes_table())
}

/// The words within a single word, unless it is empty.
fn unquoted(words: Words) -> Words {
    match words.as_slice() {
        [word] if !word.is_empty() => split(word).unwrap_or(words),
        _ => words,
    }
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
