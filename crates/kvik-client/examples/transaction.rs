//! Moves money from one account to another, and starts again when somebody else was faster:
//! optimistic locking with WATCH, MULTI and EXEC.
//!
//! `cargo run -p kvik-client --example transaction -- redis://127.0.0.1:6379`

#![allow(clippy::print_stdout, reason = "an example shows its result")]
#![allow(dead_code, reason = "a test runs this file without its main function")]

use kvik_client::{Client, ClientError, Options};

const FROM: &str = "example:account:ann";
const TO: &str = "example:account:bob";

fn main() -> Result<(), ClientError> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("redis://127.0.0.1:6379");
    let mut client = Client::connect(url, &Options::default())?;
    client.call(&["MSET", FROM, "100", TO, "0"])?;
    match transfer(&mut client, 30, || {})? {
        true => println!("moved 30"),
        false => println!("not enough money"),
    }
    Ok(())
}

/// Moves `amount` unless there is less than that; returns whether it did. `before_exec` stands for
/// all that may happen between reading and writing.
pub(crate) fn transfer(
    client: &mut Client,
    amount: i64,
    mut before_exec: impl FnMut(),
) -> Result<bool, ClientError> {
    loop {
        // From here on EXEC fails if anybody changes the account that is read.
        client.call(&["WATCH", FROM])?;
        let balance = client.call(&["GET", FROM])?.as_int().unwrap_or(0);
        if balance < amount {
            client.call(&["UNWATCH"])?;
            return Ok(false);
        }
        before_exec();

        // A connection that breaks here loses its WATCH and its MULTI; nothing was executed then,
        // unless EXEC itself was on its way.
        let amount = amount.to_string();
        let commands = [
            vec!["MULTI"],
            vec!["DECRBY", FROM, &amount],
            vec!["INCRBY", TO, &amount],
            vec!["EXEC"],
        ];
        let replies = client.pipeline(&commands)?;

        // EXEC answers nil when a watched key was changed.
        if replies.last().is_some_and(|reply| !reply.is_null()) {
            return Ok(true);
        }
    }
}
