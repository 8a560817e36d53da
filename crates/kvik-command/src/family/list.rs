//! Lists: rows, and the commands that take one element or a run of them at an end.

mod at;
mod moving;
mod pop;
mod search;

use kvik_store::{Elements, Entry, Guard, IntText, Key, ListEnd, ListRef, ValueRef};

use crate::declare::{Command, Group, KeyFlags, Row};
use crate::{Ctx, Error, SLICE};

/// The rows of this family.
pub(super) fn rows() -> Vec<Row> {
    [reads(), pushes(), pops(), waits(), changes()]
        .into_iter()
        .flatten()
        .collect()
}

fn command(name: &'static str, syntax: &'static str, handler: crate::Handler) -> Row {
    Command::new(name, syntax, handler).group(Group::List)
}

fn reads() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .readonly()
            .access(&[KeyFlags::RO_ACCESS])
    };
    vec![
        command("LLEN", "key", llen)
            .fast()
            .access(&[KeyFlags::RO])
            .since("1.0.0")
            .complexity("O(1)")
            .about("Returns the number of elements of a list."),
        command("LRANGE", "key start stop", at::lrange).long()
            .since("1.0.0")
            .complexity("O(S+N) where S is the number of nodes before the range, from the nearer end, and N is the length of the range")
            .about("Returns a range of elements."),
        command("LINDEX", "key index", at::lindex)
            .since("1.0.0")
            .complexity("O(N) where N is the number of nodes before the element, from the nearer end")
            .about("Returns the element with an index."),
        command(
            "LPOS",
            "key element [RANK rank] [COUNT num-matches:integer] [MAXLEN len]",
            search::lpos,
        ).long()
        .since("6.0.6")
        .complexity("O(N) where N is the number of elements compared")
        .about("Returns the indexes of elements that are equal to one."),
    ]
}

fn pushes() -> Vec<Row> {
    let command = |name, handler| {
        command(name, "key element [element ...]", handler)
            .long()
            .write()
            .may_grow()
            .fast()
            .access(&[KeyFlags::RW_INSERT])
            .complexity("O(N) where N is the number of elements added")
    };
    vec![
        command("LPUSH", lpush)
            .since("1.0.0")
            .changed("2.4.0", "Takes several elements.")
            .about("Adds elements at the left end of a list, one after the other."),
        command("RPUSH", rpush)
            .since("1.0.0")
            .changed("2.4.0", "Takes several elements.")
            .about("Adds elements at the right end of a list."),
        command("LPUSHX", lpushx)
            .since("2.2.0")
            .changed("4.0.0", "Takes several elements.")
            .about("Adds elements at the left end of a list that exists."),
        command("RPUSHX", rpushx)
            .since("2.2.0")
            .changed("4.0.0", "Takes several elements.")
            .about("Adds elements at the right end of a list that exists."),
    ]
}

fn pops() -> Vec<Row> {
    let command = |name, syntax, handler| {
        command(name, syntax, handler)
            .write()
            .access(&[KeyFlags::RW_ACCESS_DELETE])
    };
    let number_of_replies = "O(N) where N is the number of elements returned";
    let moves = &[KeyFlags::RW_ACCESS_DELETE, KeyFlags::RW_INSERT];
    vec![
        command("LPOP", "key [count]", pop::lpop)
            .long()
            .fast()
            .since("1.0.0")
            .changed("6.2.0", "Added the `count` argument.")
            .complexity(number_of_replies)
            .about("Deletes and returns elements at the left end of a list."),
        command("RPOP", "key [count]", pop::rpop)
            .long()
            .fast()
            .since("1.0.0")
            .changed("6.2.0", "Added the `count` argument.")
            .complexity(number_of_replies)
            .about("Deletes and returns elements at the right end of a list."),
        command(
            "LMPOP",
            "numkeys key [key ...] <LEFT|RIGHT> [COUNT count]",
            pop::lmpop,
        )
        .long()
        .since("7.0.0")
        .complexity("O(N+M) where N is the number of keys and M is the number of elements returned")
        .about("Deletes and returns elements of the first list that exists."),
        command(
            "LMOVE",
            "source destination wherefrom:<LEFT|RIGHT> whereto:<LEFT|RIGHT>",
            pop::lmove,
        )
        .may_grow()
        .access(moves)
        .since("6.2.0")
        .complexity("O(1)")
        .about("Moves an element at an end of a list to an end of another, or of the same."),
        command(
            "LMOVEM",
            "source destination wherefrom:<LEFT|RIGHT> whereto:<LEFT|RIGHT> \
             [how-many:<selector:<COUNT count|EXACTLY exactly:integer> ordering:<OBO|BULK>>]",
            moving::lmovem,
        )
        .long()
        .may_grow()
        .access(moves)
        .since("8.10.0")
        .complexity("O(N) where N is the number of elements moved")
        .about("Moves elements at an end of a list to an end of another, or of the same."),
        command("RPOPLPUSH", "source destination", pop::rpoplpush)
            .may_grow()
            .access(moves)
            .since("1.2.0")
            .complexity("O(1)")
            .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")
            .about("Moves the last element of a list to the start of another."),
    ]
}

