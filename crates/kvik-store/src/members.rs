//! The members of a large hash, set or sorted set: a table of their own, each member an entry in
//! the stripe's cells.
//!
//! A member is an entry like a key, without the clock: its name, a value (a hash's value, a sorted
//! set's score, nothing in a set) and, if it has one, its expiry. So what holds for keys holds for
//! members: growth splits one segment, a scan's cursor needs no state, a random member is as likely
//! as any other, and the time at which the next one expires is known.

use crate::UnixMs;
use crate::cells::{Cells, MEMBER, Member};
use crate::memory::{Memory, MemoryMut};
use crate::raw::entry_ref::EntryRef;
use crate::raw::position::{Position, Prefix};
use crate::raw::table::{Detached, Keys, Table};
use crate::source::Source;
use crate::table_image::TableImage;
use crate::text::Text;
use crate::trace::MemberBefore;

/// The members of a large hash, set or sorted set, in a table of their own.
#[derive(Debug, Default)]
pub(crate) struct Members {
    table: Table,
    /// The table of members while they are being freed.
    detached: Option<Detached>,
    /// Number of members that expire.
    volatile: usize,
    /// A time by which all of them have expired; it may be late, never early.
    latest: UnixMs,
    /// Bytes of their names, and of the texts of their values.
    name_bytes: usize,
    value_bytes: usize,
    /// Their id while copies of them are being made.
    source: Option<Source>,
}

/// How far a table has been made ready for members that will come.
#[derive(Clone, Copy, Debug)]
pub struct Groundwork(Option<Prefix>);

impl Default for Groundwork {
    fn default() -> Self {
        Self(Some(Prefix(0)))
    }
}

/// Steps by which a table is made ready at once: each clears a segment of 4 KiB at most.
const READY_STEPS: usize = 64;

/// Answers a table's questions about members.
struct MemberKeys<'a>(Memory<'a>);

/// Members to read.
#[derive(Clone, Copy)]
pub struct MembersRef<'a> {
    pub(crate) members: &'a Members,
    pub(crate) memory: Memory<'a>,
    /// Members whose time has come by then are not seen: 0, so that all are, where they are deleted
    /// when met.
    pub(crate) hidden_until: UnixMs,
}

impl Keys for MemberKeys<'_> {
    fn position(&self, entry: EntryRef) -> Position {
        let name = self.0.cells.member(entry).key();
        self.0.layout.position_of_member(name)
    }

    fn expiry(&self, entry: EntryRef) -> Option<UnixMs> {
        self.0.cells.member(entry).expire_at()
    }

    fn prefetch(&self, entry: EntryRef) {
        self.0.cells.arena.directory().prefetch(entry);
    }
}

impl Members {
    /// Number of members that expire.
    pub(crate) fn volatile(&self) -> usize {
        self.volatile
    }

    /// Bytes of their names.
    pub(crate) fn name_bytes(&self) -> usize {
        self.name_bytes
    }

    /// Bytes of the texts of their values.
    pub(crate) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    pub(crate) fn find(&self, memory: Memory<'_>, name: &[u8]) -> Option<EntryRef> {
        let is_it = |entry| memory.cells.member(entry).has_key(name);
        let position = memory.layout.position_of_member(name);
        self.table.find(position, is_it)
    }

    /// Adds a member that is not there yet.
    pub(crate) fn insert(
        &mut self,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        value: Text<'_>,
        expire_at: Option<UnixMs>,
    ) -> EntryRef {
        self.before_change(memory, name, None);
        self.name_bytes += name.len();
        self.value_bytes += value.len();
        let entry = memory.cells.insert::<MEMBER>(name, value, expire_at);
        self.count(None, expire_at);
        let position = memory.layout.position_of_member(name);
        let keys = MemberKeys(memory.read());
        self.table.insert(position, entry, &keys);
        entry
    }

    /// Does a part of what the table needs to hold so many members in all. It must not be empty.
    pub(crate) fn make_ready(
        &mut self,
        memory: Memory<'_>,
        members: usize,
        groundwork: &mut Groundwork,
    ) {
        if let Some(from) = groundwork.0 {
            let (steps, keys) = (READY_STEPS, MemberKeys(memory));
            groundwork.0 = self.table.make_ready(members, from, steps, &keys);
        }
    }

    /// Replaces the value of a member that is there and says where it is then.
    pub(crate) fn set_value(
        &mut self,
        memory: &mut MemoryMut<'_>,
        member: EntryRef,
        value: Text<'_>,
    ) -> EntryRef {
        self.before_change_of(memory, member);
        self.value_bytes += value.len();
        self.value_bytes -= memory.cells.member(member).string().len();
        let to = memory.cells.set_text::<MEMBER>(member, value);
        self.moved(memory.read(), member, to);
        to
    }

