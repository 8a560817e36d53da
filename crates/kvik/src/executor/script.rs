//! Running scripts: a script is one section over the stripes of its keys, with one time and one
//! unit of effects, in which it may run any command.
//!
//! Where the text of a script shows that it uses no keys but those that it declares, their stripes
//! are locked as those of any command with several keys. Every other script first takes the growth
//! token of the stripes, and then locks what else it needs when it needs it. A store has one token,
//! so such scripts run one after the other.
//!
//! A script that is not known to end soon leaves the thread that serves clients (`elsewhere`). One
//! that has ended soon so far and does not after all leaves as well: what it has changed is undone.
//! There it pins its keys and holds stripes only while it calls a command (`pinned`).

mod busy;
mod calling;
mod elsewhere;
pub(super) mod known;
mod lookup;
mod pinned;

use std::sync::Arc;

use kvik_command::declare::Flags;
use kvik_command::script::{Invocation, MeasuredInterpreter, Program, ScriptFlags};
use kvik_command::{Error, Session};
use kvik_resp::{Args, Output, Protocol, Reply};

use super::Executor;
use super::call::Call;
use super::lookup::Prepared;
use super::reaching::lock_reaching;
use super::route::FETCHED_KEYS;
use super::slices::PutOff;
use super::timing::log_sizes;
use super::work::Work;
use crate::section::Section;
use crate::shared::Shared;
use crate::stamps::Reach;
use crate::stripes::{GrowthToken, HeldMany, ascend};

use calling::Calling;
use pinned::PinnedScript;

/// A script that is to run, with its arguments.
#[derive(Clone)]
pub(super) struct ScriptCall<'a> {
    pub(super) program: Arc<Program>,
    keys: Args<'a>,
    args: Args<'a>,
    /// It must not write.
    reads_only: bool,
}

impl<'a> ScriptCall<'a> {
    /// Splits the words of a call into keys and arguments.
    fn of(call: &Call<'a>, program: Arc<Program>, key_count: usize) -> Self {
        let reads_only = call.command.flags().contains(Flags::READONLY)
            || program.flags.contains(ScriptFlags::NO_WRITES);
        Self {
            keys: call.args.slice(3..3 + key_count),
            args: call.args.tail(3 + key_count),
            program,
            reads_only,
        }
    }
}

impl Executor {
    /// Whether the script is there that a command names.
    pub(crate) fn has_script(
        &mut self,
        session: &Session,
        prepared: &Prepared,
        args: Args<'_>,
    ) -> bool {
        prepared.command().is_some_and(|command| {
            let call = Call::of(command, args, prepared);
            self.work.find_script(&self.shared, session, &call).is_ok()
        })
    }

