//! When an I/O thread looks at a connection although nothing happens to it.
//!
//! Each connection has at most one alarm, for the earliest of all that it waits for: the end of a
//! pause, the end of its idle time, the end of the time in which it may leave replies unread. What
//! is due when the alarm rings is decided then, so a deadline that moves on leaves the alarm where
//! it is: a busy client costs one alarm per timeout and nothing per command.
//!
//! Times are steady: setting the machine's clock moves no alarm.
//!
//! Setting, moving and taking an alarm back cost O(log n); those that are not due cost nothing.

use std::collections::BTreeSet;

use crate::net::ConnId;

/// The alarms of one thread, earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    alarms: BTreeSet<(u64, ConnId)>,
}

/// When the alarm of a connection rings, in steady milliseconds, if it is set.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<u64>);

impl Timers {
    /// Sets the alarm of a connection, unless it rings earlier anyway.
    #[inline]
    pub(super) fn set(&mut self, id: ConnId, alarm: &mut Alarm, due_ms: u64) {
        if alarm.0.is_none_or(|set_ms| due_ms < set_ms) {
            self.cancel(id, alarm);
            self.alarms.insert((due_ms, id));
            alarm.0 = Some(due_ms);
        }
    }

    /// Takes the alarm of a connection back.
    pub(super) fn cancel(&mut self, id: ConnId, alarm: &mut Alarm) {
        if let Some(set_ms) = alarm.0.take() {
            self.alarms.remove(&(set_ms, id));
        }
    }

    /// When the next alarm rings.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.alarms.first().map(|(due_ms, _)| *due_ms)
    }

    /// Takes the connections out whose alarms ring by now. Each is to be told
    /// [`Alarm::has_rung`].
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<ConnId> {
        if self.next_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return Vec::new();
        }
        let later = match now_ms.checked_add(1) {
            Some(next_ms) => self.alarms.split_off(&(next_ms, ConnId::FIRST)),
            None => BTreeSet::new(),
        };
        let due = std::mem::replace(&mut self.alarms, later);
        due.into_iter().map(|(_, id)| id).collect()
    }
}

impl Alarm {
    /// The alarm is not set any more: [`Timers::take_due`] has reported it.
    pub(super) fn has_rung(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> ConnId {
        ConnId::of_index(slot)
    }

    #[test]
    fn alarms_ring_once_and_in_order() {
        let mut timers = Timers::default();
        let mut alarms = [Alarm::default(), Alarm::default(), Alarm::default()];
        for (slot, due_ms) in [30, 10, 20].into_iter().enumerate() {
            timers.set(id(slot as u32), &mut alarms[slot], due_ms);
        }
        assert_eq!(timers.next_ms(), Some(10));
        assert_eq!(timers.take_due(9), []);
        assert_eq!(timers.take_due(20), [id(1), id(2)]);
        assert_eq!(timers.take_due(20), []);
        assert_eq!(timers.take_due(u64::MAX), [id(0)]);
        assert_eq!(timers.next_ms(), None);
    }

    #[test]
    fn a_connection_has_one_alarm_the_earliest() {
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.set(id(7), &mut alarm, 50);
        timers.set(id(7), &mut alarm, 80);
        assert_eq!(timers.next_ms(), Some(50));
        timers.set(id(7), &mut alarm, 40);
        assert_eq!(timers.take_due(100), [id(7)]);
        alarm.has_rung();
        timers.set(id(7), &mut alarm, 80);
        assert_eq!(timers.next_ms(), Some(80));
        timers.cancel(id(7), &mut alarm);
        assert_eq!(timers.take_due(u64::MAX), []);
    }
}
