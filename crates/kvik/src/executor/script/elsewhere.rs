//! Scripts that are not known to end soon run on a thread of their own kind, while the thread that
//! serves their client goes on with others.
//!
//! The command waits meanwhile: it stays in its connection's input, and is offered again when it
//! has ended, which finds the reply ([`Away`]). The session that runs it elsewhere is another one
//! for the same client, with the database and the transaction of the first.

use std::sync::Arc;
use std::time::Duration;

use kvik_command::Session;
use kvik_command::declare::Locking;
use kvik_command::mail::Message;
use kvik_command::script::{Away, AwayEnd};
use kvik_command::session::Replies;
use kvik_log::Lsn;
use kvik_resp::{ArgsBuf, Output};

use crate::executor::call::Call;
use crate::executor::slices::PutOff;
use crate::executor::{Executor, Outcome};
use crate::lookout::Lookout;
use crate::script_threads::Errand;
use crate::shared::Shared;
use crate::stripes::Patience;

/// How long a script waits before it looks again for a stripe that is taken.
const NAP: Duration = Duration::from_micros(100);

impl Executor {
    /// Fetches the reply to a session's command that runs elsewhere, if it has ended.
    #[cold]
    pub(in crate::executor) fn fetch(
        &mut self,
        session: &mut Session,
        out: &mut Output,
    ) -> Outcome {
        let arrival = session.away.as_ref().and_then(|away| away.take());
        let Some(arrival) = arrival else {
            return self.put_off_away();
        };
        out.append(arrival.out);
        self.work.note_lsn(Lsn::new(arrival.lsn));
        let Some(end) = arrival.end else {
            return self.put_off_away();
        };
        session.send_away(None);
        match end {
            AwayEnd::Answered => Outcome::Done,
            AwayEnd::ComesBack => {
                session.comes_back = true;
                self.put_off(Outcome::Busy)
            }
            AwayEnd::BrokenOff => {
                session.close = true;
                Outcome::Done
            }
        }
    }

    /// Whether long commands leave this thread.
    pub(in crate::executor) fn may_send_away(&self) -> bool {
        self.patience == Patience::Spin && !self.stays && self.shared.has_threads()
    }

    /// Has a command run elsewhere.
    pub(in crate::executor) fn send_away(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
    ) -> PutOff {
        let away = Arc::new(Away::new(&self.shared.engine.pins.reply_bytes));
        session.send_away(Some(Arc::clone(&away)));
        // The client's own session stays with its thread, which goes on serving it: only what the
        // command needs goes along.
        let mut other = Session::new(Arc::clone(&session.client), session.authenticated);
        other.db = session.db;
        other.protocol = session.protocol;
        other.no_touch = session.no_touch;
        other.internal = session.internal;
        other.takes_long = true;
        // Nothing else may be written to the client between two parts of a reply.
        other.takes_parts = session.takes_parts
            && session.replies == Replies::On
            && session.subscriptions.is_none()
            && !session.monitors
            && !session.feed_subscribed;
        // What it reads there is tracked for the client all the same.
        other.tracking.mode = session.tracking.mode;
        other.tracking.is_chosen = session.tracking.is_chosen;
        other.errand = Some(Arc::clone(&away));
        if call.command.locking() == Locking::Queue {
            // EXEC takes queue and watch with it, as it would leave none behind here.
            other.transaction = session.transaction.take();
            other.watch = session.watch.take();
        }
        let errand = Errand {
            session: other,
            args: ArgsBuf::from(call.args),
            away,
        };
        let worker = Arc::clone(&self.shared);
        self.shared
            .script_threads
            .send(errand, move || serve(&worker));
        PutOff::Away
    }
}

/// Runs commands until there have been none for a while.
fn serve(shared: &Arc<Shared>) {
    let _lookout = Lookout(&shared.engine);
    let mut executor = Executor::new(Arc::clone(shared), Patience::Spin);
    executor.stays = true;
    while let Some(errand) = shared.script_threads.next() {
        run(&mut executor, errand);
        shared.script_threads.note_end();
    }
}

fn run(executor: &mut Executor, errand: Errand) {
    let Errand {
        mut session,
        args,
        away,
    } = errand;
    let mut out = Output::new();
    loop {
        executor.refresh();
        match executor.run_errand(&mut session, args.as_args(), &mut out) {
            Outcome::Busy | Outcome::Begun | Outcome::LogFull | Outcome::Paused(_) => {
                std::thread::park_timeout(NAP);
            }
            _ => break,
        }
    }
    executor.leave_line();
    let lsn = executor.take_lsn().get();
    session.take_transaction();
    session.unwatch();
    executor.release(&mut session);
    session.rings.ring();
    let has_told = session.sink.take().is_some_and(|sink| sink.has_told());
    let end = match out.first() {
        _ if session.comes_back => AwayEnd::ComesBack,
        // An error, which stands where the rest of the reply should.
        Some(b'-') if has_told => AwayEnd::BrokenOff,
        _ => AwayEnd::Answered,
    };
    if end == AwayEnd::BrokenOff {
        out.clear();
    }
    away.arrive(out, lsn, end);
    // The command is offered again, and finds the reply.
    session.client.deliver(Message::Retry);
}