    /// Runs a script, or says why it cannot.
    pub(super) fn run_script(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) -> Result<(), PutOff> {
        let script = match self.work.find_script(&self.shared, session, call) {
            Ok(script) => script,
            Err(error) => {
                self.work
                    .refuse_script(&self.shared, session, call, &error, out);
                return Ok(());
            }
        };
        let may_leave = self.may_send_away();
        let shared = &self.shared;
        // A script that waits for another one's stripes must not do so here, and one that is shown
        // must not begin twice.
        let is_shown = shared.engine.pubsub.monitors.any();
        let may_stay = script.program.is_quick() && shared.script_threads.is_idle() && !is_shown;
        if may_leave && !may_stay {
            return Err(self.send_away(session, call));
        }
        // One that may want more keys while others have pinned some must hold nothing they need.
        if self.stays || !may_leave && !script.program.keeps_to_its_keys() {
            return self.run_pinned_script(session, call, &script, out);
        }
        let (work, shared) = (&mut self.work, &*self.shared);
        work.plan.clear();
        for key in script.keys.iter() {
            work.plan.add(shared, session.db, key);
        }
        if let [_, others @ ..] = &*work.plan.hashes {
            // The first one is fetched with those of other commands.
            let others = others.iter().take(FETCHED_KEYS);
            shared.stripes.prefetch(session.keyspace(), others.copied());
        }
        ascend(&mut work.plan.stripes);
        let growth = match script.program.keeps_to_its_keys() {
            true => None,
            false => Some(shared.stripes.grow(self.patience)?),
        };
        let each_key = |visit: &mut dyn FnMut(&[u8])| script.keys.iter().for_each(visit);
        let held = lock_reaching(shared, &mut work.plan.stripes, each_key, self.patience)?;
        // The end of the section needs the hashes while the rest of the work is in use.
        let hashes = std::mem::take(&mut work.plan.hashes);
        let terms = work.terms(shared, &mut self.unit);
        let reach = Reach::Keys(&hashes);
        // A key that it does not declare may be pinned, and then it has to leave.
        let leaves_unchanged = script.program.is_bounded() && growth.is_none();
        let leaving = match (may_leave, leaves_unchanged) {
            (false, _) => Leaving::Never,
            (true, true) => Leaving::Unchanged,
            (true, false) => Leaving::Undone,
        };
        let (ending, lsn) = Section::run(terms, held, reach, |section, held| {
            let look_ms = held.look_at();
            work.expire_slices(section, held, look_ms, session, call)?;
            let scope = ScriptScope {
                shared,
                held,
                source: match &growth {
                    None => StripeSource::Held,
                    Some(growth) => StripeSource::Growing(growth),
                },
                leaving,
            };
            Ok::<_, PutOff>(work.run_or_undo_script(section, scope, session, call, &script, out))
        });
        work.plan.hashes = hashes;
        work.note_lsn(lsn);
        drop(growth);
        match ending? {
            ScriptEnding::Ran => Ok(()),
            ScriptEnding::Leaves => Err(self.send_away(session, call)),
        }
    }
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptEnding {
    /// It ran, or was refused; its reply is written.
    Ran,
    /// Its changes are undone, and it is to run again elsewhere.
    Leaves,
}

/// Whether a script that takes long may end early to run again elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It may not.
    Never,
    /// It may as long as it has changed nothing.
    Unchanged,
    /// It may, as what it changes can be undone.
    Undone,
}

/// The stripes that a script has, and how it gets more.
pub(super) struct ScriptScope<'s, 'a> {
    pub(super) shared: &'s Shared,
    pub(super) held: &'s mut HeldMany<'a>,
    pub(super) source: StripeSource<'s, 'a>,
    pub(super) leaving: Leaving,
}

/// How a script gets stripes that it does not hold.
pub(super) enum StripeSource<'s, 'a> {
    /// It has all that it may use.
    Held,
    /// It locks more when it needs them, and keeps them.
    Growing(&'s GrowthToken<'a>),
    /// It has pinned its keys, and locks their stripes for each command.
    Pinned(&'s mut PinnedScript<'a>),
}

impl Work {
    /// Answers a call of a script that cannot run.
    pub(super) fn refuse_script(
        &mut self,
        shared: &Shared,
        session: &Session,
        call: &Call<'_>,
        error: &Error,
        out: &mut Output,
    ) {
        error.write(&mut Reply::new(out, session.protocol));
        shared.engine.stats.count_error(error.code());
        self.count(shared, session, call, true, true, 0);
    }

    /// Runs a script of a transaction, which holds all that it may use.
    pub(super) fn run_queued_script(
        &mut self,
        section: &mut Section<'_>,
        held: &mut HeldMany<'_>,
        session: &mut Session,
        call: &Call<'_>,
        out: &mut Output,
    ) {
        let shared = section.shared;
        match self.find_script(shared, session, call) {
            Ok(script) => {
                let scope = ScriptScope {
                    shared,
                    held,
                    source: StripeSource::Held,
                    leaving: Leaving::Never,
                };
                self.run_script(section, scope, session, call, &script, out);
            }
            Err(error) => self.refuse_script(shared, session, call, &error, out),
        }
    }

