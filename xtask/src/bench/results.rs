//! The results: a table for the reader, rows for `bench/results`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use super::Options;
use super::load::Sample;
use super::workload::Workload;
use crate::cargo;

/// One cell of one round.
pub(super) struct Row {
    pub(super) round: usize,
    pub(super) server: String,
    pub(super) version: String,
    pub(super) workload: Workload,
    pub(super) pipeline: NonZeroUsize,
    pub(super) sample: Sample,
}

/// All cells, in the order measured.
pub(super) struct Results {
    rows: Vec<Row>,
    origin: Origin,
    /// The columns that are the same for all rows.
    setting: String,
}

/// When, of what and where something was measured: what every CSV line begins and ends with.
pub(super) struct Origin {
    date: String,
    commit: String,
    machine: String,
}

impl Origin {
    /// Today, this commit, this machine.
    pub(super) fn now() -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpus = std::thread::available_parallelism()?;
        Ok(Self {
            date: output("date", &["-u", "+%F"])?,
            commit: commit()?,
            machine: format!("{cpus},{}", cpu_model(&cpuinfo).replace(',', " ")),
        })
    }

    #[cfg(test)]
    pub(super) fn of_nowhere() -> Self {
        Self {
            date: "d".into(),
            commit: "c".into(),
            machine: "2,cpu".into(),
        }
    }

    pub(super) fn line(&self, columns: &str) -> String {
        let Self {
            date,
            commit,
            machine,
        } = self;
        format!("{date},{commit},{columns},{machine}")
    }

    /// Appends lines to the file of this day, commit and kind. Uncommitted changes give a file that
    /// git ignores.
    pub(super) fn append(
        &self,
        kind: &str,
        columns: &str,
        lines: impl Iterator<Item = String>,
    ) -> anyhow::Result<PathBuf> {
        let path = cargo::root()
            .join("bench/results")
            .join(format!("{}-{}{kind}.csv", self.date, self.commit));
        let new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        if new {
            writeln!(file, "{columns}")?;
        }
        for line in lines {
            writeln!(file, "{line}")?;
        }
        Ok(path)
    }
}

const COLUMNS: &str = "date,commit,round,server,version,workload,pipeline,ops,ops_per_sec,cpu_us_per_op,p50_us,p99_us,\
    secs,threads,connections,load_threads,keys,value_bytes,pinned,cpus,cpu_model";

impl Results {
    pub(super) fn new(options: &Options) -> anyhow::Result<Self> {
        let setting = format!(
            "{},{},{},{},{},{},{}",
            options.secs,
            options.threads,
            options.connections,
            options.load_threads,
            options.keys,
            options.value_bytes,
            options.pin,
        );
        Ok(Self {
            rows: Vec::new(),
            origin: Origin::now()?,
            setting,
        })
    }

    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// One line for each cell and server; the first server is what the others are compared with.
    pub(super) fn print(&self) {
        println!(
            "{:<8} {:>4}  {:<16} {:>9} {:>10} {:>9} {:>9}  {:>7} {:>7} {:>7}",
            "workload",
            "-P",
            "server",
            "kops/s",
            "CPU us/op",
            "p50 us",
            "p99 us",
            "x ops/s",
            "x CPU",
            "x p50"
        );
        for first in self.rows.iter().filter(|row| row.round == 0) {
            let cell = self.cell(first);
            println!(
                "{:<8} {:>4}  {:<16} {:>9.1} {:>10.3} {:>9.0} {:>9.0}  {}",
                first.workload,
                first.pipeline,
                first.server,
                median(cell.iter().map(|sample| sample.ops_per_sec / 1000.0)),
                median(cell.iter().map(|sample| sample.cpu_us_per_op)),
                median(cell.iter().map(|sample| sample.p50_us)),
                median(cell.iter().map(|sample| sample.p99_us)),
                self.ratios(first, &cell),
            );
        }
    }

