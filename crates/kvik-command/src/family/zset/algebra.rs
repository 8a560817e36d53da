//! Union, intersection and difference of sorted sets and sets, and storing them. A set's members
//! have the score 1.
//!
//! As in Redis, inputs are taken from the smallest to the largest, which decides in which order
//! scores are added up.

use std::cmp::Ordering;
use std::collections::HashMap;

use kvik_resp::Args;
use kvik_store::{Guard, IntText, SetRef, StringRef, UnixMs, ValueRef, View, ZsetRef};

use super::{Results, reply_len, reply_member};
use crate::family::carried_expiry::{earlier, later};
use crate::{Ctx, Error, LOOKUPS_AHEAD, SLICE};

/// The operation on the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ZsetCombination {
    Union,
    Intersection,
    Difference,
}

/// The way the scores of one member are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The inputs that have the member are counted, each by its weight.
    Count,
}

/// The use made of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Answer,
    Store,
    Count,
}

/// The words of a call.
#[derive(Debug)]
struct Call<'a> {
    keys: Args<'a>,
    /// All 1 where there are none.
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// 0 is no limit.
    limit: usize,
}

/// One input.
#[derive(Clone, Copy, Debug)]
struct Input<'a> {
    members: InputMembers<'a>,
    weight: f64,
    /// Each member has the score 1.
    counts: bool,
}

#[derive(Clone, Copy, Debug)]
enum InputMembers<'a> {
    None,
    Set(SetRef<'a>),
    Zset(ZsetRef<'a>),
}

type Total<'a> = (StringRef<'a>, f64);

pub(super) fn zunion(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, ZsetCombination::Union)
}

pub(super) fn zinter(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, ZsetCombination::Intersection)
}

pub(super) fn zdiff(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    answer(ctx, ZsetCombination::Difference)
}

pub(super) fn zunionstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    store(ctx, ZsetCombination::Union)
}

pub(super) fn zinterstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    store(ctx, ZsetCombination::Intersection)
}

pub(super) fn zdiffstore(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    store(ctx, ZsetCombination::Difference)
}

pub(super) fn zintercard(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let call = Call::parse(ctx, 1, ZsetCombination::Intersection, Use::Count)?;
    let inputs = call.inputs(&ctx.keys);
    let size: usize = inputs.iter().map(Input::len).sum();
    if size > SLICE {
        ctx.weigh(size)?;
        let most = if call.limit == 0 {
            usize::MAX
        } else {
            call.limit
        };
        let results = combine_in_slices(ctx, &call, ZsetCombination::Intersection, most)?;
        ctx.reply.integer(results.len() as i64);
        return Ok(());
    }
    // A limit of 0 is never reached by a count that starts at 1, so it means none.
    let mut count = 0;
    intersect(&inputs, call.aggregate, |_, _| {
        count += 1;
        count != call.limit
    });
    ctx.reply.integer(count as i64);
    Ok(())
}

fn answer(ctx: &mut Ctx<'_>, combination: ZsetCombination) -> Result<(), Error> {
    let call = Call::parse(ctx, 1, combination, Use::Answer)?;
    let inputs = call.inputs(&ctx.keys);
    let size: usize = inputs.iter().map(Input::len).sum();
    if size > SLICE {
        ctx.weigh(size)?;
        let mut results = combine_in_slices(ctx, &call, combination, usize::MAX)?;
        results.sort();
        let reply = &mut ctx.reply;
        reply_len(reply, results.len(), call.with_scores);
        for (name, score) in results.iter() {
            reply_member(reply, name, call.with_scores.then_some(score));
        }
        return Ok(());
    }
    let mut totals = combine(&inputs, combination, call.aggregate);
    totals.sort_unstable_by(order);
    let reply = &mut ctx.reply;
    reply_len(reply, totals.len(), call.with_scores);
    for (name, score) in totals {
        reply_member(reply, name, call.with_scores.then_some(score));
    }
    Ok(())
}

fn store(ctx: &mut Ctx<'_>, combination: ZsetCombination) -> Result<(), Error> {
    let args = ctx.args;
    let call = Call::parse(ctx, 2, combination, Use::Store)?;
    let inputs = call.inputs(&ctx.keys);
    let size: usize = inputs.iter().map(Input::len).sum();
    if size > SLICE {
        ctx.weigh(size)?;
        let mut results = combine_in_slices(ctx, &call, combination, usize::MAX)?;
        results.sort();
        // Here it has changed nothing for the last time.
        ctx.breathe()?;
        results.store(&mut ctx.keys, &args[1])?;
        ctx.reply.integer(results.len() as i64);
        ctx.keys.rest();
        return Ok(());
    }
    let mut results = Results::default();
    // The lookups of expiries are left out where no input has any.
    let expire = inputs.iter().any(Input::expires);
    for (name, score) in combine(&inputs, combination, call.aggregate) {
        let expire_at = expire.then(|| expiry(&inputs, combination, name)).flatten();
        results.push(name, score, expire_at);
    }
    results.store(&mut ctx.keys, &args[1])?;
    ctx.reply.integer(results.len() as i64);
    Ok(())
}

