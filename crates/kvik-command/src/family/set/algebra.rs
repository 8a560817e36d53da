//! Intersection, union and difference of sets, and storing them.
//!
//! An intersection asks the larger sets for each member of the smallest. A difference does either
//! the same with the first set, or takes the members of the others out of a copy of it, whichever
//! touches fewer members. Sets that are large together are combined in slices, by asking for each
//! member alone, so that nothing has to be kept between two slices.

use std::collections::HashSet;

use kvik_resp::{Args, Reply};
use kvik_store::{EventClasses, Groundwork, Guard, IntText, SetRef, StringRef, UnixMs};

use super::{read, set};
use crate::family::carried_expiry::{earlier, later};
use crate::family::hyperloglog::ElementSketch;
use crate::{Ctx, Error, LOOKUPS_AHEAD, SLICE};

/// The operation on several sets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SetCombination {
    Intersection,
    Union,
    Difference,
}

pub(super) fn sinter(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, SetCombination::Intersection)
}

pub(super) fn sunion(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, SetCombination::Union)
}

pub(super) fn sdiff(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, SetCombination::Difference)
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    store(ctx, SetCombination::Intersection)
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    store(ctx, SetCombination::Union)
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    store(ctx, SetCombination::Difference)
}

pub(super) fn sintercard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, SetCombination::Intersection)
}

pub(super) fn sunioncard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, SetCombination::Union)
}

pub(super) fn sdiffcard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    count(ctx, SetCombination::Difference)
}

fn count(ctx: &mut Ctx<'_>, combination: SetCombination) -> Result<(), Error> {
    let count = usize::try_from(ctx.int(1).unwrap_or(0)).unwrap_or(0);
    if count == 0 {
        return Err(Error::text("numkeys should be greater than 0"));
    }
    // `slice` stops at the end, so a number that is too large shows in the length.
    let keys = ctx.args.slice(2..count.saturating_add(2));
    if keys.len() < count {
        return Err(Error::text(
            "Number of keys can't be greater than number of args",
        ));
    }
    let options = CountOptions::parse(ctx, 2 + count, combination)?;
    meet(ctx, keys)?;
    let sets = look(&ctx.keys, keys)?;
    let size = size(&sets);
    let members = if size > SLICE && !options.estimate {
        ctx.weigh(size)?;
        let mut members = 0;
        combine_in_slices(ctx, keys, combination, |_, _, _| {
            members += 1;
            members != options.limit
        })?;
        members as u64
    } else if options.estimate {
        let sets = sets.iter().flatten();
        let members = sets.flat_map(|set| set.iter());
        let mut seen = ElementSketch::new();
        members.for_each(|member| seen.add(member.text(&mut IntText::default())));
        match options.limit as u64 {
            0 => seen.estimate(),
            limit => seen.estimate().min(limit),
        }
    } else {
        let mut members = 0;
        combine(&sets, combination, |_| {
            members += 1;
            members != options.limit
        });
        members as u64
    };
    ctx.reply.integer(members as i64);
    Ok(())
}

/// The options of a command that counts.
struct CountOptions {
    /// 0 is none.
    limit: usize,
    /// The members are not told apart exactly, which takes no memory for each of them.
    estimate: bool,
}

impl CountOptions {
    fn parse(ctx: &Ctx<'_>, mut at: usize, combination: SetCombination) -> Result<Self, Error> {
        let mut options = Self {
            limit: 0,
            estimate: false,
        };
        while at < ctx.args.len() {
            if combination == SetCombination::Union && ctx.is(at, "APPROX") {
                options.estimate = true;
                at += 1;
                continue;
            }
            if !ctx.is(at, "LIMIT") || at + 1 == ctx.args.len() {
                return Err(Error::SYNTAX);
            }
            let number = ctx.int(at + 1).ok();
            let number = number.and_then(|number| usize::try_from(number).ok());
            options.limit = number.ok_or(Error::text("LIMIT can't be negative"))?;
            at += 2;
        }
        Ok(options)
    }
}

fn answer(ctx: &mut Ctx<'_>, combination: SetCombination) -> Result<(), Error> {
    let keys = ctx.args.tail(1);
    meet(ctx, keys)?;
    let sets = look(&ctx.keys, keys)?;
    let size = size(&sets);
    if size > SLICE {
        ctx.weigh(size)?;
        let (all, mut members) = (ctx.reply.deferred_set(), 0);
        combine_in_slices(ctx, keys, combination, |reply, _, member| {
            reply.bulk(member);
            members += 1;
            true
        })?;
        // The header moves all that is behind it, and no key is needed for that.
        ctx.keys.rest();
        ctx.reply.finish_set(all, members);
        return Ok(());
    }
    let reply = &mut ctx.reply;
    let (all, mut members) = (reply.deferred_set(), 0);
    combine(&sets, combination, |member| {
        reply.bulk(member);
        members += 1;
        true
    });
    reply.finish_set(all, members);
    Ok(())
}

