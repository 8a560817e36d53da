//! Sends many commands at once and waits for all their replies: one round trip instead of many.
//!
//! `cargo run -p kvik-client --example pipeline -- redis://127.0.0.1:6379`

#![allow(clippy::print_stdout, reason = "an example shows its result")]
#![allow(dead_code, reason = "a test runs this file without its main function")]

use kvik_client::{Client, ClientError, Options};

const KEY: &str = "example:temperatures";

fn main() -> Result<(), ClientError> {
    let url = std::env::args().nth(1);
    let hottest = run(url.as_deref().unwrap_or("redis://127.0.0.1:6379"))?;
    println!("the hottest place is {hottest}");
    Ok(())
}

/// Fills a sorted set and asks for its last member.
pub(crate) fn run(url: &str) -> Result<String, ClientError> {
    let mut client = Client::connect(url, &Options::default())?;
    let measured = [("Oslo", "11"), ("Rome", "29"), ("Lima", "18")];

    // Commands may differ in length: each is a list of words.
    let mut commands = vec![vec!["DEL", KEY]];
    commands.extend(measured.map(|(place, degrees)| vec!["ZADD", KEY, degrees, place]));
    commands.push(vec!["ZRANGE", KEY, "-1", "-1"]);
    let replies = client.pipeline(&commands)?;

    // There is a reply for each command, in order. An error reply is a value like any other: the
    // commands behind it were executed all the same.
    for reply in &replies {
        if let Some(error) = reply.as_error() {
            println!("refused: {error}");
        }
    }
    let last = replies.last().and_then(|reply| reply.as_slice()?.first());
    Ok(last
        .and_then(|place| place.as_str())
        .unwrap_or("nowhere")
        .to_owned())
}
