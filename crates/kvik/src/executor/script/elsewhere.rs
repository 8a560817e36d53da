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
use kvik_command::script::{Away, AwayReply};
use kvik_log::Lsn;
use kvik_resp::{ArgsBuf, Output};

use crate::executor::call::Call;
use crate::executor::slices::PutOff;
use crate::executor::{Executor, Outcome};
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
        match session.away.as_ref().and_then(|away| away.take()) {
            None => self.put_off_away(),
            Some(arrival) => {
                session.send_away(None);
                out.append(arrival.out);
                self.work.note_lsn(Lsn::new(arrival.lsn));
                Outcome::Done
            }
        }
    }

    /// Whether long commands leave this thread.
    pub(in crate::executor) fn may_send_away(&self) -> bool {
        self.patience == Patience::Spin && !self.stays
    }

    /// Has a command run elsewhere.
    pub(in crate::executor) fn send_away(
        &mut self,
        session: &mut Session,
        call: &Call<'_>,
    ) -> PutOff {
        let away = Arc::new(Away::default());
        session.send_away(Some(Arc::clone(&away)));
        // The client's own session stays with its thread, which goes on serving it: only what the
        // command needs goes along.
        let mut other = Session::new(Arc::clone(&session.client), session.authenticated);
        other.db = session.db;
        other.protocol = session.protocol;
        other.no_touch = session.no_touch;
        other.internal = session.internal;
        other.takes_long = true;
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
    away.arrive(AwayReply { out, lsn });
    // The command is offered again, and finds the reply.
    session.client.deliver(Message::Retry);
}
