//! Changes of a hash: each method states the effect of what it does.

use std::sync::atomic::Ordering::Relaxed;

use super::{Field, Hash, HashRef, field_at};
use crate::UnixMs;
use crate::collection::Collection;
use crate::edit::{Edit, EditParts};
use crate::entry::Entry;
use crate::kind::WrongKind;
use crate::limits::Limits;
use crate::members::Members;
use crate::memory::MemoryMut;
use crate::packed::listpack::{self, Encoded};
use crate::packed::{Element, Listpack, Needle, Packed};
use crate::text::{IntText, NewString, StringRef};

/// A hash while it changes; empty where there was no key, and no key where it is empty in the end.
#[derive(Debug)]
pub struct HashMut<'g>(pub(super) Edit<'g, Hash>);

impl<'g> Entry<'g> {
    /// The hash in this place, to change it.
    ///
    /// # Errors
    /// If the key holds another type.
    #[inline(always)]
    pub fn hash_mut(self) -> Result<HashMut<'g>, WrongKind> {
        Edit::open(self).map(HashMut)
    }
}

/// The expiry of a field after it got another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Keep,
    End,
}

/// The field as a write met it.
pub(super) enum Written {
    Created,
    Replaced { expire_at: Option<UnixMs> },
}

impl HashMut<'_> {
    /// The hash as it is now.
    pub fn view(&self) -> HashRef<'_> {
        self.0.view()
    }

    /// Whether the key existed before.
    pub fn existed(&self) -> bool {
        self.0.existed()
    }

    /// Prepares for so many fields to be set, as if all were new.
    pub fn expect(&mut self, fields: usize) {
        // One field is set where the hash lies, if that is possible.
        if fields <= 1 {
            return;
        }
        let mut parts = self.0.parts();
        if fields > max_entries(parts.limits) {
            parts.value.unpack(&mut parts.memory);
        }
    }

    /// Sets a field, which then does not expire, and says whether it is new. Effect: `HSET`.
    #[inline]
    pub fn set(&mut self, name: &[u8], value: StringRef<'_>) -> bool {
        let written = self.write(name, value, Life::End);
        matches!(written, Written::Created)
    }

    /// As [`set`](Self::set), but a field that was there expires when it would have. Effect:
    /// `HSET`, and `HPEXPIREAT` for such a field.
    pub fn update(&mut self, name: &[u8], value: StringRef<'_>) {
        let written = self.write(name, value, Life::Keep);
        if let Written::Replaced {
            expire_at: Some(at),
        } = written
        {
            // Nothing has happened to the expiry; the effect only says so.
            let wanted = self.0.note_nothing();
            self.emit_expiry(Some(at), &[name]);
            self.0.note_again(wanted);
        }
    }

    /// Sets fields, whose names may repeat, and returns how many are new. Effect: `HSET`.
    ///
    /// A new hash shares the names with others that came with the same ones; `declared` ones are
    /// shared from the first hash on.
    pub fn set_all<'p>(
        &mut self,
        fields: impl ExactSizeIterator<Item = (&'p [u8], &'p [u8])> + Clone,
        declared: bool,
    ) -> usize {
        let len = fields.len();
        if len > 1 && self.0.is_vacant() && self.make_shaped(fields.clone(), declared) {
            fields.for_each(|(name, value)| self.0.emit(b"HSET", &[name, value]));
            return len;
        }
        self.expect(len);
        let are_new = fields.map(|(name, value)| self.set(name, StringRef::Bytes(value)));
        are_new.filter(|is_new| *is_new).count()
    }

    /// Deletes a field and says whether it was there. Effect: `HDEL`.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        if let Some(removed) = self.remove_in_place(name) {
            return removed;
        }
        let EditParts {
            value, mut memory, ..
        } = self.0.parts();
        let removed = match value {
            Hash::Pack(bytes) => {
                let at = Listpack::new(bytes).find(name, 1);
                at.is_some_and(|at| listpack::delete(bytes, at, 2) == 2)
            }
            Hash::Table(members) => {
                let member = members.find(memory.read(), name);
                member
                    .map(|member| members.remove(&mut memory, member))
                    .is_some()
            }
        };
        if removed {
            self.0.emit(b"HDEL", &[name]);
        }
        removed
    }

    /// Lets fields expire at this time. `judge` is told of each name in turn what is there, if
    /// anything, and says whether it is to expire. Effect: `HPEXPIREAT`.
    pub fn expire<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n [u8]>,
        at: UnixMs,
        judge: impl FnMut(Option<Field<'_>>) -> bool,
    ) {
        self.change_expiry(names, Some(at), judge);
    }

    /// Lets fields not expire any more; `tell` is told of each name in turn what is there, if
    /// anything. Effect: `HPERSIST` of those that would have expired.
    pub fn persist<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n [u8]>,
        mut tell: impl FnMut(Option<Field<'_>>),
    ) {
        self.change_expiry(names, None, |field| {
            tell(field);
            field.is_some_and(|field| field.expire_at.is_some())
        });
    }

    fn change_expiry<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n [u8]>,
        expire_at: Option<UnixMs>,
        mut judge: impl FnMut(Option<Field<'_>>) -> bool,
    ) {
        let EditParts {
            value, mut memory, ..
        } = self.0.parts();
        let mut changed = Vec::new();
        for name in names {
            if value.set_expiry(name, expire_at, &mut memory, &mut judge) {
                changed.push(name);
            }
        }
        if !changed.is_empty() {
            self.emit_expiry(expire_at, &changed);
        }
    }

    fn emit_expiry(&mut self, expire_at: Option<UnixMs>, names: &[&[u8]]) {
        let (mut at, mut count) = (IntText::default(), IntText::default());
        let mut words = Vec::with_capacity(names.len() + 3);
        words.extend(expire_at.map(|time| at.unsigned(time)));
        words.push(b"FIELDS");
        words.push(count.unsigned(names.len() as u64));
        words.extend_from_slice(names);
        let verb: &[u8] = match expire_at {
            Some(_) => b"HPEXPIREAT",
            None => b"HPERSIST",
        };
        self.0.emit_alone(verb, &words);
        self.0.count(names.len() as u64 - 1);
    }

    #[inline]
    fn write(&mut self, name: &[u8], value: StringRef<'_>, life: Life) -> Written {
        let written = match self.write_in_place(name, value) {
            Some(written) => written,
            None => self.0.parts().write(name, value, life),
        };
        let mut room = IntText::default();
        self.0.emit(b"HSET", &[name, value.text(&mut room)]);
        written
    }
}

