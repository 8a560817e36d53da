//! Transactions: typed replies, WATCH, errors inside, and one that is dropped.

use kevy_client::{Connection, Reply};
use kvik_peers::{Outcome, url};

fn main() -> Outcome {
    let url = url()?;
    let (mut client, mut other) = (Connection::open(&url)?, Connection::open(&url)?);
    client.flushall()?;
    typed(&mut client)?;
    watched(&mut client, &mut other)?;
    ended(&mut client, &mut other)?;
    failing(&mut client)
}

fn typed(client: &mut Connection) -> Outcome {
    let mut transaction = client.multi()?;
    transaction.set(b"k", b"v")?.incr(b"n")?.incr_by(b"n", 9)?;
    transaction
        .get(b"k")?
        .get(b"none")?
        .mset(&[(b"a", b"1"), (b"b", b"2")])?;
    transaction
        .mget(&[b"a", b"none"])?
        .exists(&[b"a", b"b"])?
        .del(&[b"a"])?;
    transaction.queue(&[b"SET", b"k", b"w", b"NX"])?;
    transaction.queue(&[b"TYPE", b"k"])?;
    let mut replies = transaction.exec_typed()?;
    assert_eq!(replies.remaining(), 11);
    replies.next_ok()?;
    assert_eq!((replies.next_int()?, replies.next_int()?), (1, 10));
    assert_eq!(replies.next_bulk()?, Some(b"v".to_vec()));
    assert_eq!(replies.next_bulk()?, None);
    replies.next_ok()?;
    assert_eq!(replies.next_array_of_bulks()?, [Some(b"1".to_vec()), None]);
    assert_eq!((replies.next_int()?, replies.next_int()?), (2, 1));
    assert!(!replies.next_ok_or_nil()?);
    assert_eq!(replies.next_simple()?, b"string");
    replies.expect_empty()?;
    Ok(())
}

fn watched(client: &mut Connection, other: &mut Connection) -> Outcome {
    client.set(b"watched", b"1")?;
    client.watch(&[b"watched"])?;
    other.set(b"watched", b"2")?;
    let mut transaction = client.multi()?;
    transaction.incr(b"watched")?;
    assert!(transaction.exec_watched()?.is_none());
    assert_eq!(client.get(b"watched")?, Some(b"2".to_vec()));
    client.watch(&[b"watched"])?;
    let mut transaction = client.multi()?;
    transaction.incr(b"watched")?;
    let replies = transaction.exec_watched_typed()?;
    assert_eq!(replies.ok_or("nobody has changed it")?.next_int()?, 3);
    client.watch(&[b"watched"])?;
    client.unwatch()?;
    other.set(b"watched", b"5")?;
    let mut transaction = client.multi()?;
    transaction.incr(b"watched")?;
    assert_eq!(transaction.exec()?, [Reply::Int(6)]);
    Ok(())
}

/// What was not executed has not happened, and nobody sees half of what was.
fn ended(client: &mut Connection, other: &mut Connection) -> Outcome {
    let mut transaction = client.multi()?;
    transaction.set(b"dropped", b"v")?;
    assert_eq!(other.get(b"dropped")?, None);
    transaction.discard()?;
    {
        let mut transaction = client.multi()?;
        transaction.set(b"dropped", b"v")?;
    }
    client.ping()?;
    assert_eq!(client.get(b"dropped")?, None);
    let transaction = client.multi()?;
    assert!(transaction.exec()?.is_empty());
    Ok(())
}

fn failing(client: &mut Connection) -> Outcome {
    client.set(b"text", b"no number")?;
    let mut transaction = client.multi()?;
    transaction.incr(b"text")?.set(b"after", b"v")?;
    let replies = transaction.exec()?;
    assert!(matches!(&replies[..], [Reply::Error(_), Reply::Simple(_)]));
    assert_eq!(client.get(b"after")?, Some(b"v".to_vec()));
    let mut transaction = client.multi()?;
    assert!(transaction.queue(&[b"NOSUCH"]).is_err());
    let error = transaction.exec().expect_err("a command was refused");
    assert!(error.to_string().starts_with("EXECABORT"), "{error}");
    Ok(())
}
