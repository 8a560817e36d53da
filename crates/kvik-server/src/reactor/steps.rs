//! Running what the codec of a door makes of input: the counterpart of the [`super::pipeline`] for
//! doors that do not speak RESP.
//!
//! The commands of a batch are looked up before the first of them runs, as those of a pipeline are.
//! Their replies go through the codec, so they are written into an output beside the connection's.
//! A batch stays with its connection while it is put off; else one batch serves all connections of
//! a thread.

use kvik::{DEFAULT_NAMESPACE, Executor, Outcome, Prepared};
use kvik_resp::{Output, ReplyReader};

use super::connection::{Connection, FLUSH_BYTES, RunEnd, TURN, Tools};
use crate::codec::{
    Answer, BatchEnd, Codec, CommandBatch, Decision, Exchange, Incoming, KeyScope, Request, Tail,
};

/// Longest words that may be timed together with others.
const QUICK_BYTES: usize = 4096;

/// How often a last command is offered.
const FAREWELL_TRIES: usize = 64;

/// A batch on its way, and the memory for running it.
#[derive(Debug, Default)]
pub(super) struct Steps {
    batch: CommandBatch,
    prepared: Vec<Prepared>,
    /// How many of them have run.
    done: usize,
    /// Why the batch ends where it does.
    end: Option<BatchEnd>,
    /// The command that belongs to the one that has run.
    follow: CommandBatch,
    reply: Output,
}

impl Steps {
    /// Whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.end.is_none()
    }

    fn clear(&mut self) {
        self.batch.clear();
        self.prepared.clear();
        (self.done, self.end) = (0, None);
    }

    /// Looks the commands up and has memory fetched that they will read.
    fn prepare(&mut self, executor: &mut Executor, connection: &mut Connection) {
        let requests = self.batch.requests();
        for request in requests {
            let args = self.batch.args(request);
            let mut prepared = executor.prepare(args);
            if let Some(before) = self.prepared.last_mut()
                // Commands of a batch are timed together where none of them takes long.
                && args.byte_len() <= QUICK_BYTES
            {
                before.join(&mut prepared);
            }
            self.prepared.push(prepared);
        }
        if let [first, others @ ..] = requests
            && others.iter().all(|other| other.database == first.database)
            && !others.is_empty()
        {
            select(connection, first);
            executor.prefetch(&connection.session, self.prepared.iter().copied());
        }
    }
}

#[inline]
fn select(connection: &mut Connection, request: &Request) {
    if connection.session.db != request.database {
        connection.session.select(request.database);
    }
}

/// How the run of one request ended.
enum Ran {
    Done,
    /// The output is to be sent before anything else is written.
    Apart,
    Stopped(RunEnd),
}

impl Connection {
    /// Chooses the codec of a connection whose first bytes have to tell; why it cannot yet.
    #[cold]
    pub(super) fn decide(&mut self, input: &[u8], executor: &Executor) -> Option<RunEnd> {
        let Codec::Undecided(undecided) = &self.codec else {
            return None;
        };
        let of_door = undecided.scope();
        match undecided.decide(input, self.is_silent || self.finished) {
            Decision::Codec(codec) => {
                let scope = codec.scope(of_door);
                self.codec = codec;
                let has_place = self.keep_within(scope, executor);
                (!has_place).then_some(RunEnd::Close)
            }
            Decision::Wait(BatchEnd::Silence(for_ms)) => Some(self.await_silence(for_ms, executor)),
            Decision::Wait(_) => Some(RunEnd::Incomplete(0)),
        }
    }

    /// Lets the keys of the client be those of the scope; says whether there is a place for it.
    pub(super) fn keep_within(&mut self, scope: KeyScope, executor: &Executor) -> bool {
        scope == KeyScope::All || executor.enter_namespace(&mut self.session, DEFAULT_NAMESPACE)
    }

    /// Runs what the codec makes of the input.
    pub(super) fn run_steps(
        &mut self,
        tools: &mut Tools<'_>,
        input: &[u8],
        consumed: &mut usize,
        out: &mut Output,
    ) -> RunEnd {
        // A batch that was put off stays with its connection; all others share the thread's memory.
        let mut steps = match self.steps.is_empty() {
            true => std::mem::take(tools.steps),
            false => std::mem::take(&mut self.steps),
        };
        let end = self.run_batches(&mut steps, tools, input, consumed, out);
        tools.executor.finish_pipeline(&self.session);
        let home = match steps.is_empty() {
            true => &mut *tools.steps,
            false => &mut self.steps,
        };
        *home = steps;
        end
    }

    fn run_batches(
        &mut self,
        steps: &mut Steps,
        tools: &mut Tools<'_>,
        input: &[u8],
        consumed: &mut usize,
        out: &mut Output,
    ) -> RunEnd {
        let mut left = TURN;
        loop {
            // While a batch was put off, more input may have come than its end knows of.
            let is_late = !steps.is_empty();
            if !is_late {
                let rest = &input[*consumed..];
                let incoming = Incoming {
                    input: rest,
                    tail: self.tail(),
                    now_ms: tools.executor.now_us() / 1000,
                };
                let progress = self.codec.parse(&incoming, &mut steps.batch);
                *consumed += progress.consumed;
                steps.end = Some(progress.end);
                steps.prepare(tools.executor, self);
            }
            let end = steps.end.unwrap_or(BatchEnd::Close);
            // Nothing is written behind the last reply before the output is sent.
            let is_whole = match end {
                BatchEnd::Full => false,
                BatchEnd::Incomplete(_) => !is_late,
                BatchEnd::Silence(_) => !is_late && !self.finished && !self.is_silent,
                BatchEnd::Close => true,
            };
            if let Some(stopped) = self.run_batch(steps, is_whole, tools.executor, out) {
                return stopped;
            }
            let is_slow = steps.batch.is_empty();
            left = left.saturating_sub(steps.batch.requests().len());
            steps.clear();
            match end {
                // There is much to read before the next command.
                BatchEnd::Full if left == 0 || is_slow => return RunEnd::Turn,
                BatchEnd::Full => {}
                // So it is read once more.
                BatchEnd::Incomplete(_) | BatchEnd::Silence(_) if is_late => {}
                BatchEnd::Incomplete(missing) => return RunEnd::Incomplete(missing),
                // Nothing can follow any more, or the silence has been noticed meanwhile.
                BatchEnd::Silence(_) if self.finished || self.is_silent => {}
                BatchEnd::Silence(for_ms) => return self.await_silence(for_ms, tools.executor),
                BatchEnd::Close => return RunEnd::Close,
            }
        }
    }

