//! A program under callgrind whose instructions are counted over stretches of its life.
//!
//! vgdb switches the counting on and off from outside, so the program's start and the filling of
//! its store neither count nor take the time that counting takes. callgrind counts exactly: what
//! varies from run to run is the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// Where a program leaves its counts.
pub(super) struct Callgrind {
    dir: TempDir,
    /// Dumps written so far; callgrind numbers them from 1.
    dumps: usize,
}

impl Callgrind {
    /// None where valgrind is not installed.
    pub(super) fn new() -> anyhow::Result<Option<Self>> {
        if Command::new("valgrind").arg("--version").output().is_err() {
            println!("no valgrind here: instructions are not counted");
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        Ok(Some(Self { dir, dumps: 0 }))
    }

    /// The command that starts a program under it; the program's own arguments are to be added.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--quiet", "--instr-atstart=no"])
            .arg(format!("--callgrind-out-file={}", self.profile().display()))
            .arg(program);
        valgrind
    }

    /// Instructions of all threads of the process `pid` while `work` runs.
    pub(super) fn count(
        &mut self,
        pid: u32,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        monitor(pid, &["instrumentation", "on"])?;
        monitor(pid, &["zero"])?;
        work()?;
        monitor(pid, &["dump"])?;
        monitor(pid, &["instrumentation", "off"])?;
        self.dumps += 1;
        let dump = self.profile().with_extension(self.dumps.to_string());
        let profile = fs::read_to_string(&dump).with_context(|| dump.display().to_string())?;
        total(&profile).context("callgrind's file has another form")
    }

    fn profile(&self) -> PathBuf {
        self.dir.path().join("profile")
    }
}

/// Has the callgrind of a process obey a command; returns when it has.
fn monitor(pid: u32, command: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("vgdb")
        .arg(format!("--pid={pid}"))
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start vgdb")?;
    ensure!(status.success(), "vgdb {} failed", command.join(" "));
    Ok(())
}

/// The sum of all instructions in callgrind's file.
fn total(profile: &str) -> Option<u64> {
    let line = |name| {
        profile
            .lines()
            .find_map(|line: &str| line.strip_prefix(name))
    };
    let sum = line("totals: ").or_else(|| line("summary: "))?;
    sum.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found() {
        assert_eq!(
            total("version: 1\nevents: Ir\nsummary: 120\n\ntotals: 123\n"),
            Some(123)
        );
        assert_eq!(total("fn=1"), None);
    }
}
