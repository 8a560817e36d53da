//! Repeats the effects of a log on several threads.
//!
//! The calling thread reads the log and hands each effect to a lane, a thread that alone repeats
//! effects on its share of the stripes. Effects on one key thus stay in order, and no two lanes
//! meet on a stripe. An effect on keys of several lanes, or on a whole database, waits until all
//! lanes are done and is repeated by the calling thread. That a unit is all or nothing needs no
//! care here: nobody looks at the store while it is loaded, and the reader gives whole units.
//!
//! An effect costs the calling thread its parsing and a copy of its words, and a lane what a
//! command of a pipeline costs.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::Scope;

use kvik_command::declare::Locking;
use kvik_command::{Session, client::Origin};
use kvik_resp::{Args, Output, Span};
use parking_lot::Mutex;

use crate::executor::{Executor, Outcome, Prepared};
use crate::shared::Shared;
use crate::stripes::Patience;

/// A batch goes to its lane when it has so many effects or bytes.
const BATCH_EFFECTS: usize = 512;
const BATCH_BYTES: usize = 128 << 10;
/// Batches that may wait for a lane; beyond, the reader waits.
const WAITING_BATCHES: usize = 8;
/// Effects whose keys are fetched from memory before the first of them runs.
const FETCHED: usize = 32;

/// An effect that cannot be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unrepeatable {
    /// Where its unit begins in its file.
    pub(crate) offset: u64,
    /// The reply, or why there is none.
    pub(crate) reason: String,
}

impl std::fmt::Display for Unrepeatable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at offset {}", self.reason, self.offset)
    }
}

/// Repeats effects in order of keys.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    /// Repeats what concerns several lanes.
    own: Worker,
    failure: Failure,
}

/// The first effect that could not be repeated, of all lanes.
type Failure = Arc<Mutex<Option<Unrepeatable>>>;

/// One thread's share, as the reader sees it.
struct Lane {
    sender: SyncSender<Message>,
    /// Bundles that are done, to be filled again.
    emptied: Receiver<Bundle>,
    batch: Bundle,
}

enum Message {
    Repeat(Bundle),
    /// Answer when all before it is done.
    Drain(SyncSender<()>),
}

/// Effects on their way to a lane.
#[derive(Default)]
struct Bundle {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    effects: Vec<Queued>,
}

/// An effect in a batch.
#[derive(Clone, Copy)]
struct Queued {
    prepared: Prepared,
    database: u32,
    /// Where its words begin among the bytes, and their spans among the spans.
    bytes: usize,
    spans: (usize, usize),
    offset: u64,
}

impl Lanes {
    /// Starts so many threads, which end with the scope after the lanes are dropped. Without any
    /// the calling thread repeats all effects.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        shared: &Arc<Shared>,
        count: usize,
    ) -> Self {
        let failure = Failure::default();
        let lanes = (0..count).map(|_| {
            let (sender, receiver) = sync_channel(WAITING_BATCHES);
            let (done, emptied) = channel();
            let mut worker = Worker::new(shared, &failure);
            scope.spawn(move || {
                for message in receiver {
                    match message {
                        Message::Repeat(batch) => {
                            worker.repeat(&batch);
                            // The reader may be gone; then nobody needs the batch.
                            let _ = done.send(batch);
                        }
                        Message::Drain(answer) => {
                            let _ = answer.send(());
                        }
                    }
                }
            });
            Lane {
                sender,
                emptied,
                batch: Bundle::default(),
            }
        });
        Self {
            lanes: lanes.collect(),
            own: Worker::new(shared, &failure),
            failure,
        }
    }

    /// Takes an effect, of a unit that begins at `offset` of its file.
    ///
    /// # Errors
    /// If an earlier effect could not be repeated.
    pub(crate) fn take(
        &mut self,
        database: u32,
        effect: Args<'_>,
        offset: u64,
    ) -> Result<(), Unrepeatable> {
        let prepared = self.own.executor.prepare(effect);
        if prepared.command().is_none() && !effect.is_empty() {
            return Err(unknown(&effect[0], offset));
        }
        match self.lane_of(&prepared, effect) {
            Some(at) => {
                let lane = &mut self.lanes[at];
                lane.batch.push(database, prepared, effect, offset);
                if lane.batch.is_full() {
                    lane.send();
                    return self.check();
                }
                Ok(())
            }
            None => {
                self.drain();
                self.own.executor.refresh();
                self.own.select(database);
                self.own.run(prepared, effect, offset);
                self.check()
            }
        }
    }

    /// Waits until everything taken so far has been repeated.
    ///
    /// # Errors
    /// The first effect that could not be.
    pub(crate) fn finish(&mut self) -> Result<(), Unrepeatable> {
        self.drain();
        self.check()
    }

    fn check(&self) -> Result<(), Unrepeatable> {
        self.failure.lock().clone().map_or(Ok(()), Err)
    }

    /// The lane that all keys of an effect belong to.
    fn lane_of(&self, prepared: &Prepared, effect: Args<'_>) -> Option<usize> {
        let (layout, count) = (&self.own.executor.shared.stripes.layout, self.lanes.len());
        let lane = |hash| layout.stripe_of(hash) % count;
        let command = prepared.command()?;
        if count == 0 || command.locking_of(effect) != Locking::Keys {
            return None;
        }
        if let Some((_, hash)) = prepared.hash() {
            return Some(lane(hash));
        }
        let mut found = None;
        let mut is_one = true;
        let visit = |at: usize, _| {
            let this = lane(layout.hash(&effect[at]));
            is_one &= *found.get_or_insert(this) == this;
        };
        let known = command.for_each_key(effect, visit).is_ok();
        found.filter(|_| is_one && known)
    }

    fn drain(&mut self) {
        let answers = self.lanes.iter_mut().map(|lane| {
            lane.send();
            let (answer, answered) = sync_channel(1);
            // A lane ends only after the sender is dropped, or by a panic that its scope passes on.
            let _ = lane.sender.send(Message::Drain(answer));
            answered
        });
        // All are asked before the first is waited for.
        let answers: Vec<_> = answers.collect();
        for answered in answers {
            let _ = answered.recv();
        }
    }
}

