//! Values: parsed from words by a row's kind, rendered as CONFIG GET prints them.
//!
//! Every source (flag, environment, file, CONFIG SET) brings a value as words; [`parse`] is the
//! only way from words to a [`Value`], and its errors are the sentences CONFIG SET prints. Values
//! are bytes, because a password may hold any. Rendering and parsing again gives the same value.

use kvik_command::EventClasses;
use kvik_command::namespace_quotas::read_quotas;

use super::row::{Kind, Row};
use crate::door::DoorAddress;

/// The words of one setting, as the source spelled them.
pub(super) type Words = Vec<Vec<u8>>;

/// The value of one directive.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Booleans (0, 1), integers, bytes, modes, positions of choices and bits of flags.
    /// A percentage of memory is negative.
    Number(i64),
    /// Text and paths.
    Text(Vec<u8>),
    /// Lists of words, flattened for [`Kind::Pairs`] and [`Kind::HostPort`].
    Words(Vec<Vec<u8>>),
    /// Integers, for [`Kind::Integers`] and flattened pairs for [`Kind::Save`].
    Numbers(Vec<i64>),
    /// Percentiles.
    Decimals(Vec<f64>),
    /// Output buffer limits by client class: normal, replica, pub/sub.
    Limits([BufferLimit; 3]),
}

/// When unread replies end a client's connection; 0 bytes are no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLimit {
    /// At so many bytes it ends at once.
    pub hard_bytes: u64,
    /// Above so many bytes it ends after `soft_seconds`.
    pub soft_bytes: u64,
    /// How long `soft_bytes` may be exceeded.
    pub soft_seconds: u64,
}

const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

/// Parses `words` for `row`. `current` is what a partial value (one class of buffer limits) adds
/// to.
pub(super) fn parse(row: &Row, words: &[&[u8]], current: Option<&Value>) -> Result<Value, String> {
    let value = match row.kind {
        Kind::Words => Value::Words(
            unless_empty(words)
                .iter()
                .map(|word| word.to_vec())
                .collect(),
        ),
        Kind::Pairs => pairs(words)?,
        Kind::Doors => doors(unless_empty(words))?,
        Kind::HostPort => host_port(words)?,
        Kind::Save => save(unless_empty(words))?,
        Kind::Integers(count, min, max) => integers(row, words, count, min, max)?,
        Kind::Percentiles => percentiles(row, unless_empty(words))?,
        Kind::BufferLimits => buffer_limits(unless_empty(words), current)?,
        Kind::Flags(names) => flags(words, names)?,
        _ => {
            let [word] = words else {
                return Err(WRONG_COUNT.into());
            };
            match row.kind {
                Kind::Dir if is_default_dir(word, row.default) => created_later(row.default)?,
                kind => one_word(kind, word)?,
            }
        }
    };
    row.check.map_or(Ok(()), |check| check(row, &value))?;
    Ok(value)
}

const WRONG_COUNT: &str = "wrong number of arguments";

