//! One client's connection: its bytes, its session, and why it may be waiting.
//!
//! [`Connection::run`] is the way from received bytes to replies: parse ahead, fetch what the
//! commands will look up, run them one by one. It knows nothing of sockets; [`super::service`]
//! feeds it and sends what it wrote.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use kvik::{Answer, Executor, Outcome, Push, Session};
use kvik_command::blocking::NEVER_MS;
use kvik_resp::{Args, LargeArg, Limits, Output, ProtocolError, Reply, RequestParser};
use kvik_rope::IncomingRope;

use super::held::Held;
use super::input::Input;
use super::mail::Letterbox;
use super::pipeline::{End, Pipeline};
use super::steps::Steps;
use super::timers::Alarm;
use crate::codec::Codec;
use crate::net::ConnId;
use crate::warning::RateLimitedWarning;

/// Commands run for one connection before others get their turn.
pub(super) const TURN: usize = 1024;
/// Reply bytes gathered before they are handed to the driver although more commands are there to
/// run.
pub(super) const FLUSH_BYTES: usize = 64 << 10;

/// Input that may wait for a client that has not authenticated; more than its largest command.
const UNAUTHENTICATED_INPUT: usize = 1 << 20;

/// Channels that move with a connection to another thread: their publishers wait meanwhile.
const MOVABLE_SUBSCRIPTIONS: usize = 1024;

static HTTP: RateLimitedWarning = RateLimitedWarning::new();
const HTTP_TEXT: &str =
    "closed a connection that speaks HTTP: a web page may be trying to reach this server";

/// Owned by the thread that serves it; it moves to another one whole.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) session: Session,
    /// Messages from elsewhere.
    pub(super) letterbox: Arc<Letterbox>,
    pub(super) codec: Codec,
    /// RESP's part of the codec.
    parser: RequestParser,
    /// Commands that the codec has made and that wait.
    pub(super) steps: Steps,
    pub(super) input: Input,
    /// When what is left of the input counts as whole, in milliseconds since the epoch.
    pub(super) silence_ms: Option<u64>,
    /// It does so now.
    pub(super) is_silent: bool,
    /// Pushes to be written between two replies.
    pub(super) pushes: VecDeque<Push>,
    /// The reply that has come for a blocked client.
    pub(super) answer: Option<Answer>,
    /// The messages that it has been given of the batch in progress.
    pub(super) news: News,
    /// Output that waits for the log.
    pub(super) held: Held,
    /// The driver holds a buffer and may receive.
    pub(super) receiving: bool,
    pub(super) state: State,
    /// The thread it is to move to.
    pub(super) destination: Option<usize>,
    /// The peer sends no more: close once everything is answered.
    pub(super) finished: bool,
    /// Since when its unread output has been over the soft limit, in milliseconds since the epoch.
    pub(super) over_soft_limit_since: Option<u64>,
    /// When its thread looks at it although nothing happens.
    pub(super) alarm: Alarm,
    /// When the time of its blocked client is up, in steady milliseconds.
    pub(super) wait_ends_ms: u64,
}

/// The messages of a batch that a connection has been given, to be sent when the batch ends.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) output: Output,
    /// How far the log must be durable before it may be sent.
    pub(super) lsn: u64,
}

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its client's next bytes.
    Reading,
    /// Its next turn: there is more to run, or a stripe was taken.
    Ready,
    /// The end of CLIENT PAUSE, in milliseconds since the epoch.
    Paused(u64),
    /// The reply to the command in which its client is blocked.
    Blocked,
    /// Its client to read replies; until then nothing runs.
    Clogged,
    /// The last bytes to be sent.
    Closing,
    /// The kernel to let go of it, so that another thread can serve it.
    Leaving,
}

/// Why a run over a connection's input ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// No whole command is left; the next one needs so many bytes more, 0 if unknown.
    Incomplete(usize),
    /// The reply buffer is worth sending.
    Flush,
    /// Others must have their turn.
    Turn,
    /// A stripe that the next command needs is taken.
    Busy,
    /// Clients are paused until then.
    Paused(u64),
    /// Its client is blocked until then.
    Blocked(u64),
    /// The session ends with the replies written so far.
    Close,
}

