//! Values that are made outside of the store, and put into it in slices.
//!
//! To make a large collection takes long, and its members lie in the cells of a stripe. So it is
//! made in a stripe of its own, which nobody else sees and for which nobody waits. From there it is
//! copied to the stripe of its key as one that gets another name is (see [`crate::shadow`]), and
//! put in place when it is whole.

use super::{Guard, Stripes};
use crate::UnixMs;
use crate::effect::NoEffects;
use crate::entry::Entry;
use crate::heap::Content;
use crate::layout::{Key, KeyspaceId, Layout};
use crate::limits::Limits;
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::Position;
use crate::restore::Terms;
use crate::source::Source;
use crate::state::Mode;
use crate::stripe::Stripe;

/// The key of the value in the stripe of its own.
const NAME: &[u8] = b"draft";

/// A value in a stripe of its own; see the [module](self).
#[derive(Debug)]
pub struct Draft {
    layout: Layout,
    stripe: Stripe,
}

struct OnlyStripe<'a>(&'a mut Stripe);

impl Stripes for OnlyStripe<'_> {
    fn stripe(&mut self, _: usize) -> &mut Stripe {
        self.0
    }

    fn held(&self, _: usize) -> &Stripe {
        self.0
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            layout: Layout::new(1, 0),
            stripe: Stripe::new(),
        }
    }
}

impl Draft {
    /// Has a value made in its place. Members whose time has come stay.
    pub fn fill<R>(
        &mut self,
        limits: &Limits,
        now: UnixMs,
        make: impl FnOnce(Entry<'_>) -> R,
    ) -> R {
        let (mut stripes, mut effects) = (OnlyStripe(&mut self.stripe), NoEffects);
        let guard = Guard::new(&mut stripes, &self.layout, &mut effects, now);
        let mut guard = guard.mode(Mode::Follower).limits(limits);
        make(guard.entry(NAME))
    }

    fn position(&self) -> Position {
        self.layout.position_of(self.layout.hash(NAME))
    }

    /// The entry of the value, and its name while copies are made of it, if it is so large that
    /// they are made in slices.
    fn source(&mut self) -> Option<(EntryRef, Source)> {
        let entry = self.entry()?;
        let source = self.stripe.heap.name_source(entry)?;
        Some((entry, source))
    }

    fn entry(&self) -> Option<EntryRef> {
        let keyspace = self.stripe.keyspace(KeyspaceId(0).into())?;
        keyspace.find(self.position(), NAME)
    }

    /// Takes out what is not copied in slices.
    fn take(&mut self) -> Option<Content<'static>> {
        let (entry, position) = (self.entry()?, self.position());
        let table = KeyspaceId(0).into();
        let mut keyspace = self.stripe.keyspace_mut(table, &self.layout);
        Some(keyspace.take(position, entry, false).content)
    }
}