    /// Sets or clears when a member expires and says where it is then.
    pub(crate) fn set_expiry(
        &mut self,
        memory: &mut MemoryMut<'_>,
        member: EntryRef,
        expire_at: Option<UnixMs>,
    ) -> EntryRef {
        self.before_change_of(memory, member);
        self.count(memory.cells.member(member).expire_at(), expire_at);
        let to = memory.cells.set_expiry::<MEMBER>(member, expire_at);
        self.moved(memory.read(), member, to);
        if let Some(at) = expire_at {
            let position = MemberKeys(memory.read()).position(to);
            self.table.lower_deadline(position, to, at);
        }
        to
    }

    /// Deletes a member that is there.
    pub(crate) fn remove(&mut self, memory: &mut MemoryMut<'_>, member: EntryRef) {
        self.before_change_of(memory, member);
        let there = memory.cells.member(member);
        self.name_bytes -= there.key().len();
        self.value_bytes -= there.string().len();
        self.count(there.expire_at(), None);
        let keys = MemberKeys(memory.read());
        self.table.remove(keys.position(member), member, &keys);
        memory.cells.free::<MEMBER>(member);
    }

    /// Their id while copies of them are being made.
    pub(crate) fn source(&self) -> Option<Source> {
        self.source
    }

    pub(crate) fn set_source(&mut self, source: Source) {
        self.source = Some(source);
    }

    /// A time before which no member expires.
    pub(crate) fn earliest_deadline(&self) -> UnixMs {
        self.table.earliest_deadline()
    }

    /// Whether the time of every member has come. As far as can be told at once: a time that was
    /// taken back may make it look as if it had not.
    pub(crate) fn is_all_due(&self, now: UnixMs) -> bool {
        self.volatile > 0 && self.volatile == self.len() && self.latest <= now
    }

    /// As a reader sees them; see [`MembersRef::hidden_until`].
    pub(crate) fn view<'a>(&'a self, memory: Memory<'a>, hidden_until: UnixMs) -> MembersRef<'a> {
        MembersRef {
            members: self,
            memory,
            hidden_until,
        }
    }

    /// A member whose time has come; see [`Table::next_due`].
    pub(crate) fn next_due(
        &mut self,
        memory: Memory<'_>,
        now: UnixMs,
        looks: &mut usize,
    ) -> Option<EntryRef> {
        let keys = MemberKeys(memory);
        let (_, member) = self.table.next_due(now, looks, &keys)?;
        Some(member)
    }

    /// Moves the members of one part out of sparse pages, giving each old and new place to
    /// `report`, and says whether there is another part.
    pub(crate) fn relocate(
        &mut self,
        part: usize,
        cells: &mut Cells,
        mut report: impl FnMut(&Cells, EntryRef, EntryRef),
    ) -> bool {
        self.table.replace_in_part(part, |from| {
            let to = cells.arena.relocate(from)?;
            report(cells, from, to);
            Some(to)
        })
    }

    /// Keeps count of the members that expire when one of them does so at another time.
    fn count(&mut self, old: Option<UnixMs>, new: Option<UnixMs>) {
        self.volatile += usize::from(new.is_some());
        self.volatile -= usize::from(old.is_some());
        if self.volatile == 0 {
            self.latest = 0;
        }
        self.latest = self.latest.max(new.unwrap_or(0));
    }

    /// Reports the state of a member before it changes, to who makes copies and to who may undo it.
    /// Every change of a member begins here; `member` is none where it is about to come.
    #[inline]
    fn before_change(&mut self, memory: &mut MemoryMut<'_>, name: &[u8], member: Option<EntryRef>) {
        if let Some(source) = self.source
            && !self.report(source, memory, name, member)
        {
            self.source = None;
        }
    }

    /// Tells the copies that are being made, and the image and the trace, if there are such, that a
    /// member is about to change, to go or, where there is none, to come. Says whether anybody
    /// follows the collection still.
    #[cold]
    fn report(
        &self,
        source: Source,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        member: Option<EntryRef>,
    ) -> bool {
        let position = memory.layout.position_of_member(name);
        let mut is_followed = memory.journals.note(source, position.prefix(), name);
        let keys = MemberKeys(Memory {
            cells: memory.cells,
            layout: memory.layout,
        });
        if let Some(image) = memory.journals.images.of(source) {
            let range = image.saved.of(position);
            if !image.saved.is_saved(range) {
                self.save_range(image, range, &keys);
            }
            is_followed = true;
        }
        let Some(trace) = &mut memory.journals.trace else {
            return is_followed;
        };
        if !trace.is_traced(source) {
            return is_followed;
        }
        let before = member.map(|member| {
            let member = memory.cells.member(member);
            MemberBefore {
                value: member.text().into_owned(),
                expire_at: member.expire_at(),
                bytes: member.bytes(),
            }
        });
        trace.note(source, name, before);
        true
    }

