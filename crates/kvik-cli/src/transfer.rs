//! `kvik import` and `kvik export`: data of other servers and of their files, to and from kvik.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ArgMatches;
use kvik_client::{Client, ClientError, Value};
use kvik_server::import::{ENTER_DEFAULT, ImportSink, Source, neks_store};

use crate::cli::settings::{endpoint, options};
use crate::cli::view::keyspace::Keyspace;
use crate::copy::{self, CommandWords, Item, Progress, Target, ask, lines};

/// Commands sent together.
const BATCH: usize = 256;
/// Bytes of commands from which they are sent.
const BATCH_BYTES: usize = 4 << 20;

/// Runs `kvik import`.
pub(crate) fn import(matches: &ArgMatches) -> ExitCode {
    finish(try_import(matches))
}

/// Runs `kvik export`.
pub(crate) fn export(matches: &ArgMatches) -> ExitCode {
    finish(try_export(matches))
}

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn connect(matches: &ArgMatches) -> anyhow::Result<Client> {
    Client::open(&endpoint(matches)?, &options(matches)).context("cannot connect")
}

/// Where an import goes: a running server, or the directory of one that does not run.
fn target(matches: &ArgMatches) -> anyhow::Result<Box<dyn Target>> {
    if let Some(path) = matches.get_one::<PathBuf>("dir") {
        return Ok(Box::new(copy::open_directory(path)?));
    }
    let client = match matches.get_one::<String>("to") {
        Some(url) => Client::connect(url, &options(matches))
            .with_context(|| format!("cannot connect to {}", without_password(url)))?,
        None => connect(matches)?,
    };
    Ok(Box::new(client))
}

