//! Long replies whose clients get them while they are written.
//!
//! The parts wait in the command's [`Away`] for the thread that serves the client, which takes them
//! when the client has read what it was sent before. While too much waits there, so does the
//! command. It holds no stripe then, but its keys are pinned: when somebody else has waited for
//! them for some time, the rest of the reply is written to memory, and the keys are let go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kvik_command::Session;
use kvik_command::client::Client;
use kvik_command::mail::Message;
use kvik_command::script::Away;
use kvik_command::streaming::ReplySink;
use kvik_log::Lsn;
use kvik_resp::Output;
use kvik_store::PinId;

use crate::pins::Awaited;
use crate::shared::Shared;

/// Bytes of a reply that may wait for the thread of their client.
const AHEAD_BYTES: usize = 1 << 20;
/// How long to wait for a reader before looking again who waits for the keys.
const MOMENT: Duration = Duration::from_millis(10);
/// How long whoever needs all stripes waits for a slow reader, in milliseconds.
const PATIENCE_OF_ALL_MS: u64 = 100;

/// The reply of a long command that its client reads while it is written.
pub(super) struct StreamedReply {
    shared: Arc<Shared>,
    client: Arc<Client>,
    away: Arc<Away>,
    /// The unit that has pinned the keys.
    id: PinId,
    /// How far the log has to be on disk before a part is told.
    lsn: Lsn,
    /// Since when somebody has been waiting for the keys, in steady milliseconds.
    awaited_since_ms: Option<u64>,
    /// It waits for its reader no more.
    is_hurried: bool,
    has_told: bool,
}

impl StreamedReply {
    /// The sink for the reply of a command of a session, if it runs for another one.
    pub(super) fn of(
        shared: &Arc<Shared>,
        session: &Session,
        id: PinId,
        lsn: Lsn,
    ) -> Option<Box<dyn ReplySink>> {
        let away = session.errand.as_ref()?;
        Some(Box::new(Self {
            shared: Arc::clone(shared),
            client: Arc::clone(&session.client),
            away: Arc::clone(away),
            id,
            lsn,
            awaited_since_ms: None,
            is_hurried: false,
            has_told: false,
        }))
    }

    /// Whether others have waited for long enough.
    fn must_hurry(&mut self) -> bool {
        if self.shared.script_threads.is_short() {
            return true;
        }
        let now_ms = self.shared.now_ms();
        let patience_ms = match self.shared.stripes.pins.awaited(self.id, now_ms) {
            Awaited::Nobody => {
                self.awaited_since_ms = None;
                return false;
            }
            Awaited::Few => self.shared.engine.settings.slow_reader_ms.load(Relaxed),
            Awaited::All => PATIENCE_OF_ALL_MS,
        };
        let since_ms = *self.awaited_since_ms.get_or_insert(now_ms);
        now_ms.saturating_sub(since_ms) >= patience_ms
    }
}

impl std::fmt::Debug for StreamedReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamedReply")
            .field("id", &self.id)
            .field("has_told", &self.has_told)
            .finish_non_exhaustive()
    }
}

impl ReplySink for StreamedReply {
    fn tell(&mut self, part: Output) {
        self.has_told = true;
        if self.away.arrive_part(part, self.lsn.get()) {
            self.client.deliver(Message::Retry);
        }
        while !self.is_hurried
            && !self.away.wait_for_room(AHEAD_BYTES, MOMENT)
            && !self.away.is_abandoned()
            && !self.client.is_killed()
        {
            self.is_hurried = self.must_hurry();
        }
    }

    fn has_told(&self) -> bool {
        self.has_told
    }
}
