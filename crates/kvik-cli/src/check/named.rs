//! The check under the names of Redis' tools: `redis-check-aof` and `redis-check-rdb`, and Valkey's
//! names for them.
//!
//! They take the command lines of the originals and print the lines that scripts look for. What
//! they cut off from a file they keep beside it, as `kvik check --repair` does.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;

use kvik_log::{Disk, DiskReader, Manifest, ReadError, SystemDisk, UnitReader};

use super::rdb::SnapshotFault;
use super::{Check, FileKind, kind, rdb};

/// Longest line of a manifest.
const MAX_LINE: u64 = 1024;

/// Runs `redis-check-aof` with the words behind its name.
pub(crate) fn check_aof(program: &str, words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut tool = AofTool {
        check: Check::new(&SystemDisk, true),
        out: io::stdout(),
        input: io::stdin().lock(),
        fixes: false,
        up_to_s: None,
    };
    let path = match words[..] {
        ["-v" | "--version"] => return version(program),
        [path] => path,
        ["--fix", path] => {
            tool.fixes = true;
            path
        }
        ["--truncate-to-timestamp", time, path] => {
            let Ok(time_s) = time.parse() else {
                return refuse("Invalid timestamp, aborting...");
            };
            tool.up_to_s = Some(time_s);
            path
        }
        _ => {
            return refuse(&format!(
                "Usage: {program} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>"
            ));
        }
    };
    match tool.path(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Told) => ExitCode::FAILURE,
        Err(Stop::Failed(error)) => refuse(&error.to_string()),
    }
}

/// Runs `redis-check-rdb` with the words behind its name.
pub(crate) fn check_rdb(program: &str, words: &[String]) -> ExitCode {
    let path = match words {
        [word] if word == "-v" || word == "--version" => return version(program),
        [path] => Path::new(path),
        _ => return refuse(&format!("Usage: {program} <rdb-file-name>")),
    };
    let mut out = io::stdout();
    let read = SystemDisk.read(path);
    match read.and_then(|mut source| tell_snapshot(&mut out, path, &mut *source)) {
        Ok(Some(_)) => ExitCode::SUCCESS,
        Ok(None) => ExitCode::FAILURE,
        Err(error) => refuse(&format!("Cannot open file {}: {error}", path.display())),
    }
}

fn version(program: &str) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    match writeln!(io::stdout(), "{program} {version} (kvik)") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn refuse(text: &str) -> ExitCode {
    // Without a standard error the status says it.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::FAILURE
}

/// Reads the snapshot at the start of a file, and tells of it. None if it is damaged.
fn tell_snapshot(
    out: &mut dyn Write,
    path: &Path,
    source: &mut dyn DiskReader,
) -> io::Result<Option<rdb::Snapshot>> {
    writeln!(out, "[offset 0] Checking RDB file {}", path.display())?;
    let snapshot = match rdb::read(source) {
        Ok(snapshot) => snapshot,
        Err(SnapshotFault::Io(error)) => return Err(error),
        Err(SnapshotFault::At { offset, reason }) => {
            writeln!(
                out,
                "--- RDB ERROR DETECTED ---\n[offset {offset}] {reason}"
            )?;
            return Ok(None);
        }
    };
    let end = snapshot.bytes;
    let sum = match snapshot.is_checked {
        true => "Checksum OK",
        false => "RDB file was saved with checksum disabled: no check performed.",
    };
    writeln!(out, "[offset {end}] {sum}")?;
    writeln!(out, "[offset {end}] \\o/ RDB looks OK! \\o/")?;
    writeln!(out, "[info] {} keys read", snapshot.keys)?;
    writeln!(out, "[info] {} expires", snapshot.expiring)?;
    writeln!(out, "[info] {} already expired", snapshot.overdue)?;
    Ok(Some(snapshot))
}

/// A check of a log.
struct AofTool<'a, R, W> {
    check: Check<'a>,
    out: W,
    /// Where a question is answered.
    input: R,
    /// Whether a bad end is cut off.
    fixes: bool,
    /// The last second that is kept; later units are cut off.
    up_to_s: Option<u64>,
}

