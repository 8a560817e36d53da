//! The parts to take away: an archive for this machine's target with its checksum, a Debian
//! package, and a check of the other targets as far as this machine can.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::cargo;

/// The targets for which archives are offered, and that of the container's image.
const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "aarch64-apple-darwin",
    "x86_64-unknown-linux-musl",
];

/// Files of the tree that go along.
const FILES: [&str; 5] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "packaging/kvik.toml.example",
];

/// Writes `kvik-VERSION-TARGET.tar.gz` and `SHA256SUMS` to `target/dist`, and checks other targets.
pub(crate) fn archive() -> anyhow::Result<()> {
    let host = host()?;
    let folder = cargo::target_dir()?.join("dist");
    let name = format!("kvik-{}-{host}", env!("CARGO_PKG_VERSION"));
    let staged = folder.join(&name);
    if staged.exists() {
        fs::remove_dir_all(&staged)?;
    }
    fs::create_dir_all(&staged)?;
    fs::copy(folder.join("kvik"), staged.join("kvik"))?;
    for file in FILES {
        let target = Path::new(file).file_name().context("a file has a name")?;
        fs::copy(cargo::root().join(file), staged.join(target)).context(file)?;
    }
    let archive = format!("{name}.tar.gz");
    // Neither names nor times of this machine are in it.
    let plain = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name"];
    let plain: &[&str] = if cfg!(target_os = "linux") {
        &plain
    } else {
        &[]
    };
    run(
        Command::new("tar")
            .args(plain)
            .args(["-czf", &archive, &name]),
        &folder,
    )?;
    fs::remove_dir_all(&staged)?;
    let sums = checksum(&archive, &folder)?;
    fs::write(folder.join("SHA256SUMS"), &sums)?;
    println!("{}\n{}", folder.join(&archive).display(), sums.trim_end());
    check_targets()
}

/// Checks that the program compiles for the other targets, and names those for which that cannot be
/// told here.
pub(crate) fn check_targets() -> anyhow::Result<()> {
    let host = host()?;
    let others = TARGETS.iter().filter(|target| **target != host);
    others.into_iter().try_for_each(|target| check(target))
}

/// Fails before anything is built where packages cannot be.
pub(crate) fn require_cargo_deb() -> anyhow::Result<()> {
    if !cargo::has_subcommand("deb") {
        bail!("a Debian package needs cargo-deb: cargo install --locked cargo-deb");
    }
    Ok(())
}

/// Builds a package of the binary that is there.
pub(crate) fn debian_package() -> anyhow::Result<()> {
    let package = ["--package", "kvik-cli", "--profile", "dist", "--no-build"];
    cargo::cargo(&[&["deb"], &package[..]].concat())
}

/// Checks that the program compiles for a target, or says why that cannot be told here.
fn check(target: &str) -> anyhow::Result<()> {
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .stderr(Stdio::null())
        .output();
    let installed = installed.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    if !installed.lines().any(|line| line == target) {
        println!("skipped: {target} is not installed (rustup target add {target})");
        return Ok(());
    }
    // Lua and the allocator are C, which cargo compiles for a check, too.
    let variable = format!("CC_{}", target.replace('-', "_"));
    let compiler = std::env::var(&variable).unwrap_or_else(|_| match target {
        "aarch64-unknown-linux-gnu" => "aarch64-linux-gnu-gcc".to_owned(),
        "x86_64-unknown-linux-musl" => "musl-gcc".to_owned(),
        _ => "cc".to_owned(),
    });
    let is_foreign = target.contains("apple") && !cfg!(target_os = "macos");
    let found = Command::new(&compiler).arg("--version").output();
    if found.is_err() || (is_foreign && std::env::var_os(&variable).is_none()) {
        println!("skipped: {target} needs a C compiler for it in {variable}");
        return Ok(());
    }
    cargo::cargo(&["check", "--package", "kvik-cli", "--target", target])?;
    println!("checked: {target}");
    Ok(())
}

/// The target of this machine's compiler.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// The line of `SHA256SUMS` for a file.
fn checksum(file: &str, folder: &Path) -> anyhow::Result<String> {
    let (program, arguments): (_, &[&str]) = match cfg!(target_os = "macos") {
        true => ("shasum", &["-a", "256"]),
        false => ("sha256sum", &[]),
    };
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .current_dir(folder)
        .output()
        .with_context(|| format!("{program} is not there"))?;
    if !output.status.success() {
        bail!("{program} failed");
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn run(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    let status = command.current_dir(folder).status();
    let status = status.with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
