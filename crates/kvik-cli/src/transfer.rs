//! `kvik import` and `kvik export`: data of other servers' files, to and from a running server.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::ArgMatches;
use kvik_client::{Client, Options, Value};
use kvik_server::import::{Source, neks_store};

use crate::cli::settings::endpoint;

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

fn try_import(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let source = matches
        .get_one::<String>("source")
        .map_or("", String::as_str);
    let source = Source::parse(source);
    let mut client = connect(matches)?;
    let mut pending = 0;
    let report = source.read(&mut |key, value| {
        client
            .send(&[b"SET", key, value])
            .map_err(io::Error::other)?;
        pending += 1;
        if pending >= BATCH {
            take_replies(&mut client, &mut pending)?;
        }
        Ok(())
    });
    let report = report.with_context(|| format!("cannot import {source}"))?;
    take_replies(&mut client, &mut pending)?;
    println!("imported {} keys from {source}", report.keys);
    for defect in &report.defects {
        eprintln!("{source}: {defect}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the replies to what was sent.
fn take_replies(client: &mut Client, pending: &mut usize) -> io::Result<()> {
    while *pending > 0 {
        *pending -= 1;
        let reply = client.receive().map_err(io::Error::other)?;
        if let Some(error) = reply.as_error() {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            return Err(io::Error::other(text));
        }
    }
    Ok(())
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

fn ask(client: &mut Client, command: &[&[u8]]) -> anyhow::Result<Value> {
    client.send(command)?;
    let reply = client.receive()?;
    match reply.as_error() {
        Some(error) => Err(anyhow!("{}", String::from_utf8_lossy(error.as_bytes()))),
        None => Ok(reply),
    }
}