/// The parts of a thread that a run may use.
pub(super) struct Tools<'a> {
    pub(super) executor: &'a mut Executor,
    pub(super) pipeline: &'a mut Pipeline,
    pub(super) steps: &'a mut Steps,
    /// For clients that have authenticated.
    pub(super) limits: Limits,
}

impl Connection {
    pub(super) fn new(
        id: ConnId,
        session: Session,
        letterbox: Arc<Letterbox>,
        codec: Codec,
    ) -> Self {
        Self {
            id,
            session,
            letterbox,
            codec,
            parser: RequestParser::new(),
            steps: Steps::default(),
            input: Input::default(),
            silence_ms: None,
            is_silent: false,
            pushes: VecDeque::new(),
            answer: None,
            news: News::default(),
            held: Held::default(),
            receiving: false,
            state: State::Reading,
            destination: None,
            finished: false,
            over_soft_limit_since: None,
            alarm: Alarm::default(),
            wait_ends_ms: NEVER_MS,
        }
    }

    /// Takes received bytes over from the driver: of a large argument if one was being received,
    /// and others behind it. Returns how many have come.
    pub(super) fn accept(&mut self, incoming: Option<IncomingRope>, input: Vec<u8>) -> usize {
        self.receiving = false;
        let grown = self.input.accept(input);
        grown + incoming.map_or(0, |incoming| self.input.accept_incoming(incoming))
    }

    /// Whether nothing of it is in flight once its replies are sent, so that it can move to another
    /// thread.
    pub(super) fn may_move(&self) -> bool {
        matches!(self.state, State::Reading | State::Blocked)
            && self.answer.is_none()
            && !self.finished
            && self.held.is_empty()
            && !self.input.is_incoming_lent()
            && self
                .session
                .subscriptions
                .as_ref()
                .is_none_or(|it| it.len() <= MOVABLE_SUBSCRIPTIONS)
    }

    /// Shows others how much of its input waits.
    pub(super) fn show_input(&self) {
        let (client, sizes) = (&self.session.client, self.input.sizes());
        client.input_bytes.store(sizes.unparsed, Relaxed);
        client
            .input_capacity
            .store(sizes.unparsed + sizes.free, Relaxed);
        client.argument_bytes.store(sizes.parsed, Relaxed);
    }

    /// Counts bytes that have come, or that are on their way to the client.
    #[inline]
    pub(super) fn count_bytes(&self, received: usize, sent: usize) {
        let client = &self.session.client;
        // The serving thread alone counts, so this need not be one instruction.
        let add = |count: &AtomicU64, bytes| {
            count.store(count.load(Relaxed) + bytes as u64, Relaxed);
        };
        add(&client.bytes_in, received);
        add(&client.bytes_out, sent);
    }

    /// Whether its input holds what may count as whole although nothing follows.
    pub(super) fn has_rest(&self) -> bool {
        self.codec.keeps_rest() && !self.input.rest().is_empty()
    }

    /// How much input may wait, of what is allowed in general.
    pub(super) fn input_limit(&self, limit: usize) -> usize {
        if self.session.authenticated {
            limit
        } else {
            limit.min(UNAUTHENTICATED_INPUT)
        }
    }

    /// Has the argument that has not come whole received apart, if it is large.
    pub(super) fn set_apart(&mut self) {
        if let Some((at, len)) = self.parser.unfinished_argument() {
            self.input.set_apart(at, len);
            self.show_input();
        }
    }

    /// Its client has sent or read something.
    pub(super) fn note_activity(&self, now_ms: u64) {
        self.session.client.active_ms.store(now_ms, Relaxed);
    }

    /// Shows others how much output waits, in how many pieces.
    pub(super) fn show_unsent(&self, bytes: usize, outputs: usize) {
        let client = &self.session.client;
        client.output_bytes.store(bytes, Relaxed);
        client.outputs.store(outputs, Relaxed);
        if bytes > client.output_peak.load(Relaxed) {
            client.output_peak.store(bytes, Relaxed);
        }
    }

    /// Whether the client has read some of its output since this was last noted.
    pub(super) fn has_read(&self, unsent: usize) -> bool {
        unsent < self.session.client.output_bytes.load(Relaxed)
    }

