//! When a snapshot or a rewrite begins by itself. Times are milliseconds of a clock that never goes
//! back.

use kvik_command::persistence::SaveRule;

/// After a snapshot failed, the next one by rule is not tried earlier.
pub(super) const RETRY_MS: u64 = 5_000;
/// After so many failed rewrites in a row, the next one is put off: one minute, then twice that, up
/// to an hour.
const REWRITE_FAILURES: u64 = 3;
const REWRITE_PAUSE_MS: u64 = 60_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;

/// The figures that the rules about snapshots look at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SaveHistory {
    /// When the last snapshot was written, or the store opened.
    pub(super) saved_ms: u64,
    /// When the last one was tried.
    pub(super) tried_ms: u64,
    /// Whether that failed.
    pub(super) failed: bool,
    /// Changes since the last one.
    pub(super) changes: u64,
}

/// Whether a snapshot is due.
pub(super) fn wants_save(rules: &[SaveRule], history: &SaveHistory, now_ms: u64) -> bool {
    let after = |earlier: u64| now_ms.saturating_sub(earlier);
    let may_try = !history.failed || after(history.tried_ms) > RETRY_MS;
    let fits = |rule: &SaveRule| {
        history.changes >= rule.changes && after(history.saved_ms) > rule.seconds * 1000
    };
    may_try && rules.iter().any(fits)
}

/// The figures that the rule about rewrites looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth {
    /// Bytes of the log, now and after its last rewrite.
    pub(super) bytes: u64,
    pub(super) base_bytes: u64,
    /// `auto-aof-rewrite-percentage`; 0 is never.
    pub(super) percent: u64,
    /// `auto-aof-rewrite-min-size`.
    pub(super) min_bytes: u64,
    /// Rewrites that failed in a row, and when the last of them ended.
    pub(super) failures: u64,
    pub(super) failed_ms: u64,
}

/// Whether a rewrite is due.
pub(super) fn wants_rewrite(growth: &Growth, now_ms: u64) -> bool {
    if growth.percent == 0 || growth.bytes < growth.min_bytes {
        return false;
    }
    let base = growth.base_bytes.max(1);
    let grown = u128::from(growth.bytes.saturating_sub(base)) * 100 / u128::from(base);
    grown >= u128::from(growth.percent) && now_ms >= growth.failed_ms + pause_ms(growth.failures)
}

/// How long to wait after so many failures in a row.
fn pause_ms(failures: u64) -> u64 {
    match failures.checked_sub(REWRITE_FAILURES) {
        None => 0,
        Some(more) => {
            let doubled = REWRITE_PAUSE_MS.checked_shl(more.min(16) as u32);
            doubled.map_or(LONGEST_PAUSE_MS, |pause| pause.min(LONGEST_PAUSE_MS))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_rule_needs_both_changes_and_time() {
        let rules = [
            SaveRule {
                seconds: 60,
                changes: 100,
            },
            SaveRule {
                seconds: 3600,
                changes: 1,
            },
        ];
        let history = |changes| SaveHistory {
            changes,
            ..SaveHistory::default()
        };
        assert!(!wants_save(&rules, &history(99), 61_000));
        assert!(!wants_save(&rules, &history(100), 60_000));
        assert!(wants_save(&rules, &history(100), 60_001));
        assert!(wants_save(&rules, &history(1), 3_600_001));
        assert!(!wants_save(&rules, &history(0), 9_000_000));
        assert!(!wants_save(&[], &history(100), 9_000_000));
    }

    #[test]
    fn a_failed_save_is_tried_again_after_a_while() {
        let rules = [SaveRule {
            seconds: 1,
            changes: 1,
        }];
        let history = SaveHistory {
            failed: true,
            tried_ms: 10_000,
            changes: 5,
            saved_ms: 0,
        };
        assert!(!wants_save(&rules, &history, 15_000));
        assert!(wants_save(&rules, &history, 15_001));
    }

    #[test]
    fn growth_is_measured_from_the_last_rewrite() {
        let growth = Growth {
            percent: 100,
            min_bytes: 1000,
            base_bytes: 800,
            ..Growth::default()
        };
        let at = |bytes| wants_rewrite(&Growth { bytes, ..growth }, 0);
        assert!(!at(999) && !at(1599) && at(1600));
        assert!(!wants_rewrite(
            &Growth {
                percent: 0,
                bytes: 9999,
                ..growth
            },
            0
        ));
        assert!(wants_rewrite(
            &Growth {
                base_bytes: 0,
                bytes: 1000,
                ..growth
            },
            0
        ));
    }

    #[test]
    fn failures_put_the_next_rewrite_off() {
        let growth = |failures| Growth {
            percent: 100,
            bytes: 10,
            failures,
            failed_ms: 1000,
            ..Growth::default()
        };
        assert!(wants_rewrite(&growth(2), 1000));
        assert!(!wants_rewrite(&growth(3), 60_999));
        assert!(wants_rewrite(&growth(3), 61_000));
        assert!(!wants_rewrite(&growth(4), 61_000));
        assert!(wants_rewrite(&growth(60), 3_601_000));
    }
}
