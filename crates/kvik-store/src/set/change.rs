//! Changing a set, and the rules by which it leaves its packed forms.

use std::sync::atomic::Ordering::Relaxed;

use super::{Set, SetRef};
use crate::UnixMs;
use crate::edit::{Edit, EditParts};
use crate::entry::Entry;
use crate::kind::WrongKind;
use crate::limits::Limits;
use crate::members::{Groundwork, Members};
use crate::memory::MemoryMut;
use crate::packed::listpack::{self, Encoded};
use crate::packed::{Element, IntSet, Listpack, Needle, intset};
use crate::raw::entry_ref::EntryRef;
use crate::text::Text;
use crate::text::{IntText, NewString, StringRef, canonical_int};

/// Most integers an intset holds whatever the settings say.
const INTS_MAX: usize = 1 << 30;

/// A set while it changes; whoever opened it sees what it does at once, others when it is dropped.
#[derive(Debug)]
pub struct SetMut<'g>(pub(super) Edit<'g, Set>, pub(super) usize);

impl<'g> Entry<'g> {
    /// The set at this place, an empty one where there is no key.
    ///
    /// # Errors
    /// If the key holds another type.
    #[inline(always)]
    pub fn set_mut(self) -> Result<SetMut<'g>, WrongKind> {
        Edit::open(self).map(|edit| SetMut(edit, 0))
    }
}

impl SetMut<'_> {
    /// The set as it is now.
    pub fn view(&self) -> SetRef<'_> {
        self.0.view()
    }

    /// Prepares for `count` more members, as far as that decides on the representation: that of a
    /// new set, or a table from the first of them on that is new.
    pub fn expect(&mut self, first: &[u8], count: usize) {
        // A set that is there must not change before something is stated.
        self.1 = count;
        // One member is added where the set lies, if that is possible.
        if count > 1 {
            self.0.take_out();
        }
        if !self.0.existed() {
            let parts = self.0.parts();
            *parts.value = Set::made_for(first, count, parts.limits);
        }
    }

    /// Adds a member and says whether it is new. Effect: `SADD`.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if let Some(added) = self.add_in_place(member) {
            return added;
        }
        let expected = self.1;
        let EditParts {
            value,
            mut memory,
            limits,
        } = self.0.parts();
        if !value.may_take(expected, limits) && !value.has_packed(member) {
            value.make_table(&mut memory);
        }
        let added = value.add(member, &mut memory, limits);
        if added {
            self.0.emit(b"SADD", &[member]);
        }
        added
    }

    /// Adds members that are not there yet, of `count` in all, for which a table is made ready as
    /// far as `groundwork` says. Effect: `SADD`.
    pub fn add_new<'m>(
        &mut self,
        members: impl Iterator<Item = &'m [u8]>,
        count: usize,
        groundwork: &mut Groundwork,
    ) {
        let (is_told, mut added) = (self.0.is_told(), 0);
        let (parts, mut writer) = self.0.parts_and_writer();
        let (value, mut memory, limits) = (parts.value, parts.memory, parts.limits);
        for member in members {
            match value {
                Set::Table(table) => {
                    insert(table, &mut memory, member);
                }
                _ => {
                    value.add(member, &mut memory, limits);
                }
            }
            match is_told {
                true => writer.emit(b"SADD", &[member]),
                false => added += 1,
            }
        }
        if let Set::Table(table) = value {
            table.make_ready(memory.read(), count, groundwork);
        }
        self.0.count(added);
    }

    /// Deletes a member and says whether it was there. Effect: `SREM`.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if let Some(removed) = self.remove_in_place(member) {
            return removed;
        }
        let EditParts {
            value, mut memory, ..
        } = self.0.parts();
        let removed = value.remove(member, &mut memory);
        if removed {
            self.0.emit(b"SREM", &[member]);
        }
        removed
    }

    /// Deletes a member chosen by `random`, each as likely as any other, after giving it to `tell`;
    /// says whether there was one. Effect: `SREM`.
    pub fn pop(&mut self, random: u64, tell: impl FnOnce(&[u8])) -> bool {
        let mut room = IntText::default();
        let Some(member) = self.view().sample(random) else {
            return false;
        };
        let member = member.text(&mut room).to_vec();
        tell(&member);
        self.remove(&member)
    }

    /// Sets or clears when a member expires and says whether there is such a member. Effect:
    /// `PEXPIREMEMBERAT`, or `PERSISTMEMBER` when a time is cleared.
    pub fn set_expiry(&mut self, member: &[u8], expire_at: Option<UnixMs>) -> bool {
        let Some(old) = self.view().expiry_of(member) else {
            return false;
        };
        if old.is_none() && expire_at.is_none() {
            return true;
        }
        let EditParts {
            value, mut memory, ..
        } = self.0.parts();
        let members = value.make_table(&mut memory);
        if let Some(entry) = members.find(memory.read(), member) {
            members.set_expiry(&mut memory, entry, expire_at);
        }
        match expire_at {
            Some(at) => {
                let mut room = IntText::default();
                let words = [member, room.unsigned(at)];
                self.0.emit_alone(b"PEXPIREMEMBERAT", &words);
            }
            None => self.0.emit_alone(b"PERSISTMEMBER", &[member]),
        }
        true
    }
}

impl Set {
    /// An empty set in the representation that suits `count` members of which this is the first.
    fn made_for(first: &[u8], count: usize, limits: &Limits) -> Self {
        if canonical_int(first).is_some() && count <= max_ints(limits) {
            Self::default()
        } else if count <= limit(&limits.set_entries) {
            Self::Pack(listpack::empty())
        } else {
            Self::Table(Box::default())
        }
    }