impl EditParts<'_, Hash> {
    #[inline(never)]
    fn write(&mut self, name: &[u8], value: StringRef<'_>, life: Life) -> Written {
        if let Hash::Pack(bytes) = self.value
            && fits(self.limits, Listpack::new(bytes), name, value)
        {
            let written = write_packed(bytes, name, value);
            if self.value.len() > max_entries(self.limits) {
                self.value.unpack(&mut self.memory);
            }
            return written;
        }
        let members = self.value.unpack(&mut self.memory);
        write_member(members, &mut self.memory, name, value, life)
    }
}

impl Hash {
    /// Makes the hash a table, if it is none.
    fn unpack(&mut self, memory: &mut MemoryMut<'_>) -> &mut Members {
        if let Self::Pack(bytes) = self {
            let mut members = Box::<Members>::default();
            HashRef::Pack(Listpack::new(bytes)).for_each(|field| {
                let mut name = IntText::default();
                let (name, value) = (field.name.text(&mut name), NewString::from(field.value));
                members.insert(memory, name, value.into(), None);
            });
            *self = Self::Table(members);
        }
        match self {
            Self::Table(members) => members,
            Self::Pack(_) => unreachable!("made a table above"),
        }
    }

    /// Changes when a field expires if `judge` says so of what is there, and says whether it did.
    fn set_expiry(
        &mut self,
        name: &[u8],
        expire_at: Option<UnixMs>,
        memory: &mut MemoryMut<'_>,
        mut judge: impl FnMut(Option<Field<'_>>) -> bool,
    ) -> bool {
        if let Self::Pack(bytes) = self {
            let pack = Listpack::new(bytes);
            let field = pack.find(name, 1).and_then(|at| field_at(pack, at));
            if !judge(field) || field.is_none() {
                return false;
            }
            let members = self.unpack(memory);
            let member = members.find(memory.read(), name);
            let member = member.expect("it was in the listpack");
            members.set_expiry(memory, member, expire_at);
            return true;
        }
        let members = self.unpack(memory);
        let Some(member) = members.find(memory.read(), name) else {
            judge(None);
            return false;
        };
        let changes = judge(Some(memory.cells.member(member).into()));
        if changes {
            members.set_expiry(memory, member, expire_at);
        }
        changes
    }
}

fn write_packed(bytes: &mut Vec<u8>, name: &[u8], value: Element<'_>) -> Written {
    if bytes.is_empty() {
        *bytes = listpack::empty();
    }
    let change = FieldWrite::of(Listpack::new(bytes), name, value);
    change.make(bytes);
    if change.is_new() {
        Written::Created
    } else {
        Written::Replaced { expire_at: None }
    }
}

/// How a field of a packed hash is set.
pub(super) struct FieldWrite<'a> {
    /// The name, if there is no such field yet.
    name: Option<Encoded<'a>>,
    value: Encoded<'a>,
    /// The offset of the value, or of the name and then the value.
    at: usize,
    /// Bytes of the value that is there.
    old: usize,
}

