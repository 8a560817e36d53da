//! Append-only files: units of commands, perhaps behind a snapshot.

use std::collections::HashSet;
use std::io::SeekFrom;
use std::path::Path;

use kvik_command::declare::table;
use kvik_log::{DiskReader, ReadError, ReadUnit, UnitReader};

use super::report::count;
use super::servers::{Servers, is_dated};
use super::{Check, FileKind, kind, rdb};

/// How a file of a log ends.
#[derive(Debug)]
pub(super) struct LogEnd {
    /// Length of the file.
    pub(super) len: u64,
    /// The end of its last whole unit.
    pub(super) valid: u64,
    /// Why the file does not end there; none if it does.
    pub(super) fault: Option<LogFault>,
    /// Who can load it.
    pub(super) servers: Servers,
}

/// Why a file does not end with a whole unit.
#[derive(Debug)]
pub(super) struct LogFault {
    pub(super) reason: String,
    /// Whether cutting the file at its last whole unit mends it: it is not, where the damage lies
    /// in a snapshot, or where the commands are whole and no server can run them.
    pub(super) can_cut: bool,
}

/// Units that were read, and figures about them.
#[derive(Default)]
struct Units {
    count: u64,
    commands: u64,
    first_s: Option<u64>,
    last_s: Option<u64>,
    servers: Servers,
    /// Commands whose servers are known, each with whether it sets an absolute time.
    known: HashSet<(u16, bool)>,
}

impl Check<'_> {
    /// Reads a file of commands or a snapshot, or both, and reports what it holds. None if it could
    /// not be read, which is reported as well.
    pub(super) fn log_file(&mut self, path: &Path) -> Option<LogEnd> {
        let opened = self
            .disk
            .len(path)
            .and_then(|len| Ok((len, self.disk.read(path)?)));
        let opened = opened.and_then(|(len, source)| Ok((len, source, kind(self.disk, path)?)));
        let (len, mut source, kind) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.report.damage(path, &error.to_string());
                return None;
            }
        };
        let (mut end, mut commands_at) = (LogEnd::new(len), 0);
        if kind == FileKind::Rdb {
            match rdb::read(&mut *source) {
                Ok(snapshot) => {
                    self.report.sound(path, &snapshot.summary());
                    for detail in snapshot.details() {
                        self.report.detail(&detail);
                    }
                    commands_at = snapshot.bytes;
                    end.servers.and(&snapshot.servers);
                }
                Err(fault) => {
                    end.fault = Some(LogFault::incurable(fault.to_string()));
                    return Some(end);
                }
            }
        }
        if kind != FileKind::Rdb || commands_at < len {
            self.commands(path, &mut *source, commands_at, &mut end);
        } else {
            end.valid = len;
        }
        Some(end)
    }

    /// Reads the commands of a file from an offset on.
    fn commands(&mut self, path: &Path, source: &mut dyn DiskReader, at: u64, end: &mut LogEnd) {
        if let Err(error) = source.seek(SeekFrom::Start(at)) {
            end.fault = Some(LogFault::incurable(error.to_string()));
            return;
        }
        // Each file begins with database 0.
        let mut reader = UnitReader::new(source, at, 0);
        let mut units = Units::default();
        end.fault = loop {
            match reader.next_unit() {
                Ok(None) => break None,
                Ok(Some(unit)) => {
                    if let Err(reason) = units.add(unit) {
                        break Some(LogFault::incurable(reason));
                    }
                }
                Err(error) => {
                    let can_cut = matches!(error, ReadError::Torn | ReadError::Corrupt { .. });
                    let reason = error.to_string();
                    break Some(LogFault { reason, can_cut });
                }
            }
        };
        end.valid = reader.valid();
        self.report.sound(path, &units.summary(end.valid - at));
        end.servers.and(&units.servers);
    }

    /// Reports how a file ends, and cuts it if it ends badly and may be cut.
    pub(super) fn settle(&mut self, path: &Path, end: Option<LogEnd>) {
        let Some(end) = end else { return };
        let Some(fault) = &end.fault else {
            return self.report.detail(&end.servers.text());
        };
        let (valid, dropped) = (end.valid, end.len - end.valid);
        if !fault.can_cut {
            return self.report.damage(path, &fault.reason);
        }
        let Some(_locks) = self.keep_out(path) else {
            let reason = &fault.reason;
            return self.report.detail(&format!(
                "{reason}; a server has the directory open and may be writing there"
            ));
        };
        if !self.repairs {
            let reason = &fault.reason;
            self.report.damage(
                path,
                &format!(
                    "{reason}; the last whole unit ends at offset {valid}, {dropped} bytes before \
                     the end (--repair cuts the file there)"
                ),
            );
            return;
        }
        match self.cut(path, valid) {
            Ok(kept_in) => self.report.repaired(
                path,
                &format!("cut at offset {valid}; the {dropped} bytes behind it are in {kept_in}"),
            ),
            Err(error) => self.report.damage(path, &format!("cannot be cut: {error}")),
        }
    }
}

impl LogEnd {
    fn new(len: u64) -> Self {
        Self {
            len,
            valid: 0,
            fault: None,
            servers: Servers::default(),
        }
    }
}

impl LogFault {
    fn incurable(reason: String) -> Self {
        Self {
            reason,
            can_cut: false,
        }
    }
}

impl Units {
    /// Counts a unit. An error names a command that no server can run.
    fn add(&mut self, unit: ReadUnit<'_>) -> Result<(), String> {
        self.count += 1;
        self.first_s = self.first_s.or(unit.time_s);
        self.last_s = unit.time_s.or(self.last_s);
        for (_, words) in unit.effects() {
            self.commands += 1;
            let name = words.get(0).unwrap_or_default();
            let fault = match table().find(name) {
                None => "unknown command",
                Some(command) if !command.accepts(words.len()) => "wrong number of arguments for",
                Some(command) => {
                    // A log has millions of commands, and few kinds of them.
                    if self.known.insert((command.id(), is_dated(words))) {
                        self.servers.need_command(words);
                    }
                    continue;
                }
            };
            let (name, start) = (name.escape_ascii(), unit.start);
            return Err(format!("{fault} '{name}', in the unit at offset {start}"));
        }
        Ok(())
    }

    fn summary(&self, bytes: u64) -> String {
        let (units, commands) = (count(self.count, "unit"), count(self.commands, "command"));
        let mut text = format!("{commands} in {units}, {}", count(bytes, "byte"));
        if let Some((first, last)) = self.first_s.zip(self.last_s) {
            text += &format!(", from {} to {}", utc(first), utc(last));
        }
        text
    }
}

/// Seconds since 1970 as `2026-01-31T12:00:00Z`.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

/// Year, month and day of a day since 1970: Howard Hinnant's `civil_from_days`.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the leap day is the last one of a year; an era is 400
    // years, after which the calendar repeats.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days.min(day_of_era)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 153 days in five.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year_of_era + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
