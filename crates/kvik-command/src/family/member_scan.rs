//! HSCAN, SSCAN and ZSCAN: a page of a collection's members.
//!
//! The order of checks is Redis': the cursor, the key, its type, and only then the options.

use kvik_resp::{Output, Reply};
use kvik_store::View;

use crate::glob::glob_match;
use crate::{Ctx, Error, SLICE};

/// Members of a page unless COUNT says otherwise.
const USUAL_COUNT: usize = 10;

/// Bytes that a slice of a long page finds room for.
const PAGE_ROOM: usize = 128 << 10;

/// The arguments of a member scan.
pub(super) struct MemberScan<'a> {
    cursor: u64,
    count: usize,
    pattern: Option<&'a [u8]>,
    /// Which of the options without a value were given.
    flag: bool,
}

/// The page being filled.
pub(super) struct Page<'p> {
    reply: Reply<'p>,
    pattern: Option<&'p [u8]>,
    /// Elements of the reply.
    found: usize,
    /// Members that may still be visited.
    left: usize,
}

impl<'a> MemberScan<'a> {
    /// Reads the arguments of a scan of the key at position 1; `check` refuses a value of another
    /// type. Where there is no key the reply is written and there is no scan. `flag` is an option
    /// without a value that the command knows.
    ///
    /// # Errors
    /// As Redis has them.
    pub(super) fn parse(
        ctx: &mut Ctx<'a>,
        check: fn(View<'_>) -> Result<(), Error>,
        flag: &[&str],
    ) -> Result<Option<Self>, Error> {
        let args = ctx.args;
        let cursor = parse_cursor(&args[2]).ok_or(Error::text("invalid cursor"))?;
        // Options are not read without a key, so a wrong one is no error then.
        let Some(view) = ctx.keys.read(ctx.key(1)) else {
            ctx.reply.array(2);
            ctx.reply.bulk_str("0");
            ctx.reply.array(0);
            return Ok(None);
        };
        check(view)?;
        let mut scan = Self {
            cursor,
            count: USUAL_COUNT,
            pattern: None,
            flag: false,
        };
        let mut at = 3;
        while at < args.len() {
            at += scan.option(ctx, at, flag)?;
        }
        Ok(Some(scan))
    }

    /// Whether the option without a value was given.
    pub(super) fn flag(&self) -> bool {
        self.flag
    }

    /// Takes the option at a position and says how many words it is.
    fn option(&mut self, ctx: &Ctx<'a>, at: usize, flag: &[&str]) -> Result<usize, Error> {
        if flag.iter().any(|name| ctx.is(at, name)) {
            self.flag = true;
            return Ok(1);
        }
        let value = ctx.args.get(at + 1).ok_or(Error::SYNTAX)?;
        if ctx.is(at, "MATCH") {
            // As a pattern it would leave out the empty member.
            self.pattern = (value != b"*").then_some(value);
        } else if ctx.is(at, "COUNT") {
            let count = usize::try_from(ctx.int(at + 1)?).ok();
            self.count = count.filter(|&count| count > 0).ok_or(Error::SYNTAX)?;
        } else {
            return Err(Error::SYNTAX);
        }
        Ok(2)
    }

    /// Writes the reply for a value of `len` members: `walk` visits them from a cursor on, hands
    /// each to the page until that says no, and returns the cursor to go on with.
    ///
    /// # Errors
    /// Those of [`Ctx::weigh`] and [`Ctx::breathe`], for a page of very many members.
    pub(super) fn answer(
        &self,
        ctx: &mut Ctx<'a>,
        len: usize,
        walk: impl Fn(View<'_>, u64, &mut Page<'_>) -> Result<u64, Error>,
    ) -> Result<(), Error> {
        ctx.weigh(self.count.min(len))?;
        // The cursor that goes before the members is known only after them.
        let mut encoded = Output::new();
        let mut page = Page {
            reply: Reply::new(&mut encoded, ctx.reply.protocol()),
            pattern: self.pattern,
            found: 0,
            left: 0,
        };
        let (mut cursor, mut left) = (self.cursor, self.count);
        while let Some(view) = ctx.keys.view(ctx.key(1)) {
            page.left = left.min(SLICE);
            left -= page.left;
            cursor = walk(view, cursor, &mut page)?;
            if cursor == 0 || left == 0 {
                break;
            }
            ctx.keys.rest();
            page.reply.make_room(PAGE_ROOM);
            ctx.breathe()?;
        }
        let found = page.found;
        ctx.reply.array(2);
        ctx.reply.bulk_str(&cursor.to_string());
        ctx.reply.array(found);
        ctx.reply.append(encoded);
        Ok(())
    }
}

impl Page<'_> {
    /// Offers a member, which `write` writes as one element if its name matches; says whether to go
    /// on.
    pub(super) fn element(
        &mut self,
        name: &[u8],
        write: impl FnOnce(&mut Reply<'_>, &[u8]),
    ) -> bool {
        self.elements(1, name, write)
    }

    /// The same for a member that is `count` elements of the reply.
    pub(super) fn elements(
        &mut self,
        count: usize,
        name: &[u8],
        write: impl FnOnce(&mut Reply<'_>, &[u8]),
    ) -> bool {
        if self
            .pattern
            .is_none_or(|pattern| glob_match(pattern, name, false))
        {
            write(&mut self.reply, name);
            self.found += count;
        }
        // COUNT bounds the members visited, not those that match.
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

/// A cursor as clients send it.
pub(super) fn parse_cursor(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_unsigned_numbers() {
        assert_eq!(parse_cursor(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(
            (parse_cursor(b"007"), parse_cursor(b"+7")),
            (Some(7), Some(7))
        );
        for bad in ["", "-1", "++1", "1x", " 1", "1 ", "18446744073709551616"] {
            assert_eq!(parse_cursor(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
