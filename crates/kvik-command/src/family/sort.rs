//! SORT: the elements of a list, set or sorted set in another order, by what other keys hold if
//! asked.
//!
//! Keys that BY and GET name by a pattern are known only while the command runs, so a call with
//! such a pattern holds every stripe; the others hold the stripes of the key and of the
//! destination. Elements are compared as bytes, whatever the locale of the machine.

use std::cmp::Ordering;

use kvik_resp::{Args, parse_f64, parse_i64};
use kvik_store::{Event, EventClasses, Guard, IntText, ListEnd, StringRef, ValueRef, View};

use crate::declare::{Category, Command, Group, InvalidKeys, KeyFlags, KeySpec, Row};
use crate::{Ctx, Error, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler| {
        Command::new(name, syntax, handler)
            .group(Group::Generic)
            .locks_all_if(reaches_others)
            .categories(Category::SET | Category::SORTEDSET | Category::LIST | Category::DANGEROUS)
            .complexity(
                "O(N+M*log(M)) where N is the number of elements and M the number of those returned",
            )
    };
    vec![
        command("SORT", SYNTAX_WITH_STORE, sort)
            .long()
            .write()
            .may_grow()
            .key_specs(KEYS_WITH_STORE)
            .find_keys(find_keys)
            .since("1.0.0")
            .about("Returns the elements of a list, set or sorted set in order, or stores them."),
        command("SORT_RO", SYNTAX, sort_ro)
            .long()
            .readonly()
            .key_specs(KEYS)
            .find_keys(find_key)
            .since("7.0.0")
            .about("Returns the elements of a list, set or sorted set in order."),
    ]
}

const SYNTAX: &str =
    "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] [ALPHA]";
const SYNTAX_WITH_STORE: &str = "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC|DESC] \
    [ALPHA] [STORE destination]";

const BY_NOTE: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the \
    content of the key we sort";
const STORE_NOTE: &str = "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere \
    in the argument array";
const KEYS: &[KeySpec] = &[
    KeySpec::range(1, 0, 1, KeyFlags::RO_ACCESS),
    KeySpec::unknown(KeyFlags::RO_ACCESS, BY_NOTE),
];
const KEYS_WITH_STORE: &[KeySpec] = &[
    KeySpec::range(1, 0, 1, KeyFlags::RO_ACCESS),
    KeySpec::unknown(KeyFlags::RO_ACCESS, BY_NOTE),
    KeySpec::unknown(KeyFlags::OW_UPDATE, STORE_NOTE),
];

/// The options of a call.
#[derive(Default)]
struct SortRequest<'a> {
    by: Option<&'a [u8]>,
    gets: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
    /// A script asks, which is to find the same order wherever it runs.
    for_script: bool,
}

/// Elements of a value, copied from where they were.
#[derive(Default)]
struct Elements {
    /// One behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// They are those of a set, which have no order.
    is_set: bool,
}

/// An element and what it is sorted by.
struct Weighed<'e> {
    element: &'e [u8],
    weight: Weight,
}

enum Weight {
    Number(f64),
    /// The text of another key, if there is one.
    Text(Option<Vec<u8>>),
    /// The element itself.
    Element,
}

/// The words of the options that take some, and how many.
fn option_words(option: &[u8]) -> usize {
    match option.to_ascii_lowercase().as_slice() {
        b"limit" => 2,
        b"store" | b"by" | b"get" => 1,
        _ => 0,
    }
}

/// Positions of the options behind the key, as long as they make sense.
fn options(args: Args<'_>) -> impl Iterator<Item = usize> {
    let mut at = 2;
    std::iter::from_fn(move || {
        let this = at;
        at += 1 + option_words(args.get(this)?);
        Some(this)
    })
}

fn find_key(_args: Args<'_>, found: &mut dyn FnMut(usize, KeyFlags)) -> Result<(), InvalidKeys> {
    found(1, KeyFlags::RO_ACCESS);
    Ok(())
}

/// The key, and the destination that the last STORE names.
fn find_keys(args: Args<'_>, found: &mut dyn FnMut(usize, KeyFlags)) -> Result<(), InvalidKeys> {
    found(1, KeyFlags::RO_ACCESS);
    // STORE may be given several times; as in Redis the last one counts.
    let stores = options(args).filter(|&at| args[at].eq_ignore_ascii_case(b"store"));
    if let Some(at) = stores.last().filter(|&at| at + 1 < args.len()) {
        found(at + 1, KeyFlags::OW_UPDATE);
    }
    Ok(())
}

