//! How far a copy is: in place on a terminal, otherwise a line every few seconds.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two looks on a terminal, and elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// The progress that is shown on standard error.
pub(crate) struct Progress {
    verb: &'static str,
    begun: Instant,
    shown: Instant,
    total: Option<u64>,
    is_terminal: bool,
}

impl Progress {
    /// For work that is told by a verb.
    pub(crate) fn new(verb: &'static str) -> Self {
        let now = now();
        Self {
            verb,
            begun: now,
            shown: now,
            total: None,
            is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Sets how many keys there are to come, as far as is known.
    pub(crate) fn expect(&mut self, total: Option<u64>) {
        self.total = total;
    }

    /// Shows how many have been done, if it is time to.
    pub(crate) fn show(&mut self, done: u64) {
        if self.is_time() {
            self.print(&line(self.verb, done, self.total, self.begun.elapsed()));
        }
    }

    /// Shows how much of a source has been read, if it is time to.
    pub(crate) fn show_read(&mut self, read_bytes: u64, total_bytes: u64) {
        if self.is_time() {
            let percent = read_bytes.saturating_mul(100) / total_bytes.max(1);
            self.print(&format!("read {percent} % of {} MiB", total_bytes >> 20));
        }
    }

    fn is_time(&mut self) -> bool {
        let every = if self.is_terminal {
            ON_TERMINAL
        } else {
            ELSEWHERE
        };
        let is_time = self.shown.elapsed() >= every;
        if is_time {
            self.shown = now();
        }
        is_time
    }

    fn print(&self, text: &str) {
        // Who cannot be told goes without.
        let _ = match self.is_terminal {
            true => write!(io::stderr(), "\r{text}\x1b[K"),
            false => writeln!(io::stderr(), "{text}"),
        };
    }

    /// Leaves the line on a terminal to what comes next.
    pub(crate) fn finish(&mut self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a rate is keys by time")]
fn now() -> Instant {
    Instant::now()
}

fn line(verb: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let (of, left) = match total {
        Some(total) if total >= done && rate >= 1.0 => {
            let left_s = (total - done) as f64 / rate;
            (format!(" of {total}"), format!(", {left_s:.0} s left"))
        }
        Some(total) => (format!(" of {total}"), String::new()),
        None => (String::new(), String::new()),
    };
    format!("{verb} {done}{of} keys, {rate:.0}/s{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let two_s = Duration::from_secs(2);
        assert_eq!(
            line("copied", 100, Some(300), two_s),
            "copied 100 of 300 keys, 50/s, 4 s left"
        );
        assert_eq!(line("copied", 100, None, two_s), "copied 100 keys, 50/s");
        assert_eq!(line("copied", 0, Some(3), two_s), "copied 0 of 3 keys, 0/s");
    }
}
