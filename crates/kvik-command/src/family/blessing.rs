//! BLESS: keys that eviction leaves alone.

use kvik_resp::{Output, Reply};

use super::command::help;
use super::member_scan::parse_cursor;
use crate::declare::{Category, Command, Group, KeyFlags, Locking, Row};
use crate::{Ctx, Error, Handler};

/// The one flag that there is.
const NO_EVICT: &str = "NO-EVICT";

const NO_SUCH_KEY: Error = Error::text("no such key");

/// Keys of a page unless COUNT says otherwise.
const USUAL_COUNT: usize = 1024;

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    let command = |name, syntax, handler: Handler| {
        Command::new(name, syntax, handler)
            .group(Group::Generic)
            .since("8.12.0")
            .complexity("O(1)")
    };
    vec![
        Command::container("BLESS")
            .group(Group::Generic)
            .since("8.12.0")
            .complexity("Depends on subcommand.")
            .about("Commands about keys that are not evicted."),
        command("BLESS SET", "key NO-EVICT", set)
            .write()
            .may_grow()
            .fast()
            .also(Category::DANGEROUS)
            .access(&[KeyFlags::RW_UPDATE])
            .about("Exempts a key from eviction as long as it exists."),
        command("BLESS CLEAR", "key NO-EVICT", clear)
            .write()
            .fast()
            .access(&[KeyFlags::RW_UPDATE])
            .about("Lets a key be evicted again."),
        command("BLESS GET", "key", get)
            .readonly()
            .fast()
            .access(&[KeyFlags::RO])
            .about("Returns what a key is exempt from."),
        command("BLESS SCAN", "cursor NO-EVICT [COUNT count]", scan)
            .readonly()
            .touches_arbitrary_keys()
            .locks(Locking::InTurn)
            .complexity("O(1) for a page, O(N) for all N keys that are exempt")
            .tips(&["nondeterministic_output", "request_policy:special"])
            .about("Walks the keys that are exempt from eviction, one page with each call."),
        help("BLESS HELP").since("8.12.0"),
    ]
}

fn set(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    change(ctx, true)
}

fn clear(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    change(ctx, false)
}

fn change(ctx: &mut Ctx<'_>, is_blessed: bool) -> Result<(), Error> {
    expect_flag(ctx, 3)?;
    let entry = ctx.keys.entry(ctx.key(2)).occupied();
    let mut entry = entry.ok_or(NO_SUCH_KEY)?;
    let has_changed = entry.bless(is_blessed);
    ctx.reply.integer(i64::from(has_changed));
    Ok(())
}

fn get(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(2);
    ctx.keys.peek(key).ok_or(NO_SUCH_KEY)?;
    let is_blessed = ctx.keys.is_blessed(key);
    ctx.reply.array(usize::from(is_blessed));
    if is_blessed {
        ctx.reply.bulk_str(NO_EVICT);
    }
    Ok(())
}

fn scan(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let cursor = parse_cursor(&ctx.args[2]).ok_or(Error::text("invalid cursor"))?;
    expect_flag(ctx, 3)?;
    let count = match ctx.args.len() {
        4 => USUAL_COUNT,
        6 if ctx.is(4, "COUNT") => match ctx.int(5)? {
            count @ 1.. => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(Error::SYNTAX),
        },
        _ => return Err(Error::SYNTAX),
    };
    // The cursor that goes before the keys is known only after them.
    let (mut encoded, mut found) = (Output::new(), 0);
    let mut keys = Reply::new(&mut encoded, ctx.reply.protocol());
    let session = &*ctx.session;
    let seat = session.namespace.as_ref();
    let page = ctx.keys.scan_blessed(cursor, count, |key| {
        let is_seen = seat.is_none_or(|seat| kvik_store::namespace_name(key) == seat.name());
        if is_seen {
            keys.bulk(session.rest_of(key));
            found += 1;
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk_str(&page.next.to_string());
    ctx.reply.array(found);
    ctx.reply.append(encoded);
    Ok(())
}

fn expect_flag(ctx: &Ctx<'_>, at: usize) -> Result<(), Error> {
    match ctx.is(at, NO_EVICT) {
        true => Ok(()),
        false => Err(Error::SYNTAX),
    }
}