impl<'a> FieldWrite<'a> {
    pub(super) fn of(pack: Listpack<'_>, name: &'a [u8], value: StringRef<'a>) -> Self {
        let (needle, value) = (Needle::new(name), Encoded::new(value));
        let found = pack.find_from(listpack::START, needle, 1);
        let there = found.and_then(|at| {
            let at = pack.behind(at)?;
            Some((at, pack.behind(at)? - at))
        });
        let (at, old) = there.unwrap_or((pack.end(), 0));
        Self {
            name: there.is_none().then(|| Encoded::of(&needle)),
            value,
            at,
            old,
        }
    }

    pub(super) fn is_new(&self) -> bool {
        self.name.is_some()
    }

    /// Bytes of the listpack after the change.
    pub(super) fn bytes_then(&self, pack: Listpack<'_>) -> usize {
        pack.as_bytes().len() - self.old + self.entries().map(|entry| entry.size()).sum::<usize>()
    }

    pub(super) fn make(&self, pack: &mut impl Packed) {
        let bytes = self.entries().map(|entry| entry.size()).sum();
        let gone = usize::from(!self.is_new());
        listpack::put(pack, self.at, self.old, gone, bytes, self.entries());
    }

    fn entries(&self) -> impl Iterator<Item = Encoded<'a>> {
        self.name.into_iter().chain([self.value])
    }
}

fn write_member(
    members: &mut Members,
    memory: &mut MemoryMut<'_>,
    name: &[u8],
    value: StringRef<'_>,
    life: Life,
) -> Written {
    let Some(member) = members.find(memory.read(), name) else {
        members.insert(memory, name, NewString::from(value).into(), None);
        return Written::Created;
    };
    let member = members.set_value(memory, member, NewString::from(value).into());
    let expire_at = memory.cells.member(member).expire_at();
    if expire_at.is_some() && life == Life::End {
        members.set_expiry(memory, member, None);
    }
    Written::Replaced { expire_at }
}

/// Whether a field with this value may be in a listpack, and in this one.
pub(super) fn fits(limits: &Limits, pack: Listpack<'_>, name: &[u8], value: Element<'_>) -> bool {
    let max = max_value(limits);
    name.len() <= max && value.len() <= max && pack.has_room(name.len() + value.len())
}

/// Most bytes of a name or a value in a listpack.
pub(super) fn max_value(limits: &Limits) -> usize {
    usize::try_from(limits.hash_value_bytes.load(Relaxed)).unwrap_or(0)
}

pub(super) fn max_entries(limits: &Limits) -> usize {
    usize::try_from(limits.hash_entries.load(Relaxed)).unwrap_or(0)
}
