//! Connections whose clients are blocked on keys.
//!
//! The command has run, and its call stands in the lines of its keys; the connection receives, and
//! runs nothing until the wait has ended. The reply comes by mail from whoever serves the client;
//! without one the wait ends here, when its time is up, somebody has ended it, or the client goes.

use kvik::Ending;
use kvik_resp::Output;

use super::connection::{Connection, RunEnd, State};
use super::service::{Fate, Service};

impl Service {
    /// Goes on with a connection that has moved here: with what it has received, unless its client
    /// is blocked.
    pub(super) fn resume(&mut self, connection: &mut Connection) -> Fate {
        let Some(call) = &connection.session.blocked else {
            return self.run(connection);
        };
        let ending = call.ending();
        self.set_state(connection, State::Blocked);
        match ending {
            _ if connection.answer.is_some() => self.unblock(connection),
            None | Some(Ending::Served) => {
                self.receive(connection, 0);
                Fate::Stays
            }
            // It has ended on the way.
            Some(ending) => self.end_wait(connection, ending),
        }
    }

    /// Goes on with a client whose reply has come.
    pub(super) fn unblock(&mut self, connection: &mut Connection) -> Fate {
        let Some(answer) = connection.answer.take() else {
            return Fate::Stays;
        };
        let (mut out, lsn) = (self.driver.buffer(), answer.lsn);
        let session = &mut connection.session;
        self.executor.answer_wait(session, answer, &mut out);
        self.go_on(connection, out, lsn)
    }

    /// Ends the wait of a blocked client, unless its reply is on the way.
    pub(super) fn end_wait(&mut self, connection: &mut Connection, ending: Ending) -> Fate {
        let mut out = self.driver.buffer();
        let session = &mut connection.session;
        if !self.executor.end_wait(session, ending, &mut out) {
            // It was served, or has looked in vain and will again.
            if let Some(call) = &session.blocked
                && call.ending().is_none()
            {
                let alarm_ms = call.alarm_ms();
                connection.wait_ends_ms = self.steady_at(alarm_ms).saturating_add(1);
                self.set_state(connection, State::Blocked);
            }
            return Fate::Stays;
        }
        self.go_on(connection, out, 0)
    }

    /// Sends the reply of a client that was blocked and the pushes that came with it, and runs what
    /// it has sent meanwhile.
    fn go_on(&mut self, connection: &mut Connection, out: Output, lsn: u64) -> Fate {
        let is_synchronous = || self.db.log().is_some_and(|log| log.is_synchronous());
        let lsn = if lsn > 0 && is_synchronous() { lsn } else { 0 };
        let clogged = self.send(connection, out, lsn);
        self.write_pushes(connection);
        connection.note_activity(self.now_ms());
        if connection.input.len() > 0 {
            return self.run(connection);
        }
        let unsent = self.note_output(connection);
        self.after_run(connection, RunEnd::Incomplete(0), clogged);
        self.check_after_run(connection, unsent)
    }

    /// Closes a connection whose client may be blocked, without an answer to that.
    pub(super) fn leave_unanswered(&mut self, connection: &mut Connection) {
        let (session, ending) = (&mut connection.session, Ending::Gone);
        self.executor.end_wait(session, ending, &mut Output::new());
        self.close_when_sent(connection);
    }
}
