//! Indexing the keys of databases that have doors for trees, once the data are there.
//!
//! A tree learns of each key when it changes, but the keys that were loaded have to be looked
//! through once. A thread does that while clients are served, so that the first of them who asks
//! for what lies under a key need not wait for it. The keys of a door that may never have such a
//! client are looked through when one comes.

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use kvik::Db;
use kvik_resp::Value;

use crate::codec::KeyScope;
use crate::front::Front;
use crate::import::enter_default;

/// Keys looked through at a time.
const COUNT: &[u8] = b"1000";

/// Begins to index the keys of trees.
pub(crate) fn start(
    front: &Arc<Front>,
    db: &Db,
    trees: Vec<(u32, KeyScope)>,
) -> Option<JoinHandle<()>> {
    if trees.is_empty() {
        return None;
    }
    let (front, db) = (Arc::clone(front), db.clone());
    let index = move || {
        trees.iter().for_each(|(database, scope)| {
            // What it leaves undone is done for the first client who needs it.
            let _ = index(&front, &db, *database, *scope);
        });
    };
    Builder::new().name("kvik-index".into()).spawn(index).ok()
}

/// Looks through the keys of one database, unless the server stops meanwhile.
fn index(front: &Front, db: &Db, database: u32, scope: KeyScope) -> Option<()> {
    let tree = front.trees.of(database, scope);
    let incarnation = tree.incarnation();
    let mut connection = db.connect_internal();
    connection.run(&["SELECT", &database.to_string()]);
    if scope == KeyScope::Default {
        enter_default(&mut connection);
    }
    let mut cursor = b"0".to_vec();
    while tree.is_incomplete() && !front.is_stopping() {
        let words: [&[u8]; 4] = [b"SCAN", &cursor, b"COUNT", COUNT];
        let reply = connection.run(&words);
        let Value::Array(mut parts) = reply else {
            return None;
        };
        let Some(Value::Array(keys)) = parts.pop() else {
            return None;
        };
        for key in &keys {
            if let Value::Bulk(key) = key {
                tree.add(key);
            }
        }
        let Some(Value::Bulk(next)) = parts.pop() else {
            return None;
        };
        if next == b"0" {
            tree.complete(incarnation);
        }
        cursor = next;
    }
    Some(())
}
