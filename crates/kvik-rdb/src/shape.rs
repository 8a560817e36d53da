//! Hashes whose fields' names stand elsewhere in their file: Redis 8.10 writes them once for all
//! keys that have the same ones.
//!
//! ```text
//! 242 | number | count | name ...                 before the keys
//! 30 | key | listpack: number, value ...          a small hash of this shape
//! 32 | key | number | value ...                   a large one
//! ```
//! Nothing of this is written here. DUMP has the names in the value: 31 is read as any hash, and 29
//! in both forms that builds of Redis write.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Corrupt, Field, Reader, Text};

/// The names of the fields of a shape.
pub type FieldNames = [Box<[u8]>];

/// The shapes of a file by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Shapes(BTreeMap<u64, Arc<FieldNames>>);

/// The fields of a hash whose values stand behind the number of its shape.
#[derive(Debug)]
pub struct ShapedFields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    names: &'r FieldNames,
}

impl Shapes {
    /// The names of the fields of a shape.
    ///
    /// # Errors
    /// If the file has not told of it before.
    pub fn names(&self, number: u64) -> Result<&FieldNames, Corrupt> {
        let names = self.0.get(&number);
        names.map(|names| &**names).ok_or(Corrupt::UnknownShape)
    }

    /// Reads a shape, behind the byte that it begins with.
    pub(crate) fn add(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let number = reader.length()?;
        let count = reader.count(1)?;
        let mut names: Vec<Box<[u8]>> = Vec::new();
        for _ in 0..count {
            names.push(reader.text()?.into_bytes().into());
        }
        if names.is_empty() {
            return Err(Corrupt::Empty);
        }
        match self.0.insert(number, names.into()) {
            None => Ok(()),
            Some(_) => Err(Corrupt::UnknownShape),
        }
    }
}

impl<'r, 'a> ShapedFields<'r, 'a> {
    /// The fields of the hash that starts here.
    pub(crate) fn read(reader: &'r mut Reader<'a>, shapes: &'r Shapes) -> Result<Self, Corrupt> {
        let names = shapes.names(reader.length()?)?;
        Ok(Self { reader, names })
    }
}

impl<'r> Iterator for ShapedFields<'r, '_> {
    type Item = Result<Field<'r>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.names.split_first()?;
        self.names = rest;
        let value = self.reader.text();
        if value.is_err() {
            self.names = &[];
        }
        Some(value.map(|value| Field {
            name: Text::from(&**name),
            value,
            expire_at: None,
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.names.len(), Some(self.names.len()))
    }
}