/// The failure of a command that there is not, in Redis' words.
#[cold]
fn unknown(name: &[u8], offset: u64) -> Unrepeatable {
    let name = name.escape_ascii();
    let reason = format!("Unknown command '{name}' reading the append only file");
    Unrepeatable { offset, reason }
}

impl Lane {
    fn send(&mut self) {
        if self.batch.effects.is_empty() {
            return;
        }
        let mut next = self.emptied.try_recv().unwrap_or_default();
        next.clear();
        let full = std::mem::replace(&mut self.batch, next);
        // See `Lanes::drain`.
        let _ = self.sender.send(Message::Repeat(full));
    }
}

impl Bundle {
    fn push(&mut self, database: u32, prepared: Prepared, effect: Args<'_>, offset: u64) {
        let (bytes, first) = (self.bytes.len(), self.spans.len());
        for word in effect.iter() {
            self.spans.push(Span {
                start: (self.bytes.len() - bytes) as u32,
                len: word.len() as u32,
            });
            self.bytes.extend_from_slice(word);
        }
        self.effects.push(Queued {
            prepared,
            database,
            bytes,
            spans: (first, self.spans.len()),
            offset,
        });
    }

    fn is_full(&self) -> bool {
        self.effects.len() >= BATCH_EFFECTS || self.bytes.len() >= BATCH_BYTES
    }

    fn clear(&mut self) {
        // What one huge value has taken is given back.
        if self.bytes.capacity() > 8 * BATCH_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.spans.clear();
        self.effects.clear();
    }

    fn args(&self, effect: &Queued) -> Args<'_> {
        let spans = &self.spans[effect.spans.0..effect.spans.1];
        Args::new(&self.bytes[effect.bytes..], spans)
    }
}

/// Repeats effects on one thread.
struct Worker {
    executor: Executor,
    session: Session,
    out: Output,
    failure: Failure,
}

impl Worker {
    fn new(shared: &Arc<Shared>, failure: &Failure) -> Self {
        let mut session = shared.session(Origin::embedded());
        session.authenticated = true;
        session.internal = true;
        session.may_block = false;
        Self {
            executor: Executor::new(Arc::clone(shared), Patience::Wait).repeating(),
            session,
            out: Output::new(),
            failure: Arc::clone(failure),
        }
    }

    fn select(&mut self, database: u32) {
        if self.session.db != database {
            self.session.select(database);
        }
    }

    fn repeat(&mut self, batch: &Bundle) {
        for effects in batch.effects.chunks(FETCHED) {
            self.executor.refresh();
            self.select(effects[0].database);
            let prepared = effects.iter().map(|effect| effect.prepared);
            self.executor.prefetch(&self.session, prepared);
            for effect in effects {
                self.select(effect.database);
                self.run(effect.prepared, batch.args(effect), effect.offset);
            }
            self.executor.finish_pipeline(&self.session);
        }
    }

    fn run(&mut self, prepared: Prepared, effect: Args<'_>, offset: u64) {
        self.out.clear();
        loop {
            let outcome =
                self.executor
                    .execute_prepared(&mut self.session, prepared, effect, &mut self.out);
            match outcome {
                // A log holds no command that waits; this session may not.
                Outcome::Done | Outcome::Blocked(_) => break,
                // What is done beforehand in slices is gone on with at once: there is nobody else.
                Outcome::Begun | Outcome::Busy => self.executor.refresh(),
                Outcome::Paused(_) | Outcome::LogFull => std::thread::yield_now(),
            }
        }
        if self.out.first() == Some(b'-') && !self.failed_before(prepared, effect) {
            self.fail(offset);
        }
    }

    /// Whether an effect is a script that can run. Logs of old versions of Redis have scripts
    /// instead of what they do, also those that failed after they had changed something.
    #[cold]
    fn failed_before(&mut self, prepared: Prepared, effect: Args<'_>) -> bool {
        let command = prepared.command();
        let is_script = command.is_some_and(|it| it.locking() == Locking::Script);
        is_script && self.executor.has_script(&self.session, &prepared, effect)
    }

    /// Notes an error reply, unless there is an earlier one.
    #[cold]
    fn fail(&mut self, offset: u64) {
        let reply = std::mem::take(&mut self.out).into_bytes();
        let reason = String::from_utf8_lossy(&reply);
        let reason = reason.trim_start_matches('-').trim_end().to_owned();
        let mut failure = self.failure.lock();
        failure.get_or_insert(Unrepeatable { offset, reason });
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.executor.end(&mut self.session);
    }
}