/// Whether BY or GET name keys by a pattern.
fn reaches_others(args: Args<'_>) -> bool {
    options(args).any(|at| {
        let by_or_get = [&b"by"[..], b"get"]
            .iter()
            .any(|name| args[at].eq_ignore_ascii_case(name));
        by_or_get
            && args
                .get(at + 1)
                .is_some_and(|pattern| pattern.contains(&b'*'))
    })
}

fn sort(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, true)
}

fn sort_ro(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    run(ctx, false)
}

fn run(ctx: &mut Ctx<'_>, may_store: bool) -> Result<(), Error> {
    let request = SortRequest::parse(ctx, may_store)?;
    let elements = match ctx.keys.read(ctx.key(1)) {
        Some(view) => {
            let len = len(&view)?;
            match len > SLICE && !reaches_others(ctx.args) {
                false => Elements::of(view)?,
                true => {
                    ctx.weigh(len)?;
                    Elements::in_slices(ctx, len)?
                }
            }
        }
        None => Elements::default(),
    };
    let chosen = request.choose(&mut ctx.keys, &elements)?;
    if elements.len() > SLICE {
        // Here it has changed nothing for the last time.
        ctx.breathe()?;
    }
    match request.store {
        Some(destination) => request.store(ctx, destination, &chosen)?,
        None => request.answer(ctx, &chosen),
    }
    // To free them takes long, and needs no key.
    ctx.keys.rest();
    Ok(())
}

/// Elements of a value that can be sorted.
fn len(view: &View<'_>) -> Result<usize, Error> {
    match view.value() {
        ValueRef::List(list) => Ok(list.len()),
        ValueRef::Set(set) => Ok(set.len()),
        ValueRef::Zset(zset) => Ok(zset.len()),
        _ => Err(Error::WrongType),
    }
}

impl Elements {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[at]]
    }

    fn push(&mut self, element: StringRef<'_>) {
        let mut room = IntText::default();
        self.bytes.extend_from_slice(element.text(&mut room));
        self.ends.push(self.bytes.len());
    }

    /// Takes memory for about so many elements more, if there is none.
    fn make_room(&mut self, elements: usize) {
        let mean = self.bytes.len() / self.len().max(1) + 1;
        self.bytes.reserve(2 * elements * mean);
        self.ends.reserve(2 * elements);
    }

    /// All elements, in the order of the value.
    fn of(view: View<'_>) -> Result<Self, Error> {
        let mut elements = Self::default();
        match view.value() {
            ValueRef::List(list) => list.iter().for_each(|it| elements.push(it)),
            ValueRef::Set(set) => {
                elements.is_set = true;
                set.iter().for_each(|it| elements.push(it));
            }
            ValueRef::Zset(zset) => zset.iter().for_each(|member| elements.push(member.name)),
            _ => return Err(Error::WrongType),
        }
        Ok(elements)
    }

    /// The same, with others let in between.
    #[cold]
    fn in_slices(ctx: &mut Ctx<'_>, len: usize) -> Result<Self, Error> {
        let (mut found, mut cursor) = (Self::default(), 0);
        loop {
            let Some(view) = ctx.keys.peek(ctx.key(1)) else {
                return Ok(found);
            };
            let done = cursor as usize;
            match view.value() {
                ValueRef::List(list) => {
                    let elements = list.elements(ListEnd::Left, done, SLICE.min(len - done));
                    elements.for_each(|it| found.push(it));
                    cursor += SLICE as u64;
                }
                ValueRef::Zset(zset) => {
                    let members = zset.range(done..done + SLICE, false);
                    members.for_each(|member| found.push(member.name));
                    cursor += SLICE as u64;
                }
                ValueRef::Set(set) => {
                    let mut left = SLICE;
                    found.is_set = true;
                    cursor = set.scan(cursor, |member| {
                        found.push(member);
                        left = left.saturating_sub(1);
                        left > 0
                    });
                }
                _ => return Err(Error::WrongType),
            }
            let is_done = match found.is_set {
                true => cursor == 0,
                false => cursor as usize >= len,
            };
            // No key is needed to sort, nor to find memory.
            ctx.keys.rest();
            if is_done {
                return Ok(found);
            }
            found.make_room(SLICE);
            ctx.breathe()?;
        }
    }
}