    /// The possible continuation of the input. A silence is told once.
    fn tail(&mut self) -> Tail {
        match std::mem::take(&mut self.is_silent) {
            _ if self.finished => Tail::Last,
            true => Tail::Silent,
            false => Tail::Open,
        }
    }

    /// Runs what is left of a batch; says why if it stops before the end. Where the batch is all
    /// that is written, a last reply that is sent apart is no reason to stop.
    fn run_batch(
        &mut self,
        steps: &mut Steps,
        is_whole: bool,
        executor: &mut Executor,
        out: &mut Output,
    ) -> Option<RunEnd> {
        while let Some(&request) = steps.batch.requests().get(steps.done) {
            match self.run_request(steps, request, executor, out) {
                Ran::Stopped(end) => {
                    if end == RunEnd::Close {
                        steps.clear();
                    }
                    return Some(end);
                }
                ran => {
                    // From here on the command is not run again, even if its output waits.
                    steps.done += 1;
                    let is_last = is_whole && steps.done == steps.batch.requests().len();
                    if matches!(ran, Ran::Apart) && !is_last {
                        return Some(RunEnd::Turn);
                    }
                    if out.len() >= FLUSH_BYTES {
                        return Some(RunEnd::Flush);
                    }
                }
            }
        }
        None
    }

    /// Runs a request: its command, and those that follow from the replies.
    fn run_request(
        &mut self,
        steps: &mut Steps,
        request: Request,
        executor: &mut Executor,
        out: &mut Output,
    ) -> Ran {
        select(self, &request);
        steps.follow.clear();
        steps.reply.clear();
        let (args, notes) = (steps.batch.args(&request), steps.batch.notes(&request));
        let prepared = steps.prepared[steps.done];
        let outcome =
            executor.execute_prepared(&mut self.session, prepared, args, &mut steps.reply);
        if let Some(end) = put_off(outcome) {
            return Ran::Stopped(end);
        }
        let mut answer = self.codec.answer(&mut Exchange {
            request,
            client: &self.session.client,
            args,
            notes,
            reply: ReplyReader::new(&steps.reply),
            follow: &mut steps.follow,
            out,
        });
        while answer == Answer::Follow
            && let Some(&request) = steps.follow.requests().first()
        {
            // The codec may ask for another command, for which there must be room.
            let asked = std::mem::take(&mut steps.follow);
            let (args, notes) = (asked.args(&request), asked.notes(&request));
            select(self, &request);
            steps.reply.clear();
            let outcome = executor.execute(&mut self.session, args, &mut steps.reply);
            if let Some(end) = put_off(outcome) {
                return Ran::Stopped(end);
            }
            answer = self.codec.answer(&mut Exchange {
                request,
                client: &self.session.client,
                args,
                notes,
                reply: ReplyReader::new(&steps.reply),
                follow: &mut steps.follow,
                out,
            });
        }
        let ends = self.session.close || self.session.client.is_killed();
        match answer {
            _ if ends => Ran::Stopped(RunEnd::Close),
            Answer::Done => Ran::Done,
            Answer::Apart => Ran::Apart,
            Answer::Again => Ran::Stopped(RunEnd::Turn),
            Answer::Close | Answer::Follow => Ran::Stopped(RunEnd::Close),
        }
    }

    /// Has what is left of the input count as whole when nothing follows for so long.
    fn await_silence(&mut self, for_ms: u64, executor: &Executor) -> RunEnd {
        let now_ms = executor.now_us() / 1000;
        self.silence_ms = Some(now_ms + for_ms);
        RunEnd::Incomplete(0)
    }
}

/// Runs what the codec of a connection that has ended leaves to be done. A stripe that stays taken
/// leaves it undone.
pub(super) fn run_farewell(connection: &mut Connection, executor: &mut Executor) {
    let (mut batch, mut reply) = (CommandBatch::default(), Output::new());
    connection.codec.farewell(&mut batch);
    for request in batch.requests() {
        select(connection, request);
        for _ in 0..FAREWELL_TRIES {
            reply.clear();
            let args = batch.args(request);
            let outcome = executor.execute(&mut connection.session, args, &mut reply);
            if outcome == Outcome::Done {
                break;
            }
        }
    }
}

/// Why a command has not run, if it has not.
#[inline]
fn put_off(outcome: Outcome) -> Option<RunEnd> {
    match outcome {
        // The commands of codecs do not block.
        Outcome::Done | Outcome::Blocked(_) => None,
        Outcome::Busy | Outcome::LogFull => Some(RunEnd::Busy),
        Outcome::Begun => Some(RunEnd::Turn),
        Outcome::Paused(until_ms) => Some(RunEnd::Paused(until_ms)),
    }
}
