//! `--latency` and `--latency-history`: how long PING takes, in milliseconds.
//!
//! On a terminal the line changes in place until the user has seen enough. Elsewhere, and as raw
//! text or JSON, a second is measured, or as long as `-i` says, and the line is printed at its end.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use kvik_client::Client;

use super::clock::{now, pause};
use crate::cli::format::Format;
use crate::cli::settings::Settings;

/// Between two samples.
const BETWEEN: Duration = Duration::from_millis(10);
/// How long each line of a history is measured.
pub(super) const HISTORY: Duration = Duration::from_secs(15);

/// Round trips in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Samples {
    count: u64,
    least: f64,
    most: f64,
    sum: f64,
}

/// Measures; with a history, line after line.
pub(super) fn show(
    client: &mut Client,
    settings: &Settings,
    history: Option<Duration>,
) -> anyhow::Result<()> {
    let is_live = io::stdout().is_terminal() && matches!(settings.format, Format::Human(_));
    let once = match settings.interval {
        Duration::ZERO => Duration::from_secs(1),
        interval => interval,
    };
    let mut lines_left = settings.lines;
    let (mut samples, mut begun) = (Samples::default(), now());
    loop {
        let sent = now();
        client.call(&["PING"])?;
        samples.add(sent.elapsed());
        let mut out = io::stdout().lock();
        if is_live {
            write!(out, "\x1b[0G\x1b[2K{}", samples.line(&settings.format))?;
            out.flush()?;
        }
        let whole = begun.elapsed();
        if whole > history.unwrap_or(once) && (history.is_some() || !is_live) {
            let line = samples.line(&settings.format);
            match history {
                None => return Ok(writeln!(out, "{line}")?),
                Some(_) if is_live => {
                    writeln!(out, " -- {:.2} seconds range", whole.as_secs_f64())?;
                }
                Some(_) => writeln!(out, "{line}")?,
            }
            out.flush()?;
            lines_left = lines_left.map(|left| left.saturating_sub(1));
            if lines_left == Some(0) {
                return Ok(());
            }
            (samples, begun) = (Samples::default(), now());
        }
        drop(out);
        pause(BETWEEN);
    }
}

impl Samples {
    fn add(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1e3;
        self.least = if self.count == 0 {
            ms
        } else {
            self.least.min(ms)
        };
        self.most = self.most.max(ms);
        self.sum += ms;
        self.count += 1;
    }

    fn line(&self, format: &Format) -> String {
        let Self {
            count, least, most, ..
        } = self;
        let average = self.sum / (*count).max(1) as f64;
        match format {
            Format::Json => format!(
                "{{\"min\": {least:.3}, \"max\": {most:.3}, \"avg\": {average:.3}, \"count\": {count}}}"
            ),
            // Scripts compare whole milliseconds, as redis-cli prints them.
            Format::Raw { .. } => {
                format!(
                    "{:.0} {:.0} {average:.2} {count}",
                    least.floor(),
                    most.floor()
                )
            }
            Format::Human(_) => {
                format!("min: {least:.3}, max: {most:.3}, avg: {average:.3} ({count} samples)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::format::Theme;

    const RAW: Format = Format::Raw {
        between: Vec::new(),
        after: Vec::new(),
    };

    #[test]
    fn a_line_has_least_most_and_average() {
        let mut samples = Samples::default();
        for us in [1500, 500, 1000] {
            samples.add(Duration::from_micros(us));
        }
        assert_eq!(
            samples.line(&Format::Human(Theme::plain())),
            "min: 0.500, max: 1.500, avg: 1.000 (3 samples)"
        );
        assert_eq!(samples.line(&RAW), "0 1 1.00 3");
        assert_eq!(
            samples.line(&Format::Json),
            "{\"min\": 0.500, \"max\": 1.500, \"avg\": 1.000, \"count\": 3}"
        );
    }
}
