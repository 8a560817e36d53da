//! A session together with the executor that runs its commands: for callers inside this process.

use std::sync::Arc;

use kvik_command::blocking::Ending;
use kvik_command::client::Origin;
use kvik_command::mail::{LocalMailbox, Message};
use kvik_command::{Error, Session};
use kvik_log::Lsn;
use kvik_resp::{Args, ArgsBuf, Output, Protocol, ReplyDecoder, Value};

use crate::executor::{Executor, Outcome};
use crate::shared::Shared;
use crate::stripes::Patience;

/// Words of so many bytes leave their room for those of the next command.
const KEPT_BYTES: usize = 16 << 10;

/// A session and what runs its commands. Does not keep the store open.
pub(crate) struct Runner {
    executor: Executor,
    pub(crate) session: Session,
    out: Output,
    words: ArgsBuf,
    /// Where the answers to blocked calls arrive.
    mailbox: Arc<LocalMailbox>,
}

impl Runner {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self::with(shared, Executor::new(Arc::clone(shared), Patience::Wait))
    }

    /// The same for the effects of another store or of a log; see [`Executor::repeating`].
    pub(crate) fn repeating(shared: &Arc<Shared>) -> Self {
        let executor = Executor::new(Arc::clone(shared), Patience::Wait);
        let mut runner = Self::with(shared, executor.repeating());
        runner.session.internal = true;
        runner.session.may_block = false;
        runner
    }

    fn with(shared: &Shared, executor: Executor) -> Self {
        let mailbox = Arc::new(LocalMailbox::default());
        let mut session = shared.session(Origin {
            mailbox: Arc::clone(&mailbox) as _,
            ..Origin::embedded()
        });
        session.authenticated = true;
        session.may_block = shared.has_threads();
        session.speak(Protocol::Resp3);
        Self {
            executor,
            session,
            out: Output::new(),
            words: ArgsBuf::new(),
            mailbox,
        }
    }

    /// Runs one command and returns its reply, null when the session wants none.
    pub(crate) fn run(&mut self, words: &[impl AsRef<[u8]>]) -> Value {
        let mut buffer = std::mem::take(&mut self.words);
        buffer.clear();
        buffer.extend(words);
        let reply = self.run_args(buffer.as_args());
        // What one large value has taken is given back.
        if buffer.byte_len() <= KEPT_BYTES {
            self.words = buffer;
        }
        reply
    }

    /// The same for words that lie elsewhere.
    pub(crate) fn run_args(&mut self, args: Args<'_>) -> Value {
        self.out.clear();
        if let Err(error) = self.execute(args) {
            return Value::Error(error.line().into());
        }
        let reply = std::mem::take(&mut self.out).into_bytes();
        let decoded = ReplyDecoder::new().decode(&reply);
        self.out = reply.into();
        match decoded {
            Ok(Some((reply, _))) => reply,
            Ok(None) => Value::Null,
            Err(error) => unreachable!("the store wrote a malformed reply: {error}"),
        }
    }

    /// Runs a command: after a pause of all clients has ended, and when the log has room. Returns
    /// when its reply may be told.
    fn execute(&mut self, args: Args<'_>) -> Result<(), Error> {
        loop {
            self.executor.refresh();
            let outcome = self
                .executor
                .execute(&mut self.session, args, &mut self.out);
            match outcome {
                Outcome::Done => break,
                // Others are let in between what is done beforehand in slices.
                Outcome::Busy | Outcome::Begun => std::thread::yield_now(),
                Outcome::LogFull | Outcome::Paused(_) if !self.executor.shared.has_threads() => {
                    self.work_for_others()?;
                }
                Outcome::LogFull => self.executor.shared.wait_for_room(),
                Outcome::Blocked(_) => return self.await_answer(),
                Outcome::Paused(until_ms) => self.executor.shared.wait_for_pause(until_ms),
            }
        }
        let lsn = self.executor.take_lsn();
        self.executor.shared.wait_for(lsn)
    }

    /// Does what the command waits for, where no thread does.
    #[cold]
    fn work_for_others(&mut self) -> Result<(), Error> {
        const ALONE: Error =
            Error::text("a store without threads cannot wait for what this command waits for");
        match self.executor.shared.turn_files() {
            true => Ok(()),
            false => Err(ALONE),
        }
    }

    /// Blocks this thread until the wait of the session has ended.
    fn await_answer(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.executor.shared);
        let (mut alarm_ms, mut until_ms) = (0, 0);
        loop {
            let blocked = self.session.blocked.as_ref();
            let at_ms = blocked.map_or(0, |call| call.alarm_ms());
            if at_ms != alarm_ms {
                // It ends by a clock that nobody sets.
                let left_ms = at_ms.saturating_sub(shared.now_ms());
                (alarm_ms, until_ms) = (at_ms, shared.clock.steady_ms().saturating_add(left_ms));
            }
            let left_ms = until_ms.saturating_sub(shared.clock.steady_ms());
            if let Some(Message::Reply(answer)) = self.mailbox.wait(shared.nap(left_ms)) {
                let lsn = answer.lsn;
                self.executor
                    .answer_wait(&mut self.session, answer, &mut self.out);
                return shared.wait_for(Lsn::new(lsn));
            }
            // It has been ended by somebody else, or its time is up.
            let is_late = shared.clock.steady_ms() >= until_ms;
            let ending = self.session.wait_ending();
            let (session, out) = (&mut self.session, &mut self.out);
            if let Some(ending) = ending.or(is_late.then_some(Ending::TimedOut))
                && self.executor.end_wait(session, ending, out)
            {
                return Ok(());
            }
        }
    }

    pub(crate) fn reset(&mut self) {
        self.session.reset();
        self.session.speak(Protocol::Resp3);
        self.executor.release(&mut self.session);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.executor.end(&mut self.session);
    }
}
