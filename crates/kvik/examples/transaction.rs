//! Moves money between two accounts, all or nothing: `cargo run -p kvik --example transaction`.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use kvik::{Db, Error, Transaction};

/// What a key of an account holds.
fn balance(keys: &mut Transaction<'_>, account: &[u8]) -> Result<i64, Error> {
    let text = keys.get(account)?.unwrap_or_else(|| b"0".to_vec());
    let number = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse().ok());
    number.ok_or(Error::NOT_AN_INTEGER)
}

/// Says whether there was enough.
fn transfer(db: &Db, from: &[u8], to: &[u8], amount: i64) -> Result<bool, Error> {
    // The keys are named beforehand, so that the store can lock where they live. Nobody sees one
    // without the other.
    db.transaction(&[from, to], |keys| {
        let (source, target) = (balance(keys, from)?, balance(keys, to)?);
        if source < amount {
            return Ok(false);
        }
        keys.set(from, (source - amount).to_string().as_bytes());
        keys.set(to, (target + amount).to_string().as_bytes());
        Ok(true)
    })
}

fn main() -> Result<(), Error> {
    let db = Db::memory();
    db.set(b"anna", b"100")?;
    assert!(transfer(&db, b"anna", b"bert", 70)?);
    assert!(!transfer(&db, b"anna", b"bert", 70)?, "30 are left");

    // Clients of a server do the same with WATCH, MULTI and EXEC; a connection keeps their state.
    let mut client = db.connect();
    for command in [&["MULTI"][..], &["DECRBY", "bert", "5"], &["GET", "bert"]] {
        client.run(command);
    }
    let replies = client.run(&["EXEC"]);
    println!("bert has {:?}", replies.as_slice());
    assert_eq!(db.get(b"bert")?.as_deref(), Some(&b"65"[..]));
    Ok(())
}

#[test]
fn it_runs() {
    assert_eq!(main(), Ok(()));
}
