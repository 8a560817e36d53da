//! Walking the keys of a database: KEYS and SCAN.
//!
//! Both take one stripe after the other, so they see each key at some moment of their own; a
//! transaction that holds every stripe makes it one moment for all.

use std::borrow::Cow;

use kvik_resp::{Output, Reply};
use kvik_store::{Cursor, Guard, ScanPage, View};

use super::super::member_scan::parse_cursor;
use crate::glob::{glob_match, literal_prefix, with_shell_negation};
use crate::namespace_quotas::NamespaceSeat;
use crate::{Ctx, Error, SLICE};

/// Keys of a page unless COUNT says otherwise.
const USUAL_COUNT: usize = 10;

/// Which keys a walk returns.
#[derive(Default)]
pub(in crate::family) struct KeyFilter<'a> {
    /// All keys where there is none.
    pattern: Option<Cow<'a, [u8]>>,
    kind: Option<&'a [u8]>,
}

impl<'a> KeyFilter<'a> {
    fn matching(pattern: &'a [u8], ctx: &Ctx<'_>) -> Self {
        // As a pattern it would leave out the empty key.
        let pattern = Some(pattern).filter(|&pattern| pattern != b"*");
        let has_namespaces = ctx.keys.layout().namespaces().is_some();
        Self {
            pattern: pattern.map(|pattern| match has_namespaces {
                true => with_shell_negation(pattern),
                false => Cow::Borrowed(pattern),
            }),
            kind: None,
        }
    }

    /// The bytes that all keys begin with which may be admitted.
    fn prefix(&self) -> &[u8] {
        self.pattern.as_deref().map_or(b"", literal_prefix)
    }

    /// Visits a page of the keys that may be admitted.
    fn walk(
        &self,
        keys: &mut Guard<'_>,
        seat: Option<&NamespaceSeat>,
        cursor: Cursor,
        count: usize,
        visit: impl FnMut(View<'_>),
    ) -> ScanPage {
        match seat {
            None => keys.scan_prefix(self.prefix(), cursor, count, visit),
            Some(seat) => keys.scan_namespace(seat.name(), cursor, count, visit),
        }
    }

    pub(in crate::family) fn admits(&self, view: &View<'_>, name: &[u8]) -> bool {
        let of_kind = |kind: &[u8]| view.kind().name().as_bytes().eq_ignore_ascii_case(kind);
        self.pattern
            .as_deref()
            .is_none_or(|pattern| glob_match(pattern, name, false))
            && self.kind.is_none_or(of_kind)
    }
}

pub(super) fn keys(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let args = ctx.args;
    let filter = KeyFilter::matching(&args[1], ctx);
    let sizes = ctx.engine.totals.keyspace(ctx.session.keyspace());
    ctx.weigh(usize::try_from(sizes.keys).unwrap_or(usize::MAX))?;
    let all = ctx.reply.deferred_array();
    let (mut count, mut cursor) = (0, 0);
    loop {
        // Keys are written while they are visited; the number of them is filled in behind.
        let (session, reply) = (&*ctx.session, &mut ctx.reply);
        let seat = session.namespace.as_ref();
        let page = filter.walk(&mut ctx.keys, seat, cursor, SLICE, |view| {
            let name = session.rest_of(view.key());
            if filter.admits(&view, name) {
                reply.bulk(name);
                count += 1;
            }
        });
        cursor = page.next;
        if cursor == 0 {
            break;
        }
        ctx.breathe()?;
    }
    ctx.reply.finish_array(all, count);
    Ok(())
}

pub(super) fn scan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let cursor = parse_cursor(&ctx.args[1]).ok_or(Error::text("invalid cursor"))?;
    let (filter, count) = options(ctx, |_, _| false)?;
    // The cursor that goes before the keys is known only after them.
    let (mut encoded, mut found) = (Output::new(), 0);
    let mut keys = Reply::new(&mut encoded, ctx.reply.protocol());
    if count > SLICE {
        let sizes = ctx.engine.totals.keyspace(ctx.session.keyspace());
        let there = usize::try_from(sizes.keys).unwrap_or(usize::MAX);
        ctx.weigh(count.min(there))?;
    }
    let (mut next, mut left) = (cursor, count);
    loop {
        let session = &*ctx.session;
        let seat = session.namespace.as_ref();
        let slice = left.min(SLICE);
        let page = filter.walk(&mut ctx.keys, seat, next, slice, |view| {
            let name = session.rest_of(view.key());
            if filter.admits(&view, name) {
                keys.bulk(name);
                found += 1;
            }
        });
        next = page.next;
        left -= slice;
        if next == 0 || left == 0 {
            break;
        }
        ctx.breathe()?;
    }
    ctx.reply.array(2);
    ctx.reply.bulk_str(&next.to_string());
    ctx.reply.array(found);
    ctx.reply.append(encoded);
    Ok(())
}

/// The options of a walk. Those that it does not know are offered to `other`, which says whether it
/// does.
pub(in crate::family) fn options<'a>(
    ctx: &Ctx<'a>,
    mut other: impl FnMut(usize, &'a [u8]) -> bool,
) -> Result<(KeyFilter<'a>, usize), Error> {
    let (mut filter, mut count) = (KeyFilter::default(), USUAL_COUNT);
    for at in (2..ctx.args.len()).step_by(2) {
        let value = ctx.args.get(at + 1).ok_or(Error::SYNTAX)?;
        if ctx.is(at, "MATCH") {
            filter.pattern = KeyFilter::matching(value, ctx).pattern;
        } else if ctx.is(at, "TYPE") {
            filter.kind = Some(value);
        } else if ctx.is(at, "COUNT") {
            let number = ctx.int(at + 1)?;
            count = usize::try_from(number)
                .ok()
                .filter(|&count| count > 0)
                .ok_or(Error::SYNTAX)?;
        } else if !other(at, value) {
            return Err(Error::SYNTAX);
        }
    }
    Ok((filter, count))
}