impl<'a> SortRequest<'a> {
    fn parse(ctx: &Ctx<'a>, may_store: bool) -> Result<Self, Error> {
        let (args, mut request) = (ctx.args, Self::default());
        request.for_script = ctx.session.in_script;
        let mut at = 2;
        while at < args.len() {
            let words = option_words(&args[at]);
            let operand = args.get(at + 1).unwrap_or_default();
            if at + words >= args.len() {
                return Err(Error::SYNTAX);
            }
            match args[at].to_ascii_lowercase().as_slice() {
                b"asc" => request.descending = false,
                b"desc" => request.descending = true,
                b"alpha" => request.alpha = true,
                b"limit" => request.limit = Some((ctx.int(at + 1)?, ctx.int(at + 2)?)),
                b"store" if may_store => request.store = Some(operand),
                b"by" => request.by = Some(operand),
                b"get" => request.gets.push(operand),
                _ => return Err(Error::SYNTAX),
            }
            at += 1 + words;
        }
        Ok(request)
    }

    /// A pattern that names no key says that the elements stay as they are.
    fn keeps_order(&self) -> bool {
        self.by.is_some_and(|pattern| !pattern.contains(&b'*'))
    }

    /// The elements that are asked for, in order.
    fn choose<'e>(
        &self,
        keys: &mut Guard<'_>,
        elements: &'e Elements,
    ) -> Result<Vec<&'e [u8]>, Error> {
        let (len, is_set) = (elements.len(), elements.is_set);
        let range = self.range(len);
        // What is stored must not depend on how a set happens to be kept.
        let forced = self.keeps_order() && is_set && (self.store.is_some() || self.for_script);
        if self.keeps_order() && !forced {
            // A set has no order of its own, so DESC has nothing to turn around.
            let is_turned = self.descending && !is_set;
            let place = |at: usize| if is_turned { len - 1 - at } else { at };
            return Ok(range.map(|at| elements.get(place(at))).collect());
        }
        // A set that is stored unsorted is sorted by its members, so that replicas store the same.
        let (by, alpha) = if forced {
            (None, true)
        } else {
            (self.by, self.alpha)
        };
        if by.is_none() && !alpha {
            return self.choose_by_number(elements, range);
        }
        let weigh = |at: usize| {
            let element = elements.get(at);
            let weight = weight(keys, by, alpha, element)?;
            Ok(Weighed { element, weight })
        };
        let weighed = (0..len).map(weigh);
        let mut weighed = weighed.collect::<Result<Vec<_>, Error>>()?;
        weighed.sort_by(|a, b| self.directed(a.compare(b)));
        Ok(weighed[range].iter().map(|one| one.element).collect())
    }

    /// The same where the elements are numbers and sorted by them.
    fn choose_by_number<'e>(
        &self,
        elements: &'e Elements,
        range: std::ops::Range<usize>,
    ) -> Result<Vec<&'e [u8]>, Error> {
        let numbers = (0..elements.len()).map(|at| Ok((number(elements.get(at))?, at)));
        let mut numbers = numbers.collect::<Result<Vec<(f64, usize)>, Error>>()?;
        // Equal numbers are ordered by their elements, so that the result is the same each time.
        let compare = |&(a, a_at): &(f64, usize), &(b, b_at): &(f64, usize)| {
            let by_number = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            let order = by_number.then_with(|| elements.get(a_at).cmp(elements.get(b_at)));
            self.directed(order)
        };
        if range.end < numbers.len() {
            // What comes behind needs no order.
            numbers.select_nth_unstable_by(range.end, compare);
            numbers.truncate(range.end);
        }
        numbers.sort_unstable_by(compare);
        let chosen = numbers[range].iter();
        Ok(chosen.map(|&(_, at)| elements.get(at)).collect())
    }

    /// DESC reverses the comparison, ties included, and not the sorted result.
    fn directed(&self, order: Ordering) -> Ordering {
        match self.descending {
            true => order.reverse(),
            false => order,
        }
    }

    /// Which of so many elements are asked for.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let Some((offset, count)) = self.limit else {
            return 0..len;
        };
        // A negative offset is 0 and a negative count means all, as in Redis.
        let start = usize::try_from(offset).unwrap_or(0).min(len);
        let count = usize::try_from(count).unwrap_or(len);
        start..start.saturating_add(count).min(len)
    }

    fn answer(&self, ctx: &mut Ctx<'_>, elements: &[&[u8]]) {
        ctx.reply.array(elements.len() * self.gets.len().max(1));
        for slice in elements.chunks(SLICE) {
            // Without GET no key is needed.
            ctx.keys.rest();
            ctx.tell_more();
            let (keys, reply) = (&mut ctx.keys, &mut ctx.reply);
            self.for_each_result(keys, slice, |result| match result {
                Some(result) => reply.bulk(result),
                None => reply.null(),
            });
        }
    }

    fn store(
        &self,
        ctx: &mut Ctx<'_>,
        destination: &[u8],
        elements: &[&[u8]],
    ) -> Result<(), Error> {
        // Elements and results are copies: the destination may be one of the keys that were read.
        if self.gets.is_empty() {
            return put(ctx, destination, elements);
        }
        let mut results = Vec::new();
        self.for_each_result(&mut ctx.keys, elements, |result| {
            results.push(result.unwrap_or_default().to_vec());
        });
        let results: Vec<&[u8]> = results.iter().map(Vec::as_slice).collect();
        put(ctx, destination, &results)
    }

    /// Tells what is asked for of each element: the element itself, or what GET finds.
    fn for_each_result(
        &self,
        keys: &mut Guard<'_>,
        elements: &[&[u8]],
        mut tell: impl FnMut(Option<&[u8]>),
    ) {
        for &element in elements {
            if self.gets.is_empty() {
                tell(Some(element));
            }
            for &pattern in &self.gets {
                if pattern == b"#" {
                    tell(Some(element));
                } else {
                    tell(found_by(keys, pattern, element).as_deref());
                }
            }
        }
    }
}

