//! Running a command's handler in a section.

use kvik_command::declare::{Command, Flags};
use kvik_command::session::Replies;
use kvik_command::{Ctx, Error, Session};
use kvik_resp::{Output, Reply};
use kvik_store::Stripes;

use super::call::Call;
use super::namespaces;
use super::slices::PutOff;
use super::timing::{QUICK_REPLY_BYTES, log_sizes};
use super::work::Work;
use crate::section::{Locks, Section, Terms, Touching};
use crate::stamps::Reach;

impl Work {
    /// Runs a command as the one unit of a section. Where what has to be done before puts the
    /// command off, the section ends all the same, with the effects of what was done.
    #[inline]
    pub(super) fn run_section<L: Locks>(
        &mut self,
        terms: Terms<'_>,
        held: L,
        session: &mut Session,
        call: &Call<'_>,
        reach: Reach<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let (ready, lsn) = Section::run(terms, held, reach, |section, held| {
            let look_ms = held.look_at();
            self.expire_slices(section, held, look_ms, session, call)?;
            if L::SEVERAL {
                self.prepare(section, held, session, call)?;
            }
            self.run(section, held, session, call, out).done()
        });
        self.note_lsn(lsn);
        ready
    }

    /// Runs a command's handler on stripes that are locked, and counts.
    pub(super) fn run(
        &mut self,
        section: &mut Section<'_>,
        stripes: &mut dyn Stripes,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Ran {
        let (shared, now_us, start) = (section.shared, section.now_us, out.len());
        section.writer = session.client.id;
        let mode = section.mode;
        let touching = Touching {
            touch: !session.no_touch || call.command.last_word() == "TOUCH",
            random: self.random.bits(),
        };
        // Nobody asks what a change is called unless somebody listens.
        let event = match section.is_heard() {
            true => call.command.event(),
            false => None,
        };
        let (keyspace, protocol) = (session.keyspace(), session.protocol);
        // Made in its place: to move a guard takes as long as a small lookup.
        let mut ctx = Ctx {
            args: call.args,
            reply: Reply::new(out, protocol),
            keys: section.guard(stripes, keyspace, touching).calling(event),
            session,
            engine: &shared.engine,
            command: call.command,
            now_us,
            random: &mut self.random,
            hashed: call.hash,
        };
        let handler = call.command.handler().unwrap_or(container_alone);
        let result = match shared.stripes.layout.namespaces() {
            None => handler(&mut ctx),
            Some(all) => namespaces::run(all, &mut ctx, mode, self.promise.as_mut(), handler),
        };
        if let Err(error) = &result {
            // Nothing of a reply that was begun is left.
            ctx.reply.truncate(start);
            if *error == Error::Long {
                let mut aftermath = ctx.keys.take_aftermath();
                // It will look for the same keys again, and tell then that they are missing.
                if let Some(told) = &mut aftermath {
                    told.forget_misses();
                }
                section.leave(aftermath);
                return Ran::Long;
            }
            error.write(&mut ctx.reply);
            shared.engine.stats.count_error(error.code());
            if self.keeps_failure {
                self.failure = Some(error.clone());
            }
        }
        if ctx.session.tracking.mode.is_by_key() {
            track_reads(&mut ctx);
        }
        let (seen, aftermath) = (ctx.keys.stats(), ctx.keys.take_aftermath());
        section.leave(aftermath);
        let replied = out.len() - start;
        let totals = &self.stats.totals;
        totals.hits.add(seen.hits);
        totals.misses.add(seen.misses);
        totals.expired.add(seen.expired);
        totals.changes.add(seen.changes);
        if shared.engine.settings.prefix_stats.is_wanted() {
            Self::count_for_prefix(shared, call, &seen);
        }
        log_sizes(shared, session, call, replied, now_us);
        let monitors = &shared.engine.pubsub.monitors;
        if monitors.any() {
            monitors.show(session, call.command, call.args, now_us);
        }
        let timed = !call.goes_on || replied > QUICK_REPLY_BYTES;
        self.count(shared, session, call, result.is_err(), timed, replied);
        match seen.untouched {
            true => Ran::Untouched,
            false => Ran::Touched,
        }
    }
}

/// How a handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// It has run.
    Touched,
    /// The same; a key was used whose access clock has still to be set.
    Untouched,
    /// It has done nothing, as it touches so much that it is to be done in slices.
    Long,
}

impl Ran {
    #[inline]
    pub(super) fn done(self) -> Result<(), PutOff> {
        match self {
            Self::Touched | Self::Untouched => Ok(()),
            Self::Long => Err(PutOff::Long),
        }
    }
}

/// Notes which keys the command's client has read, under the locks under which it has.
#[cold]
fn track_reads(ctx: &mut Ctx<'_>) {
    let is_read = ctx.command.flags().contains(Flags::READONLY);
    if !is_read || !ctx.session.tracking.tracks_reads() {
        return;
    }
    let (args, client, engine) = (ctx.args, ctx.session.client.id, ctx.engine);
    let tracking = &engine.tracking;
    let is_alive = |client| tracking.is_caching(client);
    let (keys, random) = (&mut ctx.keys, &mut *ctx.random);
    // Keys that cannot be told from the words have not been read.
    let _ = ctx.command.for_each_key(args, |at, _| {
        tracking.count(keys.track(&args[at], client, is_alive));
        // Each key that is too many makes one room, and another one while there are still too many.
        for _ in 0..2 {
            if !tracking.is_too_large(&engine.settings)
                || !keys.evict_tracked(&args[at], random.bits())
            {
                break;
            }
        }
    });
}

/// Applies CLIENT REPLY to what a command wrote from `start` on. Pushes are no replies: a
/// subscription is acknowledged all the same.
#[cold]
pub(super) fn withhold(
    session: &mut Session,
    command: Option<&Command>,
    start: usize,
    out: &mut Output,
) {
    let is_push = command.is_some_and(|command| command.name().ends_with("SUBSCRIBE"));
    if !is_push || session.transaction.is_some() || out.byte_at(start) == Some(b'-') {
        out.truncate(start);
    }
    session.replies = match session.replies {
        Replies::SkipNext => Replies::SkipThis,
        Replies::SkipThis => Replies::On,
        other => other,
    };
}

/// Writes the pushes that come before the reply of a command, which begins at `start`.
#[cold]
pub(super) fn write_ahead(session: &mut Session, start: usize, out: &mut Output) {
    let mut pushes = Output::new();
    for push in session.ahead.drain(..) {
        push.write(session.protocol, &mut pushes);
    }
    out.insert(start, pushes);
}

/// A container called without a subcommand; the table's arity check lets none through.
fn container_alone(ctx: &mut Ctx<'_>) -> Result<(), Error> {
    Err(Error::arity(ctx.command))
}