    /// Appends the rows to the file of this day and commit.
    pub(super) fn append(&self) -> anyhow::Result<PathBuf> {
        let lines = self.rows.iter().map(|row| self.csv(row));
        self.origin.append("", COLUMNS, lines)
    }

    fn csv(&self, row: &Row) -> String {
        let Sample {
            ops,
            ops_per_sec,
            cpu_us_per_op,
            p50_us,
            p99_us,
            ..
        } = row.sample;
        self.origin.line(&format!(
            "{},{},{},{},{},{ops},{ops_per_sec:.0},{cpu_us_per_op:.4},{p50_us:.1},{p99_us:.1},{}",
            row.round, row.server, row.version, row.workload, row.pipeline, self.setting
        ))
    }

    /// The samples of a row's server in its cell, by round.
    fn cell(&self, of: &Row) -> Vec<Sample> {
        let same = |row: &&Row| {
            (row.workload, row.pipeline, &row.server) == (of.workload, of.pipeline, &of.server)
        };
        self.rows
            .iter()
            .filter(same)
            .map(|row| row.sample)
            .collect()
    }

    fn ratios(&self, of: &Row, cell: &[Sample]) -> String {
        let same =
            |row: &&Row| (row.workload, row.pipeline, row.round) == (of.workload, of.pipeline, 0);
        let Some(base) = self
            .rows
            .iter()
            .find(same)
            .filter(|base| base.server != of.server)
        else {
            return String::new();
        };
        let base = self.cell(base);
        let ratio = |figure: fn(&Sample) -> f64| {
            median(
                cell.iter()
                    .zip(&base)
                    .map(|(sample, base)| figure(sample) / figure(base)),
            )
        };
        format!(
            "{:>7.2} {:>7.2} {:>7.2}",
            ratio(|sample| sample.ops_per_sec),
            ratio(|sample| sample.cpu_us_per_op),
            ratio(|sample| sample.p50_us)
        )
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        (figures[middle - 1] + figures[middle]) / 2.0
    }
}

fn cpu_model(cpuinfo: &str) -> &str {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, model)| model)
}

/// The commit's short name; what is not committed makes the file local.
fn commit() -> anyhow::Result<String> {
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let clean = output("git", &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(if clean {
        commit
    } else {
        format!("{commit}.local")
    })
}

fn output(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(cargo::root())
        .output()
        .context(program.to_owned())?;
    ensure!(output.status.success(), "{program} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(figures: &[(usize, &str, f64)]) -> Results {
        let rows = figures.iter().map(|&(round, server, ops_per_sec)| Row {
            round,
            server: server.to_owned(),
            version: "1".to_owned(),
            workload: Workload::Get,
            pipeline: NonZeroUsize::MIN,
            sample: Sample {
                ops: 1,
                ops_per_sec,
                cpu_us_per_op: 1.0,
                p50_us: 1.0,
                p99_us: 1.0,
                p999_us: 1.0,
                longest_us: 1.0,
            },
        });
        Results {
            rows: rows.collect(),
            origin: Origin::of_nowhere(),
            setting: "s".into(),
        }
    }

    #[test]
    fn ratios_compare_a_round_with_itself() {
        let results = results(&[
            (0, "a", 10.0),
            (0, "b", 20.0),
            (1, "b", 2.0),
            (1, "a", 1.0),
            (2, "a", 4.0),
            (2, "b", 12.0),
        ]);
        let b = &results.rows[1];
        assert_eq!(
            results.ratios(b, &results.cell(b)),
            "   2.00    1.00    1.00"
        );
        let a = &results.rows[0];
        assert_eq!(results.ratios(a, &results.cell(a)), "");
    }

    #[test]
    fn a_row_has_every_column() {
        let mut results = results(&[(0, "a", 10.0)]);
        results.setting = "2,1,50,1,1000,32,false".into();
        assert_eq!(
            results.csv(&results.rows[0]).split(',').count(),
            COLUMNS.split(',').count()
        );
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
