//! Commands of one client that were parsed and looked up before the first of them runs.
//!
//! Running them stays strictly in order. Knowing the next ones early lets the store fetch from
//! memory what they will touch while the first is at work. One pipeline serves all connections of a
//! thread: it is filled and run in one go, and what is not run is parsed again.

use kvik::{Executor, Prepared};
use kvik_resp::{Args, LargeArg, Limits, Parsed, ProtocolError, RequestParser, Span};

/// Most commands that are parsed ahead.
const AHEAD: usize = 32;

/// Longest request that may be timed together with others.
const QUICK_BYTES: usize = 4096;

/// The commands of one received batch, parsed ahead, in the order in which they run.
#[derive(Default)]
pub(super) struct Pipeline {
    steps: Vec<Step>,
    spans: Vec<Span>,
}

/// One command.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) prepared: Prepared,
    /// Where it begins in the input, and its bytes there.
    start: usize,
    pub(super) len: usize,
    /// Its words among the spans; none for a line of text, whose words are with the parser.
    spans: (usize, usize),
    inline: bool,
}

/// Why no more was parsed ahead.
pub(super) enum End {
    /// There may be more.
    Full,
    /// No whole command follows; the next one needs so many bytes more, 0 if unknown.
    Incomplete(usize),
    /// The next bytes are no command.
    Malformed(ProtocolError),
}

impl Pipeline {
    /// Replaces what is there by the commands at the start of `input`. Of the first of them, large
    /// arguments may have been received apart.
    pub(super) fn fill(
        &mut self,
        parser: &mut RequestParser,
        input: &[u8],
        large: &[LargeArg],
        limits: &Limits,
        executor: &mut Executor,
    ) -> End {
        self.steps.clear();
        self.spans.clear();
        // Authenticating changes the limits of what follows.
        let ahead = if limits.unauthenticated { 1 } else { AHEAD };
        let mut start = 0;
        while self.steps.len() < ahead {
            let first = self.spans.len();
            let rest = &input[start..];
            let large = if start == 0 { large } else { &[] };
            let parsed = parser.parse_with(rest, large, limits, &mut self.spans);
            let (args, len, inline) = match parsed {
                Ok(Parsed::Command { consumed }) => {
                    let args = Args::with_large(rest, &self.spans[first..], large);
                    (args, consumed, false)
                }
                Ok(Parsed::Inline { consumed }) => (parser.inline_args(), consumed, true),
                Ok(Parsed::Incomplete { needed }) => {
                    return End::Incomplete(needed.saturating_sub(rest.len()));
                }
                Err(error) => return End::Malformed(error),
            };
            let mut prepared = executor.prepare(args);
            if let Some(before) = self.steps.last_mut()
                && before.len.max(len) <= QUICK_BYTES
            {
                before.prepared.join(&mut prepared);
            }
            self.steps.push(Step {
                prepared,
                start,
                len,
                spans: (first, self.spans.len()),
                inline,
            });
            start += len;
            if inline {
                break;
            }
        }
        End::Full
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The words of a command, given what the pipeline was filled from.
    #[inline]
    pub(super) fn args<'a>(
        &'a self,
        step: &Step,
        input: &'a [u8],
        large: &'a [LargeArg],
        parser: &'a RequestParser,
    ) -> Args<'a> {
        if step.inline {
            parser.inline_args()
        } else {
            let spans = &self.spans[step.spans.0..step.spans.1];
            Args::with_large(&input[step.start..], spans, large)
        }
    }
}