/// Why a check ends early.
enum Stop {
    /// For a reason that has been told.
    Told,
    Failed(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The result for a file.
enum FileState {
    Valid,
    Empty,
    Cut,
    CutAtTime,
}

/// The commands of a file, as far as they were read.
struct Scan {
    /// The end of the last whole unit.
    valid: u64,
    /// Why the file does not end there.
    fault: Option<String>,
    /// Where the first unit begins that happened too late.
    late_at: Option<u64>,
}

impl<R: BufRead, W: Write> AofTool<'_, R, W> {
    fn say(&mut self, line: &str) -> Result<(), Stop> {
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Says why the check ends here.
    fn stop<T>(&mut self, line: &str) -> Result<T, Stop> {
        self.say(line)?;
        Err(Stop::Told)
    }

    fn open(&mut self, path: &Path) -> Result<(u64, Box<dyn DiskReader>), Stop> {
        let disk = self.check.disk;
        match disk.len(path).and_then(|len| Ok((len, disk.read(path)?))) {
            Ok(opened) => Ok(opened),
            Err(error) => {
                let path = path.display();
                self.stop(&format!("Cannot open file {path}: {error}, aborting..."))
            }
        }
    }

    fn path(&mut self, path: &Path) -> Result<(), Stop> {
        let (_, source) = self.open(path)?;
        if is_manifest(source)? {
            return self.manifest(path);
        }
        self.say("Start checking Old-Style AOF")?;
        let name = path.display().to_string();
        let state = self.file(&name, path, true)?;
        self.tell(&state, "AOF", &name)
    }

    /// Checks a manifest and the files that it names.
    fn manifest(&mut self, path: &Path) -> Result<(), Stop> {
        self.say("Start checking Multi Part AOF")?;
        let mut text = Vec::new();
        self.open(path)?.1.read_to_end(&mut text)?;
        let manifest = match Manifest::parse(&text) {
            Ok(manifest) => manifest,
            Err(error) => {
                let (line, reason) = (error.line, error.reason);
                return self.stop(&format!(
                    "*** FATAL AOF MANIFEST FILE ERROR ***\n\
                     Reading the manifest file, at line {line}\n{reason}"
                ));
            }
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        if let Some(base) = &manifest.base {
            let (name, path) = (&base.name, directory.join(&base.name));
            let format = match kind(self.check.disk, &path) {
                Ok(FileKind::Rdb) => "RDB",
                _ => "RESP",
            };
            self.say(&format!("Start to check BASE AOF ({format} format)."))?;
            let state = self.file(name, &path, manifest.increments.is_empty())?;
            self.tell(&state, "BASE AOF", name)?;
        }
        if !manifest.increments.is_empty() {
            self.say("Start to check INCR files.")?;
        }
        let last = manifest.increments.len().saturating_sub(1);
        for (at, increment) in manifest.increments.iter().enumerate() {
            let (name, path) = (&increment.name, directory.join(&increment.name));
            let state = self.file(name, &path, at == last)?;
            self.tell(&state, "INCR AOF", name)?;
        }
        self.say("All AOF files and manifest are valid")
    }

    fn tell(&mut self, state: &FileState, kind: &str, name: &str) -> Result<(), Stop> {
        let time_s = self.up_to_s.unwrap_or(0);
        self.say(&match state {
            FileState::Valid => format!("{kind} {name} is valid"),
            FileState::Empty => format!("{kind} {name} is empty"),
            FileState::Cut => format!("Successfully truncated AOF {name}"),
            FileState::CutAtTime => {
                format!("Successfully truncated AOF {name} to timestamp {time_s}")
            }
        })
    }

    /// Checks a file of commands, with a snapshot before them perhaps. Only the last file of a log
    /// may be cut: what follows was appended to what this one leads to.
    fn file(&mut self, name: &str, path: &Path, is_last: bool) -> Result<FileState, Stop> {
        let (len, mut source) = self.open(path)?;
        if len == 0 {
            return Ok(FileState::Empty);
        }
        let mut commands_at = 0;
        if kind(self.check.disk, path)? == FileKind::Rdb {
            match tell_snapshot(&mut self.out, path, &mut *source)? {
                Some(snapshot) => commands_at = snapshot.bytes,
                None => return self.stop("RDB preamble of AOF file is not sane, aborting."),
            }
            self.say("RDB preamble is OK, proceeding with AOF tail...")?;
        }
        let scan = scan(&mut *source, commands_at, self.up_to_s)?;
        if let (Some(at), Some(time_s)) = (scan.late_at, self.up_to_s) {
            return self.cut_at_time(path, at, time_s, is_last);
        }
        if let Some(fault) = &scan.fault {
            self.say(fault)?;
        }
        let diff = len - scan.valid;
        if let (Some(time_s), 0) = (self.up_to_s, diff) {
            let text = format!("Truncate nothing in AOF {name} to timestamp {time_s}");
            self.say(&text)?;
            return Ok(FileState::Valid);
        }
        let line = line_at(self.open(path)?.1, commands_at, scan.valid)?;
        self.say(&format!(
            "AOF analyzed: filename={name}, size={len}, ok_up_to={}, ok_up_to_line={line}, diff={diff}",
            scan.valid
        ))?;
        if diff == 0 {
            return Ok(FileState::Valid);
        }
        if !self.fixes {
            return self.stop(&format!(
                "AOF {name} is not valid. Use the --fix option to try fixing it."
            ));
        }
        if !is_last {
            return self.stop(&format!(
                "Failed to truncate AOF {name} because it is not the last file"
            ));
        }
        self.ask(&format!(
            "This will shrink the AOF {name} from {len} bytes, with {diff} bytes, to {} bytes",
            scan.valid
        ))?;
        self.cut(path, scan.valid)?;
        Ok(FileState::Cut)
    }

    fn cut_at_time(
        &mut self,
        path: &Path,
        at: u64,
        time_s: u64,
        is_last: bool,
    ) -> Result<FileState, Stop> {
        let shown = path.display();
        if at == 0 {
            return self.stop(&format!(
                "AOF {shown} has nothing before timestamp {time_s}, aborting..."
            ));
        }
        if !is_last {
            return self.stop(&format!(
                "Failed to truncate AOF {shown} to timestamp {time_s} to offset {at} because it is not the last file."
            ));
        }
        self.cut(path, at)?;
        Ok(FileState::CutAtTime)
    }

    /// Asks whether to go on.
    fn ask(&mut self, text: &str) -> Result<(), Stop> {
        write!(self.out, "{text}\nContinue? [y/N]: ")?;
        self.out.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        match answer.starts_with(['y', 'Y']) {
            true => Ok(()),
            false => self.stop("Aborting..."),
        }
    }

    fn cut(&mut self, path: &Path, at: u64) -> Result<(), Stop> {
        let Some(_locks) = self.check.keep_out(path) else {
            let path = path.display();
            return self.stop(&format!(
                "Failed to truncate AOF {path}: a server has the directory open"
            ));
        };
        let kept_in = self.check.cut(path, at)?;
        self.say(&format!("The bytes that are cut off are in {kept_in}"))
    }
}

/// Whether a file is a manifest: the first line that is no comment begins as its lines do.
fn is_manifest(source: impl Read) -> io::Result<bool> {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        source
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?;
        if line.first() != Some(&b'#') {
            return Ok(line.starts_with(b"file"));
        }
    }
}

/// Reads the units of a file from an offset on, up to the first that happened after a second.
fn scan(source: &mut dyn DiskReader, at: u64, up_to_s: Option<u64>) -> io::Result<Scan> {
    source.seek(SeekFrom::Start(at))?;
    let is_late = |time_s: Option<u64>| up_to_s.is_some() && time_s > up_to_s;
    let mut reader = UnitReader::new(source, at, 0);
    let mut kept = at;
    let fault = loop {
        match reader.next_unit() {
            Ok(Some(unit)) if is_late(unit.time_s) => break None,
            Ok(Some(unit)) => kept = unit.end,
            Ok(None) => break None,
            Err(ReadError::Io(error)) => return Err(error),
            Err(error) => break Some(error.to_string()),
        }
    };
    Ok(Scan {
        valid: reader.valid(),
        late_at: is_late(reader.time_s()).then_some(kept),
        fault,
    })
}

/// The number of the line at an offset behind whole commands, as Redis counts: a length is a line
/// and a word is one, whatever it holds, and an annotation is none.
fn line_at(source: Box<dyn DiskReader>, from: u64, end: u64) -> io::Result<u64> {
    let mut source = BufReader::new(source);
    source.seek(SeekFrom::Start(from))?;
    let (mut at, mut lines, mut line) = (from, 1, Vec::new());
    while at < end {
        line.clear();
        let count = source.read_until(b'\n', &mut line)?;
        if count == 0 {
            break;
        }
        at += count as u64;
        lines += u64::from(line[0] != b'#');
        if line[0] == b'$' {
            let len = String::from_utf8_lossy(&line[1..]).trim().parse();
            let len = len.unwrap_or(0).max(0) + 2;
            source.seek_relative(len)?;
            (at, lines) = (at + len as u64, lines + 1);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Run {
        dir: tempfile::TempDir,
    }

    impl Run {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(dir.path().join(name), text).unwrap();
            }
            Self { dir }
        }

        fn check(&self, name: &str, fixes: bool, up_to_s: Option<u64>) -> (String, bool) {
            let mut out = Vec::new();
            let mut tool = AofTool {
                check: Check::new(&SystemDisk, true),
                out: &mut out,
                input: &b"y\n"[..],
                fixes,
                up_to_s,
            };
            let is_ok = tool.path(&self.dir.path().join(name)).is_ok();
            (String::from_utf8(out).unwrap(), is_ok)
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.dir.path().join(name)).unwrap()
        }
    }

    const SET: &str = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n";
    const MANIFEST: &str = "# a comment\nfile a.base seq 1 type b\nfile a.incr seq 1 type i\n";

    #[test]
    fn a_file_is_valid_or_told_where_it_is_not_and_is_fixed_on_request() {
        let run = Run::new(&[("log", &format!("{SET}!!!"))]);
        let (text, is_ok) = run.check("log", false, None);
        assert!(!is_ok && text.contains("size=31, ok_up_to=28, ok_up_to_line=8, diff=3"));
        assert!(
            text.contains("is not valid. Use the --fix option"),
            "{text}"
        );
        let (text, is_ok) = run.check("log", true, None);
        assert!(
            is_ok && text.contains("Successfully truncated AOF "),
            "{text}"
        );
        assert_eq!(run.text("log"), SET);
        assert_eq!(run.text("log.28.dropped"), "!!!");
        let (text, is_ok) = run.check("log", false, None);
        assert!(is_ok && text.starts_with("Start checking Old-Style AOF\n"));
        assert!(text.ends_with("is valid\n"), "{text}");
    }

    #[test]
    fn only_the_last_file_of_a_log_is_cut() {
        let torn = format!("{SET}*1\r\n$5\r\nMULTI\r\n{SET}");
        let files = [("a.base", torn.as_str()), ("a.incr", SET), ("m", MANIFEST)];
        let run = Run::new(&files);
        let (text, is_ok) = run.check("m", true, None);
        assert!(
            !is_ok && text.contains("because it is not the last file"),
            "{text}"
        );
        assert_eq!(run.text("a.base"), torn);
        let run = Run::new(&[("a.base", SET), ("a.incr", &torn), ("m", MANIFEST)]);
        assert!(!run.check("m", false, None).1);
        let (text, is_ok) = run.check("m", true, None);
        assert!(is_ok && text.ends_with("All AOF files and manifest are valid\n"));
        assert_eq!(run.text("a.incr"), SET);
    }

    #[test]
    fn what_happened_after_a_second_is_cut_off() {
        let log = format!("#TS:5\r\n{SET}#TS:7\r\n{SET}#TS:9\r\n{SET}");
        let run = Run::new(&[("log", &log)]);
        let (text, is_ok) = run.check("log", false, Some(9));
        assert!(is_ok && text.contains("Truncate nothing"), "{text}");
        let (text, is_ok) = run.check("log", false, Some(8));
        assert!(is_ok && text.contains("to timestamp 8"), "{text}");
        assert_eq!(run.text("log"), format!("#TS:5\r\n{SET}#TS:7\r\n{SET}"));
        let (text, is_ok) = run.check("log", false, Some(4));
        assert!(!is_ok && text.contains("has nothing before timestamp 4, aborting"));
    }

    #[test]
    fn a_bad_manifest_is_told_with_its_line() {
        let run = Run::new(&[("m", "file a.base seq 1 type b\n!!!\n")]);
        let (text, is_ok) = run.check("m", false, None);
        assert!(
            !is_ok && text.contains("at line 2\nInvalid AOF manifest file format"),
            "{text}"
        );
    }
}
