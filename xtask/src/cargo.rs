//! The verbs that are a call of cargo with the right arguments.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, bail};

/// Formatting and clippy, as the CI demands them.
pub(crate) fn check() -> anyhow::Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

/// Documentation tests and models first, so that the runner's summary is the last thing on the
/// screen. A filter in `args` names ordinary tests, so it leaves those out.
pub(crate) fn test(args: &[String]) -> anyhow::Result<ExitCode> {
    if args.is_empty() {
        cargo(&["test", "--workspace", "--doc", "--quiet"])?;
        model(None)?;
    }
    let runner: &[&str] = if has_subcommand("nextest") {
        &["nextest", "run", "--workspace"]
    } else {
        &["test", "--workspace", "--lib", "--bins", "--tests"]
    };
    let args: Vec<&str> = runner
        .iter()
        .copied()
        .chain(args.iter().map(String::as_str))
        .collect();
    let status = command(&args).status().context("cannot start cargo")?;
    Ok(code(status))
}

/// Tests of a build of their own, in which loom stands in for locks and atomics.
pub(crate) fn model(name: Option<&str>) -> anyhow::Result<()> {
    for package in ["kvik", "kvik-command", "kvik-log", "kvik-server"] {
        cargo(&[
            "test",
            "--package",
            package,
            "--features",
            "model",
            "--lib",
            "--quiet",
            "--",
            name.unwrap_or("model::"),
        ])?;
    }
    Ok(())
}

/// Runs every target of `fuzz/`, or the one named, for `seconds` each. What libFuzzer found worth
/// keeping stays in `fuzz/corpus` and is where the next run starts.
pub(crate) fn fuzz(target: Option<&str>, seconds: u32) -> anyhow::Result<()> {
    let targets = match target {
        Some(target) => vec![target.to_owned()],
        None => fuzz_targets()?,
    };
    for target in &targets {
        println!("fuzzing {target} for {seconds} s");
        fuzz_one(target, seconds)?;
    }
    Ok(())
}

/// Of libFuzzer's many lines, a good run shows its figures and a bad one all.
fn fuzz_one(target: &str, seconds: u32) -> anyhow::Result<()> {
    let limit = format!("-max_total_time={seconds}");
    let args = [
        "+nightly",
        "fuzz",
        "run",
        target,
        "--",
        &limit,
        "-print_final_stats=1",
    ];
    // The environment's CARGO is one toolchain's; choosing another needs the proxy on the path.
    let output = Command::new("cargo")
        .args(args)
        .current_dir(root())
        .output()
        .context("cannot start cargo")?;
    let lines = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{lines}\n{target} failed; its input is in fuzz/artifacts/{target}");
    }
    for line in lines.lines().filter(|line| line.starts_with("stat::")) {
        println!("  {}", line.trim_start_matches("stat::"));
    }
    Ok(())
}

fn fuzz_targets() -> anyhow::Result<Vec<String>> {
    let manifest: toml::Table =
        toml::from_str(&std::fs::read_to_string(root().join("fuzz/Cargo.toml"))?)?;
    let bins = manifest["bin"]
        .as_array()
        .context("fuzz/Cargo.toml has no [[bin]]")?;
    Ok(bins
        .iter()
        .filter_map(|bin| bin["name"].as_str().map(str::to_owned))
        .collect())
}

/// `cargo run --release` with arguments for kvik.
pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let fixed = ["run", "--release", "--package", "kvik-cli", "--"];
    let args: Vec<&str> = fixed
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect();
    cargo(&args)
}

/// Runs `cargo x` again with the same arguments, built with optimization, unless it is already:
/// the load generator must cost less than the servers.
pub(crate) fn rerun_optimized() -> anyhow::Result<Option<ExitCode>> {
    const OPTIMIZED: &str = "KVIK_XTASK_OPTIMIZED";

    if std::env::var_os(OPTIMIZED).is_some() {
        return Ok(None);
    }
    let profile = "profile.dev.package.xtask.opt-level=3";
    let status = command(&[
        "--config",
        profile,
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--",
    ])
    .args(std::env::args_os().skip(1))
    .env(OPTIMIZED, "1")
    .status()
    .context("cannot start cargo")?;
    Ok(Some(code(status)))
}

/// Builds the binary that ships and says how large it is.
pub(crate) fn dist() -> anyhow::Result<()> {
    let binary = dist_binary()?;
    let bytes = std::fs::metadata(&binary)
        .with_context(|| binary.display().to_string())?
        .len();
    println!(
        "{} {:.2} MiB",
        binary.display(),
        bytes as f64 / (1024.0 * 1024.0)
    );
    Ok(())
}

/// Builds the binary that ships.
pub(crate) fn dist_binary() -> anyhow::Result<PathBuf> {
    cargo(&["build", "--profile", "dist", "--package", "kvik-cli"])?;
    Ok(target_dir()?.join("dist").join("kvik"))
}

/// Builds the bench of the embedded store with the profile that ships.
pub(crate) fn embedded_bench() -> anyhow::Result<PathBuf> {
    let messages = cargo_output(&[
        "build",
        "--profile",
        "dist",
        "--package",
        "kvik",
        "--bench",
        "embedded",
        "--message-format",
        "json-render-diagnostics",
    ])?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_bench = message["target"]["name"] == "embedded";
        is_bench.then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    let found = messages.lines().find_map(executable);
    found.context("cargo names no executable of the bench")
}

/// Runs cargo in the workspace; anything but success is an error.
pub(crate) fn cargo(args: &[&str]) -> anyhow::Result<()> {
    let status = command(args).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(())
}

/// Runs cargo in the workspace and returns what it printed.
pub(crate) fn cargo_output(args: &[&str]) -> anyhow::Result<String> {
    let output = command(args)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo {} failed", args.join(" "));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether `cargo NAME` exists on this machine.
pub(crate) fn has_subcommand(name: &str) -> bool {
    let output = command(&[name, "--version"]).stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let metadata = cargo_output(&["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?
        .into())
}

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

fn code(status: ExitStatus) -> ExitCode {
    match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}