fn store(ctx: &mut Ctx<'_>, combination: SetCombination) -> Result<(), Error> {
    let (args, keys) = (ctx.args, ctx.args.tail(2));
    let destination = &args[1];
    meet(ctx, keys)?;
    let sets = look(&ctx.keys, keys)?;
    let expire = sets.iter().flatten().any(|set| set.expires());
    let size = size(&sets);
    let mut members = SetResults::default();
    let mut keep = |sets: &[Option<SetRef<'_>>], member: &[u8]| {
        let expire_at = expire.then(|| expiry(sets, combination, member)).flatten();
        members.push(member, expire_at);
    };
    if size > SLICE {
        ctx.weigh(size)?;
        combine_in_slices(ctx, keys, combination, |_, sets, member| {
            keep(sets, member);
            true
        })?;
    } else {
        combine(&sets, combination, |member| {
            keep(&sets, member);
            true
        });
    }
    members.store(&mut ctx.keys, destination)?;
    ctx.reply.integer(members.len as i64);
    // To free them takes long, and needs no key.
    ctx.keys.rest();
    Ok(())
}

/// The members of a result, copied from where they were.
#[derive(Default)]
struct SetResults {
    /// In pages, so that none is ever moved.
    pages: Vec<ResultPage>,
    len: usize,
}

/// Members that are stored while the stripe is held once.
#[derive(Default)]
struct ResultPage {
    /// The members, one behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Which of them expire, and when.
    times: Vec<(usize, UnixMs)>,
}

impl ResultPage {
    const MEMBERS: usize = SLICE / 2;

    fn member(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[at]]
    }
}

impl SetResults {
    fn push(&mut self, member: &[u8], expire_at: Option<UnixMs>) {
        let page = match self.pages.last_mut() {
            Some(page) if page.ends.len() < ResultPage::MEMBERS => page,
            _ => {
                self.pages.push(ResultPage::default());
                self.pages.last_mut().expect("one was pushed")
            }
        };
        page.times.extend(expire_at.map(|at| (page.ends.len(), at)));
        page.bytes.extend_from_slice(member);
        page.ends.push(page.bytes.len());
        self.len += 1;
    }

    /// Puts the members, which differ, in the place of whatever a key holds. Without members the
    /// key is gone.
    fn store(&self, keys: &mut Guard<'_>, destination: &[u8]) -> Result<(), Error> {
        if self.pages.is_empty() {
            keys.delete(destination);
            return Ok(());
        }
        let was_blessed = keys.make_room(destination);
        let (mut wanted, mut groundwork) = (None, Groundwork::default());
        for page in &self.pages {
            let mut set = keys.entry(destination).set_mut()?;
            if wanted.is_none() {
                // How many there will be does not decide: integers may still be few enough for an
                // intset.
                set.expect(page.member(0), 1);
            }
            let members = (0..page.ends.len()).map(|at| page.member(at));
            set.add_new(members, self.len, &mut groundwork);
            for &(at, expire_at) in &page.times {
                set.set_expiry(page.member(at), Some(expire_at));
            }
            drop(set);
            // It has changed something, and goes on to its end. Of all slices one event tells.
            keys.breathe();
            wanted = wanted.or(Some(keys.mute(EventClasses::ALL)));
        }
        if let Some(wanted) = wanted {
            keys.unmute(wanted);
        }
        keys.keep_blessing(destination, was_blessed);
        Ok(())
    }
}

