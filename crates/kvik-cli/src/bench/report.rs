//! The table of a benchmark.

use super::load::Measured;
use super::work::Work;

/// A load on a server.
pub(super) struct Row {
    pub(super) server: String,
    pub(super) work: Work,
    pub(super) measured: Measured,
    /// Processor time of the server.
    pub(super) cpu_us: Option<f64>,
}

/// A table of rows, of which those of the same work stand together, `servers` of them. Behind each
/// further server stands how the first one compares: its figure by the other's.
pub(super) fn table(rows: &[Row], servers: usize) -> String {
    let width = rows
        .iter()
        .map(|row| row.server.len())
        .max()
        .unwrap_or(0)
        .max(6);
    let mut text = format!(
        "{:<width$}  {:<5}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>8}\n",
        "server",
        "",
        "commands/s",
        "CPU us/cmd",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "errors"
    );
    for same in rows.chunks(servers.max(1)) {
        for row in same {
            text.push_str(&row.line(width));
        }
        for other in same.iter().skip(1) {
            text.push_str(&same[0].ratios(other, width));
        }
    }
    text
}

impl Row {
    fn rate(&self) -> f64 {
        self.measured.commands as f64 / self.measured.elapsed.as_secs_f64().max(0.001)
    }

    fn cpu_us_each(&self) -> Option<f64> {
        let each = |us: f64| us / self.measured.commands.max(1) as f64;
        self.cpu_us.map(each)
    }

    fn figures(&self) -> [f64; 4] {
        let percentile = |percent| self.measured.times.percentile_us(percent);
        let longest_us = self.measured.longest.as_secs_f64() * 1e6;
        [
            percentile(50.0),
            percentile(99.0),
            percentile(99.9),
            longest_us,
        ]
    }

    fn line(&self, width: usize) -> String {
        let cpu = self
            .cpu_us_each()
            .map_or("-".to_owned(), |us| format!("{us:.3}"));
        let times = self.figures().map(|us| format!("{us:>12.0}")).concat();
        format!(
            "{:<width$}  {:<5}{:>12.0}{cpu:>12}{times}{:>8}\n",
            self.server,
            self.work.name(),
            self.rate(),
            self.measured.errors
        )
    }

    /// This row by another one.
    fn ratios(&self, other: &Self, width: usize) -> String {
        let ratio = |one: f64, other: f64| match other {
            0.0 => "-".to_owned(),
            other => format!("{:.2}", one / other),
        };
        let cpu = self.cpu_us_each().zip(other.cpu_us_each());
        let cpu = cpu.map_or("-".to_owned(), |(one, other)| ratio(one, other));
        let times = self.figures().into_iter().zip(other.figures());
        let times: String = times
            .map(|(one, other)| format!("{:>12}", ratio(one, other)))
            .collect();
        let rate = ratio(self.rate(), other.rate());
        format!(
            "{:<width$}  {:<5}{rate:>12}{cpu:>12}{times}\n",
            "  ratio", ""
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(server: &str, commands: u64, cpu_us: Option<f64>) -> Row {
        Row {
            server: server.to_owned(),
            work: Work::Get,
            measured: Measured {
                commands,
                elapsed: Duration::from_secs(2),
                longest: Duration::from_micros(commands),
                ..Measured::default()
            },
            cpu_us,
        }
    }

    #[test]
    fn the_first_server_is_compared_with_the_second() {
        let rows = [
            row("a", 1000, Some(3000.0)),
            row("b:6379", 500, Some(3000.0)),
        ];
        let table = table(&rows, 2);
        let words: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[1][..4], ["a", "get", "500", "3.000"]);
        assert_eq!(words[2][..4], ["b:6379", "get", "250", "6.000"]);
        assert_eq!(words[3], ["ratio", "2.00", "0.50", "-", "-", "-", "2.00"]);
    }

    #[test]
    fn a_server_that_does_not_tell_its_time_has_none() {
        let table = table(&[row("a", 1, None)], 1);
        assert_eq!(table.lines().count(), 2);
        assert_eq!(
            table.lines().nth(1).unwrap().split_whitespace().nth(3),
            Some("-")
        );
    }
}