fn try_import(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let source = matches
        .get_one::<String>("source")
        .map_or("", String::as_str);
    if source.contains("://") {
        return import_server(source, matches);
    }
    if source.ends_with(".jsonl") {
        return import_lines(Path::new(source), matches);
    }
    let directory = matches.get_one::<String>("directory");
    let source = match (source, directory) {
        ("kevy", Some(directory)) => Source::KevyDirectory(directory.into()),
        (source, Some(directory)) => bail!("{source} {directory}: the source is one word"),
        (source, None) => Source::parse(source),
    };
    let mut target = target(matches)?;
    if source.has_plain_names() {
        let words = ENTER_DEFAULT.map(|word| word.as_bytes().to_vec()).to_vec();
        // A server without namespaces refuses it, and all is well.
        target.run(&[words])?;
    }
    let mut sink = TargetSink {
        target,
        waiting: Vec::new(),
        bytes: 0,
        keys: 0,
        progress: Progress::new("imported"),
    };
    let report = source.read(&mut sink).and_then(|report| {
        sink.send()?;
        Ok(report)
    });
    sink.progress.finish();
    let report = report.with_context(|| format!("cannot import {source}"))?;
    println!("imported {} keys from {source}", report.keys);
    for defect in &report.defects {
        eprintln!("{source}: {defect}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where an import goes, with the commands that are sent together.
struct TargetSink {
    target: Box<dyn Target>,
    waiting: Vec<CommandWords>,
    bytes: usize,
    keys: u64,
    progress: Progress,
}

impl TargetSink {
    /// Sends what waits. A command that is refused ends the import.
    fn send(&mut self) -> io::Result<()> {
        let replies = self.target.run(&self.waiting).map_err(io::Error::other)?;
        let refused = self.waiting.iter().zip(&replies);
        let mut refused =
            refused.filter_map(|(command, reply)| reply.as_error().map(|error| (command, error)));
        if let Some((command, error)) = refused.next() {
            let key = command.get(1).map(|key| key.escape_ascii().to_string());
            let error = String::from_utf8_lossy(error.as_bytes());
            let text = format!("the key '{}': {error}", key.unwrap_or_default());
            return Err(io::Error::other(text));
        }
        self.keys += self.waiting.len() as u64;
        self.progress.show(self.keys);
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}

impl ImportSink for TargetSink {
    fn take(&mut self, command: &[&[u8]]) -> io::Result<()> {
        self.bytes += command.iter().map(|word| word.len()).sum::<usize>();
        self.waiting
            .push(command.iter().map(|word| word.to_vec()).collect());
        match self.waiting.len() >= BATCH || self.bytes >= BATCH_BYTES {
            true => self.send(),
            false => Ok(()),
        }
    }

    fn show(&mut self, read_bytes: u64, total_bytes: u64) {
        self.progress.show_read(read_bytes, total_bytes);
    }
}

/// Copies the keys of a running server. The exit status tells whether all have arrived whole.
fn import_server(url: &str, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let shown = without_password(url);
    let mut source = Client::connect(url, &options(matches))
        .with_context(|| format!("cannot connect to {shown}"))?;
    let mut target = target(matches)?;
    let mut progress = Progress::new("copied");
    let report = copy::copy(&mut source, target.as_mut(), &mut progress)
        .with_context(|| format!("cannot copy {shown}"))?;
    println!("imported {} keys from {shown}", report.keys);
    Ok(told(&report.defects, &shown))
}

/// A URL as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{host}")
}

fn try_export(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let mut client = connect(matches)?;
    if let Some(path) = matches.get_one::<PathBuf>("json") {
        return export_lines(&mut client, path, matches);
    }
    let path = matches
        .get_one::<PathBuf>("neks")
        .cloned()
        .unwrap_or_default();
    let entries = strings(&mut client)?;
    let count = entries.len();
    write_whole(&path, |file| neks_store::write(entries, file))?;
    println!("exported {count} keys to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is whole or not there.
fn write_whole(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> anyhow::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push("~");
    let cannot = || format!("cannot write {}", path.display());
    let file = File::create(&unfinished).with_context(cannot)?;
    write(&file)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(cannot)
}

/// All keys as lines of JSON.
fn export_lines(
    client: &mut Client,
    path: &Path,
    matches: &ArgMatches,
) -> anyhow::Result<ExitCode> {
    let pattern = matches.get_one::<String>("pattern").map(String::as_str);
    let mut progress = Progress::new("exported");
    let total = ask(client, &[b"DBSIZE"])?.as_int();
    progress.expect(total.and_then(|total| total.try_into().ok()));
    let (mut count, mut defects) = (0, Vec::new());
    write_whole(path, |file| {
        let mut out = BufWriter::new(file);
        let mut keyspace = Keyspace::new(pattern, Duration::ZERO);
        while let Some(keys) = keyspace.page(client).map_err(io::Error::other)? {
            for key in keys {
                match Item::read(client, &key) {
                    Ok(Some(item)) => {
                        writeln!(out, "{}", lines::write(&key, &item))?;
                        count += 1;
                    }
                    Ok(None) => {}
                    Err(error) if error.is::<ClientError>() => return Err(io::Error::other(error)),
                    Err(error) => defects.push(format!("'{}': {error}", key.escape_ascii())),
                }
            }
            progress.show(count);
        }
        out.flush()
    })?;
    progress.finish();
    println!("exported {count} keys to {}", path.display());
    Ok(told(&defects, &path.display()))
}

/// Tells what is missing; the exit status says whether anything is.
fn told(defects: &[String], source: &dyn std::fmt::Display) -> ExitCode {
    for defect in defects {
        eprintln!("{source}: {defect}");
    }
    match defects.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Keys from lines of JSON.
fn import_lines(path: &Path, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let mut target = target(matches)?;
    let mut progress = Progress::new("imported");
    let (mut count, mut defects) = (0, Vec::new());
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.with_context(cannot)?;
        if line.trim().is_empty() {
            continue;
        }
        let written = lines::read(&line).and_then(|(key, item)| {
            let replies = target.run(&item.write(&key))?;
            match replies.iter().find_map(Value::as_error) {
                Some(error) => bail!("{error}"),
                None => Ok(()),
            }
        });
        match written {
            Ok(()) => count += 1,
            Err(error) if error.is::<ClientError>() => return Err(error),
            Err(error) => defects.push(format!("line {number}: {error}")),
        }
        progress.show(count);
    }
    progress.finish();
    println!("imported {count} keys from {}", path.display());
    Ok(told(&defects, &path.display()))
}

/// All strings of the database, where there are namespaces those of `default`: the keys that a door
/// of Neks shows.
fn strings(client: &mut Client) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    client.call(&ENTER_DEFAULT)?;
    let (mut entries, mut cursor) = (Vec::new(), b"0".to_vec());
    loop {
        let page = ask(
            client,
            &[b"SCAN", &cursor, b"COUNT", b"256", b"TYPE", b"string"],
        )?;
        let Some([next, keys]) = page.as_slice() else {
            bail!("SCAN is answered by {page:?}");
        };
        cursor = next.as_bytes().unwrap_or(b"0").to_vec();
        for key in keys.as_slice().unwrap_or_default() {
            let key = key.as_bytes().unwrap_or_default();
            // One that has gone meanwhile is none.
            if let Some(value) = ask(client, &[b"GET", key])?.as_bytes() {
                entries.push((key.to_vec(), value.to_vec()));
            }
        }
        if cursor == b"0" {
            return Ok(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(
            without_password("redis://ann:se@cret@h:1/2"),
            "redis://h:1/2"
        );
        assert_eq!(without_password("unix:///a"), "unix:///a");
    }
}