/// Puts a list of elements in the place of whatever a key holds. Without elements the key is gone.
fn put(ctx: &mut Ctx<'_>, destination: &[u8], elements: &[&[u8]]) -> Result<(), Error> {
    ctx.reply.integer(elements.len() as i64);
    if elements.is_empty() {
        ctx.keys.delete(destination);
        return Ok(());
    }
    let was_blessed = ctx.keys.make_room(destination);
    ctx.keys.call_changes(Some(Event::SORTSTORE));
    let mut wanted = None;
    for slice in elements.chunks(SLICE) {
        let mut list = ctx.keys.entry(destination).list_mut()?;
        list.push(ListEnd::Right, slice.iter().copied());
        drop(list);
        // It has changed something, and goes on to its end. Of all slices one event tells.
        ctx.keys.breathe();
        wanted = wanted.or(Some(ctx.keys.mute(EventClasses::ALL)));
    }
    if let Some(wanted) = wanted {
        ctx.keys.unmute(wanted);
    }
    ctx.keys.keep_blessing(destination, was_blessed);
    Ok(())
}

impl Weighed<'_> {
    fn compare(&self, other: &Self) -> Ordering {
        match (&self.weight, &other.weight) {
            (Weight::Number(a), Weight::Number(b)) => a
                .partial_cmp(b)
                .unwrap_or(Ordering::Equal)
                // Equal numbers are ordered by their elements, so that the result is the same each
                // time.
                .then_with(|| self.element.cmp(other.element)),
            (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
            _ => self.element.cmp(other.element),
        }
    }
}

fn weight(
    keys: &mut Guard<'_>,
    by: Option<&[u8]>,
    alpha: bool,
    element: &[u8],
) -> Result<Weight, Error> {
    let found = by.map(|pattern| found_by(keys, pattern, element));
    match (found, alpha) {
        (None, true) => Ok(Weight::Element),
        (Some(text), true) => Ok(Weight::Text(text)),
        (None, false) => number(element).map(Weight::Number),
        // A key that is missing weighs 0 as a number.
        (Some(None), false) => Ok(Weight::Number(0.0)),
        (Some(Some(text)), false) => number(&text).map(Weight::Number),
    }
}

/// A number as C's `strtod` reads it: blanks may go before it, and nothing is 0.
fn number(text: &[u8]) -> Result<f64, Error> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return Ok(0.0);
    }
    if let Some(int) = parse_i64(text) {
        return Ok(int as f64);
    }
    parse_f64(text).ok_or(Error::text(
        "One or more scores can't be converted into double",
    ))
}

/// The value that a pattern finds for an element: the string of the key that it names with the
/// element in place of its first `*`, or, behind `->`, a field of the hash there.
fn found_by(keys: &mut Guard<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|&byte| byte == b'*')?;
    let (before, behind) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = behind.windows(2).position(|pair| pair == b"->");
    // `->` with no field behind it belongs to the key's name.
    let arrow = arrow.filter(|at| at + 2 < behind.len());
    let (behind, field) = match arrow {
        Some(at) => (&behind[..at], Some(&behind[at + 2..])),
        None => (behind, None),
    };
    let key = [before, element, behind].concat();
    let view = keys.read(&key)?;
    let mut room = IntText::default();
    match (view.value(), field) {
        (ValueRef::String(text), None) => Some(text.to_vec()),
        (ValueRef::Hash(hash), Some(field)) => {
            let value = hash.get(field)?.value;
            Some(value.text(&mut room).to_vec())
        }
        _ => None,
    }
}