/// A single empty word stands for none.
fn unless_empty<'a>(words: &'a [&'a [u8]]) -> &'a [&'a [u8]] {
    if words == [b""] { &[] } else { words }
}

fn one_word(kind: Kind, word: &[u8]) -> Result<Value, String> {
    let number = match kind {
        Kind::Bool => yes_no(word)?,
        Kind::Int(min, max) => within(
            integer(word),
            min,
            max,
            "argument couldn't be parsed into an integer",
        )?,
        Kind::Memory(min, max) => within(bytes(word), min, max, "argument must be a memory value")?,
        Kind::MemoryOrPercent => memory_or_percent(word)?,
        Kind::Octal(max) => octal(word, max)?,
        Kind::AutoOr(max) => auto_or(word, max)?,
        Kind::Choice(names) => position(names, word).ok_or_else(|| one_of(names))? as i64,
        Kind::Events => events(word)?,
        Kind::Dir => return directory(word),
        _ => return Ok(Value::Text(word.to_vec())),
    };
    Ok(Value::Number(number))
}

fn yes_no(word: &[u8]) -> Result<i64, String> {
    match position(&["no", "yes"], word) {
        Some(number) => Ok(number as i64),
        None => Err("argument must be 'yes' or 'no'".into()),
    }
}

fn within(number: Option<i64>, min: i64, max: i64, not_a_number: &str) -> Result<i64, String> {
    let number = number.ok_or(not_a_number)?;
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(format!(
        "argument must be between {min} and {max} inclusive"
    ))
}

/// A decimal integer in its one spelling: no plus sign, blank or leading zero.
fn integer(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// An amount of memory: digits and a unit, where `k` is 1000 and `kb` 1024.
fn bytes(word: &[u8]) -> Option<i64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = word.split_at(digits);
    let factor: i64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    std::str::from_utf8(number)
        .ok()?
        .parse::<i64>()
        .ok()?
        .checked_mul(factor)
}

fn memory_or_percent(word: &[u8]) -> Result<i64, String> {
    let percent = word
        .strip_suffix(b"%")
        .and_then(integer)
        .filter(|percent| *percent >= 0);
    match bytes(word).or(percent.map(|percent| -percent)) {
        Some(number) if number < -100 => {
            Err("percentage argument must be less or equal to 100".into())
        }
        Some(number) => Ok(number),
        None => Err("argument must be a memory or percent value".into()),
    }
}

fn octal(word: &[u8], max: i64) -> Result<i64, String> {
    let text = std::str::from_utf8(word).unwrap_or_default();
    match i64::from_str_radix(text, 8) {
        Ok(mode) if (0..=max).contains(&mode) => Ok(mode),
        Ok(_) => Err(format!("argument must be between 0 and {max:o} inclusive")),
        Err(_) => Err("argument couldn't be parsed as an octal number".into()),
    }
}

fn auto_or(word: &[u8], max: i64) -> Result<i64, String> {
    if word.eq_ignore_ascii_case(b"auto") {
        return Ok(0);
    }
    let refusal = || format!("argument must be 'auto' or between 1 and {max} inclusive");
    integer(word)
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(refusal)
}

/// Where `word` stands among `names`, each with its synonyms.
fn position(names: &[&str], word: &[u8]) -> Option<usize> {
    let is_word = |name: &str| name.as_bytes().eq_ignore_ascii_case(word);
    names
        .iter()
        .position(|synonyms| synonyms.split('|').any(is_word))
}

fn one_of(names: &[&str]) -> String {
    format!(
        "argument(s) must be one of the following: {}",
        names.join(", ").replace('|', ", ")
    )
}

fn flags(words: &[&[u8]], names: &[&str]) -> Result<Value, String> {
    let mut bits = 0;
    for word in words {
        let position = position(names, word).ok_or_else(|| one_of(names))?;
        bits |= (1 << position) >> 1;
    }
    if words.is_empty() {
        Err(WRONG_COUNT.into())
    } else {
        Ok(Value::Number(bits))
    }
}

fn events(word: &[u8]) -> Result<i64, String> {
    let unknown = || "Invalid event class character. Use 'Ag$lshzxeKEtmdnocSTIV'.".to_owned();
    let classes = EventClasses::from_letters(word).ok_or_else(unknown)?;
    Ok(classes.bits().into())
}

/// The default directory, which need not exist yet.
fn created_later(name: &str) -> Result<Value, String> {
    let here = std::env::current_dir().map_err(|error| plain_message(&error))?;
    let path = here.join(name);
    Ok(Value::Text(path.into_os_string().into_encoded_bytes()))
}

/// Whether a word means the default directory, by its name or its path.
fn is_default_dir(word: &[u8], name: &str) -> bool {
    let is_path = |path: Value| path == Value::Text(word.to_vec());
    word == name.as_bytes() || created_later(name).is_ok_and(is_path)
}

fn directory(word: &[u8]) -> Result<Value, String> {
    let path = super::path::path_of(word);
    let absolute = std::fs::canonicalize(&path).map_err(|error| plain_message(&error))?;
    if !absolute.is_dir() {
        return Err("Not a directory".into());
    }
    Ok(Value::Text(absolute.into_os_string().into_encoded_bytes()))
}

/// The system's own words, without the number that the standard library adds.
pub(super) fn plain_message(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn pairs(words: &[&[u8]]) -> Result<Value, String> {
    if words == [b""] || words.is_empty() {
        return Ok(Value::Words(Vec::new()));
    }
    if !words.len().is_multiple_of(2) {
        return Err(WRONG_COUNT.into());
    }
    Ok(Value::Words(
        words.iter().map(|word| word.to_vec()).collect(),
    ))
}

fn doors(words: &[&[u8]]) -> Result<Value, String> {
    for word in words {
        DoorAddress::parse(&String::from_utf8_lossy(word))?;
    }
    Ok(Value::Words(
        words.iter().map(|word| word.to_vec()).collect(),
    ))
}

fn host_port(words: &[&[u8]]) -> Result<Value, String> {
    match words {
        [b""] | [] => Ok(Value::Words(Vec::new())),
        [no, one] if no.eq_ignore_ascii_case(b"no") && one.eq_ignore_ascii_case(b"one") => {
            Ok(Value::Words(Vec::new()))
        }
        [host, port] if integer(port).is_some_and(|port| (0..=65535).contains(&port)) => {
            Ok(Value::Words(vec![host.to_vec(), port.to_vec()]))
        }
        [_, _] => Err("Invalid master port".into()),
        _ => Err(WRONG_COUNT.into()),
    }
}

fn save(words: &[&[u8]]) -> Result<Value, String> {
    let numbers: Option<Vec<i64>> = words.iter().map(|word| integer(word)).collect();
    let valid = |numbers: &Vec<i64>| {
        numbers.len().is_multiple_of(2)
            && numbers
                .chunks_exact(2)
                .all(|rule| rule[0] >= 1 && rule[1] >= 0)
    };
    numbers
        .filter(valid)
        .map(Value::Numbers)
        .ok_or_else(|| "Invalid save parameters".into())
}

fn integers(row: &Row, words: &[&[u8]], count: usize, min: i64, max: i64) -> Result<Value, String> {
    if words.len() != count {
        return Err(WRONG_COUNT.into());
    }
    let one = |word: &&[u8]| integer(word).filter(|number| (min..=max).contains(number));
    let numbers: Option<Vec<i64>> = words.iter().map(one).collect();
    let refusal = || {
        format!(
            "Invalid {}, elements must be between {min} and {max}.",
            row.name
        )
    };
    numbers.map(Value::Numbers).ok_or_else(refusal)
}

fn percentiles(row: &Row, words: &[&[u8]]) -> Result<Value, String> {
    let mut decimals = Vec::with_capacity(words.len());
    for word in words {
        let decimal = std::str::from_utf8(word)
            .ok()
            .and_then(|text| text.parse::<f64>().ok());
        match decimal.filter(|decimal| decimal.is_finite()) {
            None => return Err(format!("Invalid {} parameters", row.name)),
            Some(decimal) if !(0.0..=100.0).contains(&decimal) => {
                return Err(format!(
                    "{} parameters should sit between [0.0,100.0]",
                    row.name
                ));
            }
            Some(decimal) => decimals.push(decimal),
        }
    }
    Ok(Value::Decimals(decimals))
}

fn buffer_limits(words: &[&[u8]], current: Option<&Value>) -> Result<Value, String> {
    let mut limits = match current {
        Some(Value::Limits(limits)) => *limits,
        _ => [BufferLimit::default(); 3],
    };
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for line in words.chunks_exact(4) {
        let class = class_of(line[0])
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        let limit = buffer_limit(&line[1..]);
        limits[class] = limit
            .ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    Ok(Value::Limits(limits))
}

pub(super) fn class_of(word: &[u8]) -> Option<usize> {
    position(&["normal", "slave|replica", "pubsub"], word)
}

fn buffer_limit(words: &[&[u8]]) -> Option<BufferLimit> {
    let unsigned = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Some(BufferLimit {
        hard_bytes: unsigned(bytes(words[0]))?,
        soft_bytes: unsigned(bytes(words[1]))?,
        soft_seconds: unsigned(integer(words[2]))?,
    })
}

/// How a value is written: as CONFIG GET shows it, or as a file is wanted to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Memory in bytes.
    Plain,
    /// Memory in the largest unit that divides it.
    File,
}

/// The words of `value`; words beyond the first only for kinds that take several.
pub(super) fn words(kind: Kind, value: &Value, style: Style) -> Words {
    match value {
        Value::Number(number) => match kind {
            Kind::Flags(names) => flag_names(names, *number),
            _ => vec![number_text(kind, *number, style).into_bytes()],
        },
        Value::Text(text) => vec![text.clone()],
        Value::Words(words) => words.clone(),
        Value::Numbers(numbers) => numbers
            .iter()
            .map(|number| number.to_string().into_bytes())
            .collect(),
        Value::Decimals(decimals) => decimals
            .iter()
            .map(|decimal| decimal.to_string().into_bytes())
            .collect(),
        Value::Limits(limits) => (0..CLASSES.len())
            .flat_map(|class| limit_words(limits, class, style))
            .collect(),
    }
}

/// The words of one class of buffer limits.
pub(super) fn limit_words(limits: &[BufferLimit; 3], class: usize, style: Style) -> Words {
    let limit = limits[class];
    let memory = |bytes: u64| memory_text(bytes as i64, style);
    [
        CLASSES[class].to_owned(),
        memory(limit.hard_bytes),
        memory(limit.soft_bytes),
        limit.soft_seconds.to_string(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn number_text(kind: Kind, number: i64, style: Style) -> String {
    match kind {
        Kind::Bool => ["no", "yes"][usize::from(number != 0)].to_owned(),
        Kind::MemoryOrPercent if number < 0 => format!("{}%", -number),
        Kind::Memory(..) | Kind::MemoryOrPercent => memory_text(number, style),
        Kind::Octal(_) => format!("{number:o}"),
        Kind::AutoOr(_) if number == 0 => "auto".to_owned(),
        Kind::Choice(names) => choice_name(names, number).to_owned(),
        Kind::Events => event_text(number),
        _ => number.to_string(),
    }
}

fn memory_text(bytes: i64, style: Style) -> String {
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    let unit = units
        .iter()
        .find(|(size, _)| style == Style::File && bytes != 0 && bytes % size == 0);
    match unit {
        Some((size, unit)) => format!("{}{unit}", bytes / size),
        None => bytes.to_string(),
    }
}

/// The first of the synonyms at a position.
pub(super) fn choice_name(names: &[&'static str], number: i64) -> &'static str {
    let synonyms = usize::try_from(number)
        .ok()
        .and_then(|position| names.get(position));
    synonyms
        .and_then(|synonyms| synonyms.split('|').next())
        .unwrap_or_default()
}

fn flag_names(names: &[&str], bits: i64) -> Words {
    if bits == 0 {
        return vec![names[0].as_bytes().to_vec()];
    }
    let is_set = |(bit, _): &(usize, &&str)| bits & (1 << bit) != 0;
    names[1..]
        .iter()
        .enumerate()
        .filter(is_set)
        .map(|(_, name)| name.as_bytes().to_vec())
        .collect()
}

/// As Redis prints them: `A` for all of its letters, which then also swallows the `n`.
fn event_text(bits: i64) -> String {
    EventClasses::from_bits(bits as u32).letters()
}

/// A file name, not a path; empty only for `dbfilename`, which so turns snapshots off.
/// Lets only quotas of namespaces through.
pub(super) fn well_formed_quotas(_row: &Row, value: &Value) -> Result<(), String> {
    let Value::Text(text) = value else {
        return Ok(());
    };
    read_quotas(&String::from_utf8_lossy(text)).map(drop)
}

/// The part of a whole that a text names, in millionths.
pub(super) fn part_ppm(text: &str) -> Option<u64> {
    let part: f64 = text.trim().parse().ok()?;
    (part > 0.0 && part <= 1.0).then(|| ((part * 1e6).round() as u64).max(1))
}

pub(super) fn a_part(_row: &Row, value: &Value) -> Result<(), String> {
    let Value::Text(text) = value else {
        return Ok(());
    };
    let part = part_ppm(&String::from_utf8_lossy(text));
    let refused = || "argument must be above 0 and at most 1".to_owned();
    part.map(drop).ok_or_else(refused)
}

/// A host that a client can be told in a line of text.
pub(super) fn a_host(row: &Row, value: &Value) -> Result<(), String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b".:-_".contains(byte);
    match value {
        Value::Text(host) if !host.iter().all(is_part) => Err(format!(
            "{} must be an address or the name of a host",
            row.name
        )),
        _ => Ok(()),
    }
}

pub(super) fn plain_file_name(row: &Row, value: &Value) -> Result<(), String> {
    let Value::Text(name) = value else {
        return Ok(());
    };
    let noun = if row.name.ends_with("dirname") {
        "dirname"
    } else {
        "filename"
    };
    if name.is_empty() && row.name != "dbfilename" {
        return Err(format!("{} can't be empty", row.name));
    }
    if name.contains(&b'/') || name == b"." || name == b".." {
        return Err(format!("{} can't be a path, just a {noun}", row.name));
    }
    Ok(())
}

/// Both saving and not saving cannot be meant.
pub(super) fn no_contradiction(_: &Row, value: &Value) -> Result<(), String> {
    match value {
        Value::Number(bits) if bits & 0b11 == 0b11 => {
            Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into())
        }
        _ => Ok(()),
    }
}

/// A command that is to be hidden or removed must not stay where everybody finds it.
pub(super) fn refuse_renames(_: &Row, value: &Value) -> Result<(), String> {
    match value {
        Value::Words(words) if words.is_empty() => Ok(()),
        _ => Err("commands keep their names, so it would leave them open to every client".into()),
    }
}

/// Users that would silently not exist must not open the server to everybody.
pub(super) fn refuse_acl(_: &Row, value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) if text.is_empty() => Ok(()),
        Value::Words(words) if words.is_empty() => Ok(()),
        _ => Err(
            "ACL users are not built yet, so it would leave the server open; use requirepass"
                .into(),
        ),
    }
}
