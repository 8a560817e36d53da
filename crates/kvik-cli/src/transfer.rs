//! `kvik import` and `kvik export`: data of other servers and of their files, to and from kvik.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ArgMatches;
use kvik_client::{Client, Options, Value};
use kvik_server::import::{Source, neks_store};

use crate::cli::settings::endpoint;
use crate::copy::{self, Progress, Target, Words, ask};

/// Commands sent together.
const BATCH: usize = 256;

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
    let options = Options::default();
    Client::open(&endpoint(matches)?, &options).context("cannot connect")
}

/// Where an import goes: a running server, or the directory of one that does not run.
fn target(matches: &ArgMatches) -> anyhow::Result<Box<dyn Target>> {
    if let Some(path) = matches.get_one::<PathBuf>("dir") {
        return Ok(Box::new(copy::open_directory(path)?));
    }
    let client = match matches.get_one::<String>("to") {
        Some(url) => Client::connect(url, &Options::default())
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
    let source = Source::parse(source);
    let mut target = target(matches)?;
    let mut waiting = Vec::new();
    let report = source.read(&mut |key, value| {
        waiting.push([b"SET", key, value].map(<[u8]>::to_vec).to_vec());
        match waiting.len() >= BATCH {
            true => run_all(target.as_mut(), &mut waiting),
            false => Ok(()),
        }
    });
    let report = report.with_context(|| format!("cannot import {source}"))?;
    run_all(target.as_mut(), &mut waiting)?;
    println!("imported {} keys from {source}", report.keys);
    for defect in &report.defects {
        eprintln!("{source}: {defect}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs commands that must not fail.
fn run_all(target: &mut dyn Target, waiting: &mut Vec<Words>) -> io::Result<()> {
    let replies = target.run(waiting).map_err(io::Error::other)?;
    waiting.clear();
    match replies.iter().find_map(Value::as_error) {
        Some(error) => Err(io::Error::other(
            String::from_utf8_lossy(error.as_bytes()).into_owned(),
        )),
        None => Ok(()),
    }
}

/// Copies the keys of a running server. The exit status tells whether all have arrived whole.
fn import_server(url: &str, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let shown = without_password(url);
    let mut source = Client::connect(url, &Options::default())
        .with_context(|| format!("cannot connect to {shown}"))?;
    let mut target = target(matches)?;
    let mut progress = Progress::new("copied");
    let report = copy::copy(&mut source, target.as_mut(), &mut progress)
        .with_context(|| format!("cannot copy {shown}"))?;
    println!("imported {} keys from {shown}", report.keys);
    for defect in &report.defects {
        eprintln!("{shown}: {defect}");
    }
    Ok(match report.defects.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// A URL as it may be shown.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{host}")
}

fn try_export(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let path = matches
        .get_one::<PathBuf>("neks")
        .cloned()
        .unwrap_or_default();
    let mut client = connect(matches)?;
    let entries = strings(&mut client)?;
    let count = entries.len();
    // The file is whole or not there.
    let unfinished = path.with_extension("kvs~");
    let file = std::fs::File::create(&unfinished)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    neks_store::write(entries, &file)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("exported {count} keys to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// All strings of the database.
fn strings(client: &mut Client) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
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
