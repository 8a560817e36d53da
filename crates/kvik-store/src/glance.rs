//! Reading and overwriting a string in few instructions, without a guard.
//!
//! A guard can do all that may be necessary: delete the key because its time has come, note that it
//! was used, tell who watches it, state the effect. What is here does only what is necessary nearly
//! always, and says when that is not enough.

use std::borrow::Cow;

use crate::UnixMs;
use crate::clock::AccessPolicy;
use crate::effect::NoEffects;
use crate::layout::{Key, KeyspaceId, Layout};
use crate::stripe::Stripe;
use crate::text::Text;
use crate::text::TextRef;

/// A key as a glance shows it.
#[derive(Clone, Copy, Debug)]
pub enum Glance<'a> {
    /// There is no such key.
    Missing,
    /// It holds this string, and there is nothing to do.
    String(TextRef<'a>),
    /// It may expire, holds something else, or its access is to be recorded: for a
    /// [`crate::Guard`].
    Unclear,
}

impl Stripe {
    /// Looks at a key. `now` need only be right to the second, which is what access clocks of
    /// [`AccessPolicy::Recency`] record.
    #[inline]
    pub fn glance<'a>(
        &'a self,
        layout: &Layout,
        keyspace: KeyspaceId,
        key: Key<'_>,
        now: UnixMs,
    ) -> Glance<'a> {
        if layout.namespaces().is_some() | self.interests.has_pins() {
            return Glance::Unclear;
        }
        let Some(keyspace) = self.keyspace(keyspace.into()) else {
            return Glance::Missing;
        };
        let Some((_, entry)) = keyspace.look_up(layout.position_of(layout.hash_of(key)), key.name)
        else {
            return Glance::Missing;
        };
        if entry.may_expire() || entry.clock() != AccessPolicy::Recency.start(now) {
            return Glance::Unclear;
        }
        match entry.string() {
            Some(string) => Glance::String(string),
            None => Glance::Unclear,
        }
    }

    /// Writes a string over that of a key, and says whether it did. It does not where there is more
    /// to it: the key is missing, expires, holds something else or needs another slot, or is
    /// watched. It states no effect, which is for who has nobody to tell. `now` is as for
    /// [`Self::glance`].
    #[inline]
    pub fn overwrite(
        &mut self,
        layout: &Layout,
        keyspace: KeyspaceId,
        key: Key<'_>,
        string: &[u8],
        now: UnixMs,
        _effects: NoEffects,
    ) -> bool {
        if !self.interests.is_empty() || layout.namespaces().is_some() {
            return false;
        }
        let Some(mut there) = self.present_mut(keyspace.into(), layout) else {
            return false;
        };
        let position = layout.position_of(layout.hash_of(key));
        let found = there.read().look_up(position, key.name);
        let Some((entry, _)) = found.filter(|(_, entry)| !entry.may_expire()) else {
            return false;
        };
        let clock = AccessPolicy::Recency.start(now);
        let text = Text::of(Cow::Borrowed(string));
        there.overwrite(position, entry, &text, Some(clock))
    }

    /// Adds to the integer that a key holds, and returns the sum. None where it has not, for the
    /// reasons of [`Self::overwrite`] or because there is no sum.
    #[inline]
    pub fn add(
        &mut self,
        layout: &Layout,
        keyspace: KeyspaceId,
        key: Key<'_>,
        by: i64,
        now: UnixMs,
        _effects: NoEffects,
    ) -> Option<i64> {
        if !self.interests.is_empty() || layout.namespaces().is_some() {
            return None;
        }
        let mut there = self.present_mut(keyspace.into(), layout)?;
        let position = layout.position_of(layout.hash_of(key));
        let (entry, found) = there.read().look_up(position, key.name)?;
        let Some(TextRef::Int(value)) = found.string().filter(|_| !found.may_expire()) else {
            return None;
        };
        let sum = value.checked_add(by)?;
        let clock = AccessPolicy::Recency.start(now);
        let is_done = there.overwrite(position, entry, &Text::Int(sum), Some(clock));
        is_done.then_some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Store;
    use crate::{Expiry, NewString};
    use proptest::prelude::*;

    /// A key's text, its encoding and bytes, and when it was used.
    type Seen = Option<(Vec<u8>, crate::Encoding, usize, u64)>;

    fn seen(store: &mut Store, key: &[u8]) -> Seen {
        store.run(|guard| {
            let view = guard.peek(key)?;
            let text = view.string().ok()?.to_vec();
            Some((text, view.encoding(), view.bytes(), view.idle_seconds()))
        })
    }

    fn set(store: &mut Store, key: &[u8], text: &[u8]) {
        store.run(|guard| {
            guard.entry(key).set(NewString::Bytes(text), Expiry::Clear);
        });
    }

    fn glance(store: &Store, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let at = key.into();
        match store.stripes.0[0].glance(&store.layout, KeyspaceId(0), at, store.now) {
            Glance::Missing => Some(None),
            Glance::String(text) => Some(Some(text.to_vec())),
            Glance::Unclear => None,
        }
    }

    fn overwrite(store: &mut Store, key: &[u8], text: &[u8]) -> bool {
        let at = key.into();
        store.stripes.0[0].overwrite(&store.layout, KeyspaceId(0), at, text, store.now, NoEffects)
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..40),
            prop_oneof![0usize..4, 0usize..9000].prop_map(|len| vec![b'x'; len]),
        ]
    }

    proptest! {
        #[test]
        fn a_glance_shows_what_a_guard_does(texts in proptest::collection::vec(text(), 1..60)) {
            let mut store = Store::new(1);
            for (n, text) in texts.iter().enumerate() {
                set(&mut store, format!("k{}", n % 40).as_bytes(), text);
            }
            for n in 0..41 {
                let key = format!("k{n}").into_bytes();
                let text = seen(&mut store, &key).map(|seen| seen.0);
                prop_assert_eq!(glance(&store, &key), Some(text));
            }
        }

        #[test]
        fn what_is_overwritten_is_as_if_it_was_set(old in text(), new in text()) {
            let (mut store, mut other) = (Store::new(1), Store::new(1));
            for store in [&mut store, &mut other] {
                set(store, b"k", &old);
                store.now += 5000;
            }
            let before = seen(&mut store, b"k");
            let done = overwrite(&mut store, b"k", &new);
            set(&mut other, b"k", &new);
            let expected = if done { seen(&mut other, b"k") } else { before };
            prop_assert_eq!(seen(&mut store, b"k"), expected);
            prop_assert_eq!(store.live_bytes(), store.accounted_bytes());
            let alike = old.len() == new.len() && old.len() < 4000;
            let no_numbers = old.starts_with(b"x") && new.starts_with(b"x");
            prop_assert!(done || !(alike && no_numbers));
        }
    }

    #[test]
    fn what_is_added_is_as_if_the_sum_was_set() {
        let (mut store, mut other) = (Store::new(1), Store::new(1));
        let add = |store: &mut Store, by| {
            let at = (&b"n"[..]).into();
            store.stripes.0[0].add(&store.layout, KeyspaceId(0), at, by, store.now, NoEffects)
        };
        assert_eq!(add(&mut store, 1), None);
        set(&mut store, b"n", b"no number");
        assert_eq!(add(&mut store, 1), None);
        set(&mut store, b"n", b"-7");
        let mut sum = -7i64;
        for by in [
            1,
            0,
            6,
            300,
            -1_000_000,
            i64::MAX,
            i64::MIN,
            i64::MAX,
            1 << 40,
        ] {
            store.now += 5000;
            other.now = store.now;
            let before = seen(&mut store, b"n");
            match (add(&mut store, by), sum.checked_add(by)) {
                (None, _) => assert_eq!(seen(&mut store, b"n"), before),
                (Some(added), expected) => {
                    assert_eq!(Some(added), expected);
                    set(&mut other, b"n", added.to_string().as_bytes());
                    assert_eq!(seen(&mut store, b"n"), seen(&mut other, b"n"));
                    sum = added;
                }
            }
            assert_eq!(store.live_bytes(), store.accounted_bytes());
        }
        // Some were done here.
        assert_ne!(sum, -7);
    }

    #[test]
    fn what_needs_a_guard_is_left_to_it() {
        let mut store = Store::new(1);
        for key in [b"used", b"soon", b"list", b"seen"] {
            set(&mut store, key, b"text");
        }
        store.run(|guard| {
            guard.delete(b"list");
            let list = guard.entry(b"list").list_mut();
            list.expect("no other type")
                .push(crate::ListEnd::Right, [&b"e"[..]].into_iter());
        });
        store.expire(b"soon", Some(9000));
        let token = std::sync::Arc::default();
        assert_eq!(glance(&store, b"used"), Some(Some(b"text".to_vec())));
        for key in [b"soon", b"list"] {
            assert_eq!(glance(&store, key), None);
            assert!(!overwrite(&mut store, key, b"next"));
        }
        assert!(!overwrite(&mut store, b"none", b"next"));
        assert!(overwrite(&mut store, b"used", b"next"));
        store.run(|guard| guard.watch(b"seen", &token));
        assert!(!overwrite(&mut store, b"seen", b"next"));
        // An access in another second is to be recorded.
        store.now += 1000;
        assert_eq!(glance(&store, b"used"), None);
    }
}
