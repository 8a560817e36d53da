//! Hashes: a listpack of fields and values, a row of values whose names are elsewhere, or a table
//! of fields.
//!
//! A hash is packed while its fields are few and short, by Redis' rules; beyond that it is a table,
//! and stays one. Packed hashes that came with the same names in the same order store them once, in
//! a [shape](crate::shape). A field that expires makes a hash a table too: only there a field has
//! room for a time. Finding a field of a packed hash takes a step for each one before it, and in a
//! table one lookup.

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
use crate::packed::Listpack;
use crate::shape::{ShapedRef, Shapes};
use crate::text::StringRef;

/// A hash in one of its representations.
#[derive(Debug)]
pub(crate) enum Hash {
    Pack(Vec<u8>),
    Table(Box<Members>),
}

/// A hash as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum HashRef<'a> {
    /// Fields and values in turn.
    Pack(Listpack<'a>),
    /// Values; the names are elsewhere, in common with other hashes.
    Shaped(ShapedRef<'a>),
    /// A table of fields.
    Table(MembersRef<'a>),
}

/// A field of a hash as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name.
    pub name: StringRef<'a>,
    /// Its value.
    pub value: StringRef<'a>,
    /// When it expires, if it does.
    pub expire_at: Option<UnixMs>,
}

impl<'a> HashRef<'a> {
    /// Number of fields.
    pub fn len(self) -> usize {
        match self {
            Self::Pack(pack) => pack.len() / 2,
            Self::Shaped(shaped) => shaped.len(),
            Self::Table(members) => members.len(),
        }
    }

    /// Whether there are no fields.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Pack(pack) => pack.is_empty(),
            Self::Shaped(shaped) => shaped.is_empty(),
            Self::Table(members) => members.is_empty(),
        }
    }

    /// Whether a field expires.
    pub fn expires(self) -> bool {
        matches!(self, Self::Table(members) if members.expires())
    }

    /// The field with this name.
    pub fn get(self, name: &[u8]) -> Option<Field<'a>> {
        match self {
            Self::Pack(pack) => field_at(pack, pack.find(name, 1)?),
            Self::Shaped(shaped) => shaped.field(name),
            Self::Table(members) => members.find(name).map(Field::from),
        }
    }

    /// Visits every field, in no particular order.
    pub fn for_each(self, mut visit: impl FnMut(Field<'a>)) {
        match self {
            Self::Pack(pack) => {
                let mut elements = pack.iter();
                while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
                    visit(Field::packed(name, value));
                }
            }
            Self::Shaped(shaped) => {
                let fields = shaped.iter();
                fields.for_each(|(name, value)| visit(Field::packed(name, value)));
            }
            Self::Table(members) => members.iter().for_each(|member| visit(member.into())),
        }
    }

    /// Visits fields from `cursor` on until `visit` has returned false, all of them if the hash is
    /// packed, and returns the cursor to go on with, 0 at the end. A field that is there from the
    /// first call to the last is visited at least once.
    pub fn scan(self, cursor: u64, mut visit: impl FnMut(Field<'a>) -> bool) -> u64 {
        let Self::Table(members) = self else {
            self.for_each(|field| {
                visit(field);
            });
            return 0;
        };
        members.scan(cursor, |member| visit(member.into()))
    }

    /// A field chosen by `random`; each is as likely as any other.
    pub fn sample(self, random: u64) -> Option<Field<'a>> {
        match self {
            Self::Pack(pack) => field_at(pack, pack.seek(2 * self.chosen(random))?),
            Self::Shaped(shaped) => {
                let (name, value) = shaped.nth(self.chosen(random))?;
                Some(Field::packed(name, value))
            }
            Self::Table(members) => members.sample(random).map(Field::from),
        }
    }
}

impl HashRef<'_> {
    /// The index of the field that a random number chooses.
    fn chosen(self, random: u64) -> usize {
        ((u128::from(random) * self.len() as u128) >> u64::BITS) as usize
    }
}

impl<'a> ShapedRef<'a> {
    /// The field with this name.
    #[inline]
    fn field(self, name: &[u8]) -> Option<Field<'a>> {
        let (name, value) = self.find(name)?;
        Some(Field::packed(name, value))
    }
}

impl<'a> Field<'a> {
    fn packed(name: StringRef<'a>, value: StringRef<'a>) -> Self {
        Self {
            name,
            value,
            expire_at: None,
        }
    }
}

impl<'a> From<Member<'a>> for Field<'a> {
    fn from(member: Member<'a>) -> Self {
        Self {
            name: StringRef::Bytes(member.key()),
            value: member.string(),
            expire_at: member.expire_at(),
        }
    }
}

/// The field whose name is at this offset.
fn field_at(pack: Listpack<'_>, at: usize) -> Option<Field<'_>> {
    let value = pack.at(pack.next(at)?)?;
    Some(Field::packed(pack.at(at)?, value))
}

impl Default for Hash {
    fn default() -> Self {
        Self::Pack(Vec::new())
    }
}

impl Packable for Hash {
    const KIND: Kind = Kind::Hash;
    const LARGE: Encoding = Encoding::Hashtable;
    const REMOVAL: &'static [u8] = b"HDEL";

    type Ref<'a> = HashRef<'a>;
    type Large = Members;

    fn from_packed(form: ValueForm, bytes: Vec<u8>) -> Self {
        debug_assert_eq!(form, ValueForm::HashPack);
        Self::Pack(bytes)
    }

    fn from_large(large: Members) -> Self {
        Self::Table(Box::new(large))
    }

    fn representation(&self) -> Representation<&Vec<u8>, &Members> {
        match self {
            Self::Pack(bytes) => Representation::Packed(ValueForm::HashPack, bytes),
            Self::Table(large) => Representation::Large(large),
        }
    }

    fn representation_mut(&mut self) -> Representation<&mut Vec<u8>, &mut Members> {
        match self {
            Self::Pack(bytes) => Representation::Packed(ValueForm::HashPack, bytes),
            Self::Table(large) => Representation::Large(large),
        }
    }

    fn read_packed<'a>(form: ValueForm, bytes: &'a [u8], shapes: &'a Shapes) -> HashRef<'a> {
        match form {
            ValueForm::ShapedHash => HashRef::Shaped(shapes.read(bytes)),
            _ => HashRef::Pack(Listpack::new(bytes)),
        }
    }

    fn read<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> HashRef<'a> {
        match self {
            Self::Pack(bytes) => HashRef::Pack(Listpack::new(bytes)),
            Self::Table(members) => HashRef::Table(members.view(memory, hidden_until)),
        }
    }
}