/// The members of all sets together.
fn size(sets: &[Option<SetRef<'_>>]) -> usize {
    sets.iter().flatten().map(|set| set.len()).sum()
}

/// Gives each member of the result to `tell`, with the sets, until that says no, and lets others in
/// between.
fn combine_in_slices(
    ctx: &mut Ctx<'_>,
    keys: Args<'_>,
    combination: SetCombination,
    mut tell: impl FnMut(&mut Reply<'_>, &[Option<SetRef<'_>>], &[u8]) -> bool,
) -> Result<(), Error> {
    let sets = look(&ctx.keys, keys)?;
    let walked = match combination {
        SetCombination::Union => 0..sets.len(),
        SetCombination::Difference => 0..1,
        SetCombination::Intersection => {
            // One missing key makes the intersection empty.
            let lens = sets.iter().enumerate();
            let lens = lens.map(|(at, set)| Some((set.as_ref()?.len(), at)));
            match lens
                .collect::<Option<Vec<_>>>()
                .and_then(|it| it.into_iter().min())
            {
                Some((_, smallest)) => smallest..smallest + 1,
                None => return Ok(()),
            }
        }
    };
    for at in walked {
        let mut cursor = 0;
        loop {
            meet(ctx, keys)?;
            let sets = look(&ctx.keys, keys)?;
            let Some(set) = sets[at] else { break };
            let mut slice = Vec::with_capacity(SLICE);
            cursor = set.scan(cursor, |member| {
                slice.push(member);
                slice.len() < SLICE
            });
            let (before, others) = (&sets[..at], &sets[at + 1..]);
            let rest = before.iter().chain(others).flatten();
            for (place, member) in slice.iter().enumerate() {
                let mut room = IntText::default();
                if let Some(soon) = slice.get(place + LOOKUPS_AHEAD) {
                    let soon = soon.text(&mut room);
                    rest.clone().for_each(|set| set.prefetch(soon));
                }
                let member = member.text(&mut room);
                let has = |set: &Option<SetRef<'_>>| set.is_some_and(|set| set.contains(member));
                let is_result = match combination {
                    // Members of the sets before have been told.
                    SetCombination::Union => !before.iter().any(has),
                    SetCombination::Difference => !others.iter().any(has),
                    SetCombination::Intersection => rest.clone().all(|set| set.contains(member)),
                };
                if is_result && !tell(&mut ctx.reply, &sets, member) {
                    return Ok(());
                }
            }
            drop(slice);
            ctx.breathe()?;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// When a member of the result expires. See [`carried_expiry`](crate::family::carried_expiry).
fn expiry(
    sets: &[Option<SetRef<'_>>],
    combination: SetCombination,
    member: &[u8],
) -> Option<UnixMs> {
    let times = sets.iter().flatten();
    let mut times = times.filter_map(|set| set.expiry_of(member));
    let first = times.next()?;
    match combination {
        SetCombination::Union => times.fold(first, later),
        SetCombination::Intersection => times.fold(first, earlier),
        SetCombination::Difference => first,
    }
}

/// Touches the keys, which deletes what is due, and refuses other types.
fn meet(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<(), Error> {
    keys.iter().try_for_each(|key| read(ctx, key).map(drop))
}

/// The sets of keys that have been met, `None` for those that do not exist.
fn look<'c>(guard: &'c Guard<'_>, keys: Args<'_>) -> Result<Vec<Option<SetRef<'c>>>, Error> {
    let view = |key| guard.view(key).map(set).transpose();
    keys.iter().map(view).collect()
}

/// Gives each member of the result to `tell` until that says no.
fn combine(
    sets: &[Option<SetRef<'_>>],
    combination: SetCombination,
    tell: impl FnMut(&[u8]) -> bool,
) {
    match combination {
        SetCombination::Intersection => intersect(sets, tell),
        SetCombination::Union => unite(sets, tell),
        SetCombination::Difference => subtract(sets, tell),
    }
}

fn intersect(sets: &[Option<SetRef<'_>>], mut tell: impl FnMut(&[u8]) -> bool) {
    // One missing key makes the intersection empty.
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else {
        return;
    };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else {
        return;
    };
    for member in smallest.iter() {
        let mut room = IntText::default();
        let member = member.text(&mut room);
        if others.iter().all(|set| set.contains(member)) && !tell(member) {
            return;
        }
    }
}

fn unite(sets: &[Option<SetRef<'_>>], mut tell: impl FnMut(&[u8]) -> bool) {
    let mut seen = SeenMembers::default();
    for set in sets.iter().flatten() {
        for member in set.iter() {
            if seen.insert(member) && !tell(member.text(&mut IntText::default())) {
                return;
            }
        }
    }
}

fn subtract(sets: &[Option<SetRef<'_>>], mut tell: impl FnMut(&[u8]) -> bool) {
    let Some((Some(first), others)) = sets.split_first() else {
        return;
    };
    let others: Vec<SetRef<'_>> = others.iter().flatten().copied().collect();
    // Redis' estimate of both ways: half of the lookups, because most of them end early, against
    // one visit of every member.
    let lookups = first.len().saturating_mul(others.len()) / 2;
    let all: usize = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    let mut gone = SeenMembers::default();
    if lookups > all {
        // A table of all members to be taken out turns many lookups into one each.
        let taken = others.iter().flat_map(|set| set.iter());
        taken.for_each(|member| {
            gone.insert(member);
        });
    }
    for member in first.iter() {
        let mut room = IntText::default();
        let text = member.text(&mut room);
        let is_gone = if lookups > all {
            gone.contains(member)
        } else {
            others.iter().any(|set| set.contains(text))
        };
        if !is_gone && !tell(text) {
            return;
        }
    }
}

/// Members seen so far, borrowed from where they are.
#[derive(Default)]
struct SeenMembers<'a> {
    ints: HashSet<i64>,
    texts: HashSet<&'a [u8]>,
}

impl<'a> SeenMembers<'a> {
    /// Says whether the member is new.
    fn insert(&mut self, member: StringRef<'a>) -> bool {
        match member.canonical() {
            StringRef::Int(n) => self.ints.insert(n),
            StringRef::Bytes(bytes) => self.texts.insert(bytes),
        }
    }

    fn contains(&self, member: StringRef<'a>) -> bool {
        match member.canonical() {
            StringRef::Int(n) => self.ints.contains(&n),
            StringRef::Bytes(bytes) => self.texts.contains(bytes),
        }
    }
}
