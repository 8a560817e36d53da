//! Time, pauses and passwords that change while sessions and transactions go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvik::effects::{EffectLog, Lsn, Unit};
use kvik::{Db, Error, Options, Patience, Value};
use kvik_command::client::Origin;
use kvik_resp::{ArgsBuf, Output};

use crate::support::{manual, ok};

/// Counts the units that come.
#[derive(Default)]
struct Count(AtomicU64);

impl EffectLog for Count {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        unit.clear();
        Lsn::new(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn a_buffer_may_hold_one_key_after_the_other() {
    let db = Db::memory();
    let keys: Vec<[u8; 1]> = (b'a'..=b'z').map(|name| [name]).collect();
    db.transaction(&keys, |transaction| {
        let mut buffer = [0];
        for key in &keys {
            buffer.copy_from_slice(key);
            transaction.set(&buffer, key);
        }
        Ok::<_, Error>(())
    })
    .unwrap();
    for key in &keys {
        assert_eq!(db.get(key).unwrap().as_deref(), Some(&key[..]));
    }
}

#[test]
fn no_key_expires_within_a_transaction() {
    let db = Db::memory();
    let mut connection = db.connect();
    ok(&connection.run(&["MULTI"]));
    connection.run(&["SET", "k", "v", "PX", "1"]);
    for _ in 0..20_000 {
        connection.run(&["EXISTS", "k"]);
    }
    let replies = connection.run(&["EXEC"]);
    let replies = replies.as_slice().expect("an array");
    assert_eq!(replies.len(), 20_001);
    assert!(replies[1..].iter().all(|reply| *reply == Value::Integer(1)));
}

#[test]
fn a_paused_store_keeps_an_expired_key_that_a_transaction_watches() {
    let ((options, now), units) = (manual(), Arc::new(Count::default()));
    let db = Db::in_memory(options.effect_log(Arc::clone(&units) as _));
    let mut connection = db.connect();
    ok(&connection.run(&["SET", "k", "v", "PX", "5"]));
    ok(&connection.run(&["WATCH", "k"]));
    ok(&connection.run(&["CLIENT", "PAUSE", "1000", "WRITE"]));
    now.fetch_add(10_000, Ordering::Relaxed);
    ok(&connection.run(&["MULTI"]));
    connection.run(&["GET", "k"]);
    assert_eq!(connection.run(&["EXEC"]), Value::Null);
    assert_eq!(units.0.load(Ordering::Relaxed), 1);
    assert_eq!(db.run(&["DBSIZE"]), Value::Integer(1));
}

#[test]
fn clients_need_no_password_that_is_gone() {
    let db = Db::memory();
    *db.engine().settings.password.write() = b"secret".to_vec();
    let mut session = db.session(Origin::embedded());
    let mut executor = db.executor(Patience::Wait);
    let mut ping = || {
        let (mut words, mut out) = (ArgsBuf::default(), Output::new());
        words.push(b"PING");
        executor.execute(&mut session, words.as_args(), &mut out);
        String::from_utf8(out.into_bytes()).expect("text")
    };
    assert!(ping().starts_with("-NOAUTH"));
    db.engine().settings.password.write().clear();
    assert_eq!(ping(), "+PONG\r\n");
}

#[test]
fn what_a_panicking_transaction_has_changed_is_undone() {
    let units = Arc::new(Count::default());
    let db = Db::in_memory(Options::default().effect_log(Arc::clone(&units) as _));
    let panicking = || {
        db.transaction(&["k"], |keys| -> Result<(), Error> {
            keys.set(b"k", b"v");
            panic!("as a closure may");
        })
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panicking)).is_err());
    assert_eq!(db.exists(b"k"), Ok(false));
    assert_eq!(units.0.load(Ordering::Relaxed), 0);
}
