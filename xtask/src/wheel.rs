//! `cargo x wheel`: the Python package, built, installed in a fresh virtual environment and tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::cargo;

/// What builds wheels.
const MATURIN: &str = "maturin>=1.7,<2";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build with optimization, as wheels ship
    #[arg(long)]
    release: bool,
    /// Compare with redis-py and the server at this URL afterwards
    #[arg(long, value_name = "REDIS_URL")]
    bench: Option<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = cargo::target_dir()?.join("wheel");
    let (wheels, package) = (folder.join("wheels"), cargo::root().join("python"));
    for old in [&wheels, &folder.join("tested")] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    let builder = environment(&folder.join("builder"), &[MATURIN])?;
    let mut maturin = Command::new(builder.join("maturin"));
    maturin
        .args(["build", "--quiet", "--out"])
        .arg(&wheels)
        .args(options.release.then_some("--release"))
        .current_dir(&package)
        .env("CARGO_TARGET_DIR", folder.join("target"));
    succeed(&mut maturin)?;
    let mut built = fs::read_dir(&wheels)?;
    let wheel = built.next().context("maturin has built no wheel")??.path();
    println!("{}", wheel.display());
    let wheel = wheel.to_str().context("a wheel's path is text")?;
    let tested = environment(&folder.join("tested"), &[wheel])?;
    let tests = ["-m", "unittest", "discover", "--start-directory"];
    succeed(
        Command::new(tested.join("python"))
            .args(tests)
            .arg(package.join("tests")),
    )?;
    if let Some(url) = &options.bench {
        let bench = environment(&folder.join("bench"), &[wheel, "redis"])?;
        let script = package.join("benches/redis_py.py");
        succeed(Command::new(bench.join("python")).arg(script).arg(url))?;
    }
    Ok(())
}

/// Programs of a virtual environment with these packages.
fn environment(folder: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    succeed(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let programs = folder.join("bin");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    succeed(
        Command::new(programs.join("python"))
            .args(pip)
            .args(packages),
    )?;
    Ok(programs)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status();
    let status = status.with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
