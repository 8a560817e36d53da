//! `cargo x compat`: COMMAND INFO and COMMAND DOCS of kvik beside those of other servers, field by
//! field.
//!
//! kvik's side is written from the command table without a server. A difference passes only if a
//! line of `compat/known.txt` names it with a reason, and a line that names nothing any more is an
//! error too. Commands that kvik lacks are listed with a reason as well, in `compat/lacking.txt`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use kvik_client::Client;
use kvik_command::declare::{Command, Table, table};
use kvik_resp::{Output, Protocol, Reply, ReplyDecoder, Value};

use crate::server::Server;

pub(crate) mod coverage;
mod fields;
mod known;

use fields::Fields;
use known::Known;

/// Options of `cargo x compat`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A server to compare with: the name of an installed program or a path
    #[arg(long = "vs", value_name = "SERVER", default_value = "redis-server")]
    peers: Vec<PathBuf>,
}

/// The commands of a server: "config|get" and its fields.
type Commands = BTreeMap<String, Fields>;

/// Compares and prints; fails on a difference without a reason.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let ours = ours()?;
    let mut known = Known::read(include_str!("compat/known.txt"))?;
    let (mut unexplained, mut names) = (0, Vec::new());
    for program in &options.peers {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let server = Server::start(&name, program, &["--save", ""])?;
        let product = format!("{name} {}", server.version());
        let theirs = theirs(&server)?;
        names.extend(theirs.keys().cloned());
        unexplained += report(&product, &ours, &theirs, &mut known);
    }
    let faults = coverage::faults(&names);
    faults.iter().for_each(|fault| println!("{fault}"));
    let stale = known.unused();
    stale
        .iter()
        .for_each(|line| println!("known.txt: nothing differs any more: {line}"));
    ensure!(
        unexplained == 0 && stale.is_empty() && faults.is_empty(),
        "the command table differs from other servers without a reason"
    );
    Ok(())
}

/// Prints the differences that no line explains, kvik's side first, and returns their number.
fn report(product: &str, ours: &Commands, theirs: &Commands, known: &mut Known) -> usize {
    let mut unexplained = 0;
    let mut explained = 0;
    for (command, fields) in ours {
        let missing = Fields::missing();
        let other = theirs.get(command).unwrap_or(&missing);
        for difference in fields.differences(other) {
            if known.explains(product, command, difference.field) {
                explained += 1;
                continue;
            }
            unexplained += 1;
            let (ours, theirs) = (difference.ours, difference.theirs);
            println!("{command} {}: {ours} <> {theirs}", difference.field);
        }
    }
    let absent = theirs
        .keys()
        .filter(|name| !ours.contains_key(*name))
        .count();
    println!(
        "{product}: {} commands compared, {unexplained} differences without and {explained} with a reason, {absent} commands not in kvik",
        ours.len()
    );
    unexplained
}

fn ours() -> anyhow::Result<Commands> {
    let all: Vec<&Command> = table().top_level().collect();
    let info = Value::Array(
        all.iter()
            .map(|command| said(command, Table::write_info))
            .collect::<Result<_, _>>()?,
    );
    let docs = all.iter().map(|command| {
        Ok((
            Value::Bulk(command.full_name().into()),
            said(command, Table::write_docs)?,
        ))
    });
    fields::collect(&info, &Value::Map(docs.collect::<anyhow::Result<_>>()?))
}

fn said(command: &Command, write: fn(&Table, &Command, &mut Reply<'_>)) -> anyhow::Result<Value> {
    let mut output = Output::new();
    write(
        table(),
        command,
        &mut Reply::new(&mut output, Protocol::Resp3),
    );
    let encoded = output.into_bytes();
    let (value, length) = ReplyDecoder::new()
        .decode(&encoded)?
        .context("a reply of kvik is not whole")?;
    ensure!(
        length == encoded.len(),
        "a reply of kvik is longer than it says"
    );
    Ok(value)
}

fn theirs(server: &Server) -> anyhow::Result<Commands> {
    let options = kvik_client::Options {
        protocol: Protocol::Resp3,
        ..Default::default()
    };
    let mut client = Client::connect(&format!("redis://{}", server.address()), &options)?;
    let info = client.call(&["COMMAND", "INFO"])?;
    let docs = client.call(&["COMMAND", "DOCS"])?;
    if let Some(error) = info.as_error().or(docs.as_error()) {
        bail!("{}: {error}", server.name());
    }
    fields::collect(&info, &docs)
}