impl<'a> Call<'a> {
    /// Reads the words from the number of keys on, and meets the keys, which must be of the right
    /// type before an option may be wrong.
    fn parse(
        ctx: &mut Ctx<'a>,
        at: usize,
        combination: ZsetCombination,
        purpose: Use,
    ) -> Result<Self, Error> {
        let number = ctx.int(at)?;
        let count = usize::try_from(number).unwrap_or(0);
        if count == 0 {
            return Err(Error::new(format!(
                "at least 1 input key is needed for '{}' command",
                ctx.command.full_name()
            )));
        }
        if count > ctx.args.len() - at - 1 {
            return Err(Error::SYNTAX);
        }
        let mut call = Self {
            keys: ctx.args.slice(at + 1..at + 1 + count),
            weights: Vec::new(),
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        // WRONGTYPE comes before any error in the options.
        for key in call.keys {
            ctx.keys.read(key).map(members).transpose()?;
        }
        let mut at = at + 1 + count;
        while at < ctx.args.len() {
            at += call.option(ctx, at, combination, purpose)?;
        }
        Ok(call)
    }

    /// Takes the option at a position and says how many words it is.
    fn option(
        &mut self,
        ctx: &Ctx<'_>,
        at: usize,
        combination: ZsetCombination,
        purpose: Use,
    ) -> Result<usize, Error> {
        let left = ctx.args.len() - at;
        // A difference keeps the first input's scores, and a count has none to weigh.
        let weighs = combination != ZsetCombination::Difference && purpose != Use::Count;
        if weighs && left > self.keys.len() && ctx.is(at, "WEIGHTS") {
            // A second WEIGHTS replaces the first.
            self.weights.clear();
            for at in at + 1..=at + self.keys.len() {
                let weight = ctx.float(at);
                let weight = weight.map_err(|_| Error::text("weight value is not a float"))?;
                self.weights.push(weight);
            }
            return Ok(1 + self.keys.len());
        }
        if weighs && left >= 2 && ctx.is(at, "AGGREGATE") {
            self.aggregate = Aggregate::parse(&ctx.args[at + 1])?;
            return Ok(2);
        }
        if purpose == Use::Answer && ctx.is(at, "WITHSCORES") {
            self.with_scores = true;
            return Ok(1);
        }
        if purpose == Use::Count && left >= 2 && ctx.is(at, "LIMIT") {
            let limit = ctx.int(at + 1).ok();
            let limit = limit.and_then(|limit| usize::try_from(limit).ok());
            self.limit = limit.ok_or(Error::text("LIMIT can't be negative"))?;
            return Ok(2);
        }
        Err(Error::SYNTAX)
    }

    /// The inputs, which have been met.
    fn inputs<'c>(&self, keys: &'c Guard<'_>) -> Vec<Input<'c>> {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1.0));
        let inputs = self.keys.iter().zip(weights).map(|(key, weight)| {
            let view = keys.view(key);
            // Types were checked in `parse`; a key without a view does not exist.
            let members = view.and_then(|view| members(view).ok());
            Input {
                members: members.unwrap_or(InputMembers::None),
                weight,
                counts: self.aggregate == Aggregate::Count,
            }
        });
        inputs.collect()
    }
}

impl Aggregate {
    fn parse(word: &[u8]) -> Result<Self, Error> {
        let named = |name: &[u8]| word.eq_ignore_ascii_case(name);
        match () {
            () if named(b"SUM") => Ok(Self::Sum),
            () if named(b"MIN") => Ok(Self::Min),
            () if named(b"MAX") => Ok(Self::Max),
            () if named(b"COUNT") => Ok(Self::Count),
            () => Err(Error::SYNTAX),
        }
    }

    fn of(self, total: f64, score: f64) -> f64 {
        match self {
            Self::Sum | Self::Count => number(total + score),
            Self::Min if score < total => score,
            Self::Max if score > total => score,
            Self::Min | Self::Max => total,
        }
    }
}

