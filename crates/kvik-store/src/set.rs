//! Sets: an intset, a listpack of members, or a table of them.
//!
//! Which of these follows Redis' rules: integers only and few is an intset, few and short a
//! listpack, everything else a table; a set never goes back. A member that expires makes it a
//! table, for only there a member has room for a time. Looking a member up in a packed set costs a
//! search of at most a few hundred elements, in a table one lookup.

pub(crate) mod change;
mod in_place;
mod restore;
#[cfg(test)]
mod tests;

use crate::UnixMs;
use crate::cells::{Member, ValueForm};
use crate::collection::{Packable, Representation};
use crate::kind::{Encoding, Kind};
use crate::members::{Members, MembersRef};
use crate::memory::Memory;
use crate::packed::{Element, IntSet, Listpack, intset, listpack};
use crate::shape::Shapes;
use crate::text::{StringRef, canonical_int};

/// A set in one of its representations.
#[derive(Debug)]
pub(crate) enum Set {
    Ints(Vec<u8>),
    Pack(Vec<u8>),
    Table(Box<Members>),
}

/// A set as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum SetRef<'a> {
    /// Integers.
    Ints(IntSet<'a>),
    /// A few members.
    Pack(Listpack<'a>),
    /// A table of members.
    Table(MembersRef<'a>),
}

/// The members of a set, in no particular order; see [`SetRef::iter`].
pub struct SetIter<'a>(SetWalk<'a>);

enum SetWalk<'a> {
    Ints(intset::IntSetIter<'a>),
    Pack(listpack::ListpackIter<'a>),
    Table(Box<dyn Iterator<Item = Member<'a>> + 'a>),
}

impl Default for Set {
    fn default() -> Self {
        // The first member makes an intset of it, so that an empty place costs nothing.
        Self::Ints(Vec::new())
    }
}

impl<'a> SetRef<'a> {
    /// Number of members.
    pub fn len(self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Pack(pack) => pack.len(),
            Self::Table(members) => members.len(),
        }
    }

    /// Whether there is no member; a key never holds such a set.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Table(members) => members.is_empty(),
            packed => packed.len() == 0,
        }
    }

    /// Whether this is a member.
    pub fn contains(self, member: &[u8]) -> bool {
        match self {
            Self::Ints(ints) => canonical_int(member).is_some_and(|n| ints.contains(n)),
            Self::Pack(pack) => pack.find(member, 0).is_some(),
            Self::Table(members) => members.find(member).is_some(),
        }
    }

    /// Fetches into the cache what it takes to look for a member, to be looked for soon.
    #[inline]
    pub fn prefetch(self, member: &[u8]) {
        if let Self::Table(members) = self {
            members.prefetch(member);
        }
    }

    /// Whether a member expires.
    pub fn expires(self) -> bool {
        matches!(self, Self::Table(members) if members.expires())
    }

    /// When a member expires, if there is such a member and it does.
    pub fn expiry_of(self, member: &[u8]) -> Option<Option<UnixMs>> {
        match self {
            Self::Table(members) => members.find(member).map(|member| member.expire_at()),
            packed => packed.contains(member).then_some(None),
        }
    }

    /// Every member, in no particular order.
    pub fn iter(self) -> SetIter<'a> {
        SetIter(match self {
            Self::Ints(ints) => SetWalk::Ints(ints.iter()),
            Self::Pack(pack) => SetWalk::Pack(pack.iter()),
            Self::Table(members) => SetWalk::Table(Box::new(members.iter())),
        })
    }

    /// A member chosen by `random`; each is as likely as any other.
    pub fn sample(self, random: u64) -> Option<Element<'a>> {
        let below = |len: usize| ((u128::from(random) * len as u128) >> 64) as usize;
        match self {
            Self::Ints(ints) => ints.get(below(ints.len())).map(StringRef::Int),
            Self::Pack(pack) => pack.get(below(pack.len())),
            Self::Table(members) => members.sample(random).map(name),
        }
    }

    /// Visits members from `cursor` on until `visit` has returned false; returns the cursor to go
    /// on with, 0 at the end. A packed set is visited whole. Every member that is there from the
    /// first call of a scan to its last is visited.
    pub fn scan(self, cursor: u64, mut visit: impl FnMut(Element<'a>) -> bool) -> u64 {
        let Self::Table(members) = self else {
            self.iter().for_each(|member| {
                visit(member);
            });
            return 0;
        };
        members.scan(cursor, |member| visit(name(member)))
    }
}

impl<'a> Iterator for SetIter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        match &mut self.0 {
            SetWalk::Ints(ints) => ints.next().map(StringRef::Int),
            SetWalk::Pack(pack) => pack.next(),
            SetWalk::Table(members) => members.next().map(name),
        }
    }
}

impl std::fmt::Debug for SetIter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetIter").finish_non_exhaustive()
    }
}

fn name(member: Member<'_>) -> Element<'_> {
    StringRef::Bytes(member.key())
}

impl Packable for Set {
    const KIND: Kind = Kind::Set;
    const LARGE: Encoding = Encoding::Hashtable;
    const REMOVAL: &'static [u8] = b"SREM";

    type Ref<'a> = SetRef<'a>;
    type Large = Members;

    fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self {
        match form {
            ValueForm::IntSet => Self::Ints(bytes),
            _ => Self::Pack(bytes),
        }
    }

    fn from_large(large: Members) -> Self {
        Self::Table(Box::new(large))
    }

    fn representation(&self) -> Representation<&Vec<u8>, &Members> {
        match self {
            Self::Ints(bytes) => Representation::Packed(ValueForm::IntSet, bytes),
            Self::Pack(bytes) => Representation::Packed(ValueForm::SetPack, bytes),
            Self::Table(large) => Representation::Large(large),
        }
    }

    fn representation_mut(&mut self) -> Representation<&mut Vec<u8>, &mut Members> {
        match self {
            Self::Ints(bytes) => Representation::Packed(ValueForm::IntSet, bytes),
            Self::Pack(bytes) => Representation::Packed(ValueForm::SetPack, bytes),
            Self::Table(large) => Representation::Large(large),
        }
    }

    fn read_packed<'a>(form: ValueForm, bytes: &'a [u8], _: &'a Shapes) -> SetRef<'a> {
        match form {
            ValueForm::IntSet => SetRef::Ints(IntSet::new(bytes)),
            _ => SetRef::Pack(Listpack::new(bytes)),
        }
    }

    fn read<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> SetRef<'a> {
        match self {
            Self::Ints(bytes) => SetRef::Ints(IntSet::new(bytes)),
            Self::Pack(bytes) => SetRef::Pack(Listpack::new(bytes)),
            Self::Table(members) => SetRef::Table(members.view(memory, hidden_until)),
        }
    }
}
