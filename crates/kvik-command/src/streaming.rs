//! Long replies that are sent while they are written.
//!
//! A long command that only reads, on a thread of its own kind, hands over what it has written
//! between two slices. Whoever takes it decides when the command goes on: so a reply takes as much
//! memory as is on the way to its client, however slowly that reads. What has been handed over
//! cannot be taken back: a command that fails later ends its client's connection.

use kvik_resp::Output;

use crate::Ctx;

/// Bytes of a reply from which on they are handed over.
const PART_BYTES: usize = 64 << 10;

/// Where the parts of a long reply go.
pub trait ReplySink: std::fmt::Debug + Send {
    /// Takes the next part of the reply, and waits until its reader wants more.
    fn tell(&mut self, part: Output);

    /// Whether it has taken any.
    fn has_told(&self) -> bool;
}

impl Ctx<'_> {
    /// Hands over what has been written, if that is enough and the reply is streamed. For who needs
    /// no key; [`Self::breathe`] does it as well.
    pub(crate) fn tell_more(&mut self) {
        if self.session.sink.is_some() {
            self.tell_part();
        }
    }

    /// Hands over what has been written of a reply that is streamed.
    #[cold]
    pub(crate) fn tell_part(&mut self) {
        if self.reply.len() < PART_BYTES {
            return;
        }
        if let Some(sink) = &mut self.session.sink
            && let Some(part) = self.reply.take_written()
        {
            // A slow reader keeps nobody from the stripes.
            self.keys.rest();
            sink.tell(part);
        }
    }
}