impl Guard<'_> {
    /// Copies a slice of a draft to the stripe of a key, and says whether there is more to copy.
    /// Nothing is seen of it, and what nobody goes on with for a second after `now` is dropped.
    pub fn prepare_draft(&mut self, key: &[u8], draft: &mut Draft, now: UnixMs) -> bool {
        let Some((entry, source)) = draft.source() else {
            return false;
        };
        let to = self.index_of(key);
        let (from, heap) = (&mut draft.stripe.heap, &mut self.stripes.stripe(to).heap);
        if from.journals.get(source, to).is_none() || !heap.has_shadow(source) {
            heap.add_shadow(from.begin_copy(entry, source, to, now));
        }
        let (batch, is_ready) = from.collect_slice(entry, source, to, &draft.layout, now);
        heap.feed_shadow(source, &batch, self.layout, now);
        !is_ready
    }

    /// Puts a draft that has been copied in place of whatever a key holds, and says whether it did:
    /// the copy may have been dropped, and is to be made anew. Effect: `RESTORE`.
    pub fn restore_draft<'k>(
        &mut self,
        key: impl Into<Key<'k>>,
        draft: &mut Draft,
        terms: &Terms<'_>,
    ) -> bool {
        let key = key.into();
        let to = self.index_of(key.name);
        let content = match draft.source() {
            None => draft.take(),
            Some((entry, source)) => {
                let heap = &mut self.stripes.stripe(to).heap;
                if !heap.has_shadow(source) {
                    return false;
                }
                let from = &mut draft.stripe.heap;
                let Some(rest) = from.end_copy(entry, source, to, &draft.layout) else {
                    return false;
                };
                heap.feed_shadow(source, &rest, self.layout, self.state.now);
                heap.take_shadow(source)
            }
        };
        let Some(content) = content else {
            return false;
        };
        self.entry(key).restore_content(content, terms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::Store;
    use crate::{Entry, IntText, Kind, ListEnd, StringRef, Usage, ValueRef, View};

    const KEY: &[u8] = b"key";
    /// Enough to be copied in several slices.
    const MEMBERS: usize = 300;
    const TERMS: Terms<'static> = Terms {
        expire_at: Some(9000),
        usage: Usage::New,
        payload: b"payload",
    };

    fn make(entry: Entry<'_>, kind: Kind) {
        let names = (0..MEMBERS).map(|at| format!("name {at}").into_bytes());
        let names: Vec<Vec<u8>> = names.collect();
        match kind {
            Kind::Hash => {
                let mut hash = entry.hash_mut().unwrap();
                for name in &names {
                    hash.set(name, StringRef::Bytes(name));
                }
                // One whose time has come stays.
                hash.expire([&*names[7]], 1, |_| true);
            }
            Kind::Set => {
                let mut set = entry.set_mut().unwrap();
                names.iter().for_each(|name| assert!(set.add(name)));
            }
            Kind::Zset => {
                let mut zset = entry.zset_mut().unwrap();
                for (at, name) in names.iter().enumerate() {
                    zset.update(name, |_| Some(at as f64));
                }
            }
            _ => {
                let mut list = entry.list_mut().unwrap();
                list.push(ListEnd::Right, names.iter().map(Vec::as_slice));
            }
        }
    }

    /// All that is seen of a value.
    fn told(view: View<'_>) -> Vec<String> {
        let text = |it: StringRef<'_>| {
            let mut room = IntText::default();
            it.text(&mut room).escape_ascii().to_string()
        };
        let mut all: Vec<String> = match view.value() {
            ValueRef::Hash(hash) => {
                let mut all = Vec::new();
                hash.for_each(|field| {
                    let (name, value) = (text(field.name), text(field.value));
                    all.push(format!("{name} {value} {:?}", field.expire_at));
                });
                all
            }
            ValueRef::Set(set) => set.iter().map(text).collect(),
            ValueRef::Zset(zset) => {
                let members = zset.iter();
                members
                    .map(|it| format!("{} {}", text(it.name), it.score()))
                    .collect()
            }
            ValueRef::List(list) => return list.iter().map(text).collect(),
            other => panic!("{:?} is not made here", other.kind()),
        };
        all.sort();
        all
    }

    #[test]
    fn a_draft_takes_the_place_of_what_a_key_holds() {
        for kind in [Kind::Hash, Kind::Set, Kind::Zset, Kind::List] {
            let mut store = Store::new(2).telling();
            store.mode = Mode::Follower;
            let mut draft = Draft::default();
            draft.fill(&store.limits, 1000, |entry| make(entry, kind));
            store.run(|guard| {
                make(guard.entry(b"same"), kind);
                guard.entry(KEY).set_mut().unwrap().add(b"old");
            });
            store.take_effects();
            let mut slices = 1;
            while store.run(|guard| guard.prepare_draft(KEY, &mut draft, 1000)) {
                slices += 1;
            }
            assert_eq!(slices > 1, kind != Kind::List);
            assert!(store.take_effects().is_empty(), "nothing is seen of it");
            assert!(store.run(|guard| guard.restore_draft(KEY, &mut draft, &TERMS)));
            assert_eq!(
                store.effects_as_text(),
                ["RESTORE key 9000 payload REPLACE ABSTTL"]
            );
            let of = |store: &mut Store, key: &[u8]| {
                store.run(|guard| guard.peek(key).map(told).unwrap())
            };
            assert_eq!(of(&mut store, KEY), of(&mut store, b"same"));
            assert_eq!(store.outline(KEY).unwrap().2, Some(9000));
            store.upkeep();
            assert_eq!(store.live_bytes(), store.accounted_bytes());
        }
    }

    #[test]
    fn a_copy_that_was_dropped_is_made_anew() {
        let mut store = Store::new(2);
        let mut draft = Draft::default();
        draft.fill(&store.limits, 1000, |entry| make(entry, Kind::Set));
        let begun = store.run(|guard| guard.prepare_draft(KEY, &mut draft, 1000));
        assert!(begun);
        store
            .stripes
            .0
            .iter_mut()
            .for_each(|it| it.drop_copies(3000));
        assert!(!store.run(|guard| guard.restore_draft(KEY, &mut draft, &TERMS)));
        while store.run(|guard| guard.prepare_draft(KEY, &mut draft, 3000)) {}
        assert!(store.run(|guard| guard.restore_draft(KEY, &mut draft, &TERMS)));
        let len = store.run(|guard| told(guard.peek(KEY).unwrap()).len());
        assert_eq!(len, MEMBERS);
    }
}