    /// Hands over to an image what it lacks, until about `budget` members are handed over. Returns
    /// what is left of the budget, none if there may be more.
    pub(crate) fn save_slice(
        &self,
        memory: Memory<'_>,
        image: &mut TableImage,
        mut budget: usize,
    ) -> Option<usize> {
        while let Some(range) = image.saved.next() {
            if budget == 0 {
                return None;
            }
            let saved = self.save_range(image, range, &MemberKeys(memory));
            budget = budget.saturating_sub(saved.max(1));
        }
        Some(budget)
    }

    /// Hands a range of members over to an image, and says how many there are.
    fn save_range(&self, image: &mut TableImage, range: u64, keys: &MemberKeys<'_>) -> usize {
        let mut count = 0;
        let outlet = &mut image.outlet;
        image.saved.visit(range, &self.table, keys, |entry| {
            outlet.member(keys.0.cells.member(entry));
            count += 1;
        });
        image.saved.mark_saved(range);
        count
    }

    #[inline]
    fn before_change_of(&mut self, memory: &mut MemoryMut<'_>, member: EntryRef) {
        if self.source.is_some() {
            let name = memory.cells.member(member).key().to_vec();
            self.before_change(memory, &name, Some(member));
        }
    }

    fn moved(&mut self, memory: Memory<'_>, from: EntryRef, to: EntryRef) {
        if from != to {
            let position = MemberKeys(memory).position(to);
            self.table.replace(position, from, to);
        }
    }

    /// Number of members, those included whose time has come.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Bytes of the table, with those of this description itself.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.table.bytes()
    }

    /// Frees up to about `max` members and says whether there are more.
    pub(crate) fn free(&mut self, max: usize, cells: &mut Cells) -> bool {
        let table = &mut self.table;
        let detached = self.detached.get_or_insert_with(|| table.detach());
        detached.drain(max, |entry| cells.free::<MEMBER>(entry))
    }

    /// The members in other cells.
    pub(crate) fn copy_to(&self, from: &Cells, to: &mut MemoryMut<'_>) -> Self {
        let mut copy = Self::default();
        for entry in self.table.entries() {
            let member = from.member(entry);
            copy.insert(to, member.key(), member.text(), member.expire_at());
        }
        copy
    }
}

/// Deletes up to `max` due members with `delete_next`, which takes off how many buckets it needed
/// to look into, and says whether there may be more: also if none was found in a reasonable number
/// of them.
pub(crate) fn delete_due(
    max: usize,
    mut delete_next: impl FnMut(&mut usize) -> Option<()>,
) -> bool {
    let mut looks = max.saturating_mul(4).saturating_add(16);
    (0..max).all(|_| delete_next(&mut looks).is_some()) || looks == 0
}

/// A collection whose members are in a table, whatever else it keeps beside them.
pub(crate) trait Tabled {
    fn members(&self) -> &Members;

    fn members_mut(&mut self) -> &mut Members;

    /// Adds a member that is not there.
    fn add(
        &mut self,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        value: Text<'_>,
        expire_at: Option<UnixMs>,
    );

    /// Deletes a member that is there.
    fn take_off(&mut self, memory: &mut MemoryMut<'_>, member: EntryRef);

    /// Deletes a member if it is there.
    fn delete(&mut self, memory: &mut MemoryMut<'_>, name: &[u8]) {
        if let Some(member) = self.members().find(memory.read(), name) {
            self.take_off(memory, member);
        }
    }
}

impl Tabled for Members {
    fn members(&self) -> &Members {
        self
    }

    fn members_mut(&mut self) -> &mut Members {
        self
    }

    fn add(
        &mut self,
        memory: &mut MemoryMut<'_>,
        name: &[u8],
        value: Text<'_>,
        expire_at: Option<UnixMs>,
    ) {
        self.insert(memory, name, value, expire_at);
    }

    fn take_off(&mut self, memory: &mut MemoryMut<'_>, member: EntryRef) {
        self.remove(memory, member);
    }
}

/// Draws after which a member to be seen is counted off rather than drawn, because hardly any are.
const DRAWS: u32 = u64::BITS;

impl<'a> MembersRef<'a> {
    /// Number of members that are seen. It takes a step for each that is not.
    pub(crate) fn len(self) -> usize {
        self.members.len() - self.hidden().count()
    }

