//! Changes of a large collection while copies of it are being made.
//!
//! A copy is made in slices, by walking the table in the order of its positions (see
//! [`crate::shadow`]). A member that changes behind the walk is noted in a [`Journal`], to be taken
//! over again; one that changes before it will be met anyway. A collection has one journal for each
//! stripe that it is copied to. All journals of a stripe's collections are its [`Journals`], and
//! every change of a member is offered to them ([`Journals::note`]).

use std::collections::HashSet;

use crate::UnixMs;
use crate::raw::position::Prefix;
use crate::source::Source;
use crate::table_image::TableImages;
use crate::trace::MemberTrace;

/// Members copied while the stripes are held once. Tests get to the ends sooner.
pub(crate) const SLICE: usize = if cfg!(test) { 32 } else { 256 };
/// Collections that are not larger are copied at once.
const AT_ONCE: usize = if cfg!(test) { 100 } else { 1024 };
const AT_ONCE_BYTES: usize = 256 << 10;
/// Slices after which a walk that is complete does not wait any longer for the changes to become
/// few: they are made faster than they can be taken over.
const LAST_SLICES: u32 = 100;
/// After so long nobody will go on with a copy.
const KEPT_MS: UnixMs = 1000;
/// Where a walk is when it is complete: behind every prefix.
const END: u64 = 1 << 32;

/// The journals of the collections of one stripe.
#[derive(Debug, Default)]
pub(crate) struct Journals {
    all: Vec<Journal>,
    /// The members before their changes, while these can be undone.
    pub(crate) trace: Option<Box<MemberTrace>>,
    /// Who gets members before they change, while images are taken.
    pub(crate) images: TableImages,
}

/// How far the copy of a collection has come.
#[derive(Debug)]
pub(crate) struct Journal {
    source: Source,
    /// The stripe it is made for.
    to: usize,
    /// Members whose position has a lower prefix have been walked.
    walked: u64,
    /// Those of them that have changed since.
    changed: HashSet<Box<[u8]>>,
    /// The same, while they are being taken over.
    pending: Vec<Box<[u8]>>,
    /// Bytes of all these names.
    name_bytes: usize,
    /// How many may be noted; if there are more, it is quicker to begin anew.
    limit: usize,
    overflown: bool,
    /// Slices since the walk was complete.
    last_slices: u32,
    used: UnixMs,
}

/// Whether a copy of so many members with so many bytes is made in slices.
pub(crate) fn is_large(len: usize, bytes: usize) -> bool {
    len > AT_ONCE || bytes > AT_ONCE_BYTES
}

/// Whether nobody goes on with a copy that was last worked on at `used`.
pub(crate) fn is_abandoned(used: UnixMs, now: UnixMs) -> bool {
    used.saturating_add(KEPT_MS) < now
}

impl Journals {
    /// Notes that a member with this prefix and name has changed, or come or gone; says whether
    /// copies are being made.
    pub(crate) fn note(&mut self, source: Source, prefix: Prefix, name: &[u8]) -> bool {
        let mut copied = false;
        for journal in self.all.iter_mut().filter(|it| it.source == source) {
            journal.note(prefix, name);
            copied = true;
        }
        copied
    }

    pub(crate) fn get(&self, source: Source, to: usize) -> Option<&Journal> {
        let mut journals = self.all.iter();
        journals.find(|it| it.source == source && it.to == to)
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Journal> {
        self.all.iter()
    }

    pub(crate) fn take(&mut self, source: Source, to: usize) -> Option<Journal> {
        let is_it = |it: &Journal| it.source == source && it.to == to;
        let at = self.all.iter().position(is_it)?;
        Some(self.all.swap_remove(at))
    }

    pub(crate) fn put(&mut self, journal: Journal) {
        self.all.push(journal);
    }

    /// Drops the journals of copies that nobody has gone on with.
    pub(crate) fn drop_abandoned(&mut self, now: UnixMs) {
        self.all.retain(|journal| !is_abandoned(journal.used, now));
    }

    /// Whether neither a copy nor an image of a large collection is being made here.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() & self.images.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.all.capacity() * size_of::<Journal>()
            + self.all.iter().map(Journal::bytes).sum::<usize>()
            + self.images.bytes()
    }
}

impl Journal {
    /// The journal of a copy that is to be made of a collection of `len` members, for the stripe
    /// `to`.
    pub(crate) fn new(source: Source, to: usize, len: usize, now: UnixMs) -> Self {
        Self {
            source,
            to,
            walked: 0,
            changed: HashSet::new(),
            pending: Vec::new(),
            name_bytes: 0,
            limit: len,
            overflown: false,
            last_slices: 0,
            used: now,
        }
    }

    /// Whether more changed than is worth taking over.
    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Whether every member has been walked, so that what is missing is known.
    pub(crate) fn is_walked(&self) -> bool {
        self.walked == END
    }

    /// Whether so little is missing that the command can take it over itself.
    pub(crate) fn is_ready(&self) -> bool {
        let missing = self.changed.len() + self.pending.len();
        self.is_walked() && (missing <= SLICE || self.last_slices >= LAST_SLICES)
    }

    /// Begins a slice of the copy.
    pub(crate) fn begin_slice(&mut self, now: UnixMs) {
        self.used = now;
        self.last_slices += u32::from(self.is_walked());
    }

    /// Where the walk goes on, unless it is complete.
    pub(crate) fn next_prefix(&self) -> Option<Prefix> {
        u32::try_from(self.walked).ok().map(Prefix)
    }

    /// Notes how far the walk has come: up to `next`, or to the end.
    pub(crate) fn walked_up_to(&mut self, next: Option<Prefix>) {
        self.walked = next.map_or(END, |Prefix(next)| next.into());
    }

    /// Lets the names that changed be taken over, if all that were to be have been.
    pub(crate) fn refill(&mut self) {
        if self.pending.is_empty() {
            self.pending.extend(self.changed.drain());
        }
    }

    /// Names that are to be taken over.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The next name to take over.
    pub(crate) fn pop(&mut self) -> Option<Box<[u8]>> {
        let name = self.pending.pop()?;
        self.name_bytes -= name.len();
        Some(name)
    }

    fn note(&mut self, prefix: Prefix, name: &[u8]) {
        let is_to_come = u64::from(prefix.0) >= self.walked;
        if is_to_come || self.overflown || self.changed.contains(name) {
            return;
        }
        // More changes than members: to copy all of them again takes no longer.
        if self.changed.len() >= self.limit {
            *self = Self {
                overflown: true,
                ..Self::new(self.source, self.to, 0, self.used)
            };
            return;
        }
        self.changed.insert(name.into());
        self.name_bytes += name.len();
    }

    fn bytes(&self) -> usize {
        // The set has a byte of control for each element it has room for.
        self.changed.capacity() * (size_of::<Box<[u8]>>() + 1)
            + self.pending.capacity() * size_of::<Box<[u8]>>()
            + self.name_bytes
    }
}
