//! Instructions that a get and a set of the embedded store take: its bench does them on request,
//! one kind at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, ensure};

use super::callgrind::Callgrind;
use super::{Options, Reading, Readings};
use crate::cargo;

const OPERATIONS: &[&str] = &["get_into", "get", "set"];
const KEYS: usize = 100_000;
const VALUE_BYTES: usize = 32;
const COUNT: usize = 64_000;

/// Measures the builds that the options name and, unless only binaries that are there are to be
/// measured, this tree's.
pub(super) fn measure(options: &Options, readings: &mut Readings) -> anyhow::Result<()> {
    let mut benches = options.embedded.clone();
    if options.kvik.is_none() {
        benches.push(cargo::embedded_bench()?);
    }
    for (number, path) in benches.iter().enumerate() {
        let name = format!("embedded#{}", number + 1);
        readings.add(&name, "", of_bench(path)?);
    }
    Ok(())
}

fn of_bench(path: &Path) -> anyhow::Result<Vec<Reading>> {
    let mut readings = Vec::new();
    let Some(mut callgrind) = Callgrind::new()? else {
        return Ok(readings);
    };
    let mut bench = Bench::start(&callgrind, path)?;
    for &operation in OPERATIONS {
        bench.perform(operation)?;
        let pid = bench.child.id();
        let instructions = callgrind.count(pid, || bench.perform(operation))?;
        readings.push(Reading {
            name: "instructions",
            case: format!("embedded {operation}"),
            keys: KEYS,
            value_bytes: VALUE_BYTES,
            value: instructions as f64 / COUNT as f64,
            unit: "/op",
        });
    }
    Ok(readings)
}

/// The running bench, which ends with its input.
struct Bench {
    child: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Bench {
    fn start(callgrind: &Callgrind, path: &Path) -> anyhow::Result<Self> {
        let mut child = callgrind
            .command(path)
            .args(["--steps", &KEYS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", path.display()))?;
        let input = child.stdin.take().context("it has an input")?;
        let answers = child.stdout.take().context("it has an output")?;
        let mut bench = Self {
            child,
            input,
            answers: BufReader::new(answers),
        };
        bench.expect("ready")?;
        Ok(bench)
    }

    fn perform(&mut self, operation: &str) -> anyhow::Result<()> {
        writeln!(self.input, "{operation} {COUNT}")?;
        self.expect("done")
    }

    fn expect(&mut self, answer: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(line.trim() == answer, "the bench answered {line:?}");
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Both only fail when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