/// The commands that wait for an element.
fn waits() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write().blocking();
    let pops = &[KeyFlags::RW_ACCESS_DELETE];
    let moves = &[KeyFlags::RW_ACCESS_DELETE, KeyFlags::RW_INSERT];
    vec![
        command("BLPOP", "key [key ...] timeout:double", pop::blpop)
            .access(pops)
            .since("2.0.0")
            .changed("6.0.0", "`timeout` is interpreted as a double instead of an integer.")
            .complexity("O(N) where N is the number of keys")
            .about("Deletes and returns the first element of the first list that exists, or waits for one."),
        command("BRPOP", "key [key ...] timeout:double", pop::brpop)
            .access(pops)
            .since("2.0.0")
            .changed("6.0.0", "`timeout` is interpreted as a double instead of an integer.")
            .complexity("O(N) where N is the number of keys")
            .about("Deletes and returns the last element of the first list that exists, or waits for one."),
        command(
            "BLMPOP",
            "timeout:double numkeys key [key ...] <LEFT|RIGHT> [COUNT count]",
            pop::blmpop,
        ).long()
        .access(pops)
        .since("7.0.0")
        .complexity("O(N+M) where N is the number of keys and M is the number of elements returned")
        .about("Deletes and returns elements of the first list that exists, or waits for some."),
        command(
            "BLMOVE",
            "source destination wherefrom:<LEFT|RIGHT> whereto:<LEFT|RIGHT> timeout:double",
            pop::blmove,
        )
        .may_grow()
        .access(moves)
        .since("6.2.0")
        .complexity("O(1)")
        .about("Moves an element at an end of a list to an end of another, or waits for one."),
        command(
            "BLMOVEM",
            "source destination wherefrom:<LEFT|RIGHT> whereto:<LEFT|RIGHT> timeout:double \
             [how-many:<selector:<COUNT count|EXACTLY exactly:integer> ordering:<OBO|BULK>>]",
            moving::blmovem,
        ).long()
        .may_grow()
        .access(moves)
        .served_by(moving::has_enough)
        .since("8.10.0")
        .complexity("O(N) where N is the number of elements moved")
        .about("Moves elements at an end of a list to an end of another, or waits for enough of them."),
        command("BRPOPLPUSH", "source destination timeout:double", pop::brpoplpush)
            .may_grow()
            .access(moves)
            .since("2.2.0")
            .changed("6.0.0", "`timeout` is interpreted as a double instead of an integer.")
            .complexity("O(1)")
            .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
            .about("Moves the last element of a list to the start of another, or waits for one."),
    ]
}

