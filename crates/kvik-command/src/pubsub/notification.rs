//! Keyspace notifications: events of keys as messages of channels.
//!
//! | class | channel | message |
//! |---|---|---|
//! | `K` | `__keyspace@<db>__:<key>` | the event |
//! | `E` | `__keyevent@<db>__:<event>` | the key |
//! | `S` | `__subkeyspace@<db>__:<key>` | `<event>\|` and the fields |
//! | `T` | `__subkeyevent@<db>__:<event>` | `<length>:<key>\|` and the fields |
//! | `I` | `__subkeyspaceitem@<db>__:<key>\n<field>` | the event |
//! | `V` | `__subkeyspaceevent@<db>__:<event>\|<key>` | the fields |
//!
//! Fields are listed as `<length>:<field>`, with commas in between, as in Redis 8.8.

use kvik_store::{EventClasses, KeyEvent};

use super::{Hearing, PubSub, Rings};

impl PubSub {
    /// Publishes an event on the channels of these classes. It reveals effects up to the log
    /// position `lsn`; the caller wakes the threads.
    pub fn notify(&self, event: &KeyEvent, classes: EventClasses, lsn: u64, rings: &mut Rings) {
        let (name, key) = (event.event.name.as_bytes(), &*event.key);
        let db = event.keyspace.0.to_string();
        let mut publish = |kind: &str, of: &[&[u8]], message: &[u8]| {
            let start = [b"__", kind.as_bytes(), b"@", db.as_bytes(), b"__:"].concat();
            let channel = [&start, &of.concat()[..]].concat();
            self.publish_to(Hearing::Channel, &channel, message, lsn, rings);
        };
        if classes.meets(EventClasses::KEYSPACE) {
            publish("keyspace", &[key], name);
        }
        if classes.meets(EventClasses::KEYEVENT) {
            publish("keyevent", &[name], key);
        }
        if event.subkeys.is_empty() || !classes.meets(EventClasses::SUBKEYS) {
            return;
        }
        let fields = listed(&event.subkeys);
        if classes.meets(EventClasses::SUBKEYSPACE) {
            publish("subkeyspace", &[key], &[name, b"|", &fields].concat());
        }
        if classes.meets(EventClasses::SUBKEYEVENT) {
            let message = [&sized(key), &b"|"[..], &fields].concat();
            publish("subkeyevent", &[name], &message);
        }
        // The key ends where the line does.
        if classes.meets(EventClasses::SUBKEYSPACE_ITEM) && !key.contains(&b'\n') {
            for field in &event.subkeys {
                publish("subkeyspaceitem", &[key, b"\n", field], name);
            }
        }
        if classes.meets(EventClasses::SUBKEYSPACE_EVENT) {
            publish("subkeyspaceevent", &[name, b"|", key], &fields);
        }
    }
}

/// A text behind its length.
fn sized(text: &[u8]) -> Vec<u8> {
    [text.len().to_string().as_bytes(), b":", text].concat()
}

fn listed(fields: &[Box<[u8]>]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|field| sized(field)).collect();
    fields.join(&b',')
}
