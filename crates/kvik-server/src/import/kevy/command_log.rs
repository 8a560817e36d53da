//! A log of kevy: commands as clients send them.
//!
//! ```text
//! first form    "KEVYAOF1\n" or nothing, then commands
//! second form   "KEVYAOF2\n", then records
//! record        length (4 bytes, little-endian), CRC-32C of the command (4 bytes), command
//! ```
//!
//! A log that ends within a command was torn when the process ended: the rest is left out. Damage in
//! the second form is passed over up to the next record whose length, checksum and command agree.
//! In the first one nothing says where the next command begins, so it ends there, as it does for
//! kevy.
//!
//! Commands between two marks are a transaction: without the second mark none of them has happened.

use std::io::{self, Read, Seek, SeekFrom};

use kvik_resp::{Limits, Parsed, RequestParser, Span};

use super::Run;

const FIRST_FORM: &[u8] = b"KEVYAOF1\n";
const SECOND_FORM: &[u8] = b"KEVYAOF2\n";
const BEGIN: &[u8] = b"\0KEVYTXNBEGIN";
const COMMIT: &[u8] = b"\0KEVYTXNCOMMIT";
/// Bytes before the command of a record.
const HEADER: usize = 8;
/// Kevy writes no longer record.
const MAX_RECORD: u32 = 1 << 30;
/// Bytes that are read at a time.
const PIECE: u64 = 1 << 20;

/// Gives the commands of a log to `run`; what is wrong with it, in sentences.
///
/// # Errors
/// If the file cannot be read.
pub fn read(file: &mut (impl Read + Seek), run: &mut Run<'_>) -> io::Result<Vec<String>> {
    let mut start = Vec::new();
    file.by_ref()
        .take(SECOND_FORM.len() as u64)
        .read_to_end(&mut start)?;
    let mut log = LogReader {
        run,
        held: None,
        faults: Vec::new(),
    };
    match &start[..] {
        SECOND_FORM => log.read_records(file)?,
        FIRST_FORM => log.read_commands(file, Vec::new(), start.len())?,
        _ => log.read_commands(file, start, 0)?,
    }
    if let Some(held) = log.held.take() {
        log.faults.push(format!(
            "a transaction of {} commands was not finished and has not happened",
            held.len()
        ));
    }
    Ok(log.faults)
}

/// The words of a command.
type CommandWords = Vec<Vec<u8>>;

struct LogReader<'r, 'a> {
    run: &'r mut Run<'a>,
    /// The commands of a transaction whose end has not come.
    held: Option<Vec<CommandWords>>,
    faults: Vec<String>,
}

impl LogReader<'_, '_> {
    /// Takes a command, or a mark.
    fn take(&mut self, words: &[&[u8]]) {
        match (words, &mut self.held) {
            ([], _) => {}
            ([mark], held) if *mark == BEGIN => {
                if let Some(lost) = held.replace(Vec::new()) {
                    let count = lost.len();
                    self.faults.push(format!(
                        "a transaction of {count} commands has no end and has not happened"
                    ));
                }
            }
            ([mark], held) if *mark == COMMIT => {
                for command in held.take().unwrap_or_default() {
                    let words: Vec<_> = command.iter().map(Vec::as_slice).collect();
                    (self.run)(&words);
                }
            }
            (_, Some(held)) => held.push(words.iter().map(|word| word.to_vec()).collect()),
            (_, None) => (self.run)(words),
        }
    }

    /// Reads the first form; `buffer` is what has been read of it.
    fn read_commands(
        &mut self,
        file: &mut impl Read,
        mut buffer: Vec<u8>,
        start: usize,
    ) -> io::Result<()> {
        let (mut commands, mut spans) = (Commands::new(), Vec::new());
        let (mut at, mut offset, mut strays) = (0, start as u64, 0_u64);
        loop {
            let rest = &buffer[at..];
            match commands.next(rest, &mut spans) {
                Next::Command(consumed) => {
                    self.take(&words(rest, &spans));
                    at += consumed;
                    offset += consumed as u64;
                }
                Next::Stray(consumed) => {
                    strays += 1;
                    at += consumed;
                    offset += consumed as u64;
                }
                Next::Incomplete => {
                    buffer.drain(..at);
                    at = 0;
                    if file.by_ref().take(PIECE).read_to_end(&mut buffer)? > 0 {
                        continue;
                    }
                    if !buffer.is_empty() {
                        let left = buffer.len();
                        self.faults.push(format!(
                            "the last {left} bytes, from offset {offset}, are no whole command and \
                             are left out"
                        ));
                    }
                    break;
                }
                Next::Malformed(reason) => {
                    let unread = io::copy(file, &mut io::sink())?;
                    let left = rest.len() as u64 + unread;
                    self.faults.push(format!(
                        "{reason} at offset {offset}: the last {left} bytes are left out"
                    ));
                    break;
                }
            }
        }
        if strays > 0 {
            self.faults.push(format!(
                "{strays} lines are no commands and are passed over"
            ));
        }
        Ok(())
    }

