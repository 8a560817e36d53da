//! Sessions whose clients are blocked on keys.
//!
//! A command that blocks has run: its call stands in the lines of its keys
//! ([`kvik_command::blocking`]). Its session runs nothing more until the wait has ended, which one
//! function does whatever has ended it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_command::Session;
use kvik_command::blocking::{BlockedCall, Ending, leave_line};
use kvik_command::mail::Answer;
use kvik_command::session::Replies;
use kvik_resp::{Output, Reply};

use super::Executor;
use super::run::withhold;
use crate::section::{Actor, Section, Terms, Touching};

impl Executor {
    /// Ends the wait of a blocked session in this way, unless it has ended in another, and writes
    /// its reply, if it is to get one. Says whether the session can go on: not if it has been
    /// served, for then its reply is on the way, and belongs to [`Self::answer_wait`].
    pub fn end_wait(&mut self, session: &mut Session, ending: Ending, out: &mut Output) -> bool {
        let Some(call) = &session.blocked else {
            return true;
        };
        let has_time = call.alarm_ms() < call.until_ms && self.shared.now_ms() < call.until_ms;
        if ending == Ending::TimedOut && has_time && call.ending().is_none() {
            let call = Arc::clone(call);
            self.look_again(&call);
            return false;
        }
        call.claim(ending);
        // Whoever is gone needs no reply.
        if ending != Ending::Gone && call.ending() == Some(Ending::Served) {
            return false;
        }
        let start = out.len();
        call.write_ending(&mut Reply::new(out, session.protocol));
        if out.byte_at(start) == Some(b'-') {
            let id = usize::from(call.command.id());
            self.shared.engine.stats.count_error("UNBLOCKED");
            self.work.stats.totals.errors.add(1);
            self.work.stats.commands[id].failed.add(1);
        }
        self.leave_wait(session);
        if session.replies != Replies::On {
            withhold(session, None, start, out);
        }
        true
    }

    /// Serves a call that waits if there is something for it by now, though nothing has happened to
    /// its keys. Otherwise the call says when to look the next time.
    #[cold]
    fn look_again(&mut self, call: &BlockedCall) {
        let shared = &*self.shared;
        let terms = Terms {
            actor: Actor::Client,
            ..self.work.terms(shared, &mut self.unit)
        };
        Section::run_in_turn(terms, |section, held| {
            section.with_guard(held, call.keyspace(), Touching::NONE, |guard| {
                call.keys().for_each(|key| guard.mark_ready(key));
            });
        });
    }

    /// Ends the wait of a session that has been served, and writes its reply.
    pub fn answer_wait(&mut self, session: &mut Session, answer: Answer, out: &mut Output) {
        let start = out.len();
        out.append(answer.output);
        self.leave_wait(session);
        if session.replies != Replies::On {
            withhold(session, None, start, out);
        }
    }

    /// Lets a session go on whose wait has ended.
    fn leave_wait(&mut self, session: &mut Session) {
        let Some(call) = session.blocked.take() else {
            return;
        };
        session.client.show_blocked(None);
        session.client.count_command(1);
        let counts = &self.shared.engine.blocked;
        counts.clients.fetch_sub(1, Relaxed);
        if call.is_in_line() {
            self.leave_lines(&call);
        }
    }

    /// Takes a call out of the lines in which it still stands.
    #[cold]
    fn leave_lines(&mut self, call: &BlockedCall) {
        let shared = &*self.shared;
        let terms = Terms {
            actor: Actor::Observer,
            ..self.work.terms(shared, &mut self.unit)
        };
        Section::run_in_turn(terms, |section, held| {
            section.with_guard(held, call.keyspace(), Touching::NONE, |guard| {
                for key in call.keys() {
                    leave_line(guard, key, call, &shared.engine.blocked);
                }
            });
        });
    }
}