/// Infinities of both signs make nothing together, nor does one with the weight 0.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// The members of a set or a sorted set.
fn members(view: View<'_>) -> Result<InputMembers<'_>, Error> {
    match view.value() {
        ValueRef::Set(set) => Ok(InputMembers::Set(set)),
        ValueRef::Zset(zset) => Ok(InputMembers::Zset(zset)),
        _ => Err(Error::WrongType),
    }
}

impl<'a> Input<'a> {
    fn len(&self) -> usize {
        match self.members {
            InputMembers::None => 0,
            InputMembers::Set(set) => set.len(),
            InputMembers::Zset(zset) => zset.len(),
        }
    }

    /// The score of a member, weighed.
    fn score(&self, name: &[u8]) -> Option<f64> {
        let score = match self.members {
            InputMembers::None => None,
            InputMembers::Set(set) => set.contains(name).then_some(1.0),
            InputMembers::Zset(zset) => zset.score(name),
        };
        let score = score.map(|score| if self.counts { 1.0 } else { score });
        score.map(|score| score * self.weight)
    }

    /// Fetches into the cache what it takes to look for a member.
    fn prefetch(&self, name: &[u8]) {
        match self.members {
            InputMembers::None => {}
            InputMembers::Set(set) => set.prefetch(name),
            InputMembers::Zset(zset) => zset.prefetch(name),
        }
    }

    /// Whether any member expires.
    fn expires(&self) -> bool {
        match self.members {
            InputMembers::None => false,
            InputMembers::Set(set) => set.expires(),
            InputMembers::Zset(zset) => zset.expires(),
        }
    }

    /// When a member expires, if there is such a member and it does.
    fn expiry_of(&self, name: &[u8]) -> Option<Option<UnixMs>> {
        match self.members {
            InputMembers::None => None,
            InputMembers::Set(set) => set.expiry_of(name),
            InputMembers::Zset(zset) => zset.expiry_of(name),
        }
    }

    /// Visits members with their weighed scores, from `cursor` on until `visit` has returned false,
    /// and returns the cursor to go on with, 0 at the end.
    fn scan(&self, cursor: u64, mut visit: impl FnMut(StringRef<'a>, f64) -> bool) -> u64 {
        let (weight, counts) = (self.weight, self.counts);
        match self.members {
            InputMembers::None => 0,
            InputMembers::Set(set) => set.scan(cursor, |name| visit(name, number(weight))),
            InputMembers::Zset(zset) => zset.scan(cursor, |member| {
                let score = if counts { 1.0 } else { member.score() };
                visit(member.name, number(weight * score))
            }),
        }
    }

    /// Every member with its score, weighed.
    fn iter(&self) -> Box<dyn Iterator<Item = Total<'a>> + 'a> {
        let (weight, counts) = (self.weight, self.counts);
        match self.members {
            InputMembers::None => Box::new(std::iter::empty()),
            InputMembers::Set(set) => Box::new(set.iter().map(move |name| (name, number(weight)))),
            InputMembers::Zset(zset) if counts => {
                Box::new(zset.iter().map(move |member| (member.name, number(weight))))
            }
            InputMembers::Zset(zset) => Box::new(
                zset.iter()
                    .map(move |member| (member.name, number(weight * member.score()))),
            ),
        }
    }
}

/// When a member of the result expires. See [`carried_expiry`](crate::family::carried_expiry).
fn expiry(
    inputs: &[Input<'_>],
    combination: ZsetCombination,
    name: StringRef<'_>,
) -> Option<UnixMs> {
    let mut room = IntText::default();
    let name = name.text(&mut room);
    let mut times = inputs.iter().filter_map(|input| input.expiry_of(name));
    let first = times.next()?;
    match combination {
        ZsetCombination::Union => times.fold(first, later),
        ZsetCombination::Intersection => times.fold(first, earlier),
        ZsetCombination::Difference => first,
    }
}

/// The result, in no order.
fn combine<'a>(
    inputs: &[Input<'a>],
    combination: ZsetCombination,
    aggregate: Aggregate,
) -> Vec<Total<'a>> {
    match combination {
        ZsetCombination::Union => unite(inputs, aggregate),
        ZsetCombination::Difference => subtract(inputs),
        ZsetCombination::Intersection => {
            let mut totals = Vec::new();
            intersect(inputs, aggregate, |name, score| {
                totals.push((name, score));
                true
            });
            totals
        }
    }
}

fn order((a, a_score): &Total<'_>, (b, b_score): &Total<'_>) -> Ordering {
    let by_score = a_score.partial_cmp(b_score).unwrap_or(Ordering::Equal);
    by_score.then_with(|| {
        let mut rooms = [IntText::default(); 2];
        let [a_room, b_room] = &mut rooms;
        a.text(a_room).cmp(b.text(b_room))
    })
}

/// The result, in no order, or so many of its members, taken in slices. Each member is asked for in
/// the other inputs, so that nothing but the result is kept between two slices.
fn combine_in_slices(
    ctx: &mut Ctx<'_>,
    call: &Call<'_>,
    combination: ZsetCombination,
    most: usize,
) -> Result<Results, Error> {
    let mut results = Results::default();
    let inputs = call.inputs(&ctx.keys);
    let order: Vec<usize> = match combination {
        ZsetCombination::Difference => (0..inputs.len()).collect(),
        _ => smallest_first_places(&inputs),
    };
    let expire = inputs.iter().any(Input::expires);
    let walked = match combination {
        ZsetCombination::Union => order.len(),
        _ => 1,
    };
    for at in 0..walked {
        let mut cursor = 0;
        loop {
            for key in call.keys {
                ctx.keys.peek(key);
            }
            let all = call.inputs(&ctx.keys);
            let inputs: Vec<Input<'_>> = order.iter().map(|&place| all[place]).collect();
            let mut slice = Vec::with_capacity(SLICE);
            cursor = inputs[at].scan(cursor, |name, score| {
                slice.push((name, score));
                slice.len() < SLICE
            });
            for (place, &(name, score)) in slice.iter().enumerate() {
                let mut room = IntText::default();
                if let Some((soon, _)) = slice.get(place + LOOKUPS_AHEAD) {
                    let soon = soon.text(&mut room);
                    let others = inputs[..at].iter().chain(&inputs[at + 1..]);
                    others.for_each(|input| input.prefetch(soon));
                }
                let text = name.text(&mut room);
                let total = total(&inputs, at, combination, call.aggregate, text, score);
                if let Some(total) = total {
                    let expire_at = expire.then(|| expiry(&all, combination, name)).flatten();
                    results.push(name, total, expire_at);
                    if results.len() == most {
                        return Ok(results);
                    }
                }
            }
            drop(slice);
            ctx.keys.rest();
            results.make_room(SLICE);
            ctx.breathe()?;
            if cursor == 0 {
                break;
            }
        }
    }
    // No key is needed to sort.
    ctx.keys.rest();
    Ok(results)
}

/// The score of a member of the input `at` in the result, if it is told here.
fn total(
    inputs: &[Input<'_>],
    at: usize,
    combination: ZsetCombination,
    aggregate: Aggregate,
    name: &[u8],
    score: f64,
) -> Option<f64> {
    let (before, others) = (&inputs[..at], &inputs[at + 1..]);
    match combination {
        ZsetCombination::Union => {
            // Members of the inputs before have been told.
            let is_new = before.iter().all(|input| input.score(name).is_none());
            let others = others
                .iter()
                .filter_map(|input| input.score(name))
                .map(number);
            is_new.then(|| others.fold(score, |total, score| aggregate.of(total, score)))
        }
        ZsetCombination::Intersection => others.iter().try_fold(score, |total, input| {
            Some(aggregate.of(total, input.score(name)?))
        }),
        ZsetCombination::Difference => {
            let is_gone = others.iter().any(|input| input.score(name).is_some());
            (!is_gone).then_some(score)
        }
    }
}

fn smallest_first_places(inputs: &[Input<'_>]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..inputs.len()).collect();
    places.sort_by_key(|&place| inputs[place].len());
    places
}

fn smallest_first<'a>(inputs: &[Input<'a>]) -> Vec<Input<'a>> {
    let mut inputs = inputs.to_vec();
    inputs.sort_by_key(Input::len);
    inputs
}

fn unite<'a>(inputs: &[Input<'a>], aggregate: Aggregate) -> Vec<Total<'a>> {
    let mut totals = HashMap::<StringRef<'a>, f64>::new();
    for (name, score) in smallest_first(inputs).iter().flat_map(Input::iter) {
        // The same member may be an integer in one input and text in another.
        let total = totals.entry(name.canonical());
        total
            .and_modify(|total| *total = aggregate.of(*total, score))
            .or_insert(score);
    }
    totals.into_iter().collect()
}

/// Gives each member that all inputs have to `tell` until that says no.
fn intersect<'a>(
    inputs: &[Input<'a>],
    aggregate: Aggregate,
    mut tell: impl FnMut(StringRef<'a>, f64) -> bool,
) {
    let inputs = smallest_first(inputs);
    let Some((smallest, others)) = inputs.split_first() else {
        return;
    };
    // The smallest input bounds the work; the others are only asked for its members.
    for (name, score) in smallest.iter() {
        let mut room = IntText::default();
        let text = name.text(&mut room);
        let total = others.iter().try_fold(score, |total, input| {
            Some(aggregate.of(total, input.score(text)?))
        });
        if total.is_some_and(|total| !tell(name, total)) {
            return;
        }
    }
}

fn subtract<'a>(inputs: &[Input<'a>]) -> Vec<Total<'a>> {
    let Some((first, others)) = inputs.split_first() else {
        return Vec::new();
    };
    let mut rest: Vec<Total<'a>> = first.iter().collect();
    rest.retain(|(name, _)| {
        let mut room = IntText::default();
        let text = name.text(&mut room);
        others.iter().all(|input| input.score(text).is_none())
    });
    rest
}