    /// Whether no member is seen.
    pub(crate) fn is_empty(self) -> bool {
        let all_may_be_hidden = self.members.volatile() == self.members.len();
        all_may_be_hidden
            && (self.members.is_all_due(self.hidden_until) || self.iter().next().is_none())
    }

    /// Whether a member expires.
    pub(crate) fn expires(self) -> bool {
        self.members.volatile() > self.hidden().count()
    }

    pub(crate) fn find(self, name: &[u8]) -> Option<Member<'a>> {
        let entry = self.members.find(self.memory, name)?;
        Some(self.memory.cells.member(entry)).filter(|&member| self.shows(member))
    }

    /// Fetches into the cache what [`Self::find`] will look at.
    #[inline]
    pub(crate) fn prefetch(self, name: &[u8]) {
        let position = self.memory.layout.position_of_member(name);
        self.members.table.prefetch(position, &self.keys());
    }

    /// Every member, in no particular order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Member<'a>> {
        let entries = self.members.table.entries();
        let members = entries.map(move |entry| self.memory.cells.member(entry));
        members.filter(move |&member| self.shows(member))
    }

    /// The members that are not seen.
    pub(crate) fn hidden(self) -> impl Iterator<Item = Member<'a>> {
        let (table, keys) = (&self.members.table, self.keys());
        let some = (self.hidden_until > 0).then(|| table.due(self.hidden_until, keys));
        let entries = some.into_iter().flatten();
        entries.map(move |entry| self.memory.cells.member(entry))
    }

    /// Whether a member is seen.
    #[inline]
    pub(crate) fn shows(self, member: Member<'_>) -> bool {
        self.hidden_until == 0 || member.expire_at().is_none_or(|at| at > self.hidden_until)
    }

    /// As [`Self::walk`], from and to the cursors that clients see; 0 is the start and the end.
    pub(crate) fn scan(self, cursor: u64, visit: impl FnMut(Member<'a>) -> bool) -> u64 {
        let next = from_cursor(cursor).and_then(|from| self.walk(from, visit));
        next.map_or(0, |next| to_cursor(next, self.members.len()))
    }

    /// Visits members in hash order from a prefix on until `visit` has returned false; returns the
    /// prefix to go on with, if there is more. See [`Table::walk`].
    pub(crate) fn walk(
        self,
        from: Prefix,
        mut visit: impl FnMut(Member<'a>) -> bool,
    ) -> Option<Prefix> {
        let visit = |entry| {
            let member = self.memory.cells.member(entry);
            !self.shows(member) || visit(member)
        };
        self.members.table.walk(from, &self.keys(), visit)
    }

    /// A member chosen by `random`; each is as likely as any other.
    pub(crate) fn sample(self, random: u64) -> Option<Member<'a>> {
        for draw in 0..DRAWS {
            let entry = self.members.table.sample(random.rotate_left(draw))?;
            let member = self.memory.cells.member(entry);
            if self.shows(member) {
                return Some(member);
            }
        }
        let chosen = (u128::from(random) * self.len() as u128) >> u64::BITS;
        self.iter().nth(chosen as usize)
    }

    fn keys(self) -> MemberKeys<'a> {
        MemberKeys(self.memory)
    }
}

/// Members up to which a table's buckets are certainly wider than two hash prefixes.
const WIDE_BUCKETS: usize = 1 << 24;

/// Cursors from here on are prefixes of large tables, with this bit set.
const LARGE: u64 = 1 << 32;

/// The cursor for going on at a hash prefix. Clients may keep cursors in signed 32-bit integers, so
/// it is half the prefix, rounded up: a walk begins with the whole bucket that a prefix falls into.
/// Only a table whose buckets may be too narrow for that gets a larger one.
fn to_cursor(prefix: Prefix, len: usize) -> u64 {
    if len <= WIDE_BUCKETS {
        u64::from(prefix.0).div_ceil(2)
    } else {
        LARGE | u64::from(prefix.0)
    }
}

/// The hash prefix of a cursor; none for one that no scan has given.
fn from_cursor(cursor: u64) -> Option<Prefix> {
    let prefix = match cursor {
        ..LARGE => u32::try_from(2 * cursor),
        _ => u32::try_from(cursor ^ LARGE),
    };
    prefix.ok().map(Prefix)
}

impl std::fmt::Debug for MembersRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MembersRef")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