    /// Reads the second form.
    fn read_records(&mut self, file: &mut (impl Read + Seek)) -> io::Result<()> {
        let (mut record, mut offset) = (Vec::new(), SECOND_FORM.len() as u64);
        loop {
            record.clear();
            file.by_ref().take(HEADER as u64).read_to_end(&mut record)?;
            if record.is_empty() {
                return Ok(());
            }
            if let Some(len) = announced(&record) {
                file.by_ref().take(len.into()).read_to_end(&mut record)?;
            }
            let Some(consumed) = self.take_record(&record) else {
                break;
            };
            offset += consumed as u64;
        }
        // Damage is rare, and finding its end wants all that follows.
        file.seek(SeekFrom::Start(offset))?;
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        self.pass_damage(&rest, offset);
        Ok(())
    }

    /// Takes the command of a record that is whole; its length.
    fn take_record(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut spans = Vec::new();
        let command = valid_record(bytes, &mut spans)?;
        self.take(&words(command, &spans));
        Some(HEADER + command.len())
    }

    /// Reads records from bytes of which the first ones are damaged.
    fn pass_damage(&mut self, bytes: &[u8], offset: u64) {
        let mut at = 0;
        while at < bytes.len() {
            if let Some(consumed) = self.take_record(&bytes[at..]) {
                at += consumed;
                continue;
            }
            let mut spans = Vec::new();
            let mut later = at + 1..bytes.len();
            let next = later.find(|next| valid_record(&bytes[*next..], &mut spans).is_some());
            let from = offset + at as u64;
            match next {
                Some(next) => self.faults.push(format!(
                    "{} bytes from offset {from} are damaged and are passed over",
                    next - at
                )),
                None => self.faults.push(format!(
                    "the last {} bytes, from offset {from}, are no whole record and are left out",
                    bytes.len() - at
                )),
            }
            at = next.unwrap_or(bytes.len());
        }
    }
}

/// The length that the header of a record announces, if one of kevy may.
fn announced(header: &[u8]) -> Option<u32> {
    let len = u32::from_le_bytes(*header.first_chunk()?);
    (1..=MAX_RECORD).contains(&len).then_some(len)
}

/// The command of a record that lies at the start of some bytes and is whole.
fn valid_record<'b>(bytes: &'b [u8], spans: &mut Vec<Span>) -> Option<&'b [u8]> {
    let len = announced(bytes)? as usize;
    let sum = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let command = bytes.get(HEADER..)?.get(..len)?;
    // The checksum is the dear one, so it comes last.
    let is_whole = command.first() == Some(&b'*')
        && matches!(Commands::new().next(command, spans), Next::Command(end) if end == len)
        && crc32c(command) == sum;
    is_whole.then_some(command)
}

/// The next thing in a stream of commands.
enum Next {
    Command(usize),
    /// A line of text.
    Stray(usize),
    Incomplete,
    Malformed(String),
}

struct Commands {
    parser: RequestParser,
    limits: Limits,
}

impl Commands {
    fn new() -> Self {
        Self {
            parser: RequestParser::new(),
            limits: Limits {
                max_bulk: MAX_RECORD.into(),
                ..Limits::default()
            },
        }
    }

    fn next(&mut self, bytes: &[u8], spans: &mut Vec<Span>) -> Next {
        if bytes.first().is_some_and(|byte| *byte != b'*') {
            let end = memchr::memchr(b'\n', bytes);
            return end.map_or(Next::Incomplete, |end| Next::Stray(end + 1));
        }
        match self.parser.parse(bytes, &self.limits, spans) {
            Ok(Parsed::Command { consumed }) => Next::Command(consumed),
            Ok(Parsed::Inline { consumed }) => Next::Stray(consumed),
            Ok(Parsed::Incomplete { .. }) => Next::Incomplete,
            Err(error) => Next::Malformed(error.to_string()),
        }
    }
}

fn words<'b>(bytes: &'b [u8], spans: &[Span]) -> Vec<&'b [u8]> {
    let words = spans.iter().map(|span| {
        let start = span.start as usize;
        &bytes[start..start + span.len as usize]
    });
    words.collect()
}

/// CRC-32 with the polynomial of Castagnoli, as iSCSI has it (RFC 3720, appendix B.4).
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = (index as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};