fn changes() -> Vec<Row> {
    let command = |name, syntax, handler| command(name, syntax, handler).write();
    vec![
        command("LSET", "key index element", at::lset)
            .may_grow()
            .access(&[KeyFlags::RW_UPDATE])
            .since("1.0.0")
            .complexity(
                "O(N) where N is the number of nodes before the element, from the nearer end",
            )
            .about("Replaces the element with an index."),
        command(
            "LINSERT",
            "key <BEFORE|AFTER> pivot element",
            search::linsert,
        )
        .long()
        .may_grow()
        .access(&[KeyFlags::RW_INSERT])
        .since("2.2.0")
        .complexity("O(N) where N is the number of elements before the pivot")
        .about("Adds an element before or after the first that is equal to another."),
        command("LREM", "key count element", search::lrem)
            .long()
            .access(&[KeyFlags::RW_DELETE])
            .since("1.0.0")
            .complexity("O(N) where N is the number of elements compared")
            .about("Deletes elements that are equal to one."),
        command("LTRIM", "key start stop", at::ltrim)
            .access(&[KeyFlags::RW_DELETE])
            .since("1.0.0")
            .complexity("O(N) where N is the number of nodes deleted")
            .about("Deletes all elements but those of a range."),
    ]
}

/// Reads a key that should hold a list.
///
/// # Errors
/// If it holds another type.
fn read<'g>(keys: &'g mut Guard<'_>, key: Key<'_>) -> Result<Option<ListRef<'g>>, Error> {
    match keys.read(key).map(|view| view.value()) {
        None => Ok(None),
        Some(ValueRef::List(list)) => Ok(Some(list)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The place of a key that should hold a list; nothing if there is no key.
///
/// # Errors
/// If it holds another type.
fn existing<'g>(
    keys: &'g mut Guard<'_>,
    key: impl Into<Key<'g>>,
) -> Result<Option<Entry<'g>>, Error> {
    let entry = keys.entry(key);
    match entry.view().map(|view| view.value()) {
        None => Ok(None),
        Some(ValueRef::List(_)) => Ok(Some(entry)),
        Some(_) => Err(Error::WrongType),
    }
}

/// Answers with an array of elements.
fn reply_with(reply: &mut kvik_resp::Reply<'_>, elements: Elements<'_>) {
    reply.array(elements.len());
    let mut text = IntText::default();
    elements.for_each(|element| reply.bulk(element.text(&mut text)));
}

/// The end that a word names: `LEFT` or `RIGHT`.
///
/// # Errors
/// If it is another word.
fn end(ctx: &Ctx<'_>, index: usize) -> Result<ListEnd, Error> {
    match ctx.args.get(index) {
        Some(word) if word.eq_ignore_ascii_case(b"LEFT") => Ok(ListEnd::Left),
        Some(word) if word.eq_ignore_ascii_case(b"RIGHT") => Ok(ListEnd::Right),
        _ => Err(Error::SYNTAX),
    }
}

fn llen(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    let key = ctx.key(1);
    let list = read(&mut ctx.keys, key)?;
    ctx.reply.integer(list.map_or(0, ListRef::len) as i64);
    Ok(())
}

fn lpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, ListEnd::Left, false)
}

fn rpush(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, ListEnd::Right, false)
}

fn lpushx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, ListEnd::Left, true)
}

fn rpushx(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    push(ctx, ListEnd::Right, true)
}

fn push(ctx: &mut Ctx<'_>, end: ListEnd, only_existing: bool) -> Result<(), Error> {
    let args = ctx.args;
    let entry = ctx.keys.entry(ctx.key(1));
    if only_existing && entry.view().is_none() {
        ctx.reply.integer(0);
        return Ok(());
    }
    let mut list = entry.list_mut()?;
    let elements = args.tail(2);
    if elements.len() > SLICE {
        drop(list);
        return push_many(ctx, end);
    }
    let len = list.push(end, elements.iter());
    ctx.reply.integer(len as i64);
    Ok(())
}

/// Adds many elements in slices.
#[cold]
fn push_many(ctx: &mut Ctx<'_>, end: ListEnd) -> Result<(), Error> {
    let (elements, mut len) = (ctx.args.tail(2), 0);
    ctx.change_in_slices(elements.len(), |ctx, slice| {
        let mut list = ctx.keys.entry(ctx.key(1)).list_mut()?;
        len = list.push(end, elements.slice(slice).iter());
        Ok(())
    })?;
    ctx.reply.integer(len as i64);
    Ok(())
}