    /// Runs a script, and undoes what it has changed if it leaves.
    fn run_or_undo_script(
        &mut self,
        section: &mut Section<'_>,
        scope: ScriptScope<'_, '_>,
        session: &mut Session,
        call: &Call<'_>,
        script: &ScriptCall<'_>,
        out: &mut Output,
    ) -> ScriptEnding {
        if scope.leaving != Leaving::Undone {
            return self.run_script(section, scope, session, call, script, out);
        }
        let ScriptScope {
            shared,
            held,
            source,
            leaving,
        } = scope;
        let ended = section.attempt(held, |section, held| {
            let scope = ScriptScope {
                shared,
                held,
                source,
                leaving,
            };
            match self.run_script(section, scope, session, call, script, out) {
                ScriptEnding::Ran => Ok(()),
                ScriptEnding::Leaves => Err(()),
            }
        });
        ended.map_or(ScriptEnding::Leaves, |()| ScriptEnding::Ran)
    }

    /// Runs a script on stripes that are locked, and counts.
    pub(super) fn run_script(
        &mut self,
        section: &mut Section<'_>,
        scope: ScriptScope<'_, '_>,
        session: &mut Session,
        call: &Call<'_>,
        script: &ScriptCall<'_>,
        out: &mut Output,
    ) -> ScriptEnding {
        let (shared, now_us, start) = (scope.shared, section.now_us, out.len());
        let mut interpreter = match self.take_interpreter(shared) {
            Ok(interpreter) => interpreter,
            Err(error) => {
                self.refuse_script(shared, session, call, &error, out);
                return ScriptEnding::Ran;
            }
        };
        shared.engine.scripts.touch(&script.program);
        let monitors = &shared.engine.pubsub.monitors;
        if monitors.any() {
            monitors.show_script(session, call.args, now_us);
        }
        let invocation = Invocation {
            program: &script.program,
            keys: script.keys,
            args: script.args,
        };
        let before = ScriptedState::begin(session);
        // Those of a transaction are published when all its commands have run.
        let publishes = session.publications.is_none();
        session.publications.get_or_insert_default();
        let mut calling = Calling::new(self, section, scope, session, call, script);
        let mut reply = Reply::new(out, before.protocol);
        let result = interpreter.run(&invocation, &mut calling, &mut reply);
        let leaves = calling.finish();
        before.end(session);
        if publishes {
            for publication in session.publications.take().into_iter().flatten() {
                section.publish(publication);
            }
        }
        self.scripts.interpreter = Some(interpreter);
        if leaves {
            out.truncate(start);
            return ScriptEnding::Leaves;
        }
        self.failure = match &result {
            Err(line) if self.keeps_failure => Some(Error::quoting(&[line])),
            _ => None,
        };
        if let Err(line) = &result {
            let mut reply = Reply::new(out, session.protocol);
            reply.truncate(start);
            reply.error_bytes(line);
        }
        log_sizes(shared, session, call, out.len() - start, now_us);
        if out.byte_at(start) == Some(b'-') {
            // The error has been counted where it came up.
            let counters = &self.stats.commands[usize::from(call.command.id())];
            counters.failed.add(1);
        }
        self.count(shared, session, call, false, true, 0);
        ScriptEnding::Ran
    }

    fn take_interpreter(&mut self, shared: &Shared) -> Result<MeasuredInterpreter, Error> {
        match self.scripts.interpreter.take() {
            Some(interpreter) => Ok(interpreter),
            None => shared.engine.scripts.interpreter(self.random.bits()),
        }
    }
}

/// The state of a session that a script changes for itself only.
struct ScriptedState {
    db: u32,
    protocol: Protocol,
    may_block: bool,
    takes_long: bool,
}

impl ScriptedState {
    fn begin(session: &mut Session) -> Self {
        session.in_script = true;
        Self {
            db: session.db,
            protocol: session.protocol,
            may_block: std::mem::take(&mut session.may_block),
            takes_long: std::mem::replace(&mut session.takes_long, true),
        }
    }

    fn end(self, session: &mut Session) {
        session.in_script = false;
        session.may_block = self.may_block;
        session.takes_long = self.takes_long;
        session.protocol = self.protocol;
        if session.db != self.db {
            session.select(self.db);
        }
    }
}