    /// Runs commands from the input, in order, and appends their replies to `out`.
    pub(super) fn run(&mut self, tools: &mut Tools<'_>, out: &mut Output) -> RunEnd {
        let input = std::mem::take(&mut self.input);
        let mut consumed = 0;
        let undecided = match self.codec {
            Codec::Undecided(_) => self.decide(input.rest(), tools.executor),
            _ => None,
        };
        let end = match self.codec {
            _ if undecided.is_some() => undecided.unwrap_or(RunEnd::Close),
            Codec::Resp => self.run_input(tools, &input, &mut consumed, out),
            _ => self.run_steps(tools, input.rest(), &mut consumed, out),
        };
        self.input = input;
        self.input.consume(consumed);
        if !self.session.rings.is_empty() {
            self.session.rings.ring();
        }
        end
    }

    fn run_input(
        &mut self,
        tools: &mut Tools<'_>,
        input: &Input,
        consumed: &mut usize,
        out: &mut Output,
    ) -> RunEnd {
        let mut left = TURN;
        self.session.takes_parts = true;
        loop {
            let limits = self.limits(&tools.limits);
            let rest = &input.rest()[*consumed..];
            let large = if *consumed == 0 { input.large() } else { &[] };
            let filled =
                tools
                    .pipeline
                    .fill(&mut self.parser, rest, large, &limits, tools.executor);
            let end = self.run_pipeline(tools, rest, large, consumed, out);
            tools.executor.finish_pipeline(&self.session);
            if let Some(end) = end {
                // The commands behind the one that stopped the run will be parsed again.
                self.parser = RequestParser::new();
                return end;
            }
            match filled {
                End::Full => {}
                End::Incomplete(missing) => return RunEnd::Incomplete(missing),
                End::Malformed(error) => return self.refuse(error, out),
            }
            left = left.saturating_sub(tools.pipeline.len());
            if left == 0 {
                return RunEnd::Turn;
            }
        }
    }

    /// Runs the commands in the pipeline; says why if it stops before the end.
    fn run_pipeline(
        &mut self,
        tools: &mut Tools<'_>,
        input: &[u8],
        large: &[LargeArg],
        consumed: &mut usize,
        out: &mut Output,
    ) -> Option<RunEnd> {
        let steps = tools.pipeline.steps();
        if steps.len() > 1 {
            let commands = steps.iter().map(|step| step.prepared);
            tools.executor.prefetch(&self.session, commands);
        }
        for step in steps {
            let args = tools.pipeline.args(step, input, large, &self.parser);
            if !step.prepared.is_known() && is_http(args) {
                HTTP.warn(tools.executor.now_us() / 1000, HTTP_TEXT);
                return Some(RunEnd::Close);
            }
            let executor = &mut *tools.executor;
            match executor.execute_prepared(&mut self.session, step.prepared, args, out) {
                Outcome::Done => *consumed += step.len,
                Outcome::Busy | Outcome::LogFull => return Some(RunEnd::Busy),
                Outcome::Begun => return Some(RunEnd::Turn),
                Outcome::Paused(until_ms) => return Some(RunEnd::Paused(until_ms)),
                Outcome::Blocked(until_ms) => {
                    // It has run; only its reply is missing.
                    *consumed += step.len;
                    return Some(RunEnd::Blocked(until_ms));
                }
            }
            if self.session.close || self.session.client.is_killed() {
                return Some(RunEnd::Close);
            }
            if out.len() >= FLUSH_BYTES {
                return Some(RunEnd::Flush);
            }
        }
        None
    }

    fn limits(&self, configured: &Limits) -> Limits {
        if self.session.authenticated {
            *configured
        } else {
            Limits::unauthenticated()
        }
    }

    fn refuse(&self, error: ProtocolError, out: &mut Output) -> RunEnd {
        tracing::debug!(client = self.session.client.id, "{error}");
        let text = [b"ERR ", error.to_text().as_bytes()].concat();
        Reply::new(out, self.session.protocol).error_bytes(&text);
        RunEnd::Close
    }
}

/// A web page that makes a browser send requests here must get no further than its first line.
#[inline]
fn is_http(args: Args<'_>) -> bool {
    args.get(0).is_some_and(|word| {
        matches!(word.len(), 4 | 5)
            && (word.eq_ignore_ascii_case(b"POST") || word.eq_ignore_ascii_case(b"HOST:"))
    })
}
