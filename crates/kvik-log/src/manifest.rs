//! The manifest: which files make up the log, in Redis' format.
//!
//! One line per file: `file NAME seq N type b|h|i`, base first, then history, then increments in
//! the order in which they are replayed. Redis ignores keys that it does not know, and kvik keeps
//! there what makes places in the log last: on which [`Lsn`] a file starts, and the log's id. Redis
//! drops them when it rewrites the manifest; the log then gets a new id. The checks and the texts
//! of errors are Redis'.

use std::fmt::Write;

use kvik_resp::{ArgsBuf, split_line};

use crate::{LogId, Lsn};

/// Longest line, as Redis reads them.
const MAX_LINE: usize = 1024;

/// The format of what kvik adds to Redis' files. Files of a higher one are refused.
pub const MANIFEST_FORMAT: u64 = 1;

const FORMAT_KEY: &str = "kvik";
const ID_KEY: &str = "logid";
/// Redis 8 has these two itself, with the same meaning: offsets of replication.
const START_KEY: &str = "startoffset";
const END_KEY: &str = "endoffset";

/// The files that make up a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// All keys as they were at one moment.
    pub base: Option<ManifestFile>,
    /// Files that a rewrite has made superfluous and that are about to be removed, the latest
    /// first.
    pub history: Vec<ManifestFile>,
    /// Effects since the base, in order.
    pub increments: Vec<ManifestFile>,
}

/// A line of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// Name of the file, without a directory.
    pub name: String,
    /// Its number among its like, counted from 1.
    pub seq: u64,
    /// Keys other than Redis 7's, with their values, in order.
    pub extra: Vec<(String, String)>,
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The line, counted from 1; 0 is the file as a whole.
    pub line: usize,
    /// Redis' text.
    pub reason: &'static str,
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (line {} of the manifest)", self.reason, self.line)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        if text.is_empty() {
            let reason = "Found an empty AOF manifest";
            return Err(ManifestError { line: 0, reason });
        }
        for (at, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let parsed = manifest.parse_line(line);
            parsed.map_err(|reason| ManifestError {
                line: at + 1,
                reason,
            })?;
        }
        Ok(manifest)
    }

    fn parse_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.first() == Some(&b'#') {
            return Ok(());
        }
        if line.len() > MAX_LINE || line.last() != Some(&b'\n') {
            return Err("The AOF manifest file contains too long line");
        }
        let (file, kind) = parse_file(line).ok_or("Invalid AOF manifest file format")?;
        if file.name.contains(['/', '\\']) {
            return Err("File can't be a path, just a filename");
        }
        // Only increments have an order that matters: they are replayed in it.
        match kind {
            'b' if self.base.is_some() => Err("Found duplicate base file information"),
            'b' => {
                self.base = Some(file);
                Ok(())
            }
            'h' => {
                self.history.push(file);
                Ok(())
            }
            'i' if self.increments.last().is_some_and(|it| it.seq >= file.seq) => {
                Err("Found a non-monotonic sequence number")
            }
            'i' => {
                self.increments.push(file);
                Ok(())
            }
            _ => Err("Unknown AOF file type"),
        }
    }

    /// The text of the manifest.
    pub fn print(&self) -> String {
        let mut out = String::new();
        let base = self.base.iter().map(|file| (file, 'b'));
        let history = self.history.iter().map(|file| (file, 'h'));
        let increments = self.increments.iter().map(|file| (file, 'i'));
        for (file, kind) in base.chain(history).chain(increments) {
            print_line(file, kind, &mut out);
        }
        out
    }

    /// Whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The files that are loaded, in order.
    pub fn loaded(&self) -> impl Iterator<Item = &ManifestFile> {
        self.base.iter().chain(&self.increments)
    }

    /// The highest number of a base, and of an increment.
    pub(crate) fn last_seqs(&self) -> (u64, u64) {
        // History holds both kinds, so that its numbers are avoided for both.
        let history = self.history.iter().map(|file| file.seq).max().unwrap_or(0);
        let base = self.base.as_ref().map_or(0, |file| file.seq);
        let increment = self.increments.last().map_or(0, |file| file.seq);
        (base.max(history), increment.max(history))
    }
}