    /// Whether so many more members leave the representation as it is, going by their number.
    fn may_take(&self, count: usize, limits: &Limits) -> bool {
        match self {
            Self::Ints(_) => count <= max_ints(limits),
            Self::Pack(_) => count <= limit(&limits.set_entries),
            Self::Table(_) => true,
        }
    }

    /// Whether a packed set has a member.
    fn has_packed(&self, member: &[u8]) -> bool {
        match self {
            Self::Ints(bytes) => {
                canonical_int(member).is_some_and(|n| IntSet::new(bytes).contains(n))
            }
            Self::Pack(bytes) => Listpack::new(bytes).find(member, 0).is_some(),
            Self::Table(_) => false,
        }
    }

    fn add(&mut self, member: &[u8], memory: &mut MemoryMut<'_>, limits: &Limits) -> bool {
        match self {
            Self::Ints(bytes) => match canonical_int(member) {
                Some(n) => {
                    let added = intset::add(bytes, n);
                    if added && IntSet::new(bytes).len() > max_ints(limits) {
                        self.make_table(memory);
                    }
                    added
                }
                None => {
                    self.leave_ints(member, memory, limits);
                    self.add(member, memory, limits)
                }
            },
            Self::Pack(bytes) => match Addition::of(Listpack::new(bytes), member, limits) {
                Addition::None => false,
                Addition::Entry(entry) => {
                    let end = Listpack::new(bytes).end();
                    listpack::insert_all(bytes, end, entry.size(), [entry].into_iter());
                    true
                }
                Addition::Table => {
                    insert(self.make_table(memory), memory, member);
                    true
                }
            },
            Self::Table(members) => {
                if members.find(memory.read(), member).is_some() {
                    return false;
                }
                insert(members, memory, member);
                true
            }
        }
    }

    fn remove(&mut self, member: &[u8], memory: &mut MemoryMut<'_>) -> bool {
        match self {
            Self::Ints(bytes) => canonical_int(member).is_some_and(|n| intset::remove(bytes, n)),
            Self::Pack(bytes) => {
                let found = Listpack::new(bytes).find(member, 0);
                if let Some(at) = found {
                    listpack::delete(bytes, at, 1);
                }
                found.is_some()
            }
            Self::Table(members) => {
                let found = members.find(memory.read(), member);
                if let Some(entry) = found {
                    members.remove(memory, entry);
                }
                found.is_some()
            }
        }
    }

    /// Makes an intset something that can take this member, which is no integer.
    fn leave_ints(&mut self, member: &[u8], memory: &mut MemoryMut<'_>, limits: &Limits) {
        let Self::Ints(bytes) = self else {
            return;
        };
        let ints = IntSet::new(bytes);
        let digits = |n: Option<i64>| n.map_or(0, |n| StringRef::Int(n).len());
        let widest = digits(ints.min()).max(digits(ints.max()));
        let max_bytes = limit(&limits.set_value_bytes);
        if ints.len() < limit(&limits.set_entries) && member.len().max(widest) <= max_bytes {
            let mut pack = listpack::empty();
            listpack::append_all(&mut pack, ints.iter().map(StringRef::Int));
            *self = Self::Pack(pack);
        } else {
            self.make_table(memory);
        }
    }

    /// The members as a table, which the set becomes if it is none.
    fn make_table(&mut self, memory: &mut MemoryMut<'_>) -> &mut Members {
        if !matches!(self, Self::Table(_)) {
            let mut members = Box::<Members>::default();
            let mut room = IntText::default();
            let packed = std::mem::replace(self, Self::Pack(Vec::new()));
            packed.for_each_packed(|member| {
                insert(&mut members, memory, member.text(&mut room));
            });
            *self = Self::Table(members);
        }
        match self {
            Self::Table(members) => members,
            _ => unreachable!("made a table above"),
        }
    }

    fn for_each_packed(&self, visit: impl FnMut(Element<'_>)) {
        match self {
            Self::Ints(bytes) => IntSet::new(bytes)
                .iter()
                .map(StringRef::Int)
                .for_each(visit),
            Self::Pack(bytes) => Listpack::new(bytes).iter().for_each(visit),
            Self::Table(_) => {}
        }
    }
}

/// The change that adds a member to a listpack.
pub(super) enum Addition<'a> {
    /// It is there.
    None,
    /// An entry at the end.
    Entry(Encoded<'a>),
    /// The set has to be a table.
    Table,
}

impl<'a> Addition<'a> {
    pub(super) fn of(pack: Listpack<'_>, member: &'a [u8], limits: &Limits) -> Self {
        let needle = Needle::new(member);
        if pack.find_from(listpack::START, needle, 0).is_some() {
            return Self::None;
        }
        let fits = pack.len() < limit(&limits.set_entries)
            && member.len() <= limit(&limits.set_value_bytes)
            && pack.has_room(member.len());
        if fits {
            Self::Entry(Encoded::of(&needle))
        } else {
            Self::Table
        }
    }
}

fn insert(members: &mut Members, memory: &mut MemoryMut<'_>, member: &[u8]) -> EntryRef {
    let nothing = Text::from(NewString::Bytes(b""));
    members.insert(memory, member, nothing, None)
}

pub(super) fn max_ints(limits: &Limits) -> usize {
    limit(&limits.set_ints).min(INTS_MAX)
}

pub(super) fn limit(setting: &std::sync::atomic::AtomicI64) -> usize {
    usize::try_from(setting.load(Relaxed)).unwrap_or(0)
}