impl ManifestFile {
    /// A file of this log that starts at a place.
    pub(crate) fn new(name: String, seq: u64, id: LogId, start: Lsn) -> Self {
        let mut file = Self {
            name,
            seq,
            extra: Vec::new(),
        };
        file.set_start(start);
        file.set_id(id);
        file
    }

    /// Where the file starts in the log, if kvik wrote the manifest.
    pub fn start(&self) -> Option<Lsn> {
        self.number(START_KEY).map(Lsn::new)
    }

    /// Where the file ends in the log, if it was ended in an orderly manner.
    pub fn end(&self) -> Option<Lsn> {
        self.number(END_KEY).map(Lsn::new)
    }

    /// The id of the log that the file is part of.
    pub fn id(&self) -> Option<LogId> {
        self.get(ID_KEY)?.parse().ok()
    }

    /// The number of the format of what is not Redis'.
    pub fn format(&self) -> Option<u64> {
        self.number(FORMAT_KEY)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.extra.iter();
        let pair = pairs.find(|pair| pair.0.eq_ignore_ascii_case(key))?;
        Some(&pair.1)
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    pub(crate) fn set(&mut self, key: &str, value: String) {
        self.unset(key);
        self.extra.push((key.to_owned(), value));
    }

    pub(crate) fn set_start(&mut self, start: Lsn) {
        self.set(START_KEY, start.to_string());
    }

    /// Notes of which log the file is part, and that kvik says so.
    pub(crate) fn set_id(&mut self, id: LogId) {
        self.set(FORMAT_KEY, MANIFEST_FORMAT.to_string());
        self.set(ID_KEY, id.to_string());
    }

    pub(crate) fn set_end(&mut self, end: Lsn) {
        self.set(END_KEY, end.to_string());
    }

    /// Says no longer that the file was ended: more will be appended.
    pub(crate) fn unset_end(&mut self) {
        self.unset(END_KEY);
    }

    fn unset(&mut self, key: &str) {
        self.extra.retain(|pair| !pair.0.eq_ignore_ascii_case(key));
    }
}

/// The file of a line, and the letter of its type.
fn parse_file(line: &[u8]) -> Option<(ManifestFile, char)> {
    let mut words = ArgsBuf::default();
    split_line(line.trim_ascii(), &mut words).ok()?;
    let words = words.as_args();
    if words.len() < 6 || words.len() % 2 != 0 {
        return None;
    }
    // Keys come in any order, as in Redis; those that kvik does not know are kept.
    let (mut name, mut seq, mut kind, mut extra) = (None, None, None, Vec::new());
    let texts: Option<Vec<&str>> = words
        .iter()
        .map(|word| std::str::from_utf8(word).ok())
        .collect();
    for pair in texts?.chunks_exact(2) {
        match pair[0].to_ascii_lowercase().as_str() {
            "file" => name = Some(pair[1].to_owned()),
            "seq" => seq = Some(pair[1].parse::<u64>().ok()?),
            "type" => kind = pair[1].chars().next(),
            _ => extra.push((pair[0].to_owned(), pair[1].to_owned())),
        }
    }
    // Redis counts in a signed integer, and takes 0 for a number that is missing.
    let seq = seq.filter(|&seq| seq > 0 && seq < i64::MAX as u64)?;
    let name = name?;
    Some((ManifestFile { name, seq, extra }, kind?))
}

fn print_line(file: &ManifestFile, kind: char, out: &mut String) {
    out.push_str("file ");
    print_word(&file.name, out);
    write!(out, " seq {} type {kind}", file.seq).expect("a string takes everything");
    for (key, value) in &file.extra {
        out.push(' ');
        print_word(key, out);
        out.push(' ');
        print_word(value, out);
    }
    out.push('\n');
}

/// A word that is read as one again: quoted where Redis quotes, and only there.
fn print_word(word: &str, out: &mut String) {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'\'');
    if !word.is_empty() && word.bytes().all(plain) {
        out.push_str(word);
        return;
    }
    out.push('"');
    for byte in word.bytes() {
        match byte {
            b'\\' | b'"' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' ' => out.push(' '),
            byte if byte.is_ascii_graphic() => out.push(char::from(byte)),
            byte => write!(out, "\\x{byte:02x}").expect("a string takes everything"),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(name: &str, seq: u64) -> ManifestFile {
        ManifestFile {
            name: name.to_owned(),
            seq,
            extra: Vec::new(),
        }
    }

    fn reason(text: &str) -> &'static str {
        Manifest::parse(text.as_bytes()).unwrap_err().reason
    }

    #[test]
    fn a_manifest_of_redis_is_read_and_printed() {
        let text = "file appendonly.aof.2.base.rdb seq 2 type b\n\
            file appendonly.aof.1.incr.aof seq 1 type h\n\
            file appendonly.aof.4.incr.aof seq 4 type i\n\
            file appendonly.aof.5.incr.aof seq 5 type i\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.base, Some(plain("appendonly.aof.2.base.rdb", 2)));
        assert_eq!(manifest.history.len(), 1);
        assert_eq!(manifest.increments.len(), 2);
        assert_eq!(manifest.print(), text);
    }

    #[test]
    fn keys_may_come_in_any_order_and_case_and_unknown_ones_are_kept() {
        let text = b"# comment\nTYPE b color red SEQ 1 File a.aof\n";
        let base = Manifest::parse(text).unwrap().base.unwrap();
        assert_eq!((base.name.as_str(), base.seq), ("a.aof", 1));
        assert_eq!(base.get("color"), Some("red"));
        assert_eq!((base.start(), base.id()), (None, None));
    }

    #[test]
    fn the_places_of_a_file_come_back() {
        let id = LogId::new([7; 20]);
        let mut file = ManifestFile::new("a b".to_owned(), 3, id, Lsn::new(99));
        file.set_end(Lsn::new(120));
        let manifest = Manifest {
            increments: vec![file],
            ..Manifest::default()
        };
        let again = Manifest::parse(manifest.print().as_bytes()).unwrap();
        assert_eq!(again, manifest);
        let file = &again.increments[0];
        assert_eq!(
            (file.start(), file.end()),
            (Some(Lsn::new(99)), Some(Lsn::new(120)))
        );
        assert_eq!(
            (file.id(), file.format()),
            (Some(id), Some(MANIFEST_FORMAT))
        );
    }

    #[test]
    fn errors_are_those_of_redis() {
        assert_eq!(reason(""), "Found an empty AOF manifest");
        let invalid = "Invalid AOF manifest file format";
        for text in [
            "\n",
            "file a seq 1\n",
            "file a seq 1 type\n",
            "file a seq 0 type b\n",
            "file a seq x type b\n",
            "file \"a seq 1 type b\n",
        ] {
            assert_eq!(reason(text), invalid, "{text}");
        }
        let long = "The AOF manifest file contains too long line";
        assert_eq!(reason("file a seq 1 type b"), long);
        assert_eq!(reason(&format!("{}\n", "x".repeat(MAX_LINE))), long);
        let path = "File can't be a path, just a filename";
        assert_eq!(reason("file ../a seq 1 type b\n"), path);
        assert_eq!(reason("file a seq 1 type x\n"), "Unknown AOF file type");
        assert_eq!(
            reason("file a seq 1 type b\nfile b seq 2 type b\n"),
            "Found duplicate base file information"
        );
        assert_eq!(
            reason("file a seq 2 type i\nfile b seq 2 type i\n"),
            "Found a non-monotonic sequence number"
        );
    }

    fn file() -> impl Strategy<Value = ManifestFile> {
        let word = "[ -~äß\t]{1,12}";
        let key = "[a-eg-rx-z][a-z]{0,8}";
        let extra = prop::collection::vec(
            (key.prop_map(String::from), word.prop_map(String::from)),
            0..3,
        );
        ("[ -.0-\\[\\]-~é]{1,20}", 1u64..1 << 62, extra)
            .prop_map(|(name, seq, extra)| ManifestFile { name, seq, extra })
    }

    proptest! {
        #[test]
        fn a_printed_manifest_is_the_same(
            base in prop::option::of(file()),
            history in prop::collection::vec(file(), 0..3),
            mut increments in prop::collection::vec(file(), 1..4),
        ) {
            for (at, file) in increments.iter_mut().enumerate() {
                file.seq = at as u64 + 1;
            }
            let manifest = Manifest { base, history, increments };
            let text = manifest.print();
            prop_assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&text);
        }
    }
}
